# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as one HTML file that asks the network for nothing: its policy (CSP) forbids it to, and lets run only the
script and the style that are part of the template, whatever text of a host stands on the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import Mark
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.drawing import draw

#: The marks of what is not as declared.
DOUBTFUL = (Mark.WRONG.value, Mark.UNKNOWN.value)
#: Services that a cell of the matrix shows, and where there are more than MANY places; the drawer shows all.
IN_CELL, IN_CELL_OF_MANY, MANY = 8, 2, 12


def page_html(data: Mapping[str, Any]) -> str:
    """report_data's answer as a page."""
    folder = os.path.dirname(__file__)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    style, script = (_read(os.path.join(folder, name)) for name in ("page.css", "page.js"))
    for cell in data["cells"]:
        for service in cell["services"]:
            service["doubtful"] = any(service[mark] in DOUBTFUL for mark in ("static", "live"))
    return environment.get_template("page.html.j2").render(
        data=data,
        cells={(cell["from"], cell["to"]): cell for cell in data["cells"]},
        drawing=draw(data),
        in_cell=IN_CELL if len(data["places"]) <= MANY else IN_CELL_OF_MANY,
        many=len(data["places"]) > MANY,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        json=Markup(_json(data)),
    )


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: Mapping[str, Any]) -> str:
    """The data for the page's script. Cells with the same services share them: a flow between all tiers has thousands."""
    lists: dict[str, int] = {}
    cells = []
    for cell in data["cells"]:
        number = lists.setdefault(_dump(cell["services"]), len(lists))
        cells.append({**cell, "services": number})
    shown = {key: data[key] for key in ("places", "findings", "ask", "services", "static")}
    text = _dump({**shown, "cells": cells, "paths": {flow["path"]: _declared(flow) for flow in data["site"]["flows"]}})
    whole = f'{text[:-1]},"lists":[{",".join(lists)}]}}'
    # Inside of a script element nothing but its end tag ends it.
    return whole.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _declared(flow: Mapping[str, Any]) -> str:
    """A flow as it may stand in the declaration."""
    ends = [", ".join(flow[side]) for side in ("from", "to", "services")]
    text = f"{{from: {ends[0]}, to: {ends[1]}, allow: [{ends[2]}]"
    text += f", why: {flow['why']}" if flow["why"] else ""
    return text + (f", until: {flow['until']}}}" if flow["until"] else "}")
