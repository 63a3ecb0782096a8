# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.fold import Kind, Watch
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Blocked, Connections, Heard, Log
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.report import sentence

SITE = {
    "bulkhead_tiers": {
        "management": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": ["10.0.1.1", "fd00:1::1"]},
        "monitoring": {"vlan": 3, "subnet": ["10.0.3.0/24", "fd00:3::/64"], "gateway": ["10.0.3.1", "fd00:3::1"]},
        "provisioning": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    },
    "bulkhead_addresses": {"printer": "10.0.1.9", "office": "198.51.100.7"},
    "bulkhead_services": {"ssh": "22/tcp", "dns": "53/udp", "exporter": "9101/tcp", "web": "8080/tcp"},
    "bulkhead_pools": {"containers": "172.28.0.0/16"},
    "bulkhead_flows": [
        {"from": "management", "to": "monitoring", "allow": "ssh"},
        {"from": "monitoring", "to": "management", "allow": "dns"},
        {"from": "office", "to": "management", "allow": "ssh", "limit": True},
        {"from": "management", "to": "monitoring", "allow": "web"},
    ],
    "bulkhead_never": [{"from": "provisioning", "to": "monitoring", "deny": "any"}],
}
LINKS = {"eth0": ("10.0.1.1/24",), "eth1": ("10.0.3.1/24",), "lo": ("127.0.0.1/8",)}


@pytest.fixture(scope="module", name="watch")
def fixture_watch():
    return Watch(parse_site(SITE, date(2026, 1, 1)))


def packet(source, destination, proto="tcp", port=9100, number=1, **more):
    whole = {"way": "in", "interface": "eth0", "sport": 0, "opens": True, "limited": False, "first": 1.0, "last": 2.0}
    return Blocked(source=source, destination=destination, proto=proto, port=port, number=number, **{**whole, **more})


def heard(*packets, addresses=None, connections=(), sender=""):
    log = Log(sender, "/var/log/ufw.log", True, False, (), packets, 0, 0, 0, 0, 0, 1.0)
    return Heard(2.0, (log,), "/proc/net/nf_conntrack", tuple(connections), 0, addresses or {}, "yes", "low")


def rows(watch, **hosts):
    return watch.fold(hosts).blocked


def only(watch, **hosts):
    (row,) = rows(watch, **hosts)
    return row


def test_packets_of_many_hosts_are_one_flow_in_the_sites_words(watch):
    row = only(
        watch,
        mon1=heard(packet("10.0.1.5", "10.0.3.11", number=400), packet("10.0.1.6", "10.0.3.11", number=10)),
        mon2=heard(packet("10.0.1.5", "10.0.3.12", number=2)),
    )
    assert sentence(row) == "management -> monitoring 9100/tcp, 412 times from 2 hosts, no flow declares it"
    assert watch.advice(row) == [
        "this flow would allow it: {from: management, to: monitoring, allow: 9100_tcp}",
        "with the service {9100_tcp: 9100/tcp} in bulkhead_services",
    ]


def test_addresses_of_both_ip_versions_may_be_one_hosts(watch):
    row = only(watch, mon1=heard(packet("10.0.1.5", "10.0.3.11"), packet("fd00:1::6", "fd00:3::11")))
    assert sentence(row).startswith("management -> monitoring 9100/tcp, 2 times from 2 addresses, ")


def test_a_service_that_the_site_knows_is_named(watch):
    row = only(watch, mon1=heard(packet("10.0.1.5", "10.0.3.11", port=9101)))
    assert sentence(row).startswith("management -> monitoring 9101/tcp (exporter), 1 time from 1 host")
    assert watch.advice(row) == ["this flow would allow it: {from: management, to: monitoring, allow: exporter}"]


def test_the_smallest_flow_names_one_address_where_it_has_a_name_and_few_of_the_internet(watch):
    row = only(watch, mon1=heard(packet("10.0.1.9", "10.0.3.11", port=9101)))
    assert "{from: printer, to: monitoring, allow: exporter}" in watch.advice(row)[0]
    row = only(
        watch, mon1=heard(packet("203.0.113.7", "10.0.3.11", port=9101), packet("203.0.113.8", "10.0.3.11", port=9101))
    )
    assert "{from: [203.0.113.7, 203.0.113.8], to: monitoring, allow: exporter}" in watch.advice(row)[0]
    row = only(watch, mon1=heard(*(packet(f"203.0.113.{n}", "10.0.3.11", port=9101) for n in range(1, 9))))
    assert "{from: internet, to: monitoring, allow: exporter}" in watch.advice(row)[0]


