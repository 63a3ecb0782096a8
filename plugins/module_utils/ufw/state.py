# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has: ufw's files and the kernel's filter table, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import (
    BEFORE_INIT,
    CONF,
    DEFAULTS,
    FRAMEWORK,
    INIT_HOOKS,
    RULES,
    Host,
    read_settings,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import (
    NAT_BEGIN,
    NAT_END,
    FileRules,
    read_file,
    spelled,
    split_block,
    start_loading,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, read_table, start_reading
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import Settings
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    MalformedTuple,
    Rule,
    in_force,
    is_tuple,
    parse_tuple,
)

# Setting of /etc/default/ufw -> our name of it.
POLICIES = {"incoming": "DEFAULT_INPUT_POLICY", "outgoing": "DEFAULT_OUTPUT_POLICY", "routed": "DEFAULT_FORWARD_POLICY"}
POLICY_WORDS = {"accept": "allow", "drop": "deny", "reject": "reject"}
LEVELS = ("off", "low", "medium", "high", "full")
#: The package's before.init without comments (ufw 0.36.1 and 0.36.2).
_PACKAGES_INIT = [
    "set -e",
    'case "$1" in',
    *(line for word in ("start", "stop", "status", "flush-all") for line in (f"{word})", ";;")),
    "*)",
    "echo \"'$1' not supported\"",
    'echo "Usage: before.init {start|stop|flush-all|status}"',
    ";;",
    "esac",
]
_USER_CHAIN = {4: "ufw-user-input", 6: "ufw6-user-input"}


class State(NamedTuple):
    """``texts`` are the files' contents by path; ``rules`` and ``malformed`` (lines that ufw skips) are by family;
    ``kernel`` holds the families that are filtered here; ``enabled`` is what ufw.conf says, ``loaded`` what is so.
    ``level_set`` is whether ufw.conf has a valid log level at all; ``has_ipv6`` whether the kernel knows IPv6.
    ``notes`` is what is to be said about the files though it is no difference; ``carriage_returns`` are files that have
    such characters, with which neither the shell nor iptables-restore reads them as meant. ``hooks_executable`` is
    whether ufw runs commands of others before or after it loads the rules; ``init_executable`` whether before.init is
    run, ``init_is_packages`` whether it has no commands beside ours and the package's, which do nothing."""

    texts: dict[str, str]
    rules: dict[int, list[Rule]]
    malformed: list[str]
    settings: Settings
    level_set: bool
    enabled: bool
    has_ipv6: bool
    kernel: dict[int, Kernel]
    framework: dict[int, list[FileRules]]
    hooks_executable: bool
    notes: tuple[str, ...] = ()
    carriage_returns: tuple[str, ...] = ()
    init_executable: bool = False
    init_is_packages: bool = False

    @property
    def loaded(self) -> bool:
        """Whether ufw's rules are in the kernel, as ufw itself decides it."""
        return 4 in self.kernel and _USER_CHAIN[4] in self.kernel[4].chains

    @property
    def active(self) -> bool:
        return self.enabled and self.loaded

    @property
    def filters_ipv6(self) -> bool:
        return self.settings.ipv6 and self.has_ipv6

    def rules_text(self, family: int) -> str:
        """user.rules or user6.rules with its ports as the kernel reads them."""
        return in_force(self.texts[RULES[family]])[0]


