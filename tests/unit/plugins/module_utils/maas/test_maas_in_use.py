# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a real MAAS 3.6.5 deletes without a word, refuses without a reason, or keeps though it was cleared."""

from __future__ import annotations

import pytest
from maas_server import harness

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import report


def tree(*vlans, **more):
    return {"fabrics": [{"name": "gough", "vlans": list(vlans)}], **more}


def subnet(cidr="10.0.2.0/24", *ranges, **options):
    keys = ("type", "start_ip", "end_ip", "comment")
    return {"cidr": cidr, "ranges": [dict(zip(keys, item)) for item in ranges], **options}


def vlan(*subnets, vid=20, **options):
    return {"vid": vid, "subnets": list(subnets), **options}


def ids(front):
    region = front.region
    return (
        {item["cidr"]: number for number, item in region.subnets.items()},
        {(region.fabrics[item["fabric"]]["name"], item["vid"]): number for number, item in region.vlans.items()},
    )


def used():
    """A region in which 10.0.2.0/24 is used in every way that MAAS deletes along with it."""
    front = harness.front()
    route = {"destination": "10.0.2.0/24", "gateway_ip": "10.0.1.9"}
    harness.run(front, tree(vlan(subnet("10.0.1.0/24", static_routes=[route]), vid=10), vlan(subnet())))
    subnets, vlans = ids(front)
    number = subnets["10.0.2.0/24"]
    front.region.add_node("m1", "db1", 0, {})
    front.region.plug("m1", vlans["gough", 20], ((number, "10.0.2.50"),), "eth0")
    front.region.reserved.append({"ip": "10.0.2.9"})
    front.region.snippets.append({"name": "pxe", "subnet": {"id": number}})
    front.log.clear()
    return front


GONE = [
    tree(vlan(vid=10), vlan({"cidr": "10.0.2.0/24", "state": "absent"})),
    tree(vlan(), purge=["subnets"]),
]


@pytest.mark.parametrize("wanted", GONE, ids=["state absent", "purge"])
def test_a_subnet_that_is_in_use_is_not_deleted_and_what_uses_it_is_named(wanted):
    front = used()
    with pytest.raises(Refused) as caught:
        harness.run(front, wanted)
    (text,) = caught.value.errors
    for use in ("10.0.2.50 of db1 eth0", "reserved address 10.0.2.9", "DHCP snippet pxe", "route from 10.0.1.0/24"):
        assert use in text
    assert text.endswith("take these away in MAAS first, or say delete_in_use: true") and front.writes == []


@pytest.mark.parametrize("wanted", GONE, ids=["state absent", "purge"])
def test_it_is_deleted_where_that_is_asked_for_and_what_goes_along_is_a_warning(wanted):
    front = used()
    result = harness.run(front, {**wanted, "delete_in_use": True}, check=True)
    assert result["operations"] == ["delete subnet 10.0.2.0/24"] and front.writes == []
    assert any("MAAS deletes with it 10.0.2.50 of db1 eth0" in text for text in result["warnings"])
    assert "- 10.0.2.50 of db1 eth0" in result["diff"]["before"] and "db1" not in result["diff"]["after"]
    harness.run(front, {**wanted, "delete_in_use": True})
    assert "10.0.2.0/24" not in ids(front)[0]


def test_a_subnet_that_nothing_uses_is_deleted_as_before():
    front = harness.front()
    harness.run(front, tree(vlan(subnet())))
    assert harness.run(front, GONE[0])["operations"] == ["create vlan gough/10: vid=10", "delete subnet 10.0.2.0/24"]


@pytest.mark.parametrize("name", ["eth0.33", "bond0.30"])
def test_a_vlan_with_tagged_interfaces_is_not_deleted_even_towards_the_default_vlan(name):
    front = harness.front()
    harness.run(front, tree(vlan(vid=33)))
    front.region.add_node("m1", "db1", 0, {})
    front.region.plug("m1", ids(front)[1]["gough", 33], (), name, "vlan")
    gone = tree({"vid": 33, "state": "absent", "orphans_to": {"vid": 0}})
    with pytest.raises(Refused, match=f"the tagged interfaces db1 {name} on it, which MAAS would delete"):
        harness.run(front, gone)
    result = harness.run(front, {**gone, "delete_in_use": True})
    assert result["operations"] == ["delete vlan gough/33"]
    assert any(f"MAAS deletes the tagged interfaces db1 {name}" in text for text in result["warnings"])


POOL, AROUND = ("dynamic", "10.0.2.100", "10.0.2.120"), ("reserved", "10.0.2.90", "10.0.2.200")


def test_a_pool_of_a_subnet_that_maas_does_not_manage_lies_in_a_reserved_range():
    front = harness.front()
    result = harness.run(front, tree(vlan(subnet("10.0.2.0/24", POOL, AROUND, managed=False))))
    ranges = [text for text in result["operations"] if text.startswith("create range")]
    assert [text.split(": ")[0] for text in ranges] == [
        "create range 10.0.2.90-10.0.2.200",
        "create range 10.0.2.100-10.0.2.120",
    ]


@pytest.mark.parametrize(
    "outside", [(), (("reserved", "10.0.2.10", "10.0.2.20"),), (("reserved", "10.0.2.90", "10.0.2.110"),)]
)
def test_one_that_lies_in_none_is_refused_before_maas_does(outside):
    with pytest.raises(Refused, match="a dynamic range on a subnet that MAAS does not manage; expected one inside"):
        harness.run(harness.front(), tree(vlan(subnet("10.0.2.0/24", POOL, *outside, managed=False))))


