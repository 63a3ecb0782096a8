# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report for other readers: Markdown for a merge request, JUnit for a build, SARIF for a code host's findings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import RULED, Mark
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.page import page_html
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import json_text

#: The shapes of the page, for a text.
SHAPES = {Mark.HOLDS.value: "", Mark.WRONG.value: " ✗", Mark.UNKNOWN.value: " ?", None: ""}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: The kinds of findings, as SARIF's rules.
KINDS = {
    "open": ("A flow that is not declared is open", "error"),
    "blocked": ("A declared flow is blocked", "error"),
    "misdirected": ("Another host answered", "error"),
    "inconclusive": ("Nothing is proven of a flow", "warning"),
    "rule": ("A live rule is not as declared", "warning"),
    "missing": ("Nothing is proven of a host", "warning"),
    **{f"static-{kind}": (f"Static proof: {title}", "error") for kind, title in RULED.items()},
}
#: What XML 1.0 has no way to say.
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown_text(data: Mapping[str, Any]) -> str:
    verdict = data["verdict"]
    lines = [f"# {_cell(data['name'])}: {_headline(data)}", "", _cell(verdict["text"]) if verdict else "", ""]
    if verdict:
        lines += [_cell(data["static"]["text"] if data["static"] else "The static proof was not run."), ""]
    lines += [f"Made {data['made']}: " + ", ".join(f"{number:,} {name}" for name, number in data["counts"].items()), ""]
    if data["findings"]:
        lines += ["## Findings", ""]
        for finding in data["findings"]:
            lines.append(f"- **{finding['title']}**: {_cell(finding['witness'])}")
            lines += [f"  {_cell(finding['cause'])}", f"  → {_cell(finding['remedy'])}"]
        lines.append("")
    cells = {(cell["from"], cell["to"]): cell for cell in data["cells"]}
    lines += ["## What may pass, from the row to the column", ""]
    lines += _table(
        ["from \\ to", *data["places"]],
        ([start, *(_matrix_cell(cells.get((start, end))) for end in data["places"])] for start in data["places"]),
    )
    lines += ["", "## Flows", ""]
    keys = ("path", "from", "to", "services", "ports", "why")
    lines += _table(keys, ([_joined(flow[key]) for key in keys] for flow in data["site"]["flows"]))
    return "\n".join([*lines, *_network_lines(data)]) + "\n"


def _network_lines(data: Mapping[str, Any]) -> list[str]:
    """The site's network documentation: its address plan, its networks and its ports."""
    site = data["site"]
    lines = ["", "## Addresses", ""]
    lines += _table(
        ["VLAN", "tier", "subnets", "gateways", "DHCP", "what it is"],
        (
            [
                str(tier["vlan"] or ""),
                name,
                _joined(tier["subnets"]),
                _joined(tier["gateways"]),
                "–".join(tier["dhcp"] or ()),
                tier["description"],
            ]
            for name, tier in site["tiers"].items()
        ),
    )
    if site["networks"]:
        lines += ["", "## Docker networks", ""]
        lines += _table(
            ["name", "driver", "subnet", "on", "zone"],
            (
                [name, *(_joined(network[key] or "") for key in ("driver", "subnet", "on", "zone"))]
                for name, network in site["networks"].items()
            ),
        )
    lines += ["", "## Services", ""]
    lines += _table(["service", "ports"], ([name, _joined(ports)] for name, ports in data["services"].items()))
    if data["addresses"]:
        lines += ["", "## Named addresses", ""]
        lines += _table(["name", "address"], ([name, _joined(nets)] for name, nets in data["addresses"].items()))
    if data["hosts"]:
        lines += ["", "## Hosts of the proof", ""]
        lines += _table(
            ["host", "address", "where"],
            ([host, address, place] for host, legs in data["hosts"].items() for address, place in legs),
        )
    return lines


def _headline(data: Mapping[str, Any]) -> str:
    if not data["verdict"]:
        return "the plan"
    holds = data["verdict"]["holds"] and (data["static"] is None or data["static"]["holds"])
    return "the isolation holds" if holds else "the isolation is not proven"


def _matrix_cell(cell: Any) -> str:
    if not cell:
        return ""
    if not cell["services"]:
        return "never" if cell["never"] else ""
    return ", ".join(
        f"{one['name']}{' by the rules' + SHAPES[one['static']] if SHAPES[one['static']] else ''}{SHAPES[one['live']]}"
        for one in cell["services"]
    )


