# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts as the declaration wants them: the rules of a plan as the kernel would have them, alone or in the place of those that a
live host has. So the compiled rules can be proven before any host has them.

    fleet = planned_fleet(site, plan_of)            the site without any host: one that stands for each tier, and a router
    node = with_plan(node, plan)                    a live host after site.yml
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import common, complement, merged
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chain, Rule, Ruleset, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, nat_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_input import parse_nat
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import WantedRules, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import KernelPlan, Settings, kernel_plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import FAMILIES, Node, Policy, Route
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site, Tier
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, point_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.intent import intervals_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.ways import TOP

#: What compile.host.host_plan made of a host.
Plan = Mapping[str, Any]
#: The interface of a planned router that leads out, and the address that it has there (RFC 5737, RFC 3849).
OUTER, OUTER_NETS = "outer", ("192.0.0.1/29", "100::1/126")
_ICMP = {4: "icmp", 6: "ipv6-icmp"}
_DHCP = {4: "-p udp -m udp --sport 67 --dport 68 -j ACCEPT", 6: "-p udp -m udp --sport 547 --dport 546 -j ACCEPT"}
#: Chains of ours in tables that ufw does not make.
_OWN = {
    "filter": (docker_block.USER_CHAIN, docker_block.OWN_CHAIN),
    "security": (docker_block.OWN_CHAIN,),
    "nat": tuple(nat_block.CHAINS.values()),
}


def planned_text(plan: Plan, family: int) -> str:
    """The rules of a plan as iptables-save would print them, with what ufw's own files bring."""
    return _text(plan, family, parse_rules(plan["rules"], True, dict))


def planned_texts(plan: Plan) -> dict[int, str]:
    """{family: the same}"""
    rules = parse_rules(plan["rules"], True, dict)
    return {family: _text(plan, family, rules) for family in FAMILIES}


def _text(plan: Plan, family: int, rules: WantedRules) -> str:
    found = _kernel_plan(plan, family, rules)
    prefix = PREFIX[family]
    chains = {**found.exact, **found.framework}
    kept = ["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", f"-p {_ICMP[family]} -j ACCEPT"]
    chains[f"{prefix}-before-input"][:0] = ["-i lo -j ACCEPT", *kept, _DHCP[family]]
    chains[f"{prefix}-before-output"][:0] = ["-o lo -j ACCEPT", *kept]
    chains[f"{prefix}-before-forward"][:0] = kept
    hooks = {name: list(jumps) for name, jumps in found.hooks.items()}
    docker = _docker_text(plan, family)
    if docker and family == 4:
        hooks["FORWARD"].insert(0, f"-j {docker_block.USER_CHAIN}")
    lines = ["*filter", *(f":{name} {policy} [0:0]" for name, policy in found.policies.items())]
    lines += [f":{name} - [0:0]" for name in chains]
    if docker:
        lines += [f":{docker_block.USER_CHAIN} - [0:0]"]
    for name, said in {**hooks, **chains}.items():
        lines += [f"-A {name} {rule}" for rule in said]
    return "\n".join([*lines, "COMMIT", *docker, *_nat_text(plan, family), ""])


def _kernel_plan(plan: Plan, family: int, rules: WantedRules) -> KernelPlan:
    default = plan["default"]
    settings = Settings(default["incoming"], default["outgoing"], default["routed"], "low", True)
    return kernel_plan(rules.v4 if family == 4 else rules.v6, settings, family, ())


def _docker_text(plan: Plan, family: int) -> list[str]:
    wanted = plan.get("docker") or {}
    if wanted.get("state", "absent") != "present":
        return []
    block = parse_docker(dict(wanted), True).blocks[family]
    lines = docker_block.render(block).splitlines() if block else []
    return [line for line in lines if not line.startswith(("#", "-F "))]


def _nat_text(plan: Plan, family: int) -> list[str]:
    wanted = plan.get("nat") or {}
    block = parse_nat(dict(wanted), True).blocks[family] if wanted else None
    if block is None:
        return []
    lines = [line for line in nat_block.render(block).splitlines() if not line.startswith("#")]
    head = [f":{chain} ACCEPT [0:0]" for chain in nat_block.JUMPS]
    return [lines[0], *head, *(line.replace("-I ", "-A ", 1) if line.startswith("-I ") else line for line in lines[1:])]


