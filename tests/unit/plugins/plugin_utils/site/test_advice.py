# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = {
    "bulkhead_tiers": {
        "admin": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1"},
        "apps": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
        "island": {"vlan": 3, "subnet": "10.0.3.0/24"},
        "six": {"vlan": 4, "subnet": "fd00::/64", "gateway": "fd00::1"},
    },
    "bulkhead_services": {
        "ssh": "22/tcp",
        "low": "1-1023/tcp",
        "swarm": ["2377/tcp", "7946/tcp", "7946/udp", "4789/udp"],
        "esp": "esp",
    },
    "bulkhead_flows": [
        {"from": "apps", "to": "self", "allow": ["swarm", "esp"]},
        {"from": "admin", "to": "apps", "allow": "low"},
    ],
    "bulkhead_never": [{"from": "internet", "to": "admin", "deny": "ssh"}],
    "bulkhead_addresses": {"web": "10.40.0.20", "db": "10.40.0.30", "task": "10.30.0.9"},
    "bulkhead_pools": {"engine": "10.20.0.0/16", "swarm": "10.21.0.0/16", "overlay": "10.30.0.0/16"},
    "bulkhead_swarm": {"managers": {"m1": "10.0.2.11"}, "tier": "apps"},
    "bulkhead_networks": {
        "front": {"driver": "overlay", "subnet": "10.30.0.0/24", "encrypted": True},
        "lan": {"driver": "bridge", "on": "admin", "subnet": "10.40.0.0/24"},
    },
}


def warnings(*flows, **changes):
    site = copy.deepcopy(SITE)
    site["bulkhead_flows"] += flows
    site.update(changes)
    return list(parse_site(site, date(2026, 11, 21)).warnings)


def flow(source, destination, allow, **more):
    return dict({"from": source, "to": destination, "allow": allow}, **more)


def test_a_sound_site_has_no_warnings():
    assert warnings() == []


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        (flow("admin", "six", "ssh"), "no rule can let it work: admin and six have no IP version in common"),
        (
            flow("admin", "island", "ssh"),
            "no rule can let it work: tier island has no gateway, so it reaches nothing but itself",
        ),
        (
            flow("web", "db", "ssh"),
            "no rule can let it work: web and db are both in network lan, where no host's firewall stands",
        ),
        (
            flow("web", "apps", "ssh"),
            "no rule can let it work: web is in bridge lan, whose packets leave it with the address of "
            "their host: name the tier",
        ),
        (
            flow("admin", "task", "ssh"),
            "no rule can let it work: task is in overlay front, which is not routed: name the tier that publishes it",
        ),
        (
            flow("task", "admin", "ssh"),
            "no rule can let it work: task is in overlay front, whose packets leave it with the "
            "address of their host: name the tier",
        ),
    ],
)
def test_a_flow_that_no_rule_can_carry_is_named(entry, warning):
    assert warnings(entry) == ["bulkhead_flows[2]: %s" % warning]


@pytest.mark.parametrize(
    "entry",
    [
        flow("island", "self", "ssh"),
        flow("admin", "web", "ssh"),
        flow("admin", ["six", "island", "apps"], "swarm"),
        flow("island", "gateway", "ssh"),
    ],
)
def test_a_flow_that_can_work_somewhere_is_not_named(entry):
    assert warnings(entry) == []


def test_a_flow_that_an_earlier_one_covers_is_one_too_many():
    assert warnings(flow("admin", "apps", "ssh", why="again")) == [
        "bulkhead_flows[2]: admin -> apps ssh (again) is allowed by bulkhead_flows[1] already; remove one of them"
    ]
    assert warnings(flow("10.0.1.128/25", "10.0.2.5", "ssh"))[0].startswith("bulkhead_flows[2]: ")


def test_a_flow_that_a_later_wider_one_covers_is_named_and_the_wider_is_not():
    assert [text.split(":")[0] for text in warnings(flow("tiers", "apps", "low"))] == ["bulkhead_flows[1]"]


def test_of_two_equal_flows_the_later_is_named():
    assert [text.split(":")[0] for text in warnings(flow("admin", "apps", "low"))] == ["bulkhead_flows[2]"]


def test_a_flow_that_outlasts_the_one_that_covers_it_is_needed():
    assert [text for text in warnings(flow("admin", "apps", "any", until="2027-12-31")) if "already" in text] == []
    brief = flow("island", "self", "any", until="2027-12-31")
    assert warnings(brief, flow("island", "self", "ssh", until="2028-06-30")) == []
    lasting = flow("island", "self", "any", until="2028-12-31")
    assert len(warnings(lasting, flow("island", "self", "ssh", until="2028-06-30"))) == 1


def test_a_flow_that_needs_two_others_to_be_covered_names_both():
    found = warnings(flow(["admin", "apps"], "apps", "esp"), flow("admin", "apps", ["ssh", "esp"]))
    assert (
        "bulkhead_flows[3]: admin -> apps ssh, esp is allowed by bulkhead_flows[1] and bulkhead_flows[2] "
        "already; remove one of them" in found
    )


def test_a_flow_that_soon_ends_is_announced():
    assert (
        warnings(flow("admin", "island", "any", until="2026-12-01"))[0]
        == "bulkhead_flows[2]: ends on 2026-12-01, in 10 days"
    )
    assert list(warnings(flow("island", "self", "any", until="2027-12-01"))) == []


def test_a_service_that_nothing_uses_is_named():
    services = dict(SITE["bulkhead_services"], ftp="21/tcp")
    assert warnings(bulkhead_services=services) == ["bulkhead_services.ftp: no flow uses it"]


def test_a_swarm_that_cannot_hear_itself_is_named_with_its_ports():
    assert warnings(bulkhead_flows=[flow("apps", "self", "low"), flow("admin", "apps", ["swarm", "esp"])]) == [
        "bulkhead_swarm.tier: no flow lets apps reach itself at 2377/tcp, 7946/tcp, 7946/udp, 4789/udp, esp, "
        "which a Swarm needs"
    ]


def test_addresses_in_the_engines_range_and_a_large_mtu_are_named():
    networks = {
        "front": {"driver": "overlay", "subnet": "10.30.0.0/24", "mtu": 1500},
        "lan": {
            "driver": "bridge",
            "on": "admin",
            "subnet": "10.40.0.0/24",
            "ip_range": "10.40.0.0/25",
            "addresses": {"a": "10.40.0.9"},
        },
    }
    assert warnings(bulkhead_networks=networks) == [
        "bulkhead_networks.front.mtu: 1500 fits only where the hosts' own MTU is at least 1550",
        "bulkhead_networks.lan.ip_range: the engine hands out 10.40.0.0/25 to containers that ask for no address, "
        "and a lies in it",
    ]


def test_a_limit_beside_a_flow_without_one_is_named_in_whatever_order_they_stand():
    limited, free = flow("tiers", "apps", "ssh", limit=True), flow("tiers", "apps", "ssh", why="free")
    for pair in ([limited, free], [free, limited]):
        found = [text for text in warnings(*pair) if "limited" in text]
        number = 2 + pair.index(limited)
        assert len(found) == 1 and found[0].startswith(
            f"bulkhead_flows[{number}]: tiers -> apps ssh, limited is allowed by "
        )
        assert " already without a limit; remove one of them" in found[0]


def test_a_flow_without_a_limit_is_its_own_beside_one_with_a_limit():
    assert warnings(flow("tiers", "six", "ssh", limit=True), flow("six", "self", "ssh")) == []
