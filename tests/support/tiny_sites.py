# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tiny sites with random rules and translations, in which every single packet is followed by a plain reading of netfilter: rule by
rule, hook by hook, there and back. It shares no code with the engine and reads no text: rules are made as Rule and Nat, and written
out for the engine alone.

    left 10.0.0.0/29   s .1, t .2  ---- .6 g .14 ----  r .9, q .10   right 10.0.0.8/29

The universe is 16 addresses, three protocols, and ports of three bits.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple, Optional

NET = 0x0A000000
LEFT, RIGHT = range(8), range(8, 16)
#: {host: {interface: the last four bits of its address}}
HOSTS = {
    "s": {"eth0": 1},
    "t": {"eth0": 2},
    "g": {"left": 6, "right": 14},
    "r": {"eth0": 9},
    "q": {"eth0": 10},
}
OWNER = {at: (host, name) for host, legs in HOSTS.items() for name, at in legs.items()}
TCP, UDP, GRE = 6, 17, 47
PORTS = range(8)
FILTERS = ("INPUT", "FORWARD", "OUTPUT")
EVERY_PORT = (0, 65535)


def text_of(at):
    return f"10.0.0.{at}"


class Packet(NamedTuple):
    proto: int
    src: int
    dst: int
    sport: int
    dport: int

    def back(self):
        """Its answer."""
        return Packet(self.proto, self.dst, self.src, self.dport, self.sport)


class Match(NamedTuple):
    """Spans of addresses are (first, last); no_src, no_dst: whether they are denied. None, "" and 0: any."""

    iif: str = ""
    oif: str = ""
    proto: int = 0
    src: Optional[tuple[int, int]] = None
    no_src: bool = False
    dst: Optional[tuple[int, int]] = None
    no_dst: bool = False
    sport: Optional[tuple[int, int]] = None
    dport: Optional[tuple[int, int]] = None
    states: tuple[str, ...] = ()
    local: bool = False

    def meets(self, host, packet, iif, oif, states):
        checks = [
            not self.iif or self.iif == iif,
            not self.oif or self.oif == oif,
            not self.proto or self.proto == packet.proto,
            self.src is None or (self.src[0] <= packet.src <= self.src[1]) != self.no_src,
            self.dst is None or (self.dst[0] <= packet.dst <= self.dst[1]) != self.no_dst,
            self.sport is None or self.sport[0] <= packet.sport <= self.sport[1],
            self.dport is None or self.dport[0] <= packet.dport <= self.dport[1],
            not self.states or bool(set(self.states) & states),
            not self.local or packet.dst in HOSTS[host].values(),
        ]
        return all(checks)

    def words(self):
        found = []
        for option, span, no in (("-s", self.src, self.no_src), ("-d", self.dst, self.no_dst)):
            if span is not None:
                bits = 32 - (span[1] - span[0]).bit_length()
                found += ["!"] * no + [option, f"{text_of(span[0])}/{bits}"]
        found += ["-i", self.iif] if self.iif else []
        found += ["-o", self.oif] if self.oif else []
        name = {TCP: "tcp", UDP: "udp", GRE: "gre", 0: ""}[self.proto]
        found += ["-p", name] if name else []
        for option, span in (("--sport", self.sport), ("--dport", self.dport)):
            if span is not None:
                found += ["-m", name, option, f"{span[0]}:{span[1]}"]
        found += ["-m", "conntrack", "--ctstate", ",".join(self.states)] if self.states else []
        found += ["-m", "addrtype", "--dst-type", "LOCAL"] if self.local else []
        return " ".join(found)


class Rule(NamedTuple):
    """target: ACCEPT, DROP, RETURN, or the name of a chain; goto: whether it does not come back from there."""

    match: Match
    target: str
    goto: bool = False


class Nat(NamedTuple):
    """kind: DNAT, REDIRECT, SNAT or MASQUERADE; ACCEPT: left as it is."""

    match: Match
    kind: str
    to: Optional[int] = None
    port: Optional[int] = None

    def words(self):
        if self.kind == "DNAT":
            return f"-j DNAT --to-destination {text_of(self.to)}{f':{self.port}' if self.port is not None else ''}"
        if self.kind == "REDIRECT":
            return f"-j REDIRECT --to-ports {self.port}"
        return f"-j SNAT --to-source {text_of(self.to)}" if self.kind == "SNAT" else f"-j {self.kind}"


