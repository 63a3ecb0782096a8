# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input: every reason at once, each with its path, before the first write."""

from __future__ import annotations

import pytest
from maas_server import harness
from maas_server.serve import Fault

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import Refused


def tree(*vlans, **more):
    return {"fabrics": [{"name": "gough", "vlans": list(vlans)}], **more}


def vlan(vid=20, *subnets, **options):
    return {"vid": vid, "subnets": list(subnets), **options}


def subnet(cidr="10.0.2.0/24", *ranges, **options):
    return {"cidr": cidr, "ranges": [dict(zip(("type", "start_ip", "end_ip"), item)) for item in ranges], **options}


def errors(wanted, earlier=None):
    """The errors of a run; nothing may have been written."""
    front = harness.front()
    if earlier:
        harness.run(front, earlier)
    count = len(front.writes)
    with pytest.raises(Refused) as caught:
        harness.run(front, wanted)
    assert len(front.writes) == count
    return caught.value.errors


POOL = ("dynamic", "10.0.2.100", "10.0.2.200")

CASES = {
    "vid 4095": (tree(vlan(4095)), "fabrics.gough.vlans.4095.vid: 4095 is outside 0-4094"),
    "a negative vid": (tree(vlan(-1)), "-1 is outside 0-4094"),
    "mtu too small": (tree(vlan(mtu=551)), "fabrics.gough.vlans.20.mtu: 551 is outside 552-65535"),
    "a VLAN name with a dot": (tree(vlan(name="a.b")), "fabrics.gough.vlans.20.name: got 'a.b'"),
    "a VLAN twice": (tree(vlan(20), vlan(20)), "is the same as fabrics.gough.vlans.20; keep one"),
    "a fabric name with a space": ({"fabrics": [{"name": "my fabric"}]}, "fabrics.my fabric: the name is not usable"),
    "a fabric name that is reserved": (
        {"fabrics": [{"name": "fabric-77"}]},
        "fabrics.fabric-77: names of the form fabric-N are reserved",
    ),
    "a fabric that is to go with VLANs": (
        {"fabrics": [{"name": "x", "state": "absent", "vlans": [{"vid": 1}]}]},
        "cannot list VLANs",
    ),
    "a class that is to be cleared": ({"fabrics": [{"name": "x", "class_type": ""}]}, "MAAS cannot clear it"),
    "a space name that is reserved": ({"spaces": [{"name": "space-3"}]}, "spaces.space-3: the name is not usable"),
    "a space that is not there": (tree(vlan(space="dmz")), "there is no space dmz; list it under spaces"),
    "not a CIDR": (tree(vlan(20, subnet("nonsense"))), "vlans.20.subnets.nonsense: is not a subnet"),
    "a CIDR without a prefix": (tree(vlan(20, subnet("10.0.2.0"))), "has no prefix length"),
    "everything as a CIDR": (tree(vlan(20, subnet("0.0.0.0/0"))), "has no prefix length from 1 on"),
    "a CIDR twice, once with host bits": (tree(vlan(20, subnet(), subnet("10.0.2.7/24"))), "is the same as"),
    "a gateway outside": (
        tree(vlan(20, subnet(gateway_ip="10.0.3.1"))),
        "subnets.10.0.2.0/24.gateway_ip: 10.0.3.1 is outside 10.0.2.0/24",
    ),
    "a gateway of the other family": (tree(vlan(20, subnet(gateway_ip="fd00::1"))), "is IPv6, its subnet IPv4"),
    "a DNS server that is a name": (
        tree(vlan(20, subnet(dns_servers=["ns1"]))),
        "dns_servers: 'ns1' is not an IP address",
    ),
    "rdns_mode 3": (tree(vlan(20, subnet(rdns_mode=3))), "rdns_mode: 3 is outside 0-2"),
    "end before start": (
        tree(vlan(20, subnet("10.0.2.0/24", ("dynamic", "10.0.2.200", "10.0.2.100")))),
        "ranges.10.0.2.200-10.0.2.100: the end comes before the start",
    ),
    "end before start, reserved": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.200", "10.0.2.100")))),
        "the end comes before the start",
    ),
    "a range end that is no address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "x", "10.0.2.100")))),
        "start_ip: 'x' is not an IP address",
    ),
    "a range outside": (
        tree(vlan(20, subnet("10.0.2.0/24", ("dynamic", "10.5.2.1", "10.5.2.9")))),
        "is outside its subnet 10.0.2.0/24",
    ),
    "a range half outside": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.250", "10.0.3.9")))),
        "is outside its subnet",
    ),
    "a range from the network address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.0", "10.0.2.9")))),
        "starts with the network address",
    ),
    "a range to the broadcast address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.9", "10.0.2.255")))),
        "ends with the broadcast address",
    ),
    "a range without a type": (
        tree(vlan(20, {"cidr": "10.0.2.0/24", "ranges": [{"start_ip": "10.0.2.9", "end_ip": "10.0.2.10"}]})),
        "type: is missing",
    ),
    "an IPv6 pool that is too small": (
        tree(vlan(20, subnet("fd00:2::/64", ("dynamic", "fd00:2::1:0:10", "fd00:2::1:0:20")))),
        "fewer than 256 addresses",
    ),
    "an IPv6 pool where MAAS keeps addresses": (
        tree(vlan(20, subnet("fd00:2::/64", ("dynamic", "fd00:2::1:0", "fd00:2::1:ffff")))),
        "MAAS keeps ::1 to ::ffff:ffff",
    ),
    "ranges that overlap": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, ("reserved", "10.0.2.150", "10.0.2.210")))),
        "ranges.10.0.2.150-10.0.2.210: overlaps the dynamic range 10.0.2.100-10.0.2.200; keep them apart",
    ),
    "a pool over the gateway": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, gateway_ip="10.0.2.150"))),
        "holds the gateway 10.0.2.150; leave it out",
    ),
    "a pool over a DNS server": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, dns_servers=["10.0.2.150"]))),
        "holds the DNS server 10.0.2.150",
    ),
    "DHCP without a range": (tree(vlan(20, subnet(), dhcp_on=True, primary_rack="rack1")), "no dynamic range is left"),
    "DHCP without a rack": (tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True)), "no rack serves this VLAN"),
    "a rack that is not there": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack9")),
        "primary_rack: there is no rack controller rack9; MAAS knows rack1, rack2, rack3",
    ),
    "a rack without an interface on the vid": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack3")),
        "rack3 has no interface with vid 20 and cannot serve it; racks that have: rack1, rack2",
    ),
    "one rack twice": (tree(vlan(primary_rack="rack1", secondary_rack="rack1")), "is the primary rack too"),
    "a secondary alone": (tree(vlan(secondary_rack="rack1")), "has no primary_rack before it"),
    "no primary with a secondary": (tree(vlan(primary_rack="", secondary_rack="rack1")), "cannot stand without"),
    "no primary with DHCP": (tree(vlan(primary_rack="", dhcp_on=True)), "DHCP needs a rack"),
    "a relay to itself": (tree(vlan(relay_vlan={"vid": 20})), "relays to itself"),
    "a relay to nowhere": (tree(vlan(relay_vlan={"vid": 99})), "VLAN gough/99 does not exist"),
    "a relay loop": (
        tree(vlan(10, relay_vlan={"vid": 20}), vlan(20, relay_vlan={"vid": 10})),
        "VLAN gough/20 is relayed itself (to gough/10): a loop or a chain",
    ),
    "a relay chain": (
        tree(vlan(10, relay_vlan={"vid": 20}), vlan(20, relay_vlan={"vid": 30}), vlan(30)),
        "VLAN gough/20 is relayed itself (to gough/30)",
    ),
    "a relay and DHCP": (tree(vlan(10), vlan(20, dhcp_on=True, relay_vlan={"vid": 10})), "cannot relay it"),
    "a relay with a fabric alone": (tree(vlan(relay_vlan={"fabric": "gough"})), "names a fabric and no vid"),
    "a route to an unknown subnet": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.9.0.0/24", "gateway_ip": "10.0.2.9"}]))),
        "MAAS has no subnet 10.9.0.0/24 to lead to",
    ),
    "a route to itself": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.0.2.0/24", "gateway_ip": "10.0.2.9"}]))),
        "is the subnet itself",
    ),
    "a route's gateway outside": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.9.0.0/24", "gateway_ip": "10.9.0.1"}]))),
        "10.9.0.1 is outside the source 10.0.2.0/24",
    ),
    "orphans of a VLAN that stays": (tree(vlan(20, orphans_to={"vid": 0})), "only of use with state absent"),
    "orphans to the VLAN that goes": (tree({"vid": 20, "state": "absent", "orphans_to": {"vid": 20}}), "name another"),
    "a VLAN that is to go with subnets": (tree(vlan(20, subnet(), state="absent")), "list them where they go"),
    "the default VLAN": (tree({"vid": 0, "state": "absent"}), None),
}


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case[1]))
def test_it_is_refused_with_its_path_before_the_first_write(name):
    wanted, text = CASES[name]
    found = errors(wanted)
    assert any(text in error for error in found), found
    assert all(error.startswith(("fabrics.", "spaces.", "ranges.", "subnets.")) for error in found)


