# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
import pathlib
from datetime import date, datetime

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

TODAY = date(2026, 11, 21)
LAB = pathlib.Path(__file__).parents[5] / "inventories/lab/group_vars/all"

SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 10, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "description": "people"},
        "apps": {
            "vlan": 20,
            "subnet": ["10.0.2.0/24", "fd00:2::/64"],
            "gateway": "10.0.2.1",
            "dhcp": {"range": "10.0.2.100-10.0.2.200", "rack": "rack1"},
            "bandwidth": {"minimum": 10, "recommended": 100},
        },
    },
    "bulkhead_addresses": {"db": "10.0.2.5"},
    "bulkhead_services": {"ssh": "22/tcp", "web": ["80/tcp", "443/tcp"]},
    "bulkhead_flows": [{"from": "admin", "to": "tiers", "allow": ["ssh", "web"], "why": "administration"}],
    "bulkhead_never": [{"from": "apps", "to": "admin", "deny": "any", "why": "downhill only"}],
    "bulkhead_pools": {"engine": "10.20.0.0/16", "swarm": "10.21.0.0/16", "overlay": "10.30.0.0/22"},
    "bulkhead_swarm": {"managers": {"m1": "10.0.2.11"}, "tier": "apps"},
    "bulkhead_networks": {
        "front": {"driver": "overlay", "size": 24, "attachable": True},
        "back": {"driver": "overlay", "size": 24, "internal": True},
        "lan": {
            "driver": "bridge",
            "on": "admin",
            "subnet": "10.40.0.0/24",
            "gateway": "10.40.0.1",
            "ip_range": "10.40.0.128/25",
            "addresses": {"web": "10.40.0.10"},
        },
    },
    "bulkhead_allocations": {"front": "10.30.3.0/24"},
}


def changed(path, value):
    """The site with one value replaced, or removed where the value is `...`."""
    site = copy.deepcopy(SITE)
    at = site
    *way, last = path
    for key in way:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return site


def problems(site):
    with pytest.raises(Refused) as caught:
        parse_site(site, TODAY)
    return [str(problem) for problem in caught.value.mistakes]


def test_a_site_is_read_as_it_is_declared():
    site = parse_site(SITE, TODAY)
    apps = site.tiers["apps"]
    assert (apps.vlan, [str(net) for net in apps.subnets]) == (20, ["10.0.2.0/24", "fd00:2::/64"])
    assert (apps.dhcp.rack, apps.bandwidth.recommended, apps.internet) == ("rack1", 100, None)
    assert [str(leg) for leg in site.legs] == ["10.0.1.1", "10.0.2.1"]
    flow = site.flows[0]
    assert [(pair.source.name, pair.destination.name) for pair in flow.pairs] == [("admin", "admin"), ("admin", "apps")]
    assert str(flow) == "admin -> tiers ssh, web (administration)"
    assert {name: str(address) for name, address in site.swarm.managers.items()} == {"m1": "10.0.2.11"}


def test_a_network_gets_a_subnet_beside_what_is_pinned_and_a_warning_to_pin_it():
    site = parse_site(SITE, TODAY)
    assert (str(*site.networks["front"].subnets), str(*site.networks["back"].subnets)) == (
        "10.30.3.0/24",
        "10.30.2.0/24",
    )
    assert [text for text in site.warnings if "pin" in text] == [
        "bulkhead_networks.back: got 10.30.2.0/24 for now; pin it, or the next network may move it: "
        "bulkhead_allocations: {back: 10.30.2.0/24}"
    ]


def test_dates_are_days_as_yaml_reads_them_or_as_text_and_the_last_day_counts():
    for until in (TODAY, "2026-11-21", date(2030, 1, 1)):
        assert parse_site(changed(["bulkhead_flows", 0, "until"], until), TODAY).flows[0].until >= TODAY


def test_internet_true_is_a_flow_and_internet_false_an_invariant():
    site = parse_site(changed(["bulkhead_tiers", "admin", "internet"], True), TODAY)
    declared = [flow for flow in site.flows if not flow.derived]
    assert str(declared[-1]) == "admin -> internet any (internet access)"
    site = parse_site(changed(["bulkhead_tiers", "admin", "internet"], False), TODAY)
    assert str(site.never[-1]) == "admin -> internet any (no internet access)"


