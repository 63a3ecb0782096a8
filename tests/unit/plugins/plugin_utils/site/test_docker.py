# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Docker would not make of a site's networks: the site says it, and in the words of the module that would make them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import parse_requests
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import host_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 11, 21)
OVERLAY = {"driver": "overlay", "subnet": "10.30.0.0/24"}
BRIDGE = {"driver": "bridge", "subnet": "10.40.0.0/24", "on": "apps"}
INTERFACE = "com.docker.network.bridge.name"


def declaration(networks, **variables):
    return {
        "bulkhead_tiers": {
            "apps": {"vlan": 20, "subnet": "203.0.113.0/25"},
            "web": {"vlan": 21, "subnet": "203.0.113.128/25"},
        },
        "bulkhead_swarm": {"managers": {"m1": "203.0.113.11"}, "tier": "apps"},
        "bulkhead_pools": {"engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"},
        "bulkhead_networks": networks,
        **variables,
    }


def mistakes(networks, **variables):
    try:
        parse_site(declaration(networks, **variables), TODAY)
    except Refused as refused:
        return refused.errors
    return []


def site(networks, **variables):
    return parse_site(declaration(networks, **variables), TODAY)


def module_mistakes(name, network):
    """What swarm_network finds wrong with a network that the site compiled, or would have."""
    item = {key: value for key, value in network.items() if key not in ("on", "public")}
    item = {
        key: [value] if key in ("subnet", "gateway", "ip_range") and isinstance(value, str) else value
        for key, value in item.items()
        if value is not None
    }
    return parse_requests([{"name": name, "state": "present", **item}])[1]


NAMES = st.sampled_from(
    [
        "shop",
        "a-b_c",
        "a.b",
        "x" * 63,
        "x" * 64,
        "x" * 70,
        "-a",
        "a-",
        "_a",
        "ingress",
        "host",
        "default",
        "bridge",
        "9",
    ]
)
SUBNETS = st.sampled_from(["10.9.0.0/24", "fd00:9::/64"]) | st.sampled_from(
    [
        *("10.9.0.0/24", "10.9.0.0/30", "10.9.0.0/31", "10.9.0.1/32", "10.0.0.0/8", "0.0.0.0/24", "0.0.0.0/0"),
        *(
            "127.1.0.0/16",
            "169.254.9.0/24",
            "224.0.0.0/24",
            "239.1.0.0/16",
            "240.0.0.0/24",
            "255.255.255.0/24",
            "8.8.8.0/24",
        ),
        *(
            "192.0.0.0/2",
            "fd00:9::/64",
            "fd00:9::/126",
            "fd00:9::/127",
            "fd00:9::1/128",
            "fe80::/64",
            "ff02::/64",
            "::/96",
        ),
    ]
)
ADDRESSES = st.sampled_from(["10.9.0.1", "fd00:9::1"]) | st.sampled_from(
    ["10.9.0.0", "10.9.0.1", "10.9.0.3", "10.9.0.255", "10.10.0.1", "fd00:9::", "fd00:9::1", "fd00:9::ffff"]
)
RANGES = st.sampled_from(["10.9.0.0/25", "10.9.0.128/25", "10.9.0.0/24", "10.9.0.0/16", "fd00:9::/80", "fd00:8::/80"])
SAID = st.sampled_from([True, False])
OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            *("encrypted", "com.docker.network.driver.mtu", INTERFACE, "com.docker.network.enable_ipv6", "a"),
            "com.docker.network.driver.overlay.vxlanid_list",
        ]
    ),
    st.sampled_from(
        ["", "1", "1400", "65536", "big", "docker0", "docker_gwbridge", "lo", "br-x", "a b", "a/b", "x" * 16, ".", "é"]
    ),
    max_size=2,
)
LABELS = st.dictionaries(
    st.sampled_from(["zone", "bulkhead.tiers.managed", "bulkhead.tiers.migrates", "bulkhead.tiers.former"]),
    st.just("true"),
    max_size=1,
)


