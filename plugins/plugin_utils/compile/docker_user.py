# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of a host to its list of published ports, in the shape of ufw_ruleset's option ``docker``.

A port that Docker publishes never meets the rules for incoming packets, so that a flow to a host stands twice: as a
rule for what the host itself serves, and as an entry for what its containers serve at the same address and port.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import BRIDGES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.rule import Rule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITHOUT_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import EVERYTHING
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import on_link

_BRIDGE_NAME = "com.docker.network.bridge.name"


def host_docker(site: Site, tiers: Collection[str], rules: Iterable[Rule], gateway: bool = False) -> dict[str, Any]:
    """{state, bridges, published} of a host: `present` where the site has an engine run, `auto` elsewhere. Whether
    one runs there all the same, only the host knows; by what it says it can close its published ports, and open none.

    rules: the host's, whose order and carve-outs the entries keep. gateway: whether it forwards what the site declares:
    to Docker's chains that is a published port like any other.
    """
    bridges = site.bridges_of(tiers)
    entries = _forwarded(site) if gateway else []
    entries += [_entry(rule) for rule in rules if _concerns(rule, bridges)]
    state = "present" if runs_docker(site, tiers) else "auto"
    return {"state": state, "bridges": [*BRIDGES, *_names(bridges)], "published": entries}


def runs_docker(site: Site, tiers: Collection[str]) -> bool:
    """Whether hosts of these tiers run Docker: nodes of the Swarm, and hosts with bridge networks or stacks."""
    users = {site.swarm.tier} if site.swarm.tier else set()
    users.update(name for network in site.networks.values() for name in network.tiers)
    users.update(site.engines)
    users.update(name for stack in site.stacks.values() for name in stack.tiers)
    return not users.isdisjoint(tiers)


def _names(bridges: Iterable[Network]) -> list[str]:
    """The names that networks give to their bridges themselves."""
    names = (network.options.get(_BRIDGE_NAME) for network in bridges)
    return [name for name in dict.fromkeys(names) if name and name not in BRIDGES]


def _concerns(rule: Rule, bridges: Iterable[Network]) -> bool:
    """Whether a rule is about what containers serve: a published port, or the address of a container in a bridge.

    Entries know no interface: what the tailnet's rules say of one alone, the kernel's own routes keep apart.
    """
    if rule.outgoing or rule.leaving or (rule.interface and rule.source is None):
        return False
    if rule.destination is not None and on_link(rule.destination):
        return False  # what is sent to all hosts of a link, no engine translates
    if not rule.route:
        return rule.proto not in WITHOUT_PORTS  # there is no port to publish
    end = rule.destination
    return end is not None and any(net.meets(end) for network in bridges for net in network.subnets)


def _forwarded(site: Site) -> list[dict[str, Any]]:
    """The entries for what a router forwards: those that name their source, and after them those for the internet, each
    behind denies that keep the site's own networks from passing as it."""
    named: list[dict[str, Any]] = []
    outer: list[dict[str, Any]] = []
    for asked in forwards(site):
        at, version = asked.at, asked.target.version
        entry = {
            "rule": "limit" if asked.flow.limit else "allow",
            "proto": at.proto,
            "to_ip": str(asked.address) if asked.address else "any",
            "port": f"{at.first}" if at.first == at.last else f"{at.first}:{at.last}",
            "comment": f"{asked.source.name} -> {asked.target}",
        }
        if asked.source.kind == INTERNET:
            outer += [
                {**entry, "rule": "deny", "from_ip": str(net), "comment": f"not the internet: {name}"}
                for net, name in site.own.items()
                if net.version == version
            ]
            outer.append({**entry, "from_ip": str(EVERYTHING[version == 6])})
        else:
            named += [{**entry, "from_ip": str(net)} for net in asked.source.nets if net.version == version]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in [*named, *outer]:
        found.setdefault(tuple(entry[key] for key in ("proto", "from_ip", "to_ip", "port")), entry)
    return list(found.values())


def _entry(rule: Rule) -> dict[str, Any]:
    """An item of `published`."""
    item = rule.to_dict()
    entry = {key: item[key] for key in ("rule", "proto", "from_ip", "to_ip", "comment")}
    if rule.ports:
        entry["port"] = rule.ports
    if rule.route:
        entry["routed"] = True
    return entry