class Rules(NamedTuple):
    """Of one host. filter: {chain: [Rule]}; policies: {hook: target}; nat: {chain: [Nat]}."""

    policies: dict[str, str]
    filter: dict[str, list[Rule]]
    nat: dict[str, list[Nat]]

    def text(self):
        lines = ["*filter", *(f":{hook} {policy} [0:0]" for hook, policy in self.policies.items())]
        lines += [f":{name} - [0:0]" for name in self.filter if name not in self.policies]
        for name, rules in self.filter.items():
            for rule in rules:
                lines.append(f"-A {name} {rule.match.words()} {'-g' if rule.goto else '-j'} {rule.target}")
        lines += ["COMMIT", "*nat", *(f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "OUTPUT", "POSTROUTING"))]
        lines += [
            f"-A {name} {rule.match.words()} {rule.words()}" for name, rules in self.nat.items() for rule in rules
        ]
        return "\n".join([*(" ".join(line.split()) for line in lines), "COMMIT", ""])


# -- random ones -----------------------------------------------------------------------------------------------------


def random_rules(draw, host):
    user = ["one", "two"]
    found = {}
    for name in (*FILTERS, *user):
        rules = []
        if name in FILTERS and draw.random() < 0.75:
            rules.append(Rule(Match(states=draw.choice((("ESTABLISHED",), ("RELATED", "ESTABLISHED")))), "ACCEPT"))
        # A chain goes only to those behind it: the kernel takes no loop.
        chains = user if name in FILTERS else user[user.index(name) + 1 :]
        for _number in range(draw.randrange(4)):
            target = draw.choice(("ACCEPT", "ACCEPT", "DROP", "RETURN", *chains))
            rules.append(Rule(_match(draw, host, name), target, target in chains and draw.random() < 0.3))
        found[name] = rules
    policies = {hook: draw.choice(("ACCEPT", "ACCEPT", "DROP")) for hook in FILTERS}
    return Rules(policies, found, _random_nat(draw, host))


def _random_nat(draw, host):
    nat = {"PREROUTING": [], "OUTPUT": [], "POSTROUTING": []}
    if draw.random() < (0.3 if host == "g" else 0.7):
        return nat
    targets = [at for legs in HOSTS.values() for at in legs.values()]
    for chain in ("PREROUTING", "OUTPUT"):
        for _number in range(draw.randrange(3)):
            match = _match(draw, host, chain, draw.choice((TCP, UDP)))
            kind = draw.choice(("DNAT", "DNAT", "DNAT", "REDIRECT", "ACCEPT")) if chain == "PREROUTING" else "DNAT"
            port = draw.choice((None, *PORTS[1:])) if kind == "DNAT" else draw.choice(PORTS[1:])
            nat[chain].append(Nat(match, kind, draw.choice(targets), port))
    for _number in range(draw.randrange(3) if host == "g" else 0):
        match = _match(draw, host, "POSTROUTING")
        kind = draw.choice(("SNAT", "MASQUERADE", "MASQUERADE", "ACCEPT"))
        nat["POSTROUTING"].append(Nat(match, kind, draw.choice((6, 14))))
    return nat


def _span(draw):
    size = draw.choice((1, 1, 2, 4, 8))
    first = draw.randrange(16) // size * size
    return first, first + size - 1


def _match(draw, host, chain, proto=None):
    """proto: the one that it has to name."""
    names = tuple(HOSTS[host])
    filters = chain in (*FILTERS, "one", "two")
    proto = draw.choice((0, 0, TCP, TCP, UDP, GRE)) if proto is None else proto
    ports = [None, None]
    if proto in (TCP, UDP):
        for side, often in ((0, 0.2), (1, 0.7)):
            if draw.random() < often:
                first = draw.choice(PORTS)
                ports[side] = (first, min(7, first + draw.choice((0, 0, 1, 3))))
    return Match(
        draw.choice(names) if chain in ("INPUT", "FORWARD", "PREROUTING") and draw.random() < 0.2 else "",
        draw.choice(names) if chain in ("OUTPUT", "FORWARD", "POSTROUTING") and draw.random() < 0.2 else "",
        proto,
        _span(draw) if draw.random() < 0.4 else None,
        draw.random() < 0.2,
        _span(draw) if draw.random() < 0.4 else None,
        draw.random() < 0.2,
        *ports,
        draw.choice((("NEW",), ("DNAT",), ("NEW", "DNAT"), ("ESTABLISHED",)))
        if filters and draw.random() < 0.2
        else (),
        chain == "PREROUTING" and draw.random() < 0.3,
    )


# -- one packet ------------------------------------------------------------------------------------------------------


class Hop(NamedTuple):
    """A host on the way. came: the packet as it came in or was sent; meant: behind PREROUTING or OUTPUT; left: behind
    POSTROUTING."""

    host: str
    came: Packet
    meant: Packet
    left: Packet
    iif: str
    oif: str