def one_or_two(values):
    return values | st.lists(values, min_size=1, max_size=2)


FIELDS = {
    "subnet": one_or_two(SUBNETS),
    "gateway": one_or_two(ADDRESSES),
    "ip_range": one_or_two(RANGES),
    "internal": SAID,
    "attachable": SAID,
    "encrypted": SAID,
    "enable_ipv4": SAID,
    "enable_ipv6": SAID,
    "mtu": st.sampled_from([67, 68, 600, 1279, 1280, 1500, 65535]),
    "options": OPTIONS,
    "labels": LABELS,
}
#: A network that Docker makes, with up to three fields of any kind.
NETWORKS = st.builds(
    lambda network, more: {**network, **more},
    st.sampled_from(
        [
            {"driver": "overlay", "subnet": "10.9.0.0/24"},
            {"driver": "bridge", "subnet": "10.9.0.0/24"},
            {"driver": "bridge", "subnet": "fd00:9::/64", "enable_ipv4": False},
            {"driver": "bridge", "subnet": ["10.9.0.0/24", "fd00:9::/64"]},
            {"driver": "overlay", "subnet": ["fd00:9::/64", "10.9.0.0/24"], "enable_ipv6": True},
        ]
    ),
    st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: FIELDS[key] for key in keys})
    ),
)


