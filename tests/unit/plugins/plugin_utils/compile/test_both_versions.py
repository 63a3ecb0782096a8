# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A network of both IP versions: whoever reads a network's subnets reads both, in whichever order they are declared."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import host_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.matrix import matrix, places_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import plan_json, plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Named, known_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_net

FOUR, SIX = "10.40.0.0/24", "fd00:40::/64"


@pytest.fixture(name="site", params=[(FOUR, SIX), (SIX, FOUR)], ids=["IPv4 first", "IPv6 first"])
def fixture_site(request):
    return parse_site(
        {
            "bulkhead_tiers": {
                "admin": {
                    "vlan": 1,
                    "subnet": ["10.0.1.0/24", "fd00:1::/64"],
                    "gateway": ["10.0.1.1", "fd00:1::1"],
                },
                "apps": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
            },
            "bulkhead_addresses": {"shop": ["10.40.0.5", "fd00:40::5"], "four": "10.40.0.7", "six": "fd00:40::7"},
            "bulkhead_services": {"http": "80/tcp"},
            "bulkhead_flows": [
                {"from": "admin", "to": "shop", "allow": "http"},
                {"from": "admin", "to": "four", "allow": "http"},
                {"from": "four", "to": "six", "allow": "http"},
                {"from": "six", "to": "shop", "allow": "http"},
            ],
            "bulkhead_networks": {
                "front": {
                    "driver": "bridge",
                    "on": "apps",
                    "subnet": list(request.param),
                    "addresses": {"shop": ["10.40.0.5", "fd00:40::5"]},
                }
            },
            "bulkhead_stacks": {"shop": {"file": "shop.yml", "kind": "compose", "on": "apps"}},
        },
        date(2026, 11, 21),
    )


def test_a_container_in_it_is_reached_by_both(site):
    rules = host_rules(site, ["apps"], False)
    routed = {str(rule.destination) for rule in rules if rule.route}
    assert {"10.40.0.5", "fd00:40::5"} <= routed
    entries = host_docker(site, ["apps"], rules)["published"]
    assert {"10.40.0.5", "fd00:40::5"} <= {entry.get("to_ip") for entry in entries}


def test_it_is_the_sites_own_by_both(site):
    assert {parse_net(FOUR), parse_net(SIX)} <= set(site.own)


def test_the_lint_and_the_plan_have_both(site):
    subnets = [str(net) for net in site.networks["front"].subnets]
    assert lint_arguments(site)["networks"]["front"]["subnet"] == subnets
    assert plan_json(site)["networks"]["front"]["subnet"] == subnets
    assert all(subnet in plan_text(site) for subnet in subnets)


def test_the_matrix_finds_a_container_by_either_address(site):
    ends = {end.name: end for flow in site.flows for pair in flow.pairs for end in pair}
    assert [places_of(site, ends[name]) for name in ("four", "six", "shop")] == [["front"]] * 3
    assert ("front", "front") in matrix(site)


def test_two_containers_of_it_need_no_rule_by_whichever_address(site):
    said = [text for text in site.warnings if "both in network front" in text]
    assert [text.split(":")[0] for text in said] == ["bulkhead_flows[3]"]


def test_a_router_may_have_an_address_in_its_ipv4_subnet_whichever_comes_first(site):
    router = Member("r", Part.GATEWAY, gateway=True)
    assert FOUR in known_networks(site, router, Named.read(site, "r", [], None))