def test_what_a_never_forbids_gets_no_flow(watch):
    row = only(watch, mon1=heard(packet("10.0.2.5", "10.0.3.11")))
    assert row.key.kind is Kind.FORBIDDEN and sentence(row).endswith("bulkhead_never[0] forbids it")
    assert watch.advice(row) == []


def test_a_declared_flow_that_a_host_blocked_is_drift_and_names_the_host(watch):
    row = only(watch, mon1=heard(packet("10.0.1.5", "10.0.3.11", port=22)))
    assert row.key.kind is Kind.DECLARED and sentence(row).endswith(
        "bulkhead_flows[0] declares it, and mon1 blocked it"
    )


def test_a_flows_limit_is_no_drift(watch):
    row = only(watch, m1=heard(packet("198.51.100.7", "10.0.1.5", port=22, limited=True)))
    assert row.key.kind is Kind.LIMITED and sentence(row).endswith("the limit of bulkhead_flows[2]")


def test_a_routers_own_address_is_no_tier(watch):
    row = only(watch, gw1=heard(packet("10.0.1.5", "10.0.3.1", port=22)))
    assert (row.key.destination.word, row.key.kind) == ("gateway", Kind.UNDECLARED)
    assert "to: gateway" in watch.advice(row)[0]


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (packet("10.0.1.5", "224.0.0.251", "udp", 5353), "multicast to 224.0.0.251, mDNS"),
        (
            packet("fe80::1", "ff02::1:ff00:2", "icmpv6", 135),
            "multicast to ff02::1:ff00:2, icmpv6 neighbour-solicitation",
        ),
        (packet("10.0.1.5", "10.0.1.255", "udp", 137), "broadcast, NetBIOS"),
        (packet("0.0.0.0", "255.255.255.255", "udp", 67), "broadcast, DHCP"),
        (packet("fe80::1", "fe80::2", "udp", 546), "between link-local addresses, DHCPv6"),
        (packet("10.0.1.1", "224.0.0.1", "igmp", -1), "multicast to 224.0.0.1, igmp"),
    ],
)
def test_what_goes_to_everybody_on_a_link_is_apart(watch, one, what):
    row = only(watch, m1=heard(one))
    assert (row.key.kind, row.key.what) == (Kind.NOISE, what)


def test_a_flow_to_a_group_that_a_host_blocked_is_drift():
    flows = [{"from": "management", "to": "224.0.0.251", "allow": "mdns"}]
    services = {**SITE["bulkhead_services"], "mdns": "5353/udp"}
    site = {**SITE, "bulkhead_services": services, "bulkhead_addresses": {}, "bulkhead_flows": flows}
    row = only(Watch(parse_site(site, date(2026, 1, 1))), m1=heard(packet("10.0.1.5", "224.0.0.251", "udp", 5353)))
    assert row.key.kind is Kind.DECLARED and sentence(row).startswith("management -> the link 5353/udp (mdns)")


def test_dhcp_to_one_host_is_judged_by_the_flows(watch):
    assert only(watch, m1=heard(packet("10.0.1.5", "10.0.3.11", "udp", 67))).key.kind is Kind.UNDECLARED


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (packet("10.0.1.5", "10.0.3.11", opens=False), "tcp"),
        (packet("10.0.1.5", "10.0.3.11", "icmp", 3), "icmp errors"),
        (packet("10.0.1.5", "10.0.3.11", "udp", -1), "fragments of udp"),
        # monitoring asks management's name server, and the answer came too late.
        (packet("10.0.1.5", "10.0.3.11", "udp", 40000, sport=53), "answers of 53/udp (dns)"),
    ],
)
def test_what_opens_no_connection_is_apart(watch, one, what):
    row = only(watch, m1=heard(one))
    assert (row.key.kind, row.key.what) == (Kind.LATE, what)


