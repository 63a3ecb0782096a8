# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run does and in which order: requests counted, transitions safe, only what was asked for."""

from __future__ import annotations

import copy

import pytest
from maas_server import harness

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.apply import ApplyError
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan import rack_steps
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import report


def tree(*vlans, purge=(), **more):
    return {"fabrics": [{"name": "gough", "vlans": list(vlans)}], "purge": list(purge), **more}


def vlan(vid, *subnets, **options):
    return {"vid": vid, "subnets": list(subnets), **options}


def subnet(cidr, *ranges, **options):
    return {"cidr": cidr, "ranges": [dict(zip(("type", "start_ip", "end_ip"), item)) for item in ranges], **options}


def served(*ranges, **options):
    """VLAN 20 with DHCP on, by rack1."""
    pools = ranges or (("dynamic", "10.0.2.100", "10.0.2.200"),)
    return vlan(20, subnet("10.0.2.0/24", *pools), **{"dhcp_on": True, "primary_rack": "rack1", **options})


def twenty():
    """20 VLANs, each with a subnet and a range."""
    return tree(
        *(
            vlan(
                100 + number,
                subnet("10.1.%d.0/24" % number, ("dynamic", "10.1.%d.100" % number, "10.1.%d.200" % number)),
                name="tier%d" % number,
            )
            for number in range(20)
        )
    )


def after(earlier, wanted):
    """The operations of a run after another one, having shown that MAAS refused none and a second changes nothing."""
    front = harness.front()
    harness.run(front, earlier)
    front.log.clear()
    result = harness.run(front, wanted)
    assert all(status in (200, 204) for *_request, status in front.log)
    assert harness.run(front, wanted)["operations"] == []
    return result["operations"]


def test_twenty_vlans_take_three_requests_and_one_for_each_thing():
    front = harness.front()
    first = harness.run(front, twenty())
    assert first["requests"] == {"reads": 3, "writes": 1 + 20 * 3}
    again = harness.run(front, twenty())
    assert again["requests"] == {"reads": 3, "writes": 0} and not again["changed"]


def test_a_tree_with_everything_in_it_takes_five_requests_when_nothing_changes():
    wanted = twenty()
    wanted["spaces"] = [{"name": "inner"}]
    wanted["fabrics"][0]["vlans"].append(
        {
            **served(secondary_rack="rack2", space="inner"),
            "subnets": [
                {
                    **subnet("10.0.2.0/24", ("dynamic", "10.0.2.100", "10.0.2.200")),
                    "static_routes": [{"destination": "10.1.0.0/24", "gateway_ip": "10.0.2.254"}],
                }
            ],
        }
    )
    wanted["fabrics"][0]["vlans"].append(vlan(30, relay_vlan={"vid": 20}))
    front = harness.front()
    harness.run(front, wanted)
    assert harness.run(front, wanted)["requests"] == {"reads": 5, "writes": 0}


def test_check_mode_writes_nothing_and_has_the_same_keys():
    front = harness.front()
    check = harness.run(front, twenty(), check=True)
    assert front.writes == [] and front.region.fabrics.keys() == {0}
    run = harness.run(front, twenty())
    assert check.keys() == run.keys()
    assert {**check, "requests": None} == {**run, "requests": None}


def test_the_diff_shows_what_changes_as_a_tree():
    front = harness.front()
    harness.run(front, tree(served(), vlan(30)))
    diff = harness.run(front, tree(served(("dynamic", "10.0.2.100", "10.0.2.150")), vlan(10, name="management")))[
        "diff"
    ]
    assert diff["before"] == (
        "fabric gough\n"
        "  vlan 0 untagged mtu 1500\n"
        "  vlan 20 20 mtu 1500 dhcp on racks rack1\n"
        "    subnet 10.0.2.0/24\n"
        "      dynamic 10.0.2.100-10.0.2.200\n"
        "  vlan 30 30 mtu 1500\n"
    )
    assert diff["after"] == (
        "fabric gough\n"
        "  vlan 0 untagged mtu 1500\n"
        "  vlan 10 management mtu 1500\n"
        "  vlan 20 20 mtu 1500 dhcp on racks rack1\n"
        "    subnet 10.0.2.0/24\n"
        "      dynamic 10.0.2.100-10.0.2.150\n"
        "  vlan 30 30 mtu 1500\n"
    )


