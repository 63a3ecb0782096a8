# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of a node of the tailnet. They come before those of the LAN, and end with what keeps the two apart.

Who a sender is, only the control server's policy knows; tailscaled has dropped what it does not allow before a packet
comes out of tailscale0. The rules say at which ports of the host, and where behind it, anything may come out at all. A
rule of the LAN names no interface, and a rule for anywhere would take in what comes off the tailnet; so all that is not
let in on tailscale0 is denied there first, and what says elsewhere that it comes off the tailnet is denied everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.rule import Rule, comment_of, grants_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET, Flow, Site, Tailnet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, widest
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import identity_of, routed, stands_for
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import global_unicast, private_space

#: The interface that tailscaled makes.
INTERFACE = "tailscale0"


def node_rules(site: Site, tiers: Collection[str], gateway: bool) -> Iterator[Rule]:
    """The rules of a host for the tailnet; none where it is no node of it.

    tiers: the names of the tiers that the host is in; gateway: whether it is a router between them.
    """
    tailnet, identity = site.tailnet, identity_of(site, tiers, gateway)
    if tailnet is None or identity is None:
        return
    places = tailnet.places_of(tiers, gateway)
    # As on the LAN: what any flow allows without a limit is not limited.
    for flow in sorted(tailnet.flows, key=lambda flow: flow.limit):
        for source, destination in flow.pairs:
            if stands_for(tailnet, destination, identity):
                for prefix in tailnet.prefixes:
                    yield from _let_in(flow, source.name, destination.name, prefix, prefix, False)
            elif routed(destination):
                for net in destination.nets:
                    yield from _behind(site, tailnet, flow, (source.name, destination.name), net, places)
    yield from _exits(site, tailnet, places)
    yield from _apart(tailnet)
    if tailnet.outward:
        yield from _outgoing(tailnet)


def _let_in(flow: Flow, source: str, destination: str, prefix: Net, net: Net, route: bool) -> Iterator[Rule]:
    """The rules for what a flow allows from the tailnet to a network, one for each protocol."""
    for proto, services, texts in grants_of(flow):
        comment = comment_of(source, destination, services, flow.why)
        for ports in texts:
            action = "limit" if flow.limit else "allow"
            yield Rule(action, proto, prefix, net, ports, route, comment, INTERFACE)


def _behind(
    site: Site, tailnet: Tailnet, flow: Flow, names: tuple[str, str], net: Net, places: Collection[str]
) -> Iterator[Rule]:
    """What a router passes on to a network behind its routes, and what of it is an address of its own."""
    leads = [place for place in places if any(route.holds(net) for route in tailnet.routes.get(place, ()))]
    for prefix in tailnet.prefixes if leads else ():
        if prefix.version != net.version:
            continue
        # A leg of the routers is a destination only where it is named; a host of a tier does not know its own address.
        if net in site.legs or any(
            subnet.holds(net) for place in leads if place != GATEWAY for subnet in site.tiers[place].subnets
        ):
            yield from _let_in(flow, *names, prefix, net, False)
        if net not in site.legs or leads != [GATEWAY]:
            yield from _let_in(flow, *names, prefix, net, True)


def _exits(site: Site, tailnet: Tailnet, places: Collection[str]) -> Iterator[Rule]:
    """What an exit node lets out: the internet, which is nothing of the site, and nothing that control does not take for it."""
    flows = [flow for flow in tailnet.flows if flow.exit in places and flow.exit]
    apart = {**dict.fromkeys(private_space(), "a private network"), **site.own}
    for prefix in tailnet.prefixes if flows else ():
        for net in widest(apart):
            if net.version == prefix.version:
                yield Rule("deny", ANY, prefix, net, "", True, f"not the internet: {apart[net]}", INTERFACE)
        users = ", ".join(dict.fromkeys(name for flow in flows for name in flow.sources))
        everywhere = global_unicast() if prefix.version == 6 else None
        yield Rule("allow", ANY, prefix, everywhere, "", True, comment_of(users, INTERNET, ANY, "exit node"), INTERFACE)


def _apart(tailnet: Tailnet) -> Iterator[Rule]:
    """The end of the tailnet's rules: nothing else comes in by it, and nothing comes as it by another way."""
    blocked = "no flow over the tailnet"
    yield Rule("deny", ANY, None, None, "", False, blocked, INTERFACE)
    yield Rule("deny", ANY, None, None, "", True, blocked, INTERFACE)
    yield Rule("deny", ANY, None, None, "", True, "no flow of the LAN leads into the tailnet", leaving=INTERFACE)
    for prefix in tailnet.prefixes:
        for route in (False, True):
            yield Rule("deny", ANY, prefix, None, "", route, "not the tailnet: a sender beside it that says it is")


def _outgoing(tailnet: Tailnet) -> Iterator[Rule]:
    """For hosts whose default policy denies what leaves: peers, control, DERP."""
    port = str(tailnet.port)
    yield Rule("allow", "udp", None, None, "", False, "the tailnet's peers", outgoing=True, from_ports=port)
    yield Rule("allow", ANY, None, None, "", False, "over the tailnet", INTERFACE, outgoing=True)
    for flow in tailnet.outward:
        for destination in dict.fromkeys(pair.destination for pair in flow.pairs):
            ends: Collection[Optional[Net]] = destination.nets or (None,)
            for proto, services, texts in grants_of(flow):
                comment = comment_of("the host", destination.name, services, "")
                for net in ends:
                    for ports in texts:
                        yield Rule("allow", proto, None, net, ports, False, comment, outgoing=True)