def test_all_errors_come_at_once_those_of_the_input_and_those_against_maas():
    wanted = tree(
        vlan(4095, subnet(gateway_ip="10.0.3.1")),
        vlan(20, subnet("10.0.5.0/24", ("dynamic", "10.0.5.200", "10.0.5.100")), primary_rack="rack9"),
        vlan(30, relay_vlan={"vid": 30}),
        vlan(10, subnet("10.0.6.0/24", ("dynamic", "10.0.6.10", "10.0.6.20"), ("reserved", "10.0.6.15", "10.0.6.16"))),
    )
    wanted["fabrics"].append({"name": "fabric-77"})
    found = errors(wanted)
    for text in ("4095", "10.0.3.1", "10.0.5.200-10.0.5.100", "rack9", "relays to itself", "10.0.6.15", "fabric-77"):
        assert any(text in error for error in found), text
    assert len(found) == 7


def test_a_nested_subnet_is_a_warning_and_not_an_error():
    front = harness.front()
    result = harness.run(front, tree(vlan(20, subnet("10.0.2.0/24"), subnet("10.0.2.128/25"))))
    assert result["changed"]
    assert any("10.0.2.128/25: is nested in the subnet 10.0.2.0/24" in text for text in result["warnings"])


def test_a_name_for_the_default_vlan_is_a_warning():
    result = harness.run(harness.front(), tree(vlan(0, name="native")))
    assert any("always reads `untagged`" in text for text in result["warnings"])


