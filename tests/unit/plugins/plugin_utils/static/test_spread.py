"""Sets of packets through random fleets, held against the walk of every single packet, and through tiny sites against a plain
reading of netfilter, cell by cell.

BULKHEAD_TINY_SITES: how many tiny sites (default 100; 1,000 were run). BULKHEAD_TINY_SEED: the first of their seeds (default 1).
"""

from __future__ import annotations

import itertools
import os
import random

import pytest
import tiny_sites
from random_rules import ADDRESSES, PORTS, rules_of
from static_sites import answer

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_number
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer, Asked, walk
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.groups import Group, groups_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import Hooks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import holds
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.spread import Spread

TINY_SITES = int(os.environ.get("BULKHEAD_TINY_SITES", "100"))
TINY_SEED = int(os.environ.get("BULKHEAD_TINY_SEED", "1"))
ROUTER = {"leg1": ["10.81.1.1/24"], "leg2": ["10.81.2.1/24"], "leg3": ["10.81.3.1/24"]}


def fleet(draw, strict="0"):
    nodes = {}
    for name, address in ADDRESSES.items():
        interfaces = ROUTER if name == "ak-r" else {"eth0": [f"{address}/24"]}
        gateways = [] if name == "ak-r" else [f"{address.rpartition('.')[0]}.1"]
        open6 = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
        said = answer(
            interfaces, gateways, (rules_of(draw, name), open6), "1" if name == "ak-r" else "0", strict=strict
        )
        nodes[name] = read_node(name, said)
    return nodes


@pytest.mark.parametrize("seed", range(8))
def test_a_set_holds_a_packet_where_the_walk_of_that_packet_gets_through(seed):
    draw = random.Random(seed)
    nodes = fleet(draw, draw.choice("01"))
    addresses = {name: node.outward for name, node in nodes.items()}
    groups = groups_of(nodes, addresses, {})
    spread = Spread(groups, 4, Hooks())
    everything = spread.owners.everything
    arrivals = [one for group in groups for one in spread.sent_by(group, everything)]
    every = [text for texts in addresses.values() for text in texts]
    ports = sorted({*PORTS, *(port + 1 for port in PORTS), 9})
    count = 0
    for source, destination in itertools.permutations(every, 2):
        if next(n for n in nodes if source in addresses[n]) == next(n for n in nodes if destination in addresses[n]):
            continue
        for proto, port in (*itertools.product((6,), ports), (17, 22)):
            asked = Asked(source, destination, {6: "tcp", 17: "udp"}[proto], port)
            values = (0, 0, proto, address_number(source, 4), address_number(destination, 4), 40000, port, 0, 0)
            found = [one for one in arrivals if holds(one.sent, values)]
            assert not [one for one in found if one.doubt]
            expected = walk(nodes, asked)
            assert bool(found) == (expected.answer is Answer.ALLOWED), f"{asked.text()}: {found}: {expected}"
            assert len(found) <= 1
            count += 1
    assert count == 288


def tiny_spread(rules):
    """The hosts of a tiny site as the engine sees them, and their groups. Hosts of one side with the same rules are one group."""
    nodes = {}
    for name, legs in tiny_sites.HOSTS.items():
        interfaces = {leg: [f"{tiny_sites.text_of(at)}/29"] for leg, at in legs.items()}
        gateways = [tiny_sites.text_of(at) for at in tiny_sites.HOSTS["g"].values()] if name != "g" else []
        texts = rules[name].text(), "*filter\nCOMMIT\n"
        nodes[name] = read_node(name, answer(interfaces, gateways, texts, "1" if name == "g" else "0"))
    groups = groups_of(nodes, {name: node.outward for name, node in nodes.items()}, {"g": "router"})
    return Spread(groups, 4, Hooks())


def tiny_rules(draw):
    rules = {name: tiny_sites.random_rules(draw, name) for name in tiny_sites.HOSTS}
    for one, other in (("s", "t"), ("r", "q")):
        if draw.random() < 0.3:
            rules[other] = rules[one]
    return rules


def cell_by_cell(seed, seen):
    """Hold each packet of a tiny site against what gets through by sets of packets."""
    rules = tiny_rules(random.Random(f"tiny {seed}"))
    site, spread = tiny_sites.Site(rules), tiny_spread(rules)
    senders = {}
    for group in spread.groups:
        seen["shared"] += len(group.hosts) > 1
        arrivals = spread.sent_by(group, ((tiny_sites.NET, tiny_sites.NET + 15),))
        senders.update({node.name: arrivals for node in group.hosts})
    for packet in tiny_sites.packets():
        src, dst = tiny_sites.NET + packet.src, tiny_sites.NET + packet.dst
        sent = (0, 0, packet.proto, src, dst, packet.sport, packet.dport, 0, 0)
        arrivals = [one for one in senders[tiny_sites.OWNER[packet.src][0]] if isinstance(one.end, Group)]
        arrived = [one for one in arrivals if holds(one.sent, sent)]
        found = site.delivered(packet)
        told = f"seed {seed}: {packet}: {found}, {arrived}"
        assert len(arrived) == (found is not None) and not any(one.doubt for one in arrived), told
        seen["packets"] += 1
        if found is None:
            continue
        host, came = found
        (one,) = arrived
        assert host in [node.name for node in one.end.hosts], told
        assert holds(one.box, (*sent[:4], tiny_sites.NET + came.dst, packet.sport, came.dport, 0, 0)), told
        assert one.translated == ((came.dst, came.dport) != (packet.dst, packet.dport)), told
        assert one.hidden == (came.src != packet.src), told
        seen["delivered"] += 1
        seen["moved"] += came.dst != packet.dst
        seen["hidden"] += came.src != packet.src


def test_a_set_holds_a_packet_where_rule_by_rule_and_hook_by_hook_it_gets_there_and_back():
    seen = dict.fromkeys(("shared", "packets", "delivered", "moved", "hidden"), 0)
    for seed in range(TINY_SEED, TINY_SEED + TINY_SITES):
        cell_by_cell(seed, seen)
    print(f"\n{TINY_SITES} tiny sites: {seen}")
    assert all(seen.values())