def test_no_change_has_an_empty_diff():
    front = harness.front()
    harness.run(front, tree(served()))
    diff = harness.run(front, tree(served()))["diff"]
    assert diff["before"] == diff["after"] == ""


@pytest.mark.parametrize(
    "option, value, shown",
    [
        ("name", "lan", "name=lan"),
        ("description", "text", "description=text"),
        ("gateway_ip", "10.0.1.9", "gateway_ip=10.0.1.9"),
        ("gateway_ip", "", 'gateway_ip=""'),
        ("dns_servers", ["9.9.9.9", "1.1.1.1"], "dns_servers=9.9.9.9,1.1.1.1"),
        ("dns_servers", [], 'dns_servers=""'),
        ("rdns_mode", 0, "rdns_mode=0"),
        ("allow_dns", False, "allow_dns=false"),
        ("allow_proxy", False, "allow_proxy=false"),
        ("managed", False, "managed=false"),
        ("active_discovery", True, "active_discovery=true"),
    ],
)
def test_one_option_of_a_subnet_is_one_request_with_that_field_alone(option, value, shown):
    earlier = {"cidr": "10.0.1.0/24", "gateway_ip": "10.0.1.1", "dns_servers": ["1.1.1.1"], "description": "old"}
    assert after(tree(vlan(10, earlier)), tree(vlan(10, {"cidr": "10.0.1.0/24", option: value}))) == [
        "update subnet 10.0.1.0/24: " + shown
    ]


@pytest.mark.parametrize("option", ["name", "description", "gateway_ip", "dns_servers", "ranges", "static_routes"])
def test_an_option_that_is_not_given_leaves_what_is_there(option):
    full = {
        **subnet("10.0.1.0/24", ("reserved", "10.0.1.10", "10.0.1.20")),
        "name": "lan",
        "description": "text",
        "gateway_ip": "10.0.1.1",
        "dns_servers": ["1.1.1.1"],
        "static_routes": [{"destination": "10.0.9.0/24", "gateway_ip": "10.0.1.2"}],
    }
    other = {"cidr": "10.0.9.0/24"}
    less = {name: value for name, value in full.items() if name != option}
    purge = ("ranges", "static_routes", "subnets", "vlans", "fabrics", "spaces")
    assert after(tree(vlan(10, full, other)), tree(vlan(10, less, other), purge=purge)) == []


def test_vlans_and_what_else_is_not_listed_stay_without_purge():
    earlier = tree(vlan(10, subnet("10.0.1.0/24", ("reserved", "10.0.1.10", "10.0.1.20"))), vlan(30))
    assert after(earlier, {"spaces": [], "fabrics": []}) == []
    assert after(earlier, tree(vlan(10, subnet("10.0.1.0/24")))) == []


def test_purge_reaches_the_lists_that_are_given_and_no_further():
    earlier = tree(
        vlan(10, subnet("10.0.1.0/24", ("reserved", "10.0.1.10", "10.0.1.20"))),
        vlan(30, subnet("10.0.3.0/24", ("reserved", "10.0.3.10", "10.0.3.20"))),
    )
    wanted = tree(vlan(10, subnet("10.0.1.0/24")), {"vid": 30}, purge=("ranges", "subnets"))
    assert after(earlier, wanted) == ["delete range 10.0.1.10-10.0.1.20"]
    assert after(earlier, tree({"vid": 10}, purge=("vlans", "subnets"))) == [
        "delete subnet 10.0.3.0/24",
        "delete vlan gough/30",
    ]


def test_purge_takes_fabrics_and_spaces_but_for_the_default_ones():
    earlier = tree(vlan(10), spaces=[{"name": "dmz"}])
    wanted = {"spaces": [], "fabrics": [], "purge": ["fabrics", "spaces"]}
    assert after(earlier, wanted) == ["delete fabric gough", "delete space dmz"]


def test_a_subnet_with_host_bits_and_long_ipv6_is_found_again():
    wanted = tree(vlan(10, {"cidr": "10.0.3.5/24"}, {"cidr": "FD00:0002:0::/64", "gateway_ip": "fd00:2:0::1"}))
    assert after(wanted, wanted) == []


