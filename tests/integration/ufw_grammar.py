# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's grammar, walked at random: command lines right and wrong, judged by ufw's own parser on a host.

A line is made as a list of choices, and written twice: in the words of the command, and as a rule of the module.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

#: Runs on a host with ufw: reads sequences of command lines, answers each with what ufw accepts and stores.
JUDGE = r"""
import gettext, json, sys
gettext.install("ufw")
sys.argv[0] = "/usr/sbin/ufw"
import ufw.common, ufw.frontend, ufw.util, warnings
warnings.showwarning = lambda *a, **k: None
out, sys.stdout = sys.stdout, sys.stderr
for name in ("msg", "warn"):
    setattr(ufw.util, name, lambda *a, **k: None)
    if hasattr(ufw.frontend, name):
        setattr(ufw.frontend, name, lambda *a, **k: None)
def fail(text, *a, **k):
    raise ValueError(str(text))
ufw.util.error = fail
ui = ufw.frontend.UFWFrontend(False)
backend = ui.backend
backend.is_enabled = lambda: False
def stored(path):
    with open(path) as stream:
        return [line.rstrip("\n") for line in stream if line.startswith("### tuple ###")]
for line in sys.stdin:
    backend.rules, backend.rules6 = [], []
    backend._write_rules(False), backend._write_rules(True)
    taken = []
    for argv in json.loads(line):
        try:
            parsed = ufw.frontend.parse_command(["ufw"] + argv)
            ui.do_action(parsed.action, parsed.data.get("rule", ""), parsed.data.get("iptype", ""), True)
            taken.append(True)
        except (Exception, SystemExit):
            taken.append(False)
    answer = {"taken": taken, "v4": stored("/etc/ufw/user.rules"), "v6": stored("/etc/ufw/user6.rules")}
    print(json.dumps(answer), file=out, flush=True)
"""

PORTS = ("22", "80", "1", "65535", "1000:2000", "80,443", "22,1000:1010,8080", "ssh", "domain", "ntp", "http", "https")
BAD_PORTS = (
    "0", "65536", "-1", "22/tcp", "80,", ",80", "80,,443", "2000:1000", "80:80", "1:2:3", "nosuchservice", "a b", "22 80",
    "22.5", "http,https", "1" + ",2" * 15, "", "1:65536", "+22", "tcp", "22-23",
)  # fmt: skip
PROTOCOLS = ("tcp", "udp", "ipv6", "esp", "ah", "igmp", "gre", "vrrp")
BAD_PROTOCOLS = ("sctp", "icmp", "TCP", "6", "all")
ADDRESSES = (
    "any", "10.0.0.1", "10.0.0.0/8", "10.1.2.3/16", "10.0.0.1/32", "192.168.0.0/255.255.0.0", "10.0.0.1/255.255.255.255",
    "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "2001:DB8::1/128", "::/0", "::1", "10.0.2.0/255.0.255.0",
)  # fmt: skip
BAD_ADDRESSES = (
    "10.0.0.256",
    "10.0.0",
    "10.0.0.0/33",
    "2001:db8::/129",
    "example.com",
    "10.0.0.1/",
    "::g",
    "1",
    "10.0.0.1-9",
)
INTERFACES = ("eth0", "wg0", "eth0.10", "br-1a2b3c4d5e6f", "tun+", "a_b-c", "veth@x")
BAD_INTERFACES = ("eth0:1", "a" * 16, "!eth0", ".", "..", "eth 0", "eth/0")
APPS = ("OpenSSH", "WWW Full", "DNS", "Bonjour", "KTorrent", "Samba", "MSN SSL")
BAD_APPS = ("NoSuch", "all", "22", "a/b")
COMMENTS = ("ssh", "a b", "größer", "x=1 comment=2", " a ", "a\tb", "\x7f", "a # b")


class Line(NamedTuple):
    """One rule: in the words of the command, and of the module."""

    argv: list[str]
    rule: dict[str, Any]


def pick(rng: random.Random, right: tuple[str, ...], wrong: tuple[str, ...], chance: float) -> str:
    return rng.choice(wrong) if rng.random() < chance else rng.choice(right)


def random_line(rng: random.Random, wrong: float = 0.06) -> Line:
    """One line of the grammar; about that share of its choices is one that the grammar does not have."""
    rule: dict[str, Any] = {}
    words = []
    if rng.random() < 0.15:
        words.append("route")
        rule["route"] = True
    rule["rule"] = pick(rng, ("allow", "deny", "reject", "limit"), ("permit", "drop", "ALLOW"), wrong / 3)
    words.append(rule["rule"])
    if rule.get("route"):
        for way in ("in", "out"):
            if rng.random() < 0.4:
                rule["interface_" + way] = pick(rng, INTERFACES, BAD_INTERFACES, wrong)
                words += [way, "on", rule["interface_" + way]]
    elif rng.random() < 0.5:
        rule["direction"] = rng.choice(("in", "out"))
        words.append(rule["direction"])
        if rng.random() < 0.5:
            rule["interface"] = pick(rng, INTERFACES, BAD_INTERFACES, wrong)
            words += ["on", rule["interface"]]
    if rng.random() < 0.2:
        rule["log"] = rng.choice(("new", "all"))
        words.append({"new": "log", "all": "log-all"}[rule["log"]])
    if rng.random() < 0.35:
        rule["proto"] = pick(rng, PROTOCOLS, BAD_PROTOCOLS, wrong)
        words += ["proto", rule["proto"]]
    for end, short in (("from", "from_"), ("to", "to_")):
        address = pick(rng, ADDRESSES, BAD_ADDRESSES, wrong) if rng.random() < 0.6 else "any"
        rule[f"{end}_ip"] = address
        words += [end, address]
        if rng.random() < 0.45:
            rule[f"{short}port"] = pick(rng, PORTS, BAD_PORTS, wrong)
            words += ["port", rule[f"{short}port"]]
        elif rng.random() < 0.15:
            rule["app" if end == "to" else "from_app"] = pick(rng, APPS, BAD_APPS, wrong)
            words += ["app", rule["app" if end == "to" else "from_app"]]
    if rng.random() < 0.2:
        rule["comment"] = pick(rng, COMMENTS, ("it's",), wrong)
        words += ["comment", rule["comment"]]
    return Line(words, rule)


def random_sequence(rng: random.Random) -> list[list[str]]:
    """Rules, put in at places, put first, deleted again: what ufw's files can come to."""
    lines: list[list[str]] = []
    for _number in range(rng.randint(2, 9)):
        words = random_line(rng, 0.0).argv
        route = words[:1] if words[0] == "route" else []
        rest = words[len(route) :]
        kind = rng.random()
        if kind < 0.35:
            lines.append([*route, "insert", str(rng.randint(1, 4)), *rest])
        elif kind < 0.5:
            lines.append([*route, "prepend", *rest])
        elif kind < 0.6 and lines:
            old = [word for word in rng.choice(lines) if word not in ("prepend",)]
            if old[0] not in ("route", "insert"):
                lines.append(["delete", *old])
        else:
            lines.append(words)
    return lines


def judged(host: Any, sequences: Iterable[list[list[str]]]) -> Iterator[dict[str, Any]]:
    """What the host's ufw says to each sequence."""
    text = "".join(json.dumps(sequence) + "\n" for sequence in sequences)
    done = subprocess.run(
        ["docker", "exec", "-i", host.name, "python3", "-c", JUDGE],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    for line in done.stdout.splitlines():
        yield json.loads(line)
