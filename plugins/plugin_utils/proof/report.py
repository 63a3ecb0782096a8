# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof as a person reads it, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import ContainersProof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import Choice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import (
    CHANCE,
    GATEWAY,
    INTERNET,
    LIMITED_CONNECTIONS,
    Leg,
    Port,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import APPLY, Host, Judged, strays
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import FAILURES, Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import TailnetProof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import (
    BAD,
    DIM,
    GOOD,
    HEAD,
    Line,
    count,
    some,
    wrap,
)

WIDTH = 100
CORNER = "from \u2193  to \u2192"
#: Failures in the terminal; the JSON has them all.
MOST_SHOWN = 25
#: Pairs of places between which something answered, in the terminal.
MOST_PAIRS = 400
TITLES = {
    Status.OPEN: "open, undeclared",
    Status.BLOCKED: "blocked, though declared",
    Status.MISDIRECTED: "answered by the wrong host",
    Status.INCONCLUSIVE: "inconclusive",
}
#: Failures whose cause says what was found.
PLAIN = (Status.OPEN, Status.INCONCLUSIVE, Status.MISDIRECTED)


@dataclass(frozen=True)
class Proof:
    """Everything that the report is made of.

    missing: {host: why the proof cannot vouch for it}; each is a failure. left_out: hosts of the inventory that this run
    was told to leave out, limit: by which --limit. why: {host: {(proto, port): why it is probed}}. remarks: what a
    person should know of the inventory. packets: whether any were to be sent; without them the rules alone prove.
    """

    site: Site
    hosts: Mapping[str, Host]
    verdicts: Sequence[Judged]
    why: Mapping[str, Mapping[Port, str]]
    missing: Mapping[str, str]
    seed: str
    seconds: float
    left_out: Sequence[str] = ()
    limit: str = ""
    remarks: Sequence[str] = field(default=())
    tailnet: Optional[TailnetProof] = None
    containers: Optional[ContainersProof] = None
    choice: Optional[Choice] = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    packets: bool = True

    @property
    def count(self) -> Counter[Status]:
        """How many probes there are of each status."""
        return Counter(verdict.status for verdict in self.verdicts)

    @property
    def holds(self) -> bool:
        """Whether everything declared works, everything else is blocked, and all of it was probed."""
        return (
            bool(self.verdicts or not self.packets)
            and not self.missing
            and not stray_rules(self)
            and not any(self.count[status] for status in FAILURES)
            and (self.tailnet is None or self.tailnet.holds)
            and (self.containers is None or self.containers.holds)
        )


class Failure(NamedTuple):
    """Probes that failed for the same reason."""

    status: Status
    sources: tuple[str, ...]
    dests: tuple[str, ...]
    ports: tuple[str, ...]
    found: tuple[str, ...]
    probes: int
    flow: str
    cause: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}
        return {"status": self.status.value, "from": found.pop("sources"), "to": found.pop("dests"), **found}


class StrayRule(NamedTuple):
    """A live rule that is not as declared, though no failed probe tells of it."""

    host: str
    rule: str
    cause: str
    remedy: str


def report_lines(proof: Proof) -> list[Line]:
    """The report as lines of at most WIDTH columns."""
    if not proof.packets:
        return [*_wrapped(summary(proof), "", None if proof.holds else BAD), *_notes(proof)]
    lines = [*_matrix(proof), ("", None), *_answered(proof), ("", None), *_totals(proof)]
    for block in (_tailnet(proof), _containers(proof), _failures(proof), _notes(proof)):
        if block:
            lines += [("", None), *block]
    return lines


def summary(proof: Proof) -> str:
    """One line: what it found."""
    wrong = sum(proof.count[status] for status in FAILURES)
    partial = f" Partial: {_left_out(proof)}." if proof.left_out else ""
    if not proof.packets:
        missing = f" Nothing is proven about {some(sorted(proof.missing))}." if proof.missing else ""
        return f"No packet was sent: nothing is said of the tailnet, of containers, or of rules that a host hides.{missing}{partial}"
    if proof.holds:
        where = f"between the {count(len(proof.hosts), 'host')} of this run: " if partial else ": "
        return (
            f"The isolation holds{' ' if partial else ''}{where}all {len(proof.verdicts):,} probes found what the site "
            f"declares.{partial}"
        )
    parts = [f"{proof.count[status]:,} {TITLES[status]}" for status in FAILURES if proof.count[status]]
    parts += [f"nothing is proven about {some(sorted(proof.missing))}"] if proof.missing else []
    rules = stray_rules(proof)
    parts += [f"{count(len(rules), 'rule')} not as declared"] if rules else []
    parts += [] if proof.verdicts else ["nothing was probed"]
    parts += ["the tailnet is not as declared"] if proof.tailnet and not proof.tailnet.holds else []
    parts += ["containers reach what is not as declared"] if proof.containers and not proof.containers.holds else []
    return f"The isolation is not proven: {wrong:,} of {len(proof.verdicts):,} probes failed ({'; '.join(parts)}).{partial}"