def test_self_is_the_tier_of_each_source():
    site = parse_site(changed(["bulkhead_flows", 0], {"from": ["tiers", "db"], "to": "self", "allow": "any"}), TODAY)
    assert [(pair.source.name, pair.destination.name) for pair in site.flows[0].pairs] == [
        ("admin", "admin"),
        ("apps", "apps"),
        ("db", "apps"),
    ]


def test_the_bare_key_on_is_understood_though_yaml_reads_it_as_true():
    site = changed(["bulkhead_networks", "lan"], yaml.safe_load("{driver: bridge, on: admin, subnet: 10.40.0.0/24}"))
    assert True in site["bulkhead_networks"]["lan"]
    assert parse_site(site, TODAY).networks["lan"].tiers == ("admin",)


def test_a_variable_without_the_prefix_is_none_of_the_site_s():
    parse_site(dict(SITE, other=1), TODAY)


T, N, F = "bulkhead_tiers", "bulkhead_networks", "bulkhead_flows"
BAD = [
    # The shape of a value.
    ([T], [1], "bulkhead_tiers: got a list of 1; expected a mapping of tiers; write it like management: {vlan: 10, "),
    ([T], {}, "bulkhead_tiers: got an empty mapping; expected the site's tiers; declare them in the inventory"),
    *(
        (
            [T, "admin", "subnet"],
            cidr,
            f"bulkhead_tiers.admin.subnet: got {cidr}; expected a network in which hosts can have addresses; {what}",
        )
        for cidr, what in (
            ("127.0.1.0/24", "127.0.0.0/8 is loopback: choose"),
            ("224.0.0.0/24", "224.0.0.0/4 is multicast: choose"),
            ("0.0.0.0/0", "0.0.0.0/8 is this network: choose"),
            ("255.255.255.0/24", "240.0.0.0/4 is reserved and broadcast: choose"),
            ("fe80::/64", "fe80::/10 is link-local: choose"),
        )
    ),
    ([T, "admin"], "x", 'bulkhead_tiers.admin: got "x"; expected a mapping of its settings; write it like {vlan: 10,'),
    (
        [T, "admin", "vlan"],
        4095,
        "bulkhead_tiers.admin.vlan: got 4095; expected a VLAN id from 1 to 4094; choose a number",
    ),
    ([T, "admin", "vlan"], 0, "bulkhead_tiers.admin.vlan: got 0; expected a VLAN id from 1 to 4094; choose a number"),
    (
        [T, "admin", "vlan"],
        "10",
        'bulkhead_tiers.admin.vlan: got "10"; expected a VLAN id from 1 to 4094; leave the quotes',
    ),
    (
        [T, "admin", "vlan"],
        True,
        "bulkhead_tiers.admin.vlan: got true; expected a VLAN id from 1 to 4094; write a whole",
    ),
    ([T, "admin", "vlan"], ..., "bulkhead_tiers.admin.vlan: got nothing; expected a VLAN id from 1 to 4094; add it"),
    ([T, "admin", "vlan"], 20, "bulkhead_tiers.apps.vlan: got 20; expected a VLAN id of its own; admin has it"),
    (
        [T, "admin", "vlann"],
        1,
        "bulkhead_tiers.admin.vlann: got an unknown key; expected one of vlan, subnet, gateway, "
        "internet, masquerade, dhcp, bandwidth, description; did you mean vlan?",
    ),
    ([T, "admin", 7], 1, "bulkhead_tiers.admin.7: got 7; expected a text as key; put the key in quotes"),
    (
        [T, "admin", "internet"],
        "yes",
        'bulkhead_tiers.admin.internet: got "yes"; expected true or false; write true or',
    ),
    ([T, "admin", "description"], 5, "bulkhead_tiers.admin.description: got 5; expected a text; put it in quotes"),
    ([T, "admin", "description"], "a\nb", 'bulkhead_tiers.admin.description: got "a\\nb"; expected one line of text'),
    (
        [T, "tiers"],
        {"vlan": 3, "subnet": "10.3.0.0/24"},
        'bulkhead_tiers.tiers: got "tiers"; expected a name of its own; rename it: tiers is every tier',
    ),
    (
        [T, "a b"],
        {"vlan": 3, "subnet": "10.3.0.0/24"},
        'bulkhead_tiers.a b: got "a b"; expected a name of letters, digits',
    ),
    # Networks and addresses of tiers.
    (
        [T, "admin", "subnet"],
        ...,
        "bulkhead_tiers.admin.subnet: got nothing; expected a network in CIDR notation, or a list",
    ),
    ([T, "admin", "subnet"], [], "bulkhead_tiers.admin.subnet: got an empty list; expected a network in CIDR notation"),
    ([T, "admin", "subnet"], ["10.0.1.0/24", 5], "bulkhead_tiers.admin.subnet[1]: got 5; expected a network in CIDR"),
    (
        [T, "admin", "subnet"],
        "10.0.1.7/24",
        'bulkhead_tiers.admin.subnet: got "10.0.1.7/24"; expected a network without host bits; write 10.0.1.0/24',
    ),
    (
        [T, "admin", "gateway"],
        "10.0.9.1",
        "bulkhead_tiers.admin.gateway: got 10.0.9.1; expected an address inside of 10.0.1.0/24; change one of the two",
    ),
    (
        [T, "admin", "gateway"],
        "10.0.1.255",
        "bulkhead_tiers.admin.gateway: got 10.0.1.255; expected an address that a host",
    ),
    ([T, "admin", "gateway"], ["10.0.1.1", "10.0.1.1/24"], "bulkhead_tiers.admin.gateway[1]: got "),
    ([T, "apps", "dhcp"], {"range": "10.0.3.1-10.0.3.9"}, "bulkhead_tiers.apps.dhcp.range: got "),
    (
        [T, "apps", "dhcp"],
        {"range": "10.0.2.9-10.0.2.8"},
        'bulkhead_tiers.apps.dhcp.range: got "10.0.2.9-10.0.2.8"; expected '
        "the lower address first; write 10.0.2.8-10.0.2.9",
    ),
    ([T, "apps", "dhcp"], {"range": "10.0.2.0-10.0.2.8"}, "bulkhead_tiers.apps.dhcp.range: got "),
    ([T, "apps", "dhcp"], {"range": "10.0.2.9"}, "bulkhead_tiers.apps.dhcp.range: got "),
    (
        [T, "apps", "dhcp"],
        {"range": 5},
        "bulkhead_tiers.apps.dhcp.range: got 5; expected a range of addresses; write it like",
    ),
    (
        [T, "apps", "gateway"],
        "10.0.2.150",
        "bulkhead_tiers.apps.dhcp.range: got 10.0.2.100-10.0.2.200; expected a range "
        "without the gateway 10.0.2.150; choose a range beside it",
    ),
    (
        [T, "apps", "dhcp"],
        {"rang": "x"},
        "bulkhead_tiers.apps.dhcp.rang: got an unknown key; expected one of range, rack, server, relay; ",
    ),
    (
        [T, "apps", "bandwidth", "minimum"],
        1000,
        "bulkhead_tiers.apps.bandwidth.minimum: got 1000; expected at most the "
        "recommended 100 Mbit/s; swap or correct the two",
    ),
    # Overlaps.
    (
        [T, "admin", "subnet"],
        "10.0.0.0/16",
        "bulkhead_tiers.apps.subnet: got 10.0.2.0/24; expected a network that overlaps no "
        "other one; 10.0.0.0/16 is tier admin: choose another network",
    ),
    (
        [T, "admin", "subnet"],
        "10.30.1.0/24",
        "bulkhead_tiers.admin.subnet: got 10.30.1.0/24; expected a network that overlaps "
        "no other one; 10.30.0.0/22 is pool overlay",
    ),
    (
        [T, "admin", "subnet"],
        "100.64.1.0/24",
        "bulkhead_tiers.admin.subnet: got 100.64.1.0/24; expected a network that overlaps "
        "no other one; 100.64.0.0/10 is what tailnets and carriers use: choose another network",
    ),
    (["bulkhead_pools", "engine"], ..., None),
    (
        ["bulkhead_pools", "swarm"],
        ...,
        "bulkhead_tiers.admin.subnet: got 10.0.1.0/24; expected a network that overlaps no other "
        "one; 10.0.0.0/8 is the default address pool of Swarm: declare bulkhead_pools.swarm elsewhere, "
        "or choose another network",
    ),
    (
        ["bulkhead_pools", "overlay"],
        "10.21.128.0/22",
        "bulkhead_pools.overlay: got 10.21.128.0/22; expected a network that",
    ),
    (
        [N, "lan", "subnet"],
        "10.30.0.0/24",
        "bulkhead_networks.lan.subnet: got 10.30.0.0/24; expected a network that overlaps no "
        "other one; 10.30.0.0/22 is pool overlay",
    ),
    (
        ["bulkhead_allocations", "back"],
        "10.0.2.0/24",
        "bulkhead_allocations.back: got 10.0.2.0/24; expected a network that "
        "overlaps no other one; 10.0.2.0/24 is tier apps: choose another network",
    ),
    # Names that stand for nothing.
    (["bulkhead_servces"], {}, "bulkhead_servces: got an unknown variable; expected one of bulkhead_tiers, "),
    (
        [F, 0, "from"],
        "admn",
        'bulkhead_flows[0].from: got "admn"; expected a tier, a name of bulkhead_addresses, a CIDR, or one '
        "of tiers, self, gateway, internet; did you mean admin?",
    ),
    ([F, 0, "to"], ["apps", "zzz"], 'bulkhead_flows[0].to[1]: got "zzz"; expected a tier, a name'),
    (
        [F, 0, "to"],
        "web",
        'bulkhead_flows[0].to: got "web"; expected a tier, a name of bulkhead_addresses, a CIDR, or one of '
        "tiers, self, gateway, internet; it is a container of lan: declare bulkhead_addresses.web",
    ),
    (
        [F, 0, "to"],
        "10.0.1.7/24",
        'bulkhead_flows[0].to: got "10.0.1.7/24"; expected a network without host bits; write',
    ),
    (
        [F, 0, "allow"],
        "shh",
        'bulkhead_flows[0].allow: got "shh"; expected a service of bulkhead_services; did you mean ssh?',
    ),
    (
        [F, 0, "over"],
        "tailnet",
        "bulkhead_flows[0].over: got an unknown key; expected one of from, to, allow, why, until, limit, forward, via; "
        "remove",
    ),
    ([F, 0, "via"], "tailnet", 'bulkhead_flows[0].via: got "tailnet"; expected a tailnet; declare bulkhead_tailnet'),
    # Flows.
    ([F], {}, "bulkhead_flows: got an empty mapping; expected a list; write it like - {from: management,"),
    ([F, 0], None, "bulkhead_flows[0]: got nothing; expected a mapping of its settings"),
    ([F, 0], {}, "bulkhead_flows[0]: got an empty flow; expected from, to and allow; fill it in or remove it"),
    (
        [F, 0, "allow"],
        [],
        "bulkhead_flows[0].allow: got an empty list; expected a service, a list of them, or any; name at",
    ),
    (
        [F, 0, "allow"],
        ...,
        "bulkhead_flows[0].allow: got nothing; expected a service, a list of them, or any; write it like",
    ),
    (
        [F, 0, "from"],
        "self",
        'bulkhead_flows[0].from: got "self"; expected an endpoint; name the tier: self is only for `to`',
    ),
    (
        [F, 0],
        {"from": "internet", "to": "self", "allow": "ssh"},
        'bulkhead_flows[0].to: got "self"; expected a tier that internet lies in; name the destination',
    ),
    (
        [F, 0],
        {"from": "internet", "to": "8.8.8.0/24", "allow": "ssh"},
        "bulkhead_flows[0]: got internet -> 8.8.8.0/24; expected "
        "an end that lies wholly inside of the site; name a tier, or an address in one",
    ),
    (
        [F, 0, "until"],
        "2026-11-20",
        "bulkhead_flows[0].until: got 2026-11-20; expected a day that is not over (today is "
        "2026-11-21); remove the flow, or set a later day",
    ),
    ([F, 0, "until"], "soon", 'bulkhead_flows[0].until: got "soon"; expected a day; write it like 2027-06-30'),
    (
        [F, 0, "until"],
        datetime(2030, 1, 1, 1, 1),
        "bulkhead_flows[0].until: got 2030-01-01 01:01:00; expected a day; write it",
    ),
    (
        [F, 0, "from"],
        "apps",
        "bulkhead_flows[0]: got apps -> tiers ssh, web (administration); expected nothing that "
        "bulkhead_never[0] forbids: apps -> admin any (downhill only); both have apps -> admin 22/tcp: "
        "change one of them",
    ),
    (
        ["bulkhead_never", 0, "until"],
        "2030-01-01",
        "bulkhead_never[0].until: got an unknown key; expected one of from, to, deny",
    ),
    # Services.
    (
        ["bulkhead_services", "ssh"],
        22,
        "bulkhead_services.ssh: got 22; expected a port and its protocol, or a list of them; ",
    ),
    (
        ["bulkhead_services", "web"],
        ["80/tcp", "70000/tcp"],
        'bulkhead_services.web[1]: got "70000/tcp"; expected ports from 1 to 65535; correct the port number',
    ),
    (
        ["bulkhead_services", "any"],
        "1/tcp",
        'bulkhead_services.any: got "any"; expected a name of its own; rename it: any is',
    ),
    # Named addresses.
    (
        ["bulkhead_addresses", "apps"],
        "10.0.2.6",
        'bulkhead_addresses.apps: got "apps"; expected a name of its own; rename it: apps is a tier',
    ),
    (
        ["bulkhead_addresses", "db"],
        "10.0.2.255",
        "bulkhead_addresses.db: got 10.0.2.255; expected an address that a host of "
        "10.0.2.0/24 can have; it is the network's own or its broadcast address: choose another",
    ),
    (
        ["bulkhead_addresses", "db"],
        "10.0.2.150",
        "bulkhead_addresses.db: got 10.0.2.150; expected an address that DHCP does not "
        "hand out; it lies in bulkhead_tiers.apps.dhcp.range: choose one beside it",
    ),
    (
        ["bulkhead_addresses", "db"],
        "224.0.0.1",
        "bulkhead_addresses.db: got 224.0.0.1; expected the address of a host; 224.0.0.0/4 is multicast",
    ),
    (
        ["bulkhead_addresses", "db"],
        "10.20.0.5",
        "bulkhead_addresses.db: got 10.20.0.5; expected an address of a tier, of a "
        "network or outside of the site; it lies in pool engine",
    ),
    (
        ["bulkhead_addresses", "db"],
        "10.0.2.0/24",
        'bulkhead_addresses.db: got "10.0.2.0/24"; expected one address; leave the prefix length out',
    ),
    # Pools, networks and pins.
    (
        ["bulkhead_pools", "swarm"],
        "fd00:9::/64",
        "bulkhead_pools.swarm: got fd00:9::/64; expected an IPv4 network; the Swarm",
    ),
    (
        ["bulkhead_pools", "engine"],
        "10.20.0.0/25",
        "bulkhead_pools.engine: got 10.20.0.0/25; expected a network that holds",
    ),
    (
        ["bulkhead_pools", "overlay"],
        "10.30.3.0/24",
        "bulkhead_networks.back.size: got /24; expected a size that is still free "
        "in pool overlay (10.30.3.0/24); enlarge bulkhead_pools.overlay or remove networks",
    ),
    (
        [N, "ingress"],
        {"driver": "overlay", "size": 24},
        "bulkhead_networks.ingress: got 'ingress'; expected a name that is not Docker's own",
    ),
    ([N, "lan"], [], "bulkhead_networks.lan: got an empty list; expected a mapping of its settings"),
    (
        [N, "lan", "driver"],
        "brige",
        'bulkhead_networks.lan.driver: got "brige"; expected overlay or bridge; did you mean bridge?',
    ),
    (
        [N, "lan", "size"],
        24,
        "bulkhead_networks.lan: got both subnet and size; expected one of the two; give a subnet, or a size",
    ),
    (
        [N, "front", "size"],
        ...,
        "bulkhead_networks.front: got neither subnet nor size; expected one of the two; give a subnet",
    ),
    (
        [N, "front", "size"],
        7,
        "bulkhead_networks.front.size: got 7; expected a prefix length from 8 to 126; choose a number",
    ),
    (
        [N, "front", "pool"],
        "overlayy",
        'bulkhead_networks.front.pool: got "overlayy"; expected a pool of bulkhead_pools; did you',
    ),
    (
        [N, "front", "pool"],
        "engine",
        'bulkhead_networks.front.pool: got "engine"; expected a pool for networks; engine is what',
    ),
    ([N, "front", "on"], "apps", 'bulkhead_networks.front.on: got "apps"; expected nothing for an overlay; remove it'),
    (
        [N, "lan", "on"],
        ...,
        "bulkhead_networks.lan.on: got nothing; expected the tiers whose hosts have this bridge; write it",
    ),
    ([N, "lan", "on"], ["admn"], 'bulkhead_networks.lan.on[0]: got "admn"; expected a tier; did you mean admin?'),
    (
        [N, "lan", "encrypted"],
        True,
        "bulkhead_networks.lan.encrypted: got true on a bridge; expected an overlay",
    ),
    ([N, "lan", "mtu"], 60, "bulkhead_networks.lan.mtu: got 60; expected 68 to 65535 bytes; write"),
    (
        [N, "lan", "gateway"],
        "10.41.0.1",
        "bulkhead_networks.lan.gateway: got 10.41.0.1; expected inside 10.40.0.0/24; correct it, or the subnet",
    ),
    (
        [N, "lan", "ip_range"],
        "10.41.0.0/25",
        "bulkhead_networks.lan.ip_range: got 10.41.0.0/25; expected inside 10.40.0.0/24",
    ),
    (
        [N, "lan", "addresses", "b"],
        "10.40.0.10",
        "bulkhead_networks.lan.addresses.b: got 10.40.0.10; expected an address of its own; web has it",
    ),
    (
        [N, "lan", "addresses", "b"],
        "10.40.0.1",
        "bulkhead_networks.lan.addresses.b: got 10.40.0.1; expected an address of its own; the gateway has it",
    ),
    (
        [N, "lan", "addresses", "b"],
        "10.40.1.1",
        "bulkhead_networks.lan.addresses.b: got 10.40.1.1; expected an address inside of",
    ),
    (
        [N, "lan", "addresses", "b"],
        "10.40.0.255",
        "bulkhead_networks.lan.addresses.b: got 10.40.0.255; expected an address that",
    ),
    (
        [N, "lan", "options"],
        {"com.docker.network.bridge.name": "x" * 16},
        "bulkhead_networks.lan.options.com.docker.network."
        "bridge.name: got 'xxxxxxxxxxxxxxxx'; expected 1 to 15 characters",
    ),
    (
        [N, "lan", "options"],
        {"a": [1]},
        "bulkhead_networks.lan.options.a: got a list of 1; expected a text; put it in quotes",
    ),
    (
        ["bulkhead_allocations", "fron"],
        "10.30.2.0/24",
        'bulkhead_allocations.fron: got "fron"; expected a network of bulkhead_networks; did you mean front?',
    ),
    (
        ["bulkhead_allocations", "front"],
        "10.30.2.0/25",
        "bulkhead_allocations.front: got 10.30.2.0/25; expected the size 24 of "
        "bulkhead_networks.front; a pinned subnet never changes: correct the size",
    ),
    (
        ["bulkhead_allocations", "lan"],
        "10.41.0.0/24",
        "bulkhead_allocations.lan: got 10.41.0.0/24; expected the subnet "
        "10.40.0.0/24 of bulkhead_networks.lan; remove the pin",
    ),
    (
        ["bulkhead_swarm", "tier"],
        "app",
        'bulkhead_swarm.tier: got "app"; expected the tier that the Swarm lives in; did you mean',
    ),
    (
        ["bulkhead_swarm", "managers"],
        {},
        "bulkhead_swarm.managers: got an empty mapping; expected inventory name and address of at least one manager",
    ),
    (
        ["bulkhead_swarm", "managers"],
        ["m1"],
        "bulkhead_swarm.managers: got a list of 1; expected a mapping of managers; write it like {swarm1: 10.116.0.11}",
    ),
    (
        ["bulkhead_swarm", "managers", "m1"],
        "10.0.1.11",
        "bulkhead_swarm.managers.m1: got 10.0.1.11; expected an address inside of 10.0.2.0/24, fd00:2::/64; change",
    ),
    (
        ["bulkhead_swarm"],
        ...,
        "bulkhead_networks.front.driver: got overlay; expected a Swarm that it can live in; declare",
    ),
]


