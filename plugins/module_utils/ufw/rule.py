# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One ufw rule of one address family: a value, its line in user.rules, its iptables lines, its text.

ufw keeps every rule twice in ``/etc/ufw/user.rules`` (IPv4) or ``user6.rules`` (IPv6): as a ``### tuple ###``
comment, which ufw itself trusts, and as ``-A`` lines, which the boot loads. Both are made here from one value, so that
they cannot disagree. The format is the one that ufw 0.36.2 writes; it was compared with the real command line for line
(tests/fault/ufw_differential.py).
"""

from __future__ import annotations

import binascii
import functools
import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

ACTIONS = ("allow", "deny", "reject", "limit")
PROTOCOLS = ("any", "tcp", "udp", "ipv6", "esp", "ah", "igmp", "gre", "vrrp")
PORT_PROTOCOLS = ("any", "tcp", "udp")
V4_ONLY_PROTOCOLS = ("ipv6", "igmp")
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
PREFIX = {4: "ufw", 6: "ufw6"}

_TUPLE = "### tuple ###"
_INTERFACE = re.compile(r"[a-zA-Z0-9_\-.+,=%@]{1,15}\Z")
_LOG_LIMIT = "-m limit --limit 3/min --limit-burst 10"
_TARGETS = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
_LOG_NAMES = {"allow": "ALLOW", "limit": "LIMIT"}
_LOG_TEXT = {"": "", "log": "log ", "log-all": "log-all "}


class MalformedTuple(ValueError):
    """A ``### tuple ###`` line that ufw would skip; the message says what is wrong with it."""


class Rule(NamedTuple):
    """One rule as ufw stores it. ``dst`` and ``src`` are normalized addresses of one family, anywhere is
    ``0.0.0.0/0`` or ``::/0``; ``dport`` and ``sport`` are ``any`` or sorted lists such as ``80,443`` and ``1000:2000``;
    ``log`` is ``""``, ``log`` or ``log-all``; ``comment`` is plain text. A NamedTuple, since a host may have thousands.
    """

    action: str
    proto: str
    dport: str
    dst: str
    sport: str
    src: str
    direction: str = "in"
    interface_in: str = ""
    interface_out: str = ""
    route: bool = False
    log: str = ""
    dapp: str = ""
    sapp: str = ""
    comment: str = ""

    @property
    def match(self) -> tuple[Any, ...]:
        """What the rule matches. ufw holds two rules with the same match for one rule with another action."""
        return self[1:10] + self[11:13]

    @property
    def suffix(self) -> str:
        """The last part of the names of the chains that the rule stands in."""
        if self.route:
            return "forward"
        return "output" if self.direction == "out" else "input"

    @property
    def app_match(self) -> tuple[Any, ...] | None:
        """What the tuples of one application rule have in common: a profile with several ports has several tuples."""
        if not self.dapp and not self.sapp:
            return None
        return (
            "app",
            self.dapp,
            "" if self.dapp else self.dport,
            self.dst,
            self.sapp,
            "" if self.sapp else self.sport,
            self.src,
            self.direction,
            self.interface_in,
            self.interface_out,
            self.route,
        )


def is_anywhere(address: str) -> bool:
    """Whether an address of a rule stands for every address of its family."""
    return address in ("0.0.0.0/0", "::/0")


def valid_interface(name: str) -> bool:
    """Whether ufw accepts this interface name (at most 15 characters: a kernel limit; no ``!``, ``:``, ``/``)."""
    return name not in (".", "..") and _INTERFACE.match(name) is not None


def port_key(port: str) -> tuple[int, int]:
    """The place of one port or range in a port list: by number, a single port before a range that starts with it."""
    first, _colon, last = port.partition(":")
    return int(first), int(last or 0)


