# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The packet engine's figures: run it with PYTHONPATH=.venv/collections. Times are the best of three, on one core, in seconds."""

from __future__ import annotations

import random
import sys
import time

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted, difference
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import dead_rules, examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict

SKELETON = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-forward - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -j DROP
%s
COMMIT
"""
INPUT = Question("INPUT", addresses=EVERY)
FORWARD = Question("FORWARD", addresses=EVERY)
PORTS = [22, 25, 53, 80, 111, 123, 443, 514, 2377, 5432, 6379, 7946, 8080, 9100, 9200] + list(range(10000, 10185))


def network(rng):
    size = rng.choice((16, 20, 24, 24, 28, 32))
    number = rng.getrandbits(32) >> 32 - size << 32 - size
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0)) + "/%d" % size


def service(rng):
    proto = rng.choice(("tcp", "tcp", "udp"))
    return "-p %s -m %s --dport %d" % (proto, proto, rng.choice(PORTS))


def incoming(rng, count):
    return [
        "-A ufw-user-input -s %s %s -j %s" % (network(rng), service(rng), rng.choice(("ACCEPT", "ACCEPT", "DROP")))
        for dummy in range(count)
    ]


def routed(rng, count):
    return [
        "-A ufw-user-forward -s %s -d %s %s -j %s"
        % (network(rng), network(rng), service(rng), rng.choice(("ACCEPT", "ACCEPT", "DROP")))
        for dummy in range(count)
    ]


def blocked(rng, count):
    """A block list before ordinary rules: sources for any port."""
    return ["-A ufw-user-input -s %s -j DROP" % network(rng) for dummy in range(count)]


def text(lines):
    return SKELETON % "\n".join(lines)


def best(work):
    times = []
    for dummy in range(3):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def show(what, limit, work, note=lambda result: ""):
    seconds, result = best(work)
    print(
        "%-58s %8.3f   %s  %s" % (what, seconds, "target %.1f" % limit if limit else "          ", note(result)),
        flush=True,
    )
    return seconds


def main():
    rng = random.Random(20)
    print("Python %s" % sys.version.split()[0])
    lines = incoming(rng, 10000)
    ruleset = parse(text(lines), 4)
    show("10,000 INPUT rules: read", 0, lambda: parse(text(lines), 4))
    show(
        "10,000 INPUT rules: what is accepted",
        0.5,
        lambda: accepted(ruleset, INPUT),
        lambda r: "%d nodes" % len(r.diagram.nodes),
    )
    show("10,000 INPUT rules: dead rules", 0, lambda: dead_rules(ruleset, INPUT), lambda r: "%d dead" % len(r))
    show(
        "10,000 INPUT rules: dead, redundant, conflicting",
        0,
        lambda: examine(ruleset, INPUT),
        lambda r: str([len(x) for x in r]),
    )
    one = packet(4, "10.9.8.7", "10.0.0.1", "tcp", 22, inside="eth0")
    show("10,000 INPUT rules: one packet", 0, lambda: verdict(ruleset, one, INPUT))
    forward = parse(text(routed(rng, 10000)), 4)
    show("10,000 FORWARD rules: what is accepted", 1.0, lambda: accepted(forward, FORWARD))
    show("10,000 FORWARD rules: dead rules", 0, lambda: dead_rules(forward, FORWARD), lambda r: "%d dead" % len(r))
    mixed = parse(text(blocked(rng, 2000) + incoming(rng, 1000)), 4)
    show(
        "2,000 blocked networks, then 1,000 rules: dead rules",
        0,
        lambda: dead_rules(mixed, INPUT),
        lambda r: "%d dead" % len(r),
    )
    before = incoming(rng, 1000)
    after = before[:400] + incoming(rng, 10) + before[410:]
    show(
        "1,000 rules, 10 replaced: read both and compare",
        0.3,
        lambda: difference(parse(text(before), 4), parse(text(after), 4), INPUT),
        lambda r: str([len(x) for x in r]),
    )
    show(
        "1,000 rules, all new: read both and compare",
        0,
        lambda: difference(parse(text([]), 4), parse(text(before), 4), INPUT),
        lambda r: str([len(x) for x in r]),
    )


if __name__ == "__main__":
    main()