@pytest.mark.parametrize(("path", "value", "problem"), BAD)
def test_bad_input_is_named_with_its_path_what_was_found_what_is_expected_and_a_remedy(path, value, problem):
    if problem is None:
        parse_site(changed(path, value), TODAY)
        return
    found = problems(changed(path, value))
    assert any(text.startswith(problem) for text in found), found


def test_a_network_in_dockers_own_pools_is_refused_until_the_engines_get_another():
    site = changed(["bulkhead_networks", "lan"], {"driver": "bridge", "on": "admin", "subnet": "172.20.0.0/16"})
    parse_site(site, TODAY)
    del site["bulkhead_pools"]["engine"]
    assert problems(site) == [
        "bulkhead_networks.lan.subnet: got 172.20.0.0/16; expected a network that overlaps no other one; "
        "172.20.0.0/16 is a default address pool of Docker: "
        "declare bulkhead_pools.engine elsewhere, or choose another network"
    ]


def test_dockers_pools_matter_only_where_docker_is_declared():
    parse_site({"bulkhead_tiers": {"admin": {"vlan": 1, "subnet": "192.168.1.0/24"}}}, TODAY)


def test_a_network_may_lie_in_its_pool_and_fill_it():
    site = changed(["bulkhead_pools", "overlay"], "10.30.0.0/22")
    site["bulkhead_networks"]["front"] = {"driver": "overlay", "subnet": "10.30.0.0/22"}
    del site["bulkhead_networks"]["back"], site["bulkhead_allocations"]
    assert str(*parse_site(site, TODAY).networks["front"].subnets) == "10.30.0.0/22"