@lru_cache(maxsize=1024)
def _parsed(text: str, family: int) -> Ruleset:
    return parse(text, family)


def planned_rulesets(plan: Plan) -> dict[int, Ruleset]:
    """{family: the rules of a plan}; one object for plans with the same rules."""
    return {family: _parsed(text, family) for family, text in planned_texts(plan).items()}


def with_plan(node: Node, plan: Plan) -> Node:
    """A live host with the rules of its plan in the place of its own: ufw's rules and policies, the list of published ports,
    what is translated. What others have in its tables stays, in ufw's before and after files too."""
    wanted = planned_rulesets(plan)
    found = {family: _replaced(node.rulesets[family], wanted[family]) for family in FAMILIES}
    return node._replace(rulesets=found)


def without_direct(node: Node) -> Optional[Node]:
    """A host without the rules that stand in INPUT and OUTPUT themselves and lead to no chain; None where it has none."""
    found = {family: _without_direct(ruleset) for family, ruleset in node.rulesets.items()}
    return None if found == node.rulesets else node._replace(rulesets=found)


def _without_direct(ruleset: Ruleset) -> Ruleset:
    filters = dict(ruleset.tables.get("filter", {}))
    for name in ("INPUT", "OUTPUT"):
        rules = filters[name].rules if name in filters else []
        kept = [rule for rule in rules if rule.target in filters]
        if len(kept) < len(rules):
            filters[name] = Chain(name, filters[name].policy)
            filters[name].rules = kept
    same = filters == ruleset.tables.get("filter", {})
    return ruleset if same else Ruleset(ruleset.family, {**ruleset.tables, "filter": filters}, ruleset.unseen)


@lru_cache(maxsize=4096)
def _replaced(live: Ruleset, wanted: Ruleset) -> Ruleset:
    """One object for each pair, so that hosts that are alike stay alike (groups.groups_of)."""
    prefix = f"{PREFIX[live.family]}-user-"
    tables = {name: dict(chains) for name, chains in live.tables.items()}
    for name, chains in wanted.tables.items():
        table = tables.setdefault(name, {})
        for chain in chains.values():
            ours = chain.name in _OWN.get(name, ()) or (name == "filter" and chain.name.startswith(prefix))
            if chain.policy is not None and name == "filter":
                kept = table.get(chain.name)
                there = kept.rules if kept is not None else []
                texts = {rule.text for rule in there}
                table[chain.name] = Chain(chain.name, chain.policy)
                # `ufw enable` appends the jumps to its chains. Docker's own is the engine's to make.
                table[chain.name].rules = [
                    *there,
                    *(rule for rule in chain.rules if rule.text not in texts and not _dockers(rule)),
                ]
            elif ours or chain.name not in table:
                table[chain.name] = chain
            if chain.policy is not None and name == "nat":
                jumps = {rule.text for rule in table[chain.name].rules}
                if not {rule.text for rule in chain.rules} <= jumps:
                    copy = Chain(chain.name, chain.policy)
                    copy.rules = [*chain.rules, *table[chain.name].rules]
                    table[chain.name] = copy
    return Ruleset(live.family, tables, live.unseen)


def _dockers(rule: Rule) -> bool:
    return rule.target == docker_block.USER_CHAIN


# -- a fleet without hosts -------------------------------------------------------------------------------------------


