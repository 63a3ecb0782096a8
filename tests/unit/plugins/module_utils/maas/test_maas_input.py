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
    "vid 4095": (tree(vlan(4095)), "fabrics.gough.vlans.4095.vid: got 4095; expected a number from 0 to 4094"),
    "a negative vid": (tree(vlan(-1)), "got -1; expected a number from 0 to 4094"),
    "mtu too small": (tree(vlan(mtu=551)), "fabrics.gough.vlans.20.mtu: got 551; expected a number from 552 to 65535"),
    "a VLAN name with a dot": (
        tree(vlan(name="a.b")),
        'fabrics.gough.vlans.20.name: got "a.b"; expected a letter or digit first, then letters, digits, blanks, _ and -',
    ),
    "a VLAN twice": (tree(vlan(20), vlan(20)), "got the same as fabrics.gough.vlans.20; expected each thing once"),
    "a fabric name with a space": (
        {"fabrics": [{"name": "my fabric"}]},
        'fabrics.my fabric: got "my fabric"; expected a name of letters, digits, _ and -',
    ),
    "a fabric name that is reserved": (
        {"fabrics": [{"name": "fabric-77"}]},
        "fabrics.fabric-77: got fabric-77; expected a name that MAAS does not give itself",
    ),
    "a fabric that is to go with VLANs": (
        {"fabrics": [{"name": "x", "state": "absent", "vlans": [{"vid": 1}]}]},
        "got a list; expected none, with state absent",
    ),
    "a class that is to be cleared": ({"fabrics": [{"name": "x", "class_type": ""}]}, "MAAS cannot clear it"),
    "a space name that is reserved": (
        {"spaces": [{"name": "space-3"}]},
        "spaces.space-3: got space-3; expected a name that MAAS does not give itself",
    ),
    "a space that is not there": (tree(vlan(space="dmz")), "got dmz; expected a space that exists"),
    "not a CIDR": (tree(vlan(20, subnet("nonsense"))), 'got "nonsense"; expected a subnet, NETWORK/PREFIX'),
    "a CIDR without a prefix": (
        tree(vlan(20, subnet("10.0.2.0"))),
        'got "10.0.2.0"; expected a prefix length of 1 or more',
    ),
    "everything as a CIDR": (
        tree(vlan(20, subnet("0.0.0.0/0"))),
        'got "0.0.0.0/0"; expected a prefix length of 1 or more',
    ),
    "a CIDR twice, once with host bits": (
        tree(vlan(20, subnet(), subnet("10.0.2.7/24"))),
        "got the same as fabrics.gough.vlans.20.subnets.10.0.2.0/24; expected each thing once",
    ),
    "a gateway outside": (
        tree(vlan(20, subnet(gateway_ip="10.0.3.1"))),
        "got 10.0.3.1; expected an address inside 10.0.2.0/24",
    ),
    "a gateway of the other family": (
        tree(vlan(20, subnet(gateway_ip="fd00::1"))),
        "got fd00::1; expected an IPv4 address, as its subnet is",
    ),
    "a DNS server that is a name": (
        tree(vlan(20, subnet(dns_servers=["ns1"]))),
        'got "ns1"; expected an IP address',
    ),
    "rdns_mode 3": (tree(vlan(20, subnet(rdns_mode=3))), "got 3; expected a number from 0 to 2"),
    "end before start": (
        tree(vlan(20, subnet("10.0.2.0/24", ("dynamic", "10.0.2.200", "10.0.2.100")))),
        "got an end before the start; expected the start first",
    ),
    "end before start, reserved": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.200", "10.0.2.100")))),
        "got an end before the start; expected the start first",
    ),
    "a range end that is no address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "x", "10.0.2.100")))),
        'got "x"; expected an IP address',
    ),
    "a range outside": (
        tree(vlan(20, subnet("10.0.2.0/24", ("dynamic", "10.5.2.1", "10.5.2.9")))),
        "got a range outside; expected one inside its subnet 10.0.2.0/24",
    ),
    "a range half outside": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.250", "10.0.3.9")))),
        "got a range outside; expected one inside its subnet 10.0.2.0/24",
    ),
    "a range from the network address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.0", "10.0.2.9")))),
        "got the network address 10.0.2.0; expected addresses of hosts",
    ),
    "a range to the broadcast address": (
        tree(vlan(20, subnet("10.0.2.0/24", ("reserved", "10.0.2.9", "10.0.2.255")))),
        "got the broadcast address 10.0.2.255; expected addresses of hosts",
    ),
    "a range without a type": (
        tree(vlan(20, {"cidr": "10.0.2.0/24", "ranges": [{"start_ip": "10.0.2.9", "end_ip": "10.0.2.10"}]})),
        "got nothing; expected dynamic or reserved",
    ),
    "an IPv6 pool that is too small": (
        tree(vlan(20, subnet("fd00:2::/64", ("dynamic", "fd00:2::1:0:10", "fd00:2::1:0:20")))),
        "got 17 addresses; expected at least 256, the least MAAS takes for IPv6",
    ),
    "an IPv6 pool where MAAS keeps addresses": (
        tree(vlan(20, subnet("fd00:2::/64", ("dynamic", "fd00:2::1:0", "fd00:2::1:ffff")))),
        "MAAS keeps ::1 to ::ffff:ffff",
    ),
    "ranges that overlap": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, ("reserved", "10.0.2.150", "10.0.2.210")))),
        "got an overlap with the dynamic range 10.0.2.100-10.0.2.200; expected none",
    ),
    "a pool over the gateway": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, gateway_ip="10.0.2.150"))),
        "got the gateway 10.0.2.150 in it; expected a range without it",
    ),
    "a pool over a DNS server": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL, dns_servers=["10.0.2.150"]))),
        "got the DNS server 10.0.2.150 in it; expected a range without it",
    ),
    "DHCP without a range": (
        tree(vlan(20, subnet(), dhcp_on=True, primary_rack="rack1")),
        "got true, and no dynamic range on this VLAN; expected a range to give addresses from",
    ),
    "DHCP without a rack": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True)),
        "got true, and no rack for this VLAN; expected a rack that serves it",
    ),
    "a rack that is not there": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack9")),
        "got rack9; expected a rack controller of MAAS (rack1, rack2, rack3)",
    ),
    "a rack without an interface on the vid": (
        tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack3")),
        "got rack3, which has no interface with vid 20; expected a rack that has one (rack1, rack2)",
    ),
    "one rack twice": (tree(vlan(primary_rack="rack1", secondary_rack="rack1")), "is the primary rack too"),
    "a secondary alone": (tree(vlan(secondary_rack="rack1")), "got rack1 without a primary_rack; expected both"),
    "no primary with a secondary": (
        tree(vlan(primary_rack="", secondary_rack="rack1")),
        "got rack1 without a primary_rack; expected both",
    ),
    "no primary with DHCP": (tree(vlan(primary_rack="", dhcp_on=True)), "DHCP needs a rack"),
    "a relay to itself": (
        tree(vlan(relay_vlan={"vid": 20})),
        "got the VLAN itself; expected the VLAN whose rack answers",
    ),
    "a relay to nowhere": (
        tree(vlan(relay_vlan={"vid": 99})),
        "got VLAN gough/99, which does not exist; expected one that exists",
    ),
    "a relay loop": (
        tree(vlan(10, relay_vlan={"vid": 20}), vlan(20, relay_vlan={"vid": 10})),
        "got VLAN gough/20, which is relayed itself (to gough/10): a loop or a chain; expected the VLAN whose rack answers",
    ),
    "a relay chain": (
        tree(vlan(10, relay_vlan={"vid": 20}), vlan(20, relay_vlan={"vid": 30}), vlan(30)),
        "got VLAN gough/20, which is relayed itself (to gough/30): a loop or a chain; expected the VLAN whose rack answers",
    ),
    "a relay and DHCP": (tree(vlan(10), vlan(20, dhcp_on=True, relay_vlan={"vid": 10})), "cannot relay it"),
    "a relay with a fabric alone": (
        tree(vlan(relay_vlan={"fabric": "gough"})),
        "got a fabric without a vid; expected both",
    ),
    "a route to an unknown subnet": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.9.0.0/24", "gateway_ip": "10.0.2.9"}]))),
        "got 10.9.0.0/24; expected a subnet that MAAS has",
    ),
    "a route to itself": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.0.2.0/24", "gateway_ip": "10.0.2.9"}]))),
        "got the subnet itself; expected another subnet",
    ),
    "a route's gateway outside": (
        tree(vlan(20, subnet(static_routes=[{"destination": "10.9.0.0/24", "gateway_ip": "10.9.0.1"}]))),
        "got 10.9.0.1; expected an address inside the source 10.0.2.0/24",
    ),
    "orphans of a VLAN that stays": (
        tree(vlan(20, orphans_to={"vid": 0})),
        "got a VLAN; expected nothing where the VLAN stays",
    ),
    "orphans to the VLAN that goes": (
        tree({"vid": 20, "state": "absent", "orphans_to": {"vid": 20}}),
        "got the VLAN that is deleted; expected another one",
    ),
    "a VLAN that is to go with subnets": (
        tree(vlan(20, subnet(), state="absent")),
        "got a list; expected none, with state absent",
    ),
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
    for text in ("4095", "10.0.3.1", "10.0.5.200-10.0.5.100", "rack9", "the VLAN itself", "10.0.6.15", "fabric-77"):
        assert any(text in error for error in found), text
    assert len(found) == 7


