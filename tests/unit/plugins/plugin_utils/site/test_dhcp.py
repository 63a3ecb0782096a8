# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import host_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host, strays
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import dhcp
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

TODAY = date(2026, 11, 21)
SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": ["10.0.1.1", "fd00:1::1"]},
        "boot": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
    },
    "bulkhead_addresses": {"maas": "10.0.2.10", "far": "10.0.1.10"},
}
NEVER = {"from": "boot", "to": "admin", "deny": "any"}


def site_with(never=(), **said):
    declared = copy.deepcopy(SITE)
    declared["bulkhead_tiers"]["boot"]["dhcp"] = {"range": "10.0.2.100-10.0.2.200", **said}
    declared["bulkhead_never"] = list(never)
    return parse_site(declared, TODAY)


def rules_of(site, *tiers, gateway=False):
    return [str(rule) for rule in host_rules(site, tiers, gateway)]


def kinds(**said):
    with pytest.raises(Refused) as caught:
        site_with(**said)
    return [(mistake.path, mistake.kind) for mistake in caught.value.mistakes]


def test_a_server_in_the_tier_hears_clients_without_an_address_and_those_that_renew_or_rebind():
    assert rules_of(site_with(server="maas"), "boot") == [
        "allow in proto udp from 0.0.0.0 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 10.0.2.10 port 67",
        "allow in proto udp from 10.0.2.10 to 10.0.2.0/24 port 68",
        "allow in proto udp from 10.0.2.10 to 255.255.255.255 port 68",
    ]
    assert rules_of(site_with(server="maas"), "admin") == rules_of(site_with(server="maas"), gateway=True) == []


def test_a_server_in_the_tier_hears_clients_of_ipv6():
    assert rules_of(site_with(server="fd00:2::10"), "boot") == [
        "allow in proto udp from fe80::/10 to ff02::1:2 port 547",
        "allow in proto udp from fd00:2::/64 to fd00:2::10 port 547",
        "allow in proto udp from fd00:2::10 to fd00:2::/64 port 546",
        "allow in proto udp from fe80::/10 to fe80::/10 port 546",
    ]


def test_a_server_elsewhere_is_asked_by_the_gateways_which_hear_the_clients():
    site = site_with(server="far")
    assert rules_of(site, gateway=True) == [
        "allow in proto udp from 0.0.0.0 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 67",
        "route allow proto udp from 10.0.2.0/24 to 10.0.1.10 port 67",
        "allow in proto udp from 10.0.1.10 to 10.0.2.1 port 67",
        "route allow proto udp from 10.0.1.10 to 10.0.2.0/24 port 68",
    ]
    assert rules_of(site, "admin") == [
        "allow in proto udp from 10.0.2.0/24 to 10.0.1.10 port 67",
        "allow in proto udp from 10.0.2.1 to 10.0.1.10 port 67",
        "allow in proto udp from 10.0.1.1 to 10.0.1.10 port 67",
    ]
    assert rules_of(site, "boot") == [
        "allow in proto udp from 10.0.2.1 to 10.0.2.0/24 port 68",
        "allow in proto udp from 10.0.2.1 to 255.255.255.255 port 68",
        "allow in proto udp from 10.0.1.10 to 10.0.2.0/24 port 68",
    ]


def test_a_server_elsewhere_is_asked_by_the_gateways_over_ipv6():
    site = site_with(server="fd00:1::10")
    assert rules_of(site, gateway=True) == [
        "allow in proto udp from fe80::/10 to ff02::1:2 port 547",
        "route allow proto udp from fd00:2::/64 to fd00:1::10 port 547",
        "allow in proto udp from fd00:1::10 to fd00:2::1 port 547",
        "route allow proto udp from fd00:1::10 to fd00:2::/64 port 546",
    ]
    assert "allow in proto udp from fd00:2::1 to fd00:1::10 port 547" in rules_of(site, "admin")
    assert "allow in proto udp from fe80::/10 to fe80::/10 port 546" in rules_of(site, "boot")


def test_a_relay_in_the_tier_hears_the_clients_in_the_place_of_the_gateways():
    site = site_with(server="far", relay="10.0.2.3")
    assert "allow in proto udp from 0.0.0.0 to 255.255.255.255 port 67" in rules_of(site, "boot")
    assert "allow in proto udp from 10.0.1.10 to 10.0.2.3 port 67" in rules_of(site, "boot")
    assert rules_of(site, gateway=True) == [
        "route allow proto udp from 10.0.2.0/24 to 10.0.1.10 port 67",
        "route allow proto udp from 10.0.2.3 to 10.0.1.10 port 67",
        "route allow proto udp from 10.0.1.10 to 10.0.2.3 port 67",
        "route allow proto udp from 10.0.1.10 to 10.0.2.0/24 port 68",
    ]


def test_a_gateway_that_is_the_server_itself_hears_the_clients():
    site = site_with(server="10.0.2.1")
    assert rules_of(site, gateway=True) == [
        "allow in proto udp from 0.0.0.0 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 10.0.2.1 port 67",
    ]
    assert not any("port 67" in rule for rule in rules_of(site, "boot"))


def test_without_a_server_any_host_of_the_tier_may_be_it_for_the_ip_version_of_the_range():
    assert rules_of(site_with(), "boot") == [
        "allow in proto udp from 0.0.0.0 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 67",
        "allow in proto udp from 10.0.2.0/24 to 10.0.2.0/24 port 67",
        "allow in proto udp from 10.0.2.0/24 to 10.0.2.0/24 port 68",
        "allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 68",
    ]