def is_plain_number(text: str) -> bool:
    """Whether a text is a number that every tool reads alike: digits of ASCII, no zero in front."""
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def is_port(text: str) -> bool:
    """Whether a text is a port that ufw and the kernel read alike."""
    return is_plain_number(text) and 1 <= int(text) <= 65535


def ports_problem(items: Sequence[str]) -> str | None:
    """The first item of a list of ports that is neither a port nor a range; None where all are."""
    for item in items:
        ends = item.split(":")
        if len(ends) > 2 or not all(is_port(end) for end in ends):
            return item
        if len(ends) == 2 and int(ends[0]) >= int(ends[1]):
            return item
    return None


def sort_ports(ports: str) -> str:
    """A port list in the order that ufw stores it in."""
    if "," not in ports:
        return ports
    return ",".join(sorted(ports.split(","), key=port_key))


# -- the tuple line --------------------------------------------------------------------------------------------------


def format_tuple(rule: Rule) -> str:
    """The rule's ``### tuple ###`` line, without a line break."""
    action = ("route:" if rule.route else "") + rule.action + ("_" + rule.log if rule.log else "")
    words = [_TUPLE, action, rule.proto, rule.dport, rule.dst, rule.sport, rule.src]
    if rule.dapp or rule.sapp:
        words += [rule.dapp.replace(" ", "%20") or "-", rule.sapp.replace(" ", "%20") or "-"]
    words.append(_format_interfaces(rule))
    if rule.comment:
        words.append("comment=" + binascii.hexlify(rule.comment.encode("utf-8")).decode("ascii"))
    return " ".join(words)


def _format_interfaces(rule: Rule) -> str:
    if rule.interface_in and rule.interface_out:
        return f"in_{rule.interface_in}!out_{rule.interface_out}"
    interface = rule.interface_in or rule.interface_out
    return f"{rule.direction}_{interface}" if interface else rule.direction


def is_tuple(line: str) -> bool:
    """Whether a line of a rules file holds a rule."""
    return line.startswith(_TUPLE)


def parse_tuple(line: str) -> Rule:
    """Read a ``### tuple ###`` line; MalformedTuple where ufw itself would skip it."""
    body, _mark, comment = line[len(_TUPLE) :].partition(" comment=")
    words = body.split()
    if len(words) not in (6, 7, 8, 9):
        raise MalformedTuple(f"has {len(words)} fields, expected 6 to 9")
    direction, interface_in, interface_out = _parse_interfaces(words.pop() if len(words) in (7, 9) else "in")
    action, _underscore, log = words[0].partition("_")
    route, action = action.startswith("route:"), action.rpartition(":")[2]
    if action not in ACTIONS:
        raise MalformedTuple("action is {}, expected one of {}".format(action, ", ".join(ACTIONS)))
    if log not in _LOG_TEXT:
        raise MalformedTuple(f"log type is {log}, expected log or log-all")
    if words[1] not in PROTOCOLS:
        raise MalformedTuple("protocol is {}, expected one of {}".format(words[1], ", ".join(PROTOCOLS)))
    for address in (words[3], words[5]):
        _check_address(address)
    dapp, sapp = ("" if word == "-" else word.replace("%20", " ") for word in (words[6:8] or ("-", "-")))
    return Rule(
        action,
        words[1],
        sort_ports(_parse_ports(words[2])),
        words[3],
        sort_ports(_parse_ports(words[4])),
        words[5],
        direction,
        interface_in,
        interface_out,
        route,
        log,
        dapp,
        sapp,
        _parse_comment(comment),
    )


def _parse_ports(ports: str) -> str:
    if ports == "any":
        return ports
    return ",".join(":".join(_parse_port(end) for end in port.split(":")) for port in ports.split(","))


def _parse_port(text: str) -> str:
    """A port as the kernel has it: ufw stores what was typed, and iptables reads a zero in front as octal."""
    if not (text.isascii() and text.isdigit()):
        raise MalformedTuple(f"port is {text}, expected any or numbers")
    if text[0] != "0" and int(text) <= 65535:
        return text
    if set(text) & set("89") or not 0 < int(text, 8) <= 65535 or text[0] != "0":
        raise MalformedTuple(f"port is {text}, which is no port 1-65535 to iptables")
    return str(int(text, 8))