def test_all_problems_are_reported_at_once_and_none_twice():
    site = copy.deepcopy(SITE)
    site["bulkhead_tiers"]["admin"]["vlan"] = 4095
    site["bulkhead_tiers"]["apps"]["subnet"] = "10.0.1.128/25"
    site["bulkhead_services"]["ssh"] = "70000/tcp"
    site["bulkhead_flows"].append({"from": "nobody", "to": "apps", "allow": "telnet", "wy": "x"})
    site["bulkhead_networks"]["lan"]["subnet"] = 5
    found = problems(site)
    starts = [text.split(":")[0] for text in found]
    assert starts == [
        "bulkhead_tiers.admin.vlan",
        "bulkhead_tiers.apps.gateway",
        "bulkhead_tiers.apps.dhcp.range",
        "bulkhead_services.ssh",
        "bulkhead_networks.lan.subnet",
        "bulkhead_swarm.managers.m1",
        "bulkhead_tiers.apps.subnet",
        "bulkhead_flows[1].wy",
        "bulkhead_flows[1].from",
        "bulkhead_flows[1].allow",
    ]
    assert len(set(found)) == len(found)


def test_a_flow_breaks_an_invariant_at_any_of_its_ends():
    site = changed(["bulkhead_flows", 0, "from"], "apps")
    for ends in (["admin", "apps"], ["apps", "admin"]):
        site["bulkhead_never"] = [{"from": "10.0.2.128/25", "to": ends, "deny": "web"}]
        site["bulkhead_flows"][0]["to"] = "10.0.1.9"
        assert problems(site)[0].endswith("both have apps -> 10.0.1.9 80/tcp: change one of them")
        site["bulkhead_never"][0]["from"] = "10.0.1.0/24"
        parse_site(site, TODAY)


