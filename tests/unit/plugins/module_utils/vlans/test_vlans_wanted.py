"""What a task says of VLANs, read and checked."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Route, Vlan, parse

WEB = {"id": 10, "tier": "web", "subnets": ["10.0.1.0/24", "fd10::/64"], "addresses": []}
DB = {"id": 20, "tier": "db", "subnets": ["10.0.2.0/24"], "addresses": []}


def params(*vlans, **more):
    return {"parent": "eth1", "vlans": list(vlans), "addresses": {}, "routes": {}, "names": {}, "untagged": [], **more}


def refused(*vlans, **more):
    with pytest.raises(Refused) as raised:
        parse(params(*vlans, **more))
    return raised.value.errors


def test_an_interface_is_called_by_its_parent_and_its_id_and_comes_in_the_order_of_ids():
    wanted = parse(params(DB, WEB))
    assert [vlan.name for vlan in wanted.vlans] == ["eth1.10", "eth1.20"]


def test_an_address_without_a_prefix_length_gets_that_of_its_subnet():
    wanted = parse(params(WEB, addresses={"web": ["10.0.1.11", "fd10::11"]}))
    assert wanted.vlans == (Vlan(10, "eth1.10", "web", ("10.0.1.11/24", "fd10::11/64")),)


def test_one_address_needs_no_list_and_comes_after_what_the_site_says():
    (vlan,) = parse(params({**WEB, "addresses": ["10.0.1.1/24"]}, addresses={"web": "10.0.1.2"})).vlans
    assert vlan.addresses == ("10.0.1.1/24", "10.0.1.2/24")


def test_an_address_is_written_as_the_kernel_prints_it():
    (vlan,) = parse(params(WEB, addresses={"web": "fd10:0:0::00ab/64"})).vlans
    assert vlan.addresses == ("fd10::ab/64",)


def test_a_vlan_without_a_tag_gets_no_interface():
    assert [vlan.id for vlan in parse(params(WEB, DB, untagged=["web"])).vlans] == [20]


def test_a_route_leads_over_a_router_on_the_link():
    routes = {"web": [{"to": "10.0.2.0/24", "via": "10.0.1.1"}]}
    (vlan,) = parse(params(WEB, addresses={"web": "10.0.1.11"}, routes=routes)).vlans
    assert vlan.routes == (Route("10.0.2.0/24", "10.0.1.1"),)
    (error,) = refused(WEB, addresses={"web": "10.0.1.11"}, routes={"web": [{"to": "10.0.2.0/24", "via": "10.0.9.1"}]})
    assert error.startswith("routes.web: got via 10.0.9.1; expected a router on the link")


def test_another_name_is_taken_and_one_that_is_too_long_is_refused_with_what_to_do():
    assert parse(params(WEB, names={"web": "lan0"})).vlans[0].name == "lan0"
    (error,) = refused(WEB, parent="enx001122334455")
    assert "enx001122334455.10, 18 characters" in error and "`names`" in error


@pytest.mark.parametrize("name", ["eth1;reboot", "eth1\nauto x", "../eth1", "-eth1", ""])
def test_a_name_that_is_none_never_gets_into_a_file(name):
    assert any("the name of an interface" in error for error in refused(WEB, parent=name))


@pytest.mark.parametrize("number", [0, 4095, -1, 70000])
def test_an_id_that_802_1q_does_not_have_is_refused(number):
    assert any("1-4094" in error for error in refused({**WEB, "id": number}))


def test_an_address_outside_of_the_tier_is_refused():
    (error,) = refused(WEB, addresses={"web": "10.0.2.11/24"})
    assert "got 10.0.2.11/24; expected one in 10.0.1.0/24, fd10::/64" in error


@pytest.mark.parametrize("option", ["addresses", "routes", "names"])
def test_a_tier_in_which_the_host_has_no_interface_is_named(option):
    assert refused(WEB, **{option: {"db": "lan0"}})[0].startswith(f"{option}.db: got a tier in which the host has no")
    assert refused(WEB, DB, untagged=["db"], **{option: {"db": "lan0"}})[0].startswith(f"{option}.db")


def test_every_mistake_is_told_at_once():
    errors = refused({**WEB, "id": 0}, {**DB, "id": 0}, addresses={"web": "x", "db": "10.0.2.1", "gone": "10.0.3.1"})
    assert len(errors) == 5 + 1, errors


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"addresses": {"web": ["10.0.1.11", "10.0.1.11/25"]}}, "the address 10.0.1.11 twice"),
        ({"names": {"web": "lan", "db": "lan"}}, "the name lan twice"),
    ],
)
def test_what_stands_there_twice_is_refused(more, what):
    assert any(what in error for error in refused(WEB, DB, **more))