@pytest.mark.parametrize(
    ("packet", "part"),
    [
        (("0.0.0.0", "255.255.255.255", "udp", 67), ""),
        (("10.0.2.150", "255.255.255.255", "udp", 67), ""),
        (("10.0.2.150", "10.0.2.10", "udp", 67), ""),
        (("10.0.2.10", "255.255.255.255", "udp", 68), " (answers)"),
        (("0.0.0.0", "255.255.255.255", "udp", 69), None),
        (("0.0.0.0", "255.255.255.255", "tcp", 67), None),
        (("0.0.0.0", "10.0.2.10", "udp", 67), None),
        (("10.0.1.9", "255.255.255.255", "udp", 67), None),
        (("10.0.2.150", "10.0.2.11", "udp", 67), None),
        (("10.0.2.11", "10.0.2.150", "udp", 68), None),
        (("fe80::1", "ff02::1:2", "udp", 547), " (of IPv6)"),
        (("fe80::1", "fe80::2", "udp", 546), " (answers of IPv6)"),
        (("fe80::1", "ff02::1:3", "udp", 547), None),
    ],
)
def test_the_policy_knows_what_dhcp_needs_and_no_more(packet, part):
    flow = Policy(site_with(server=["maas", "fd00:2::10"])).flow_for(*packet)
    assert (flow and flow.path) == (None if part is None else f"bulkhead_tiers.boot.dhcp{part}")


def test_an_invariant_against_a_server_elsewhere_is_broken_by_the_tiers_dhcp():
    assert kinds(server="far", never=[NEVER])[0] == ("bulkhead_tiers.boot.dhcp", "forbidden")


def test_an_invariant_against_a_server_of_ipv6_is_broken_too():
    assert kinds(server="fd00:1::10", never=[NEVER])[0] == ("bulkhead_tiers.boot.dhcp (of IPv6)", "forbidden")


def test_an_invariant_against_everything_in_the_tier_is_broken_by_a_server_in_it():
    never = {"from": "boot", "to": "self", "deny": "any"}
    assert ("bulkhead_tiers.boot.dhcp", "forbidden") in kinds(server="maas", never=[never])


def test_a_broadcast_is_neither_the_internet_nor_from_there():
    declared = copy.deepcopy(SITE)
    declared["bulkhead_tiers"]["boot"].update(internet=False, dhcp={"range": "10.0.2.100-10.0.2.200", "server": "maas"})
    declared["bulkhead_never"] = [{"from": "internet", "to": "tiers", "deny": "any"}, NEVER]
    site = parse_site(declared, TODAY)
    assert not any(net.meets(dhcp.parse_net("255.255.255.255/32")) for net in site.outside)
    assert site.warnings == ()


def test_ufw_takes_every_rule_of_it():
    for said in ({"server": ["maas", "fd00:2::10"]}, {"server": ["far", "fd00:1::10"]}, {}):
        site = site_with(**said)
        for rules in (
            host_rules(site, ["boot"], False),
            host_rules(site, ["admin"], False),
            host_rules(site, (), True),
        ):
            parsed = parse_rules([rule.to_dict() for rule in rules], True, dict)
            assert len(parsed.v4) + len(parsed.v6) == len(rules)


def test_no_engine_publishes_a_broadcast():
    site = site_with(server=["maas", "fd00:2::10"])
    published = host_docker(site, ["boot"], host_rules(site, ["boot"], False))["published"]
    assert {entry["to_ip"] for entry in published} == {"10.0.2.10", "10.0.2.0/24", "fd00:2::10", "fd00:2::/64"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"server": "mas"}, [("bulkhead_tiers.boot.dhcp.server", dhcp.NO_SERVER)]),
        ({"server": "10.0.2.300"}, [("bulkhead_tiers.boot.dhcp.server", dhcp.NO_SERVER)]),
        ({"server": "10.0.2.150"}, [("bulkhead_tiers.boot.dhcp.server", dhcp.NO_SERVER)]),
        ({"server": ["far", 5]}, [("bulkhead_tiers.boot.dhcp.server[1]", "")]),
        ({"server": "far", "relay": "10.0.1.3"}, [("bulkhead_tiers.boot.dhcp.relay", dhcp.WRONG_RELAY)]),
    ],
)
def test_a_server_or_relay_that_is_none_is_named_with_its_path(said, found):
    assert kinds(**said) == found


def test_a_server_elsewhere_needs_a_relay():
    declared = copy.deepcopy(SITE)
    declared["bulkhead_tiers"]["boot"].update(
        gateway="fd00:2::1", dhcp={"range": "10.0.2.100-10.0.2.200", "server": "far"}
    )
    with pytest.raises(Refused) as caught:
        parse_site(declared, TODAY)
    assert [mistake.kind for mistake in caught.value.mistakes] == [dhcp.NO_RELAY]


@pytest.mark.parametrize("server", ["maas", "fd00:2::10"])
def test_a_proof_names_the_rule_of_dhcp_that_a_host_lacks_and_the_broadcast_that_a_hand_opened(server):
    rules = [rule.to_dict() for rule in host_rules(site_with(server=server), ["boot"], False)]
    by_hand = {"rule": "allow", "proto": "udp", "from_ip": "10.0.2.0/24", "to_ip": "255.255.255.255", "to_port": "9"}
    compiled = read_firewall(True, DEFAULTS, rules)
    live = read_firewall(True, DEFAULTS, [*rules[1:], by_hand])
    more, less = strays(Host("server", (), live, compiled))
    assert more == ["allow in proto udp from 10.0.2.0/24 to 255.255.255.255 port 9"]
    assert less == [str(host_rules(site_with(server=server), ["boot"], False)[0])]
