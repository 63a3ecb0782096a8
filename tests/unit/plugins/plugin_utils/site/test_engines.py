# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import checks, engines
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 11, 21)
SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1"},
        "apps": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    },
    "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16"},
    "bulkhead_swarm": {"managers": {"m1": "10.0.2.11"}, "tier": "apps"},
    "bulkhead_networks": {"lan": {"driver": "bridge", "on": "admin", "subnet": "10.40.0.0/24"}},
}


def site_of(changes=None, **of):
    site = copy.deepcopy(SITE)
    site["bulkhead_engines"] = of
    site.update(changes or {})
    return parse_site(site, TODAY)


def mistakes(changes=None, **of):
    with pytest.raises(Refused) as caught:
        site_of(changes, **of)
    return [(one.kind, one.path, getattr(one, "against", "")) for one in caught.value.mistakes]


def test_a_hosts_engine_gets_what_is_declared_of_its_tiers_in_the_words_of_daemon_json():
    said = {"mtu": 1450, "bip": "172.28.255.1/24", "fixed-cidr": "172.28.255.0/25", "metrics-addr": "0.0.0.0:9323"}
    site = site_of(admin=said, apps={"userland-proxy": False})
    assert host_plan(site, "a", ["admin"], False)["engine"]["settings"] == said
    assert host_plan(site, "b", ["apps"], False)["engine"]["settings"] == {"userland-proxy": False}
    assert "settings" not in host_plan(site, "c", [], True)["engine"]


def test_two_tiers_may_have_the_same_bridge_for_each_engine_has_its_own():
    assert site_of(admin={"bip": "172.28.255.1/24"}, apps={"bip": "172.28.255.1/24"}).engines["apps"].bridge


@pytest.mark.parametrize(
    ("bip", "against"),
    [
        ("10.40.0.1/24", "bulkhead_networks.lan.subnet"),
        ("10.0.2.77/24", "bulkhead_tiers.apps.subnet"),
        ("172.29.9.1/24", "bulkhead_pools.swarm"),
    ],
)
def test_a_bridge_on_addresses_of_the_site_is_an_overlap(bip, against):
    assert mistakes(admin={"bip": bip}) == [(checks.OVERLAP, "bulkhead_engines.admin.bip", against)]


def test_an_engine_without_rules_contradicts_what_it_translates():
    assert mistakes(admin={"iptables": False}) == [
        (engines.WITHOUT_RULES, "bulkhead_engines.admin.iptables", "bulkhead_networks.lan")
    ]
    assert mistakes(apps={"iptables": False}) == [
        (engines.WITHOUT_RULES, "bulkhead_engines.apps.iptables", "bulkhead_swarm.tier")
    ]
    plain = {"bulkhead_networks": {}}
    assert site_of(plain, admin={"iptables": False}).engines["admin"].settings == {"iptables": False}


def test_a_swarm_takes_no_engine_with_live_restore():
    assert mistakes(apps={"live-restore": True}) == [
        (engines.LIVE_RESTORE, "bulkhead_engines.apps.live-restore", "bulkhead_swarm.tier")
    ]
    assert site_of(admin={"live-restore": True}).engines["admin"].settings == {"live-restore": True}


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"mtu": "1450"}, "mtu"),
        ({"bip": "172.28.255.0/24"}, "bip"),
        ({"bip": "172.28.255.1"}, "bip"),
        ({"bip": "172.28.255.1/24", "fixed-cidr": "172.28.0.0/24"}, "fixed-cidr"),
        ({"fixed-cidr": "172.28.0.0/24"}, "fixed-cidr"),
        ({"metrics-addr": "9323"}, "metrics-addr"),
        ({"metrics-addr": "0.0.0.0:99999"}, "metrics-addr"),
        ({"iptables": "no"}, "iptables"),
        ({"data-root": "/srv"}, "data-root"),
        ({"labels": "fast"}, None),
    ],
)
def test_a_setting_that_is_none_is_named_with_its_path(said, path):
    if path is None:
        assert site_of(admin=said).engines["admin"].settings == {"labels": ["fast"]}
    else:
        assert [where for _kind, where, _other in mistakes(admin=said)] == [f"bulkhead_engines.admin.{path}"]


def test_a_tier_that_is_none_is_refused():
    assert [where for _kind, where, _other in mistakes(admn={})] == ["bulkhead_engines.admn"]


@pytest.mark.parametrize(("service", "served"), [("web", True), ("db", False)])
def test_a_flow_to_a_host_for_what_it_does_not_serve_is_an_error(service, served):
    changes = {
        "bulkhead_services": {"web": ["80/tcp", "443/tcp"], "db": "5432/tcp", "low": "1-1023/tcp"},
        "bulkhead_addresses": {"portal": {"address": "10.0.2.20", "serves": "low"}},
        "bulkhead_flows": [{"from": "admin", "to": "portal", "allow": service}],
    }
    if served:
        assert site_of(changes).addresses["portal"]
    else:
        assert mistakes(changes) == [(checks.NOT_SERVED, "bulkhead_flows[0].allow", "bulkhead_addresses.portal.serves")]


def test_what_an_address_serves_must_be_a_service():
    changes = {"bulkhead_addresses": {"portal": {"address": "10.0.2.20", "serves": "wbe"}}}
    assert [where for _kind, where, _other in mistakes(changes)] == ["bulkhead_addresses.portal.serves"]
