"""A sender, a router and a receiver that publishes a container's port, as netfilter_info would return them."""

from __future__ import annotations

import ipaddress
import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node

OPEN = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
POLICY = [{"priority": 0, "src": "all", "table": "local"}, {"priority": 32766, "src": "all", "table": "main"}]


def answer(addresses, gateway="", rules="", forward="0", bridges=(), routes=(), policy=(), strict="0", rules6=""):
    """What the module returns. addresses: {interface: "10.0.1.5/24"}; routes: more of them, in iproute2's words."""
    links = []
    for name, text in {"lo": "127.0.0.1/8", **addresses}.items():
        one = ipaddress.ip_interface(text)
        link = {"ifname": name, "addr_info": [{"local": str(one.ip), "prefixlen": one.network.prefixlen}]}
        links.append({**link, "linkinfo": {"info_kind": "bridge"}} if name in bridges else link)
    found = {4: list(routes), 6: []}
    for name, text in addresses.items():
        one = ipaddress.ip_interface(text)
        found[one.version] += [
            {"dst": str(one.network), "dev": name},
            {"type": "local", "dst": str(one.ip), "dev": name, "table": "local"},
        ]
        if gateway and ipaddress.ip_address(gateway) in one.network:
            found[one.version].append({"dst": "default", "gateway": gateway, "dev": name})
    printed = {
        "rules4": [0, rules or OPEN, ""],
        "rules6": [0, rules6 or OPEN, ""],
        "nft": None,
        "addresses": [0, json.dumps(links), ""],
        "routes4": [0, json.dumps(found[4]), ""],
        "routes6": [0, json.dumps(found[6]), ""],
        "policy4": [0, json.dumps([*policy, *POLICY]), ""],
        "policy6": [0, json.dumps(POLICY), ""],
    }
    settings = {"ipv4/ip_forward": forward, "ipv6/conf/all/forwarding": forward}
    settings.update({f"ipv4/conf/{name}/rp_filter": strict for name in ("all", *addresses)})
    return {"printed": printed, "settings": settings}


DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""


@pytest.fixture
def said():
    return {
        "desk": answer({"eth0": "10.0.1.11/24"}, "10.0.1.1"),
        "router": answer(
            {"eth1": "10.0.1.1/24", "eth2": "10.0.2.1/24", "eth0": "203.0.113.1/24"}, "203.0.113.254", forward="1"
        ),
        "web": answer({"eth0": "10.0.2.11/24", "docker0": "172.17.0.1/16"}, "10.0.2.1", DOCKER, "1", ["docker0"]),
    }


@pytest.fixture
def nodes(said):
    return {name: read_node(name, one) for name, one in said.items()}


@pytest.fixture
def make():
    """answer() and read_node in one: another host."""

    def node(name, *args, **keys):
        return read_node(name, answer(*args, **keys))

    return node
