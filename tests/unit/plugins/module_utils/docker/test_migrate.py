# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The temporary network of a migration, and what it remembers. Whole migrations: tests/unit/plugins/modules/test_swarm_network_migrate.py."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.migrate import (
    former_of,
    moved_networks,
    temporary_network,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import FORMER_LABEL, Network, Subnet

FOUR, SIX = Subnet(ip_network("10.9.0.0/24")), Subnet(ip_network("fd00:9::/64"))


def network(*subnets, **more):
    fields = {"ipv4": FOUR in subnets, "ipv6": SIX in subnets, "internal": True, "mtu": 1400, "id": "1", **more}
    return Network("shop", "bridge", subnets, **fields)


@pytest.mark.parametrize("subnets", [(FOUR,), (SIX,), (FOUR, SIX)])
def test_a_temporary_network_remembers_the_ip_versions_of_the_former_one(subnets):
    former = network(*subnets)
    assert former_of(temporary_network(former, (), True)) == replace(former, id=None)


@pytest.mark.parametrize(
    ("former", "cidrs", "versions"),
    [
        (network(FOUR), (), (True, False)),
        (network(SIX), (), (False, True)),
        (network(FOUR, SIX), (), (True, False)),
        (network(SIX), ("10.1.0.0/24",), (True, False)),
        (network(FOUR), ("fd00:1::/64", "10.1.0.0/24"), (True, True)),
    ],
)
def test_a_temporary_network_has_the_versions_of_its_subnets_or_of_the_former_network(former, cidrs, versions):
    made = temporary_network(former, tuple(map(ip_network, cidrs)), True)
    assert (made.ipv4, made.ipv6) == versions


@pytest.mark.parametrize(("subnets", "ipv6"), [((FOUR,), False), ((FOUR, SIX), True)])
def test_a_label_of_a_release_that_did_not_say_ip_versions_is_read_by_its_subnets(subnets, ipv6):
    temporary = temporary_network(network(*subnets), (), True)
    body = json.loads(temporary.labels[FORMER_LABEL])
    del body["enable_ipv6"]
    temporary.labels[FORMER_LABEL] = json.dumps(body)
    assert (former_of(temporary).ipv4, former_of(temporary).ipv6) == (True, ipv6)


@pytest.mark.parametrize("stay", [True, False])
def test_a_service_gets_the_next_network_only_where_it_is_on_the_last_one(stay):
    there, other = {"Target": "old", "Aliases": ["a"]}, {"Target": "other"}
    new = {"Target": "new", "Aliases": ["a"]}
    assert moved_networks([other, there], "old", "new", stay) == [other, *([there] if stay else []), new]
    assert moved_networks([other], "old", "new", stay) == [other] and moved_networks([], "old", "new", stay) == []
    assert moved_networks([new, there], "old", "new", stay) == [new, *([there] if stay else [])]