def test_a_broken_tier_or_service_is_no_unknown_name_in_flows():
    site = copy.deepcopy(SITE)
    site["bulkhead_tiers"]["apps"] = None
    site["bulkhead_services"]["ssh"] = "x"
    site["bulkhead_networks"], site["bulkhead_swarm"], site["bulkhead_allocations"] = {}, None, {}
    assert [text.split(":")[0] for text in problems(site)] == ["bulkhead_tiers.apps", "bulkhead_services.ssh"]


@pytest.mark.parametrize(
    "value", [None, 5, True, "x", [], {}, [None], {"x": None}, {"x": 5}, {"x": []}, {"x": {"y": {}}}, {5: 5}]
)
@pytest.mark.parametrize("name", sorted(SITE))
def test_nothing_of_a_wrong_type_ends_in_a_traceback(name, value):
    try:
        parse_site(dict(SITE, **{name: value}), TODAY)
    except Refused as error:
        assert error.mistakes


def test_the_lab_is_the_gough_network():
    site = parse_site(
        {name: value for file in LAB.glob("*.yml") for name, value in yaml.safe_load(file.read_text()).items()}, TODAY
    )
    policy = Policy(site)
    hosts = {
        "management": "10.0.1.11",
        "provisioning": "10.0.2.11",
        "maas": "10.0.2.10",
        "monitoring": "10.0.3.11",
        "swarm_workers": "10.116.0.11",
        "internet": "203.0.113.10",
    }

    def is_open(source, destination, proto, port):
        start, end = hosts[source], hosts[destination]
        if start == end:
            end = end.rpartition(".")[0] + ".99"
        return policy.flow_for(start, end, proto, port) is not None

    ports = [
        ("tcp", port) for port in (22, 80, 443, 514, 2375, 3000, 5240, 5432, 5514, 8000, 8443, 9090, 9323, 2377, 7946)
    ] + [("udp", port) for port in (53, 67, 69, 514, 4789, 7946)]
    opened = {
        (source, destination): [port for proto, port in ports if is_open(source, destination, proto, port)]
        for source in hosts
        for destination in hosts
    }
    administration = [22, 443, 3000, 5240, 8443, 9090]
    assert {pair: found for pair, found in opened.items() if found and pair[0] != "maas"} == {
        ("management", "management"): administration,
        ("management", "provisioning"): administration,
        ("management", "maas"): administration,
        ("management", "monitoring"): [22, 443, 514, 3000, 5240, 5514, 8443, 9090, 514],
        ("management", "swarm_workers"): administration,
        ("management", "internet"): [port for proto, port in ports],
        ("provisioning", "provisioning"): [22],
        ("provisioning", "maas"): [22, 80, 443, 53, 67, 69],
        ("monitoring", "management"): [8443, 9090],
        ("monitoring", "monitoring"): [514, 5514, 9090, 9323, 514],
        ("monitoring", "swarm_workers"): [9323],
        ("swarm_workers", "monitoring"): [514, 5514, 514],
        ("swarm_workers", "swarm_workers"): [2377, 7946, 4789, 7946],
        ("internet", "swarm_workers"): [80, 443],
    }


