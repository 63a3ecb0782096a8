# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a router translates, in the shape of ufw_ruleset's option ``nat``.

The rules of the flows see a forwarded packet after its translation, and a masqueraded one before: they are those of a
site without any translation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import Asked, forwards, sources_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net

#: An item of one of the option's lists.
Item = dict[str, Any]


def host_nat(site: Site, gateway: bool, tiers: Collection[str] = ()) -> dict[str, list[Item]]:
    """{forward, masquerade} of a host; {} where it translates nothing. Only routers do: those between the tiers, and those
    of the tailnet."""
    lists = {
        "forward": _forward(site) if gateway else [],
        "masquerade": _masquerade(site, tiers, gateway),
    }
    return {name: items for name, items in lists.items() if items}


def _forward(site: Site) -> list[Item]:
    """What names its source; then denies that keep the site's own networks from passing as the internet; then that."""
    named: list[Item] = []
    outer: list[Item] = []
    versions: dict[int, bool] = {}
    for asked in forwards(site):
        if asked.source.kind == INTERNET:
            outer.append(_item(asked))
            versions[asked.target.version] = True
        else:
            named += [{**_item(asked), "from_ip": str(net)} for net in sources_of(site, asked.source, asked.target)]
    inside = [
        {"rule": "none", "from_ip": str(net), "comment": f"not the internet: {name}"}
        for net, name in site.own.items()
        if net.version in versions
    ]
    return _once([*named, *inside, *outer])


def _item(asked: Asked) -> Item:
    at = asked.at
    item: Item = {
        "proto": at.proto,
        "port": str(at.first) if at.first == at.last else f"{at.first}:{at.last}",
        "target": str(asked.target),
        "comment": f"{asked.source.name} -> {asked.target}{f': {asked.flow.why}' if asked.flow.why else ''}",
    }
    if asked.address:
        item["to_ip"] = str(asked.address)
    if asked.arrives:
        item["target_port"] = str(asked.arrives)
    return item


def _masquerade(site: Site, tiers: Collection[str], gateway: bool) -> list[Item]:
    """What stays inside of the site keeps its address, but for what comes off the tailnet to a route: the hosts behind it
    know no way back."""
    routed, out = _from_tailnet(site, tiers, gateway)
    sources = [
        (tier.name, net)
        for tier in site.tiers.values()
        for net in tier.subnets
        if gateway and net.version in tier.masquerade
    ]
    versions = {net.version for _name, net in sources} | {net.version for net in out}
    return [
        *routed,
        *(_kept(net, name) for net, name in site.own.items() if net.version in versions),
        *({"from_ip": str(net), "comment": f"{name} -> internet"} for name, net in sources),
        *({"from_ip": str(net), "comment": "the tailnet -> internet: exit node"} for net in out),
    ]


def _from_tailnet(site: Site, tiers: Collection[str], gateway: bool) -> tuple[list[Item], list[Net]]:
    """What a host of the tailnet masquerades: to its routes, and the networks whose packets it lets out as an exit node."""
    tailnet = site.tailnet
    if tailnet is None:
        return [], []
    places = tailnet.places_of(tiers, gateway)
    routed = [
        {"from_ip": str(prefix), "to_ip": str(net), "comment": f"the tailnet -> {net}"}
        for net in dict.fromkeys(net for place in places for net in tailnet.routes.get(place, ()))
        for prefix in tailnet.prefixes
        if prefix.version == net.version
    ]
    return routed, list(tailnet.prefixes) if any(tailnet.exit_nodes.get(place) for place in places) else []


def _kept(net: Net, name: str) -> Item:
    return {"rule": "none", "to_ip": str(net), "comment": f"not the internet: {name}"}


def _once(items: list[Item]) -> list[Item]:
    """Each item once: a flow may name the same port by two services."""
    return [item for number, item in enumerate(items) if item not in items[:number]]