def test_a_subnet_that_maas_moved_is_moved_back_and_reported_before():
    front = harness.front()
    wanted = tree(vlan(20, subnet("10.0.2.0/24")))
    harness.run(front, wanted)
    front.region.handle("PUT", "subnets/1/", {"vlan": "5001"})
    drift = report(harness.asking(harness.client(front)), copy.deepcopy(wanted))["drift"]
    assert "subnet 10.0.2.0/24: is on vlan fabric-0/0, declared on gough/20: MAAS or someone else moved it" in drift
    assert harness.run(front, wanted)["operations"] == ["update subnet 10.0.2.0/24: vlan=gough/20"]


def test_dhcp_comes_on_last_with_its_racks():
    assert after(tree(), tree(served(secondary_rack="rack2"))) == [
        "create vlan gough/20: vid=20",
        "create subnet 10.0.2.0/24: cidr=10.0.2.0/24, vlan=gough/20, name=10.0.2.0/24",
        "create range 10.0.2.100-10.0.2.200: type=dynamic, subnet=10.0.2.0/24, start_ip=10.0.2.100, end_ip=10.0.2.200",
        "update vlan gough/20: primary_rack=rack1, secondary_rack=rack2, dhcp_on=true",
    ]


def test_a_pool_that_grows_keeps_dhcp_on():
    assert after(tree(served()), tree(served(("dynamic", "10.0.2.100", "10.0.2.220")))) == [
        "update range 10.0.2.100-10.0.2.200: end_ip=10.0.2.220"
    ]


def test_a_pool_that_is_replaced_turns_dhcp_off_and_on_again():
    assert after(tree(served()), tree(served(("dynamic", "10.0.2.10", "10.0.2.20")), purge=["ranges"])) == [
        "update vlan gough/20: dhcp_on=false",
        "delete range 10.0.2.100-10.0.2.200",
        "create range 10.0.2.10-10.0.2.20: type=dynamic, subnet=10.0.2.0/24, start_ip=10.0.2.10, end_ip=10.0.2.20",
        "update vlan gough/20: dhcp_on=true",
    ]


def test_a_second_pool_that_stays_keeps_dhcp_on():
    both = served(("dynamic", "10.0.2.10", "10.0.2.20"), ("dynamic", "10.0.2.100", "10.0.2.200"))
    one = served(("dynamic", "10.0.2.10", "10.0.2.20"))
    assert after(tree(both), tree(one, purge=["ranges"])) == ["delete range 10.0.2.100-10.0.2.200"]


def test_a_subnet_with_the_only_pool_moves_with_dhcp_off():
    there = vlan(10, subnet("10.0.2.0/24", ("dynamic", "10.0.2.100", "10.0.2.200")), dhcp_on=True, primary_rack="rack2")
    assert after(tree(served(), vlan(10)), tree(vlan(20, dhcp_on=False, mtu=9000), there)) == [
        "update vlan gough/20: dhcp_on=false, mtu=9000",
        "update subnet 10.0.2.0/24: vlan=gough/10",
        "update vlan gough/10: primary_rack=rack2, dhcp_on=true",
    ]


def test_dhcp_goes_off_before_a_relay_takes_over():
    earlier = tree(served(), vlan(10))
    wanted = tree({"vid": 20, "dhcp_on": False, "relay_vlan": {"vid": 10}}, vlan(10))
    assert after(earlier, wanted) == [
        "update vlan gough/20: dhcp_on=false",
        "update vlan gough/20: relay_vlan=gough/10",
    ]


def test_a_relay_ends_before_dhcp_comes_on():
    earlier = tree({"vid": 20, "relay_vlan": {"vid": 10}}, vlan(10))
    operations = after(earlier, tree(served(relay_vlan={}), vlan(10)))
    assert operations[0] == 'update vlan gough/20: relay_vlan="", primary_rack=rack1'
    assert operations[-1] == "update vlan gough/20: dhcp_on=true"


def test_two_relays_change_places():
    earlier = tree(vlan(10, relay_vlan={"vid": 30}), vlan(30, relay_vlan={}))
    assert after(earlier, tree(vlan(10, relay_vlan={}), vlan(30, relay_vlan={"vid": 10}))) == [
        'update vlan gough/10: relay_vlan=""',
        "update vlan gough/30: relay_vlan=gough/10",
    ]


def locked(front):
    """A VLAN whose DHCP is on without a range, as MAAS lets it happen."""
    harness.run(front, tree(served()))
    front.region.handle("DELETE", "ipranges/1/", {})
    number = max(front.region.vlans)
    assert front.region.handle("PUT", "vlans/%d/" % number, {"mtu": "9000"}).status == 400


