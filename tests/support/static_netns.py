# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A declared site of three tiers in network namespaces: a router, two hosts in each of two tiers, a host with a bridge and a
container behind it, and one that stands for the internet. Each loads the rules of its plan; what Docker would add for the
container's published port is added as Docker does.

    office 10.91.1.0/24 fd91:1::/64   desk1 desk2
    plant  10.91.2.0/24 fd91:2::/64   pump1 pump2
    shop   10.91.3.0/24 fd91:3::/64   till1, docker0 192.168.90.1/24: box
    (out)  10.91.9.0/24 fd91:9::/64   out
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from datetime import date

from namespaces import connects, inside, run

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hosts import of_hosts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import proven

MODULE = pathlib.Path(__file__).parents[2] / "plugins/modules/netfilter_info.py"
#: Name: its tier, the number of its subnet, and its own number.
HOSTS = {
    "desk1": ("office", 1, 11),
    "desk2": ("office", 1, 12),
    "pump1": ("plant", 2, 11),
    "pump2": ("plant", 2, 12),
    "till1": ("shop", 3, 11),
    "out": ("", 9, 11),
}
TIERS = {"office": 1, "plant": 2, "shop": 3}
NETS = (1, 2, 3, 9)
PORTS = (22, 53, 80, 443, 3306, 8080, 9000)
CONTAINER = "192.168.90.2"
SITE = {
    "bulkhead_tiers": {
        name: {
            "vlan": number,
            "subnet": [f"10.91.{number}.0/24", f"fd91:{number}::/64"],
            "gateway": [f"10.91.{number}.1", f"fd91:{number}::1"],
            "internet": name == "office",
        }
        for name, number in TIERS.items()
    },
    "bulkhead_services": {"ssh": "22/tcp", "web": "80/tcp", "sql": "3306/tcp", "app": "8080/tcp", "tls": "443/tcp"},
    "bulkhead_pools": {"engine": "10.92.0.0/16"},
    "bulkhead_networks": {"boxes": {"driver": "bridge", "subnet": "192.168.90.0/24", "on": "shop"}},
    "bulkhead_flows": [
        {"from": "office", "to": "tiers", "allow": "ssh", "why": "administration"},
        {"from": "office", "to": "gateway", "allow": "ssh"},
        {"from": "shop", "to": "plant", "allow": "sql"},
        {"from": "plant", "to": "self", "allow": ["web", "sql"]},
        {"from": ["internet", "office"], "to": "shop", "allow": ["app", "tls"]},
    ],
    "bulkhead_never": [{"from": "internet", "to": ["office", "plant"], "deny": "any"}],
}
DOCKER_NAT = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":DOCKER - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A POSTROUTING -s 192.168.90.0/24 ! -o docker0 -j MASQUERADE",
    "-A DOCKER -i docker0 -j RETURN",
    f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {CONTAINER}:80",
    "COMMIT",
]
DOCKER_FORWARD = [
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -o docker0 -j DOCKER",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    f"-A DOCKER -d {CONTAINER}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
]
#: Seconds that a connection is waited for, and how often it is tried again where the answer is not the expected one.
PATIENCE, AGAIN = 1.5, 3