_PORT_OPTIONS = re.compile(r"(--[ds]ports? )([0-9,:]+)")
_ZERO_IN_FRONT = re.compile(r"(?<![0-9])0[0-7]+")


def in_force(text: str) -> tuple[str, dict[str, str]]:
    """A rules file with its ports as the kernel reads them, and which were written with a zero in front."""
    read: dict[str, str] = {}

    def decimal(found: re.Match[str]) -> str:
        read[found.group()] = str(int(found.group(), 8))
        return read[found.group()]

    if not re.search(r"--[ds]ports? (?:[0-9,:]*[,:])?0[0-7]", text):
        return text, read
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if is_tuple(line):
            words = line.split(" ")
            for index in (5, 7):
                if index < len(words):
                    words[index] = sort_ports(_ZERO_IN_FRONT.sub(decimal, words[index]))
            lines[place] = " ".join(words)
        elif line.startswith("-A "):
            lines[place] = _PORT_OPTIONS.sub(lambda one: one[1] + sort_ports(_ZERO_IN_FRONT.sub(decimal, one[2])), line)
    return "\n".join(lines), read


def _check_address(text: str) -> None:
    """Only that the address itself is one: masks are ufw's own writing."""
    address = text.partition("/")[0]
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError as error:
        raise MalformedTuple(f"address is {text}, expected an address or a network") from error


def _parse_interfaces(word: str) -> tuple[str, str, str]:
    """``in``, ``out``, ``in_eth0``, ``out_wg0`` or ``in_eth0!out_docker0`` -> direction and both interfaces."""
    direction = word.partition("_")[0]
    if direction not in ("in", "out"):
        raise MalformedTuple(f"direction is {word}, expected in or out")
    first, _mark, second = word.partition("!")
    names = {part.partition("_")[0]: part.partition("_")[2] for part in (first, second) if "_" in part}
    for name in names.values():
        if not valid_interface(name):
            raise MalformedTuple(f"{name} is not an interface name")
    return direction, names.get("in", ""), names.get("out", "")


def _parse_comment(text: str) -> str:
    digits = text.strip()
    try:
        return binascii.unhexlify(digits[: len(digits) & ~1]).decode("utf-8", "backslashreplace")
    except (binascii.Error, ValueError) as error:
        raise MalformedTuple(f"comment is not in hexadecimal: {error}") from error


# -- the iptables lines ----------------------------------------------------------------------------------------------


@functools.cache  # a run asks for each rule's lines four times
def iptables_lines(rule: Rule, family: int) -> tuple[tuple[str, str], ...]:
    """The rule as iptables rules: (chain, specification), in the order and the words that ufw writes."""
    prefix = PREFIX[family]
    chain = f"{prefix}-user-{rule.suffix}"
    # iptables knows ports only together with a protocol, so "any" with a port is two rules.
    if rule.proto == "any" and (rule.dport != "any" or rule.sport != "any"):
        protocols = ["tcp", "udp"]
    else:
        protocols = [rule.proto]
    lines: list[tuple[str, str]] = []
    for proto in protocols:
        match = _iptables_match(rule, proto)
        if rule.log:
            lines += _log_lines(rule, match, prefix, chain)
        lines += [(chain, match + verdict) for verdict in _verdicts(rule, proto, prefix)]
    return tuple(lines)


