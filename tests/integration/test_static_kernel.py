# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The static proof against the kernel: a site of three tiers with a router, a bridge and a published port, made of network
namespaces (tests/support/static_netns.py), with random rules, and converged with one mutation each; real connections decide.

BULKHEAD_STATIC_SITES: how many sets of random rules (default 3; 20 were run). BULKHEAD_STATIC_SEED: the first of their seeds.
tests/fault/proof_mutations.py has all hundred mutations.
"""

from __future__ import annotations

import itertools
import os
import random

import proof_mutations
import pytest
from mutations import mutations
from random_rules import rules_of
from static_netns import CONTAINER, DOCKER_FORWARD, DOCKER_NAT, PORTS, Site

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_number
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Asked, walk
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import holds
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Answer, Kind

SITES = int(os.environ.get("BULKHEAD_STATIC_SITES", "3"))
SEED = int(os.environ.get("BULKHEAD_STATIC_SEED", "1"))
#: Of the hundred, every so many-th is made here.
EVERY = 10


@pytest.fixture(scope="module")
def site():
    with Site("sk").running() as one:
        yield one


def random_text(draw, name, family):
    """Random rules of a host; on the router and the host with the container translations, too."""
    nets = [f"10.91.{number}.0/24" if family == 4 else f"fd91:{number}::/64" for number in (1, 2, 3)]
    hosts = ["10.91.1.11", "10.91.2.12", "10.91.3.11"] if family == 4 else ["fd91:1::11", "fd91:2::12", "fd91:3::11"]
    sources = [*(f"-s {net}" for net in nets), f"! -s {nets[0]}", *(f"-s {host}" for host in hosts), ""]
    nat = ["*nat", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    if family == 4 and name == "router":
        for _number in range(draw.randrange(3)):
            to = draw.choice(["10.91.3.11", "10.91.3.11:22", "10.91.2.12:80"])
            at = draw.choice(["-i leg1", "-m addrtype --dst-type LOCAL", "-d 10.91.2.11"])
            nat.append(f"-A PREROUTING {at} -p tcp -m tcp --dport {draw.choice(PORTS)} -j DNAT --to-destination {to}")
        nat += draw.choice(
            [
                [],
                ["-A POSTROUTING -o leg3 -j MASQUERADE"],
                ["-A POSTROUTING -s 10.91.1.0/24 -j SNAT --to-source 10.91.3.1"],
            ]
        )
    text = rules_of(draw, name, sources, PORTS, [*nat, "COMMIT"])
    if family == 6:
        # Without neighbour discovery there is no neighbour.
        known = ":ours - [0:0]\n"
        more = "".join(f"-A {chain} -p ipv6-icmp -j ACCEPT\n" for chain in ("INPUT", "OUTPUT", "FORWARD"))
        text = text.replace(known, known + more)
    if family == 4 and name == "till1":
        lines = text.splitlines()
        end = lines.index("COMMIT")
        lines[end:end] = [line for line in DOCKER_FORWARD if draw.random() < 0.9]
        lines.insert(1, ":DOCKER - [0:0]")
        start = lines.index("*nat")
        published = f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {draw.choice(PORTS)} -j DNAT --to-destination {CONTAINER}:443"
        forwarded = f"-A DOCKER -d {CONTAINER}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 443 -j ACCEPT"
        lines = [*lines[:start], *DOCKER_NAT[:-1], published, "COMMIT", ""]
        lines.insert(lines.index("COMMIT"), forwarded)
        text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(SEED, SEED + SITES))
def test_every_verdict_agrees_with_a_real_packet(site, seed):
    draw = random.Random(seed)
    for name in site.names:
        for family in (4, 6):
            site.load(name, family, site.text("out", family) if name == "out" else random_text(draw, name, family))
    site.read()
    fleet = site.fleet()
    expected, itself = {}, 0
    for family in (4, 6):
        passing = [one for reached in fleet.reached(family) for one in reached.arrivals]
        hosts = site.addresses(family)
        for source, destination in itertools.permutations(hosts, 2):
            if hosts[source] == "router":
                continue  # by which of its addresses it sends is its routes' choice
            for port in PORTS if hosts[destination] != "out" else ():
                values = (
                    0,
                    0,
                    6,
                    address_number(source, family),
                    address_number(destination, family),
                    40000,
                    port,
                    0,
                    0,
                )
                found = [one for one in passing if holds(one.sent, values)]
                back = hosts[destination] == "router" and walk(site.nodes, Asked(source, destination, "tcp", port)).end
                if back == hosts[source]:
                    itself += 1
                    continue  # the router sends it back where it came from: no flow between two hosts
                assert not [one for one in found if one.doubt], found
                expected[source, destination, port] = bool(found)
    assert len(expected) + itself == 2 * 6 * 6 * len(PORTS) - 2 * 5 * len(PORTS)
    assert site.disagreements(expected) == []
    static = site.prove()
    assert not [finding for finding in static.findings if finding.kind is Kind.DISAGREEMENT]
    assert proof_mutations.disagreement(site, static) == ""


def test_a_converged_site_is_proven_and_its_cells_are_real(site):
    site.converge()
    static = site.prove()
    assert static.findings == () and all(cell.holds for cell in static.cells)
    assert {cell.verdict for cell in static.cells} == {Answer.ALLOWED, Answer.DENIED}
    declared = {
        ("10.91.1.11", "10.91.2.11", 22): True,
        ("10.91.3.11", "10.91.2.12", 3306): True,
        ("10.91.9.11", "10.91.3.11", 8080): True,
    }
    denied = {
        ("10.91.2.11", "10.91.1.11", 22): False,
        ("10.91.9.11", "10.91.2.11", 22): False,
        ("10.91.2.11", "10.91.3.11", 8080): False,
    }
    assert site.disagreements({**declared, **denied}) == []


@pytest.mark.parametrize("one", mutations()[::EVERY], ids=lambda one: one.name)
def test_a_mutation_of_a_converged_site_is_found_with_its_host_and_cause(site, one):
    site.converge()
    assert proof_mutations.mutated(site, one) == ""
