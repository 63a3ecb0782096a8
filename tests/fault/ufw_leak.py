# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a packet slips through, or a session stalls, while one ruleset after another is applied.

    .venv/bin/python tests/fault/ufw_leak.py [--rulesets 200] [--seed 1] [--release trixie] [--direct]

Random rulesets, all of which deny one port, are applied to a host through Ansible over SSH, each confirmed over a new
connection as in production (--direct: the module as Ansible starts it, without Ansible and without confirmation, which
changes faster). Meanwhile, from a network namespace that hangs on the host by a link of its own:

- Four processes knock at the denied port, TCP and UDP, IPv4 and IPv6, each at --rate attempts a second. An attempt is a
  socket of its own with a source port of its own: a connect() that is left open for a while, or one datagram.
- What gets through is counted three times: by the host's kernel right after its filter table (security INPUT), by a
  listener at the port, and by the knocking side, whose connect() succeeds. What is counted right before the filter
  table (mangle INPUT) must be what was sent, so that nothing is lost on the way, as by a full connection table.
- A port that all rulesets allow is asked for an answer by all four ways; each answer must come within 0.9 s.
- A TCP session for each family sends a byte and waits for its echo each millisecond. The longest wait is the stall. The
  same over a link to a namespace without any firewall shows how much of it is this machine's own.

After each ruleset the packet engine reads the kernel: it must deny the one port and allow the other, whatever happened
on the wire. At the end the same processes watch ufw's own commands, which must be seen to leak: that is the proof that
leaks are seen at all, and the peers' figure (community.general.ufw runs these commands).

Status 1: a leak, a stall of more than 50 ms, less than 5,000 attempts a second, or a control that did not hold.
The log level `full` is left out: it logs each packet, and where the kernel logs for containers that is a flood.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import mmap
import os
import random
import re
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Callable, NamedTuple

from hosts import RELEASES, Host, fleet, run
from ufw_differential import random_rule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import program as engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse as parse_save
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules

LINK = "leak0"  # the host's side of the link
# Outside of all networks that random rules name.
FROM = {4: "198.18.0.1", 6: "fd00:bad::1"}
HOST = {4: "198.18.0.2", 6: "fd00:bad::2"}
QUIET = "198.18.1.2"
DENIED, ALLOWED, SESSION = 4444, 5201, 5202
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
WAYS = tuple((family, proto) for family in (4, 6) for proto in ("tcp", "udp"))
TARGET = 5000  # attempts a second, by each way
STALL = 50.0  # ms
# A knocking socket stays open for so many more: the answer has time to come, also on a loaded machine.
OPEN = 400
PEERS = ("ufw reload", "ufw --force disable; ufw --force enable", "ufw default deny incoming")
# What a worker counts. A listener counts by way, from WAY on.
STOP, PAUSE, COUNT, THROUGH, FAILED, LONGEST, SLOWEST, WAY = range(8)
NONE_YET = 2**63
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


# -- rulesets --------------------------------------------------------------------------------------------------------


def is_open_to_us(rule: dict) -> bool:
    """Whether a random rule may let a knock in."""
    if rule.get("route") or rule.get("direction") == "out" or rule["rule"] in ("deny", "reject"):
        return False
    # Random addresses are never ours.
    if "from_ip" in rule or "to_ip" in rule or rule.get("interface", LINK) != LINK:
        return False
    if rule.get("proto", "any") not in ("any", "tcp", "udp"):
        return False
    ports = [part.split(":") for part in rule.get("to_port", "0:65535").split(",")]
    return any(int(part[0]) <= DENIED <= int(part[-1]) for part in ports)


def random_rules(rng: random.Random, most: int) -> list[dict]:
    """Rules of all kinds; some are about our link, some about the denied port."""
    rules = []
    for dummy in range(rng.randint(0, most)):
        rule = random_rule(rng, [])
        if "interface" in rule and rng.random() < 0.4:
            rule["interface"] = LINK
        for key in ("from_ip", "to_ip"):
            # The packet engine leaves masks with holes open.
            if rule.get(key, "").endswith("/255.0.255.0"):
                rule[key] = rule[key].replace("/255.0.255.0", "/255.255.0.0")
        if rule.get("proto") in ("any", "tcp", "udp") and rng.random() < 0.25:
            single = rule["proto"] == "any"
            rule["to_port"] = str(DENIED) if single else rng.choice(("4444", "4000:5000", "80,4400:4500"))
        rules.append(rule)
    return rules


