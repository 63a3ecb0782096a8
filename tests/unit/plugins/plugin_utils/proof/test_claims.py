from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Address, Listening
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import (
    MOST_LEGS,
    Claims,
    Named,
    claims_of,
    known_networks,
    settle,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Leg
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

PUMP, ROUTER, WORLD = Member("pump1", Part.TIER, ("plant",)), Member("router", Part.GATEWAY), Member("w", Part.INTERNET)


def address(text, prefix=24, bridge=False, interface="eth0"):
    return Address(text, prefix, interface, bridge)


def said(*addresses, others=()):
    return Listening(addresses=tuple(addresses), others=tuple(others))


def claims(lab, member, *addresses, named=(), host=None, others=()):
    return claims_of(lab.site, member, said(*addresses, others=others), Named.read(lab.site, member.name, named, host))


def test_a_host_of_a_tier_is_probed_at_its_address_there_and_nowhere_else(lab):
    found = claims(
        lab, PUMP, address("10.0.2.11"), others=[address("10.0.1.99"), address("8.8.8.8"), address("fd00::1")]
    )
    assert [(leg.address, leg.place) for leg in found.legs] == [("10.0.2.11", "plant")]
    assert found.unknown == ("10.0.1.99", "8.8.8.8", "fd00::1") and not found.trouble
    assert claims(lab, PUMP, address("10.0.2.11"), address("8.8.8.8")).unknown == (
        "8.8.8.8",
    )  # whatever it lists it as


def test_a_gateway_that_claims_a_stranger_s_address_makes_no_host_probe_it(lab):
    found = claims(lab, ROUTER, address("10.0.1.1"), address("8.8.8.8"), address("192.0.2.9"))
    assert [leg.address for leg in found.legs] == ["10.0.1.1"] and found.unknown == ("8.8.8.8", "192.0.2.9")
    named = claims(lab, ROUTER, address("10.0.1.1"), address("192.0.2.9"), named=["192.0.2.9/29"])
    assert [(leg.address, leg.prefix, leg.place) for leg in named.legs] == [
        ("10.0.1.1", 24, "gateway"),
        ("192.0.2.9", 29, "gateway"),
    ]


def test_the_internet_is_where_the_inventory_says(lab):
    both = address("203.0.113.10"), address("1.1.1.1", 32, interface="lo")
    assert [leg.address for leg in claims(lab, WORLD, *both, host="203.0.113.10").legs] == ["203.0.113.10"]
    assert claims(lab, WORLD, *both, host="203.0.113.10").unknown == ("1.1.1.1",)
    nothing = claims(lab, WORLD, *both, host="a-name")
    assert not nothing.legs and nothing.trouble.endswith("name its addresses in prove_addresses")
    assert known_networks(lab.site, WORLD, Named.read(lab.site, "w", ["203.0.113.10/24"], None)) == ["203.0.113.10"]


def test_an_address_that_the_inventory_names_must_be_there(lab):
    found = claims(lab, ROUTER, address("10.0.1.1"), named=["203.0.113.1"])
    assert found.trouble == "it does not have 203.0.113.1, which the inventory's prove_addresses names for it"
    assert not claims(lab, ROUTER, address("10.0.1.1"), host="192.0.2.1").trouble  # a way in need not be its own


def test_two_thousand_claimed_addresses_are_not_probed(lab):
    many = [address(f"10.0.2.{number}") for number in range(1, 255)]
    found = claims(lab, PUMP, *many)
    assert len(found.legs) == MOST_LEGS and found.trouble == "it claims 254 addresses, of which 16 were probed"
    named = [one.address for one in many[100:150]]
    assert {leg.address for leg in claims(lab, PUMP, *many, named=named).legs} >= set(named)


def test_a_bridge_is_no_leg_unless_it_is_named(lab):
    docker, own = address("10.0.2.1", bridge=True), address("10.0.1.1")
    assert [leg.address for leg in claims(lab, ROUTER, own, docker).legs] == ["10.0.1.1"]
    assert len(claims(lab, ROUTER, own, docker, named=["10.0.2.1"]).legs) == 2


@pytest.mark.parametrize(("claimed", "believed"), [(24, 24), (0, 32), (8, 8), (1, 1)])
def test_no_host_says_how_wide_a_tier_is(lab, claimed, believed):
    """Else it could say that no router is between it and another tier."""
    assert claims(lab, PUMP, address("10.0.2.11", claimed)).legs[0].prefix == 24
    outer = claims(lab, ROUTER, address("203.0.113.1", claimed), host="203.0.113.1").legs[0]
    assert outer.prefix == believed


def test_an_address_that_is_none_is_refused_with_its_place(lab):
    with pytest.raises(Refused, match=r"prove_addresses\[1\]: got nowhere; expected an address"):
        Named.read(lab.site, "router", ["203.0.113.1", "nowhere"], None)


def leg(host, text):
    return Leg(host, text, 24, "eth0", "plant")


def test_an_address_that_two_hosts_claim_is_probed_on_none(lab):
    both = {"a": Claims((leg("a", "10.0.2.1"),)), "b": Claims((leg("b", "10.0.2.1"), leg("b", "10.0.2.2")))}
    found = settle(both, {})
    assert found["a"].legs == () and [one.address for one in found["b"].legs] == ["10.0.2.2"]
    assert found["a"].trouble == "it claims 10.0.2.1, which b claims as well" and found["b"].trouble


def test_the_inventory_says_whose_address_it_is(lab):
    both = {"a": Claims((leg("a", "10.0.2.1"),)), "b": Claims((leg("b", "10.0.2.1"),))}
    found = settle(both, {"a": ("10.0.2.1",)})
    assert found["a"] == both["a"] and found["b"].legs == () and found["b"].trouble
    assert settle(both, {"a": ("10.0.2.1",), "b": ("10.0.2.1",)})["a"].legs == ()


def test_claims_are_read_as_they_were_written(lab):
    found = claims(lab, PUMP, address("10.0.2.11"), address("8.8.8.8"))
    assert Claims.from_dict(found.to_dict()) == found


def test_an_address_of_the_tailnet_is_no_leg_of_the_lan_and_no_unknown_one():
    site = parse_site(
        {
            "bulkhead_tiers": {"plant": {"vlan": 2, "subnet": "10.0.2.0/24"}},
            "bulkhead_tailnet": {"tags": {"plant": "tag:plant"}},
        },
        date(2026, 1, 1),
    )
    own, node = address("10.0.2.11"), address("100.64.0.7", 32, interface="tailscale0")
    found = claims_of(site, PUMP, said(own, node, others=[node]), Named.read(site, "pump1", [], "100.64.0.7"))
    assert [leg.address for leg in found.legs] == ["10.0.2.11"] and found.unknown == ()


def test_a_host_of_a_dual_stack_tier_is_probed_at_both_its_addresses(dual_lab):
    found = claims(dual_lab, PUMP, address("10.0.2.11"), address("fd00:2::11", 64), address("fd00:1::99", 64))
    assert [(leg.address, leg.prefix, leg.place, leg.version) for leg in found.legs] == [
        ("10.0.2.11", 24, "plant", 4),
        ("fd00:2::11", 64, "plant", 6),
    ]
    assert found.unknown == ("fd00:1::99",)
    assert "fd00:2::/64" in known_networks(dual_lab.site, PUMP, Named())


def test_an_ipv6_address_that_the_inventory_names_must_be_there_and_gives_its_prefix(dual_lab):
    given = ["2001:db8::1/48", "2001:db8:9::1"]
    found = claims(dual_lab, ROUTER, address("2001:db8::1", 64), address("2001:db8:9::1", 64), named=given)
    assert [(leg.address, leg.prefix) for leg in found.legs] == [("2001:db8::1", 48), ("2001:db8:9::1", 64)]
    missing = claims(dual_lab, ROUTER, address("10.0.1.1"), named=["2001:db8::1"])
    assert missing.trouble == "it does not have 2001:db8::1, which the inventory's prove_addresses names for it"


def test_a_prefix_that_takes_in_a_tier_s_ipv6_subnet_is_not_believed(dual_lab):
    found = claims(dual_lab, ROUTER, address("fd00:9::1", 16), named=["fd00:9::1"])
    assert [(leg.address, leg.prefix) for leg in found.legs] == [("fd00:9::1", 128)]
