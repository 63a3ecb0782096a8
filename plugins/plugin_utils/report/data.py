# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report says of a site, and of its proof where there is one, as plain values: the only source of the page and of
the other formats.

    {name, made, verdict: {holds, text, partial, probes, seconds, seed} or None, counts: {tiers, services, hosts},
     static: {holds, text} or None where it did not run,
     places: [name], cells: [cell], findings: [finding], notes: [text], changes: {opened, closed} or None,
     site: plan_json(site), rules: {group: [[rule, comment]]}, hosts: {name: [[address, place]]}, ask: {...}}

A cell is {from, to, never, services: [{name, ports, only, flow, static, live}], rest, denied, probes}. static says what the
live rules let through and live what packets found, each one of Mark, or None where it was not looked at; rest is static's word on
all that no flow declares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.matrix import (
    Entry,
    forbidden,
    matrix,
    places,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import SiteRules, plan_json, site_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Port
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Judged
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import (
    TITLES,
    Proof,
    failures,
    notes,
    service_name,
    stray_rules,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import FAILURES, Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    TIER,
    Endpoint,
    Flow,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans, source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import (
    EVERYTHING_ELSE,
    Answer,
    Cell,
    Severity,
    Static,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.text import static_summary

#: Probes that a cell shows for a service, beside those that failed, which it shows all.
SHOWN = 3

Pair = tuple[str, str]


class Mark(str, Enum):
    """What was found of a declared service, or of a port that no flow declares."""

    #: As declared.
    HOLDS = "holds"
    WRONG = "wrong"
    #: Neither: what was probed proves nothing.
    UNKNOWN = "unknown"


def report_data(
    site: Site,
    name: str,
    made: str,
    proof: Optional[Proof] = None,
    before: Optional[Mapping[str, Any]] = None,
    rules: Optional[SiteRules] = None,
    static: Optional[Static] = None,
) -> dict[str, Any]:
    """All that a report says. name: the site's; made: the time, as text; before: the last proof, as report_json wrote it.
    static: the static proof, None where it did not run."""
    rules = rules or site_rules(site)
    entries = matrix(site)
    rows = places(site)
    found = _by_cell(proof.verdicts if proof else ())
    rows += sorted({place for pair in found for place in pair} - set(rows))
    ruled = _ruled(static)
    # An end that is no place of the matrix, such as one named address, is shown where it is not as declared.
    ruled = {
        pair: known for pair, known in ruled.items() if set(pair) <= set(rows) or _ruled_mark(known) == Mark.WRONG.value
    }
    rows += sorted({place for pair in ruled for place in pair} - set(rows))
    never = forbidden(site)
    cells = [
        _with_static(
            _cell(
                site, (start, end), entries.get((start, end), ()), (start, end) in never, found.get((start, end), ())
            ),
            ruled.get((start, end), ()),
        )
        for start in rows
        for end in rows
        if any((start, end) in known for known in (entries, never, found, ruled))
    ]
    return {
        "name": name,
        "made": made,
        "verdict": _verdict(proof) if proof else None,
        "counts": _counts(site, proof),
        "places": rows,
        "cells": cells,
        "static": {"holds": static.holds, "text": static_summary(static)} if static else None,
        "findings": [*(_findings(proof) if proof else ()), *_ruled_findings(static)],
        "notes": notes(proof) if proof else list(site.warnings),
        "changes": changes(before, proof) if before and proof and proof.packets else None,
        "site": plan_json(site, rules),
        "services": {service: [str(ports) for ports in found] for service, found in site.services.items()},
        "addresses": {address: [str(net) for net in nets] for address, nets in site.addresses.items()},
        "rules": {group: [[str(rule), rule.comment] for rule in listed] for group, listed in rules.items()},
        "hosts": _hosts(proof) if proof else {},
        "ask": _ask(site),
    }


def _verdict(proof: Proof) -> dict[str, Any]:
    return {
        "holds": proof.holds,
        "text": summary(proof),
        "partial": bool(proof.left_out),
        "probes": len(proof.verdicts),
        "failed": sum(proof.count[status] for status in FAILURES),
        "seconds": round(proof.seconds, 1),
        "seed": proof.seed,
    }


def _counts(site: Site, proof: Optional[Proof]) -> dict[str, int]:
    counts = {"tiers": len(site.tiers), "services": len(site.services), "flows": len(site.flows)}
    return {**counts, "invariants": len(site.never), **({"hosts": len(proof.hosts)} if proof else {})}


# -- cells -----------------------------------------------------------------------------------------------------------


def _by_cell(verdicts: Iterable[Judged]) -> dict[Pair, list[Judged]]:
    found: dict[Pair, list[Judged]] = {}
    for one in verdicts:
        found.setdefault((one.source.place, one.dest.place), []).append(one)
    return found


def _cell(site: Site, pair: Pair, entries: Iterable[Entry], never: bool, verdicts: Sequence[Judged]) -> dict[str, Any]:
    declared: dict[tuple[str, Port], list[Judged]] = {}
    undeclared: dict[str, list[Judged]] = {}
    for one in verdicts:
        if one.flow:
            declared.setdefault((one.flow.path, (one.proto, one.port)), []).append(one)
        elif one.status in FAILURES:
            undeclared.setdefault(service_name(site, one.proto, one.port), []).append(one)
    services = []
    for entry in entries:
        ports = entry.flow.ports[entry.service]
        probed = [
            one
            for path, port in list(declared)
            if path == entry.flow.path and any(wide.covers(Ports(*port, port[1])) for wide in ports)
            for one in declared.pop((path, port))
        ]
        services.append(_service(entry.service, list(map(str, ports)), entry.only, entry.flow, probed))
    # From or to an address of the place that another flow of the matrix is about: a router's leg counts as its tier's.
    others: dict[tuple[str, str], list[Judged]] = {}
    for (path, port), probed in declared.items():
        others.setdefault((path, service_name(site, *port)), []).extend(probed)
    for (_path, service), probed in others.items():
        services.append(_service(service, [], "", probed[0].flow, probed))
    for service, probed in sorted(undeclared.items()):
        services.append(_service(service, [], "", None, probed))
    return {
        "from": pair[0],
        "to": pair[1],
        "never": never,
        "services": services,
        "denied": sum(one.status is Status.DENIED for one in verdicts),
        "probes": len(verdicts),
    }


def _service(name: str, ports: list[str], only: str, flow: Optional[Flow], probed: Sequence[Judged]) -> dict[str, Any]:
    shown = [one for one in probed if one.status in FAILURES]
    shown += [one for one in probed if one.status not in FAILURES][:SHOWN]
    return {
        "name": name,
        "ports": ports,
        "only": only,
        "flow": flow.path if flow else None,
        "limit": bool(flow and flow.limit),
        "static": None,
        "live": _mark(probed),
        "probes": [_probe(one) for one in shown],
        "count": len(probed),
    }


def _mark(probed: Sequence[Judged]) -> Optional[str]:
    statuses = {one.status for one in probed}
    if statuses & {Status.OPEN, Status.BLOCKED, Status.MISDIRECTED}:
        return Mark.WRONG.value
    if Status.INCONCLUSIVE in statuses:
        return Mark.UNKNOWN.value
    return Mark.HOLDS.value if statuses else None


def _probe(one: Judged) -> dict[str, Any]:
    return {
        "from": f"{one.source.host} {one.source.address}",
        "to": f"{one.dest.host} {one.dest.address}",
        "port": f"{one.port}/{one.proto}",
        "found": one.found.value,
        "status": one.status.value,
        "ended": one.ended,
    }


# -- what the rules say ------------------------------------------------------------------------------------------------


def _ruled(static: Optional[Static]) -> dict[Pair, list[Cell]]:
    """The static proof's cells between two places."""
    found: dict[Pair, list[Cell]] = {}
    for cell in static.cells if static else ():
        found.setdefault((cell.source, cell.destination), []).append(cell)
    return found


def _ruled_mark(cells: Iterable[Cell]) -> Optional[str]:
    """What they say together, the worst first."""
    marks = {
        Mark.HOLDS if cell.holds else Mark.UNKNOWN if cell.verdict is Answer.UNKNOWN else Mark.WRONG for cell in cells
    }
    return next((mark.value for mark in (Mark.WRONG, Mark.UNKNOWN, Mark.HOLDS) if mark in marks), None)


def _with_static(cell: dict[str, Any], ruled: Sequence[Cell]) -> dict[str, Any]:
    """The same cell with what the rules say of each service, and of everything else."""
    rest = [one for one in ruled if one.service == EVERYTHING_ELSE]
    for service in cell["services"]:
        # What packets found at a port that no flow declares belongs to everything else.
        own = [one for one in ruled if (one.service, one.flow or None) == (service["name"], service["flow"])]
        service["static"] = _ruled_mark(own if service["flow"] else rest)
    cell["rest"] = _ruled_mark(rest)
    if cell["rest"] not in (None, Mark.HOLDS.value) and all(service["flow"] for service in cell["services"]):
        open_rest = _service(EVERYTHING_ELSE, [], "", None, ())
        cell["services"].append({**open_rest, "static": cell["rest"]})
    return cell


#: What the kinds of a static finding are called.
RULED = {
    "blocked": "by the rules blocked, though declared",
    "open": "by the rules open, undeclared",
    "never": "by the rules open, though never",
    "unknown": "the rules do not tell",
    "disagreement": "two ways to the same answer differ",
    "dead": "dead rule",
    "redundant": "redundant rule",
    "contradictory": "contradictory rules",
    "drift": "drift",
    "expired": "flow past its date",
    "capacity": "too slow a link",
    "route": "unknown route",
    "address": "unknown address",
    "missing": "host not read",
}


def _ruled_findings(static: Optional[Static]) -> list[dict[str, Any]]:
    """The static proof's findings, errors first."""
    ranks = list(Severity)
    return [
        {
            **_finding(
                f"static-{one.kind.value}",
                RULED[one.kind.value],
                "",
                printable(one.what, 1000),
                printable(one.remedy, 400),
            ),
            "severity": one.severity.value,
            "witness": ": ".join(filter(None, (printable(one.host), printable(one.witness, 400)))) or one.path,
            "cells": [list(cell) for cell in one.cells],
            "flow": printable(one.path),
            "hops": [f"{printable(hop.host)} {printable(hop.chain)}: {printable(hop.rule, 400)}" for hop in one.hops],
            "times": one.times,
        }
        for one in sorted(static.findings if static else (), key=lambda one: ranks.index(one.severity))
    ]


def _hosts(proof: Proof) -> dict[str, list[list[str]]]:
    return {name: [[leg.address, leg.place] for leg in host.legs] for name, host in sorted(proof.hosts.items())}


# -- findings and changes --------------------------------------------------------------------------------------------


def _findings(proof: Proof) -> list[dict[str, Any]]:
    """What is wrong, sorted by what it costs: {kind, title, from, to, cells, ports, where, witness, cause, remedy, flow}."""
    found = []
    homes = {leg.address: leg.place for host in proof.hosts.values() for leg in host.legs}
    places_by_host: dict[str, list[str]] = {}
    for name, host in proof.hosts.items():
        places_by_host[name] = list(dict.fromkeys(homes[leg.address] for leg in host.legs))
    for failure in failures(proof):
        found.append(
            {
                **_finding(failure.status.value, TITLES[failure.status], "", failure.cause, failure.remedy),
                "from": list(failure.sources),
                "to": list(failure.dests),
                "cells": _cells_of(failure.sources, failure.dests, places_by_host),
                "ports": list(failure.ports),
                "witness": f"{failure.sources[0]} → {failure.dests[0]} {failure.ports[0]}",
                "flow": failure.flow,
                "probes": failure.probes,
            }
        )
    for stray in stray_rules(proof):
        found.append(_finding("rule", "rule not as declared", f"{stray.host}: {stray.rule}", stray.cause, stray.remedy))
    for name, why in sorted(proof.missing.items()):
        found.append(_finding("missing", "host not proven", name, why, "make it reachable, and prove again"))
    return found + _findings_inside(proof)


def _findings_inside(proof: Proof) -> list[dict[str, Any]]:
    """What is wrong over the tailnet, and from inside containers: those that failed for one reason together."""
    found = []
    for plane, failed in (("tailnet", proof.tailnet), ("containers", proof.containers)):
        together: dict[tuple[Status, str, str, str], list[str]] = {}
        for probe in failed.failures if failed else ():
            key = probe.status, probe.source, probe.dest, probe.cause
            together.setdefault(key, []).append(f"{probe.port}/{probe.proto}")
        for (status, source, dest, cause), ports in together.items():
            title = f"{TITLES[status]}, {'over the tailnet' if plane == 'tailnet' else 'from a container'}"
            witness = f"{source} → {dest} {', '.join(dict.fromkeys(ports))}"
            found.append(_finding(status.value, title, witness, cause, "see the cause, correct it, and prove again"))
        for name, why in (failed.trouble if failed else {}).items():
            found.append(_finding("missing", "not proven", name, why, "make it reachable, and prove again"))
    return found


def _finding(kind: str, title: str, witness: str, cause: str, remedy: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "title": title,
        "from": [],
        "to": [],
        "cells": [],
        "ports": [],
        "witness": witness,
        "cause": cause,
        "remedy": remedy,
        "flow": "",
        "probes": 0,
        "severity": Severity.ERROR.value,
        "hops": [],
        "times": 1,
    }


def _cells_of(sources: Iterable[str], dests: Iterable[str], homes: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The cells that a finding belongs to, by its hosts."""
    starts, ends = (
        list(dict.fromkeys(place for text in texts for place in homes.get(text.partition(" ")[0], ())))
        for texts in (sources, dests)
    )
    return [[start, end] for start in starts for end in ends]


def changes(before: Mapping[str, Any], proof: Proof) -> dict[str, list[str]]:
    """What passes now and did not in the last proof, and the reverse, as "management → web: https".

    What only one of the two probed is in neither list.
    """
    old = _answers((p["from"], p["to"], p["proto"], p["port"], p["found"]) for p in before["probes"])
    new = _answers((one.source.place, one.dest.place, one.proto, one.port, one.found.value) for one in proof.verdicts)
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    for key in sorted(old.keys() & new.keys()):
        start, end, proto, port = key
        text = f"{start} → {end}: {service_name(proof.site, proto, port)}"
        opened[text] += new[key] and not old[key]
        closed[text] += old[key] and not new[key]
    return {"opened": [text for text in opened if opened[text]], "closed": [text for text in closed if closed[text]]}


def _answers(probes: Iterable[tuple[str, str, str, int, str]]) -> dict[tuple[str, str, str, int], bool]:
    """Whether any probe of a port between two places was let through."""
    found: dict[tuple[str, str, str, int], bool] = {}
    for start, end, proto, port, verdict in probes:
        key = start, end, proto, port
        found[key] = found.get(key, False) or verdict == "ALLOWED"
    return found


# -- what the page answers by itself ---------------------------------------------------------------------------------


def _ask(site: Site) -> dict[str, Any]:
    """The flows as spans of addresses: {ends: [{source, destination}], names: {name: {source, destination}},
    flows: [{path, text, limit, pairs: [[end, end]], ports: [[protocol, first, last]]}], never: the same}.

    A span is two hexadecimal numbers, on the line of addresses of site/subnets.py.
    """
    numbers: dict[Endpoint, int] = {}

    def flow_json(flow: Flow) -> dict[str, Any]:
        pairs = [
            [numbers.setdefault(pair.source, len(numbers)), numbers.setdefault(pair.destination, len(numbers))]
            for pair in flow.pairs
        ]
        ports = [[ports.proto, ports.first, ports.last] for ports in flow.all_ports]
        return {"path": flow.path, "text": str(flow), "limit": flow.limit, "pairs": pairs, "ports": ports}

    flows, never = [flow_json(flow) for flow in site.flows], [flow_json(flow) for flow in site.never]
    named = [Endpoint(TIER, tier.name, tier.subnets) for tier in site.tiers.values()]
    named += [Endpoint(ADDRESS, name, nets) for name, nets in site.addresses.items()]
    named += [Endpoint(GATEWAY, GATEWAY, tuple(site.legs)), Endpoint(INTERNET, INTERNET)]
    return {
        "ends": [_sides(site, end) for end in numbers],
        "names": {end.name: _sides(site, end) for end in named},
        "flows": flows,
        "never": never,
    }


def _sides(site: Site, end: Endpoint) -> dict[str, list[list[str]]]:
    """What an endpoint stands for as the source, and as the destination of a flow."""
    return {"source": _spans(source_spans(site, end)), "destination": _spans(destination_spans(site, end))}


def _spans(nets: Iterable[Net]) -> list[list[str]]:
    return [[f"{net.first:x}", f"{net.last:x}"] for net in nets]