def alone(value):
    """A list of one is the same as the one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


@settings(max_examples=300, deadline=None)
@given(NAMES, NETWORKS)
def test_the_site_refuses_exactly_what_the_module_refuses(name, network):
    declared = {**network, "on": "apps"} if network["driver"] == "bridge" else network
    ours, theirs = mistakes({name: declared}), module_mistakes(name, network)
    # A subnet of everything overlaps the tiers as well, which a host knows nothing of.
    ours = [text for text in ours if "a network that overlaps no other one" not in text]
    event("refused" if theirs else "taken")
    assert bool(ours) == bool(theirs), (ours, list(map(str, theirs)))
    if not theirs:
        items = host_networks(site({name: declared}), ["apps"], "m1")
        assert [item["name"] for item in items] == [name] and module_mistakes(name, items[0]) == []
        for key in sorted(set(network) - {"labels"}):
            assert (items[0].get(key) or False) == (alone(network[key]) or False)


@pytest.mark.parametrize(
    ("name", "network", "problem"),
    [
        ("a.b", OVERLAY, "bulkhead_networks.a.b: got 'a.b'; expected 1 to 63 letters"),
        ("x" * 70, OVERLAY, f"bulkhead_networks.{'x' * 70}: got '{'x' * 70}'; expected 1 to 63 letters"),
        (
            "n",
            {**OVERLAY, "subnet": "10.30.0.0/31"},
            "bulkhead_networks.n.subnet: got 10.30.0.0/31; expected /30 or larger",
        ),
        (
            "n",
            {**OVERLAY, "subnet": "fd00:9::/64"},
            "bulkhead_networks.n.subnet: got fd00:9::/64 alone; expected an IPv4",
        ),
        (
            "n",
            {**BRIDGE, "subnet": "fd00:9::/64", "enable_ipv4": False, "mtu": 600},
            "bulkhead_networks.n.mtu: got 600; expected 1280 to 65535",
        ),
        ("n", {**BRIDGE, "encrypted": True}, "bulkhead_networks.n.encrypted: got true on a bridge"),
        (
            "n",
            {**OVERLAY, "labels": {"bulkhead.tiers.managed": "true"}},
            "bulkhead_networks.n.labels.bulkhead.tiers.managed: got 'true'; expected nothing",
        ),
        ("n", {**BRIDGE, "subnet": "224.0.0.0/24"}, "bulkhead_networks.n.subnet: got 224.0.0.0/24; expected addresses"),
        ("n", {**BRIDGE, "subnet": "0.0.0.0/24"}, "bulkhead_networks.n.subnet: got 0.0.0.0/24; expected addresses"),
        ("n", {**BRIDGE, "subnet": "255.255.255.0/24"}, "bulkhead_networks.n.subnet: got 255.255.255.0/24; expected"),
        ("n", {**OVERLAY, "enable_ipv4": False}, "bulkhead_networks.n.enable_ipv4: got false on an overlay"),
        (
            "n",
            {**BRIDGE, "subnet": ["10.40.0.0/24", "10.41.0.0/24"]},
            "bulkhead_networks.n.subnet: got 10.40.0.0/24, 10.41.0.0/24; expected one IPv4 subnet",
        ),
        (
            "n",
            {**OVERLAY, "subnet": ["10.30.0.0/24", "10.30.0.128/25"]},
            "bulkhead_networks.n.subnet: got 10.30.0.128/25 and 10.30.0.0/24; expected subnets that are apart; leave one",
        ),
        (
            "n",
            {**BRIDGE, "subnet": ["10.40.0.0/24", "fd00:40::/64"], "gateway": ["10.40.0.9", "10.40.0.8"]},
            "bulkhead_networks.n.gateway: got 10.40.0.9 and 10.40.0.8; expected one in 10.40.0.0/24",
        ),
        (
            "n",
            {**BRIDGE, "subnet": ["10.40.0.0/24", "fd00:40::/64"], "enable_ipv6": False},
            "bulkhead_networks.n.enable_ipv6: got false with an IPv6 subnet",
        ),
        (
            "n",
            {**BRIDGE, "options": {INTERFACE: "lo"}},
            f"bulkhead_networks.n.options.{INTERFACE}: got 'lo'; expected an",
        ),
        (
            "n",
            {**BRIDGE, "subnet": "::ffff:10.0.0.0/120", "enable_ipv4": False},
            "bulkhead_networks.n.subnet: got ::ffff:",
        ),
        ("n", {**BRIDGE, "options": {INTERFACE: "docker0"}}, f"bulkhead_networks.n.options.{INTERFACE}: got 'docker0'"),
    ],
)
def test_what_a_host_would_refuse_is_refused_with_the_sites_own_path(name, network, problem):
    (found,) = mistakes({name: network})
    assert found.startswith(problem)


def test_a_size_is_named_where_a_size_was_given():
    pools = {"bulkhead_pools": {"overlay": "10.30.0.0/16", "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}}
    assert mistakes({"n": {"driver": "overlay", "size": 31}}, **pools)[0].startswith(
        "bulkhead_networks.n.size: got 10.30.0.0/31; expected /30 or larger"
    )


def test_a_bridge_with_ipv6_alone_gets_a_64_from_a_pool_and_says_so_to_the_host():
    pools = {"bridge": ["10.40.0.0/16", "fd00:40::/48"], "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}
    six = {"driver": "bridge", "size": 64, "on": "apps", "enable_ipv4": False}
    found = site({"six": six, "four": {"driver": "bridge", "size": 24, "on": "apps"}}, bulkhead_pools=pools)
    items = {item["name"]: item for item in host_networks(found, ["apps"], "h")}
    assert (items["six"]["subnet"], items["six"]["enable_ipv4"]) == ("fd00:40::/64", False)
    assert items["four"]["subnet"] == "10.40.0.0/24" and "enable_ipv4" not in items["four"]
    (problem,) = mistakes({"six": {**six, "enable_ipv4": True}}, bulkhead_pools=pools)
    assert problem.startswith("bulkhead_networks.six.size: got fd00:40::/64 alone; expected an IPv4 subnet beside it")


DUAL = {"driver": "bridge", "subnet": ["10.40.0.0/24", "fd00:40::/64"], "on": "apps"}
POOLS = {"bridge": ["10.40.0.0/16", "fd00:40::/48"], "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}


def test_a_network_of_both_ip_versions_is_made_as_it_is_declared():
    said = {"gateway": ["fd00:40::9", "10.40.0.9"], "ip_range": "10.40.0.128/25", "enable_ipv6": True}
    (item,) = host_networks(site({"n": {**DUAL, **said}}), ["apps"], "h")
    assert {key: item[key] for key in ("subnet", *said)} == {"subnet": DUAL["subnet"], **said}
    assert "enable_ipv4" not in item and module_mistakes("n", item) == []


def test_a_size_for_each_ip_version_takes_a_subnet_of_each_from_the_pool():
    networks = {"n": {"driver": "bridge", "size": [24, 64], "on": "apps"}}
    found = site(networks, bulkhead_pools=POOLS)
    (item,) = host_networks(found, ["apps"], "h")
    assert item["subnet"] == ["10.40.0.0/24", "fd00:40::/64"]
    pin = 'bulkhead_allocations: {n: [10.40.0.0/24, "fd00:40::/64"]}'
    assert [text for text in found.warnings if text.endswith(pin)] != []
    # Pinned, in any order, it stays; what is not pinned yet of the two is taken.
    for pinned, subnets in (
        (["fd00:40:0:7::/64", "10.40.9.0/24"], ["10.40.9.0/24", "fd00:40:0:7::/64"]),
        ("10.40.9.0/24", ["10.40.9.0/24", "fd00:40::/64"]),
        (["fd00:40:0:7::/64"], ["10.40.0.0/24", "fd00:40:0:7::/64"]),
    ):
        found = site(networks, bulkhead_pools=POOLS, bulkhead_allocations={"n": pinned})
        assert host_networks(found, ["apps"], "h")[0]["subnet"] == subnets
        assert found.networks["n"].settled == (len(pinned) == 2)


@pytest.mark.parametrize(
    ("size", "pinned", "pools", "problem"),
    [
        ([24, 25], None, {}, "bulkhead_networks.n.size: got 24 and 25; expected one size for IPv4"),
        ([24, 64, 80], None, {}, "bulkhead_networks.n.size: got 64 and 80; expected one size for IPv6"),
        ([], None, {}, "bulkhead_networks.n.size: got an empty list; expected a prefix length, or a list of them"),
        (["24"], None, {}, 'bulkhead_networks.n.size[0]: got "24"; expected a prefix length from 8 to 126; leave the'),
        ([24, None], None, {}, "bulkhead_networks.n.size[1]: got nothing; expected a prefix length"),
        (
            [24, 64],
            None,
            {"bridge": "10.40.0.0/16"},
            "bulkhead_networks.n.size: got /64; expected a size of an IP version that pool bridge (10.40.0.0/16) has; "
            "add an IPv6 network to bulkhead_pools.bridge",
        ),
        (
            [24, 64],
            ["10.40.1.0/24", "10.40.2.0/24"],
            {},
            "bulkhead_allocations.n: got 10.40.1.0/24 and 10.40.2.0/24; expected one subnet for the size 24",
        ),
        (
            [24, 64],
            ["10.40.1.0/24", "fd00:40::/80"],
            {},
            "bulkhead_allocations.n: got fd00:40::/80; expected the size 24 and 64 of bulkhead_networks.n",
        ),
        (
            24,
            ["10.40.1.0/24", "fd00:40::/64"],
            {},
            "bulkhead_allocations.n: got fd00:40::/64; expected the size 24 of bulkhead_networks.n",
        ),
        (
            [24, 64],
            ["10.40.1.0/24", "fd00:41::/64"],
            {},
            "bulkhead_allocations.n: got fd00:41::/64; expected a subnet of pool bridge",
        ),
    ],
)
def test_sizes_and_pins_of_both_ip_versions_are_held_against_each_other(size, pinned, pools, problem):
    networks = {"n": {"driver": "bridge", "size": size, "on": "apps"}}
    pins = {"bulkhead_allocations": {"n": pinned}} if pinned else {}
    found = mistakes(networks, bulkhead_pools={**POOLS, **pools}, **pins)
    assert found[0].startswith(problem) and len(found) == 1


@pytest.mark.parametrize("pinned", ["10.40.0.0/24", ["10.40.0.0/24", "fd00:41::/64"]])
def test_a_pin_that_is_not_the_subnets_that_are_declared_is_refused(pinned):
    (problem,) = mistakes({"n": DUAL}, bulkhead_allocations={"n": pinned})
    assert "expected the subnets 10.40.0.0/24 and fd00:40::/64 of bulkhead_networks.n; remove the pin" in problem
    assert mistakes({"n": DUAL}, bulkhead_allocations={"n": DUAL["subnet"][::-1]}) == []


@pytest.mark.parametrize(
    ("addresses", "problems"),
    [
        ({"web": ["10.40.0.5", "fd00:40::5"], "db": "fd00:40::6"}, []),
        (
            {"web": ["10.40.0.5", "10.40.0.6"]},
            ["web: got 10.40.0.5 and 10.40.0.6; expected one address in 10.40.0.0/24"],
        ),
        (
            {"web": "fd00:40::5", "db": ["fd00:40::5"]},
            ["db: got fd00:40::5; expected an address of its own; web has it"],
        ),
        (
            {"web": ["10.40.0.5", "fd00:40::"]},
            ["web: got fd00:40::; expected an address that a container of fd00:40::/64"],
        ),
        (
            {"web": ["10.40.0.5", "fd00:41::5"]},
            ["web: got fd00:41::5; expected an address inside of 10.40.0.0/24 or fd00"],
        ),
        (
            {"web": ["10.40.0.5", "fd00:40::1"]},
            ["web: got fd00:40::1; expected an address of its own: it is the network's"],
        ),
        ({"web": []}, ["web: got an empty list; expected an address, or a list of them"]),
    ],
)
def test_a_container_has_one_fixed_address_in_each_subnet(addresses, problems):
    found = mistakes({"n": {**DUAL, "addresses": addresses}})
    assert len(found) == len(problems)
    assert all(text.startswith(f"bulkhead_networks.n.addresses.{want}") for text, want in zip(found, problems))


def test_the_second_subnet_of_a_network_overlaps_others_like_the_first():
    other = {**DUAL, "subnet": ["10.41.0.0/24", "fd00:40::/80"]}
    (problem,) = mistakes({"n": DUAL, "m": other})
    assert problem.startswith(
        "bulkhead_networks.m.subnet: got fd00:40::/80; expected a network that overlaps no other one"
    )


@pytest.mark.parametrize(
    "net", ["0.0.0.0/24", "127.0.0.0/16", "224.0.0.0/8", "255.255.255.0/24", "ff00::/16", "fe80::/64"]
)
def test_a_pool_of_addresses_that_no_container_can_have_is_refused(net):
    pools = {"overlay": net, "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}
    (problem,) = mistakes({}, bulkhead_pools=pools)
    assert problem.startswith(f"bulkhead_pools.overlay: got {net}; expected addresses that a container can have")


def test_public_addresses_are_a_warning_that_can_be_switched_off():
    networks = {"n": {**OVERLAY, "subnet": "8.8.8.0/24"}, "m": {"driver": "overlay", "size": 24}}
    pools = {"overlay": {"subnet": "9.9.0.0/16"}, "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}
    found = [text for text in site(networks, bulkhead_pools=pools).warnings if "public address space" in text]
    assert [text.split(":")[0] for text in found] == ["bulkhead_networks.n", "bulkhead_pools.overlay"]
    networks["n"]["public"] = pools["overlay"]["public"] = True
    assert not [text for text in site(networks, bulkhead_pools=pools).warnings if "public" in text]


@pytest.mark.parametrize("subnet", ["10.9.0.0/24", "100.127.0.0/24", "203.0.113.0/24", "fd00::/64", "2001:db8::/64"])
def test_private_and_documentation_addresses_are_no_public_ones(subnet):
    from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.docker import ip_network, is_public

    assert not is_public(ip_network(subnet))


@pytest.mark.parametrize("pin", ["10.31.0.0/24", "10.29.255.0/24"])
def test_a_pin_outside_of_its_pool_is_refused(pin):
    pools = {"overlay": "10.30.0.0/16", "engine": "198.51.100.0/24", "swarm": "192.0.2.0/24"}
    networks = {"n": {"driver": "overlay", "size": 24}}
    (problem,) = mistakes(networks, bulkhead_pools=pools, bulkhead_allocations={"n": pin})
    assert problem.startswith(
        f"bulkhead_allocations.n: got {pin}; expected a subnet of pool overlay (10.30.0.0/16); enlarge"
    )
    assert mistakes(networks, bulkhead_pools=pools, bulkhead_allocations={"n": "10.30.9.0/24"}) == []


@pytest.mark.parametrize(
    ("more", "address"),
    [
        ({}, "10.40.0.1"),
        ({"gateway": "10.40.0.9"}, "10.40.0.9"),
        ({"ip_range": "10.40.0.128/25"}, "10.40.0.128"),
        ({"ip_range": "10.40.0.0/25"}, "10.40.0.1"),
        ({"subnet": "fd00:9::/64", "enable_ipv4": False}, "fd00:9::1"),
    ],
)
def test_a_static_address_is_not_the_gateways_said_or_not(more, address):
    (problem,) = mistakes({"n": {**BRIDGE, **more, "addresses": {"web": address}}})
    assert problem.startswith(f"bulkhead_networks.n.addresses.web: got {address}; expected an address of its own")


def test_the_first_address_is_free_where_the_gateway_has_another_one():
    assert mistakes({"n": {**BRIDGE, "gateway": "10.40.0.254", "addresses": {"web": "10.40.0.1"}}}) == []


def test_one_interface_is_not_two_networks_on_the_same_hosts():
    one = {**BRIDGE, "options": {INTERFACE: "br-x"}, "on": ["apps", "web"]}
    two = {**one, "subnet": "10.41.0.0/24", "on": "web"}
    (problem,) = mistakes({"one": one, "two": two})
    assert problem.startswith(
        f"bulkhead_networks.two.options.{INTERFACE}: got br-x; expected an interface that network one"
    )
    assert mistakes({"one": {**one, "on": "apps"}, "two": two}) == []


@pytest.mark.parametrize(
    ("network", "stack", "said"),
    [
        (BRIDGE, {"kind": "swarm"}, "n is a bridge of single hosts, and a Swarm stack needs an overlay"),
        (OVERLAY, {"kind": "swarm"}, None),
        (OVERLAY, {"kind": "compose", "on": "apps"}, "n is an overlay that is not attachable"),
        ({**OVERLAY, "attachable": True}, {"kind": "compose", "on": "apps"}, None),
        (
            {**OVERLAY, "attachable": True},
            {"kind": "compose", "on": ["apps", "web"]},
            "n is not on web, where the stack runs",
        ),
        (BRIDGE, {"kind": "compose", "on": "apps"}, None),
        (BRIDGE, {"kind": "compose", "on": "web"}, "n is not on web, where the stack runs"),
    ],
)
def test_a_zone_whose_networks_a_stack_cannot_join_is_a_warning(network, stack, said):
    stacks = {"shop": {"file": "shop.yml", **stack, "require": {"web": "front"}}}
    found = site({"n": {**network, "zone": "front"}}, bulkhead_stacks=stacks).warnings
    found = [
        text
        for text in found
        if text.startswith("bulkhead_stacks.shop.require.web: no network of zone front will do: ")
    ]
    assert (len(found), all(said in text for text in found)) == (said is not None, True)


def test_one_network_of_a_zone_is_enough():
    stacks = {"shop": {"file": "shop.yml", "kind": "swarm", "require": {"web": "front"}}}
    networks = {"n": {**BRIDGE, "zone": "front"}, "m": {**OVERLAY, "zone": "front"}}
    assert not [text for text in site(networks, bulkhead_stacks=stacks).warnings if "bulkhead_stacks" in text]
