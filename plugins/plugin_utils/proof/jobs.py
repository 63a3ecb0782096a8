# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which probes to run: the ports of each host, and the jobs from each host to all others."""

from __future__ import annotations

import ipaddress
import random
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.rules import port_ranges
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS

GATEWAY, INTERNET = "gateway", "internet"
SAMPLE = 16  # ports that nobody named, by chance

# Why a port is probed, the most telling reason first.
DECLARED, LIVE, SERVICE, BOUNDARY, TWIN, CHANCE = (
    "declared",
    "live rule",
    "listens",
    "boundary",
    "other protocol",
    "chance",
)


class Leg(NamedTuple):
    """An address of a host, and where it is: the name of its tier, gateway or internet."""

    host: str
    address: str
    prefix: int
    interface: str
    place: str


def ports_of(site, live_rules, seed):
    """{(proto, port): why it is probed} for one host.

    live_rules: rules in ufw_ruleset's shape, of the host and of the gateways: what was opened by hand is always probed.
    The first and the last port of every declared range, the ones beside them, the same port of the other protocol, and
    some that only the seed knows.
    """
    named = {}
    for ports in [ports for services in site.services.values() for ports in services]:
        if ports.proto in WITH_PORTS:
            named.setdefault((ports.proto, ports.first), DECLARED)
            named.setdefault((ports.proto, ports.last), DECLARED)
    for rule in live_rules:
        for proto in WITH_PORTS if rule.get("proto", "any") == "any" else [rule["proto"]]:
            if proto in WITH_PORTS and str(rule.get("to_port", "any")) != "any":
                for first, last in port_ranges(str(rule["to_port"])):
                    named.setdefault((proto, first), LIVE)
                    named.setdefault((proto, last), LIVE)
    found = dict(named)
    for proto, port in named:
        for beside in (port - 1, port + 1):
            if 1 <= beside <= 65535:
                found.setdefault((proto, beside), BOUNDARY)
    for proto, port in named:
        found.setdefault(("udp" if proto == "tcp" else "tcp", port), TWIN)
    chance = random.Random(seed)
    for _dummy in range(SAMPLE):
        found.setdefault((chance.choice(WITH_PORTS), chance.randint(1, 65535)), CHANCE)
    return found


def legs_of(host, addresses, site, place=None):
    """The Legs of a host.

    addresses: [{address, prefix, interface, bridge}] as flow_probe reports them. place: gateway or internet; without it
    each address is in its tier, and those that are in none are left out. A gateway's own bridges are not its legs.
    """
    legs = []
    for found in addresses:
        where = place or tier_of(site, found["address"])
        if where and ":" not in found["address"] and not (place == GATEWAY and found["bridge"]):
            legs.append(Leg(host, found["address"], found["prefix"], found["interface"], where))
    return legs


def tier_of(site, address):
    """The name of the tier that an address is in, or None."""
    one = ipaddress.ip_address(address)
    for tier in site.tiers.values():
        if any(one in ipaddress.ip_network(str(subnet)) for subnet in tier.subnets):
            return tier.name
    return None


def is_beside(source, dest):
    """Whether a leg's address is on the subnet of another leg: no router is between them."""
    return ipaddress.ip_address(source.address) in ipaddress.ip_network(
        "%s/%d" % (dest.address, dest.prefix), strict=False
    )


def jobs_from(host, legs, ports, services):
    """The jobs of one host, for flow_probe.

    legs: [Leg] of all hosts. ports: {host: {(proto, port): why}}. services: {host: {(proto, address, port)}} that
    listened before. A host's first address is probed from the first address of the others at every port; between
    further addresses (a gateway's other legs, more of the internet) the chance, the neighbours and the other protocol
    are left out.
    """
    own = [leg for leg in legs if leg.host == host]
    jobs = []
    for dest in legs:
        if dest.host == host or not own or (own[0].place, dest.place) == (GATEWAY, INTERNET):
            continue  # what a router itself sends to the internet is filtered nowhere
        sources = _sources(own, dest)
        for source in sources:
            whole = source == sources[0] and dest == _main_leg(own, dest.host, legs)
            for proto, port in _wanted(ports[dest.host], services[dest.host], dest.address, whole):
                jobs.append(
                    {
                        "id": "%s/%d" % (host, len(jobs)),
                        "proto": proto,
                        "source": source.address,
                        "dest": dest.address,
                        "port": port,
                        "host": dest.host,
                        "listening": True,
                        "service": (proto, dest.address, port) in services[dest.host],
                    }
                )
    return jobs


def _sources(own, dest):
    """Where to send from: the leg on the destination's subnet; from the internet, every address; else the first one."""
    if own[0].place == INTERNET:
        return own
    return [leg for leg in own if is_beside(leg, dest)][:1] or own[:1]


def _main_leg(own, host, legs):
    """The leg at which these addresses meet another host: the near one of several, else its first."""
    others = [leg for leg in legs if leg.host == host]
    near = [leg for leg in others if any(is_beside(source, leg) for source in own)]
    return (near or others)[0]


def _wanted(ports, services, address, whole):
    """The (proto, port) to probe at one address."""
    wanted = {key for key, why in ports.items() if whole or why in (DECLARED, LIVE)}
    wanted.update((proto, port) for proto, at, port in services if at == address)
    return sorted(wanted)