def read_state(host: Host, need_kernel: bool = True, ipv6: bool | None = None) -> State:
    """Read everything; RulesetError where ufw is missing or set up in a way that this module must not touch. ``ipv6`` is
    whether IPv6 is to be filtered, if that is to be changed: where it is not, ip6tables need not work.

    ufw's lock is held while it is read, because ufw writes its files in place, and not while it is taken apart."""
    with host.lock():
        defaults_text, conf_text = host.read(DEFAULTS), host.read(CONF)
        defaults, conf = read_settings(defaults_text), read_settings(conf_text)
        _require_own_builtins(defaults)
        settings, level_set = _settings(defaults, conf)
        has_ipv6 = host.exists("/proc/sys/net/ipv6")
        # The kernel is asked while the files are read.
        filters = settings.ipv6 if ipv6 is None else ipv6
        families = (4, 6) if need_kernel and has_ipv6 else (4,) if need_kernel else ()
        kernel = start_reading(host, families, () if filters else (6,))
        texts = {DEFAULTS: defaults_text, CONF: conf_text}
        texts.update((name, host.read(name)) for family in (4, 6) for name in (RULES[family], *FRAMEWORK[family]))
        if host.exists(BEFORE_INIT):
            texts[BEFORE_INIT] = host.read(BEFORE_INIT)
        hooks, init_executable = _hooks(host, texts)
        kernels = kernel()
    rules: dict[int, list[Rule]] = {}
    malformed: list[str] = []
    framework: dict[int, list[FileRules]] = {}
    for family in (4, 6):
        path = RULES[family]
        rules[family], bad = read_rules(path, texts[path])
        malformed += bad
        framework[family] = read_framework(family, texts)
    init_is_packages = _is_packages(texts.get(BEFORE_INIT, ""))
    odd = [name for name, text in texts.items() if "\r" in text and name not in RULES.values()]
    notes = [
        f"IPv{family} is not filtered here, and its rules cannot be read"
        for family in families
        if family not in kernels
    ]
    notes += [
        f"{RULES[family]}: ufw stored the port {text} as it was typed, with a zero in front, which makes it an octal "
        f"number to the kernel: port {number} is in force"
        for family in (4, 6)
        for text, number in in_force(texts[RULES[family]])[1].items()
    ]
    return State(
        texts,
        rules,
        malformed,
        settings,
        level_set,
        conf.get("ENABLED") == "yes",
        has_ipv6,
        kernels,
        framework,
        hooks,
        tuple(notes),
        tuple(odd),
        init_executable,
        init_is_packages,
    )


def what_changed(host: Host, state: State) -> str:
    """What is no longer as it was read, to be asked under ufw's lock; empty where all is: each of ufw's files to the last
    byte, and each rule of the tables that were read."""
    kernel = start_reading(host, state.kernel)
    for name, text in state.texts.items():
        if host.read(name) != text:
            return name
    if _hooks(host, state.texts) != (state.hooks_executable, state.init_executable):
        return " or ".join(INIT_HOOKS)
    for family, now in kernel().items():
        was = state.kernel[family]
        if was.others is not None:
            now = now._replace(others={name: read_table(host, family, name) for name in was.others})
        if now != was:
            return f"the kernel's IPv{family} rules"
    return ""