def test_a_flow_may_limit_new_connections_and_says_so():
    site = parse_site(changed(["bulkhead_flows", 0, "limit"], True), TODAY)
    assert site.flows[0].limit and str(site.flows[0]) == "admin -> tiers ssh, web, limited (administration)"
    assert not parse_site(changed(["bulkhead_flows", 0, "limit"], False), TODAY).flows[0].limit


@pytest.mark.parametrize(
    ("flow", "problem"),
    [
        (
            {"allow": "any", "limit": True},
            "bulkhead_flows[0].limit: got true, and any in allow; expected services of tcp and udp alone: a limit counts new "
            "connections; name the services that are to be limited",
        ),
        (
            {"allow": ["ssh", "tunnel"], "limit": True},
            "bulkhead_flows[0].limit: got true, and tunnel in allow; expected services of tcp and udp alone: a limit counts "
            "new connections; give them a flow without limit",
        ),
        (
            {"allow": "ssh", "limit": 6},
            "bulkhead_flows[0].limit: got 6; expected true or false; write true or false, without quotes",
        ),
    ],
)
def test_what_has_no_connections_cannot_be_limited(flow, problem):
    site = changed(["bulkhead_flows", 0], {"from": "admin", "to": "apps", **flow})
    site["bulkhead_services"]["tunnel"] = ["esp", "500/udp"]
    assert problems(site) == [problem]


def test_an_invariant_knows_no_limit_and_forbids_a_limited_flow_like_any_other():
    site = changed(["bulkhead_never", 0, "limit"], True)
    assert problems(site)[0].startswith("bulkhead_never[0].limit: got an unknown key")
    site = changed(["bulkhead_flows", 0], {"from": "apps", "to": "admin", "allow": "ssh", "limit": True})
    assert any("bulkhead_never[0]" in problem for problem in problems(site))
