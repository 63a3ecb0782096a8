# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the rules of a fleet are proven, beside the targets: a site of 50 tiers and 500 flows with 10,000 hosts, compiled, read as
the hosts would return it, and proven; and the dead rules of 10,000.

    PYTHONPATH=.venv/collections:tests/support:tests/benchmark .venv/bin/python tests/benchmark/static_proof.py [--hosts 10000]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from datetime import date

from declaration import large
from static_sites import answer

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import dead_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Question
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_texts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import prove

TIERS, FLOWS = 50, 500
#: Seconds, and MiB.
TARGET, MEMORY, DEAD_TARGET = 10.0, 1024, 1.0


def compile_all(site):
    """{tier, or "" for the router: [its rules of IPv4, of IPv6]}"""
    plans = {tier: host_plan(site, "any", (tier,), False) for tier in site.tiers}
    plans[""] = host_plan(site, "any", (), True)
    return {name: list(planned_texts(plan).values()) for name, plan in plans.items()}


def answers(site, hosts, texts):
    """({host: member}, {host: what it returns}), of hosts spread over the tiers, and a router."""
    members, said = {}, {}
    names = list(site.tiers)
    for number in range(hosts):
        tier = names[number % len(names)]
        name = f"h{number}"
        members[name] = Member(name, Part.TIER, (tier,))
        subnet = str(site.tiers[tier].subnets[0]).partition("/")[0].rpartition(".")[0]
        last = 10 + number // len(names)
        said[name] = answer({"eth0": [f"{subnet}.{last}/24"]}, [f"{subnet}.1"], texts[tier])
    legs = {f"leg{number}": [f"{tier.gateways[0]}/24"] for number, tier in enumerate(site.tiers.values())}
    members["router"] = Member("router", Part.GATEWAY, (), True)
    said["router"] = answer({**legs, "out": ["198.51.100.2/24"]}, ["198.51.100.1"], texts[""], "1")
    return members, said


def dead(count):
    """Rules of an INPUT chain, some of them dead."""
    draw = random.Random(1)
    lines = ["*filter", ":INPUT DROP [0:0]"]
    for _number in range(count):
        net = f"10.{draw.randrange(8)}.{draw.randrange(256)}.0/{draw.choice((24, 24, 24, 20, 16))}"
        lines.append(
            f"-A INPUT -s {net} -p tcp -m tcp --dport {draw.randrange(1, 3000)} -j {draw.choice(('ACCEPT', 'DROP'))}"
        )
    return parse("\n".join([*lines, "COMMIT", ""]), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=10000)
    options = parser.parse_args()
    begun, busy = time.perf_counter(), time.process_time()
    site = parse_site(large(TIERS, FLOWS), date(2026, 1, 1))
    texts = compile_all(site)
    compiled, busy = time.perf_counter() - begun, time.process_time() - busy
    members, said = answers(site, options.hosts, texts)
    begun, busy = time.perf_counter(), time.process_time() - busy
    nodes = {name: read_node(name, one) for name, one in said.items()}
    read = time.perf_counter() - begun
    static = prove(site, members, nodes)
    proven = time.perf_counter() - begun - read
    busy = time.process_time() - busy
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{TIERS} tiers, {FLOWS} flows, {options.hosts:,} hosts in {static.groups} groups, {len(static.cells):,} cells"
    )
    whole = compiled + read + proven
    print(f"compiled {compiled:.2f} s, the hosts' answers read {read:.2f} s, proven {proven:.2f} s")
    # By the processor's time: what others do on the machine is no matter of the proof.
    missed = [busy > TARGET, mib > MEMORY]
    print(
        f"together {busy:.2f} s of the processor, {whole:.2f} s by the clock (target {TARGET:g} s), {mib:.0f}"
        f" MiB (target {MEMORY} MiB){'  MISSED' if any(missed) else ''}"
    )
    wrong = [cell for cell in static.cells if not cell.holds]
    errors = {finding.kind.value for finding in static.findings}
    print(f"{len(wrong)} cells not as declared, findings: {sorted(errors) or 'none'}")
    ruleset = dead(10000)
    begun = time.process_time()
    found = dead_rules(ruleset, Question("INPUT", "NEW", EVERY))
    seconds = time.process_time() - begun
    missed.append(seconds > DEAD_TARGET)
    print(
        f"dead rules of 10,000: {len(found):,} in {seconds:.2f} s of the processor (target {DEAD_TARGET:g} s){'  MISSED' if missed[-1] else ''}"
    )
    return bool(any(missed) or wrong)


if __name__ == "__main__":
    sys.exit(main())
