# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a site, as text for a terminal of 100 columns and as data."""

from __future__ import annotations

import textwrap

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import engine_settings
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules, rule_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.matrix import forbidden, matrix, places
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import point_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, table, wrap

WIDTH = 100

_INTERNET = {True: "out", False: "never", None: "by flow"}
_RESERVED_POOLS = {"engine": "what every engine takes for itself", "swarm": "what the Swarm takes for itself"}


def plan_text(site, hosts_by_tier=None):
    """The whole plan. hosts_by_tier: {group: [hosts]}, to say whom rules are for; only a note, never policy."""
    parts = [_summary(site), _addresses(site), _networks(site), _stacks(site)]
    parts += [_matrix(site), _invariants(site), _warnings(site)]
    parts += _rules(site, hosts_by_tier or {})
    return "\n\n".join(part for part in parts if part) + "\n"


def plan_json(site):
    """The same as data: {tiers, pools, networks, stacks, flows, never, matrix, warnings, default, engine, rules}."""
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
                "services": [{"service": service, "only": only, "flow": flow.path} for service, only, flow in cell],
            }
            for (start, end), cell in matrix(site).items()
        ],
        "warnings": list(site.warnings),
        "default": dict(DEFAULTS),
        "engine": engine_settings(site),
        "rules": dict(
            [(name, host_rules(site, [name], False)) for name in site.tiers], **{GATEWAY: host_rules(site, [], True)}
        ),
    }


def _tier_json(tier):
    span = tier.dhcp.span if tier.dhcp else None
    return {
        "vlan": tier.vlan,
        "subnets": [str(net) for net in tier.subnets],
        "gateways": [str(net) for net in tier.gateways],
        "internet": tier.internet,
        "dhcp": [point_text(span.first), point_text(span.last)] if span else None,
        "rack": tier.dhcp.rack if tier.dhcp else None,
        "bandwidth": {"minimum": tier.bandwidth.minimum, "recommended": tier.bandwidth.recommended}
        if tier.bandwidth
        else None,
        "description": tier.description,
    }


def _network_json(network):
    return {
        "driver": network.driver,
        "subnet": str(network.subnet),
        "settled": network.settled,
        "on": list(network.tiers),
        "zone": network.zone,
        "addresses": {name: str(net) for name, net in network.addresses.items()},
    }


def _stack_json(stack):
    return {
        "kind": stack.kind,
        "files": list(stack.files),
        "on": list(stack.tiers),
        "require": {pattern: list(zones) for pattern, zones in stack.demands.items()},
    }


def _flow_json(flow):
    return {
        "path": flow.path,
        "from": list(flow.sources),
        "to": list(flow.destinations),
        "services": list(flow.services),
        "ports": [str(ports) for ports in flow.all_ports],
        "why": flow.why,
        "until": flow.until.isoformat() if flow.until else None,
    }


def _heading(text, note=""):
    return "%s%s" % (text, "  %s" % note if note else "")


def _summary(site):
    counts = [
        (len(site.tiers), "tier"),
        (len(site.services), "service"),
        (len(site.flows), "flow"),
        (len(site.never), "invariant"),
        (len(site.networks), "Docker network"),
        (len(site.stacks), "stack"),
    ]
    return "SITE  %s" % ", ".join(count(number, noun) for number, noun in counts)


def _table(headers, rows, right=()):
    return "\n".join(table(headers, rows, WIDTH, right))


def _addresses(site):
    rows = []
    for tier in site.tiers.values():
        for index, subnet in enumerate(tier.subnets):
            rows.append(
                _address_row(tier, subnet) if index == 0 else ["", ""] + _address_row(tier, subnet)[2:5] + [""] * 3
            )
    headers = ["VLAN", "tier", "subnet", "gateway", "usable", "DHCP", "internet", "Mbit/s"]
    return "%s\n%s" % (_heading("ADDRESS PLAN"), _table(headers, rows, right=(0, 4)))


def _address_row(tier, subnet):
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
        "%s/%s" % (rates.minimum or "-", rates.recommended or "-") if rates else "-",
    ]


def _span_text(span):
    """A range of addresses; what the last has in common with the first is left out."""
    first, last = point_text(span.first), point_text(span.last)
    shared = first.rpartition(".")[0]
    return "%s-%s" % (first, last[len(shared) + 1 :] if shared and last.startswith("%s." % shared) else last)


def _usable(subnet, legs):
    """How many hosts fit: without the gateways, and for IPv4 without the network's own and the broadcast address."""
    if subnet.version == 6:
        return "2^%d" % (128 - subnet.prefix)
    return subnet.size - len(legs) - (2 if subnet.prefix < 31 else 0)


def _networks(site):
    rows = []
    for name, nets in site.pools.items():
        for net in nets:
            inside = [network for network in site.networks.values() if network.subnet and net.holds(network.subnet)]
            rows.append(["pool", name, net, _RESERVED_POOLS.get(name) or _fill_text(net, inside)])
    for network in site.networks.values():
        rows.append([network.driver, network.name, network.subnet, _network_text(site, network)])
    return "%s\n%s" % (_heading("POOLS AND NETWORKS"), _table(["kind", "name", "subnet", ""], rows)) if rows else ""


