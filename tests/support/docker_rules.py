# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rulesets as a Docker engine writes them, of two bridges with random published ports, and a random list in DOCKER-USER.

Two forms: what engines 20.10 to 27 print (`iptables-save` after `docker run -p`), and that of 28 and later, in which FORWARD leads
to a chain of the engine's and raw drops what goes to a container past its published ports.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

FORMS = ("20.10", "28")
PROTOCOLS = {"tcp": 6, "udp": 17}


class Bridge(NamedTuple):
    """internal: whether its containers have no way out; icc: whether they reach each other."""

    name: str
    net: str
    internal: bool
    icc: bool


class Port(NamedTuple):
    """host: the address that it is published at, "" for all."""

    bridge: Bridge
    container: str
    proto: str
    published: int
    port: int
    host: str


class Docker:
    """draw: a random.Random; bridges: {interface: network}; hosts: the host's own addresses; outer: its other interfaces."""

    def __init__(self, draw, family, form, bridges, hosts, outer, sources):
        self.draw, self.family, self.form = draw, family, form
        self.hosts, self.outer, self.sources = hosts, outer, sources
        self.bridges = [Bridge(name, net, draw.random() < 0.25, draw.random() < 0.75) for name, net in bridges.items()]
        self.containers = {
            bridge: [str(ipaddress.ip_network(bridge.net)[number]) for number in (2, 3, 4)] for bridge in self.bridges
        }
        self.ports = [self._published() for _number in range(draw.randint(1, 5))]
        taken = {}
        for port in self.ports:  # one address and port are published once
            taken.setdefault((port.proto, port.published), port)
        self.ports = [port for port in taken.values() if not port.bridge.internal]

    def _published(self):
        draw, bridge = self.draw, self.draw.choice(self.bridges)
        published, port = draw.choice((80, 443, 5432, 8080, 8081, 9000)), draw.choice((80, 443, 5432, 8080))
        host = draw.choice(("", "", *self.hosts))
        return Port(
            bridge, draw.choice(self.containers[bridge]), draw.choice(("tcp", "tcp", "udp")), published, port, host
        )

    def text(self):
        forward, chains = self._forward() if self.form == "20.10" else self._forward_28()
        policy = self.draw.choice(("ACCEPT", "DROP"))
        tables = [
            *(["*raw", ":PREROUTING ACCEPT [0:0]", *self._raw(), "COMMIT"] if self.form == "28" else []),
            "*nat",
            *(f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")),
            ":DOCKER - [0:0]",
            *self._nat(),
            "COMMIT",
            "*filter",
            *(f":{name} {policy if name == 'FORWARD' else 'ACCEPT'} [0:0]" for name in ("INPUT", "FORWARD", "OUTPUT")),
            *(f":{name} - [0:0]" for name in ("DOCKER", "DOCKER-USER", *chains)),
            *forward,
            *(line for name in chains for line in chains[name]),
            *self._accepting(),
            *self._user(),
            "COMMIT",
            "",
        ]
        return "\n".join(tables)

    # -- nat ---------------------------------------------------------------------------------------------------------

    def _nat(self):
        own = "127.0.0.0/8" if self.family == 4 else "::1/128"
        yield "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
        yield f"-A OUTPUT ! -d {own} -m addrtype --dst-type LOCAL -j DOCKER"
        for bridge in self.bridges:
            if not bridge.internal:
                yield f"-A POSTROUTING -s {bridge.net} ! -o {bridge.name} -j MASQUERADE"
        if self.form == "20.10":
            for port in self.ports:
                yield (
                    f"-A POSTROUTING -s {self._one(port.container)} -d {self._one(port.container)} {self._service(port)} "
                    "-j MASQUERADE"
                )
            yield from (f"-A DOCKER -i {bridge.name} -j RETURN" for bridge in self.bridges if not bridge.internal)
        for port in self.ports:
            to = f"{port.container}:{port.port}" if self.family == 4 else f"[{port.container}]:{port.port}"
            where = f"-d {self._one(port.host)} " if port.host else ""
            yield (
                f"-A DOCKER {where}! -i {port.bridge.name} -p {port.proto} -m {port.proto} --dport {port.published} "
                f"-j DNAT --to-destination {to}"
            )

    def _raw(self):
        for bridge, containers in self.containers.items():
            used = {port.container for port in self.ports if port.bridge == bridge}
            for address in containers:
                if address in used:
                    yield f"-A PREROUTING -d {self._one(address)} ! -i {bridge.name} -j DROP"

    # -- filter ------------------------------------------------------------------------------------------------------

    def _forward(self):
        """The form of 20.10: FORWARD has the engine's rules itself."""
        lines = ["-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1"]
        for bridge in self.bridges:
            name = bridge.name
            if not bridge.internal:
                lines.append(f"-A FORWARD -o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
                lines.append(f"-A FORWARD -o {name} -j DOCKER")
                lines.append(f"-A FORWARD -i {name} ! -o {name} -j ACCEPT")
            lines.append(f"-A FORWARD -i {name} -o {name} -j {'ACCEPT' if bridge.icc else 'DROP'}")
        return lines, self._isolation()

    def _forward_28(self):
        """The form of 28: FORWARD leads to DOCKER-USER and to DOCKER-FORWARD."""
        chains = {name: [] for name in ("DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD")}
        lines = ["-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-FORWARD"]
        into = chains["DOCKER-FORWARD"]
        into += [f"-A DOCKER-FORWARD -j {name}" for name in ("DOCKER-CT", "DOCKER-ISOLATION-STAGE-1", "DOCKER-BRIDGE")]
        for bridge in self.bridges:
            name = bridge.name
            if not bridge.internal:
                chains["DOCKER-BRIDGE"].append(f"-A DOCKER-BRIDGE -o {name} -j DOCKER")
                chains["DOCKER-CT"].append(
                    f"-A DOCKER-CT -o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                )
            inside = f"-A DOCKER-FORWARD -i {name} -o {name} -j {'ACCEPT' if bridge.icc else 'DROP'}"
            into += [inside] if bridge.internal or not bridge.icc else []
            into += [f"-A DOCKER-FORWARD -i {name} -j ACCEPT"] if not bridge.internal else []
        return lines, {**chains, **self._isolation()}

    def _isolation(self):
        first, second = [], []
        for bridge in self.bridges:
            name = bridge.name
            if bridge.internal:
                first.append(f"-A DOCKER-ISOLATION-STAGE-1 ! -s {bridge.net} -o {name} -j DROP")
                first.append(f"-A DOCKER-ISOLATION-STAGE-1 ! -d {bridge.net} -i {name} -j DROP")
            else:
                first.append(f"-A DOCKER-ISOLATION-STAGE-1 -i {name} ! -o {name} -j DOCKER-ISOLATION-STAGE-2")
                second.append(f"-A DOCKER-ISOLATION-STAGE-2 -o {name} -j DROP")
        first.append("-A DOCKER-ISOLATION-STAGE-1 -j RETURN")
        return {
            "DOCKER-ISOLATION-STAGE-1": first,
            "DOCKER-ISOLATION-STAGE-2": [*second, "-A DOCKER-ISOLATION-STAGE-2 -j RETURN"],
        }

    def _accepting(self):
        for port in self.ports:
            name = port.bridge.name
            yield (
                f"-A DOCKER -d {self._one(port.container)} ! -i {name} -o {name} -p {port.proto} -m {port.proto} "
                f"--dport {port.port} -j ACCEPT"
            )
        if self.form == "28":
            yield from (
                f"-A DOCKER ! -i {bridge.name} -o {bridge.name} -j DROP"
                for bridge in self.bridges
                if not bridge.internal
            )

    def _user(self):
        """What people write there: by the port that was asked for, by where from, by interface."""
        draw = self.draw
        for _number in range(draw.randrange(5)):
            words = ["-A DOCKER-USER"]
            if draw.random() < 0.4:
                words.append(f"{draw.choice(('', '', '! '))}-s {draw.choice(self.sources)}")
            if draw.random() < 0.5:
                words.append(f"-i {draw.choice((*self.outer, *(bridge.name for bridge in self.bridges)))}")
            kind = draw.choice(("asked", "asked", "port", "state", "none"))
            if kind == "asked":
                port = draw.choice((*(one.published for one in self.ports), 8080))
                words.append(f"-p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL")
            elif kind == "port":
                words.append(f"-p tcp -m tcp --dport {draw.choice((80, 443, 8080))}")
            elif kind == "state":
                words.append(f"-m conntrack --ctstate {draw.choice(('RELATED,ESTABLISHED', 'NEW', 'DNAT'))}")
            yield " ".join([*words, f"-j {draw.choice(('RETURN', 'RETURN', 'DROP', 'ACCEPT'))}"])
        yield "-A DOCKER-USER -j RETURN"

    # -- words -------------------------------------------------------------------------------------------------------

    def _one(self, address):
        return f"{address}/{32 if self.family == 4 else 128}"

    def _service(self, port):
        return f"-p {port.proto} -m {port.proto} --dport {port.port}"
