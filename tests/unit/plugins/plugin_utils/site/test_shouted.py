# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.shouted import SHOUTED, unheard

TODAY = date(2026, 11, 21)
SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": ["10.0.1.1", "fd00:1::1"]},
        "boot": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
    },
    "bulkhead_addresses": {"maas": "10.0.2.10"},
    "bulkhead_services": {str(one.ports).replace("/", "_"): str(one.ports) for one in SHOUTED},
}
SITE["bulkhead_services"] = {f"s_{name}": ports for name, ports in SITE["bulkhead_services"].items()}
SITE["bulkhead_services"].update(dhcp="67/udp", mdns="5353/udp", vrrp="vrrp", low="1-1023/udp", ssh="22/tcp")


def site_of(*flows, never=(), **boot):
    declared = copy.deepcopy(SITE)
    declared["bulkhead_tiers"]["boot"].update(boot)
    declared["bulkhead_flows"] = [dict(zip(("from", "to", "allow"), flow)) for flow in flows]
    declared["bulkhead_never"] = list(never)
    return parse_site(declared, TODAY)


def said(*flows, **more):
    site = site_of(*flows, **more)
    return [text for flow in site.flows if not flow.derived for text in unheard(site, flow)]


@pytest.mark.parametrize("shouted", SHOUTED, ids=lambda one: one.name)
@pytest.mark.parametrize(("source", "destination"), [("boot", "maas"), ("boot", "admin"), ("admin", "self")])
def test_a_flow_to_hosts_lets_no_question_to_a_group_in_and_the_plan_says_so(shouted, source, destination):
    service = f"s_{str(shouted.ports).replace('/', '_')}"
    site = site_of((source, destination, service))
    (text,) = [text for text in site.warnings if text.startswith("bulkhead_flows[0]: s_")]
    assert shouted.name in text and all(group in text for group in shouted.groups)
    assert ("no router forwards" in text) == (destination == "admin")


def test_dhcp_of_the_tier_is_what_lets_a_request_in_and_then_the_flow_is_not_reported():
    assert "dhcp" in said(("boot", "maas", "dhcp"))[0]
    lease = {"range": "10.0.2.100-10.0.2.200", "server": "maas"}
    assert said(("boot", "maas", "dhcp"), dhcp=lease) == []
    assert len(said(("admin", "maas", "dhcp"), dhcp=lease)) == 1


def test_a_flow_to_the_group_lets_the_question_in_on_the_hosts_of_the_senders_tier_alone():
    site = site_of(("admin", "self", "mdns"), ("admin", ["224.0.0.251"], "mdns"))
    assert not [text for text in site.warnings if "mDNS" in text]
    assert "allow in proto udp from 10.0.1.0/24 to 224.0.0.251 port 5353" in map(
        str, host_rules(site, ["admin"], False)
    )
    assert not any("224.0.0.251" in str(rule) for rule in host_rules(site, ["boot"], False))
    assert not any("224.0.0.251" in str(rule) for rule in host_rules(site, (), True))
    assert Policy(site).flow_for("10.0.1.9", "224.0.0.251", "udp", 5353)
    assert not Policy(site).flow_for("10.0.2.9", "224.0.0.251", "udp", 5353)


def test_routers_hear_each_other_by_a_flow_from_gateway():
    site = site_of(("gateway", "224.0.0.18", "vrrp"))
    assert [str(rule) for rule in host_rules(site, (), True)] == [
        "allow in proto vrrp from 10.0.1.1 to 224.0.0.18",
        "allow in proto vrrp from 10.0.2.1 to 224.0.0.18",
    ]


def test_an_invariant_holds_for_a_group_as_well():
    with pytest.raises(Refused) as caught:
        site_of(
            ("admin", "224.0.0.251", "mdns"),
            never=[{"from": "admin", "to": "224.0.0.0/4", "deny": "any", "why": "quiet"}],
        )
    assert [(one.path, one.kind) for one in caught.value.mistakes] == [("bulkhead_flows[0]", "forbidden")]


@pytest.mark.parametrize("group", ["224.0.0.251", "255.255.255.255", "ff02::fb"])
def test_nothing_from_elsewhere_reaches_a_group(group):
    with pytest.raises(Refused) as caught:
        site_of(("internet", group, "mdns"))
    assert "link-alone" in [one.kind for one in caught.value.mistakes]


def test_a_range_or_any_names_no_such_service():
    assert said(("boot", "maas", "low"), ("boot", "maas", "any"), ("boot", "maas", "ssh")) == []


@pytest.mark.parametrize("proto", ["ospf", "pim", "icmp"])
def test_a_protocol_without_rules_is_said_to_be_one(proto):
    with pytest.raises(Refused) as caught:
        parse_site({**SITE, "bulkhead_services": {"routes": proto}}, TODAY)
    assert "before.rules" in str(caught.value.mistakes[0]) or "before6.rules" in str(caught.value.mistakes[0])