def test_a_locked_vlan_is_repaired_with_a_range():
    front = harness.front()
    locked(front)
    assert harness.run(front, tree(served(mtu=9000)))["operations"] == [
        "create range 10.0.2.100-10.0.2.200: type=dynamic, subnet=10.0.2.0/24, start_ip=10.0.2.100, end_ip=10.0.2.200",
        "update vlan gough/20: mtu=9000",
    ]


def test_a_locked_vlan_is_repaired_by_turning_dhcp_off():
    front = harness.front()
    locked(front)
    assert harness.run(front, tree({"vid": 20, "mtu": 9000, "dhcp_on": False}))["operations"] == [
        "update vlan gough/20: dhcp_on=false, mtu=9000"
    ]


def test_a_locked_vlan_that_is_not_repaired_is_refused_before_maas_does():
    front = harness.front()
    locked(front)
    with pytest.raises(Refused, match="no dynamic range on this VLAN"):
        harness.run(front, tree({"vid": 20, "mtu": 9000}))


def test_dhcp_without_a_rack_is_repaired():
    front = harness.front()
    harness.run(front, tree(served()))
    front.region.handle("PUT", "vlans/%d/" % max(front.region.vlans), {"primary_rack": ""})
    assert (
        "vlan gough/20: DHCP is on without a rack: nobody answers"
        in report(harness.asking(harness.client(front)), {})["drift"]
    )
    assert harness.run(front, tree(served(primary_rack="rack2")))["operations"] == [
        "update vlan gough/20: primary_rack=rack2"
    ]


RACKS = (None, "a", "b", "c")
PAIRS = [(one, two) for one in RACKS for two in RACKS if one is None or one != two]
"""What MAAS lets a VLAN come to: a secondary can be left without a primary there."""


@pytest.mark.parametrize("new", [pair for pair in PAIRS if pair[0] or not pair[1]], ids=str)
@pytest.mark.parametrize("old", PAIRS, ids=str)
def test_racks_get_from_any_pair_to_any_other(old, new):
    region = harness.region({"a": (0,), "b": (0,), "c": (0,)})
    ids = {None: None, "a": "rackc1", "b": "rackc2", "c": "rackc3"}
    region.vlans[5001].update(primary_rack=ids[old[0]], secondary_rack=ids[old[1]])
    steps = rack_steps(*old, *new)
    assert len(steps) <= 2
    for step in steps:
        assert region.handle("PUT", "vlans/5001/", {name: value or "" for name, value in step.items()}).status == 200
    got = region.vlans[5001]
    assert (got["primary_rack"], got["secondary_rack"]) == (ids[new[0]], ids[new[1]])


def test_a_rack_that_lost_its_interface_can_be_replaced_and_cleared():
    front = harness.front()
    harness.run(front, tree(served(secondary_rack="rack2")))
    dead = front.region.nodes["rackc2"]["interfaces"]
    for number in [number for number, item in dead.items() if front.region.vlans[item["vlan"]]["vid"] == 20]:
        del dead[number]
    assert any(
        "rack rack2 has no interface with vid 20" in text
        for text in report(harness.asking(harness.client(front)), {})["drift"]
    )
    with pytest.raises(Refused, match="rack2, which has no interface with vid 20"):
        harness.run(front, tree({"vid": 20, "mtu": 9000}))
    assert harness.run(front, tree({"vid": 20, "mtu": 9000, "secondary_rack": ""}))["operations"] == [
        'update vlan gough/20: mtu=9000, secondary_rack=""'
    ]


def test_a_secondary_rack_that_maas_drops_is_not_taken_for_a_success():
    """The check of the answers, shown with a planner that swaps racks in one request as others do."""
    front = harness.front()
    harness.run(front, tree(served(secondary_rack="rack2")))
    import ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan as plan_module

    honest = plan_module.rack_steps
    plan_module.rack_steps = lambda *racks: [{"primary_rack": racks[2], "secondary_rack": racks[3]}]
    try:
        with pytest.raises(ApplyError, match="answered 200 and did not take secondary_rack"):
            harness.run(front, tree(served(primary_rack="rack2", secondary_rack="rack1")))
    finally:
        plan_module.rack_steps = honest