class Site:
    """rules: {host: Rules}"""

    def __init__(self, rules):
        self.rules = rules

    def delivered(self, packet):
        """Who gets a packet whose answer comes back to its sender, and what of it came there: (host, packet); else None."""
        way = self._there(packet)
        return (way[-1].host, way[-1].came) if way and self._back(way) else None

    def _there(self, packet):
        host, iif, way = OWNER[packet.src][0], "", []
        while True:
            came, chain = packet, "PREROUTING" if iif else "OUTPUT"
            packet = self._translated(host, chain, packet, iif, "" if iif else _out(host, packet.dst))
            moved = packet != came
            if packet.dst in HOSTS[host].values():
                if not iif:
                    return None  # to itself: no other host sees it
                way.append(Hop(host, came, packet, packet, iif, ""))
                return way if self._passes(host, "INPUT", packet, iif, "", _states("NEW", moved)) else None
            oif = _out(host, packet.dst)
            hook = "FORWARD" if iif else "OUTPUT"
            if (
                not oif
                or (iif and host != "g")
                or not self._passes(host, hook, packet, iif, oif, _states("NEW", moved))
            ):
                return None
            left = self._masqueraded(host, packet, iif, oif)
            way.append(Hop(host, came, packet, left, iif, oif))
            found = OWNER.get(_neighbour(host, left.dst))
            if found is None or len(way) > 4:
                return None
            host, iif, packet = *found, left

    def _back(self, way):
        """The answer, by the connections that the hosts on the way have noted; one that passes a host twice has two there."""
        hop, answer, iif = way[-1], way[-1].meant.back(), ""
        for _number in range(8):
            states = _states("ESTABLISHED", hop.came != hop.meant)
            if iif and hop is way[0]:
                return self._passes(hop.host, "INPUT", answer, iif, "", states)
            if not self._passes(
                hop.host, "FORWARD" if iif else "OUTPUT", answer, iif, _out(hop.host, answer.dst), states
            ):
                return False
            answer = hop.came.back()
            found = OWNER.get(_neighbour(hop.host, answer.dst))
            known = [one for one in way if found and one.host == found[0] and answer == one.left.back()]
            if not known:
                return False  # it belongs to no connection
            hop, iif = known[0], found[1]
            answer = hop.meant.back()  # to whom it is, in the place of the masquerading host
        return False

    # -- tables ------------------------------------------------------------------------------------------------------

    def _passes(self, host, hook, packet, iif, oif, states):
        rules = self.rules[host]
        return (self._chain(host, hook, packet, iif, oif, states) or rules.policies[hook]) == "ACCEPT"

    def _chain(self, host, name, packet, iif, oif, states):
        for rule in self.rules[host].filter[name]:
            if not rule.match.meets(host, packet, iif, oif, states):
                continue
            if rule.target in ("ACCEPT", "DROP"):
                return rule.target
            if rule.target == "RETURN":
                return None
            found = self._chain(host, rule.target, packet, iif, oif, states)
            if found or rule.goto:
                return found
        return None

    def _nat(self, host, chain, packet, iif, oif):
        for rule in self.rules[host].nat[chain]:
            if rule.match.meets(host, packet, iif, oif, {"NEW"}):  # the table is asked once of a connection
                return rule
        return None

    def _translated(self, host, chain, packet, iif, oif):
        rule = self._nat(host, chain, packet, iif, oif)
        if rule is None or rule.kind == "ACCEPT":
            return packet
        if rule.kind == "REDIRECT":
            return packet._replace(dst=HOSTS[host][iif], dport=rule.port)
        return packet._replace(dst=rule.to, dport=packet.dport if rule.port is None else rule.port)

    def _masqueraded(self, host, packet, iif, oif):
        rule = self._nat(host, "POSTROUTING", packet, iif, oif)
        if rule is None or rule.kind == "ACCEPT":
            return packet
        return packet._replace(src=HOSTS[host][oif] if rule.kind == "MASQUERADE" else rule.to)


def _states(state, moved):
    return {state, "DNAT"} if moved else {state}


def _out(host, dst):
    """The interface to an address; every host but the router sends all by its one."""
    return next(iter(HOSTS[host])) if host != "g" else "left" if dst in LEFT else "right"


def _neighbour(host, dst):
    """The address that a packet is handed to on the link."""
    near = LEFT if HOSTS[host].get("eth0", 0) in LEFT else RIGHT
    if host == "g" or dst in near:
        return dst
    return HOSTS["g"]["left" if near is LEFT else "right"]


def packets(senders=("s", "t", "r", "q")):
    """Every cell of the universe that a host can send, but what it would send to itself."""
    for host in senders:
        (src,) = HOSTS[host].values()
        for dst in range(16):
            if dst != src:
                yield Packet(GRE, src, dst, 0, 0)
                for proto, sport, dport in itertools.product((TCP, UDP), (1, 3, 6), PORTS):
                    yield Packet(proto, src, dst, sport, dport)