def test_a_nested_subnet_is_a_warning_and_not_an_error():
    front = harness.front()
    result = harness.run(front, tree(vlan(20, subnet("10.0.2.0/24"), subnet("10.0.2.128/25"))))
    assert result["changed"]
    assert any("10.0.2.128/25: got a subnet inside 10.0.2.0/24" in text for text in result["warnings"])


def test_a_name_for_the_default_vlan_is_a_warning():
    result = harness.run(harness.front(), tree(vlan(0, name="native")))
    assert any("always reads `untagged`" in text for text in result["warnings"])


def test_a_relay_to_a_vlan_without_dhcp_is_a_warning():
    result = harness.run(harness.front(), tree(vlan(10, relay_vlan={"vid": 20}), vlan(20)))
    assert any("no rack answers what is relayed" in text for text in result["warnings"])


def test_bad_input_is_told_together_with_a_region_that_cannot_be_read():
    front = harness.front(faults=lambda *request: Fault("reset"))
    with pytest.raises(Refused) as caught:
        harness.run(front, tree(vlan(4095)))
    assert len(caught.value.errors) == 2 and "attempts" in caught.value.errors[1]


def test_the_default_fabric_is_not_deleted():
    assert any("default fabric" in error for error in errors({"fabrics": [{"name": "fabric-0", "state": "absent"}]}))