def _iptables_match(rule: Rule, proto: str) -> str:
    words = []
    if rule.interface_in:
        words.append("-i " + rule.interface_in)
    if rule.interface_out:
        words.append("-o " + rule.interface_out)
    ports = [(option, value) for option, value in (("dport", rule.dport), ("sport", rule.sport)) if value != "any"]
    multiport = any("," in value or ":" in value for _option, value in ports)
    if proto != "any":
        words.append("-p " + proto)
    if multiport:
        words += ["-m multiport --{}s {}".format(*port) for port in ports]
    ends = (("-d", rule.dst, "--dport", rule.dport), ("-s", rule.src, "--sport", rule.sport))
    for option, address, name, port in ends:
        if not is_anywhere(address):
            words.append(f"{option} {address}")
        if port != "any" and not multiport:
            words.append(f"{name} {port}")
    return "".join(word + " " for word in words)


def _log_lines(rule: Rule, match: str, prefix: str, chain: str) -> list[tuple[str, str]]:
    log_chain = f"{prefix}-user-logging-{rule.suffix}"
    state = "" if rule.log == "log-all" else "-m conntrack --ctstate NEW "
    label = _LOG_NAMES.get(rule.action, "BLOCK")
    return [
        (log_chain, f'{match}{state}{_LOG_LIMIT} -j LOG --log-prefix "[UFW {label}] "'),
        (log_chain, match + "-j RETURN"),
        (chain, match + "-j " + log_chain),
    ]


def _verdicts(rule: Rule, proto: str, prefix: str) -> list[str]:
    note = ""
    if rule.dapp or rule.sapp:
        apps = [kind + app.replace(" ", "%20") for kind, app in (("dapp_", rule.dapp), ("sapp_", rule.sapp)) if app]
        note = " -m comment --comment '{}'".format(",".join(apps))
    if rule.action == "limit":
        recent = "-m conntrack --ctstate NEW -m recent "
        return [
            recent + "--set" + note,
            recent + f"--update --seconds 30 --hitcount 6 -j {prefix}-user-limit" + note,
            f"-j {prefix}-user-limit-accept" + note,
        ]
    reset = " --reject-with tcp-reset" if rule.action == "reject" and proto == "tcp" else ""
    return ["-j " + _TARGETS[rule.action] + reset + note]


# -- the text that people read ---------------------------------------------------------------------------------------


def describe(rule: Rule, note: str = "") -> str:
    """The rule in the words of the ufw command, e.g. ``allow in proto tcp from 10.0.1.0/24 to any port 22``."""
    words = ["route " if rule.route else "", rule.action, " "]
    if rule.route:
        ways = (("in", rule.interface_in), ("out", rule.interface_out))
        words += [f"{way} on {interface} " for way, interface in ways if interface]
    else:
        interface = rule.interface_in or rule.interface_out
        words.append(f"{rule.direction} on {interface} " if interface else rule.direction + " ")
    words.append(_LOG_TEXT[rule.log])
    if not rule.dapp and not rule.sapp and rule.proto != "any":
        words.append(f"proto {rule.proto} ")
    words.append("from " + _describe_end(rule.src, rule.sport, rule.sapp))
    words.append(" to " + _describe_end(rule.dst, rule.dport, rule.dapp))
    if note:
        words.append(f" ({note})")
    if rule.comment:
        words.append("  # " + printable(rule.comment))
    return "".join(words)


def _describe_end(address: str, port: str, app: str) -> str:
    text = "any" if is_anywhere(address) else address
    if app:
        return f"{text} app '{app}'"
    return text if port == "any" else f"{text} port {port}"


def twin(rule: Rule) -> Rule:
    """The same rule of the other family; meaningful only where both ends are anywhere or unset."""
    swap: dict[str, str] = {"0.0.0.0/0": "::/0", "::/0": "0.0.0.0/0"}
    return rule._replace(dst=swap.get(rule.dst, rule.dst), src=swap.get(rule.src, rule.src))


def has_both_families(rule: Rule) -> bool:
    """Whether a rule that names no address can stand in both families."""
    return is_anywhere(rule.src) and is_anywhere(rule.dst) and rule.proto not in V4_ONLY_PROTOCOLS
