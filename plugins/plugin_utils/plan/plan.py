# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a site, as text for a terminal of 100 columns and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.nat import host_nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import engine_settings
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.rule import Rule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.matrix import Entry, Matrix, forbidden, matrix, places
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.tailnet import tailnet_json, tailnet_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.inventory import inventory_advice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, Flow, Network, Site, Stack, Tier
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import described
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, point_text, text_or_texts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, some, table, wrap

WIDTH = 100
#: Lines of a plan that are printed whole. Of a longer one each block is cut, so that no job of AWX's has more than its page shows, 1 MiB.
MOST_LINES = 5000
#: Lines of a block that are there in any case, and names of hosts in the heading of one.
LEAST_LINES, MOST_HOSTS = 10, 20

_INTERNET = {True: "out", False: "never", None: "by flow"}
_RESERVED_POOLS = {"engine": "what every engine takes for itself", "swarm": "what the Swarm takes for itself"}


#: {group: the rules of its hosts}
SiteRules = Mapping[str, Sequence[Rule]]


def site_rules(site: Site) -> SiteRules:
    """The rules of the gateways and of each tier's hosts: compile them once, for the text and for the data."""
    return {GATEWAY: host_rules(site, (), True), **{name: host_rules(site, (name,), False) for name in site.tiers}}


def plan_text(
    site: Site, hosts_by_tier: Optional[Mapping[str, Sequence[str]]] = None, rules: Optional[SiteRules] = None
) -> str:
    """The whole plan.

    hosts_by_tier: {group: [hosts]}, the whole inventory's: to say which hosts rules are for, and what does not fit
    together; only notes, never policy.
    rules: the site_rules, where they are compiled already.
    """
    parts = [_summary(site), _addresses(site), _networks(site), _stacks(site)]
    advice = [] if hosts_by_tier is None else inventory_advice(site, hosts_by_tier)
    parts += [_matrix(site), tailnet_text(site, WIDTH), _translations(site), _invariants(site)]
    parts += [_warnings([*site.warnings, *map(str, advice)])]
    parts += _rules(site, hosts_by_tier or {}, rules or site_rules(site))
    return "\n\n".join(_shortened([part for part in parts if part])) + "\n"