def _left_out(proof: Proof) -> str:
    """Which hosts of the inventory this run was told to leave out."""
    by = f"by --limit {proof.limit}" if proof.limit else "by the play's hosts"
    return f"{count(len(proof.left_out), 'host')} of the inventory left out {by} ({some(sorted(proof.left_out))})"


# The matrix


def _places(proof: Proof) -> list[str]:
    return [*proof.site.tiers, GATEWAY, INTERNET]


def _matrix(proof: Proof) -> list[Line]:
    cells: dict[tuple[str, str], Counter[Status]] = {}
    for verdict in proof.verdicts:
        cells.setdefault((verdict.source.place, verdict.dest.place), Counter())[verdict.status] += 1
    places = _places(proof)
    label = max(len(place) for place in [*places, CORNER]) + 1
    column = max([12, *(len(place) for place in places)]) + 1
    lines: list[Line] = [("What was let through, by packets", HEAD)]
    size = max(1, (WIDTH - label) // column)
    for chunk in (places[at : at + size] for at in range(0, len(places), size)):
        rows = [(place, [_cell(cells.get((place, other))) for other in chunk]) for place in places]
        rows = [row for row in rows if any(cells.get((row[0], other)) for other in chunk)]
        head = CORNER.ljust(label) + "".join(other.ljust(column) for other in chunk)
        lines.append((head.rstrip(), HEAD))
        for place, row in rows:
            for index in range(max(len(cell) for cell in row)):
                texts = [cell[index] if index < len(cell) else "" for cell in row]
                line = ("" if index else place).ljust(label) + "".join(text.ljust(column) for text in texts)
                lines.append((line.rstrip(), BAD if any("\u2717" in text for text in texts) else None))
    return lines


def _cell(found: Optional[Counter[Status]]) -> list[str]:
    """The lines of one cell."""
    if not found:
        return ["\u2013"]
    wrong = sum(found[status] for status in FAILURES)
    lines = [f"{found[Status.ALLOWED]:,} open", f"{found[Status.DENIED]:,} shut"]
    lines += [f"{found[Status.LIMITED]:,} limited"] if found[Status.LIMITED] else []
    return [*lines, f"\u2717 {wrong:,} failed"] if wrong else lines


# What answered


def _answered(proof: Proof) -> list[Line]:
    found: dict[tuple[str, str], list[Judged]] = {}
    probed: Counter[tuple[str, str]] = Counter()
    for verdict in proof.verdicts:
        key = verdict.source.place, verdict.dest.place
        probed[key] += 1
        if verdict.status is Status.ALLOWED:
            found.setdefault(key, []).append(verdict)
    lines: list[Line] = [("What answered, as declared", HEAD)]
    places = _places(proof)
    width = max(len(place) for place in places)
    pairs = sorted(found, key=lambda pair: (places.index(pair[0]), places.index(pair[1])))
    for key in pairs[:MOST_PAIRS]:
        text = _services(proof.site, found[key], len(found[key]) == probed[key])
        head = f"{key[0]:{width}} \u2192 {key[1]:{width}}  "
        lines += [(line, None) for line in wrap(text, WIDTH, head, " " * len(head))]
    if len(pairs) > MOST_PAIRS:
        lines.append((f"and between {len(pairs) - MOST_PAIRS:,} more pairs of places, in the report", None))
    return lines


def _services(site: Site, answered: Sequence[Judged], all_of_them: bool) -> str:
    """The services of some probes, in the order of the declaration; what has no name goes by its port."""
    names = {service_name(site, verdict.proto, verdict.port) for verdict in answered}
    if all_of_them and not names <= set(site.services):
        return f"every port that was probed ({len({(verdict.proto, verdict.port) for verdict in answered}):,})"
    return ", ".join([*(name for name in site.services if name in names), *sorted(names - set(site.services))])


def service_name(site: Site, proto: str, port: int) -> str:
    """The declared service that a port belongs to, else the port: "ssh" or "9999/tcp"."""
    for name, services in site.services.items():
        if any(ports.proto == proto and ports.first <= port <= ports.last for ports in services):
            return name
    return f"{port}/{proto}"


# The tailnet


def _tailnet(proof: Proof) -> list[Line]:
    """What was found over the tailnet, where the site has one."""
    if proof.tailnet is None:
        return []
    lines: list[Line] = [("Over the tailnet", HEAD)]
    for text in proof.tailnet.lines():
        lines += _wrapped(text, "  ", GOOD if proof.tailnet.holds else BAD)
    return lines


def _containers(proof: Proof) -> list[Line]:
    """What was found from inside the containers, where the site has networks for them."""
    lines = proof.containers.lines() if proof.containers else []
    color = GOOD if proof.containers and proof.containers.holds else BAD
    shown = [line for text in lines for line in _wrapped(text, "  ", DIM if text.startswith("not covered") else color)]
    return [("From inside the containers", HEAD), *shown] if shown else []


# Totals


def _totals(proof: Proof) -> list[Line]:
    found = proof.count
    wrong = found[Status.OPEN] + found[Status.BLOCKED] + found[Status.MISDIRECTED]
    text = (
        f"{len(proof.verdicts):,} probes in {proof.seconds:.0f} s: {found[Status.ALLOWED]:,} allowed as declared, "
        f"{found[Status.DENIED]:,} denied as declared, {_limited(found)}{wrong:,} wrong, "
        f"{found[Status.INCONCLUSIVE]:,} inconclusive."
    )
    lines = _wrapped(text, "", GOOD if proof.holds else BAD)
    by_chance = [verdict for verdict in proof.verdicts if _why(proof, verdict) == CHANCE]
    denied = sum(verdict.status is Status.DENIED for verdict in by_chance)
    if denied and not any(verdict.status in FAILURES for verdict in by_chance):
        lines += _wrapped(
            f"{denied:,} of those denied were at ports drawn by chance (seed {proof.seed}), and not one got through: with "
            f"95\u00a0% confidence at most {300.0 / denied:.2g}\u00a0% of such flows are open (3/n).",
            "",
            None,
        )
    lines += [line for text in _coverage(proof) for line in _wrapped(text, "", None)]
    if proof.left_out:
        lines += _wrapped(f"Partial: {_left_out(proof)}; nothing is proven about them.", "", BAD)
    return lines


def coverage(proof: Proof) -> dict[str, int]:
    """What was probed, and of how much: services, pairs of hosts that can be probed, and flows (a source, a destination and a
    port), each beside its total in a proof from each host to each."""
    by_pair = Counter((verdict.source.host, verdict.dest.host) for verdict in proof.verdicts)
    # The pairs of two kinds have as many flows as the one of them that was probed whole.
    most: dict[tuple[str, str], int] = {}
    for (source, dest), number in by_pair.items():
        key = proof.kinds.get(source, source), proof.kinds.get(dest, dest)
        most[key] = max(most.get(key, 0), number)
    sizes = Counter(proof.kinds.get(name, name) for name in proof.hosts)
    sizes_of = {key: sizes[key[0]] * (sizes[key[1]] - (key[0] == key[1])) for key in most}
    return {
        "services": _covered(proof),
        "services_total": len(proof.site.services),
        "pairs": len(by_pair),
        "pairs_total": max(len(by_pair), sum(sizes_of.values())),
        "flows": len(proof.verdicts),
        "flows_total": max(len(proof.verdicts), sum(most[key] * size for key, size in sizes_of.items())),
        "kinds": len(sizes),
    }


def _coverage(proof: Proof) -> list[str]:
    """The same in words, with the bound of what was not probed."""
    found = coverage(proof)
    lines = [
        f"Covered: {found['services']} of {found['services_total']} declared services, {found['pairs']:,} of "
        f"{found['pairs_total']:,} pairs of {len(proof.hosts)} hosts, {_versions(proof)}."
    ]
    if proof.choice is not None and not proof.choice.is_full:
        wrong = any(proof.count[status] for status in FAILURES)
        sampled = sum((one.source.host, one.dest.host) in proof.choice.few for one in proof.verdicts)
        bound = (
            f"; none of {sampled:,} drawn by chance between them is wrong, so at most {300.0 / sampled:.2g}\u00a0% of those "
            "not probed are (95\u00a0%, 3/n)"
            if sampled and not wrong
            else ""
        )
        lines.append(
            f"By {found['kinds']} kinds of hosts that are alike: {found['flows']:,} of {found['flows_total']:,} flows{bound}. All of "
            "them: -e prove_coverage=full."
        )
    return lines


def _limited(found: Counter[Status]) -> str:
    return f"{found[Status.LIMITED]:,} refused by a declared limit, " if found[Status.LIMITED] else ""


def _covered(proof: Proof) -> int:
    """How many services were probed at both ends of each of their ranges."""
    probed = {(verdict.proto, verdict.port) for verdict in proof.verdicts}
    ends = {
        name: {
            (ports.proto, end) for ports in services if ports.proto in WITH_PORTS for end in (ports.first, ports.last)
        }
        for name, services in proof.site.services.items()
    }
    return sum(bool(wanted) and wanted <= probed for wanted in ends.values())


def _versions(proof: Proof) -> str:
    """The IP versions, each with its probes where there are both."""
    found = Counter(verdict.dest.version for verdict in proof.verdicts)
    if len(found) < 2:
        return " and ".join(f"IPv{version}" for version in found) or "no IP version"
    return " and ".join(f"IPv{version} ({found[version]:,} probes)" for version in sorted(found))


def _why(proof: Proof, verdict: Judged) -> str:
    return proof.why.get(verdict.dest.host, {}).get((verdict.proto, verdict.port), "")


# Failures


def failures(proof: Proof) -> list[Failure]:
    """Probes that failed for the same reason, together, worst first."""
    groups: dict[tuple[int, str, str, str, str], list[Judged]] = {}
    for verdict in proof.verdicts:
        if verdict.status in FAILURES:
            flow = f"{verdict.flow.path}: {verdict.flow}" if verdict.flow else ""
            key = FAILURES.index(verdict.status), verdict.dest.host, verdict.cause, flow, verdict.remedy
            groups.setdefault(key, []).append(verdict)
    return [
        Failure(
            status=FAILURES[rank],
            sources=tuple(sorted({_where(verdict.source) for verdict in group})),
            dests=tuple(sorted({_where(verdict.dest) for verdict in group})),
            ports=_ports(proof.site, group),
            found=tuple(sorted({verdict.found.value for verdict in group})),
            probes=len(group),
            flow=flow,
            cause=cause,
            remedy=remedy,
        )
        for (rank, _host, cause, flow, remedy), group in sorted(groups.items())
    ]


def _where(leg: Leg) -> str:
    """A host, with the address where it has several of them, and where that is one of IPv6."""
    return f"{leg.host} ({leg.address})" if leg.place in (GATEWAY, INTERNET) or leg.version == 6 else leg.host


def _ports(site: Site, group: Iterable[Judged]) -> tuple[str, ...]:
    in_order = sorted(group, key=lambda verdict: (verdict.port, verdict.proto))
    return tuple(dict.fromkeys(_port(site, verdict) for verdict in in_order))


def _port(site: Site, verdict: Judged) -> str:
    port, name = f"{verdict.port}/{verdict.proto}", service_name(site, verdict.proto, verdict.port)
    return port if name == port else f"{port} ({name})"


def _failures(proof: Proof) -> list[Line]:
    lines: list[Line] = []
    alike: dict[str, list[str]] = {}
    for host, why in sorted(proof.missing.items()):
        alike.setdefault(why, []).append(host)
    for why, hosts in list(alike.items())[:MOST_SHOWN]:
        lines += _wrapped(f"\u2717 inconclusive: host{'s' * (len(hosts) > 1)} {some(hosts)}: {why}", "", BAD)
    if len(alike) > MOST_SHOWN:
        hidden = sum(len(hosts) for hosts in list(alike.values())[MOST_SHOWN:])
        lines.append((f"and {hidden:,} more such hosts; the JSON report has them all", BAD))
    found = failures(proof)
    for failure in found[:MOST_SHOWN]:
        ends = f"{some(failure.sources)} \u2192 {some(failure.dests)}"
        lines += _wrapped(f"\u2717 {TITLES[failure.status]}: {ends}  {some(failure.ports, 8)}", "", BAD)
        if failure.flow:
            lines += _wrapped(f"declared by {failure.flow}", "    ", None)
        seen = "" if failure.status in PLAIN else f"{', '.join(failure.found)}: "
        lines += _wrapped(f"{seen}{failure.cause}", "    ", None)
        lines += _wrapped(f"\u2192 {failure.remedy}", "    ", None)
    rules = stray_rules(proof)
    for stray in rules[:MOST_SHOWN]:
        lines += _wrapped(f"\u2717 rule not as declared: {stray.host}'s `{stray.rule}`", "", BAD)
        lines += _wrapped(stray.cause, "    ", None) + _wrapped(f"\u2192 {stray.remedy}", "    ", None)
    if len(rules) > MOST_SHOWN:
        lines.append((f"and {len(rules) - MOST_SHOWN:,} more such rules", BAD))
    if len(found) > MOST_SHOWN:
        lines.append((f"and {len(found) - MOST_SHOWN:,} more; the JSON report has them all", BAD))
    return lines


#: The remedy where a host has a rule more than the site.
REMOVE = "declare a flow for it, or run site.yml, which removes it unless firewall_purge is false for the host"


def stray_rules(proof: Proof) -> list[StrayRule]:
    """Differences between the live rules and the site's that no failed probe tells of.

    A rule for a source that is none of these hosts opens a flow as well, and one layer of two may be gone while the
    other still holds.
    """
    told = {verdict.cause for verdict in proof.verdicts if verdict.status in FAILURES}
    found = []
    for name, host in sorted(proof.hosts.items()):
        more, less = strays(host)
        for rules, cause, remedy in ((more, "the site does not declare it", REMOVE), (less, "it is missing", APPLY)):
            found += [
                StrayRule(name, rule, f"{cause}, though no probe from these hosts shows it", remedy)
                for rule in rules
                if not any(name in text and f"`{rule}`" in text for text in told)
            ]
    return found


def _wrapped(text: str, indent: str, color: Optional[str]) -> list[Line]:
    return [(line, color) for line in wrap(text, WIDTH, indent, f"{indent}  ")]


def notes(proof: Proof) -> list[str]:
    """What a person should know in addition to the verdicts."""
    found = list(proof.remarks)
    if not proof.packets:
        return found
    deaf = [name for name, host in sorted(proof.hosts.items()) if not host.hears]
    if deaf:
        found.append(
            f"the listener of {some(deaf)} may not see packets (it needs CAP_NET_RAW): less is known of where a packet ends"
        )
    lost = {
        name: host.lost + host.lost_wire for name, host in sorted(proof.hosts.items()) if host.lost + host.lost_wire
    }
    if lost:
        found.append(
            f"the listener of {some(list(lost))} could not keep up and lost {count(sum(lost.values()), 'packet')}: probes may be "
            "inconclusive for that"
        )
    limited = [flow.path for flow in proof.site.flows if flow.limit]
    if limited:
        found.append(
            f"{some(limited)}: of ports with a limit, so many are probed that no source opens more than "
            f"{LIMITED_CONNECTIONS} connections, drawn by the seed"
        )
    without = sorted(
        {str(ports) for services in proof.site.services.values() for ports in services if ports.proto not in WITH_PORTS}
    )
    if without:
        found.append(f"not probed, as they have no ports: {', '.join(without)}")
    return found


def _notes(proof: Proof) -> list[Line]:
    return [line for note in notes(proof) for line in _wrapped(f"note: {note}", "", DIM)]


# JSON


def report_json(proof: Proof) -> dict[str, Any]:
    """The whole proof as plain values, every probe included."""
    return {
        "holds": proof.holds,
        "partial": bool(proof.left_out),
        "packets": proof.packets,
        "summary": summary(proof),
        "seed": proof.seed,
        "seconds": round(proof.seconds, 1),
        "totals": {**totals(proof), "probes": len(proof.verdicts)},
        "coverage": coverage(proof),
        "hosts": {
            name: [{"address": leg.address, "place": leg.place} for leg in host.legs]
            for name, host in sorted(proof.hosts.items())
        },
        "missing": dict(proof.missing),
        "left_out": sorted(proof.left_out),
        "limit": proof.limit,
        "failures": [failure.to_dict() for failure in failures(proof)],
        "rules": [stray._asdict() for stray in stray_rules(proof)],
        "notes": notes(proof),
        **({"tailnet": proof.tailnet.to_dict()} if proof.tailnet else {}),
        **({"containers": proof.containers.to_dict()} if proof.containers else {}),
        "probes": [
            {
                "from": verdict.source.place,
                "source_host": verdict.source.host,
                "source": verdict.source.address,
                "to": verdict.dest.place,
                "dest_host": verdict.dest.host,
                "dest": verdict.dest.address,
                "proto": verdict.proto,
                "port": verdict.port,
                "why": _why(proof, verdict),
                "declared": verdict.flow.path if verdict.flow else None,
                "found": verdict.found.value,
                "status": verdict.status.value,
                "ended": verdict.ended,
                "detail": verdict.detail,
            }
            for verdict in proof.verdicts
        ],
    }


def totals(proof: Proof) -> dict[str, int]:
    """How many probes there are of each status that was found, as plain values."""
    return {status.value: number for status, number in proof.count.items()}