def test_the_default_vlan_is_not_deleted():
    assert any(
        "state absent for the default VLAN" in error for error in errors(CASES["the default VLAN"][0], tree(vlan(10)))
    )


def test_a_vlan_that_holds_subnets_is_not_deleted_unless_it_is_said_where_they_go():
    earlier = tree(vlan(40, subnet()), vlan(10))
    gone = {"vid": 40, "state": "absent"}
    assert any("10.0.2.0/24 on it, which MAAS would move" in error for error in errors(tree(gone), earlier))
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
    with pytest.raises(Refused, match=r"the interfaces rack1 eth\d+, rack2 eth\d+ on it"):
        harness.run(front, wanted)
    gone["orphans_to"] = {"vid": 10}
    with pytest.raises(Refused, match="default VLAN alone"):
        harness.run(front, wanted)
    gone["orphans_to"] = {"vid": 0}
    assert harness.run(front, wanted)["operations"] == ["delete vlan fabric-0/20"]


def test_a_fabric_that_holds_subnets_is_not_deleted():
    gone = {"fabrics": [{"name": "gough", "state": "absent"}]}
    assert any("10.0.2.0/24 on it" in error for error in errors(gone, tree(vlan(20, subnet()))))


def test_a_space_that_is_in_use_is_not_deleted():
    earlier = tree(vlan(20, space="dmz"), spaces=[{"name": "dmz"}])
    assert any(
        "state absent, and VLAN gough/20 in it" in error
        for error in errors({"spaces": [{"name": "dmz", "state": "absent"}]}, earlier)
    )


def test_the_end_of_a_relay_target_is_refused():
    earlier = tree(vlan(10, relay_vlan={"vid": 20}), vlan(20))
    assert any("is deleted by this run" in error for error in errors(tree({"vid": 20, "state": "absent"}), earlier))


def test_the_last_pool_of_a_vlan_that_serves_is_not_taken_away():
    earlier = tree(vlan(20, subnet("10.0.2.0/24", POOL), dhcp_on=True, primary_rack="rack1"))
    gone = tree(vlan(20, subnet()), purge=["ranges"])
    assert any("no dynamic range on this VLAN" in error for error in errors(gone, earlier))


def test_orphans_are_not_handed_to_a_list_that_is_purged():
    earlier = tree(vlan(40, subnet()), vlan(10))
    wanted = tree({"vid": 40, "state": "absent", "orphans_to": {"vid": 10}}, vlan(10), purge=["subnets"])
    assert any("does not list 10.0.2.0/24" in error for error in errors(wanted, earlier))
