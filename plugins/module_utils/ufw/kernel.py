# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel filters now, read from iptables-save, and rules compared by what they mean.

iptables-save does not print what was loaded: it adds `-m tcp`, `/32` and defaults, reorders options, names or numbers
protocols (1.8.9 prints `-p vrrp`, 1.8.11 `-p 112`), masks IPv6 host bits. ``canonical`` takes both sides to one form.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import (
    BUILTIN,
    ICMP_TYPES,
    PROTOCOLS,
    SPELLINGS,
    logical_lines,
    notes,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host, Result

SAVE = {4: "iptables-save", 6: "ip6tables-save"}
RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}

#: The protocols that iptables-save prints by name, by their numbers and other names.
_PROTOCOLS = {
    **{
        str(PROTOCOLS[name]): name
        for name in ("icmp", "igmp", "tcp", "udp", "ipv6", "gre", "esp", "ah", "ipv6-icmp", "vrrp")
    },
    "icmpv6": "ipv6-icmp",
}
_LONG = {**SPELLINGS, "--proto": "-p", "--state": "--ctstate"}
# A match whose options say everything, so that `-m NAME` itself adds nothing.
_SELF_EVIDENT = frozenset(
    (
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "ipv6-icmp",
        "icmpv6",
        "multiport",
        "conntrack",
        "state",
        "limit",
        "recent",
        "comment",
        "addrtype",
        "hl",
        "rt",
    )
)
_WITH_DEFAULTS = (("limit", "--limit "), ("rt", "--rt-"))
# Printed by iptables-save although they are the defaults.
_DEFAULTS = frozenset(
    (
        ("--name", "DEFAULT"),
        ("--mask", "255.255.255.255"),
        ("--mask", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("--rsource", ""),
        ("--reject-with", "icmp-port-unreachable"),
        ("--reject-with", "icmp6-port-unreachable"),
        ("--limit-burst", "5"),
        ("--log-level", "4"),
        ("--log-level", "warning"),
        ("-p", "all"),
        ("-i", "+"),  # every device
        ("-o", "+"),
        ("--rt-segsleft", "0:4294967295"),
    )
)
_TOKENS = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|(\S+)')


class Kernel(NamedTuple):
    """The filter table of one family: built-in policies, and every chain's rules as iptables-save prints them.
    ``security`` is the table of that name, where it matters; ``others`` are the tables that ufw's files have rules for."""

    policies: dict[str, str]
    chains: dict[str, list[str]]
    security: Optional[Kernel] = None
    others: Optional[dict[str, Kernel]] = None


def start_reading(
    host: Host, families: Iterable[int], optional: Collection[int] = ()
) -> Callable[[], dict[int, Kernel]]:
    """Start one iptables-save of the filter table a family, all at once; what is returned waits for them, and is the
    kernel of each. RulesetError where one fails that is not ``optional``."""
    started = {}
    for family in families:
        try:
            started[family] = host.start([SAVE[family], "-t", "filter"])
        except RulesetError:
            if family not in optional:
                raise

    def end() -> dict[int, Kernel]:
        done = {family: wait() for family, wait in started.items()}
        return {
            family: _read(host, family, result)
            for family, result in done.items()
            if not (result.status and family in optional)
        }

    return end


def _read(host: Host, family: int, done: Result) -> Kernel:
    """Of IPv6 the security table, too, where Docker's rules, or ours about it, are there."""
    command = SAVE[family]
    if done.status:
        raise RulesetError(
            f"{command} failed (status {done.status}): {done.err.strip() or 'no message'}; check that "
            "the kernel has netfilter and that the task runs as root (become: true)"
        )
    hidden = [note for note in notes(done.out) if "`filter' is incompatible" in note]
    if hidden:
        raise RulesetError(
            f"{command}: {hidden[0]} It holds rules that iptables cannot show, so what is in force is not known; remove them with nft"
        )
    kernel = parse_save(done.out)
    if family == 6 and "DOCKER" in done.out:
        kernel = kernel._replace(security=read_security(host))
    return kernel


def read_table(host: Host, family: int, table: str) -> Kernel:
    """Another table of the kernel; RulesetError where it cannot be read."""
    command = [SAVE[family], "-t", table]
    done = host.run(command)
    if done.status:
        raise RulesetError(f"`{' '.join(command)}` failed (status {done.status}): {done.err.strip() or 'no message'}")
    return parse_tables(done.out).get(table, Kernel({}, {}))


def read_security(host: Host) -> Kernel:
    """IPv6's security table; empty where the kernel has none."""
    done = host.run([SAVE[6], "-t", "security"])
    return parse_save("" if done.status else done.out)


def parse_save(text: str) -> Kernel:
    """Take iptables-save's output of one table, filter or security, apart."""
    tables = parse_tables(text)
    kernel = next(iter(tables.values())) if tables else Kernel({}, {})
    # Without any rule there may be no table yet: then everything is accepted.
    for name in BUILTIN:
        kernel.chains.setdefault(name, [])
        kernel.policies.setdefault(name, "ACCEPT")
    return kernel


def parse_tables(text: str) -> dict[str, Kernel]:
    """Take iptables-save's output of any tables apart, by table."""
    tables: dict[str, Kernel] = {}
    kernel = Kernel({}, {})
    for _number, line in logical_lines(text):
        policies, chains = kernel.policies, kernel.chains
        if line.startswith("-A "):
            chain, _space, specification = line[3:].partition(" ")
            chains[chain].append(specification)
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[name] = []
            if policy != "-":
                policies[name] = policy
        elif line.startswith("*"):
            kernel = tables.setdefault(line[1:].strip(), Kernel({}, {}))
    return tables if tables or not kernel.chains else {"filter": kernel}


def jump_target(rule: str) -> str:
    """The target of a rule of a chain that is ufw's or ours alone, empty where it has none."""
    return rule.partition("-j ")[2].partition(" ")[0]


def canonical(specification: str) -> tuple[str, ...]:
    """A rule as a sorted tuple of its options, the same for what was written and for what iptables-save prints."""
    if '"' in specification or "'" in specification:
        words = [_word(found) for found in _TOKENS.finditer(specification)]
    else:
        words = specification.split()
    options: list[tuple[str, str]] = []
    negated = ""
    for word in words:
        if word == "!":
            negated = "! "
        elif word.startswith("-") and len(word) > 1 and not word[1].isdigit():
            options.append((negated + _LONG.get(word, word), ""))
            negated = ""
        elif options:
            name, value = options[-1]
            options[-1] = (name, value + " " + word if value else word)
        else:
            options.append(("", word))
    form = [_option(*option) for option in options]
    # Alone, these are no match of every packet, but have defaults of their own.
    form += [f"-m {name}" for name, own in _WITH_DEFAULTS if ("-m", name) in options and own not in specification]
    return tuple(sorted(filter(None, form)))


def is_plain(rule: tuple[str, ...]) -> bool:
    """Whether every option of a canonical rule is one whose value the kernel prints as it is there, so that two
    different forms mean different rules."""
    for option in rule:
        name, _space, value = option.replace("! ", "", 1).partition(" ")
        form = _PLAIN.get(name)
        if form is None or not re.match(form, value):
            return False
        if (name in ("-s", "-d") and not _is_network(value)) or (
            name in _PORTS and not _are_ports(value, name[-1] == "s")
        ):
            return False
    return True


# Texts, here and in other files that every run loads: re compiles them where they are used, which is not in most runs.
_ANY = r"(?s).+\Z"
_NUMBERS = r"[1-9][0-9]*(?:[:,][1-9][0-9]*)*\Z"
_NUMBER = r"(?:0|[1-9][0-9]*)\Z"
_NONE = r"\Z"
_PORTS = ("--dport", "--sport", "--dports", "--sports")
_STATES = "(?:INVALID|NEW|ESTABLISHED|RELATED|UNTRACKED|SNAT|DNAT)"
_TYPES = "(?:UNICAST|LOCAL|BROADCAST|ANYCAST|MULTICAST)"
#: Options whose values are known -> how the kernel prints them. It has other words for a name that is cut short, a number with
#: a zero in front, a rate that is a whole one of the next unit, any device (-i +).
_PLAIN = {
    **dict.fromkeys(("-j", "-g", "--log-prefix", "--comment", "--name"), _ANY),
    **dict.fromkeys(("-i", "-o"), r"(?!\+\Z).+\Z"),
    **dict.fromkeys(_PORTS, _NUMBERS),
    **dict.fromkeys(("--seconds", "--hitcount", "--limit-burst", "--hl-eq", "--rt-type"), _NUMBER),
    **dict.fromkeys(("--set", "--update"), _NONE),
    **dict.fromkeys(("--icmp-type", "--icmpv6-type"), r"(?!255)(?:0|[1-9][0-9]*)(?:/(?:0|[1-9][0-9]*))?\Z"),
    **dict.fromkeys(("-s", "-d"), r"[0-9a-f.:]+(?:/(?:0|[1-9][0-9]*))?\Z"),
    **dict.fromkeys(("--dst-type", "--src-type"), rf"{_TYPES}(?:,{_TYPES})*\Z"),
    "--ctstate": rf"{_STATES}(?:,{_STATES})*\Z",
    "--reject-with": r"(?:tcp-reset|icmp-(?:net|host|port|proto)-unreachable|icmp-(?:net|host|admin)-prohibited"
    r"|icmp6-(?:no-route|adm-prohibited|addr-unreachable|port-unreachable))\Z",
    "-p": "(?:" + "|".join(sorted(set(_PROTOCOLS.values()))) + r")\Z",
    "--limit": r"(?:[1-9][0-9]?/sec|[1-5]?[0-9]/(?:min|hour)|1?[0-9]/day)\Z",
}


def _is_network(value: str) -> bool:
    """Whether an address is whole and has no host bits, which the kernel would cut."""
    host, slash, bits = value.partition("/")
    family, width = (socket.AF_INET6, 128) if ":" in host else (socket.AF_INET, 32)
    try:
        number = int.from_bytes(socket.inet_pton(family, host), "big")
    except OSError:
        return False
    length = int(bits) if slash else width
    return length <= width and number & ((1 << (width - length)) - 1) == 0


def _are_ports(value: str, listed: bool) -> bool:
    """Whether each port is one, and each range has more than one. ``listed``: of --dports; multiport prints its --dport so."""
    ends = [[*map(int, item.split(":"))] for item in value.split(",")]
    return (listed or len(ends) == 1) and all(
        ports[-1] < 65536 and (len(ports) == 1 or ports[0] < ports[1]) for ports in ends
    )


def _word(found: re.Match[str]) -> str:
    """One word without its quotes. A profile's comment that `ufw allow` loaded has quotes inside: \"\\'dapp_X\\'\"; any other
    single quotes are part of the word to iptables."""
    quoted, single, plain = found.groups()
    if single is not None:
        return single if single.startswith(("dapp_", "sapp_")) else found.group()
    if quoted is None:
        return plain
    text = quoted.replace("\\'", "'").replace('\\"', '"').replace("\\\\", "\\")
    return text[1:-1] if text.startswith(("'dapp_", "'sapp_")) else text


@functools.cache  # rules have most of their options in common
def _option(name: str, value: str) -> str:
    """One option in its one form; nothing where it says no more than its absence."""
    value = _value(name, value)
    if (
        (name, value) in _DEFAULTS
        or (name == "-m" and value in _SELF_EVIDENT)
        or (name in ("-s", "-d") and value in ("0.0.0.0/0", "::/0"))
    ):
        return ""
    return name + " " + value


def _value(name: str, value: str) -> str:
    if name in ("-s", "-d", "! -s", "! -d", "--ctorigdst"):
        return _address(value)
    if name == "-p":
        return _PROTOCOLS.get(value, value)
    if name == "--limit":
        return value.replace("/minute", "/min").replace("/second", "/sec")
    if name == "--icmp-type":
        return ICMP_TYPES[4].get(value, value)
    if name == "--icmpv6-type":
        return ICMP_TYPES[6].get(value, value)
    if name in ("--ctstate", "--dst-type", "--src-type"):
        return ",".join(sorted(set(value.split(","))))
    return value


def _address(text: str) -> str:
    """Without the mask of a single host; IPv6 networks without host bits and in the shortest form."""
    host, _slash, mask = text.partition("/")
    if ":" not in text:
        return host if mask in ("32", "255.255.255.255") else text
    try:
        bits = int(mask or 128)
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, host), "big") >> (128 - bits) << (128 - bits)
    except (OSError, ValueError):  # a list of addresses or a mask, which only a hand-written rules file has
        return text
    host = socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))
    return host if bits == 128 else f"{host}/{bits}"
