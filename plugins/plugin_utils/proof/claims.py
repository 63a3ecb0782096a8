# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which addresses of a host are probed: those that the declaration or the inventory knows, of all that it claims.

A host can claim any address. One that is probed because of that would make the fleet scan a stranger, or take the place
of another host.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Address, Listening
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Leg
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import identity_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import some

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]

#: The most addresses of one host that are probed beside those that the inventory names one by one.
MOST_LEGS = 16

#: Why the proof cannot vouch for a host of which no address is probed.
WITHOUT_LEGS = {
    Part.TIER: "it has no address in its tier",
    Part.GATEWAY: "it has no address that the site or the inventory knows: name its addresses in prove_addresses",
    Part.INTERNET: "the inventory names no address of it: name its addresses in prove_addresses",
}


class Claims(NamedTuple):
    """What becomes of a host's addresses. unknown: those that neither the declaration nor the inventory knows. trouble:
    why the proof cannot vouch for the host, "" where it can."""

    legs: tuple[Leg, ...]
    unknown: tuple[str, ...] = ()
    trouble: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"legs": [leg._asdict() for leg in self.legs], "unknown": list(self.unknown), "trouble": self.trouble}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Claims:
        return cls(tuple(Leg(**leg) for leg in found["legs"]), tuple(found["unknown"]), found["trouble"])


class Named(NamedTuple):
    """The addresses that the inventory names for one host: prove_addresses, and others (ansible_host where it is an
    address, bulkhead_addresses under the host's name), which need not be the host's own."""

    given: tuple[Interface, ...] = ()
    others: tuple[Interface, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(str(one.ip) for one in (*self.given, *self.others))

    @classmethod
    def read(cls, site: Site, name: str, given: Sequence[object], ansible_host: object) -> Named:
        """given: texts, each with or without a prefix length. Raises Refused."""
        found, wrong = [], []
        for number, item in enumerate(given):
            try:
                found.append(ipaddress.ip_interface(str(item)))
            except ValueError:
                expected = "an address, such as 203.0.113.10/24"
                wrong.append(Mistake(f"prove_addresses[{number}]", printable(item, 80), expected, "correct it"))
        if wrong:
            raise Refused(wrong)
        others = []
        for text in (ansible_host, *site.addresses.get(name, ())):
            with contextlib.suppress(ValueError):  # a host's name, a network
                others.append(ipaddress.ip_interface(str(text)))
        return cls(tuple(found), tuple(others))


def known_networks(site: Site, member: Member, named: Named) -> list[str]:
    """The networks whose addresses may be probed on a host, in CIDR notation."""
    subnets: list[object] = []
    if member.part in (Part.TIER, Part.GATEWAY):
        tiers = site.tiers if member.part is Part.GATEWAY else member.tiers
        subnets += [net for tier in tiers for net in site.tiers[tier].subnets]
    if member.part is Part.GATEWAY:
        subnets += [net for nets in site.addresses.values() for net in nets]
        subnets += [net for network in site.networks.values() for net in network.subnets]
    if member.part is not Part.TIER:
        subnets += named.texts
    return list(dict.fromkeys(map(str, subnets)))


def tailnet_networks(site: Site, member: Member) -> list[str]:
    """The networks in which a host has its addresses in the tailnet; none for a host that is no node of it."""
    if site.tailnet is None or identity_of(site, member.tiers, member.gateway) is None:
        return []
    return [str(net) for net in site.tailnet.prefixes]


def claims_of(site: Site, member: Member, said: Listening, named: Named) -> Claims:
    """The legs of a host, of what its listener serves.

    A host of a tier has its legs in its own tiers; a gateway anywhere that the site or the inventory knows, but for its
    own bridges; a host that stands for the internet where the inventory says.
    """
    known = [ipaddress.ip_network(text) for text in known_networks(site, member, named)]
    tailnet = [ipaddress.ip_network(str(net)) for net in (site.tailnet.prefixes if site.tailnet else ())]
    legs: list[Leg] = []
    unknown: list[str] = []
    claimed = 0
    for one in dict.fromkeys((*said.addresses, *said.others)):
        address = ipaddress.ip_address(one.address)
        if one.bridge and one.address not in named.texts:
            continue  # a Docker Engine's bridges are no way to another host
        if any(address in net for net in tailnet):
            continue  # what the LAN's flows say nothing of
        if not any(address in net for net in known):
            unknown.append(one.address)
            continue
        claimed += one.address not in named.texts
        if one in said.addresses and (one.address in named.texts or claimed <= MOST_LEGS):
            legs.append(_leg(site, member, one, named))
    return Claims(tuple(legs), tuple(unknown), _trouble(member, legs, claimed, named))


def _trouble(member: Member, legs: Sequence[Leg], claimed: int, named: Named) -> str:
    missing = {str(one.ip) for one in named.given} - {leg.address for leg in legs}
    if missing:
        return f"it does not have {some(sorted(missing))}, which the inventory's prove_addresses names for it"
    if claimed > MOST_LEGS:
        return f"it claims {claimed:,} addresses, of which {MOST_LEGS} were probed"
    return "" if legs else WITHOUT_LEGS[member.part]


def _leg(site: Site, member: Member, one: Address, named: Named) -> Leg:
    tier, prefix = tier_of(site, one.address)
    place = tier if member.part is Part.TIER else member.part.value
    if prefix is None:
        given = [own.network.prefixlen for own in named.given if str(own.ip) == one.address]
        prefix = given[0] if given and given[0] < _whole(one) else _believed(site, one)
    return Leg(member.name, one.address, prefix, one.interface, str(place))


def _believed(site: Site, one: Address) -> int:
    """The prefix length that a host claims for an address outside of the tiers, unless it takes in a tier's subnet."""
    claimed = ipaddress.ip_network(f"{one.address}/{one.prefix}", strict=False)
    tiers = [ipaddress.ip_network(str(net)) for tier in site.tiers.values() for net in tier.subnets]
    inside = any(net.version == claimed.version and net.overlaps(claimed) for net in tiers)
    return _whole(one) if inside else one.prefix


def _whole(one: Address) -> int:
    """The prefix length of a single address."""
    return 128 if ":" in one.address else 32


def tier_of(site: Site, address: str) -> tuple[Optional[str], Optional[int]]:
    """The tier that an address is in, and the prefix length of its subnet there; (None, None) for none."""
    one = ipaddress.ip_address(address)
    for tier in site.tiers.values():
        for subnet in tier.subnets:
            net = ipaddress.ip_network(str(subnet))
            if one in net:
                return tier.name, net.prefixlen
    return None, None


def settle(claims: Mapping[str, Claims], named: Mapping[str, Iterable[str]]) -> dict[str, Claims]:
    """The same claims, each address with one host at most.

    named: the addresses that the inventory names for each host. Where two hosts claim one address, the host for which
    the inventory names it has it; where it names it for neither, or both, it is probed on no host.
    """
    claimants: dict[str, list[str]] = {}
    for host, claim in claims.items():
        for leg in claim.legs:
            claimants.setdefault(leg.address, []).append(host)
    found = dict(claims)
    for address, hosts in claimants.items():
        if len(hosts) < 2:
            continue
        owners = [host for host in hosts if address in named.get(host, ())]
        keeps = owners[0] if len(owners) == 1 else None
        for host in hosts:
            if host != keeps:
                others = ", ".join(other for other in hosts if other != host)
                found[host] = found[host]._replace(
                    legs=tuple(leg for leg in found[host].legs if leg.address != address),
                    trouble=f"it claims {address}, which {others} claims as well",
                )
    return found
