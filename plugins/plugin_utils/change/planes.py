# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site declares beside the hosts' rules, as lines that can be compared with those of the last change: the tailnet's
grants, Docker networks, VLANs, stacks. Their own modules say exactly what differs on a host or a server; here is named which
planes a run would touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site

Lines = dict[str, list[str]]


def declared(site: Site) -> Lines:
    """{plane: a line for each thing that is declared in it}, sorted."""
    tailnet = site.tailnet
    grants = [str(flow).partition(" (")[0] for flow in tailnet.flows] if tailnet else []
    ssh = [f"ssh: {rule.path}: as {', '.join(rule.users)}" for rule in tailnet.ssh] if tailnet else []
    routes = [f"{place} routes {net}" for place, nets in tailnet.routes.items() for net in nets] if tailnet else []
    networks = [
        f"{network.name}: {network.driver} {_texts(network.subnets)} on {', '.join(network.tiers) or 'no tier'}"
        f"{', internal' if network.internal else ''}"
        for network in site.networks.values()
    ]
    vlans = [
        f"{tier.name}: VLAN {tier.vlan} {_texts(tier.subnets)}" for tier in site.tiers.values() if tier.vlan is not None
    ]
    stacks = [f"{stack.name}: {stack.kind} of {', '.join(stack.files)}" for stack in site.stacks.values()]
    found = {
        "tailnet": [*grants, *ssh, *routes],
        "Docker networks": networks,
        "VLANs": vlans,
        "stacks": stacks,
    }
    return {plane: sorted(lines) for plane, lines in found.items()}


def _texts(items: Sequence[object]) -> str:
    return ", ".join(map(str, items)) or "without a subnet yet"


def difference(before: Mapping[str, Sequence[str]], after: Lines) -> dict[str, tuple[list[str], list[str]]]:
    """{plane: (lines that are new, lines that are gone)} of the planes that differ."""
    found = {}
    for plane, lines in after.items():
        old = before.get(plane, ())
        new, gone = [line for line in lines if line not in old], [line for line in old if line not in lines]
        if new or gone:
            found[plane] = (new, gone)
    return found