def _hooks(host: Host, texts: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether ufw runs commands of others before or after it loads the rules, and whether it runs before.init."""
    found = [name for name in INIT_HOOKS if host.executable(name)]
    others = any(name != BEFORE_INIT or not _is_packages(texts.get(BEFORE_INIT, "")) for name in found)
    return others, BEFORE_INIT in found


def _is_packages(text: str) -> bool:
    """Whether before.init, without our part, is what the package brings: a script whose every branch is empty."""
    rest = split_block(text, NAT_BEGIN, NAT_END)[0]
    lines = [line.strip() for line in rest.splitlines()]
    return [line for line in lines if line and not line.startswith("#")] == _PACKAGES_INIT


def translates(texts: Mapping[str, str]) -> bool:
    """Whether ufw's files have a block of ours about address translation."""
    return any(NAT_BEGIN in texts[FRAMEWORK[family][0]].splitlines() for family in (4, 6))


def _require_own_builtins(defaults: Mapping[str, str]) -> None:
    if defaults.get("MANAGE_BUILTINS") == "yes":
        raise RulesetError(
            f"{DEFAULTS}: MANAGE_BUILTINS is yes, which makes ufw flush every other program's rules, Docker's too, "
            "whenever it starts; expected no: set MANAGE_BUILTINS=no, and reload what has rules of its own"
        )


def read_framework(family: int, texts: Mapping[str, str]) -> list[FileRules]:
    """What before.rules and after.rules of a family load: theirs of each file, then our blocks: of after.rules for
    Docker's published ports, of before.rules for what is translated."""
    before, after = FRAMEWORK[family]
    theirs, blocks = split_block(texts[after])
    first, translations = split_block(texts[before], NAT_BEGIN, NAT_END)
    return [
        read_file(before, first),
        read_file(after, theirs),
        read_file(after, "".join(blocks))._replace(certain=True),
        read_file(before, "".join(translations))._replace(certain=True),
    ]


def spell_out(host: Host, state: State, every: bool) -> State:
    """The state with ufw's files in the kernel's own words, as far as they are to be had: those that are not plain, or
    ``every`` one. With them come the tables beside the filter's that they have rules for. RulesetError where ufw itself
    would not load a file."""
    framework = {**state.framework}
    kernels = {**state.kernel}
    for family, kernel in state.kernel.items():
        if family == 6 and not state.filters_ipv6:
            continue
        framework[family] = [_spell(host, family, file, kernel, every) for file in state.framework[family]]
        tables = dict.fromkeys(name for file in framework[family][:2] for name in file.tables if file.table(name).rules)
        if state.active:
            others = dict(kernel.others or {})
            others.update({name: read_table(host, family, name) for name in tables if name not in ("filter", *others)})
            kernels[family] = kernel._replace(others=others)
    return state._replace(framework=framework, kernel=kernels)


def _spell(host: Host, family: int, file: FileRules, kernel: Kernel, every: bool) -> FileRules:
    if file.certain or (file.is_plain and not every):
        return file
    found = spelled(host, family, file, kernel)
    if not found.certain:
        problem = "" if file.is_plain else start_loading(host, family, file.path, file.text, kernel.chains)()
        if not problem and found.lost:
            problem = f"{file.path}: iptables-restore does not load it: {found.unloaded}"
        if problem:
            raise RulesetError(
                f"{problem}; ufw would lose this file at its next start, and so at the next boot: repair it"
            )
    return found


def _settings(defaults: dict[str, str], conf: dict[str, str]) -> tuple[Settings, bool]:
    policies = {}
    for name, option in POLICIES.items():
        word = defaults.get(option)
        if word not in POLICY_WORDS:
            raise RulesetError(
                f'{DEFAULTS}: {option} is {word or "missing"}; expected "ACCEPT", "DROP" or "REJECT"; '
                "ufw itself does not start with this: restore the line"
            )
        policies[name] = POLICY_WORDS[word]
    level = conf.get("LOGLEVEL", "")
    valid = level in LEVELS
    # ufw takes low where the level is missing or not one of its own.
    return Settings(
        policies["incoming"],
        policies["outgoing"],
        policies["routed"],
        level if valid else "low",
        defaults.get("IPV6") == "yes",
    ), valid


def read_rules(path: str, text: str) -> tuple[list[Rule], list[str]]:
    """The rules of a rules file, and what is wrong with the lines that are none."""
    rules: list[Rule] = []
    malformed: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if is_tuple(line):
            try:
                rules.append(parse_tuple(line))
            except MalformedTuple as error:
                malformed.append(f"{path} line {number}: {error}")
    return rules, malformed


Item = TypeVar("Item")


def merge_families(
    v4: Sequence[Item], v6: Sequence[Item], twins: Mapping[Item, Item]
) -> list[tuple[Item | None, Item | None]]:
    """Both families' rules as one list of pairs (v4, v6); a rule that stands in one family alone has None beside it.

    ``twins`` maps each v6 rule that can have a twin to the v4 rule it would be. The order of each family is kept: where
    the families order their common rules differently, some of them stay single.
    """
    place = {twins[rule]: index for index, rule in enumerate(v6) if rule in twins}
    merged: list[tuple[Item | None, Item | None]] = []
    done = 0
    for rule in v4:
        at = place.get(rule, -1)
        if at >= done:
            merged += [(None, other) for other in v6[done:at]]
            merged.append((rule, v6[at]))
            done = at + 1
        else:
            merged.append((rule, None))
    return merged + [(None, other) for other in v6[done:]]


def one_of(v4: Item | None, v6: Item | None) -> Item:
    """The rule of a pair of merge_families, by which it is told: that of IPv4 where there is one."""
    found = v6 if v4 is None else v4
    if found is None:
        raise AssertionError("a pair of merge_families has at least one rule")
    return found