def test_a_reply_from_a_port_that_no_flow_declares_is_no_late_answer(watch):
    assert only(watch, m1=heard(packet("10.0.1.5", "10.0.3.11", "udp", 40000, sport=123))).key.kind is Kind.UNDECLARED


def test_icmp_is_told_by_its_type_and_no_flow_is_proposed(watch):
    row = only(watch, m1=heard(packet("10.0.1.5", "10.0.3.11", "icmp", 8)))
    assert row.key.what == "icmp echo-request" and "no flow can declare it" in watch.advice(row)[0]


@pytest.mark.parametrize(
    ("one", "odd"),
    [
        (
            packet("10.0.3.7", "10.0.3.11", interface="eth0", way="routed"),
            "it came by eth0, and its network is on eth1",
        ),
        (packet("10.0.1.1", "10.0.1.1", interface="eth0"), "the receiving host's own address"),
        (packet("192.168.77.1", "10.0.3.11"), "a private address that the site does not declare"),
    ],
)
def test_a_source_that_cannot_be_there_is_named_and_gets_no_flow(watch, one, odd):
    row = only(watch, gw1=heard(one, addresses=LINKS))
    assert row.key.odd == odd and odd in sentence(row) and watch.advice(row) == []


def test_a_source_behind_a_router_is_nothing_odd(watch):
    assert only(watch, gw1=heard(packet("10.0.2.5", "10.0.1.1"), addresses=LINKS)).key.odd == ""


def test_a_scan_is_one_row(watch):
    row = only(watch, m1=heard(*(packet("203.0.113.7", "10.0.3.11", port=port) for port in range(1000, 1100))))
    assert row.key.what == "100 ports of tcp (1000-1099)" and row.count == 100
    assert "a scan" in watch.advice(row)[0]


def test_the_most_urgent_rows_come_first_and_of_those_the_most_frequent(watch):
    found = rows(
        watch,
        m1=heard(
            packet("10.0.1.5", "224.0.0.1", "igmp", -1, number=99),
            packet("10.0.1.5", "10.0.3.11", port=1, number=5),
            packet("10.0.1.5", "10.0.3.11", port=2, number=7),
            packet("10.0.1.5", "10.0.3.11", port=22),
        ),
    )
    assert [(row.key.kind, row.count) for row in found] == [
        (Kind.DECLARED, 1),
        (Kind.UNDECLARED, 7),
        (Kind.UNDECLARED, 5),
        (Kind.NOISE, 99),
    ]


def test_what_a_collector_tells_is_told_of_its_sender(watch):
    row = only(watch, mon1=heard(packet("10.0.3.7", "10.0.3.9"), sender="10.0.3.9", addresses=LINKS))
    assert set(row.by) == {"10.0.3.9"} and row.key.odd == ""


def connection(client, server, port, answered=True, number=1, asked="", asked_port=0, proto="tcp"):
    return Connections(proto, client, server, port, asked or server, asked_port or port, answered, number)


def test_a_connection_that_many_hosts_see_is_counted_once(watch):
    one = connection("10.0.1.5", "10.0.3.11", 9100, number=4)
    found = watch.fold(
        {"m1": heard(connections=[one]), "gw1": heard(connections=[one._replace(number=3, answered=False)])}
    )
    (row,) = found.open_now
    assert sentence(row, True) == "management -> monitoring 9100/tcp, 4 connections from 1 host, no flow declares it"
    assert found.unanswered == ()


def test_a_published_port_is_declared_for_its_host(watch):
    one = connection("10.0.1.5", "172.28.0.2", 80, asked="10.0.3.11", asked_port=8080)
    (row,) = watch.fold({"m1": heard(connections=[one])}).open_now
    assert (row.key.kind, row.key.destination.word, row.key.what) == (Kind.DECLARED, "monitoring", "8080/tcp (web)")
    other = one._replace(asked_port=8081)
    (row,) = watch.fold({"m1": heard(connections=[other])}).open_now
    assert (row.key.kind, row.key.what) == (Kind.UNDECLARED, "8081/tcp")


def test_what_has_no_answer_is_apart(watch):
    found = watch.fold({"m1": heard(connections=[connection("10.0.1.5", "10.0.3.11", 9100, answered=False)])})
    assert found.open_now == () and len(found.unanswered) == 1