def test_ranges_that_change_places_are_made_anew():
    earlier = tree(
        vlan(10, subnet("10.0.1.0/24", ("dynamic", "10.0.1.10", "10.0.1.20"), ("reserved", "10.0.1.30", "10.0.1.40")))
    )
    wanted = tree(
        vlan(10, subnet("10.0.1.0/24", ("dynamic", "10.0.1.25", "10.0.1.45"), ("reserved", "10.0.1.5", "10.0.1.22"))),
        purge=["ranges"],
    )
    operations = after(earlier, wanted)
    assert len(operations) <= 3


def test_ranges_that_shift_do_so_in_an_order_that_maas_takes():
    earlier = tree(
        vlan(10, subnet("10.0.1.0/24", ("reserved", "10.0.1.10", "10.0.1.20"), ("reserved", "10.0.1.21", "10.0.1.30")))
    )
    wanted = tree(
        vlan(10, subnet("10.0.1.0/24", ("reserved", "10.0.1.10", "10.0.1.25"), ("reserved", "10.0.1.26", "10.0.1.40")))
    )
    assert after(earlier, wanted) == [
        "update range 10.0.1.21-10.0.1.30: start_ip=10.0.1.26, end_ip=10.0.1.40",
        "update range 10.0.1.10-10.0.1.20: end_ip=10.0.1.25",
    ]


def test_a_gateway_moves_out_of_the_way_of_a_pool_first():
    earlier = tree(vlan(10, subnet("10.0.1.0/24", gateway_ip="10.0.1.150")))
    wanted = tree(vlan(10, subnet("10.0.1.0/24", ("dynamic", "10.0.1.100", "10.0.1.200"), gateway_ip="10.0.1.1")))
    assert [text.split(":")[0] for text in after(earlier, wanted)] == [
        "update subnet 10.0.1.0/24",
        "create range 10.0.1.100-10.0.1.200",
    ]


def test_a_subnet_that_serves_dhcp_is_deleted_after_its_pool():
    earlier = tree(
        vlan(
            20,
            subnet("10.0.2.0/24", ("dynamic", "10.0.2.100", "10.0.2.200")),
            subnet("10.0.3.0/24", ("dynamic", "10.0.3.100", "10.0.3.200")),
            dhcp_on=True,
            primary_rack="rack1",
        )
    )
    wanted = tree(vlan(20, {"cidr": "10.0.3.0/24", "state": "absent"}))
    assert after(earlier, wanted) == ["delete range 10.0.3.100-10.0.3.200", "delete subnet 10.0.3.0/24"]


def test_a_description_that_maas_never_shows_does_not_make_a_change():
    wanted = tree(vlan(10, description="text"))
    wanted["fabrics"][0]["description"] = "text"
    assert after(wanted, wanted) == []
    assert after(tree(), wanted) == ["create vlan gough/10: vid=10, description=text"]


def test_a_rack_may_be_named_by_its_system_id():
    assert after(tree(served()), tree(served(primary_rack="rackc1"))) == []


def test_clearing_the_primary_clears_both_racks():
    earlier = tree(served(secondary_rack="rack2"))
    assert after(earlier, tree({"vid": 20, "dhcp_on": False, "primary_rack": ""})) == [
        'update vlan gough/20: dhcp_on=false, primary_rack="", secondary_rack=""',
        'update vlan gough/20: primary_rack="", secondary_rack=""',
    ]


def test_a_static_route_changes_its_metric_in_place_and_its_gateway_by_another_route():
    def routed(gateway, metric):
        route = {"destination": "10.0.9.0/24", "gateway_ip": gateway, "metric": metric}
        return tree(
            vlan(10, {"cidr": "10.0.1.0/24", "static_routes": [route]}, {"cidr": "10.0.9.0/24"}),
            purge=["static_routes"],
        )

    assert after(routed("10.0.1.2", 5), routed("10.0.1.2", 9)) == [
        "update route 10.0.1.0/24 to 10.0.9.0/24 via 10.0.1.2: metric=9"
    ]
    operations = after(routed("10.0.1.2", 5), routed("10.0.1.3", 5))
    assert [text.split(" ")[0] for text in operations] == ["delete", "create"]