def _fill_text(net, inside):
    taken = sum(network.subnet.size for network in inside)
    return "%s in it, %.1f %% taken" % (count(len(inside), "network"), 100.0 * taken / net.size)


def _network_text(site, network):
    words = ["on %s" % ", ".join(network.tiers or list(site.swarm.managers)[:1])]
    words += [word for word in ("internal", "attachable", "encrypted") if getattr(network, word)]
    words += ["zone %s" % network.zone] if network.zone else []
    words += ["gateway %s" % network.gateway] if network.gateway else []
    words += ["%d addresses" % len(network.addresses)] if network.addresses else []
    return ", ".join(words + ([] if network.settled else ["not pinned yet"]))


def _stacks(site):
    rows = []
    for stack in site.stacks.values():
        words = ["on %s" % ", ".join(stack.tiers or list(site.swarm.managers)[:1])]
        words += ["%s in zones %s" % (pattern, ", ".join(zones)) for pattern, zones in stack.demands.items()]
        rows.append([stack.kind, stack.name, ", ".join(stack.files), "; ".join(words)])
    return "%s\n%s" % (_heading("STACKS"), _table(["kind", "name", "file", ""], rows)) if rows else ""


def _matrix(site):
    names = places(site)
    cells = matrix(site)
    never = forbidden(site)
    heading = _heading("FLOWS", "from the row to the column; . is blocked, never is blocked by an invariant")
    label = max(len(name) for name in names) + 2
    widths = _column_widths(names, cells, WIDTH - 2 - label)
    if widths is None:
        return "%s\n%s" % (heading, _matrix_list(names, cells))
    lines = ["  %s%s" % (" " * label, _row(names, widths))]
    for start in names:
        columns = [_cell(cells.get((start, end)), (start, end) in never, width) for end, width in zip(names, widths)]
        for row in range(max(map(len, columns))):
            texts = [column[row] if row < len(column) else "" for column in columns]
            lines.append("  %s%s" % ((start if row == 0 else "").ljust(label), _row(texts, widths)))
        lines.append("")
    return "%s\n%s" % (heading, "\n".join(line.rstrip() for line in lines[:-1]))


def _row(texts, widths):
    return "  ".join(text.ljust(width) for text, width in zip(texts, widths))


def _column_widths(names, cells, budget):
    """A width for every column that breaks no name; None where they do not fit beside each other."""
    widths = []
    for end in names:
        words = [
            word
            for start in names
            for service, only, dummy in cells.get((start, end), ())
            for word in [service] + ("(%s)" % only).split()
        ]
        widths.append(max(len(word) for word in [end, "never"] + words))
    spare = budget - sum(widths) - 2 * (len(widths) - 1)
    return None if spare < 0 else [width + spare // len(widths) for width in widths]


def _cell(entries, never, width):
    """The lines of a cell: the services, wrapped, with what narrows them below."""
    if not entries:
        return ["never" if never else "."]
    lines = []
    for only, services in _by_narrowing(entries):
        lines += textwrap.wrap(" ".join(services), width, break_on_hyphens=False)
        lines += textwrap.wrap("(%s)" % only, width, break_on_hyphens=False) if only else []
    return lines


def _by_narrowing(entries):
    groups = {}
    for service, only, _dummy in entries:
        groups.setdefault(only, {})[service] = True
    return groups.items()


def _matrix_list(names, cells):
    lines = []
    for start in names:
        for end in names:
            for only, services in _by_narrowing(cells.get((start, end), ())):
                text = "%s -> %s%s: %s" % (start, end, " (%s)" % only if only else "", " ".join(services))
                lines += _wrapped(text)
    return "\n".join(lines)


def _wrapped(text, first="  ", rest="      "):
    return wrap(text, WIDTH, first, rest)


def _invariants(site):
    lines = [line for never in site.never for line in _wrapped(str(never))]
    return "\n".join([_heading("NEVER")] + lines) if lines else ""


def _warnings(site):
    lines = [line for warning in site.warnings for line in _wrapped(warning)]
    return "CONTRADICTIONS  none\n\n%s" % ("\n".join(["WARNINGS"] + lines) if lines else "WARNINGS  none")


def _rules(site, hosts):
    parts = [_rule_block("gateway", host_rules(site, [], True), hosts)] if site.legs else []
    return parts + [_rule_block(name, host_rules(site, [name], False), hosts) for name in site.tiers]


def _rule_block(name, rules, hosts):
    """The rules of the hosts of one group, in ufw's words, each comment where it fits."""
    head = _heading(
        "RULES OF %s" % name,
        "%s, then %s" % (count(len(rules), "rule"), ", ".join("%s %s" % item for item in DEFAULTS.items())),
    )
    lines = _wrapped(head + ("; hosts: %s" % ", ".join(hosts[name]) if hosts.get(name) else ""), "", "  ")
    for rule in rules:
        text = "  %s" % rule_text(rule)
        if len(text) + len(rule["comment"]) + 4 <= WIDTH:
            lines.append("%s  # %s" % (text, rule["comment"]))
        else:
            lines += [text] + _wrapped(rule["comment"], "      # ", "      # ")
    return "\n".join(lines)
