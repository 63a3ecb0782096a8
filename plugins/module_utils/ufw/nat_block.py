# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Address translation: a marked block of before.rules and before6.rules, and a hook in before.init.

The block has two chains of its own in the table nat, one for what the host forwards (PREROUTING, DNAT) and one for what
it masquerades (POSTROUTING). A declared chain is emptied as it is loaded. The jumps to them stand in chains that other
programs use too (Docker, Tailscale), so that nothing may be flushed there, and iptables-restore can only add a rule, not
see to it that it is there once: ufw's reload would add each jump again, and ufw's stop would leave them. The hook, which
ufw runs before it starts and before it stops, takes away our own two jumps and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair, differences
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.edits import Edit, Section
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import BEFORE_INIT, FRAMEWORK, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import (
    NAT_BEGIN,
    NAT_END,
    FileRules,
    split_block,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, read_table
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import ANYWHERE, is_anywhere
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import Boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, translates

BEFORE = {family: FRAMEWORK[family][0] for family in (4, 6)}
TABLE = "nat"
#: Our chains, and how the kernel's own lead to them. What is forwarded is asked first, before Docker's published ports.
CHAINS = {"forward": "bulkhead-forward", "masquerade": "bulkhead-masquerade"}
JUMPS = {
    "PREROUTING": ("-I", f"-j {CHAINS['forward']}"),
    "POSTROUTING": ("-A", f"-j {CHAINS['masquerade']}"),
}
#: What becomes of a packet.
NONE, FORWARD, MASQUERADE = "none", "forward", "masquerade"
TARGETS = {NONE: "RETURN", FORWARD: "DNAT", MASQUERADE: "MASQUERADE"}

_COMMENT = "# -- "
_NOTE = "# Made by bulkhead.tiers.ufw_ruleset: what this host translates. Edits are overwritten."
_LINE = re.compile(
    r"-A bulkhead-(?P<list>forward|masquerade) (?:-s (?P<src>\S+) )?(?:-d (?P<dst>\S+) )?(?:-p (?P<proto>\S+) )?"
    r"(?:-m \S+ --dport (?P<port>\S+) )?(?:-m addrtype --dst-type LOCAL )?"
    r"-j (?P<target>RETURN|DNAT|MASQUERADE)(?: --to-destination (?P<to>\S+))?\Z"
)
_TO = re.compile(r"\[?(?P<target>[^\]]+?)\]?(?::(?P<port>\d+))?\Z")

_HOOK = f"""{NAT_BEGIN}
# Made by bulkhead.tiers.ufw_ruleset: with each start ufw adds these jumps anew. Edits are overwritten.
case "$1" in
start | stop | flush-all)
    for command in iptables ip6tables; do
        while $command -w -t nat -D PREROUTING {JUMPS["PREROUTING"][1]} 2>/dev/null; do :; done
        while $command -w -t nat -D POSTROUTING {JUMPS["POSTROUTING"][1]} 2>/dev/null; do :; done
    done
    ;;
esac
{NAT_END}
"""
#: A shell that reads the hook as it is meant.
_SHELL = re.compile(r"#!\s*(?:/usr)?/bin/(?:env )?(?:ba|da)?sh\b")


class Translation(NamedTuple):
    """One line of one family. ``kind`` is NONE, FORWARD or MASQUERADE; ``port`` is one, a range ``8000:8100`` or ``any``;
    anywhere is ``0.0.0.0/0`` or ``::/0``, as a destination of what is forwarded any address of the host itself.
    ``target`` is where it is forwarded to, ``target_port`` "" for the same port."""

    kind: str
    src: str
    dst: str
    proto: str = "any"
    port: str = "any"
    target: str = ""
    target_port: str = ""
    comment: str = ""


class NatBlock(NamedTuple):
    """What is translated of one family, each list by its first match."""

    forward: tuple[Translation, ...]
    masquerade: tuple[Translation, ...]


class NatWish(NamedTuple):
    """What the task asks for: the block of each family, None for no block."""

    blocks: dict[int, Optional[NatBlock]]
    warnings: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be translated."""
        return any(self.blocks.values())


# -- the block -------------------------------------------------------------------------------------------------------


def render(block: NatBlock) -> str:
    """The block as it stands in the file."""
    lines = [NAT_BEGIN, _NOTE, f"*{TABLE}", *(f":{chain} - [0:0]" for chain in CHAINS.values())]
    lines += [f"{how} {builtin} {jump}" for builtin, (how, jump) in JUMPS.items()]
    for name, entries in block._asdict().items():
        for entry in entries:
            lines += [_COMMENT + entry.comment] if entry.comment else []
            lines.append(f"-A {CHAINS[name]} {_specification(entry)}")
    return "\n".join([*lines, "COMMIT", NAT_END, ""])


def _specification(entry: Translation) -> str:
    words = [] if is_anywhere(entry.src) else ["-s", entry.src]
    words += [] if is_anywhere(entry.dst) else ["-d", entry.dst]
    words += [] if entry.proto == "any" else ["-p", entry.proto]
    words += [] if entry.port == "any" else ["-m", entry.proto, "--dport", entry.port]
    if entry.kind == FORWARD and is_anywhere(entry.dst):
        words += ["-m", "addrtype", "--dst-type", "LOCAL"]
    words += ["-j", TARGETS[entry.kind]]
    if entry.kind == FORWARD:
        target = f"[{entry.target}]" if ":" in entry.target and entry.target_port else entry.target
        words += ["--to-destination", f"{target}:{entry.target_port}" if entry.target_port else target]
    return " ".join(words)


def edit(text: str, block: Optional[NatBlock]) -> str:
    """A rules file with this block at its end and no other one of ours; the rest of the file stays as it is."""
    rest, blocks = split_block(text, NAT_BEGIN, NAT_END)
    wanted = "" if block is None else render(block)
    if blocks == ([wanted] if wanted else []):
        return text
    if wanted and rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + wanted


def read_block(text: str, family: int) -> Optional[NatBlock]:
    """What the block in a rules file says, None where there is none. Lines that are not ours are passed over: the file
    then differs from what ``render`` makes of the answer."""
    blocks = split_block(text, NAT_BEGIN, NAT_END)[1]
    if not blocks:
        return None
    found: dict[str, list[Translation]] = {name: [] for name in CHAINS}
    comment = ""
    for line in blocks[-1].splitlines():
        rule = _LINE.match(line)
        if rule:
            found[rule["list"]].append(_entry(rule, comment, family))
        comment = line[len(_COMMENT) :] if line.startswith(_COMMENT) else ""
    return NatBlock(tuple(found["forward"]), tuple(found["masquerade"]))


def _entry(rule: re.Match[str], comment: str, family: int) -> Translation:
    kinds = {target: kind for kind, target in TARGETS.items()}
    to = _TO.match(rule["to"]) if rule["to"] and (family == 4 or rule["to"].startswith("[")) else None
    return Translation(
        kinds[rule["target"]],
        rule["src"] or ANYWHERE[family],
        rule["dst"] or ANYWHERE[family],
        rule["proto"] or "any",
        rule["port"] or "any",
        to["target"] if to else rule["to"] or "",
        (to["port"] if to else "") or "",
        comment,
    )


# -- the hook --------------------------------------------------------------------------------------------------------


def edit_hook(text: str, wanted: bool) -> str:
    """before.init with our part right after its first line, or without it; the rest of the file stays as it is."""
    rest, blocks = split_block(text, NAT_BEGIN, NAT_END)
    if blocks == ([_HOOK] if wanted else []):
        return text
    if not wanted:
        return rest
    first, newline, others = rest.partition("\n")
    return f"{first}{newline or chr(10)}{_HOOK}{others}"


def check_hook(state: State, wish: Optional[NatWish]) -> None:
    """RulesetError where before.init is none that our part can stand in."""
    if wish is None or not wish.is_needed:
        return
    text = state.texts.get(BEFORE_INIT)
    if text is None:
        raise RulesetError(
            f"nat: {BEFORE_INIT} does not exist, by which ufw takes away what its last start added; expected the "
            "package's file; restore it: apt-get install --reinstall -o Dpkg::Options::=--force-confmiss ufw"
        )
    rest = split_block(text, NAT_BEGIN, NAT_END)[0]
    if not _SHELL.match(rest):
        raise RulesetError(
            f"nat: {BEFORE_INIT} is no shell script ({rest.partition(chr(10))[0][:60]!r}); expected one, for our part "
            "of it is; make it one, and start the other program from it"
        )
    if not state.init_executable and not state.init_is_packages:
        raise RulesetError(
            f"nat: {BEFORE_INIT} has commands of its own and is not executable, so that ufw does not run them; expected "
            "either; `chmod 750` it if they are to be run, or remove them: it has to be executable for nat"
        )


def hook_boot(state: State, wish: Optional[NatWish]) -> Boot:
    """before.init is to be executable as long as our part is in it, and not longer where nothing else is."""
    text = state.texts.get(BEFORE_INIT, "")
    was = bool(split_block(text, NAT_BEGIN, NAT_END)[1])
    if wish is None or (wish.is_needed and state.init_executable):
        return Boot()
    if wish.is_needed:
        drift = (
            (f"boot: {BEFORE_INIT} is not executable: ufw would add nat's jumps anew with each start",) if was else ()
        )
        return Boot(drift, (("chmod", "0750", BEFORE_INIT),))
    if was and state.init_executable and state.init_is_packages:
        return Boot((), (("chmod", "0640", BEFORE_INIT),))
    return Boot()


# -- the files -------------------------------------------------------------------------------------------------------


def file_changes(state: State, wish: Optional[NatWish], use_ipv6: bool) -> dict[str, str]:
    """The texts of before.rules, before6.rules and before.init as wished. Without IPv6 ufw does not load before6.rules:
    it is left alone, but for a block that is to go."""
    if wish is None:
        return {}
    texts = {
        path: edit(state.texts[path], wish.blocks[family])
        for family, path in BEFORE.items()
        if family == 4 or use_ipv6 or wish.blocks[family] is None
    }
    if BEFORE_INIT in state.texts:
        texts[BEFORE_INIT] = edit_hook(state.texts[BEFORE_INIT], wish.is_needed)
    return texts


def file_drift(state: State, wish: Optional[NatWish]) -> list[str]:
    """Blocks that were edited by hand; they are written anew where the task has the option."""
    if wish is None:
        return []
    lines = []
    for family, path in BEFORE.items():
        block = read_block(state.texts[path], family)
        if block is not None and edit(state.texts[path], block) != state.texts[path]:
            lines.append(f"{path}: the block of bulkhead.tiers was edited")
    hook = state.texts.get(BEFORE_INIT, "")
    if NAT_BEGIN in hook.splitlines() and edit_hook(hook, True) != hook:
        lines.append(f"{BEFORE_INIT}: the block of bulkhead.tiers was edited")
    return lines


# -- the kernel ------------------------------------------------------------------------------------------------------


def with_table(host: Host, state: State, wish: Optional[NatWish]) -> State:
    """The state with the kernel's table nat, where it is to be compared: where something is translated, or was."""
    needed = bool(wish and wish.is_needed)
    if not needed and not translates(state.texts):
        return state
    kernels = {}
    for family, kernel in state.kernel.items():
        others = dict(kernel.others or {})
        if TABLE not in others:
            others[TABLE] = read_table(host, family, TABLE)
        kernels[family] = kernel._replace(others=others)
    return state._replace(kernel=kernels)


def repair_nat(file: Optional[FileRules], kernel: Kernel) -> Repair:
    """The kernel's table nat beside our block (of a rules file as it is read, None for no block): chains of ours that
    differ, jumps to them that are missing or there more than once."""
    table = (kernel.others or {}).get(TABLE)
    if table is None:
        return Repair((), [])
    declared = file.table(TABLE).declared if file else ()
    chains: dict[str, list[str]] = {}
    gone: list[str] = []
    drift: list[str] = []
    edits: list[Edit] = []
    for chain in CHAINS.values():
        actual = table.chains.get(chain)
        if chain in declared and file:
            wanted = [rule for where, rule in file.table(TABLE).rules if where == chain]
            found = differences(chain, wanted, actual)
            if found:
                chains[chain] = wanted
                drift += found
        elif actual is not None:
            chains[chain] = []
            gone.append(chain)
            drift.append(f"chain {chain} is left over")
    for builtin, (how, jump) in JUMPS.items():
        there, wanted_times = table.chains.get(builtin, []).count(jump), int(bool(declared))
        if there < wanted_times:
            drift.append(f"{builtin} lacks {jump}")
            edits.append(Edit(how, builtin, jump))
        elif there > wanted_times:
            drift.append(f"{builtin} has {jump} {there} times" if wanted_times else f"{builtin} has {jump}")
            edits += [Edit("-D", builtin, jump)] * (there - wanted_times)
    if not (chains or edits):
        return Repair((), [])
    return Repair((Section(TABLE, {}, edits, chains, gone),), [f"table {TABLE}: {line}" for line in drift])


# -- how it reads ----------------------------------------------------------------------------------------------------


def describe_blocks(texts: Mapping[str, str], use_ipv6: bool) -> list[str]:
    """The blocks of both families, one line for each rule."""
    blocks = (read_block(texts[path], family) for family, path in BEFORE.items() if family == 4 or use_ipv6)
    return [describe(entry) for block in blocks if block for entry in (*block.forward, *block.masquerade)]


def describe(entry: Translation) -> str:
    """A line in words."""
    words = [f"nat {entry.kind}"] + ([] if entry.proto == "any" else [f"proto {entry.proto}"])
    for word, address in (("from", entry.src), ("to", entry.dst)):
        words.append(f"{word} {_side(address, entry.kind == FORWARD and word == 'to')}")
    words += [] if entry.port == "any" else [f"port {entry.port}"]
    if entry.kind == FORWARD:
        words.append(f"-> {entry.target}" + (f" port {entry.target_port}" if entry.target_port else ""))
    return " ".join(words) + (f"  # {entry.comment}" if entry.comment else "")


def _side(address: str, own: bool) -> str:
    if is_anywhere(address):
        return "this host" if own else "any" if address == ANYWHERE[4] else "any (v6)"
    return address


def export_nat(state: State) -> dict[str, Any]:
    """The live blocks as the option ``nat``; {} where nothing is translated."""
    lists: dict[str, list[dict[str, str]]] = {name: [] for name in CHAINS}
    for family, path in BEFORE.items():
        block = read_block(state.texts[path], family) if family == 4 or state.filters_ipv6 else None
        for name, entries in (block._asdict() if block else {}).items():
            lists[name] += _exported(entries)
    return {name: entries for name, entries in lists.items() if entries}


def _exported(entries: Iterable[Translation]) -> list[dict[str, str]]:
    found = []
    for entry in entries:
        values = {
            "rule": entry.kind,
            "proto": "" if entry.proto == "any" else entry.proto,
            "from_ip": "" if is_anywhere(entry.src) else entry.src,
            "to_ip": "" if is_anywhere(entry.dst) else entry.dst,
            "port": "" if entry.port == "any" else entry.port,
            "target": entry.target,
            "target_port": entry.target_port,
            "comment": entry.comment,
        }
        found.append({name: value for name, value in values.items() if value})
    return found
