# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof as a person reads it, and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import CHANCE, GATEWAY, INTERNET
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import (
    ALLOWED,
    BLOCKED,
    DENIED,
    FAILURES,
    INCONCLUSIVE,
    MEND,
    MISDIRECTED,
    OPEN,
    strays,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS

WIDTH = 100
CORNER = "from \u2193  to \u2192"
MOST_SHOWN = 25  # failures in the terminal; the JSON has them all
TITLES = {
    OPEN: "open, undeclared",
    BLOCKED: "blocked, though declared",
    MISDIRECTED: "answered by the wrong host",
    INCONCLUSIVE: "inconclusive",
}
GOOD, BAD, HEAD, DIM = "green", "red", "bright blue", "bright gray"


@dataclass(frozen=True)
class Proof:
    """Everything that the report is made of.

    missing: {host: why it is not part of the proof}; each is a failure. why: {host: {(proto, port): why it is probed}}.
    """

    site: object
    hosts: dict
    verdicts: list
    why: dict
    missing: dict
    seed: str
    seconds: float

    @property
    def count(self):
        """How many probes there are of each status."""
        return Counter(verdict.status for verdict in self.verdicts)

    @property
    def holds(self):
        """Whether everything declared works, everything else is blocked, and all of it was probed."""
        return (
            bool(self.verdicts)
            and not self.missing
            and not stray_rules(self)
            and not any(self.count[status] for status in FAILURES)
        )


def report_lines(proof):
    """The report as [(line, color or None)], at most WIDTH columns wide."""
    lines = _matrix(proof) + [("", None)] + _answered(proof) + [("", None)] + _totals(proof)
    for block in (_failures(proof), _notes(proof)):
        if block:
            lines += [("", None)] + block
    return lines


def summary(proof):
    """One line: what it found."""
    wrong = sum(proof.count[status] for status in FAILURES)
    if proof.holds:
        return "The isolation holds: all {:,} probes found what the site declares.".format(len(proof.verdicts))
    parts = ["{:,} {}".format(proof.count[status], TITLES[status]) for status in FAILURES if proof.count[status]]
    parts += ["not probed: %s" % ", ".join(sorted(proof.missing))] if proof.missing else []
    rules = stray_rules(proof)
    parts += ["{:,} rule{} not as declared".format(len(rules), "" if len(rules) == 1 else "s")] if rules else []
    parts += [] if proof.verdicts else ["nothing was probed"]
    return "The isolation is not proven: {:,} of {:,} probes failed ({}).".format(
        wrong, len(proof.verdicts), "; ".join(parts)
    )


# The matrix


def _places(proof):
    return list(proof.site.tiers) + [GATEWAY, INTERNET]


def _matrix(proof):
    cells = {}
    for verdict in proof.verdicts:
        cells.setdefault((verdict.source.place, verdict.dest.place), Counter())[verdict.status] += 1
    places = _places(proof)
    label = max(len(place) for place in places + [CORNER]) + 1
    column = max([12] + [len(place) for place in places]) + 1
    lines = [("What was let through, by packets", HEAD)]
    for chunk in _chunks(places, max(1, (WIDTH - label) // column)):
        rows = [(place, [_cell(cells.get((place, other))) for other in chunk]) for place in places]
        rows = [row for row in rows if any(cells.get((row[0], other)) for other in chunk)]
        lines.append((("%-*s" % (label, CORNER) + "".join("%-*s" % (column, other) for other in chunk)).rstrip(), HEAD))
        for place, row in rows:
            for index in range(max(len(cell) for cell in row)):
                texts = [cell[index] if index < len(cell) else "" for cell in row]
                text = "%-*s" % (label, "" if index else place) + "".join("%-*s" % (column, text) for text in texts)
                lines.append((text.rstrip(), BAD if any("\u2717" in text for text in texts) else None))
    return lines


def _cell(count):
    """The lines of one cell."""
    if not count:
        return ["\u2013"]
    wrong = sum(count[status] for status in FAILURES)
    return ["{:,} open".format(count[ALLOWED]), "{:,} shut".format(count[DENIED])] + (
        ["\u2717 {:,} failed".format(wrong)] if wrong else []
    )


def _chunks(items, size):
    return [items[at : at + size] for at in range(0, len(items), size)]


# What answered


def _answered(proof):
    found, probed = {}, Counter()
    for verdict in proof.verdicts:
        key = verdict.source.place, verdict.dest.place
        probed[key] += 1
        if verdict.status == ALLOWED:
            found.setdefault(key, []).append(verdict)
    lines = [("What answered, as declared", HEAD)]
    places = _places(proof)
    width = max(len(place) for place in places)
    for key in sorted(found, key=lambda pair: (places.index(pair[0]), places.index(pair[1]))):
        text = _services(proof.site, found[key], len(found[key]) == probed[key])
        head = "%-*s \u2192 %-*s  " % (width, key[0], width, key[1])
        lines += [
            (line, None) for line in textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        ]
    return lines


def _services(site, answered, all_of_them):
    """The services of some probes, in the order of the declaration; what has no name goes by its port."""
    names = {service_name(site, verdict.proto, verdict.port) for verdict in answered}
    if all_of_them and not names <= set(site.services):
        return "every port that was probed ({:,})".format(len({(verdict.proto, verdict.port) for verdict in answered}))
    return ", ".join([name for name in site.services if name in names] + sorted(names - set(site.services)))


def service_name(site, proto, port):
    """The declared service that a port belongs to, else the port: "ssh" or "9999/tcp"."""
    for name, services in site.services.items():
        if any(ports.proto == proto and ports.first <= port <= ports.last for ports in services):
            return name
    return "%d/%s" % (port, proto)


# Totals


def _totals(proof):
    count = proof.count
    wrong = count[OPEN] + count[BLOCKED] + count[MISDIRECTED]
    text = "{:,} probes in {:.0f} s: {:,} allowed as declared, {:,} denied as declared, ".format(
        len(proof.verdicts), proof.seconds, count[ALLOWED], count[DENIED]
    ) + "{:,} wrong, {:,} inconclusive.".format(wrong, count[INCONCLUSIVE])
    lines = _wrapped(text, "", GOOD if proof.holds else BAD)
    by_chance = [verdict for verdict in proof.verdicts if _why(proof, verdict) == CHANCE]
    denied = sum(verdict.status == DENIED for verdict in by_chance)
    if denied and not any(verdict.status in FAILURES for verdict in by_chance):
        lines += _wrapped(
            "{:,} of those denied were at ports drawn by chance (seed {}), and not one got through: with 95\u00a0% "
            "confidence at most {:.2g}\u00a0% of such flows are open (3/n).".format(denied, proof.seed, 300.0 / denied),
            "",
            None,
        )
    services = {
        name for name, all_ports in proof.site.services.items() if any(ports.proto in WITH_PORTS for ports in all_ports)
    }
    probed = {(verdict.proto, verdict.port) for verdict in proof.verdicts}
    covered = sum(
        all(
            (ports.proto, end) in probed
            for ports in proof.site.services[name]
            if ports.proto in WITH_PORTS
            for end in (ports.first, ports.last)
        )
        for name in services
    )
    pairs = {(verdict.source.host, verdict.dest.host) for verdict in proof.verdicts}
    lines.append(
        (
            "Covered: {} of {} declared services, {} pairs of {} hosts, IPv4.".format(
                covered, len(proof.site.services), len(pairs), len(proof.hosts)
            ),
            None,
        )
    )
    return lines


def _why(proof, verdict):
    return proof.why.get(verdict.dest.host, {}).get((verdict.proto, verdict.port), "")


# Failures


def failures(proof):
    """Probes that failed for the same reason, together: [{status, from, to, ports, probes, flow, cause, remedy}], worst
    first."""
    groups = {}
    for verdict in proof.verdicts:
        if verdict.status in FAILURES:
            flow = "%s: %s" % (verdict.flow.path, verdict.flow) if verdict.flow else ""
            key = FAILURES.index(verdict.status), verdict.dest.host, verdict.cause, flow, verdict.remedy
            groups.setdefault(key, []).append(verdict)
    return [
        {
            "status": FAILURES[key[0]],
            "from": sorted({_where(verdict.source) for verdict in group}),
            "to": sorted({_where(verdict.dest) for verdict in group}),
            "ports": list(
                dict.fromkeys(
                    _port(proof.site, verdict)
                    for verdict in sorted(group, key=lambda verdict: (verdict.port, verdict.proto))
                )
            ),
            "found": sorted({verdict.found for verdict in group}),
            "probes": len(group),
            "flow": key[3],
            "cause": key[2],
            "remedy": key[4],
        }
        for key, group in sorted(groups.items())
    ]


def _where(leg):
    """A host, with the address where it has several of them."""
    return "%s (%s)" % (leg.host, leg.address) if leg.place in (GATEWAY, INTERNET) else leg.host


def _port(site, verdict):
    port, name = "%d/%s" % (verdict.port, verdict.proto), service_name(site, verdict.proto, verdict.port)
    return port if name == port else "%s (%s)" % (port, name)


def _failures(proof):
    lines = [("\u2717 not probed: %s: %s" % item, BAD) for item in sorted(proof.missing.items())]
    found = failures(proof)
    for failure in found[:MOST_SHOWN]:
        head = "\u2717 %s: %s \u2192 %s  %s" % (
            TITLES[failure["status"]],
            _some(failure["from"]),
            _some(failure["to"]),
            _some(failure["ports"], 8),
        )
        lines += _wrapped(head, "", BAD)
        if failure["flow"]:
            lines += _wrapped("declared by %s" % failure["flow"], "    ", None)
        seen = "" if failure["status"] in (OPEN, INCONCLUSIVE, MISDIRECTED) else "%s: " % ", ".join(failure["found"])
        lines += _wrapped(seen + failure["cause"], "    ", None)
        lines += _wrapped("\u2192 " + failure["remedy"], "    ", None)
    rules = stray_rules(proof)
    for stray in rules[:MOST_SHOWN]:
        lines += _wrapped("\u2717 rule not as declared: %(host)s's `%(rule)s`" % stray, "", BAD)
        lines += _wrapped("%(cause)s" % stray, "    ", None) + _wrapped("\u2192 %(remedy)s" % stray, "    ", None)
    if len(rules) > MOST_SHOWN:
        lines.append(("and %d more such rules" % (len(rules) - MOST_SHOWN), BAD))
    if len(found) > MOST_SHOWN:
        lines.append(("and %d more; the JSON report has them all" % (len(found) - MOST_SHOWN), BAD))
    return lines


def stray_rules(proof):
    """Differences between the live rules and the site's that no failed probe tells of: [{host, rule, cause, remedy}].

    A rule for a source that nobody here has opens a flow as well, and one layer of two may be gone while the other
    still holds.
    """
    told = {verdict.cause for verdict in proof.verdicts if verdict.status in FAILURES}
    found = []
    for name, host in sorted(proof.hosts.items()):
        for rules, cause in zip(strays(host), ("the site does not declare it", "it is missing")):
            found += [
                {
                    "host": name,
                    "rule": rule,
                    "cause": cause + ", though no probe from these hosts shows it",
                    "remedy": MEND,
                }
                for rule in rules
                if not any(name in text and "`%s`" % rule in text for text in told)
            ]
    return found


def _some(items, most=5):
    return ", ".join(items[:most]) + (" and %d more" % (len(items) - most) if len(items) > most else "")


def _wrapped(text, indent, color):
    return [
        (line, color)
        for line in textwrap.wrap(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def notes(proof):
    """What a person should know beside the verdicts."""
    found = []
    for name, host in sorted(proof.hosts.items()):
        if not host.hears:
            found.append(
                "%s's listener may not see packets (it needs CAP_NET_RAW): less is known of where a packet ends" % name
            )
        if host.lost:
            found.append(
                "%s's listener lost %d packets, as it could not keep up: probes may be inconclusive for that"
                % (name, host.lost)
            )
    without = sorted(
        {str(ports) for services in proof.site.services.values() for ports in services if ports.proto not in WITH_PORTS}
    )
    if without:
        found.append("not probed, as they have no ports: %s" % ", ".join(without))
    return found


def _notes(proof):
    return [line for note in notes(proof) for line in _wrapped("note: " + note, "", DIM)]


# JSON


def report_json(proof):
    """The whole proof as plain values, every probe included."""
    return {
        "holds": proof.holds,
        "summary": summary(proof),
        "seed": proof.seed,
        "seconds": round(proof.seconds, 1),
        "totals": dict(proof.count, probes=len(proof.verdicts)),
        "hosts": {
            name: [{"address": leg.address, "place": leg.place} for leg in host.legs]
            for name, host in sorted(proof.hosts.items())
        },
        "missing": proof.missing,
        "failures": failures(proof),
        "rules": stray_rules(proof),
        "notes": notes(proof),
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
                "found": verdict.found,
                "status": verdict.status,
                "ended": verdict.ended,
                "detail": verdict.detail,
            }
            for verdict in proof.verdicts
        ],
    }
