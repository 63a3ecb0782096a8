# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hundred mutations of a converged site, each of which the static proof has to find, with its host and its cause, and to which
real packets have to agree; on the untouched site it finds nothing.

    PYTHONPATH=.venv/collections:tests/support .venv/bin/python tests/fault/proof_mutations.py [--only TEXT] [--sample N]

Needs root: the site is made of network namespaces (tests/support/static_netns.py), the mutations are in tests/support/mutations.py.
"""

from __future__ import annotations

import argparse
import sys
import time

from mutations import mutations
from static_netns import PORTS, Site

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import PORT
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Kind, Severity


def errors(static):
    return [finding for finding in static.findings if finding.severity is Severity.ERROR]


def faults(site, one):
    """What is wrong with what the proof says of a mutation; "" where nothing is."""
    static = site.prove()
    found = errors(static) or [finding for finding in static.findings if finding.severity is Severity.WARNING]
    if not found:
        return "not found"
    told = [
        finding for finding in found if finding.host == one.host or any(hop.host == one.host for hop in finding.hops)
    ]
    if not told:
        return f"found, and {one.host} is not named: {[finding.what for finding in found]}"
    if not any(one.cause in f"{finding.what} {finding.hops}" for finding in told):
        return f"found, and {one.cause!r} is not named: {[finding.what for finding in told]}"
    return disagreement(site, static)


def disagreement(site, static):
    """Witnesses that a real packet does not bear out."""
    known = {**site.addresses(4), **site.addresses(6)}
    expected = {}
    for finding in static.findings:
        if finding.kind is Kind.DISAGREEMENT:
            return finding.what
        if finding.kind in (Kind.OPEN, Kind.NEVER, Kind.BLOCKED) and finding.asked is not None:
            asked = finding.asked
            sent = asked.proto == "tcp" and asked.source_port == PORT and asked.port in PORTS
            moved = any(hop.chain.startswith("nat ") for hop in finding.hops)
            if sent and not moved and {asked.source, asked.destination} <= known.keys():
                expected[asked.source, asked.destination, asked.port] = finding.kind is not Kind.BLOCKED
    wrong = site.disagreements(expected)
    return f"the kernel says otherwise of {wrong}" if wrong else ""


def mutated(site, one):
    """Make it, see what is found, and take it back."""
    try:
        for command in one.do:
            site.exec(one.host, *command.split())
        site.read(one.host)
        return faults(site, one)
    finally:
        for command in one.undo:
            site.exec(one.host, *command.split())
        site.converge(one.host)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a part of the name")
    parser.add_argument("--sample", type=int, default=1, help="every Nth of them")
    options = parser.parse_args()
    chosen = [one for one in mutations() if options.only in one.name][:: options.sample]
    missed = 0
    with Site("pm").running() as site:
        site.converge()
        begun = time.monotonic()
        clean = site.prove()
        print(
            f"untouched: {len(clean.findings)} findings, {sum(cell.holds for cell in clean.cells)} of {len(clean.cells)} cells as declared"
        )
        missed += bool(clean.findings) or not all(cell.holds for cell in clean.cells)
        for one in chosen:
            why = mutated(site, one)
            missed += bool(why)
            print(f"{'MISSED' if why else 'found '} {one.name}{f': {why}' if why else ''}", flush=True)
        missed += bool(site.prove().findings)
        print(f"{len(chosen)} mutations, {missed} missed, {time.monotonic() - begun:.0f} s")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
