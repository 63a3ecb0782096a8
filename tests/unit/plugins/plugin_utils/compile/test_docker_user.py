# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler of published ports, held against the oracle of intent by Docker's chain in a few lines."""

from __future__ import annotations

import ipaddress
import random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import render
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import host_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.tests.unit.plugins.plugin_utils.compile.test_host_rules import (
    ADDRESSES,
    PACKETS,
    TODAY,
    declare,
    flow_shapes,
)


class Chain:
    """bulkhead-docker, read from the file's text: what happens to the first packet of a connection from outside."""

    def __init__(self, text):
        self.rules = [line.split()[2:] for line in text.splitlines() if line.startswith("-A bulkhead-docker")]

    def passes(self, translated, source, asked, proto, port):
        """What lets it pass: "allow", "limit", or "" for nothing. asked: the address that the client asks for. A packet that
        is not translated goes to a bridge of Docker."""
        counted = stopped = False
        for words in self.rules:
            values = dict(zip(words, words[1:]))
            if "-o" in values:
                if not translated:
                    return "allow" if values["-j"] == "RETURN" else ""
                continue
            wants_translated = "!" not in words
            address = values.get("--ctorigdst", values.get("-d"))
            ports = values.get("--ctorigdstport", values.get("--dport"))
            if (
                wants_translated == translated
                and values.get("-p", proto) == proto
                and ("-s" not in values or source in ipaddress.ip_network(values["-s"]))
                and (address is None or asked in ipaddress.ip_network(address))
                and (ports is None or (port is not None and holds(ports, port)))
            ):
                if "--set" in words:
                    counted = True
                elif "--hitcount" in words:
                    stopped = values["-j"] == "DROP" and counted
                else:
                    return "limit" if stopped else "allow" if values["-j"] == "RETURN" else ""
        raise AssertionError("the chain decides on everything that comes from outside")


def holds(ports, port):
    ends = [int(end) for end in ports.split(":")]
    return ends[0] <= port <= ends[-1]


def chains(site, tier):
    """{family: Chain} of a host of one tier, through the module's own parser and renderer."""
    wish = parse_docker(host_docker(site, [tier], host_rules(site, [tier], False)), True)
    return {family: Chain(render(block)) for family, block in wish.blocks.items()}


SWARM = {"bulkhead_swarm": {"tier": "alpha", "managers": {"one": "10.0.1.2"}}}


@settings(max_examples=60, deadline=None)
@given(st.lists(flow_shapes, min_size=1, max_size=6), st.sets(st.sampled_from(["alpha", "beta"])), st.integers())
def test_a_published_port_is_open_to_exactly_whom_the_flows_let_reach_that_port_of_the_host(flows, internet, seed):
    declaration = {**declare(flows, internet), **SWARM}
    try:
        site = parse_site(declaration, TODAY)
    except Refused:
        assume(False)
    policy = Policy(site)
    rng = random.Random(seed)
    bridge = ipaddress.ip_network("172.20.0.0/24")
    legs = {str(leg) for leg in site.legs}
    for tier in ("alpha", "beta"):
        homes = [ipaddress.ip_network(str(net)) for net in site.tiers[tier].subnets]
        found = chains(site, tier)
        for dummy in range(150):
            source, destination = (ipaddress.ip_address(rng.choice(ADDRESSES)) for dummy in range(2))
            proto, port = rng.choice(PACKETS)
            if source.version != destination.version or source == destination or str(destination) in legs:
                continue
            translated = any(destination in home for home in homes)
            if not (translated and port is not None) and not (tier == "beta" and destination in bridge):
                continue  # nothing that this host publishes or bridges
            if source in bridge:
                continue  # comes in by Docker's own bridge, and never to the list
            flow = policy.flow_for(str(source), str(destination), proto, port)
            passed = found[source.version].passes(translated, source, destination, proto, port)
            wanted = "" if flow is None else "limit" if flow.limit else "allow"
            assert passed == wanted, (tier, str(source), str(destination), proto, port, flow)


def published(flows, tier="alpha", **more):
    site = parse_site({**declare(flows), **SWARM, **more}, TODAY)
    return host_docker(site, [tier], host_rules(site, [tier], False))


