# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker's published ports: who may reach which one, as a marked block of after.rules and after6.rules.

A published port is translated (DNAT) before any filter sees it: the packet takes FORWARD, where Docker's rules accept
it ahead of ufw's. The one place before them that Docker leaves to others is the chain DOCKER-USER, which it makes if it
is missing, never empties, and jumps to first. ufw loads the block at boot before Docker starts, and again with every
reload; a declared chain is emptied in the same transaction, so that nothing is ever there twice or missing.

What the chains say, in this order: answers pass; what comes in by one of Docker's own bridges is none of our business,
but for what a Swarm publishes; the published list decides by the *original* port, which all kinds of publishing have in
common; whatever else was translated, or goes straight to a container, is dropped. Allowed packets RETURN, so that
Docker's own isolation, and a port that is not published at all, stay as they are.

Engine 20.10 makes IPv6 rules (``ip6tables``) without a DOCKER-USER, and puts them before whatever is in FORWARD: nothing
in the filter table can be relied on there. For IPv6 the table ``security`` therefore says the same again. Its FORWARD
comes after the filter table's, whose ACCEPT does not reach so far; no engine touches it, and hardly
anything else, so that the block can empty it before it fills it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair, repair
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import FRAMEWORK
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import (
    BEGIN,
    END,
    FileRules,
    read_file,
    split_block,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, jump_target
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import KEEP_NONE, Keep, KernelPlan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import ANYWHERE, is_anywhere
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import (
    State,
    merge_families,
    one_of,
    read_framework,
)

USER_CHAIN = "DOCKER-USER"
# Holds the list. It also marks DOCKER-USER as ours: without it the chain is another program's and left alone.
OWN_CHAIN = "bulkhead-docker"
# IPv6's table with the last word, and its chain, which is ours as a whole while OWN_CHAIN is in the table.
LAST_TABLE = "security"
LAST_CHAIN = "FORWARD"
# Leads to ingress, which Docker accepts ahead of its networks' isolation.
SWARM_BRIDGE = "docker_gwbridge"
AFTER = {family: FRAMEWORK[family][1] for family in (4, 6)}

_COMMENT = "# -- "
_NOTE = "# Made by bulkhead.tiers.ufw_ruleset: who may reach which published port of Docker. Edits are overwritten."
ACTIONS = {"allow": "RETURN", "deny": "DROP", "limit": "RETURN"}
_ACTION_OF = {"RETURN": "allow", "DROP": "deny"}
# As ufw limits: the sixth new connection of a source within 30 s, and each one after it until 30 s pass without. Each
# table counts for itself, in a list of its own: a packet meets both, and ufw's own rules after them.
_LISTS = {"filter": "bulkhead-docker", LAST_TABLE: "bulkhead-last"}
_START = r"-A bulkhead-docker (?:-s (?P<src>\S+) )?"
_STOP = r"-j (?P<target>RETURN|DROP)\Z"
_TRANSLATED = (
    _START + r"(?:-p (?P<proto>\S+) )?-m conntrack --ctstate DNAT "
    r"(?:--ctorigdst (?P<dst>\S+) )?(?:--ctorigdstport (?P<port>\S+) )?--ctdir ORIGINAL " + _STOP
)
_ROUTED = (
    _START + r"(?:-d (?P<dst>\S+) )?(?:-p (?P<proto>\S+) )?(?:--dport (?P<port>\S+) )?"
    r"-m conntrack ! --ctstate DNAT " + _STOP
)
_BRIDGE = r"-A DOCKER-USER -i (?P<name>\S+) -j (?P<target>RETURN|bulkhead-docker)\Z"


class Published(NamedTuple):
    """One line of one family. ``port`` is the published port: ``8080``, a range ``8000:8100`` or ``any``; ``dst`` the
    address of the host that a client asks for; anywhere is ``0.0.0.0/0`` or ``::/0``. With ``routed`` nothing was
    translated: ``dst`` and ``port`` are the container's own."""

    action: str
    proto: str
    src: str
    dst: str
    port: str
    comment: str = ""
    routed: bool = False

    @property
    def match(self) -> tuple[Any, ...]:
        """What it matches, whatever becomes of it."""
        return (*self[1:5], self.routed)


class Block(NamedTuple):
    """What the chains of one family say: Docker's bridges (a trailing + stands for any ending), the interfaces that
    look like one and are none, and the list."""

    bridges: tuple[str, ...]
    interfaces: tuple[str, ...]
    published: tuple[Published, ...]
    family: int = 4


class DockerWish(NamedTuple):
    """What the task asks for: the block of each family, None for no block; and what is to be said about it."""

    blocks: dict[int, Block | None]
    warnings: tuple[str, ...] = ()


# -- the block -------------------------------------------------------------------------------------------------------


def render(block: Block) -> str:
    """The block as it stands in the file."""
    lines = [BEGIN, _NOTE, "*filter", f":{USER_CHAIN} - [0:0]", f":{OWN_CHAIN} - [0:0]"]
    lines += _head(USER_CHAIN, block)
    # Docker appends this RETURN where it is missing; with it file and kernel are the same in either order.
    lines += [f"-A {USER_CHAIN} -j RETURN", *_list(block, "filter"), "COMMIT"]
    if block.family == 6:
        # A built-in chain is not emptied by its declaration.
        lines += [f"*{LAST_TABLE}", f":{LAST_CHAIN} ACCEPT [0:0]", f":{OWN_CHAIN} - [0:0]", f"-F {LAST_CHAIN}"]
        lines += [*_head(LAST_CHAIN, block), *_list(block, LAST_TABLE), "COMMIT"]
    return "\n".join([*lines, END, ""])


def _head(chain: str, block: Block) -> list[str]:
    """What leads to the list, and past it."""
    lines = [f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    lines += [f"-A {chain} -i {name} -j {OWN_CHAIN}" for name in block.interfaces]
    for name in block.bridges:
        if block.family == 4 and SWARM_BRIDGE in block.bridges:
            lines.append(f"-A {chain} -i {name} -o {SWARM_BRIDGE} -m conntrack --ctstate DNAT -j {OWN_CHAIN}")
        lines.append(f"-A {chain} -i {name} -j RETURN")
    return [*lines, f"-A {chain} -j {OWN_CHAIN}"]


def _list(block: Block, table: str) -> list[str]:
    lines = []
    for entry in block.published:
        if entry.comment:
            lines.append(_COMMENT + entry.comment)
        lines += [f"-A {OWN_CHAIN} {_match(entry)} {end}" for end in _ends(entry, table)]
    lines.append(f"-A {OWN_CHAIN} -m conntrack --ctstate DNAT -j DROP")
    lines += [f"-A {OWN_CHAIN} -o {name} -j RETURN" for name in block.interfaces]
    lines += [f"-A {OWN_CHAIN} -o {name} -j DROP" for name in block.bridges]
    return lines


def _ends(entry: Published, table: str) -> list[str]:
    """What follows the match, a rule each."""
    target = f"-j {ACTIONS[entry.action]}"
    return [_counted(table), _stopped(table), target] if entry.action == "limit" else [target]


def _counted(table: str) -> str:
    return f"-m recent --set --name {_LISTS[table]}"


def _stopped(table: str) -> str:
    return f"-m recent --update --seconds 30 --hitcount 6 --name {_LISTS[table]} -j DROP"


def _match(entry: Published) -> str:
    src = "" if is_anywhere(entry.src) else f"-s {entry.src} "
    proto = "" if entry.proto == "any" else f"-p {entry.proto} "
    option = {"dst": "-d", "port": "--dport"} if entry.routed else {"dst": "--ctorigdst", "port": "--ctorigdstport"}
    dst = "" if is_anywhere(entry.dst) else f"{option['dst']} {entry.dst} "
    port = "" if entry.port == "any" else f"{option['port']} {entry.port} "
    if entry.routed:
        return f"{src}{dst}{proto}{port}-m conntrack ! --ctstate DNAT"
    return f"{src}{proto}-m conntrack --ctstate DNAT {dst}{port}--ctdir ORIGINAL"


def edit(text: str, block: Block | None) -> str:
    """A rules file with this block at its end and no other one of ours; the rest of the file stays as it is."""
    rest, blocks = split_block(text)
    wanted = "" if block is None else render(block)
    if blocks == ([wanted] if wanted else []):
        return text
    if wanted and rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + wanted


def read_block(text: str, family: int) -> Block | None:
    """What the block in a rules file says, None where there is none. Lines that are not ours are passed over: the
    file then differs from what ``render`` makes of the answer."""
    blocks = split_block(text)[1]
    if not blocks:
        return None
    bridges: list[str] = []
    interfaces: list[str] = []
    published: list[Published] = []
    comment = limited = ""
    for line in blocks[-1].partition("\nCOMMIT\n")[0].splitlines():  # the security table says the same again
        if line.endswith(_counted("filter")):
            limited = line[: -len(_counted("filter"))]
        if line.endswith((_counted("filter"), _stopped("filter"))):
            continue
        translated, routed, bridge = (re.match(form, line) for form in (_TRANSLATED, _ROUTED, _BRIDGE))
        if translated:
            published.append(_entry(translated, comment, family, False, limited))
        elif routed:
            published.append(_entry(routed, comment, family, True, limited))
        elif bridge:
            (bridges if bridge.group("target") == "RETURN" else interfaces).append(bridge.group("name"))
        comment = line[len(_COMMENT) :] if line.startswith(_COMMENT) else ""
    return Block(tuple(bridges), tuple(interfaces), tuple(published), family)


def _entry(rule: re.Match[str], comment: str, family: int, routed: bool, limited: str) -> Published:
    """limited: the match that the lines before it count and stop."""
    anywhere = ANYWHERE[family]
    values = rule.groupdict()
    action = _ACTION_OF[values["target"]]
    return Published(
        "limit" if action == "allow" and rule.string == f"{limited}-j RETURN" else action,
        values["proto"] or "any",
        values["src"] or anywhere,
        values["dst"] or anywhere,
        values["port"] or "any",
        comment,
        routed,
    )


# -- the files -------------------------------------------------------------------------------------------------------


def file_changes(state: State, wish: DockerWish | None, use_ipv6: bool) -> dict[str, str]:
    """The texts of after.rules and after6.rules as wished. Without IPv6 ufw does not load after6.rules: it is left
    alone, but for a block that is to go."""
    if wish is None:
        return {}
    return {
        path: edit(state.texts[path], wish.blocks[family])
        for family, path in AFTER.items()
        if family == 4 or use_ipv6 or wish.blocks[family] is None
    }


def with_files(state: State, files: dict[str, str]) -> State:
    """The state with new rules files: what its kernel is to be compared with."""
    texts = {**state.texts, **files}
    # What is not our block stays as it is, in whatever words it has been spelled out.
    framework = {
        family: [*known[:2], *read_framework(family, texts)[2:]] if set(FRAMEWORK[family]) & set(files) else known
        for family, known in state.framework.items()
    }
    return state._replace(framework=framework, texts=texts)


def file_drift(state: State, wish: DockerWish | None) -> list[str]:
    """Blocks that were edited by hand; they are written anew where the task has the option."""
    if wish is None:
        return []
    lines = []
    for family, path in AFTER.items():
        block = read_block(state.texts[path], family)
        if block is not None and edit(state.texts[path], block) != state.texts[path]:
            lines.append(f"{path}: the block of bulkhead.tiers was edited")
    return lines


# -- the kernel ------------------------------------------------------------------------------------------------------


def add_chains(plan: KernelPlan, files: Sequence[FileRules], kernel: Kernel, family: int) -> None:
    """Have the plan hold the chains of the block that these files declare, or the way back where there is none."""
    if any(OWN_CHAIN in file.table("filter").declared for file in files):
        chains: dict[str, list[str]] = {USER_CHAIN: [], OWN_CHAIN: []}
        for file in files:
            for chain, specification in file.table("filter").rules:
                if chain in chains:
                    chains[chain].append(specification)
        plan.exact.update(chains)
        for name in chains:
            plan.own.pop(name, None)
        # For IPv6 some engines know no jump, and the security table does not need one.
        plan.edits.extend(_jump_edits(kernel) if family == 4 else [])
    elif OWN_CHAIN in kernel.chains:
        plan.gone.append(OWN_CHAIN)
        if any(jump_target(rule) == USER_CHAIN for rules in kernel.chains.values() for rule in rules):
            plan.exact[USER_CHAIN] = ["-j RETURN"]  # as Docker leaves it
        elif USER_CHAIN in kernel.chains:
            plan.gone.append(USER_CHAIN)


def with_last_word(fix: Repair, text: str, kernel: Kernel, keep: Keep = KEEP_NONE) -> Repair:
    """A family's repair together with that of its security table, as the block in this rules file wants it."""
    declared, rules, _inserted = read_file("", "".join(split_block(text)[1])).table(LAST_TABLE)
    security = kernel.security or Kernel({LAST_CHAIN: "ACCEPT"}, {LAST_CHAIN: []})
    if OWN_CHAIN in declared:
        chains: dict[str, list[str]] = {LAST_CHAIN: [], OWN_CHAIN: []}
        for chain, specification in rules:
            if chain in chains:
                chains[chain].append(specification)
        plan = KernelPlan({LAST_CHAIN: "ACCEPT"}, chains, {}, {}, {}, [], [], keep)
    elif OWN_CHAIN in security.chains:
        plan = KernelPlan({}, {LAST_CHAIN: []}, {}, {}, {}, [OWN_CHAIN], [])
    else:
        return fix
    more = repair(plan, security, table=LAST_TABLE)
    drift = [f"table {LAST_TABLE}: {line}" for line in more.drift]
    return fix.then(more._replace(drift=drift))


def _jump_edits(kernel: Kernel) -> list[tuple[str, tuple[str, str, str]]]:
    """(what is wrong, edit): FORWARD must reach DOCKER-USER before any other chain of Docker. Docker sees to that
    when it starts; 28.0.0 with a Swarm did not, and a hand may have."""
    targets = [jump_target(rule) for rule in kernel.chains["FORWARD"]]
    others = [place for place, name in enumerate(targets) if name.startswith("DOCKER") and name != USER_CHAIN]
    jump = f"-j {USER_CHAIN}"
    if not others:
        return []  # Docker is not there, or makes no rules
    if USER_CHAIN not in targets:
        return [(f"FORWARD does not jump to {USER_CHAIN}", ("-I", "FORWARD", jump))]
    if targets.index(USER_CHAIN) < others[0]:
        return []
    text = f"FORWARD jumps to {targets[others[0]]} before {USER_CHAIN}"
    return [(text, ("-D", "FORWARD", jump)), ("", ("-I", "FORWARD", jump))]


def strangers(state: State, wish: DockerWish | None, keep: Keep) -> list[str]:
    """Rules in DOCKER-USER that make room for ours: the chain is taken over, but for those that are to stay."""
    if wish is None or wish.blocks[4] is None:
        return []
    return [
        f"IPv{family} {USER_CHAIN}: {rule}"
        for family, kernel in state.kernel.items()
        if OWN_CHAIN not in kernel.chains
        for rule in kernel.chains.get(USER_CHAIN, ())
        if rule != "-j RETURN" and not keep.rules([rule])
    ]


# -- how it reads ----------------------------------------------------------------------------------------------------


def describe_blocks(texts: dict[str, str], use_ipv6: bool) -> list[str]:
    """The blocks of both families, one line for each rule; no line where there is no block."""
    blocks = {family: read_block(texts[path], family) for family, path in AFTER.items() if family == 4 or use_ipv6}
    lines: list[str] = []
    heads = {family: _describe_head(block) for family, block in blocks.items() if block}
    for text in dict.fromkeys(heads.values()):
        families = " and ".join(f"IPv{family}" for family, head in heads.items() if head == text)
        lines.append(f"docker: published ports by the list, {families}, {text}")
    four, six = (list(block.published) if block else [] for block in (blocks[4], blocks.get(6)))
    for entry, other in merge_families(four, six, _twins(six)):
        both = bool(entry and other) or not use_ipv6 or not _is_general(one_of(entry, other))
        lines.append(describe_published(one_of(entry, other), "" if both else "v4" if entry else "v6"))
    return lines


def is_reordered(old: dict[str, str], new: dict[str, str]) -> bool:
    """Whether lines that stay in the list change their order among each other."""
    for family, path in AFTER.items():
        lists = [read_block(texts[path], family) for texts in (old, new)]
        before, after = ([entry.match for entry in block.published] if block else [] for block in lists)
        both = set(before) & set(after)
        if [match for match in before if match in both] != [match for match in after if match in both]:
            return True
    return False


def _describe_head(block: Block) -> str:
    text = "bridges " + ", ".join(block.bridges)
    return text + (", not " + ", ".join(block.interfaces) if block.interfaces else "")


def describe_published(entry: Published, note: str = "") -> str:
    """A line of the list in words; a note says its family."""
    words = [f"{'container' if entry.routed else 'published'} {entry.action}"]
    words += [] if entry.proto == "any" else [f"proto {entry.proto}"]
    for word, address in (("from", entry.src), ("to", entry.dst)):
        words.append(f"{word} {'any' if is_anywhere(address) else address}")
    words += [] if entry.port == "any" else [f"port {entry.port}"]
    words += [f"({note})"] if note else []
    return " ".join(words) + (f"  # {entry.comment}" if entry.comment else "")


def _is_general(entry: Published) -> bool:
    return is_anywhere(entry.src) and is_anywhere(entry.dst)


def _twins(entries: Iterable[Published]) -> dict[Published, Published]:
    """The IPv4 line that each IPv6 line without an address would be."""
    return {entry: entry._replace(src=ANYWHERE[4], dst=ANYWHERE[4]) for entry in entries if _is_general(entry)}


def export_docker(state: State) -> dict[str, Any]:
    """The live block as the option ``docker``."""
    four = read_block(state.texts[AFTER[4]], 4)
    if four is None:
        return {"state": "absent"}
    six = read_block(state.texts[AFTER[6]], 6) if state.filters_ipv6 else None
    rules = list(six.published) if six else []
    answer: dict[str, Any] = {"state": "present", "bridges": list(four.bridges)}
    if four.interfaces:
        answer["interfaces"] = list(four.interfaces)
    answer["published"] = [
        _export(one_of(entry, other), state.filters_ipv6 and not (entry and other))
        for entry, other in merge_families(list(four.published), rules, _twins(rules))
    ]
    return answer


def _export(entry: Published, single: bool) -> dict[str, Any]:
    # Written out, anywhere is of one family; left away it is both.
    written = single and _is_general(entry)
    values = {
        "rule": entry.action,
        "routed": entry.routed,
        "proto": "" if entry.proto == "any" else entry.proto,
        "from_ip": "" if is_anywhere(entry.src) and not written else entry.src,
        "to_ip": "" if is_anywhere(entry.dst) else entry.dst,
        "port": "" if entry.port == "any" else entry.port,
        "comment": entry.comment,
    }
    return {name: value for name, value in values.items() if value}
