# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile import host
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import (
    HostPlan,
    SharedPlan,
    host_plan,
    shared_plan,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import (
    engine_settings,
    host_networks,
    swarm_settings,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1"},
        "apps": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    },
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "admin", "to": ["tiers", "gateway"], "allow": "ssh"}],
    "bulkhead_pools": {"engine": ["10.20.0.0/16", "fd00:20::/48"], "swarm": "10.21.0.0/16", "overlay": "10.30.0.0/22"},
    "bulkhead_swarm": {"managers": {"m1": "10.0.2.11"}, "tier": "apps"},
    "bulkhead_networks": {
        "front": {"driver": "overlay", "size": 25, "attachable": True, "zone": "public", "mtu": 1400},
        "lan": {
            "driver": "bridge",
            "on": ["admin"],
            "subnet": "10.40.0.0/24",
            "gateway": "10.40.0.1",
            "ip_range": "10.40.0.128/25",
            "options": {"com.docker.network.bridge.enable_icc": True, "x": 5},
            "labels": {"owner": "me"},
        },
    },
}


@pytest.fixture(scope="module")
def site():
    return parse_site(SITE, date(2026, 11, 21))


def test_a_manager_has_the_overlays_with_their_subnets(site):
    assert host_networks(site, ["apps"], "m1") == [
        {
            "name": "front",
            "driver": "overlay",
            "subnet": "10.30.0.0/25",
            "internal": False,
            "attachable": True,
            "encrypted": False,
            "mtu": 1400,
            "labels": {"bulkhead.zone": "public"},
        }
    ]


def test_of_several_managers_the_first_alone_makes_the_overlays():
    declaration = dict(SITE, bulkhead_swarm={"tier": "apps", "managers": {"m2": "10.0.2.12", "m1": "10.0.2.11"}})
    site = parse_site(declaration, date(2026, 11, 21))
    assert [item["name"] for item in host_networks(site, ["apps"], "m2")] == ["front"]
    assert host_networks(site, ["apps"], "m1") == []
    assert swarm_settings(site, ["apps"], "m1")["manager"] is True


def test_the_hosts_of_a_tier_have_its_bridges_with_options_as_text(site):
    assert host_networks(site, ["admin"], "a1") == [
        {
            "name": "lan",
            "driver": "bridge",
            "subnet": "10.40.0.0/24",
            "internal": False,
            "gateway": "10.40.0.1",
            "ip_range": "10.40.0.128/25",
            "options": {"com.docker.network.bridge.enable_icc": "true", "x": "5"},
            "labels": {"owner": "me"},
        }
    ]


def test_a_worker_has_neither(site):
    assert host_networks(site, ["apps"], "w1") == []


def test_the_engines_and_the_swarm_get_pools_of_their_own(site):
    assert engine_settings(site) == {
        "default_address_pools": [{"base": "10.20.0.0/16", "size": 24}, {"base": "fd00:20::/48", "size": 64}]
    }
    assert swarm_settings(site, ["apps"], "m1") == {
        "manager": True,
        "managers": {"m1": "10.0.2.11"},
        "tier": "apps",
        "default_addr_pool": ["10.21.0.0/16"],
        "subnet_size": 24,
    }
    assert swarm_settings(site, ["apps"], "w1")["manager"] is False
    assert swarm_settings(site, ["admin"], "a1") == {}


def test_what_is_not_declared_is_left_alone():
    site = parse_site({"bulkhead_tiers": SITE["bulkhead_tiers"]}, date(2026, 11, 21))
    assert engine_settings(site) == {} and swarm_settings(site, ["apps"], "m1") == {}


def test_the_plan_of_a_host_has_the_same_keys_whatever_the_host_is(site):
    member, router, stranger = (
        host_plan(site, "m1", ["apps"], False),
        host_plan(site, "gw", [], True),
        host_plan(site, "x", [], False),
    )
    assert set(member) == set(router) == set(stranger)
    assert member["manager"] and member["default"] == {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
    assert len(router["rules"]) == 3 and router["networks"] == []
    assert stranger == {
        "tiers": [],
        "gateway": False,
        "manager": False,
        "rules": [],
        "default": {},
        "docker": {},
        "nat": {},
        "vlans": [],
        "vlan_interfaces": [],
        "engine": {},
        "swarm": {},
        "networks": [],
        "stacks": [],
        "stack_lint": {},
        "tailnet": None,
    }


def test_a_manager_outside_of_the_swarms_tier_is_refused(site):
    with pytest.raises(
        Refused, match="bulkhead_swarm.managers: got m1, a host of admin; expected a host of tier apps; put it"
    ):
        host_plan(site, "m1", ["admin"], False)


def test_what_the_tiers_alone_decide_is_the_same_for_every_host_of_them(site):
    shared = shared_plan(site, ["apps"], False)
    assert set(shared) == set(SharedPlan.__annotations__)
    for name in ("m1", "w1", "w2"):
        plan = host_plan(site, name, ["apps"], False)
        assert plan == host_plan(site, name, ["apps"], False, shared)
        assert set(plan) == set(HostPlan.__annotations__) | set(SharedPlan.__annotations__)
        assert {key: plan[key] for key in shared} == shared
    assert host_plan(site, "w1", ["apps"], False) == host_plan(site, "w2", ["apps"], False)
    assert host_plan(site, "m1", ["apps"], False) != host_plan(site, "w1", ["apps"], False)


def test_the_rules_are_compiled_once_for_the_rules_and_the_published_ports(site, monkeypatch):
    compiled = []

    def counted(*args):
        compiled.append(args)
        return host_rules(*args)

    monkeypatch.setattr(host, "host_rules", counted)
    plan = host_plan(site, "m1", ["apps"], False)
    assert len(compiled) == 1 and plan["rules"] and plan["docker"]["published"]
    host_plan(site, "m1", ["apps"], False, plan)
    assert len(compiled) == 1