def test_a_flow_to_a_tier_is_an_entry_for_the_same_port_at_its_hosts_addresses():
    found = published([{"from": "gamma", "to": "alpha", "allow": "web", "why": "apps"}])
    assert found["published"] == [
        {
            "rule": "allow",
            "proto": "tcp",
            "from_ip": "10.0.3.0/28",
            "to_ip": home,
            "port": "80,443",
            "comment": "gamma -> alpha web: apps",
        }
        for home in ("10.0.1.0/28", "10.0.11.0/28")
    ]
    assert found["state"] == "present"


def test_every_host_has_a_list_where_the_site_has_no_engine_it_is_for_one_that_is_there_all_the_same():
    flows = [{"from": "beta", "to": ["alpha", "gamma"], "allow": "ssh"}]
    assert published(flows, "gamma")["state"] == "auto" and published(flows, "gamma")["published"]
    assert published(flows, "alpha")["state"] == "present"
    assert published(flows, "alpha")["published"], "a node of the Swarm"
    assert published(flows, "beta")["published"] == [], "a host with a bridge network, of which nothing is published"


def test_the_internet_comes_after_denies_that_carve_the_site_out():
    found = published([{"from": "internet", "to": "alpha", "allow": "web"}])["published"]
    assert [entry["rule"] for entry in found] == ["deny"] * (len(found) - 3) + ["allow"] * 3
    assert {"10.0.2.0/28", "10.99.0.0/16"} <= {entry["from_ip"] for entry in found if entry["rule"] == "deny"}


def test_a_container_that_a_flow_names_is_reached_without_a_published_port():
    found = published([{"from": "gamma", "to": "portal", "allow": "web"}], "beta")["published"]
    assert [(entry["to_ip"], entry["port"], entry["routed"]) for entry in found] == [("172.20.0.20", "80,443", True)]


def test_a_protocol_without_ports_cannot_be_published():
    assert published([{"from": "gamma", "to": "alpha", "allow": "esp"}])["published"] == []


def test_a_bridge_with_a_name_of_its_own_is_one_of_dockers():
    networks = {
        "lan": {
            "driver": "bridge",
            "subnet": "172.20.0.0/24",
            "on": ["beta"],
            "options": {"com.docker.network.bridge.name": "gough-br0"},
        }
    }
    assert published([], "beta", bulkhead_networks=networks)["bridges"][-1] == "gough-br0"
    assert "gough-br0" not in published([], "alpha", bulkhead_networks=networks)["bridges"]


def test_who_is_let_in_from_everywhere_needs_no_entry_for_the_internet_as_well():
    both = published([{"from": ["0.0.0.0/0", "internet"], "to": "alpha", "allow": "ssh", "why": "all"}])["published"]
    assert [item["from_ip"] for item in both if item["rule"] == "allow" and item["to_ip"] == "10.0.1.0/28"] == [
        "0.0.0.0/0"
    ]
    assert parse_docker({"published": both}, True)


def test_what_a_router_forwards_is_a_published_port_of_an_engine_there():
    flows = [
        {"from": ["internet", "alpha"], "to": "db", "allow": "ssh", "forward": {"port": 2222}},
        {"from": "internet", "to": "db", "allow": "dns", "forward": True, "limit": True},
    ]
    site = parse_site(declare(flows), TODAY)
    found = host_docker(site, (), host_rules(site, (), True), True)["published"]
    assert [(entry["rule"], entry["from_ip"], entry["port"]) for entry in found[:2]] == [
        ("allow", "10.0.1.0/28", "2222"),
        ("allow", "10.0.11.0/28", "2222"),
    ]
    chain = Chain(render(parse_docker({"published": found}, True).blocks[4]))
    for source, passed in (("10.0.1.4", "allow"), ("10.0.3.6", ""), ("203.0.113.5", "allow")):
        assert (
            chain.passes(True, ipaddress.ip_address(source), ipaddress.ip_address("203.0.113.1"), "tcp", 2222) == passed
        )
    assert chain.passes(True, ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.2.1"), "udp", 53) == "limit"
    assert chain.passes(True, ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.2.1"), "tcp", 22) == ""
    assert not [entry for entry in host_docker(site, ["beta"], (), False)["published"] if entry["port"] == "2222"]