def _joined(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    body = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return [f"| {' | '.join(map(_cell, names))} |", f"|{' --- |' * len(names)}", *body]


def _cell(text: str) -> str:
    """A text on one line, none of whose characters means anything to Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", " ".join(_spoken(text).split()))


def junit_xml(data: Mapping[str, Any]) -> str:
    """A suite for each two places: a case for each service that passes as declared, one for all that must not pass."""
    root = Element("testsuites", name=_spoken(data["name"]))
    for cell in data["cells"]:
        if not cell["probes"]:
            continue
        suite = SubElement(root, "testsuite", name=_spoken(f"{cell['from']} to {cell['to']}"))
        failed = 0
        for one in cell["services"]:
            verb = "passes" if one["flow"] else "is blocked"
            case = SubElement(
                suite, "testcase", classname=_spoken(f"{cell['from']} to {cell['to']}"), name=f"{one['name']} {verb}"
            )
            if one["live"] is None:
                SubElement(case, "skipped", message="not probed")
            elif one["live"] != Mark.HOLDS.value:
                failed += 1
                wrong = [
                    f"{probe['from']} -> {probe['to']} {probe['port']}: {probe['found']}" for probe in one["probes"]
                ]
                SubElement(case, "failure", message=_spoken(f"{one['live']}: {wrong[0]}")).text = _spoken(
                    "\n".join(wrong)
                )
        SubElement(suite, "testcase", classname=suite.attrib["name"], name=f"{cell['denied']} other probes were denied")
        suite.attrib.update(tests=str(len(suite)), failures=str(failed))
    others = [finding for finding in data["findings"] if finding["kind"] in ("rule", "missing")]
    if others:
        _failed_suite(root, "hosts", others)
    if data["static"]:
        ruled = [one for one in data["findings"] if one["kind"].startswith("static-") and one["severity"] == "error"]
        suite = _failed_suite(root, "rules", ruled)
        if data["static"]["holds"]:
            SubElement(suite, "testcase", classname="rules", name=_spoken(data["static"]["text"]))
            suite.attrib["tests"] = str(len(suite))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _failed_suite(root: Element, name: str, findings: Sequence[Mapping[str, Any]]) -> Element:
    """A suite with a failed case for each of these findings."""
    suite = SubElement(root, "testsuite", name=name, tests=str(len(findings)), failures=str(len(findings)))
    for finding in findings:
        case = SubElement(suite, "testcase", classname=name, name=_spoken(finding["witness"]))
        SubElement(case, "failure", message=_spoken(finding["title"])).text = _spoken(
            f"{finding['cause']}\n{finding['remedy']}"
        )
    return suite


def _spoken(text: str) -> str:
    return _UNSPEAKABLE.sub("\ufffd", text)


def sarif_json(data: Mapping[str, Any]) -> str:
    used = [kind for kind in KINDS if any(finding["kind"] == kind for finding in data["findings"])]
    return json_text(
        {
            "$schema": _SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": "bulkhead.tiers.prove",
                            "rules": [{"id": kind, "shortDescription": {"text": KINDS[kind][0]}} for kind in used],
                        }
                    },
                    "results": [_result(finding, used.index(finding["kind"])) for finding in data["findings"]],
                }
            ],
        }
    )


def _result(finding: Mapping[str, Any], index: int) -> dict[str, Any]:
    where = finding["flow"].partition(": ")[0] or finding["witness"]
    identity = "\n".join((finding["kind"], finding["witness"], finding["cause"]))
    return {
        "ruleId": finding["kind"],
        "ruleIndex": index,
        # An error of a kind that proves nothing is a warning there; a warning and a note are what they are.
        "level": KINDS[finding["kind"]][1] if finding["severity"] == "error" else finding["severity"],
        "message": {"text": f"{finding['witness']}: {finding['cause']}. {finding['remedy']}."},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": where, "kind": "resource"}]}],
        "partialFingerprints": {"bulkhead/v1": hashlib.sha256(identity.encode()).hexdigest()[:32]},
    }


#: {format: (what stands in the place of .json, how it is written)}
FORMATS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "html": (".html", page_html),
    "markdown": (".md", markdown_text),
    "junit": (".xml", junit_xml),
    "sarif": (".sarif", sarif_json),
}