def _shortened(blocks: Sequence[str]) -> list[str]:
    """The blocks of a plan, each with its first lines alone where all together are too long."""
    lines = [block.split("\n") for block in blocks]
    if sum(map(len, lines)) <= MOST_LINES:
        return list(blocks)
    most = max(LEAST_LINES, MOST_LINES // len(blocks))
    return [
        "\n".join([*block[:most], f"  and {count(len(block) - most, 'more line')}: the page of the plan has them all"])
        if len(block) > most + 1
        else "\n".join(block)
        for block in lines
    ]


def plan_json(site: Site, rules: Optional[SiteRules] = None) -> dict[str, Any]:
    """The same as data: {tiers, pools, networks, stacks, flows, never, matrix, nat, warnings, default, engine, rules}, and
    tailnet where there is one."""
    return {
        "tiers": {tier.name: _tier_json(tier) for tier in site.tiers.values()},
        "pools": {name: [str(net) for net in nets] for name, nets in site.pools.items()},
        "networks": {network.name: _network_json(network) for network in site.networks.values()},
        "stacks": {stack.name: _stack_json(stack) for stack in site.stacks.values()},
        "flows": [_flow_json(flow) for flow in site.flows],
        "never": [_flow_json(flow) for flow in site.never],
        "matrix": [
            {
                "from": start,
                "to": end,
                "services": [
                    {
                        "service": item.service,
                        "only": item.only,
                        "flow": item.flow.path,
                        "limit": item.flow.limit,
                    }
                    for item in cell
                ],
            }
            for (start, end), cell in matrix(site).items()
        ],
        **({"tailnet": tailnet_json(site.tailnet)} if site.tailnet else {}),
        "nat": host_nat(site, True),
        "warnings": list(site.warnings),
        "default": dict(DEFAULTS),
        "engine": engine_settings(site),
        **({"engines": {name: dict(engine.settings) for name, engine in site.engines.items()}} if site.engines else {}),
        "rules": {name: [rule.to_dict() for rule in found] for name, found in (rules or site_rules(site)).items()},
    }


def _tier_json(tier: Tier) -> dict[str, Any]:
    span = tier.dhcp.span if tier.dhcp else None
    return {
        "vlan": tier.vlan,
        "subnets": [str(net) for net in tier.subnets],
        "gateways": [str(net) for net in tier.gateways],
        "internet": tier.internet,
        "masquerade": [f"ipv{version}" for version in tier.masquerade],
        "dhcp": [point_text(span.first), point_text(span.last)] if span else None,
        "rack": tier.dhcp.rack if tier.dhcp else None,
        "bandwidth": {"minimum": tier.bandwidth.minimum, "recommended": tier.bandwidth.recommended}
        if tier.bandwidth
        else None,
        "description": tier.description,
    }


def _network_json(network: Network) -> dict[str, Any]:
    return {
        "driver": network.driver,
        "subnet": text_or_texts(network.subnets),
        "settled": network.settled,
        "on": list(network.tiers),
        "zone": network.zone,
        "addresses": {name: text_or_texts(nets) for name, nets in network.addresses.items()},
    }


def _stack_json(stack: Stack) -> dict[str, Any]:
    return {
        "kind": stack.kind,
        "files": list(stack.files),
        "on": list(stack.tiers),
        "require": {pattern: list(zones) for pattern, zones in stack.demands.items()},
    }


def _flow_json(flow: Flow) -> dict[str, Any]:
    return {
        "path": flow.path,
        "from": list(flow.sources),
        "to": list(flow.destinations),
        "services": list(flow.services),
        "ports": [str(ports) for ports in flow.all_ports],
        "why": flow.why,
        "until": flow.until.isoformat() if flow.until else None,
        "limit": flow.limit,
        "forward": {
            "address": str(flow.forward.address) if flow.forward.address else None,
            "port": flow.forward.port,
        }
        if flow.forward
        else None,
    }


def _heading(text: str, note: str = "") -> str:
    return f"{text}  {note}" if note else text


def _summary(site: Site) -> str:
    counts = [
        (len(site.tiers), "tier"),
        (len(site.services), "service"),
        (sum(not flow.derived for flow in site.flows), "flow"),
        *([(len(site.tailnet.flows), "tailnet flow")] if site.tailnet else []),
        (len(site.never), "invariant"),
        (len(site.networks), "Docker network"),
        (len(site.stacks), "stack"),
    ]
    return f"SITE  {', '.join(count(number, noun) for number, noun in counts)}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[object]], right: Collection[int] = ()) -> str:
    return "\n".join(table(headers, rows, WIDTH, right))


def _addresses(site: Site) -> str:
    rows: list[list[object]] = []
    for tier in site.tiers.values():
        for index, subnet in enumerate(tier.subnets):
            row = _address_row(tier, subnet)
            rows.append(row if index == 0 else ["", "", *row[2:5], "", "", ""])
    headers = ["VLAN", "tier", "subnet", "gateway", "usable", "DHCP", "internet", "Mbit/s"]
    return f"ADDRESS PLAN\n{_table(headers, rows, right=(0, 4))}"


def _address_row(tier: Tier, subnet: Net) -> list[object]:
    legs = [leg for leg in tier.gateways if subnet.holds(leg)]
    span = tier.dhcp.span if tier.dhcp else None
    rates = tier.bandwidth
    return [
        tier.vlan,
        tier.name,
        subnet,
        ", ".join(map(str, legs)) or "-",
        _usable(subnet, legs),
        _span_text(span) if span else "-",
        _INTERNET[tier.internet],
        f"{rates.minimum or '-'}/{rates.recommended or '-'}" if rates else "-",
    ]


def _span_text(span: Net) -> str:
    """A range of addresses; what the last has in common with the first is left out."""
    first, last = point_text(span.first), point_text(span.last)
    shared = first.rpartition(".")[0]
    return f"{first}-{last[len(shared) + 1 :] if shared and last.startswith(f'{shared}.') else last}"


def _usable(subnet: Net, legs: Sequence[Net]) -> object:
    """How many hosts fit: without the gateways, and for IPv4 without the network's own and the broadcast address."""
    if subnet.version == 6:
        return f"2^{128 - subnet.prefix}"
    return subnet.size - len(legs) - (2 if subnet.prefix < 31 else 0)


def _networks(site: Site) -> str:
    rows: list[list[object]] = []
    for name, nets in site.pools.items():
        for net in nets:
            subnets = [subnet for network in site.networks.values() for subnet in network.subnets]
            rows.append(
                ["pool", name, net, _RESERVED_POOLS.get(name) or _fill_text(net, list(filter(net.holds, subnets)))]
            )
    for network in site.networks.values():
        for index, subnet in enumerate(network.subnets or (None,)):
            told: list[object] = [network.driver, network.name, subnet, _network_text(site, network)]
            rows.append(told if index == 0 else ["", "", subnet, ""])
    return f"POOLS AND NETWORKS\n{_table(['kind', 'name', 'subnet', ''], rows)}" if rows else ""


def _fill_text(net: Net, inside: Sequence[Net]) -> str:
    taken = sum(subnet.size for subnet in inside)
    return f"{count(len(inside), 'network')} in it, {100.0 * taken / net.size:.1f} % taken"


def _network_text(site: Site, network: Network) -> str:
    words = [f"on {', '.join(network.tiers) or site.swarm.first}"]
    words += [word for word in ("internal", "attachable", "encrypted") if getattr(network, word)]
    words += [f"zone {network.zone}"] if network.zone else []
    words += [f"gateway {' and '.join(map(str, network.gateways))}"] if network.gateways else []
    words += [count(len(network.addresses), "address", "addresses")] if network.addresses else []
    return ", ".join(words + ([] if network.settled else ["not pinned yet"]))


def _stacks(site: Site) -> str:
    rows: list[list[object]] = []
    for stack in site.stacks.values():
        words = [f"on {', '.join(stack.tiers) or site.swarm.first}"]
        words += [f"{pattern} in zones {', '.join(zones)}" for pattern, zones in stack.demands.items()]
        rows.append([stack.kind, stack.name, ", ".join(stack.files), "; ".join(words)])
    return f"STACKS\n{_table(['kind', 'name', 'file', ''], rows)}" if rows else ""


def _matrix(site: Site) -> str:
    names = places(site)
    cells = matrix(site)
    never = forbidden(site)
    note = "from the row to the column; . is blocked, never is blocked by an invariant"
    if any(flow.limit for flow in site.flows):
        note += "; * is limited"
    heading = _heading("FLOWS", note)
    label = max(len(name) for name in names) + 2
    widths = _column_widths(names, cells, WIDTH - 2 - label)
    if widths is None:
        return f"{heading}\n{_matrix_list(names, cells)}"
    lines = [f"  {' ' * label}{_row(names, widths)}"]
    for start in names:
        columns = [
            _cell(cells.get((start, end), []), (start, end) in never, width)
            for end, width in zip(names, widths, strict=True)
        ]
        for row in range(max(map(len, columns))):
            texts = [column[row] if row < len(column) else "" for column in columns]
            lines.append(f"  {(start if row == 0 else '').ljust(label)}{_row(texts, widths)}")
        lines.append("")
    return "\n".join([heading, *(line.rstrip() for line in lines[:-1])])


def _row(texts: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True))


