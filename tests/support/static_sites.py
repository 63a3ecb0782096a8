# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declared sites and their hosts, as netfilter_info returns them, for the static proof."""

from __future__ import annotations

import ipaddress
import json
from datetime import date

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import prove

SITE = {
    "bulkhead_tiers": {
        "office": {
            "vlan": 1,
            "subnet": ["10.0.1.0/24", "fd00:1::/64"],
            "gateway": ["10.0.1.1", "fd00:1::1"],
            "internet": True,
        },
        "plant": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
    },
    "bulkhead_services": {"ssh": "22/tcp", "web": ["80/tcp", "8000-8009/tcp"], "dns": "53/udp", "tunnel": "esp"},
    "bulkhead_flows": [
        {"from": "office", "to": "plant", "allow": ["ssh", "web"], "why": "administration"},
        {"from": "plant", "to": "self", "allow": "dns"},
        {"from": "office", "to": "gateway", "allow": "ssh"},
        {"from": "internet", "to": "plant", "allow": "web"},
    ],
    "bulkhead_never": [{"from": "internet", "to": "office", "deny": "any"}],
}
POLICY = [{"priority": 0, "src": "all", "table": "local"}, {"priority": 32766, "src": "all", "table": "main"}]


def answer(addresses, gateways=(), rules=("", ""), forward="0", bridges=(), routes=(), strict="0"):
    """What the module returns. addresses: {interface: ["10.0.1.5/24", ...]}; routes: more, in iproute2's words."""
    links = []
    found = {4: [], 6: []}
    for name, texts in {"lo": ["127.0.0.1/8", "::1/128"], **addresses}.items():
        link = {"ifname": name, "addr_info": []}
        for text in texts:
            one = ipaddress.ip_interface(text)
            link["addr_info"].append({"local": str(one.ip), "prefixlen": one.network.prefixlen})
            if name != "lo":
                found[one.version].append({"dst": str(one.network), "dev": name})
            found[one.version].append({"type": "local", "dst": str(one.ip), "dev": name, "table": "local"})
            for gateway in gateways:
                if name != "lo" and ipaddress.ip_address(gateway) in one.network:
                    found[one.version].append({"dst": "default", "gateway": gateway, "dev": name})
        links.append({**link, "linkinfo": {"info_kind": "bridge"}} if name in bridges else link)
    for route in routes:
        found[6 if ":" in route["dst"] else 4].append(route)
    printed = {
        "rules4": [0, rules[0], ""],
        "rules6": [0, rules[1], ""],
        "nft": None,
        "addresses": [0, json.dumps(links), ""],
        "routes4": [0, json.dumps(found[4]), ""],
        "routes6": [0, json.dumps(found[6]), ""],
        "policy4": [0, json.dumps(POLICY), ""],
        "policy6": [0, json.dumps(POLICY), ""],
    }
    settings = {"ipv4/ip_forward": forward, "ipv6/conf/all/forwarding": forward}
    settings.update({f"ipv4/conf/{name}/rp_filter": strict for name in ("all", *addresses)})
    return {"printed": printed, "settings": settings}


class Fixture:
    """An office and a plant behind a router, and the internet: every host as declared. A test breaks `said`, `rules`."""

    HOSTS = {
        "router": (
            (),
            True,
            {
                "eth1": ["10.0.1.1/24", "fd00:1::1/64"],
                "eth2": ["10.0.2.1/24", "fd00:2::1/64"],
                "eth0": ["203.0.113.1/24", "2001:db8:9::1/64"],
            },
        ),
        "desk": (("office",), False, {"eth0": ["10.0.1.11/24", "fd00:1::11/64"]}),
        "pump1": (("plant",), False, {"eth0": ["10.0.2.11/24", "fd00:2::11/64"]}),
        "pump2": (("plant",), False, {"eth0": ["10.0.2.12/24", "fd00:2::12/64"]}),
    }

    def __init__(self, declaration=None):
        self.site = parse_site(declaration or SITE, date(2026, 1, 1))
        self.members, self.rules, self.options = {}, {}, {}
        self.addresses = {
            name: {key: list(value) for key, value in found[2].items()} for name, found in self.HOSTS.items()
        }
        self.routes = {name: [] for name in self.HOSTS}
        self.speeds = {}
        for name, (tiers, gateway, _addresses) in self.HOSTS.items():
            part = Part.GATEWAY if gateway else Part.TIER
            self.members[name] = Member(name, part, tiers, gateway)
            plan = self.plan(name)
            self.rules[name] = [planned_text(plan, family) for family in (4, 6)]
            self.options[name] = {"forward": "1" if gateway else "0"}

    def plan(self, name):
        return self.plan_of(self.members[name].place)

    def plan_of(self, place):
        return host_plan(self.site, "any", place.tiers, place.gateway)

    def gateways(self, name):
        if name == "router":
            return ["203.0.113.254", "2001:db8:9::fe"]
        return ["10.0.1.1", "fd00:1::1", "10.0.2.1", "fd00:2::1"]

    def said(self, name):
        more = {"routes": self.routes[name], **self.options[name]}
        said = answer(self.addresses[name], self.gateways(name), self.rules[name], **more)
        return {**said, "speeds": self.speeds.get(name, {})}

    @property
    def nodes(self):
        return {name: read_node(name, self.said(name)) for name in self.HOSTS}

    def prove(self):
        return prove(self.site, self.members, self.nodes)

    def insert(self, name, chain, rule, family=4, table="filter"):
        """A rule at the head of a chain, as a hand would put it there."""
        lines = self.rules[name][family == 6].splitlines()
        start = lines.index(f"*{table}")
        place = next((n for n in range(start, len(lines)) if lines[n].startswith(f"-A {chain} ")), None)
        if place is None:
            place = lines.index("COMMIT", start)
        lines.insert(place, f"-A {chain} {rule}")
        self.rules[name][family == 6] = "\n".join([*lines, ""])

    def edit(self, name, old, new, family=4):
        text = self.rules[name][family == 6]
        assert old in text, text
        self.rules[name][family == 6] = text.replace(old, new, 1)