def explicit(rng: random.Random) -> list[dict]:
    """Rules that deny the port in one of the ways to say it."""
    verb = {"rule": rng.choice(("deny", "reject"))}
    if rng.random() < 0.3:
        verb["log"] = rng.choice(("new", "all"))
    return rng.choice(
        (
            [{**verb, "to_port": str(DENIED)}],
            [{**verb, "proto": proto, "to_port": str(DENIED)} for proto in ("udp", "tcp")],
            [{**verb, "proto": proto, "to_port": "4000:4999"} for proto in ("tcp", "udp")],
            [{**verb, "proto": proto, "to_port": "25,4440:4450,8080"} for proto in ("tcp", "udp")],
            [{**verb, "interface": LINK, "to_port": str(DENIED)}],
            [{**verb, "interface": LINK}],
            [{**verb, "from_ip": address} for address in ("198.18.0.0/24", "fd00:bad::/64")],
            [{**verb, "to_ip": HOST[family], "to_port": str(DENIED)} for family in (6, 4)],
            [{"rule": "deny", "proto": "tcp", "to_port": str(DENIED)}, {"rule": "reject", "to_port": str(DENIED)}],
        )
    )


def head(rng: random.Random) -> list[dict]:
    """What every ruleset allows, said in one way or another."""
    ssh = {"rule": "allow", "proto": "tcp", "to_port": "22"}
    ours = rng.choice(
        (
            [{"rule": "allow", "to_port": str(port)} for port in (ALLOWED, SESSION)],
            [{"rule": "allow", "proto": proto, "to_port": "5201:5202"} for proto in ("tcp", "udp")],
            [{"rule": "allow", "proto": proto, "to_port": "443,5201,5202"} for proto in ("udp", "tcp")],
        )
    )
    return [ssh, *ours] if rng.random() < 0.5 else [*ours, ssh]


def ruleset(rng: random.Random) -> tuple[str, dict]:
    """How it denies the port, and the module's arguments."""
    rules = head(rng)
    if rng.random() < 0.5:
        incoming = rng.choice(("deny", "reject"))
        how = "default %s" % incoming
        rules += [rule for rule in random_rules(rng, 40) if not is_open_to_us(rule)]
    else:
        # After these rules anything may come: another default, and rules that allow the port.
        incoming = rng.choice(("allow", "allow", "deny", "reject"))
        how = "rule, default %s" % incoming
        rules += [rule for rule in random_rules(rng, 15) if not is_open_to_us(rule)]
        rules += explicit(rng) + random_rules(rng, 25)
    known: list[dict] = []
    for rule in rules:
        # The same match twice is a mistake to the module. What denies is never left out: an earlier rule with the same
        # match that does not let us in denies as well.
        with suppress(Refused):
            parse_rules([*known, rule], True, dict)
            known.append(rule)
    policies = ("allow", "deny", "reject")
    default = {"incoming": incoming, "outgoing": rng.choice(policies), "routed": rng.choice(policies)}
    logging = rng.choice(("off", "low", "medium", "high"))
    return how, {"default": default, "logging": logging, "ipv6": True, "purge": True, "rules": known}


def rulesets(seed: int, count: int) -> list[tuple[str, dict]]:
    rng = random.Random(seed)
    return [ruleset(rng) for dummy in range(count)]


FIRST = {
    "default": {"incoming": "deny", "outgoing": "allow", "routed": "deny"},
    "logging": "low",
    "ipv6": True,
    "purge": True,
    "rules": head(random.Random(0)),
}


def verdicts(host: Host) -> list[str]:
    """What of the kernel's rules the packet engine finds wrong."""
    wrong = []
    for family, command in ((4, "iptables-save"), (6, "ip6tables-save")):
        own = [HOST[family] + ("/24" if family == 4 else "/64"), "127.0.0.1/8" if family == 4 else "::1/128"]
        rules = parse_save(host.shell(command + " -t filter"), family)
        program = unfold(rules, engine.Question("INPUT", "NEW", own))
        for proto, port, expected in (
            ("tcp", DENIED, engine.DENIED),
            ("udp", DENIED, engine.DENIED),
            ("tcp", ALLOWED, engine.ALLOWED),
            ("udp", ALLOWED, engine.ALLOWED),
            ("tcp", SESSION, engine.ALLOWED),
        ):
            one = packet(family, FROM[family], HOST[family], proto, port, inside=LINK)
            answer = program.decide(one).answer
            if answer != expected:
                wrong.append("v%d %s port %d is %s, expected %s" % (family, proto, port, answer, expected))
    return wrong


