# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pools with terms, and the file of pins."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_net

SITE = {
    "bulkhead_tiers": {"apps": {"vlan": 10, "subnet": "10.0.1.0/24"}},
    "bulkhead_swarm": {"tier": "apps", "managers": {"m1": "10.0.1.5"}},
}


def site(pool, networks, allocations=None, live=(), **more):
    """The Site with this overlay pool and with overlays {name: size}; live: (network, CIDR or Net, host)."""
    pools = {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16", "overlay": pool, **more}
    declared = {name: {"driver": "overlay", "size": size} for name, size in networks.items()}
    variables = dict(SITE, bulkhead_pools=pools, bulkhead_networks=declared, bulkhead_allocations=allocations or {})
    found = [Live(net if isinstance(net, Net) else parse_net(net), name, host) for name, net, host in live]
    return parse_site(variables, datetime.date(2026, 1, 1), found)


def subnets(*args, **kwargs):
    return {name: str(*network.subnets) for name, network in site(*args, **kwargs).networks.items()}


def mistakes(*args, **kwargs):
    with pytest.raises(Refused) as caught:
        site(*args, **kwargs)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_long_form_of_a_pool_is_the_short_one_with_terms():
    assert subnets({"subnet": "172.30.0.0/16"}, {"a": 24}) == subnets("172.30.0.0/16", {"a": 24})
    assert subnets({"subnet": ["172.30.0.0/24", "172.31.0.0/24"]}, {"a": 24, "b": 24}) == {
        "a": "172.30.0.0/24",
        "b": "172.31.0.0/24",
    }


def test_what_is_excluded_is_never_allocated():
    pool = {"subnet": "172.30.0.0/22", "exclude": ["172.30.0.0/24", "172.30.2.0/25"]}
    assert subnets(pool, {"a": 24, "b": 24, "c": 25}) == {
        "a": "172.30.1.0/24",
        "b": "172.30.3.0/24",
        "c": "172.30.2.128/25",
    }
    assert len(mistakes(pool, {"a": 24, "b": 24, "c": 24})) == 1


def test_a_pin_in_an_excluded_part_is_an_error():
    (found,) = mistakes({"subnet": "172.30.0.0/22", "exclude": "172.30.1.0/24"}, {"a": 24}, {"a": "172.30.1.0/24"})
    assert "an exclusion of pool overlay" in found


def test_the_reserve_is_not_given_to_new_networks():
    pool = {"subnet": "172.30.0.0/22", "reserve": "50%"}
    assert list(subnets(pool, {"a": 24, "b": 24}).values()) == ["172.30.0.0/24", "172.30.1.0/24"]
    (found,) = mistakes(pool, {"a": 24, "b": 24, "c": 24})
    assert found == (
        "bulkhead_networks.c.size: got /24; expected a size that leaves the reserve of 50 % free in pool overlay "
        "(172.30.0.0/22); enlarge bulkhead_pools.overlay, lower its reserve, or remove networks"
    )


def test_a_pin_may_lie_in_the_reserve_and_counts():
    pool = {"subnet": "172.30.0.0/22", "reserve": "50%"}
    pins = {name: f"172.30.{number}.0/24" for number, name in enumerate("abc")}
    assert subnets(pool, {"a": 24, "b": 24, "c": 24}, pins) == pins
    assert len(mistakes(pool, {"a": 24, "b": 24, "c": 24, "d": 28}, pins)) == 1


def test_the_reserve_is_of_what_is_not_excluded():
    pool = {"subnet": "172.30.0.0/22", "exclude": "172.30.2.0/23", "reserve": "50%"}
    assert len(subnets(pool, {"a": 24})) == 1
    assert len(mistakes(pool, {"a": 24, "b": 28})) == 1


@pytest.mark.parametrize(
    ("pool", "start"),
    [
        ({"exclude": "172.30.0.0/24"}, "bulkhead_pools.overlay.subnet: got nothing; expected a network"),
        (
            {"subnet": "172.30.0.0/24", "exclude": "172.31.0.0/24"},
            "bulkhead_pools.overlay.exclude: got 172.31.0.0/24; expected a part of 172.30.0.0/24",
        ),
        ({"subnet": "172.30.0.0/16", "reserve": 20}, "bulkhead_pools.overlay.reserve: got 20; expected a part of"),
        ({"subnet": "172.30.0.0/16", "reserve": "100%"}, 'bulkhead_pools.overlay.reserve: got "100%"; expected'),
        ({"subnet": "172.30.0.0/16", "reserved": "1%"}, "bulkhead_pools.overlay.reserved: got an unknown key"),
    ],
)
def test_terms_that_make_no_sense_are_refused(pool, start):
    assert any(found.startswith(start) for found in mistakes(pool, {})), mistakes(pool, {})


def test_docker_knows_no_terms_of_its_own_pools():
    found = mistakes("172.30.0.0/16", {}, swarm={"subnet": "172.29.0.0/16", "exclude": "172.29.1.0/24"})
    assert found[0].startswith("bulkhead_pools.swarm.exclude: got")


# -- what lives on the hosts


def test_no_new_network_gets_addresses_that_live_on_any_host():
    live = [("old", "172.30.0.0/24", "m1"), ("mine", "172.30.1.128/25", "w1"), ("far", "10.9.0.0/24", "w1")]
    assert subnets("172.30.0.0/22", {"a": 24, "b": 25}, live=live) == {"a": "172.30.2.0/24", "b": "172.30.1.0/25"}


def test_a_live_network_that_holds_the_whole_pool_leaves_nothing_and_is_named():
    (found,) = mistakes("172.30.0.0/22", {"a": 24}, live=[("bridge", "172.16.0.0/12", "w1")])
    assert found.startswith(
        "bulkhead_networks.a.size: got /24; expected a size that is still free in pool overlay (172.30.0.0/22), "
        "where these live: network bridge (172.16.0.0/12) of w1; enlarge"
    )


def test_a_network_that_lives_already_stays_where_it_is():
    live = [("b", "172.30.2.0/24", host) for host in ("m1", "m2")]
    found = site("172.30.0.0/22", {"a": 24, "b": 24, "c": 24}, live=live).networks
    assert {name: str(*network.subnets) for name, network in found.items()} == {
        "a": "172.30.3.0/24",
        "b": "172.30.2.0/24",
        "c": "172.30.0.0/24",
    }
    assert not found["b"].settled


@pytest.mark.parametrize(
    ("pool", "allocations", "live"),
    [
        ("172.30.0.0/22", {}, [("a", "172.30.2.0/25", "m1")]),
        ("172.30.0.0/22", {}, [("a", "172.31.0.0/24", "m1")]),
        ("172.30.0.0/22", {}, [("a", "172.30.2.0/24", "m1"), ("a", "172.30.3.0/24", "m2")]),
        ("172.30.0.0/22", {}, [("a", "172.30.2.0/24", "m1"), ("other", "172.30.2.0/24", "m2")]),
        ("172.30.0.0/22", {"c": "172.30.2.0/24"}, [("a", "172.30.2.0/24", "m1")]),
        ({"subnet": "172.30.0.0/22", "exclude": "172.30.2.0/25"}, {}, [("a", "172.30.2.0/24", "m1")]),
    ],
    ids=["other size", "not in the pool", "two places", "not alone there", "pinned to another", "excluded"],
)
def test_a_live_network_that_cannot_stay_gets_another_place(pool, allocations, live):
    found = subnets(pool, {"a": 24, "c": 24}, allocations, live=live)
    assert found["a"] not in [net for _name, net, _host in live] and found["c"] == allocations.get("c", found["c"])


def test_a_network_that_lives_in_the_reserve_may_stay_and_counts():
    pool = {"subnet": "172.30.0.0/22", "reserve": "50%"}
    live = [("a", "172.30.0.0/24", "m1"), ("b", "172.30.1.0/24", "m1"), ("c", "172.30.2.0/24", "m1")]
    assert list(subnets(pool, {"a": 24, "b": 24, "c": 24}, live=live).values()) == [net for _name, net, _host in live]
    (found,) = mistakes(pool, {"a": 24, "b": 24, "c": 24, "d": 28}, live=live)
    assert found.startswith("bulkhead_networks.d.size: got /28; expected a size that leaves the reserve of 50 % free")


POOL = parse_net("172.30.0.0/20")


@settings(max_examples=300, deadline=None)
@given(
    wanted=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(24, 29), min_size=1, max_size=6),
    living=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.integers(24, 29), st.integers(0, 1023), st.sampled_from(("m1", "w1"))
        ),
        max_size=8,
    ),
)
def test_whatever_lives_a_new_subnet_meets_only_its_own_network(wanted, living):
    live = []
    for name, size, place, host in living:
        first = (POOL.first + place * 4) >> (32 - size) << (32 - size)
        live.append((name, Net(first, first + (1 << 32 - size) - 1), host))
    found = {name: network.subnets[0] for name, network in site("172.30.0.0/20", wanted, live=live).networks.items()}
    for name, subnet in found.items():
        assert POOL.holds(subnet) and subnet.prefix == wanted[name]
        assert not any(subnet.meets(net) for owner, net, _host in live if owner != name)
        assert not any(subnet.meets(other) for owner, other in found.items() if owner != name)
        own = {net for owner, net, _host in live if owner == name}
        rivals = [net for owner, net, _host in live if owner != name]
        if len(own) == 1 and subnet not in own:
            (home,) = own
            assert home.prefix != wanted[name] or any(home.meets(net) for net in rivals)


# -- the file of pins