def _column_widths(names: Sequence[str], cells: Matrix, budget: int) -> Optional[list[int]]:
    """A width for every column that breaks no name; None where they do not fit beside each other."""
    widths = []
    for end in names:
        words = [
            word
            for start in names
            for entry in cells.get((start, end), ())
            for word in [entry.label, *f"({entry.only})".split()]
        ]
        widths.append(max(len(word) for word in [end, "never", *words]))
    spare = budget - sum(widths) - 2 * (len(widths) - 1)
    return None if spare < 0 else [width + spare // len(widths) for width in widths]


def _cell(entries: Sequence[Entry], never: bool, width: int) -> list[str]:
    """The lines of a cell: the services, wrapped, with what narrows them below."""
    if not entries:
        return ["never" if never else "."]
    lines: list[str] = []
    for only, services in _by_narrowing(entries):
        lines += textwrap.wrap(" ".join(services), width, break_on_hyphens=False)
        lines += textwrap.wrap(f"({only})", width, break_on_hyphens=False) if only else []
    return lines


def _by_narrowing(entries: Iterable[Entry]) -> Iterable[tuple[str, Iterable[str]]]:
    groups: dict[str, dict[str, bool]] = {}
    for entry in entries:
        groups.setdefault(entry.only, {})[entry.label] = True
    return groups.items()


def _matrix_list(names: Sequence[str], cells: Matrix) -> str:
    lines = []
    for start in names:
        for end in names:
            for only, services in _by_narrowing(cells.get((start, end), ())):
                text = f"{start} -> {end}{f' ({only})' if only else ''}: {' '.join(services)}"
                lines += _wrapped(text)
    return "\n".join(lines)


def _wrapped(text: str, first: str = "  ", rest: str = "      ") -> list[str]:
    return wrap(text, WIDTH, first, rest)


def _translations(site: Site) -> str:
    """What the routers translate, NAT to everyone who looks for it."""
    rows = described(site)
    return f"NAT\n{_table(['', ''], rows)}" if rows else ""


def _invariants(site: Site) -> str:
    lines = [line for never in site.never for line in _wrapped(str(never))]
    return "\n".join(["NEVER", *lines]) if lines else ""


def _warnings(warnings: Iterable[str]) -> str:
    lines = [line for warning in warnings for line in _wrapped(warning)]
    return "\n".join(["CONTRADICTIONS  none", "", *(["WARNINGS", *lines] if lines else ["WARNINGS  none"])])


def _rules(site: Site, hosts: Mapping[str, Sequence[str]], rules: SiteRules) -> Iterator[str]:
    for name, found in rules.items():
        if name != GATEWAY or site.legs:
            yield _rule_block(name, found, hosts.get(name) or ())


def _rule_block(name: str, rules: Sequence[Rule], hosts: Sequence[str]) -> str:
    """The rules of the hosts of one group, in ufw's words, each comment where it fits."""
    policies = ", ".join(f"{direction} {policy}" for direction, policy in DEFAULTS.items())
    head = _heading(f"RULES OF {name}", f"{count(len(rules), 'rule')}, then {policies}")
    lines = _wrapped(f"{head}; hosts: {some(hosts, MOST_HOSTS)}" if hosts else head, "", "  ")
    for rule in rules:
        text = f"  {rule}"
        if len(text) + len(rule.comment) + 4 <= WIDTH:
            lines.append(f"{text}  # {rule.comment}")
        else:
            lines += [text, *_wrapped(rule.comment, "      # ", "      # ")]
    return "\n".join(lines)