class Site:
    """The namespaces, and what is proven of them. prefix: of the namespaces' names."""

    def __init__(self, prefix="sk"):
        self.prefix = prefix
        self.site = parse_site(SITE, date(2026, 1, 1))
        self.names = [*HOSTS, "router"]
        self.members = {
            name: Member(name, Part.TIER, (tier,)) if tier else Member(name, Part.INTERNET)
            for name, (tier, _net, _number) in HOSTS.items()
        }
        self.members["router"] = Member("router", Part.GATEWAY, (), True)
        self.nodes = {}
        self.sockets = []

    def ns(self, name):
        return f"{self.prefix}-{name}"

    def ip(self, name, *words):
        return run("ip", "-n", self.ns(name), *words)

    def exec(self, name, *words, **options):
        return run("ip", "netns", "exec", self.ns(name), *words, **options)

    @contextlib.contextmanager
    def running(self):
        """The namespaces with their links, addresses, routes and listeners, without any rules."""
        assert os.geteuid() == 0, "this makes network namespaces and loads rules into them: it needs root"
        self.clear()
        try:
            self._build()
            yield self
        finally:
            for one in self.sockets:
                one.close()
            self.clear()

    def clear(self):
        for name in (*self.names, "box", "switch"):
            subprocess.run(["ip", "netns", "delete", self.ns(name)], capture_output=True, check=False)

    def _build(self):
        for name in (*self.names, "box", "switch"):
            run("ip", "netns", "add", self.ns(name))
            self.exec(name, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
            self.exec(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.all.accept_ra=0")
            self.ip(name, "link", "set", "lo", "up")
        for number in NETS:
            self.ip("switch", "link", "add", f"sw{number}", "type", "bridge")
            self.ip("switch", "link", "set", f"sw{number}", "up")
            self._plug("router", f"leg{number}", number, 1)
        for name, (_tier, net, number) in HOSTS.items():
            self._plug(name, "eth0", net, number)
            for way in (f"10.91.{net}.1", f"fd91:{net}::1"):
                self.ip(name, "route", "add", "default", "via", way)
        for name in ("router", "till1"):
            self.exec(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.exec("router", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        # The router has a way out, as the internet has one in.
        for way in ("10.91.9.11", "fd91:9::11"):
            self.ip("router", "route", "add", "default", "via", way)
        self.ip("till1", "link", "add", "docker0", "type", "bridge")
        self.ip("till1", "address", "add", "192.168.90.1/24", "dev", "docker0")
        self.ip("till1", "link", "set", "docker0", "up")
        run(
            "ip",
            "link",
            "add",
            "eth0",
            "netns",
            self.ns("box"),
            "type",
            "veth",
            "peer",
            "name",
            "veth0",
            "netns",
            self.ns("till1"),
        )
        self.ip("till1", "link", "set", "veth0", "master", "docker0", "up")
        self.ip("box", "address", "add", f"{CONTAINER}/24", "dev", "eth0")
        self.ip("box", "link", "set", "eth0", "up")
        self.ip("box", "route", "add", "default", "via", "192.168.90.1")
        for name in (*self.names, "box"):
            for port in PORTS:
                self.sockets.append(inside(self.ns(name), lambda port=port: listener(port)))

    def _plug(self, name, link, net, number):
        peer = f"{name}{net}"[:15]
        run(
            "ip",
            "link",
            "add",
            link,
            "netns",
            self.ns(name),
            "type",
            "veth",
            "peer",
            "name",
            peer,
            "netns",
            self.ns("switch"),
        )
        self.ip("switch", "link", "set", peer, "master", f"sw{net}", "up")
        self.ip(name, "link", "set", link, "up")
        self.ip(name, "address", "add", f"10.91.{net}.{number}/24", "dev", link)
        self.ip(name, "address", "add", f"fd91:{net}::{number}/64", "dev", link, "nodad")

    # -- rules --------------------------------------------------------------------------------------------------------

    def plan(self, name):
        member = self.members[name]
        return host_plan(self.site, "any", member.tiers, member.gateway)

    def text(self, name, family):
        """The rules that a host has when it is as declared."""
        if name == "out":
            return "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\nCOMMIT\n"
        text = planned_text(self.plan(name), family)
        if name == "till1" and family == 4:
            lines = text.splitlines()
            first = lines.index("-A FORWARD -j DOCKER-USER") + 1
            lines[first:first] = DOCKER_FORWARD
            lines.insert(1, ":DOCKER - [0:0]")
            text = "\n".join([*lines, *DOCKER_NAT, ""])
        elif "*nat" not in text:
            text += "*nat\nCOMMIT\n"
        return text

    def load(self, name, family, text):
        """Each table, and what a second part adds to one."""
        command = {4: "iptables-restore", 6: "ip6tables-restore"}[family]
        known = set()
        for part in text.split("COMMIT\n"):
            table = part.strip().partition("\n")[0]
            if table:
                self.exec(name, command, *(["-n"] if table in known else []), input=f"{part}COMMIT\n")
                known.add(table)

    def converge(self, *names):
        """Load the rules of the plan again, and read the hosts anew."""
        for name in names or self.names:
            for family in (4, 6):
                self.load(name, family, self.text(name, family))
        self.read(*names)

    def read(self, *names):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        for name in names or self.names:
            if name == "out":
                continue
            arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {}})
            said = self.exec(name, sys.executable, str(MODULE), input=arguments, env=env)
            self.nodes[name] = read_node(name, json.loads(said))

    def fleet(self):
        return Fleet(self.site, self.members, self.nodes)

    def prove(self):
        fleet = self.fleet()
        return proven(fleet, of_hosts(fleet, lambda member: self.plan(member.name), {}))

    # -- packets ------------------------------------------------------------------------------------------------------

    def addresses(self, family):
        """{address: the host that has it}, one for each host."""
        form = "10.91.{}.{}" if family == 4 else "fd91:{}::{}"
        found = {form.format(net, number): name for name, (_tier, net, number) in HOSTS.items()}
        return {**found, form.format(2, 1): "router"}

    def connects(self, asked):
        """Which of the connections (source, destination, port) come about, all tried at once."""
        owners = {**self.addresses(4), **self.addresses(6)}
        found = connects({one: (self.ns(owners[one[0]]), *one) for one in asked}, PATIENCE)
        for one in self.sockets:
            with contextlib.suppress(
                BlockingIOError
            ):  # else what waits there fills the listener, and it answers no more
                while True:
                    one.accept()[0].close()
        return found

    def disagreements(self, expected):
        """Of {(source, destination, port): whether it comes about}, those of which the kernel says otherwise."""
        wrong = list(expected)
        for _try in range(1 + AGAIN):
            seen = self.connects(wrong)
            wrong = [one for one in wrong if seen[one] != expected[one]]
            if not wrong:
                break
        return wrong


def listener(port):
    one = socket.socket(socket.AF_INET6)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("::", port))
    one.listen(256)
    one.setblocking(False)
    return one
