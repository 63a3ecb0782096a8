# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that a proof or a plan leaves behind, side by side, and what the next proof reads of the last one's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import SiteRules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import Proof, report_json
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import report_data
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.formats import FORMATS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Static
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import write_json, write_whole

#: The largest report of a last proof that is read, in bytes.
MOST_BYTES = 256 << 20


def write_proof(
    path: str, proof: Proof, name: str, formats: Sequence[str], static: Optional[Static] = None
) -> dict[str, str]:
    """Write the JSON to a path and the other formats beside it; returns {format: path}. Refused where one cannot be."""
    before = _last(path) if formats else None
    content = report_json(proof)
    written = {"json": write_json(path, {**content, "static": static.to_dict()} if static else content)}
    if formats:
        data = report_data(proof.site, name, _now(), proof, before, static=static)
        for one in formats:
            suffix, text = FORMATS[one]
            written[one] = write_whole(f"{_stem(path)}{suffix}", text(data))
    return written


def write_plan(path: str, site: Site, name: str, rules: SiteRules) -> str:
    """Write the page of a site alone, of which no host was asked, and beside it the same as Markdown: the site's network
    documentation. Returns the page's path."""
    data = report_data(site, name, _now(), rules=rules)
    stem, suffix = os.path.splitext(path)
    write_whole(f"{stem if suffix == '.html' else path}{FORMATS['markdown'][0]}", FORMATS["markdown"][1](data))
    return write_whole(path, FORMATS["html"][1](data))


def site_name(task_vars: Mapping[str, Any]) -> str:
    """What a report calls the site: the folder of its inventory."""
    folder = str(task_vars.get("inventory_dir") or "")
    return printable(os.path.basename(os.path.normpath(folder)) if folder else "site")


def _stem(path: str) -> str:
    stem, suffix = os.path.splitext(path)
    return stem if suffix == ".json" else path


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z")


def _last(path: str) -> Optional[dict[str, Any]]:
    """The probes of the report that is about to be replaced; None where there is none that is one."""
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return None
        with open(path, encoding="utf-8") as file:
            probes = json.load(file)["probes"]
        keys = {"from": str, "to": str, "proto": str, "port": int, "found": str}
        whole = all(isinstance(probe[key], kind) for probe in probes for key, kind in keys.items())
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return {"probes": probes} if whole else None