def test_an_exported_tree_changes_nothing_where_it_came_from_and_rebuilds_it_elsewhere():
    wanted = tree(
        served(secondary_rack="rack2", space="dmz", name="pxe", mtu=9000),
        vlan(10, subnet("10.0.1.0/24", gateway_ip="10.0.1.1"), relay_vlan={"vid": 20}),
        spaces=[{"name": "dmz", "description": "outside"}],
    )
    front, other = harness.front(), harness.front()
    harness.run(front, wanted)
    exported = report(harness.asking(harness.client(front)), {})
    assert exported["drift"] == [] and exported["requests"] == {"reads": 6, "writes": 0}
    assert harness.run(front, exported["tree"])["operations"] == []
    harness.run(other, exported["tree"])
    assert report(harness.asking(harness.client(other)), {})["tree"] == exported["tree"]


def test_an_export_is_cut_down_to_the_fabrics_that_are_named():
    front = harness.front()
    harness.run(front, tree(vlan(10)))
    assert [
        fabric["name"] for fabric in report(harness.asking(harness.client(front)), tree(vlan(10)))["tree"]["fabrics"]
    ] == ["gough"]


def test_drift_names_missing_ranges_other_fields_and_what_should_not_be():
    front = harness.front()
    harness.run(front, tree(served(("dynamic", "10.0.2.100", "10.0.2.150")), vlan(30)))
    wanted = tree(
        served(mtu=9000),
        {"vid": 30, "state": "absent"},
        vlan(40, relay_vlan={"vid": 20}),
        vlan(10, subnet("10.0.1.0/24", ("reserved", "10.0.1.2", "10.0.1.9"))),
    )
    drift = report(harness.asking(harness.client(front)), wanted)["drift"]
    assert "subnet 10.0.2.0/24: the range 10.0.2.100-10.0.2.200 is missing; MAAS has 10.0.2.100-10.0.2.150" in drift
    assert "vlan gough/20: differs from the declaration (mtu=9000)" in drift
    assert "vlan gough/30: should not be" in drift
    assert [text for text in drift if "gough/40" in text] == ["vlan gough/40: is missing"]
    assert "subnet 10.0.1.0/24: is missing" in drift
    assert front.writes and harness.run(front, wanted)["changed"]
    assert report(harness.asking(harness.client(front)), wanted)["drift"] == []


def test_an_unsound_region_is_told_without_any_declaration():
    front = harness.front()
    locked(front)
    drift = report(harness.asking(harness.client(front)), {})["drift"]
    assert drift == ["vlan gough/20: DHCP is on without a dynamic range: MAAS refuses every change of it"]


def test_the_default_vlan_is_the_oldest_one_and_not_vid_0():
    front = harness.front()
    harness.run(front, tree())
    number = max(front.region.vlans)
    front.region.handle("PUT", "vlans/%d/" % number, {"vid": "7"})
    with pytest.raises(Refused, match="vlans.7: got state absent for the default VLAN"):
        harness.run(front, tree({"vid": 7, "state": "absent"}))
    assert harness.run(front, tree(vlan(0, name="native")))["operations"] == [
        "create vlan gough/0: vid=0, name=native",
    ]
    assert harness.run(front, tree({"vid": 0, "state": "absent"}))["operations"] == ["delete vlan gough/0"]


def test_dhcp_that_nobody_serves_is_not_turned_off_for_a_new_pool():
    front = harness.front()
    harness.run(front, tree(served()))
    front.region.handle("PUT", "vlans/%d/" % max(front.region.vlans), {"primary_rack": ""})
    new = vlan(20, subnet("10.0.2.0/24", ("dynamic", "10.0.2.10", "10.0.2.20")))
    operations = harness.run(front, tree(new, purge=["ranges"]))["operations"]
    assert [text.split(" 10.")[0] for text in operations] == ["delete range", "create range"]


def test_subnets_go_and_move_before_new_ones_come():
    """Later versions of MAAS refuse a subnet that overlaps one that is about to go."""
    earlier = tree(vlan(10, subnet("10.0.0.0/16"), subnet("10.1.0.0/24")), vlan(30))
    wanted = tree(
        vlan(10, {"cidr": "10.0.0.0/16", "state": "absent"}, subnet("10.0.1.0/24")), vlan(30, subnet("10.1.0.0/24"))
    )
    assert [text.split(":")[0] for text in after(earlier, wanted)] == [
        "delete subnet 10.0.0.0/16",
        "update subnet 10.1.0.0/24",
        "create subnet 10.0.1.0/24",
    ]
