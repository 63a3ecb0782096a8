# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pin newly allocated subnets in the inventory; see modules/allocations.py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Optional

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.networks_report import heard, unasked
from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule as SiteAction
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import Silence
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.pins import VARIABLE, Pin, add_pins
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import live_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import text_or_texts, yaml_cidrs
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import refuse_slice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, some, write_whole

#: Where the pins are, beside the inventory.
PLACE = os.path.join("group_vars", "all", "allocations.yml")


class ActionModule(SiteAction):
    """The site's new subnets in, one file of the inventory out; on the controller alone."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _dummy, options = self.validate_argument_spec(argument_spec={"path": {"type": "path"}, "live": {"type": "str"}})
        try:
            refuse_slice(task_vars, "a subnet that no host must have yet")
            declared = self._declared(task_vars)
            live = _live(task_vars, options["live"]) if options["live"] else ()
            site = parse_site(declared, date.today(), live)
            path = options["path"] or _default_path(task_vars.get("ansible_inventory_sources"))
            pins = {
                network.name: text_or_texts(network.subnets)
                for network in site.networks.values()
                if not network.settled
            }
            before, after = _edit(path, declared.get(VARIABLE) or {}, pins)
            if pins and not self._task.check_mode:
                write_whole(path, after)
        except Refused as error:
            result.update(failed=True, msg=f"Nothing was pinned.\n{error}")
            return result
        result.update(changed=bool(pins), pinned=pins, path=path)
        left = unasked(task_vars) if pins and options["live"] else []
        if left:
            hosts = f"{count(len(left), 'host')} of the inventory not asked ({some(left)})"
            result["warnings"] = [f"{hosts}: what lives there is not known"]
        if pins:
            result["diff"] = {"before_header": path, "after_header": path, "before": before or "", "after": after}
        return result


def _live(task_vars: Mapping[str, Any], name: str) -> tuple[Live, ...]:
    """The live networks of the play's hosts; a host that could not be asked may have any."""
    answers, silent = heard(task_vars, name)
    unknown = [f"{host}: {found.text}" for host, found in silent.items() if found.kind is not Silence.NO_ENGINE]
    if unknown:
        got = f"none of {'; '.join(unknown)}"
        raise _refused("live networks", got, "those of every host", "fix it, or leave the host out with --limit")
    return live_networks(answers)


def _default_path(sources: Optional[Iterable[str]]) -> str:
    """The file beside the first inventory source that is a directory or a file."""
    for source in sources or ():
        if os.path.exists(source):
            folder = source if os.path.isdir(source) else os.path.dirname(source)
            return os.path.abspath(os.path.join(folder, PLACE))
    raise _refused("path", "nothing", "a file, or an inventory in the file system", "give path")


def _refused(path: str, got: str, expected: str, remedy: str) -> Refused:
    return Refused([Mistake(path, got, expected, remedy)])


def _edit(path: str, seen: Mapping[str, Pin], pins: Mapping[str, Pin]) -> tuple[Optional[str], str]:
    """(text before or None, text after); makes sure that the file is the one that the inventory reads."""
    before = None
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = file.read()
    held = _pins_of(path, before)
    if held != seen:
        remedy = "move all pins into this one file"
        raise _refused(path, _text(held), f"{_text(seen)}, which the inventory has", remedy)
    after = add_pins(before, pins, path)
    if _pins_of(path, after) != {**held, **pins}:
        raise _refused(path, "pins that cannot be extended safely", "one network a line", "write them one a line")
    return before, after


def _pins_of(path: str, text: Optional[str]) -> dict[str, str]:
    try:
        content = yaml.safe_load(text or "") or {}
    except yaml.YAMLError as error:
        raise _refused(path, f"no YAML ({' '.join(str(error).split())})", "a YAML mapping", "correct it") from error
    if not isinstance(content, dict) or not isinstance(content.get(VARIABLE) or {}, dict):
        raise _refused(path, "no mapping", f"{VARIABLE}: {{network: subnet}}", "correct it")
    return dict(content.get(VARIABLE) or {})


def _text(pins: Mapping[str, Pin]) -> str:
    return ", ".join(f"{name}: {yaml_cidrs(pin)}" for name, pin in sorted(pins.items())) or "no pin"