def test_such_a_pool_goes_before_the_range_around_it_and_moves_with_it():
    front = harness.front()
    unmanaged = {"managed": False}
    harness.run(front, tree(vlan(subnet("10.0.2.0/24", POOL, AROUND, **unmanaged))))
    moved = (("dynamic", "10.0.2.210", "10.0.2.215"), ("reserved", "10.0.2.205", "10.0.2.220"))
    harness.run(front, tree(vlan(subnet("10.0.2.0/24", *moved, **unmanaged)), purge=["ranges"]))
    assert (
        harness.run(front, tree(vlan(subnet("10.0.2.0/24", *moved, **unmanaged)), purge=["ranges"]))["operations"] == []
    )
    gone = harness.run(front, tree(vlan(subnet("10.0.2.0/24", **unmanaged)), purge=["ranges"]))["operations"]
    assert gone == ["delete range 10.0.2.210-10.0.2.215", "delete range 10.0.2.205-10.0.2.220"]


@pytest.mark.parametrize("first", [True, False])
def test_a_subnet_starts_and_stops_to_be_managed_with_its_pools(first):
    front = harness.front()
    apart, nested = (POOL,), (POOL, AROUND)
    for managed in (first, not first, first):
        wanted = tree(vlan(subnet("10.0.2.0/24", *(apart if managed else nested), managed=managed)), purge=["ranges"])
        assert harness.run(front, wanted)["changed"]
        assert harness.run(front, wanted)["operations"] == []


def test_a_comment_that_is_cleared_is_gone():
    front = harness.front()
    harness.run(front, tree(vlan(subnet("10.0.2.0/24", (*POOL, "by hand")))))
    cleared = tree(vlan(subnet("10.0.2.0/24", (*POOL, ""))))
    assert [text.split(" ")[0] for text in harness.run(front, cleared)["operations"]] == ["delete", "create"]
    assert [item["comment"] for item in front.region.ranges.values()] == [""]
    assert harness.run(front, cleared)["operations"] == []


def test_texts_lose_the_blanks_at_their_ends_as_in_maas():
    block = "  of a block\n"
    wanted = tree(
        vlan(subnet("10.0.2.0/24", (*POOL, block), name=" pxe ", description=block), name=" lan ", vid=20),
        spaces=[{"name": "dmz", "description": block}],
    )
    front = harness.front()
    assert harness.run(front, wanted)["changed"]
    assert harness.run(front, wanted)["operations"] == []


def test_an_export_of_names_that_maas_gave_and_of_two_addresses_is_applied():
    front = harness.front()
    front.region.handle("POST", "spaces/", {})
    (number,) = front.region.spaces
    harness.run(front, tree(vlan(subnet("10.0.9.0/31", ("reserved", "10.0.9.0", "10.0.9.1")))))
    front.region.vlans[ids(front)[1]["gough", 20]].update(space=number, name="")
    exported = report(harness.asking(harness.client(front)), {})["tree"]
    assert any(space["name"] == f"space-{number}" for space in exported["spaces"])
    assert harness.run(front, exported)["operations"] == []


def test_a_vlan_loses_its_name():
    front = harness.front()
    harness.run(front, tree(vlan(vid=20, name="lan")))
    assert harness.run(front, tree(vlan(vid=20, name="")))["operations"] == ['update vlan gough/20: name=""']
    assert harness.run(front, tree(vlan(vid=20, name="")))["operations"] == []


@pytest.mark.parametrize("start", ["fd00:2::10", "fd00:2::1:0"])
def test_a_reserved_range_low_in_a_64_is_refused_before_maas_does(start):
    wanted = tree(vlan(subnet("fd00:2::/64", ("reserved", start, "fd00:2::2:0:0"))))
    with pytest.raises(Refused, match="MAAS keeps ::1 to ::ffff:ffff"):
        harness.run(harness.front(), wanted)


@pytest.mark.parametrize("reserve", [True, False], ids=["reserved address", "address of a machine"])
def test_a_pool_over_an_address_in_use_is_refused_before_maas_does(reserve):
    front = harness.front()
    harness.run(front, tree(vlan(subnet())))
    subnets, vlans = ids(front)
    if reserve:
        front.region.reserved.append({"ip": "10.0.2.110"})
    else:
        front.region.add_node("m1", "db1", 0, {})
        front.region.plug("m1", vlans["gough", 20], ((subnets["10.0.2.0/24"], "10.0.2.110"),))
    with pytest.raises(Refused, match="10.0.2.110 in it, which MAAS has in use"):
        harness.run(front, tree(vlan(subnet("10.0.2.0/24", POOL))))
    assert harness.run(front, tree(vlan(subnet("10.0.2.0/24", ("dynamic", "10.0.2.111", "10.0.2.120")))))["changed"]


LONG = {
    "fabric": ({"fabrics": [{"name": "f" * 257}]}, "257 characters; expected at most 256"),
    "VLAN": (tree(vlan(name="v" * 257)), "257 characters; expected at most 256"),
    "space": (tree(spaces=[{"name": "s" * 257}]), "257 characters; expected at most 256"),
    "subnet": (tree(vlan(subnet(name="s" * 256))), "256 characters; expected at most 255"),
    "comment": (tree(vlan(subnet("10.0.2.0/24", (*POOL, "c" * 256)))), "256 characters; expected at most 255"),
    "metric": (
        tree(vlan(subnet(static_routes=[{"destination": "10.0.1.0/24", "gateway_ip": "10.0.2.3", "metric": 2**31}]))),
        "expected a number from 0 to 2147483647",
    ),
}


@pytest.mark.parametrize("kind", sorted(LONG))
def test_what_is_too_long_or_too_large_for_maas_is_refused_before_the_first_write(kind):
    wanted, text = LONG[kind]
    front = harness.front()
    with pytest.raises(Refused) as caught:
        harness.run(front, wanted)
    assert text in str(caught.value) and front.writes == []
