# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""before.rules and after.rules: what they load.

They are written by hand, in all of iptables-restore's language, and ufw loads every line of them. The kernel prints them
in other words: ``1/s`` as ``1/sec``, service names as numbers, networks without host bits, a list of addresses as several
rules. Only the kernel's own tools know both, so that a file which does not read plainly is loaded once into a network
namespace of its own, where it filters nothing, and what is there then is what the file says (``spelled``). Where no such
namespace can be had, what cannot be compared is left alone, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import (
    PLAIN,
    VERDICTS,
    Unclosed,
    logical_lines,
    words,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host, Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import (
    RESTORE,
    SAVE,
    Kernel,
    canonical,
    parse_tables,
)

#: The marks of our own block in after.rules.
BEGIN = "# BEGIN bulkhead.tiers docker"
END = "# END bulkhead.tiers docker"
#: Those in before.rules, and in before.init.
NAT_BEGIN = "# BEGIN bulkhead.tiers nat"
NAT_END = "# END bulkhead.tiers nat"
#: The chains that the kernel itself has in each table.
BUILT_IN = frozenset(("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"))
#: The longest that the scratch load of a file may take, in seconds, and what `timeout` ends with after it.
_SECONDS, _TOO_LATE = "20", 124
#: What the shell in the namespace says first: what fails after that is the load.
_MADE = "bulkhead: namespace made"
#: Matches and targets that need nothing but the kernel: no set, program, file or object that only the host itself has.
_KERNELS_OWN = (
    PLAIN | VERDICTS | frozenset("limit recent connlimit owner hl rt LOG REJECT MASQUERADE SNAT DNAT REDIRECT".split())
)

Line = tuple[str, str]


class TableRules(NamedTuple):
    """What a file does to one table: the chains that it declares (which empties them), built-in ones left out, and its
    rules as (chain, specification), in their order. ``inserted`` are the chains that it inserts rules into."""

    declared: tuple[str, ...] = ()
    rules: tuple[Line, ...] = ()
    inserted: frozenset[str] = frozenset()


class FileRules(NamedTuple):
    """What a rules file loads, by table. ``unread`` are the lines that are not understood here; ``certain`` is whether the
    rules are in the kernel's own words; ``open_table`` is one that the file begins and does not commit. ``unloaded`` is why
    iptables-restore did not load it into a namespace of its own; ``lost`` is whether a boot would not load it either."""

    path: str
    text: str
    tables: dict[str, TableRules]
    unread: tuple[str, ...] = ()
    certain: bool = False
    open_table: str = ""
    unloaded: str = ""
    lost: bool = False

    def table(self, name: str) -> TableRules:
        """What the file does to a table."""
        return self.tables.get(name, TableRules())

    @property
    def is_plain(self) -> bool:
        """Whether the file has nothing but rules of ufw's own chains, in words that are understood."""
        others = any(table.rules for name, table in self.tables.items() if name != "filter")
        return (
            not self.unread and not others and not any(chain in BUILT_IN for chain, _rule in self.table("filter").rules)
        )


_COUNTERS = re.compile(r"\[\d+:\d+\]\s+")
_COMMANDS = {"-A": "-A", "--append": "-A", "-I": "-I", "--insert": "-I", "-D": "-D", "--delete": "-D", "-F": "-F"}


def read_file(path: str, text: str) -> FileRules:
    """Read a rules file as far as it is plain."""
    reader = _Reader()
    for _number, line in logical_lines(text):
        reader.line(line.strip())
    return FileRules(
        path,
        text,
        {
            name: TableRules(tuple(dict.fromkeys(table.declared)), tuple(table.rules), frozenset(table.inserted))
            for name, table in reader.tables.items()
        },
        tuple(reader.unread),
        open_table=reader.open_table,
    )


class _Table:
    def __init__(self) -> None:
        self.declared: list[str] = []
        self.rules: list[Line] = []
        self.inserted: set[str] = set()


class _Reader:
    """A pass over the lines of a file."""

    def __init__(self) -> None:
        self.tables: dict[str, _Table] = {}
        self.table: Optional[_Table] = None
        self.open_table = ""
        self.unread: list[str] = []

    def line(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if line.startswith("*"):
            self.open_table = line[1:].strip()
            self.table = self.tables.setdefault(self.open_table, _Table())
        elif line == "COMMIT":
            self.table = None
            self.open_table = ""
        elif self.table is None:
            self.unread.append(line)
        elif line.startswith(":"):
            name = line[1:].split()[0] if line[1:].split() else ""
            if name not in BUILT_IN:
                self.table.declared.append(name)
                self.table.rules = [rule for rule in self.table.rules if rule[0] != name]
        elif not self._command(self.table, line):
            self.unread.append(line)

    @staticmethod
    def _command(table: _Table, line: str) -> bool:
        """Take a command; False where it is not understood."""
        line = _COUNTERS.sub("", line, count=1) if line.startswith("[") else line
        parts = line.split(None, 2)
        how = _COMMANDS.get(parts[0])
        if how is None or len(parts) < 2 or not parts[1].isprintable() or set(parts[1]) & set("\"'\\"):
            return False
        chain, rule = parts[1], _plain(parts[2]) if len(parts) > 2 else ""
        if rule is None:
            return False
        if how == "-A":
            table.rules.append((chain, rule))
            return True
        if how == "-I":
            number, _space, rest = rule.partition(" ")
            table.inserted.add(chain)
            table.rules.insert(
                _insert_position(table.rules, chain, number), (chain, rest if number.isdigit() else rule)
            )
            return True
        if how == "-F" and not rule:
            table.rules = [line for line in table.rules if line[0] != chain]
            return True
        form = canonical(rule)
        for place, (where, one) in enumerate(table.rules):
            if how == "-D" and where == chain and canonical(one) == form:
                del table.rules[place]
                return True
        return False


#: A line of one family alone: the tools of the other one pass over it.
_FAMILY = frozenset(("-4", "-6", "--ipv4", "--ipv6"))


def _plain(rule: str) -> Optional[str]:
    """A specification with single blanks between its words; None where it cannot be split."""
    try:
        found = words(rule)
    except Unclosed:
        return None
    if not _FAMILY.isdisjoint(found):
        return None
    return rule if '"' in rule else " ".join(found)


def _insert_position(rules: list[Line], chain: str, number: str) -> int:
    """Where `-I CHAIN [NUMBER]` puts a rule in the list of all chains' rules."""
    wanted = int(number) if number.isdigit() else 1
    places = [index for index, (name, _rule) in enumerate(rules) if name == chain]
    return places[wanted - 1] if wanted <= len(places) else len(rules)


def split_block(text: str, begin: str = BEGIN, end: str = END) -> tuple[str, list[str]]:
    """A file of ufw without our blocks with these marks, and the blocks. A block without its end is a RulesetError: what of the rest of
    the file belongs to it is not known."""
    rest: list[str] = []
    blocks: list[list[str]] = []
    inside = False
    for line in text.splitlines(keepends=True):
        mark = line.rstrip()
        if mark == begin:
            if inside:
                break
            blocks.append([])
            inside = True
        (blocks[-1] if inside else rest).append(line)
        if mark == end and inside:
            inside = False
    if inside:
        raise RulesetError(
            f"a file of ufw has {begin!r} without {end!r} after it; restore that line, or remove the block"
        )
    return "".join(rest), ["".join(lines) for lines in blocks]


# -- in the kernel's own words ---------------------------------------------------------------------------------------


def spelled(host: Host, family: int, file: FileRules, kernel: Optional[Kernel]) -> FileRules:
    """The file in the kernel's own words; as it was where the tools do not load it, or no namespace is to be had."""
    if file.certain:
        return file
    text, sets = _without_sets(file.text)
    # Rules may jump to chains that the file does not declare: ufw's own, and those of other programs.
    known = [name for name in (kernel.chains if kernel else ()) if name not in BUILT_IN]
    chains = dict.fromkeys([*standard_chains(family), *known])
    # Some matches depend on where a chain is come from (owner, physdev): the kernel takes them in a chain that nothing leads to.
    hooks = [(way.upper(), f"-j {_prefix(family)}-{kind}-{way}") for kind in ("before", "after") for way in _WAYS]
    policies = [f":{way.upper()} ACCEPT [0:0]\n" for way in _WAYS]
    lines = [*policies, *(f":{name} - [0:0]\n" for name in chains), *(f"-A {chain} {rule}\n" for chain, rule in hooks)]
    prelude = "".join(("*filter\n", *lines, "COMMIT\n"))
    script = f"echo {_MADE} >&2; {RESTORE[family]} -n -w 10 && {SAVE[family]}"
    done = host.run(["timeout", _SECONDS, "unshare", "--net", "--", "sh", "-c", script], prelude + text)
    if done.status:
        return _unloaded(file, done, prelude.count("\n"), chains)
    tables = {}
    for name, found in parse_tables(done.out).items():
        read = file.table(name)
        read_back = ((chain, _with_sets(rule, sets)) for chain, lines in found.chains.items() for rule in lines)
        rules = [line for line in read_back if name != "filter" or line not in hooks]
        if rules or read.declared:
            tables[name] = TableRules(read.declared, tuple(rules), read.inserted)
    return file._replace(tables=tables, unread=(), certain=True)


def _unloaded(file: FileRules, done: Result, shift: int, chains: Iterable[str]) -> FileRules:
    """A file that could not be spelled out, with the reason where it is the file itself: `--test` takes a line that only fails
    when it is carried out (-E, -R), even one that iptables-restore crashes at."""
    _before, made, said = done.err.partition(_MADE)
    if not made:
        return file
    message = _shifted(" ".join(said.split()) or "no message", file.text, 0, shift)
    names = re.findall(r"(?m)^[^#\n]*?[ \t](?:-m|--match|-j|--jump|-g|--goto)[ \t]+(\S+)", file.text)
    own = {*_KERNELS_OWN, *chains, *(name for table in file.tables.values() for name in table.declared)}
    busy = done.status == _TOO_LATE or "xtables lock" in said
    lost = not busy and (done.status > 128 or own.issuperset(names))
    return file._replace(unloaded=f"{message} (status {done.status})", lost=lost)


_SET = r"-m set ((?:! )?--match-set \S+ \S+)"
_PLACE = r"-m comment --comment bulkhead_set_(\d+)_"


def _without_sets(text: str) -> tuple[str, list[str]]:
    """A text whose matches of sets are comments: sets belong to a namespace, and are not there in a new one."""
    sets: list[str] = []

    def place(found: re.Match[str]) -> str:
        sets.append(found[1])
        return f"-m comment --comment bulkhead_set_{len(sets) - 1}_"

    return re.sub(_SET, place, text), sets


def _with_sets(rule: str, sets: list[str]) -> str:
    return re.sub(_PLACE, lambda found: f"-m set {sets[int(found[1])]}", rule) if sets else rule


_WAYS = ("input", "output", "forward")


def _prefix(family: int) -> str:
    return "ufw" if family == 4 else "ufw6"


def standard_chains(family: int) -> list[str]:
    """The chains that ufw makes before it loads the files."""
    prefix = _prefix(family)
    kinds = (
        "before-logging",
        "before",
        "after",
        "after-logging",
        "reject",
        "track",
        "skip-to-policy",
        "user",
        "user-logging",
    )
    chains = [f"{prefix}-{kind}-{way}" for kind in kinds for way in _WAYS]
    return chains + [
        f"{prefix}-{name}" for name in ("logging-deny", "logging-allow", "user-limit", "user-limit-accept")
    ]


def start_loading(host: Host, family: int, name: str, text: str, chains: Iterable[str] = ()) -> Callable[[], str]:
    """Start iptables-restore's own check of a file, which changes nothing; what is returned waits for it, and says why
    the file would not be loaded at the next boot, empty where it would."""
    if not text.strip():
        return lambda: f"{name}: is empty, which ufw takes for an error"
    # The chains that are there before a file is loaded, declared in its filter table: --test empties none of them.
    known = [chain for chain in chains if chain not in BUILT_IN]
    extra = "".join(f":{chain} - [0:0]\n" for chain in dict.fromkeys([*standard_chains(family), *known]))
    start = text.find("*filter\n")
    body = text if start < 0 else text[: start + 8] + extra + text[start + 8 :]
    end = host.start([RESTORE[family], "-n", "-w", "10", "--test"], body)

    def problem() -> str:
        done = end()
        if not done.status:
            return ""
        message = " ".join(done.err.split()) or "no message"
        head, shift = (text[:start].count("\n") + 1, extra.count("\n")) if start >= 0 else (0, 0)
        return f"{name}: iptables-restore does not load it: {_shifted(message, text, head, shift)}"

    return problem


_LINE = r"line:? (\d+)"


def _shifted(message: str, text: str, head: int, shift: int) -> str:
    """The message with the line's number in the file itself, and the line. ``shift``: how many lines were put in after the
    first ``head`` ones."""
    found = re.search(_LINE, message)
    if not found:
        return message
    number = int(found[1])
    number = number if number <= head else max(number - shift, head)
    lines = text.split("\n")
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    return f"line {number}: {line.strip()!r}: {message}"