# -- namespaces ------------------------------------------------------------------------------------------------------


def enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


def namespace_of(pid: str = "self") -> int:
    return os.open("/proc/%s/ns/net" % pid, os.O_RDONLY)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """This process is in the namespace meanwhile."""
    home = namespace_of()
    enter(namespace)
    try:
        yield
    finally:
        enter(home)
        os.close(home)


def new_namespace() -> int:
    """It lives as long as the descriptor and the processes in it."""
    home = namespace_of()
    with inside(home):
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network namespace cannot be made: this test needs root")
        made = namespace_of()
    os.close(home)
    return made


def ip(namespace: int, *lines: str) -> None:
    """Commands of ip(8) in a namespace."""
    with inside(namespace):
        run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def allow_ipv6(namespace: int, name: str) -> None:
    """On an interface, where Docker or this machine switches it off for new ones."""
    with inside(namespace):
        Path("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name).write_text("0")


@contextmanager
def links(host: Host) -> Iterator[tuple[int, int, int]]:
    """The namespaces of the host, of who knocks, and of one without a firewall, linked."""
    pid = run("docker", "inspect", "--format", "{{.State.Pid}}", host.name).strip()
    there, here, quiet = namespace_of(pid), new_namespace(), new_namespace()
    path = "/proc/%d/fd/%%d" % os.getpid()
    try:
        ip(
            here,
            "link add toward type veth peer name %s netns %s" % (LINK, path % there),
            "link add aside type veth peer name aside netns %s" % (path % quiet),
        )
        for namespace, name, family4, family6 in (
            (here, "toward", FROM[4], FROM[6]),
            (there, LINK, HOST[4], HOST[6]),
            (here, "aside", "198.18.1.1", "fd00:bad:1::1"),
            (quiet, "aside", QUIET, "fd00:bad:1::2"),
        ):
            allow_ipv6(namespace, name)
            ip(
                namespace,
                "link set %s up" % name,
                "address add %s/24 dev %s" % (family4, name),
                "address add %s/64 dev %s nodad" % (family6, name),
            )
        yield there, here, quiet
    finally:
        for namespace in (there, here, quiet):
            os.close(namespace)


# -- workers ---------------------------------------------------------------------------------------------------------


class Worker:
    """A process in a network namespace. What it counts is in memory that it shares with us."""

    def __init__(self, name: str, namespace: int, work: Callable, *arguments: object) -> None:
        self.name, self.alive = name, True
        self.figures = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self.figures[SLOWEST] = NONE_YET
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid:
            return
        status = 1
        try:
            LIBC.prctl(1, signal.SIGKILL)  # when we end, it ends
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            enter(namespace)
            gc.disable()
            work(self.figures, *arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def check(self) -> bool:
        """Whether it runs still."""
        if self.alive and os.waitpid(self._pid, os.WNOHANG)[0]:
            self.alive = False
        return self.alive

    def stop(self) -> None:
        if self.check():
            # A session that nothing comes through waits for ever.
            self.figures[STOP] = 1
            end = time.monotonic() + 3
            while self.check() and time.monotonic() < end:
                time.sleep(0.02)
            if self.alive:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                self.alive = False


def come_first() -> None:
    """Whoever measures time is not to wait for those who make load."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    except OSError:
        os.nice(-15)


def tcp_knock(figures: memoryview, family: int) -> Callable[[], None]:
    address, waiting = (HOST[family], DENIED), deque()
    usual = (0, 111, 115)  # connected, refused, in progress

    def knock() -> None:
        one = socket.socket(FAMILY[family], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if one.connect_ex(address) not in usual:
            one.close()
            figures[FAILED] += 1
            return
        figures[COUNT] += 1
        waiting.append(one)
        if len(waiting) > OPEN:
            old = waiting.popleft()
            with suppress(OSError):
                old.getpeername()
                figures[THROUGH] += 1
                # No state stays behind that would keep the port busy.
                old.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            old.close()

    return knock


def udp_knock(figures: memoryview, family: int) -> Callable[[], None]:
    address = (HOST[family], DENIED)

    def knock() -> None:
        with socket.socket(FAMILY[family], socket.SOCK_DGRAM) as one:
            try:
                one.sendto(b"?", address)
            except OSError:
                figures[FAILED] += 1
                return
        figures[COUNT] += 1

    return knock


def hammer(figures: memoryview, family: int, proto: str, rate: int) -> None:
    """Knock at the denied port at this rate; what is late is made up for, but for no more than a second."""
    knock = {"tcp": tcp_knock, "udp": udp_knock}[proto](figures, family)
    begun = second = last = time.monotonic_ns()
    skipped = tried = at_second = 0
    while not figures[STOP]:
        now = time.monotonic_ns()
        if figures[PAUSE]:
            second, at_second, last = now, figures[COUNT], now
            skipped = (now - begun) * rate // 10**9 - tried
            time.sleep(0.001)
            continue
        if now - second >= 10**9:
            count = figures[COUNT]
            figures[SLOWEST] = min(figures[SLOWEST], (count - at_second) * 10**9 // (now - second))
            second, at_second = now, count
        behind = (now - begun) * rate // 10**9 - skipped - tried
        if behind <= 0:
            time.sleep(0.0003)
            continue
        skipped += max(0, behind - rate)
        for dummy in range(min(behind, 20)):
            knock()
            tried += 1
            now = time.monotonic_ns()
            if now - last > figures[LONGEST]:
                figures[LONGEST] = now - last
            last = now


def server(family: int, proto: str, port: int) -> socket.socket:
    one = socket.socket(FAMILY[family], KIND[proto])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == 6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind(("" if family == 4 else "::", port))
    if proto == "tcp":
        one.listen(4096)
    one.setblocking(False)
    return one


def listen(figures: memoryview) -> None:
    """Counts what comes in at the denied port, by way; answers at the allowed one."""
    come_first()
    selector = selectors.DefaultSelector()
    for place, (family, proto) in enumerate(WAYS):
        for port in (DENIED, ALLOWED):
            selector.register(server(family, proto, port), selectors.EVENT_READ, (place, proto, port))
    figures[COUNT] = 1  # ready
    while not figures[STOP]:
        for key, _mask in selector.select(0.2):
            place, proto, port = key.data
            with suppress(OSError):
                if proto == "udp":
                    _data, peer = key.fileobj.recvfrom(16)
                    if port == ALLOWED:
                        key.fileobj.sendto(b"!", peer)
                else:
                    stream, _peer = key.fileobj.accept()
                    with stream:
                        if port == ALLOWED:
                            stream.send(b"!")
                figures[WAY + place] += port == DENIED


def ask(figures: memoryview) -> None:
    """A new connection to the allowed port, by each way in turn: an answer, or FAILED."""
    come_first()
    while not figures[STOP]:
        for family, proto in WAYS:
            began = time.monotonic_ns()
            with socket.socket(FAMILY[family], KIND[proto]) as one:
                one.settimeout(0.9)  # before a lost packet is sent again
                try:
                    one.connect((HOST[family], ALLOWED))
                    if proto == "udp":
                        one.send(b"?")
                    answered = one.recv(1) == b"!"
                except OSError:
                    answered = False
            figures[COUNT if answered else FAILED] += 1
            figures[LONGEST] = max(figures[LONGEST], time.monotonic_ns() - began)
        time.sleep(0.05)


def echo(figures: memoryview, families: tuple[int, ...]) -> None:
    """The other end of sessions."""
    come_first()
    selector = selectors.DefaultSelector()
    for family in families:
        selector.register(server(family, "tcp", SESSION), selectors.EVENT_READ, True)
    figures[COUNT] = 1
    while not figures[STOP]:
        for key, _mask in selector.select(0.2):
            if key.data:
                stream, _peer = key.fileobj.accept()
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(stream, selectors.EVENT_READ, False)
            else:
                data = key.fileobj.recv(64)
                if data:
                    key.fileobj.send(data)
                else:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def session(figures: memoryview, address: str) -> None:
    """A byte and its echo each millisecond over one connection."""
    come_first()
    with socket.create_connection((address, SESSION), 5) as stream:
        stream.settimeout(None)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not figures[STOP]:
            began = time.monotonic_ns()
            stream.send(b".")
            if not stream.recv(1):
                raise ConnectionError("the session to %s was closed" % address)
            took = time.monotonic_ns() - began
            figures[COUNT] += 1
            if took > figures[LONGEST]:
                figures[LONGEST] = took
            time.sleep(max(0, 10**6 - took) / 1e9)


# -- the run ---------------------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """What became of the attempts by one way. ``reached`` the filter table, ``let_in`` by it, ``received`` by the
    listener, ``connected`` as the knocking side saw it; ``slowest`` is a second's attempts, ``pause`` in ms."""

    name: str
    attempts: int
    rate: float
    slowest: int
    pause: float
    reached: int
    let_in: int
    received: int
    connected: int

    def leaks(self) -> int:
        return max(self.let_in, self.received, self.connected)


class Phase(NamedTuple):
    """What was seen during something. ``stalls`` {session: ms}, ``rounds`` {session: round trips}; ``asked`` and
    ``unanswered`` at the allowed port, ``slowest_answer`` in ms."""

    name: str
    seconds: float
    ways: list[Way]
    stalls: dict[str, float]
    rounds: dict[str, int]
    asked: int
    unanswered: int
    slowest_answer: float

    def leaks(self) -> int:
        return sum(way.leaks() for way in self.ways)

    def of(self, kind: str) -> int:
        return sum(getattr(way, kind) for way in self.ways)


SESSIONS = ("session v4", "session v6", "no firewall")
# Packets that begin a connection to the denied port: as they arrive before the filter table, and after it.
COUNTERS = "".join(
    "%s -t %s -A INPUT -i %s -p %s --dport %d%s; " % (command, table, LINK, proto, DENIED, syn)
    for command in ("iptables", "ip6tables")
    for table in ("mangle", "security")
    for proto, syn in (("tcp", " --syn"), ("udp", ""))
)


class Watch:
    """The workers around one host. A context manager."""

    def __init__(self, host: Host, rate: int) -> None:
        self._host, self._rate = host, rate
        self._workers: list[Worker] = []

    def __enter__(self) -> Watch:
        self._links = ExitStack()
        there, here, quiet = self._links.enter_context(links(self._host))
        try:
            self._host.shell("set -e; " + COUNTERS)
            self._listener = self._start("listener", there, listen)
            servers = [self._start("echo", there, echo, (4, 6)), self._start("quiet echo", quiet, echo, (4,))]
            self._await(self._listener, *servers)
            self._asker = self._start("allowed port", here, ask)
            addresses = (HOST[4], HOST[6], QUIET)
            self._sessions = [self._start(name, here, session, at) for name, at in zip(SESSIONS, addresses)]
            self._await(self._asker, *self._sessions)
            self._hammers = [
                self._start("v%d %s" % way, here, hammer, *way, self._rate) for way in WAYS
            ]  # fmt: skip
            self._await(*self._hammers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        # A session before the server that it talks to.
        for worker in reversed(self._workers):
            worker.stop()
        self._links.close()

    def _start(self, name: str, namespace: int, work: Callable, *arguments: object) -> Worker:
        self._workers.append(Worker(name, namespace, work, *arguments))
        return self._workers[-1]

    @staticmethod
    def _await(*workers: Worker) -> None:
        """Until each has counted something."""
        end = time.monotonic() + 10
        for worker in workers:
            while not worker.figures[COUNT]:
                if not worker.check() or time.monotonic() > end:
                    raise RuntimeError("%s does not work" % worker.name)
                time.sleep(0.01)

    def received(self) -> int:
        """By the listener so far."""
        return sum(self._listener.figures[WAY : WAY + len(WAYS)])

    def dead(self) -> list[str]:
        return ["%s has ended" % worker.name for worker in self._workers if not worker.check()]

    def _kernel(self) -> dict[tuple[str, str], int]:
        """{(table, way): packets}."""
        counts = {}
        for family, command in ((4, "iptables-save"), (6, "ip6tables-save")):
            for table in ("mangle", "security"):
                text = self._host.shell("%s -c -t %s" % (command, table))
                for number, proto in re.findall(r"\[(\d+):\d+\] -A INPUT -i %s -p (\w+)" % LINK, text):
                    counts[table, "v%d %s" % (family, proto)] = int(number)
        return counts

    def _counts(self) -> list[tuple[int, ...]]:
        """For each way: attempts, reached, let in, received, connected."""
        kernel = self._kernel()
        return [
            (
                worker.figures[COUNT],
                kernel["mangle", worker.name],
                kernel["security", worker.name],
                self._listener.figures[WAY + place],
                worker.figures[THROUGH],
            )
            for place, worker in enumerate(self._hammers)
        ]

    @contextmanager
    def phase(self, name: str, into: list[Phase]) -> Iterator[None]:
        """What happens during the block becomes a Phase."""
        # The counters stand still while they are read, so that what was sent and what arrived must be the same.
        self._pause(True)
        before, rounds = self._counts(), [worker.figures[COUNT] for worker in self._sessions]
        asked, unanswered = self._asker.figures[COUNT], self._asker.figures[FAILED]
        for worker in self._workers:
            worker.figures[LONGEST], worker.figures[SLOWEST] = 0, NONE_YET
        self._pause(False)
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        # A session that stalls has the time to say so.
        self._pause(True)
        ways = []
        for worker, old, new in zip(self._hammers, before, self._counts()):
            attempts, *counts = (after - ago for ago, after in zip(old, new))
            slowest = min(worker.figures[SLOWEST], int(attempts / seconds))
            pause = worker.figures[LONGEST] / 1e6
            ways.append(Way(worker.name, attempts, attempts / seconds, slowest, pause, *counts))
        into.append(
            Phase(
                name,
                seconds,
                ways,
                {worker.name: worker.figures[LONGEST] / 1e6 for worker in self._sessions},
                {worker.name: worker.figures[COUNT] - count for worker, count in zip(self._sessions, rounds)},
                self._asker.figures[COUNT] - asked,
                self._asker.figures[FAILED] - unanswered,
                self._asker.figures[LONGEST] / 1e6,
            )
        )
        self._pause(False)

    def _pause(self, on: bool) -> None:
        for worker in self._hammers:
            worker.figures[PAUSE] = on
        if on:
            time.sleep(0.5)


class Report(NamedTuple):
    """``ours`` is the module's phase; ``wrong`` what did not hold in the end, beside leaks and times."""

    ours: Phase
    peers: list[Phase]
    applied: int
    wrong: list[str]


def through_ansible(host: Host, wish: dict) -> dict:
    """As in production: over SSH, and confirmed over a new connection."""
    answer = host.task({**wish, "confirm": {"timeout": 60}})
    confirmation = answer.get("confirmation")
    if answer.get("changed") and confirmation != "confirmed over a new connection":
        return {"failed": True, "msg": confirmation}
    return answer


def directly(host: Host, wish: dict) -> dict:
    """The module as Ansible starts it, without a confirmation."""
    return host.driver({**wish, "confirm": {"timeout": 0}})


def measure(
    host: Host,
    wishes: list[tuple[str, dict]],
    apply: Callable[[Host, dict], dict],
    rate: int,
    peers: tuple[str, ...] = PEERS,
    tell: Callable[[str], None] = print,
) -> Report:
    """Apply the rulesets under the watch, and let ufw's own commands show what a leak looks like."""
    wrong: list[str] = []
    applied = 0
    phases: list[Phase] = []
    prepared = apply(host, FIRST)
    if prepared.get("failed") or "changed" not in prepared:
        raise RuntimeError("the host cannot be prepared: %s" % prepared)
    with Watch(host, rate) as watch:
        with watch.phase("ufw_ruleset", phases):
            began = time.monotonic()
            for number, (how, wish) in enumerate(wishes, 1):
                leaked = watch.received()
                answer = apply(host, wish)
                problems = watch.dead() + verdicts(host)
                if answer.get("failed") or not answer.get("changed"):
                    problems.append("not applied: %s" % answer.get("msg", answer))
                else:
                    applied += 1
                if watch.received() != leaked:
                    problems.append("%d got through" % (watch.received() - leaked))
                wrong += ["ruleset %d (%s): %s" % (number, how, text) for text in problems]
                if number % 10 == 0 or problems:
                    tell(
                        "%4d of %d rulesets, %4.0f s  %-21s %s"
                        % (number, len(wishes), time.monotonic() - began, how, "; ".join(problems) or "ok")
                    )
                if watch.dead():
                    break
        apply(host, FIRST)
        for command in peers:
            # Flows that an earlier command let in are established still.
            host.shell("conntrack -F 2>/dev/null || true")
            with watch.phase(command.replace("--force ", ""), phases):
                host.shell(command)
        if peers:
            wrong += watch.dead()
    return Report(phases[0], phases[1:], applied, wrong)


def failures(report: Report, target: float = TARGET, stall: float = STALL) -> list[str]:
    """Why the run is a failure."""
    found = list(report.wrong)
    for way in report.ours.ways:
        if way.leaks():
            found.append("%s: %d leaks" % (way.name, way.leaks()))
        if way.rate < target:
            found.append("%s: %.0f attempts a second, expected %d" % (way.name, way.rate, target))
        # The kernel drops a few where a queue of its own is full.
        if way.reached < 0.999 * way.attempts:
            found.append("%s: %d of %d attempts reached the filter" % (way.name, way.reached, way.attempts))
    for name in SESSIONS[:2]:
        if report.ours.stalls[name] > stall:
            found.append("%s stalled for %.1f ms" % (name, report.ours.stalls[name]))
        if not report.ours.rounds[name]:
            found.append("%s had no traffic" % name)
    if report.ours.unanswered or not report.ours.asked:
        found.append("the allowed port: %d of %d unanswered" % (report.ours.unanswered, report.ours.asked))
    # The controls: each command of ufw's must be seen to leak, by the kernel, the listener and the knocking side.
    for phase in report.peers:
        for kind in ("let_in", "received", "connected"):
            if not phase.of(kind):
                found.append("`%s` leaks, and none is seen (%s)" % (phase.name, kind))
    return found


def table(report: Report) -> str:
    """All figures."""
    ours = report.ours
    lines = ["", "%d rulesets applied by ufw_ruleset in %.0f s" % (report.applied, ours.seconds), ""]
    titles = ("knocks", "attempts", "a second", "slowest second", "longest pause", "reached filter", "let in")
    lines.append("%-8s %11s %9s %14s %13s %14s %7s %9s %10s" % (*titles, "received", "connected"))
    for way in ours.ways:
        connected = str(way.connected) if way.name.endswith("tcp") else "-"
        lines.append(
            "%-8s %11d %9.0f %14d %10.1f ms %14d %7d %9d %10s"
            % (*way[:6], way.let_in, way.received, connected)
        )  # fmt: skip
    lines += ["", "%-12s %11s %13s" % ("sessions", "round trips", "longest")]
    lines += ["%-12s %11d %10.1f ms" % (name, ours.rounds[name], ours.stalls[name]) for name in SESSIONS]
    lines += [
        "",
        "allowed port: %d asked, %d unanswered, slowest %.1f ms" % (ours.asked, ours.unanswered, ours.slowest_answer),
        "",
    ]
    titles = ("ufw's own", "seconds", "attempts", "let in", "received", "connected", "longest stall")
    lines.append("%-28s %7s %9s %8s %9s %10s %13s" % titles)
    for phase in report.peers:
        stall = max(phase.stalls[name] for name in SESSIONS[:2])
        lines.append(
            "%-28s %7.1f %9d %8d %9d %10d %10.1f ms"
            % (phase.name, phase.seconds, *map(phase.of, ("attempts", "let_in", "received", "connected")), stall)
        )
    return "\n".join(lines)


def main() -> int:
    """The whole of it, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rulesets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--release", choices=RELEASES, default="trixie")
    parser.add_argument("--rate", type=int, default=6000, help="attempts a second, by each of the four ways")
    parser.add_argument("--direct", action="store_true", help="without Ansible and without confirmation")
    options = parser.parse_args()
    with fleet((options.release,)) as (host,):
        if options.direct:
            host.install()
        report = measure(
            host,
            rulesets(options.seed, options.rulesets),
            directly if options.direct else through_ansible,
            options.rate,
            tell=lambda text: print(text, flush=True),
        )
    found = failures(report)
    print(table(report))
    print("\n%d leaks; %s" % (report.ours.leaks(), "failed:" if found else "all as it should be"))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