def planned_fleet(site: Site, plan_of: Callable[[str, Place], Plan]) -> Fleet:
    """One host for each tier, which stands for all of its addresses, and a router where the tiers have gateways. plan_of:
    the plan of a host by its name and place."""
    members: dict[str, Member] = {}
    nodes: dict[str, Node] = {}
    for tier in site.tiers.values():
        member = Member(f"a host of {tier.name}", Part.TIER, (tier.name,))
        nets = [*tier.subnets]
        addresses = {"eth0": tuple(_address(site, net) for net in nets)}
        gateways = [str(net) for net in tier.gateways]
        members[member.name] = member
        rulesets = planned_rulesets(plan_of(member.name, member.place))
        nodes[member.name] = _node(member, addresses, gateways, rulesets, _beside(site, tier))
    legs = {tier.name: _legs(tier.subnets, tier.gateways) for tier in site.tiers.values() if tier.gateways}
    if legs:
        member = Member("the router", Part.GATEWAY, (), True)
        interfaces = {f"leg{number}": texts for number, texts in enumerate(legs.values())}
        out = {**interfaces, OUTER: OUTER_NETS}
        members[member.name] = member
        rulesets = planned_rulesets(plan_of(member.name, member.place))
        nodes[member.name] = _node(member, out, ("192.0.0.2", "100::2"), rulesets)
    fleet = Fleet(site, members, nodes)
    for group in fleet.groups:
        member = members[group.node.name]
        for name in member.tiers if not member.gateway else ():
            for family in FAMILIES:
                whole = _whole(site, name, family)
                if whole:
                    group.owned[family] = {"eth0": whole}
        group.whole = not member.gateway
    fleet.settle()
    return fleet


def _beside(site: Site, tier: Tier) -> list[str]:
    """What a host of a tier reaches without a router: where a tier has no gateway, its hosts and all others are on one link. In
    a site without any gateway, so is the router that leads out."""
    if not any(one.gateways for one in site.tiers.values()):
        return ["0.0.0.0/0", "::/0"]
    return [str(net) for one in site.tiers.values() if not (one.gateways and tier.gateways) for net in one.subnets]


def _whole(site: Site, tier: str, family: int) -> tuple[tuple[int, int], ...]:
    """The addresses that hosts of a tier may have."""
    subnets = intervals_of(site.tiers[tier].subnets, family)
    edges = [(at, at) for first, last in subnets if last - first > 1 for at in (first, last)]
    taken = merged([*edges, *intervals_of(site.legs, family)])
    return common(subnets, complement(taken, 0, TOP[family])) if subnets else ()


def _address(site: Site, net: Net) -> str:
    """An address of a subnet that no name stands for."""
    named = {one.first for nets in site.addresses.values() for one in nets if one.single}
    named |= {leg.first for leg in site.legs}
    point = next((at for at in range(net.first + 1, min(net.last, net.first + 4096)) if at not in named), net.first)
    return f"{point_text(point)}/{net.prefix}"


def _legs(subnets: Sequence[Net], gateways: Sequence[Net]) -> tuple[str, ...]:
    found = []
    for gateway in gateways:
        home = next((net for net in subnets if net.holds(gateway)), None)
        found.append(f"{gateway}/{home.prefix}" if home else f"{gateway}/{32 if gateway.version == 4 else 128}")
    return tuple(found)


def _node(
    member: Member,
    addresses: Mapping[str, Sequence[str]],
    gateways: Sequence[str],
    rulesets: Mapping[int, Ruleset],
    beside: Sequence[str] = (),
) -> Node:
    routes: dict[int, dict[str, list[Route]]] = {family: {"local": [], "main": []} for family in FAMILIES}
    for interface, texts in addresses.items():
        for text in texts:
            one = ipaddress.ip_interface(text)
            routes[one.version]["local"].append(Route(ipaddress.ip_network(one.ip), "local", interface, "", 0))
            routes[one.version]["main"].append(Route(one.network, "unicast", interface, "", 0))
            for gateway in map(ipaddress.ip_address, gateways):
                if gateway in one.network:
                    everything = ipaddress.ip_network("0.0.0.0/0" if one.version == 4 else "::/0")
                    routes[one.version]["main"].append(Route(everything, "unicast", interface, str(gateway), 0))
    for network in map(ipaddress.ip_network, beside):
        routes[network.version]["main"].append(Route(network, "unicast", "eth0", "", 0))
    policies = tuple(
        Policy(priority, table, "", "", "", False, False, -1, "") for priority, table in ((0, "local"), (1, "main"))
    )
    return Node(
        member.name,
        {name: tuple(texts) for name, texts in addresses.items()},
        {
            family: {
                name: tuple(sorted(found, key=lambda route: -route.net.prefixlen)) for name, found in tables.items()
            }
            for family, tables in routes.items()
        },
        dict.fromkeys(FAMILIES, policies),
        rulesets,
        dict.fromkeys(FAMILIES, member.gateway),
        {},
    )
