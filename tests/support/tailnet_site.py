"""Sites with a tailnet: one that is written by hand, and others by chance."""

from __future__ import annotations

import copy
import random
from datetime import date
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 1, 1)

BASE: dict[str, Any] = {
    "bulkhead_tiers": {
        "edge": {"vlan": 1, "subnet": "203.0.113.0/28", "gateway": "203.0.113.1", "internet": True},
        "web": {
            "vlan": 2,
            "subnet": ["10.0.2.0/24", "fd00:2::/64"],
            "gateway": ["10.0.2.1", "fd00:2::1"],
            "internet": True,
        },
        "apps": {"vlan": 3, "subnet": "10.0.3.0/24", "gateway": "10.0.3.1"},
        "management": {"vlan": 4, "subnet": "10.0.4.0/24", "gateway": "10.0.4.1"},
        "printers": {"vlan": 5, "subnet": "10.0.5.0/24", "gateway": "10.0.5.1", "internet": False},
    },
    "bulkhead_addresses": {"db": "10.0.3.9", "printer": "10.0.5.9", "partner": "198.51.100.7", "headscale": "10.0.4.5"},
    "bulkhead_services": {
        "ssh": "22/tcp",
        "postgres": "5432/tcp",
        "https": "443/tcp",
        "dns": ["53/udp", "53/tcp"],
        "range": "8000-8010/tcp",
        "esp": "esp",
    },
    "bulkhead_tailnet": {
        "control": "https://headscale.example",
        "tags": {
            "edge": "tag:edge",
            "web": ["tag:web", "tag:server"],
            "apps": ["tag:apps", "tag:metabase", "tag:server"],
            "management": ["tag:mgmt"],
            "gateway": ["tag:router"],
        },
        "groups": {"admins": ["alice@example.com"], "devs": ["bob@example.com", "carol@example.com"]},
        "tag_owners": {"tag:ci": ["group:devs"]},
        "exit_nodes": {"edge": ["group:admins"]},
        "routes": {"gateway": ["printers", "198.51.100.0/24"], "apps": ["10.0.3.0/24"]},
        "ssh": [{"from": "group:admins", "to": "management", "users": ["ops"]}],
    },
    "bulkhead_flows": [
        {"from": "group:admins", "to": "management", "allow": "ssh", "via": "tailnet", "why": "administration"},
        {"from": "web", "to": "apps", "allow": "postgres", "via": "tailnet"},
        {"from": ["group:devs", "tag:ci"], "to": "printer", "allow": "https", "via": "tailnet"},
        {"from": "web", "to": "apps", "allow": "https"},
    ],
}

#: Ends of flows over the tailnet, by side.
SOURCES = [
    "edge",
    "web",
    "apps",
    "management",
    "gateway",
    "tiers",
    "tag:web",
    "tag:server",
    "tag:metabase",
    "tag:ci",
    "group:admins",
    "group:devs",
    "alice@example.com",
    "dave@example.com",
    "autogroup:member",
    "autogroup:tagged",
]
DESTINATIONS = [*SOURCES, "autogroup:self", "printer", "10.0.5.0/25", "partner", "198.51.100.64/26", "printers-leg"]
SERVICES = ["ssh", "postgres", "https", "dns", "range", "any"]


def changed(**values: Any) -> dict[str, Any]:
    """The site with other values: `tags=...` of bulkhead_tailnet, `flows=...` of bulkhead_flows and so on. None removes."""
    site = copy.deepcopy(BASE)
    for key, value in values.items():
        known = f"bulkhead_{key}"
        where, name = (site, known) if known in site or key == "never" else (site["bulkhead_tailnet"], key)
        if value is None:
            where.pop(name, None)
        else:
            where[name] = value
    return site


def parsed(**values: Any) -> Site:
    return parse_site(changed(**values), TODAY)


def mistakes(declaration: dict[str, Any]) -> tuple[Mistake, ...]:
    """What is wrong with a site; none where it is right."""
    try:
        parse_site(declaration, TODAY)
    except Refused as error:
        return error.mistakes
    return ()


def by_chance(seed: int) -> Site:
    """A site with a tailnet: tags of one and of several tiers, flows between all kinds of ends, routes, exit nodes."""
    chance = random.Random(seed)
    while True:
        try:
            return parse_site(_drawn(chance), TODAY)
        except Refused:
            continue


def _drawn(chance: random.Random) -> dict[str, Any]:
    site = copy.deepcopy(BASE)
    site["bulkhead_addresses"]["printers-leg"] = "10.0.5.1"
    tailnet = site["bulkhead_tailnet"]
    for place in ("edge", "web", "apps", "management"):
        tailnet["tags"][place] = [
            *[f"tag:{place}"] * (place != "management"),
            *["tag:mgmt"] * (place == "management"),
            *chance.sample(["tag:server", "tag:metabase", "tag:ci", f"tag:more-{place}"], chance.randint(0, 3)),
        ]
    tailnet["tag_owners"] = {
        tag: ["group:devs"] for tag in ("tag:ci", "tag:server", "tag:metabase", "tag:lone", "tag:web")
    }
    tailnet["routes"] = {"gateway": ["printers", "198.51.100.0/24"]}
    tailnet["exit_nodes"] = {
        place: chance.sample(SOURCES, chance.randint(1, 3)) for place in chance.sample(["edge", "web", "gateway"], 2)
    }
    tailnet["direct"] = chance.choice([True, False])
    tailnet["ssh"] = [
        {
            "from": chance.choice(["group:admins", "alice@example.com", "web", "tag:ci"]),
            "to": chance.choice(["management", "apps", "tag:server"]),
            "users": chance.sample(["root", "ops", "deploy", "autogroup:nonroot"], chance.randint(1, 2)),
        }
        for _dummy in range(chance.randint(0, 2))
    ]
    site["bulkhead_flows"] = [_flow(chance) for _dummy in range(chance.randint(0, 6))]
    return site


def _flow(chance: random.Random) -> dict[str, Any]:
    sources = chance.sample(SOURCES, chance.randint(1, 2))
    ends = DESTINATIONS
    if any(
        name.startswith("tag:") or "@" not in name and not name.startswith(("group:", "autogroup:m"))
        for name in sources
    ):
        ends = [name for name in ends if name != "autogroup:self"]
    return {
        "from": sources,
        "to": chance.sample(ends, chance.randint(1, 3)),
        "allow": chance.sample(SERVICES, chance.randint(1, 2)),
        "via": "tailnet",
    }