def test_a_relay_to_a_vlan_without_dhcp_is_a_warning():
    result = harness.run(harness.front(), tree(vlan(10, relay_vlan={"vid": 20}), vlan(20)))
    assert any("nobody answers what is relayed" in text for text in result["warnings"])


def test_bad_input_is_told_together_with_a_region_that_cannot_be_read():
    front = harness.front(faults=lambda *request: Fault("reset"))
    with pytest.raises(Refused) as caught:
        harness.run(front, tree(vlan(4095)))
    assert len(caught.value.errors) == 2 and "attempts" in caught.value.errors[1]


def test_the_default_fabric_is_not_deleted():
    assert any("default fabric" in error for error in errors({"fabrics": [{"name": "fabric-0", "state": "absent"}]}))


def test_the_default_vlan_is_not_deleted():
    assert any("is the default VLAN" in error for error in errors(CASES["the default VLAN"][0], tree(vlan(10))))


def test_a_vlan_that_holds_subnets_is_not_deleted_unless_it_is_said_where_they_go():
    earlier = tree(vlan(40, subnet()), vlan(10))
    gone = {"vid": 40, "state": "absent"}
    assert any("holds 10.0.2.0/24, which MAAS would move" in error for error in errors(tree(gone), earlier))
    front = harness.front()
    harness.run(front, earlier)
    assert harness.run(front, tree({**gone, "orphans_to": {"vid": 10}}))["operations"] == [
        "update subnet 10.0.2.0/24: vlan=gough/10",
        "delete vlan gough/40",
    ]


def test_a_vlan_that_holds_interfaces_is_deleted_only_towards_the_default_vlan():
    gone = {"vid": 20, "state": "absent"}
    front = harness.front()
    wanted = {"fabrics": [{"name": "fabric-0", "vlans": [gone]}]}
    with pytest.raises(Refused, match=r"holds the interfaces rack1 eth\d+, rack2 eth\d+"):
        harness.run(front, wanted)
    gone["orphans_to"] = {"vid": 10}
    with pytest.raises(Refused, match="default VLAN alone"):
        harness.run(front, wanted)
    gone["orphans_to"] = {"vid": 0}
    assert harness.run(front, wanted)["operations"] == ["delete vlan fabric-0/20"]


def test_a_fabric_that_holds_subnets_is_not_deleted():
    gone = {"fabrics": [{"name": "gough", "state": "absent"}]}
    assert any("holds 10.0.2.0/24" in error for error in errors(gone, tree(vlan(20, subnet()))))


def test_a_space_that_is_in_use_is_not_deleted():
    earlier = tree(vlan(20, space="dmz"), spaces=[{"name": "dmz"}])
    assert any(
        "is still the space of VLAN gough/20" in error
        for error in errors({"spaces": [{"name": "dmz", "state": "absent"}]}, earlier)
    )


def test_the_end_of_a_relay_target_is_refused():
    earlier = tree(vlan(10, relay_vlan={"vid": 20}), vlan(20))
    assert any("is deleted by this run" in error for error in errors(tree({"vid": 20, "state": "absent"}), earlier))


def test_the_last_pool_of_a_vlan_that_serves_is_not_taken_away():
    earlier = tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack1"))
    gone = tree(vlan(20, subnet()), purge=["ranges"])
    assert any("no dynamic range is left" in error for error in errors(gone, earlier))


def test_orphans_are_not_handed_to_a_list_that_is_purged():
    earlier = tree(vlan(40, subnet()), vlan(10))
    wanted = tree({"vid": 40, "state": "absent", "orphans_to": {"vid": 10}}, vlan(10), purge=["subnets"])
    assert any("does not list 10.0.2.0/24" in error for error in errors(wanted, earlier))
