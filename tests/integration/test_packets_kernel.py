# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The packet engine against the kernel: random rulesets in network namespaces of our own, and packets that are really sent.

    pk-out --- in0, in1 ---> pk-host --- out0, out1 ---> pk-in

What the host's INPUT lets in arrives at raw sockets on pk-host; what its FORWARD lets through arrives in pk-in. Frames are made here
and put on the wire as they are, so that any source address and any protocol can be sent. Every packet carries its number. Where the
rules are an engine's, out0 and out1 are its bridges: their containers send as well, and what goes out arrives in pk-out.

BULKHEAD_KERNEL_RULESETS: how many rulesets (default 10). BULKHEAD_KERNEL_SEED: the first of their seeds (default 1).
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import time

import pytest
from docker_rules import FORMS, PROTOCOLS, Docker
from namespaces import inside, run

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import difference
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    ICMP,
    IIF,
    OIF,
    PROTO,
    SRC,
    address_number,
    address_range,
    address_text,
    interface_name,
    interface_range,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import ALLOWED, DENIED, EVERY, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold, verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import lockout
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import Hooks, Rewrite, change_of, laid_over

RULESETS = int(os.environ.get("BULKHEAD_KERNEL_RULESETS", "10"))
SEED = int(os.environ.get("BULKHEAD_KERNEL_SEED", "1"))
PACKETS = 50
SOURCES = {4: "172.16.0.0/12", 6: "fd00:aaaa::/32"}
# Where packets go by destination: to the host itself, and on through out0 or out1.
HERE = {4: "10.1.0.0/16", 6: "fd00:1::/32"}
BEYOND = {4: ("10.2.0.0/16", "10.3.0.0/16"), 6: ("fd00:2::/32", "fd00:3::/32")}
# What containers ask outside, which in0 leads to.
OUTSIDE = {4: "10.4.0.0/16", 6: "fd00:4::/32"}
LINKS = ("in0", "in1", "out0", "out1")
OTHERS = (50, 47, 112)  # protocols without ports: ESP, GRE, VRRP
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Host:
    """The three namespaces and the sockets in them. A context manager: nothing of it stays."""

    names = ("pk-out", "pk-host", "pk-in")

    def __enter__(self):
        assert os.geteuid() == 0, "this test makes network namespaces and loads rules into them: it needs root"
        self.sockets = []
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for each in self.sockets:
            each.close()
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def build(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            run("ip", "netns", "add", name)
        links = []
        for number, (name, peer) in enumerate(
            (("in0", "pk-out"), ("in1", "pk-out"), ("out0", "pk-in"), ("out1", "pk-in"))
        ):
            links.append(
                "link add %s netns pk-host address 02:00:00:00:00:0%d type veth peer name %s netns %s"
                % (name, number, name, peer)
            )
        run("ip", "-batch", "-", input="\n".join(links) + "\n")
        # A router that answers nothing: no address of a sender is looked up, and no reply of its own makes a connection established.
        settings = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0", "net.ipv4.ip_forward=1"]
        settings += [
            "net.ipv6.conf.all.forwarding=1",
            "net.ipv6.conf.all.accept_ra=0",
            "net.ipv6.conf.all.accept_dad=0",
        ]
        settings += ["net.ipv4.conf.%s.rp_filter=0" % name for name in ("in0", "in1", "out0", "out1")]
        run("ip", "netns", "exec", "pk-host", "sysctl", "-qw", *settings)
        for peer in ("pk-out", "pk-in"):
            run("ip", "netns", "exec", peer, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            names = ("in0", "in1") if peer == "pk-out" else ("out0", "out1")
            run("ip", "-n", peer, "-batch", "-", input="".join("link set %s up\n" % name for name in names))
        lines = ["link set lo up"]
        for number, name in enumerate(("in0", "in1", "out0", "out1")):
            lines += ["link set %s up" % name, "address add 192.168.%d.1/24 dev %s" % (number, name)]
            lines += ["address add fd00:99:%d::1/64 dev %s nodad" % (number, name)]
        for family in (4, 6):
            lines.append("-%d route add local %s dev lo" % (family, HERE[family]))
            via = "192.168.0.2" if family == 4 else "fd00:99::2"
            lines.append("neigh replace %s lladdr 02:00:00:00:01:00 dev in0 nud permanent" % via)
            lines.append("-%d route add %s via %s dev in0" % (family, OUTSIDE[family], via))
            for number, network in enumerate(BEYOND[family]):
                via = "192.168.%d.2" % (number + 2) if family == 4 else "fd00:99:%d::2" % (number + 2)
                lines.append("neigh replace %s lladdr 02:00:00:00:01:00 dev out%d nud permanent" % (via, number))
                lines.append("-%d route add %s via %s dev out%d" % (family, network, via, number))
        for line in lines:
            words = line.split()
            options, words = ([words[0]], words[1:]) if words[0][0] == "-" else ([], words)
            run("ip", "-n", "pk-host", *options, *words)
        mute = "table inet mute {\n chain out { type filter hook output priority -500; policy drop; }\n}\n"
        run("ip", "netns", "exec", "pk-host", "nft", "-f", "-", input=mute)
        peers = {name: "pk-out" if name.startswith("in") else "pk-in" for name in LINKS}
        self.senders = {name: self.keep(inside(peer, lambda name=name: frames(name))) for name, peer in peers.items()}
        self.taps = [self.keep(inside("pk-host", lambda name=name: frames(name))) for name in LINKS]
        self.beyond = {self.senders[name]: name for name in LINKS}
        self.here = {}
        for family in (4, 6):
            for proto in (6, 17, ICMP[family]) + OTHERS:
                opened = inside(
                    "pk-host",
                    lambda family=family, proto=proto: socket.socket(FAMILIES[family], socket.SOCK_RAW, proto),
                )
                opened.setblocking(False)
                self.here[self.keep(opened)] = (family, proto)

    def keep(self, opened):
        self.sockets.append(opened)
        return opened

    def load(self, family, text):
        """Load a ruleset and read it back: the text as the kernel has it."""
        command = "iptables" if family == 4 else "ip6tables"
        run("ip", "netns", "exec", "pk-host", command + "-restore", input=text)
        return run("ip", "netns", "exec", "pk-host", command + "-save")

    def pass_through(self, family, packets):
        """Send packets; the numbers of those that came through the filter."""
        self.drain()
        numbers = dict(enumerate(packets, 1))
        for number, one in numbers.items():
            self.senders[interface_name(one.iif)].send(frame(family, one, number))
        self.arrived(len(packets))
        return {number - 1 for number in self.drain() if number in numbers}

    def arrived(self, count):
        """Wait until the host has seen this many frames of ours: what it then does with one, it does before it takes the next."""
        deadline = time.monotonic() + 5
        while count > 0:
            ready = select.select(self.taps, [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, "%d packets did not arrive at the host" % count
            for tap in ready:
                count -= sum(
                    1
                    for data, address in everything(tap)
                    if address[2] != socket.PACKET_OUTGOING and data[6:12] == b"\x02" + b"\1" * 5
                )
        time.sleep(0.004)

    def passed_on(self, family, packets):
        """Send packets; {the number of each that came through: (where, source, destination, destination port)}. where: the link
        that it left by, "" for the host itself. Destinations have ports."""
        self.drain()
        for number, one in enumerate(packets, 1):
            self.senders[interface_name(one.iif)].send(frame(family, one, number))
        self.arrived(len(packets))
        found = {}
        for opened, (of, proto) in self.here.items():
            for data, _address in everything(opened):
                body = data[(data[0] & 15) * 4 :] if of == 4 else data
                if of == family and proto in (6, 17):
                    found[number_in(body, proto) - 1] = ("", *([None] * 2), struct.unpack("!H", body[2:4])[0])
        for opened, name in self.beyond.items():
            for data, address in everything(opened):
                kind = struct.unpack("!H", data[12:14])[0]
                if address[2] != socket.PACKET_OUTGOING and kind == (0x0800 if family == 4 else 0x86DD):
                    at, size, head = (26, 4, 34) if family == 4 else (22, 16, 54)
                    ends = [int.from_bytes(data[start : start + size], "big") for start in (at, at + size)]
                    number = number_in(data[head:], data[23] if family == 4 else data[20]) - 1
                    found[number] = (name, *ends, struct.unpack("!H", data[head + 2 : head + 4])[0])
        return found

    def drain(self):
        found = []
        for tap in self.taps:
            list(everything(tap))
        for opened, (family, proto) in self.here.items():
            for data, _address in everything(opened):
                found.append(number_in(data[(data[0] & 15) * 4 :] if family == 4 else data, proto))
        for opened in self.beyond:
            for data, address in everything(opened):
                kind = struct.unpack("!H", data[12:14])[0]
                if address[2] != socket.PACKET_OUTGOING and kind in (0x0800, 0x86DD):
                    body = data[34:] if kind == 0x0800 else data[54:]
                    found.append(number_in(body, data[23] if kind == 0x0800 else data[20]))
        return found


def frames(name):
    """A socket that sends and receives whole frames on one interface."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind((name, 0))
    opened.setblocking(False)
    return opened


def everything(opened):
    while True:
        try:
            yield opened.recvfrom(65535)
        except BlockingIOError:
            return


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 65535) + (total >> 16)
    return ~total & 65535


def frame(family, one, number):
    """The packet as a frame to its interface, its number in it; checksums are right, or connection tracking calls it INVALID."""
    size = 4 if family == 4 else 16
    source, destination = one.src.to_bytes(size, "big"), one.dst.to_bytes(size, "big")
    body = payload(
        family,
        one,
        number,
        lambda body: checksum(source + destination + struct.pack("!II", len(body), one.proto) + body),
    )
    if family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, 64, one.proto, 0) + source + destination
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    else:
        head = struct.pack("!IHBB", 6 << 28, len(body), one.proto, 64) + source + destination
    last = LINKS.index(interface_name(one.iif))
    ethernet = (
        b"\x02\0\0\0\0" + bytes([last]) + b"\x02" + b"\1" * 5 + struct.pack("!H", 0x0800 if family == 4 else 0x86DD)
    )
    return ethernet + head + body


def payload(family, one, number, summed):
    mark = struct.pack("!I", number)
    if one.proto == 6:
        body = struct.pack("!HHIIBBHHH", one.sport, one.dport, number, 0, 0x50, 2, 1024, 0, 0)
        return body[:16] + struct.pack("!H", summed(body)) + body[18:]
    if one.proto == 17:
        body = struct.pack("!HHHH", one.sport, one.dport, 12, 0) + mark
        return body[:6] + struct.pack("!H", summed(body) or 65535) + body[8:]
    if one.proto == ICMP[family]:
        body = struct.pack("!BBHI", one.dport >> 8, one.dport & 255, 0, number) + b"\0" * 12
        return body[:2] + struct.pack("!H", checksum(body) if family == 4 else summed(body)) + body[4:]
    if one.proto == 47:
        return struct.pack("!HH", 0, 0x0800) + mark
    return mark + mark + mark


def number_in(body, proto):
    at = {6: 4, 17: 8, 1: 4, 58: 4, 47: 4}.get(proto, 0)
    return struct.unpack("!I", body[at : at + 4])[0]


class Rules:
    """Random rules about few enough addresses and ports that they overlap, and packets at their edges."""

    def __init__(self, rng, family, hook):
        self.rng, self.family, self.hook = rng, family, hook
        self.ports, self.sources, self.targets = [0, 65535], [], []
        self.pool = [HERE[family]] if hook == "INPUT" else list(BEYOND[family])

    def network(self, pool, seen):
        bits = 32 if self.family == 4 else 128
        low, high = address_range(pool, self.family)
        whole = bits - (high - low).bit_length()
        size = self.rng.choice((whole, whole + 1, whole + 4, whole + 8, bits - 1, bits))
        start = self.rng.choice([value for value in seen if low <= value <= high] or [low])
        if self.rng.random() < 0.5:
            start = self.rng.randint(low, high)
        start = start >> bits - size << bits - size
        seen += [start, start + (1 << bits - size) - 1]
        return "%s/%d" % (address_text(start, self.family), size)

    def port(self):
        low = self.rng.choice(
            (self.rng.randint(1, 65535), self.rng.choice((22, 80, 443, 8000)), self.rng.choice(self.ports))
        )
        high = min(65535, low + self.rng.choice((0, 0, 1, 10, 5000)))
        self.ports += [low, high]
        return low, high

    def no(self):
        return ["!"] if self.rng.random() < 0.15 else []

    def rule(self, chain, targets):
        rng, words = self.rng, ["-A", chain]
        if rng.random() < 0.5:
            words += self.no() + ["-s", self.network(SOURCES[self.family], self.sources)]
        if rng.random() < 0.4:
            words += self.no() + ["-d", self.network(rng.choice(self.pool), self.targets)]
        if rng.random() < 0.25:
            words += self.no() + ["-i", rng.choice(("in0", "in1", "in+", "eth0"))]
        if self.hook == "FORWARD" and rng.random() < 0.25:
            words += self.no() + ["-o", rng.choice(("out0", "out1", "out+", "out00"))]
        words += self.service() if rng.random() < 0.7 else []
        if rng.random() < 0.1:
            states = rng.choice(
                ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,INVALID", "DNAT", "NEW,SNAT")
            )
            words += ["-m", "conntrack"] + self.no() + ["--ctstate", states]
        if rng.random() < 0.05:
            words += ["-m", "comment", "--comment", '"a \\"word\\" -j ACCEPT"']
        if rng.random() < 0.05:
            words += ["-m", "addrtype"] + self.no() + ["--dst-type", rng.choice(("LOCAL", "MULTICAST"))]
        target = rng.choice(targets)
        return " ".join(words + (["-g", target[1:]] if target[0] == ">" else ["-j", target]))

    def service(self):
        rng = self.rng
        kind = rng.choice(("port", "port", "port", "list", "either", "icmp", "other", "flags", "first"))
        name = rng.choice(("tcp", "udp"))
        if kind == "port":
            low, high = self.port()
            ports = "%d:%d" % (low, high) if high > low else "%d" % low
            return ["-p", name, "-m", name] + self.no() + [rng.choice(("--dport", "--dport", "--sport")), ports]
        if kind in ("list", "either"):
            ports = [
                "%d:%d" % pair if pair[1] > pair[0] else "%d" % pair[0]
                for pair in (self.port(), self.port(), self.port())
            ]
            which = "--ports" if kind == "either" else rng.choice(("--dports", "--sports"))
            return ["-p", name, "-m", "multiport"] + self.no() + [which, ",".join(ports)]
        if kind == "icmp":
            own = ["icmp", "-m", "icmp"] if self.family == 4 else ["ipv6-icmp", "-m", "icmp6"]
            echo = 8 if self.family == 4 else 128
            kind = rng.choice((str(echo), "%d/%d" % (echo, rng.randint(0, 3)), "3"))
            return ["-p"] + own + self.no() + ["--icmp-type" if self.family == 4 else "--icmpv6-type", kind]
        if kind == "other":
            return self.no() + ["-p", rng.choice(("tcp", "udp", "50", "47", "112"))]
        if kind == "flags":
            return (
                ["-p", "tcp", "-m", "tcp"]
                + self.no()
                + rng.choice((["--tcp-flags", "FIN,SYN,RST,ACK", "SYN"], ["--tcp-flags", "ACK", "ACK"]))
            )
        low, high = self.port()
        return ["-p", name, "-m", "conntrack", "--ctorigdstport", "%d:%d" % (low, high) if high > low else "%d" % low]

    def text(self):
        names = ["one", "two", "three"]
        lines = ["*filter", ":%s %s [0:0]" % (self.hook, self.rng.choice(("ACCEPT", "DROP")))] + [
            ":%s - [0:0]" % name for name in names
        ]
        for depth, chain in enumerate([self.hook] + names):
            targets = ["ACCEPT", "ACCEPT", "DROP", "REJECT", "RETURN", "ACCEPT", "DROP"]
            targets += names[depth:] * 2 + [">" + name for name in names[depth:]]
            lines += [self.rule(chain, targets) for dummy in range(self.rng.randint(3, 12))]
        return "\n".join(lines + ["COMMIT", ""])

    def packets(self, count):
        rng = self.rng
        out = []
        for dummy in range(count):
            pool = rng.randrange(len(self.pool))
            proto = rng.choice((6, 6, 6, 17, 17, ICMP[self.family]) + OTHERS)
            port = self.near(self.ports, 0, 65535) if proto in (6, 17) else 0
            if proto == ICMP[self.family]:
                # only requests open a connection
                port = (8 if self.family == 4 else 128) * 256 + rng.choice((0, 0, 1, 2, 3))
            source = self.near(self.sources, *address_range(SOURCES[self.family], self.family))
            target = self.near(self.targets, *address_range(self.pool[pool], self.family))
            inward = interface_range(rng.choice(("in0", "in1")))[0]
            outward = interface_range("out%d" % pool)[0] if self.hook == "FORWARD" else 0
            sport = self.near(self.ports, 0, 65535) if proto in (6, 17) else 0
            out.append(Packet(inward, outward, proto, source, target, sport, port, target, port))
        return out

    def near(self, edges, low, high):
        edges = [edge for edge in edges if low <= edge <= high]
        if edges and self.rng.random() < 0.8:
            return min(high, max(low, self.rng.choice(edges) + self.rng.choice((-1, 0, 0, 1))))
        return self.rng.randint(low, high)

    def questions(self):
        """What can be sent here, as questions: one, or one for each interface that packets leave by."""
        names = merged(interface_range(name) for name in ("in0", "in1"))
        echo = 8 if self.family == 4 else 128
        common = ((IIF, names), (SRC, (address_range(SOURCES[self.family], self.family),)))
        for number, pool in enumerate(self.pool):
            place = common + ((DST, (address_range(pool, self.family),)),)
            if self.hook == "FORWARD":
                place += ((OIF, (interface_range("out%d" % number),)),)
            for protos, ports in (((6, 17) + OTHERS, None), ((ICMP[self.family],), ((echo * 256, echo * 256 + 3),))):
                within = place + ((PROTO, merged((proto, proto) for proto in protos)),)
                yield Question(self.hook, addresses=EVERY, within=within + (((DPORT, ports),) if ports else ()))


@pytest.fixture(scope="module")
def host():
    with Host() as made:
        yield made


def compare(host, family, pairs, text):
    """pairs: [(packet, the answer that the engine gives)]. Nothing but a whole agreement with the kernel passes."""
    assert {answer for _one, answer in pairs} <= {ALLOWED, DENIED}, "every match of these rules is modelled"
    through = host.pass_through(family, [one for one, _answer in pairs])
    wrong = [(one, answer) for number, (one, answer) in enumerate(pairs) if (number in through) != (answer == ALLOWED)]
    assert not wrong, "the engine says of %s: %s; the kernel does not\n%s" % (
        wrong[0][0].text(family),
        wrong[0][1],
        text,
    )


@pytest.mark.parametrize("hook", ["INPUT", "FORWARD"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_agrees_with_every_verdict_and_every_witness(host, family, hook):
    old = None
    sent = opened = closed = allowed = verdicts = 0
    slowest = 0.0
    for seed in range(SEED, SEED + RULESETS):
        rules = Rules(random.Random("%s %s %s" % (seed, family, hook)), family, hook)
        saved = host.load(family, rules.text())
        ruleset = parse(saved, family)
        program = unfold(ruleset, Question(hook, addresses=EVERY))
        start = time.perf_counter()
        pairs = [(one, program.decide(one).answer) for one in rules.packets(PACKETS)]
        compare(host, family, pairs, saved)
        slowest = max(slowest, time.perf_counter() - start)
        sent += len(pairs)
        verdicts += len(pairs)
        allowed += sum(answer == ALLOWED for _one, answer in pairs)
        if old is not None:
            changes = [difference(old[0], ruleset, question) for question in rules.questions()]
            assert not any(change.unclear for change in changes)
            found = [change for each in changes for change in each.opened + each.closed]
            opened += sum(len(each.opened) for each in changes)
            closed += sum(len(each.closed) for each in changes)
            for side, text in (("after", saved), ("before", old[1])):
                if side == "before":
                    host.load(family, text)
                witnesses = [(change.witness, getattr(change, side).answer) for change in found]
                for at in range(0, len(witnesses), 200):
                    compare(host, family, witnesses[at : at + 200], text)
                verdicts += len(witnesses)
        old = (ruleset, saved)
    print("\nIPv%d %s: %d rulesets, %d packets (%d allowed), %d opened, %d closed; %d verdicts, all as the kernel's; slowest %.3f s" % (
        family, hook, RULESETS, sent, allowed, opened, closed, verdicts, slowest))  # fmt: skip
    assert 0.1 < allowed / sent < 0.9, "packets of one answer only prove little"
    assert opened and closed
    # Seconds, with all packets of a ruleset really sent, on a machine that does other things as well.
    assert slowest < 10


def locking(rng, one, family):
    """A rule that stops a TCP packet, in one of many ways: exactly, or by something wider that holds it."""
    words, source, target = [], address_text(one.src, family), address_text(one.dst, family)
    whole = 32 if family == 4 else 128
    if rng.random() < 0.5:
        words += ["-i", rng.choice((interface_name(one.iif), "in+"))]
    if rng.random() < 0.5:
        words += ["-s", "%s/%d" % (source, rng.choice((whole, whole - 1, whole - 8, whole // 2, 1)))]
    elif rng.random() < 0.3:
        words += ["!", "-s", "203.0.113.0/24" if family == 4 else "2001:db8::/32"]
    if rng.random() < 0.3:
        words += ["-d", "%s/%d" % (target, rng.choice((whole, whole - 4, whole // 2)))]
    low, high = max(0, one.dport - rng.randint(0, 9)), min(65535, one.dport + rng.randint(0, 9))
    ports = rng.choice(
        ("", "--dport %d" % one.dport, "--dport %d:%d" % (low, high), "--sport %d" % one.sport, "list", "not")
    )
    if ports == "list":
        words += ["-p", "tcp", "-m", "multiport", "--dports", "%d,%d:%d" % ((low + 30000) % 65536, low, high)]
    elif ports == "not":
        words += ["-p", "tcp", "-m", "tcp", "!", "--dport", "%d" % ((one.dport + 1) % 65536)]
    elif ports:
        words += ["-p", "tcp", "-m", "tcp", *ports.split()]
    if rng.random() < 0.2:
        words += ["-m", "conntrack", "--ctstate", rng.choice(("NEW", "NEW,RELATED"))]
    return " ".join(words + ["-j", rng.choice(("DROP", "REJECT", "trap"))])


@pytest.mark.parametrize("family", [4, 6])
def test_every_injected_rule_that_locks_out_is_seen_by_the_static_check_and_does_lock_out(host, family):
    injected = 0
    for seed in range(SEED, SEED + RULESETS):
        rng = random.Random("lock-out %s %s" % (seed, family))
        rules = Rules(rng, family, "INPUT")
        text = rules.text().replace(":one - ", ":trap - [0:0]\n:one - ").replace("COMMIT", "-A trap -j DROP\nCOMMIT")
        saved = host.load(family, text)
        through = []
        for one in rules.packets(PACKETS):
            ends = (address_text(one.src, family), one.sport, address_text(one.dst, family), one.dport)
            session = lockout.Session(family, *ends, interface_name(one.iif))
            if one.proto == 6 and not lockout.prove(session, saved, [], []).refused:
                through.append((one, session))
        through = through[:4]
        assert len(host.pass_through(family, [one for one, _session in through])) == len(through), saved
        for one, session in through:
            line = "-A INPUT " + locking(rng, one, family)
            after = host.load(family, text.replace("-A INPUT ", line + "\n-A INPUT ", 1))
            assert host.pass_through(family, [one]) == set(), line
            refused = lockout.prove(session, after, [], []).refused
            assert "would be stopped by `-A " + ("trap" if line.endswith("trap") else "INPUT") in refused, (
                line,
                refused,
            )
            injected += 1
    print("\nIPv%d: %d rules that lock out, injected into %d rulesets, each seen, and each as the kernel has it" % (
        family, injected, RULESETS))  # fmt: skip
    assert injected >= RULESETS // 2


def test_the_kernel_agrees_about_the_types_of_addresses(host):
    """ufw-not-local, with the host's own addresses: its own, its networks' broadcast addresses, multicast."""
    text = (
        "*filter\n:INPUT DROP [0:0]\n:local - [0:0]\n-A INPUT -m addrtype --dst-type LOCAL -j local\n"
        "-A INPUT -i in0 -m addrtype --dst-type BROADCAST -j ACCEPT\n-A INPUT -i in1 -m addrtype --dst-type MULTICAST -j ACCEPT\n"
        "-A INPUT -m addrtype ! --dst-type LOCAL,MULTICAST -p udp -m udp --dport 7 -j ACCEPT\n"
        "-A local -p udp -m udp --dport 9 -j ACCEPT\nCOMMIT\n"
    )
    saved = host.load(4, text)
    own = tuple("192.168.%d.1/24" % number for number in range(4))
    question = Question("INPUT", addresses=own)
    pairs = []
    for destination in ("192.168.0.1", "192.168.1.255", "192.168.0.255", "224.0.0.1", "255.255.255.255"):
        for port in (7, 9):
            for name in ("in0", "in1"):
                at = address_range(destination, 4)[0]
                one = Packet(
                    interface_range(name)[0], 0, 17, address_range("172.16.0.9", 4)[0], at, 4000, port, at, port
                )
                pairs.append((one, verdict(parse(saved, 4), one, question).answer))
    compare(host, 4, pairs, saved)
    assert {answer for _one, answer in pairs} == {ALLOWED, DENIED}


def test_the_kernel_takes_ah_in_ipv6_for_the_protocol(host):
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p udp -j ACCEPT\n-A INPUT -p ah -j ACCEPT\nCOMMIT\n"
    saved = host.load(6, text)
    source, target = (address_range(text, 6)[0] for text in ("fd00:aaaa::1", "fd00:1::1"))
    one = Packet(interface_range("in0")[0], 0, 51, source, target, 0, 0, target, 0)
    found = verdict(parse(saved, 6), one, Question("INPUT", addresses=EVERY))
    assert (found.answer, found.rule.number) == (ALLOWED, 2)
    # AH (RFC 4302), and UDP behind it
    whole = frame(6, one._replace(proto=17, dport=9), 7)
    header = struct.pack("!BBHIII", 17, 2, 0, 1, 1, 0)
    length = struct.unpack("!H", whole[18:20])[0] + len(header)
    host.drain()
    host.senders["in0"].send(whole[:18] + struct.pack("!HB", length, 51) + whole[21:54] + header + whole[54:])
    host.arrived(1)
    counted = run("ip", "netns", "exec", "pk-host", "ip6tables-save", "-c")
    assert "[0:0] -A INPUT -p udp -j ACCEPT" in counted
    assert "[1:" in next(line for line in counted.splitlines() if "-p ah" in line)


def test_a_wrong_engine_would_be_noticed(host):
    """The comparison itself: one verdict turned round among fifty fails it."""
    rules = Rules(random.Random("noticed"), 4, "INPUT")
    saved = host.load(4, rules.text())
    program = unfold(parse(saved, 4), Question("INPUT", addresses=EVERY))
    pairs = [(one, program.decide(one).answer) for one in rules.packets(PACKETS)]
    compare(host, 4, pairs, saved)
    one, answer = pairs[17]
    pairs[17] = (one, DENIED if answer == ALLOWED else ALLOWED)
    with pytest.raises(AssertionError, match="the kernel does not"):
        compare(host, 4, pairs, saved)


# -- odd shapes ------------------------------------------------------------------------------------------------------


def one_packet(family, proto, port, source=None, inside="in0"):
    """A packet to the host itself."""
    src, dst = (address_range(text, family)[0] for text in (source or SENDER[family], RECEIVER[family]))
    dst += next(_NUMBERS)  # a connection of its own
    sport = 4000 if proto in (6, 17) else 0
    return Packet(interface_range(inside)[0], 0, proto, src, dst, sport, port, dst, port)


_NUMBERS = itertools.count()
SENDER = {4: "172.16.0.9", 6: "fd00:aaaa::9"}
RECEIVER = {4: "10.1.0.5", 6: "fd00:1::5"}


def agree(host, family, text, packets, hook="INPUT"):
    """The kernel and the engine about each packet, of the text as it was written and as the kernel prints it; returns how many
    answers were certain. What is unknown to the engine is never wrong."""
    saved = host.load(family, text)
    through = host.pass_through(family, packets)
    known = 0
    for source in (text, saved):
        program = unfold(parse(source, family), Question(hook, addresses=EVERY))
        for number, one in enumerate(packets):
            found = program.decide(one)
            if found.answer in (ALLOWED, DENIED):
                known += 1
                assert (number in through) == (found.answer == ALLOWED), (
                    f"the engine says of {one.text(family)}: {found.answer} by {found.rule}; the kernel does not\n{source}"
                )
    return known


#: Texts for iptables-restore; what a line of INPUT accepts or drops is asked by TCP 22, 80 and 443, UDP 9, and an echo request.
ODD = {
    "a chain named LOG": ":INPUT ACCEPT [0:0]\n:LOG - [0:0]\n-A INPUT -j LOG\n-A LOG -p tcp --dport 22 -j DROP",
    "a chain named MARK": ":INPUT DROP [0:0]\n:MARK - [0:0]\n-A INPUT -g MARK\n-A MARK -p tcp --dport 22 -j ACCEPT",
    "a chain named SNAT": ":INPUT DROP [0:0]\n:SNAT - [0:0]\n-A INPUT -p tcp -j SNAT\n-A SNAT -j ACCEPT",
    "a chain named REJECT": ":INPUT DROP [0:0]\n:REJECT - [0:0]\n-A INPUT -p tcp -j REJECT\n-A REJECT -j ACCEPT",
    "a name that is an option": ':INPUT DROP [0:0]\n-A INPUT -m recent ! --rcheck --name "-i" --rsource -p tcp -j ACCEPT',
    "a name that is a jump": ":INPUT ACCEPT [0:0]\n-A INPUT -m recent ! --rcheck --name -j --rsource -p udp -j DROP",
    "a name that ends the rule": ':INPUT DROP [0:0]\n-A INPUT -m recent ! --rcheck --name "x -j ACCEPT" -p tcp --dport 22 -j DROP\n-A INPUT -p tcp -j ACCEPT',
    "a name with an option": ':INPUT DROP [0:0]\n-A INPUT -m recent ! --rcheck --name "x -p udp" --rsource -j ACCEPT',
    "a name with a source": ':INPUT DROP [0:0]\n-A INPUT -p tcp -m recent --set --name "x -s 192.0.2.1" --rsource -j ACCEPT',
    "a name with a module": ':INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m recent ! --rcheck --name "x -m tcp --dport 9" --rsource -j DROP',
    "another name with a module": ":INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m hashlimit --hashlimit-upto 1000/sec --hashlimit-mode srcip "
    '--hashlimit-name "x -m tcp --dport 9" -j DROP',
    "both ports denied": ":INPUT DROP [0:0]\n-A INPUT -p tcp ! --sport 4000 ! --dport 22 -j ACCEPT\n-A INPUT -p udp ! --sport 9 ! --dport 9 -j ACCEPT",
    "both ports given": ":INPUT DROP [0:0]\n-A INPUT -p tcp --sport 4000 --dport 22 -j ACCEPT\n-A INPUT -p udp --sport 4000 ! --dport 8 -j ACCEPT",
    "a chain named NFQUEUE": ":INPUT ACCEPT [0:0]\n:NFQUEUE - [0:0]\n-A INPUT -g NFQUEUE\n-A NFQUEUE -p tcp --dport 22 -j DROP",
    "a chain named NOTRACK": ":INPUT ACCEPT [0:0]\nCOMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n:NOTRACK - [0:0]\n-A PREROUTING -j NOTRACK\n"
    "-A NOTRACK -p tcp --dport 22 -j DROP",
    "a separator in a comment": ':INPUT DROP [0:0]\n-A INPUT -m comment --comment "a\u2028-A INPUT -j DROP\x0b\x1c" -p tcp --dport 22 -j ACCEPT',
    "a jump in a comment": ':INPUT DROP [0:0]\n-A INPUT -m comment --comment "was -j LOG \\"and\\" ! -s 1.2.3.4" -p tcp -j ACCEPT',
    "no type": ":INPUT DROP [0:0]\n-A INPUT -p icmp -m icmp ! --icmp-type any -j ACCEPT\n-A INPUT -p tcp -j ACCEPT",
    "every type": ":INPUT DROP [0:0]\n-A INPUT -p icmp -m icmp --icmp-type any -j ACCEPT",
    "another interface's type": ":INPUT DROP [0:0]\n-A INPUT -m addrtype ! --dst-type LOCAL --limit-iface-in -j ACCEPT",
    "matches behind the jump": ":INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport -j ACCEPT --dports 22,80",
    "a source behind the jump": ":INPUT DROP [0:0]\n-A INPUT -j ACCEPT -s 172.16.0.0/30",
    "octal ports": ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 026 -j ACCEPT\n-A INPUT -p tcp -m multiport --dports 0x50,0673 -j ACCEPT",
    "decimal ports": ":INPUT DROP [0:0]\n-A INPUT -p udp --dport 09 -j ACCEPT\n-A INPUT -p tcp -j ACCEPT",
    "a list of sources": ":INPUT DROP [0:0]\n-A INPUT -s 172.16.0.9,172.16.0.10 -p tcp -j ACCEPT",
    "abbreviated": ":INPUT DROP [0:0]\n-A INPUT --proto tcp --destination-p 22 --jump ACCEPT",
    "glued": ":INPUT ACCEPT [0:0]\n-A INPUT -iin0 -j DROP\n-A INPUT -p tcp --dport=22 -j DROP",
    "names": ":INPUT DROP [0:0]\n-A INPUT -p TCP --dport 22 -m conntrack --ctstate new -j ACCEPT\n-A INPUT -p icmp --icmp-type Echo-Request -j ACCEPT",
    "no verdict": ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j MARK --set-mark 1\n-A INPUT -p tcp -j ACCEPT",
    "policy of mangle behind RETURN": (
        ":INPUT ACCEPT [0:0]\nCOMMIT\n*mangle\n"
        ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j RETURN\n-A INPUT -p tcp -j ACCEPT"
    ),
    "drop in raw": ":INPUT ACCEPT [0:0]\nCOMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j DROP",
    "drop in mangle": ":INPUT ACCEPT [0:0]\nCOMMIT\n*mangle\n:PREROUTING ACCEPT [0:0]\n:x - [0:0]\n-A PREROUTING -j x\n-A x -p udp -j DROP",
    "drop in security": ":INPUT ACCEPT [0:0]\nCOMMIT\n*security\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j DROP",
    "drop where it does not pass": ":INPUT ACCEPT [0:0]\nCOMMIT\n*mangle\n:FORWARD DROP [0:0]\n:POSTROUTING DROP [0:0]\n-A POSTROUTING -j DROP",
    "policy of nat": (
        ":INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
        "*nat\n:PREROUTING DROP [0:0]\n-A PREROUTING -p tcp --dport 22 -j ACCEPT"
    ),
    "policy of nat without connections": ":INPUT ACCEPT [0:0]\n-A INPUT -p udp -j DROP\nCOMMIT\n*nat\n:PREROUTING DROP [0:0]",
    "not tracked": (
        ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n"
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j NOTRACK"
    ),
    "not tracked by CT": (
        ":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT\nCOMMIT\n"
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j CT --notrack"
    ),
    "deep": ":INPUT DROP [0:0]\n" + "".join(f":c{n} - [0:0]\n" for n in range(14)) + "-A INPUT -j c0\n"
    + "".join(f"-A c{n} -j c{n + 1}\n" for n in range(13)) + "-A c13 -p tcp --dport 22 -j ACCEPT",
    "a chain named ACCEPT": ":INPUT DROP [0:0]\n:ACCEPT - [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A ACCEPT -j DROP",
    "the old order": ":INPUT DROP [0:0]\n-A INPUT -i ! eth0 -p tcp --dport ! 80 -j ACCEPT",
}  # fmt: skip
#: What this release of iptables does not load; the engine's reading of it is tested without the kernel.
NOT_LOADED = {"the old order", "a chain named ACCEPT", "policy of nat"}
#: Of which nothing may be certain.
UNKNOWN = {"a name that ends the rule", "another interface's type", "a name that is an option", "a name with an option"}


@pytest.mark.parametrize("name", ODD)
def test_the_kernel_agrees_about_odd_rules(host, name):
    text = "*filter\n" + ODD[name] + "\nCOMMIT\n"
    packets = [one_packet(4, 6, port) for port in (22, 80, 443)] + [one_packet(4, 17, 9), one_packet(4, 1, 2048)]
    packets += [one_packet(4, 6, 22, "172.16.0.1"), one_packet(4, 6, 22, inside="in1")]
    try:
        known = agree(host, 4, text, packets)
    except AssertionError as error:
        if name in NOT_LOADED and "iptables-restore" in str(error):
            return
        raise
    finally:
        host.load(4, CLEAN)
    print(f"\n{name}: {known} of {2 * len(packets)} certain")
    assert known or name in UNKNOWN


CLEAN = "".join(f"*{name}\nCOMMIT\n" for name in ("filter", "nat", "mangle", "raw", "security"))


@pytest.mark.parametrize("state", ["NEW", "UNTRACKED", "INVALID"])
@pytest.mark.parametrize("no", ["", "! "])
def test_the_kernel_agrees_about_the_state_of_neighbour_discovery(host, state, no):
    text = f"*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack {no}--ctstate {state} -j ACCEPT\nCOMMIT\n"
    kinds = [128, 130, 131, 132, 133, 134, 135, 136, 137, 143]
    packets = [one_packet(6, 58, kind * 256) for kind in kinds] + [one_packet(6, 6, 22)]
    assert agree(host, 6, text, packets) == 2 * (len(packets) - (state != "NEW")), "a redirect is one or the other"


@pytest.mark.parametrize(
    "words",
    [
        "--ctorigsrc fd00:aaaa::/32", "! --ctorigsrc fd00:bbbb::/32", "--ctorigdst fd00:1::/32", "--ctproto ipv6-icmp",
        "! --ctproto tcp", "--ctdir ORIGINAL", "--ctstate UNTRACKED --ctproto tcp",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["ACCEPT", "DROP"])
def test_the_kernel_agrees_about_connections_of_what_belongs_to_none(host, words, target):
    policy = "DROP" if target == "ACCEPT" else "ACCEPT"
    text = f"*filter\n:INPUT {policy} [0:0]\n-A INPUT -m conntrack {words} -j {target}\nCOMMIT\n"
    packets = [one_packet(6, 58, kind * 256) for kind in (128, 133, 135, 136, 143)] + [
        one_packet(6, 6, 22),
        one_packet(6, 17, 9),
    ]
    assert agree(host, 6, text, packets) >= 2


def test_what_a_chain_of_nfts_own_in_a_table_of_iptables_may_stop_is_never_allowed(host):
    enter = ["ip", "netns", "exec", "pk-host"]
    host.load(4, "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n")
    run(*enter, "nft", "add", "chain", "ip", "filter", "own", "{ type filter hook input priority -5; policy drop; }")
    try:
        saved = run(*enter, "iptables-save")
        one = one_packet(4, 6, 22)
        assert host.pass_through(4, [one]) == set()
        found = verdict(parse(saved, 4), one, Question("INPUT", addresses=EVERY))
        assert found.answer not in (ALLOWED, DENIED) and "incompatible" in found.conditions[0].text
    finally:
        run(*enter, "nft", "delete", "chain", "ip", "filter", "own")
        host.load(4, CLEAN)


def at_once(diagram, values):
    """What a diagram says of one packet; None for no rules: nothing changes it."""
    if diagram is None:
        return Rewrite(None)
    ((found, _product),) = laid_over(diagram, [((value, value),) for value in values])
    return found


def engines_way(ruleset, family, one, hosts):
    """What the packet engine says of a packet under a Docker engine's rules: where it arrives and as what; None: nowhere."""
    texts = tuple(f"{address}/{32 if family == 4 else 128}" for address in hosts)
    hooks, now = Hooks(), one
    rewrite = at_once(hooks.nat(ruleset, "PREROUTING", texts, False), one)
    assert not rewrite.doubt
    if rewrite.rule:
        change = change_of(rewrite.rule, family, "")
        now = one._replace(dst=change.dst, dport=change.dport)
    moved = now != one
    here = now.dst in [address_number(address, family) for address in hosts]
    ways = {"out0": BEYOND[family][0], "out1": BEYOND[family][1], "in0": OUTSIDE[family]}
    nets = {name: address_range(net, family) for name, net in ways.items()}
    out = "" if here else next(name for name, (low, high) in nets.items() if low <= now.dst <= high)
    now = now._replace(oif=interface_range(out)[0] if out else 0)
    hook = "INPUT" if here else "FORWARD"
    decided = at_once(hooks.filter(ruleset, hook, texts, moved), now)
    question = Question(hook, "NEW", texts, moved)
    assert decided.answer in (ALLOWED, DENIED) and unfold(ruleset, question).decide(now).answer == decided.answer
    if decided.answer == DENIED:
        return None
    if here:
        return "", None, None, now.dport
    rewrite = at_once(hooks.nat(ruleset, "POSTROUTING", texts, True), now)
    number = LINKS.index(out)
    own = f"192.168.{number}.1" if family == 4 else f"fd00:99:{number}::1"
    source = change_of(rewrite.rule, family, own).src if rewrite.rule else now.src
    return out, source, now.dst, now.dport


#: Source ports, each taken once in all the tests: what a connection was translated to stays with it.
NUMBERS = itertools.cycle(range(10000, 60000))


def docker_packets(docker, draw, family):
    """Packets from outside and from containers, at published ports, past them, and out."""
    containers = [address for some in docker.containers.values() for address in some]
    outside = str(ipaddress.ip_network(OUTSIDE[family])[9])
    ports = sorted(
        {port + more for one in docker.ports for port in (one.published, one.port) for more in (0, 0, 1)} | {80}
    )
    for number in itertools.islice(NUMBERS, PACKETS):
        link = draw.choice(LINKS)
        inner = [docker.containers[bridge] for bridge in docker.bridges if bridge.name == link]
        low, high = address_range(SOURCES[family], family)
        source = address_number(draw.choice(inner[0]), family) if inner else draw.randint(low, high)
        target = address_number(draw.choice((*docker.hosts, *docker.hosts, *containers, outside)), family)
        proto, port = draw.choice((6, 6, 17)), draw.choice(ports)
        if docker.ports and draw.random() < 0.5:
            one = draw.choice(docker.ports)
            proto, port = PROTOCOLS[one.proto], one.published
            target = address_number(one.host or draw.choice(docker.hosts), family)
        yield Packet(interface_range(link)[0], 0, proto, source, target, number, port, target, port)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_agrees_about_the_chains_of_a_docker_engine(host, family, form):
    hosts = [str(ipaddress.ip_network(HERE[family])[number]) for number in (1, 2, 3)]
    seen = dict.fromkeys(("sent", "forwarded", "translated", "masqueraded", "in"), 0)
    for seed in range(SEED, SEED + RULESETS):
        draw = random.Random(f"docker {form} {seed} {family}")
        nets = dict(zip(("out0", "out1"), BEYOND[family]))
        sources = [SOURCES[family], str(next(ipaddress.ip_network(SOURCES[family]).subnets(1)))]
        docker = Docker(draw, family, form, nets, hosts, ("in0", "in1"), sources)
        text = docker.text()
        saved = host.load(family, text)
        ruleset = parse(saved, family)
        packets = list(docker_packets(docker, draw, family))
        found = host.passed_on(family, packets)
        for number, one in enumerate(packets):
            expected = engines_way(ruleset, family, one, hosts)
            came = found.get(number)
            assert came == expected, (
                f"seed {seed}, {one.text(family)}: {came} by the kernel, {expected} by the engine\n{saved}"
            )
            seen["sent"] += 1
            if came is not None:
                seen["in" if not came[0] else "forwarded"] += 1
                seen["translated"] += bool(came[0]) and came[2] != one.dst
                seen["masqueraded"] += bool(came[0]) and came[1] != one.src
        host.load(family, CLEAN)
    print(f"\nIPv{family}, as Docker {form} writes them: {RULESETS} rulesets, all verdicts agree: {seen}")
    assert all(seen.values())


class OddRules(Rules):
    """Random rules in the spellings and with the names that ordinary ones have not."""

    SIGNS = ("-j LOG", "\u2028", "\x0b", "\x1c", '\\"', "\\\\", "!", "-A INPUT", "COMMIT", "\x85", "' ", "; ")
    NAMES = ("LOG", "MARK", "SET", "NFLOG", "TEE", "CT")

    def rule(self, chain, targets):
        rng = self.rng
        words = super().rule(chain, targets).split(" ")
        if '"a' in words:  # the comment of the ordinary ones is split there
            return " ".join(words)
        jump = max(at for at, word in enumerate(words) if word in ("-j", "-g"))
        matches, target = words[2:jump], words[jump:]
        if rng.random() < 0.3:
            matches += ["-m", "comment", "--comment", '"' + "".join(rng.sample(self.SIGNS, 3)) + '"']
        if rng.random() < 0.15:
            name = rng.choice(('"-i"', "-j", '"-d x"', "-4", "x-j"))
            matches += ["-m", "recent", "!", "--rcheck", "--name", name, "--rsource"]
        if rng.random() < 0.1:
            matches += ["-m", "string", "!", "--string", rng.choice(('"-f"', '"-j"', '"a b"')), "--algo", "bm"]
        if rng.random() < 0.1:
            matches += ["-m", "limit", "--limit", "1000/sec", "--limit-burst", "10000"]
        for at, word in enumerate(matches):
            if (
                word in ("--dport", "--sport")
                and "tcp" in matches
                and ":" not in matches[at + 1]
                and rng.random() < 0.4
            ):
                matches[at + 1] = rng.choice((oct(int(matches[at + 1])).replace("0o", "0"), hex(int(matches[at + 1]))))
            if word == "--dport" and rng.random() < 0.3:
                matches[at] = rng.choice(("--destination-port", "--dpo"))
        if "-m" not in matches and rng.random() < 0.4:
            return " ".join([*words[:2], *target, *matches])
        return " ".join([*words[:2], *matches, *target])

    def text(self):
        """The three chains under other names, and a second table."""
        names = self.rng.sample(self.NAMES, 3)
        lines = super().text().split("\n")
        for plain, odd in zip(("one", "two", "three"), names):
            lines = [
                line.replace(f"-j {plain}", f"-j {odd}")
                .replace(f"-g {plain}", f"-g {odd}")
                .replace(f"-A {plain} ", f"-A {odd} ")
                .replace(f":{plain} ", f":{odd} ")
                for line in lines
            ]
        table, chain = self.rng.choice(
            (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", self.hook), ("security", self.hook))
        )
        own = [
            f"*{table}",
            f":{chain} {self.rng.choice(('ACCEPT', 'DROP'))} [0:0]",
            ":SET - [0:0]",
            f"-A {chain} -j SET",
        ]
        for _line in range(4):
            low, high = self.port()
            own.append(
                f"-A {self.rng.choice((chain, 'SET'))} -p {self.rng.choice(('tcp', 'udp'))} --dport {low}:{high} "
                f"-j {self.rng.choice(('DROP', 'RETURN', 'ACCEPT'))}"
            )
        return "\n".join([*lines, *own, f"-A {chain} -p tcp --sport 0:40000 -j ACCEPT", "COMMIT", ""])


@pytest.mark.parametrize("hook", ["INPUT", "FORWARD"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_agrees_about_random_rules_of_odd_shapes(host, family, hook):
    known = sent = allowed = 0
    for seed in range(SEED, SEED + RULESETS):
        odd = OddRules(random.Random(f"odd {seed} {family} {hook}"), family, hook)
        text = odd.text()
        packets = odd.packets(PACKETS)
        known += agree(host, family, text, packets, hook)
        sent += 2 * len(packets)
        allowed += len(host.pass_through(family, packets))
        host.load(family, CLEAN)
    print(
        f"\nIPv{family} {hook}: {RULESETS} odd rulesets, {known} of {sent} answers certain, {allowed} packets came through"
    )
    assert known > 0.3 * sent
    assert allowed
