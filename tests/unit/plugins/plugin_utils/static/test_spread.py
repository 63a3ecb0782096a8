"""Sets of packets through random fleets, held against the walk of every single packet."""

from __future__ import annotations

import itertools
import random

import pytest
from random_rules import ADDRESSES, PORTS, rules_of
from static_sites import answer

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_number
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer, Asked, walk
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.groups import groups_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import Hooks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import holds
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.spread import Spread

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
