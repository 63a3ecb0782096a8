# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the next boot will do: whether it starts ufw at all, and whether another firewall undoes it. Whether ufw's files
can be loaded then is in boot.py.

A ruleset that is in force until the reboot and not after it is no ruleset. What can be put right is part of the plan; what
is for a person to decide is an error that says what to do. Of a unit the files are read that systemd reads at the boot:
no process is needed for a run that changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import read_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import Unclosed, words
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import units
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import CONF, DEFAULTS, Host, shell_settings
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.firewalls import program, require_no_other, ruins
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import BUILT_IN, FileRules, standard_chains
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import RESTORE, SAVE
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State

UNIT = "ufw.service"
#: Has the boot make ufw's lock file for root alone: ufw's first command would make it readable by all.
TMPFILES = "/etc/tmpfiles.d/bulkhead-ufw.conf"
TMPFILES_TEXT = "# Written by bulkhead.tiers.ufw_ruleset: a lock that any user can hold stops ufw.\nf /run/ufw.lock 0600 root root -\n"
#: Where `systemctl enable ufw` has it started, if the unit does not say another.
_TARGET = "multi-user.target"
_START = "ufw-init start"
#: What else decides whether a unit comes to its start, and with what rights.
_BEFORE = ("ExecCondition", "ExecStartPre")
_NEEDS = ("Requires", "Requisite", "BindsTo")
_ELSEWHERE = (
    "User",
    "DynamicUser",
    "RootDirectory",
    "RootImage",
    "PrivateNetwork",
    "NetworkNamespacePath",
    "CapabilityBoundingSet",
)
_OF_FILES = (".service", ".socket", ".target", ".timer", ".path")
_NEW = re.compile(r"(?:-N|--new-chain)\s+(\S+)$")
_PREFIXES = "-@:+!|"


class Boot(NamedTuple):
    """``drift`` is what the boot would do otherwise, a line each; ``commands`` and ``files`` put that right, and
    the plan the spelling of ufw's own settings. ``warnings`` are what only the boot itself will show."""

    drift: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.commands or self.files)


def look_at_boot(host: Host, ipv6: bool) -> Boot:
    """What is to be done so that the next boot starts ufw. RulesetError where that is not enough."""
    families = (4, 6) if ipv6 else (4,)
    _require_one_iptables(host, families)
    drift = _odd_settings(host)
    if not host.exists("/run/systemd/system"):
        return Boot(tuple(f"boot: {line}" for line in drift))
    warnings = [*require_no_other(host, families), *_require_own_start(host)]
    commands = []
    if units.is_masked(host, UNIT):
        drift.append(f"{UNIT} is masked, so that the next boot would be without a firewall")
        commands.append(("systemctl", "unmask", UNIT))
    if not _is_started(host):
        drift.append(f"{UNIT} is not enabled, so that the next boot would be without a firewall")
        commands.append(("systemctl", "enable", UNIT))
    files = () if _text(host, TMPFILES) == TMPFILES_TEXT else ((TMPFILES, TMPFILES_TEXT),)
    if files:
        drift.append("the next boot would leave /run/ufw.lock to be made readable, and so lockable, by every user")
    return Boot(tuple(f"boot: {line}" for line in drift), tuple(commands), files, tuple(warnings))


def check_files(state: State, enabled: bool) -> list[str]:
    """RulesetError where ufw does not start with its files as they are, though the kernel does not show it; a warning
    while it stays off."""
    found = _line_ends(state)
    for family, files in state.framework.items():
        if family == 4 or state.filters_ipv6:
            kernel = state.kernel.get(family)
            found += _why_not_loaded(files[:2], family, kernel.chains if kernel else ())
    if found and enabled:
        raise RulesetError(
            f"{'; '.join(found)}; ufw would lose this at its next start, and so at the next boot: repair it"
        )
    return found


def _line_ends(state: State) -> list[str]:
    if not state.carriage_returns:
        return []
    found = []
    for name in state.carriage_returns:
        lines = state.texts[name].replace("\r\n", "\n").split("\n")
        inside = next((number for number, line in enumerate(lines, 1) if "\r" in line), 0)
        where, edit = "lines that end with a carriage return (CRLF)", "s/\\r$//"
        if inside:
            where, edit = f"a carriage return within line {inside}", "s/\\r$//; s/\\r/\\n/g"
        found.append(
            f"{name}: got {where}; expected plain line ends, for iptables-restore and the shell read them otherwise, and ufw "
            f"does not start with them: run sed -i '{edit}' {name}"
        )
    return found


def _why_not_loaded(files: Iterable[FileRules], family: int, present: Iterable[str]) -> Iterator[str]:
    """What the kernel as it is does not show of before.rules and after.rules, in this order: a file that is empty, a table
    that is not committed (which iptables-restore does not complain about, and does not load), rules of a chain that no
    file makes, and jumps to one that is only there (``present``) because another program has made it since the boot."""
    known = {*standard_chains(family), *BUILT_IN}
    others = {*present} - known
    for file in files:
        if not file.text.strip():
            yield f"{file.path} is empty, which ufw takes for an error"
        if file.open_table:
            yield f"{file.path}: the table {file.open_table} has no COMMIT at its end, so that none of it is loaded"
        rules = file.table("filter")
        known.update(rules.declared)
        known.update(found[1] for line in file.unread if (found := _NEW.match(line)))
        lost = next((chain for chain, _rule in rules.rules if chain not in known), "")
        if lost:
            yield f"{file.path} has a rule of the chain {lost}, which is not there when ufw starts (declare it: `:{lost} - [0:0]`)"
        lost = next((name for _chain, rule in rules.rules for name in _jumps(rule) if name in others - known), "")
        if lost:
            yield (
                f"{file.path} jumps to the chain {lost} of another program, which is not there when ufw starts (declare it: "
                f"`:{lost} - [0:0]`)"
            )


def _jumps(rule: str) -> list[str]:
    try:
        parts = words(rule)
    except Unclosed:
        return []
    return [name for option, name in zip(parts, parts[1:]) if option in ("-j", "-g", "--jump", "--goto")]


# -- ufw's own settings ------------------------------------------------------------------------------------------------


def _odd_settings(host: Host) -> list[str]:
    """Settings that ufw's commands understand and its start does not: they are read by a shell there, which compares them
    to the letter. RulesetError where a line is no setting, with which that shell ends."""
    found = []
    for path in (DEFAULTS, CONF):
        settings = shell_settings(_text(host, path) or "")
        if settings.no_setting:
            raise RulesetError(
                f"{path} line {settings.no_setting[0]}: got a line that sets nothing; expected NAME=value without blanks; ufw's start reads "
                "the file as a shell script and ends there, so that the next boot is without a firewall: repair it"
            )
        found += [
            f"{path}: {name} is {value or 'not plain'}, which ufw's start does not take for what its commands do"
            for name, value in settings.odd.items()
        ]
    return found


# -- the unit ----------------------------------------------------------------------------------------------------------


def _is_started(host: Host) -> bool:
    """Whether the boot comes to the unit. RulesetError where it would not if it were enabled either."""
    target = units.default_target(host)
    if not units.exists(host, target):
        return units.is_wanted(host, UNIT)
    if units.boots_into(host, UNIT):
        return True
    wanted = " ".join(line.value for line in units.effective(units.settings(host, UNIT), "WantedBy")).split() or [
        _TARGET
    ]
    if not units.boots_into(host, *wanted):
        raise RulesetError(
            f"boot: the default target is {target}, which does not lead to {' or '.join(wanted)}, where {UNIT} starts: "
            f"the next boot is without a firewall; `systemctl set-default {wanted[0]}`"
        )
    return False


def _require_own_start(host: Host) -> list[str]:
    """RulesetError where a file of the host's own keeps the unit from starting ufw, or has it do something else; warnings
    about what only the boot will show."""
    found = units.settings(host, UNIT)
    starts = units.effective(found, "ExecStart")
    if not found:
        return []
    if not any(_START in " ".join(line.value.split()) for line in starts):
        where = ", ".join(dict.fromkeys(line.path for line in found if line.key == "ExecStart" and not line.packaged))
        raise _not_started(
            f"{where or UNIT} has it start {', '.join(line.value for line in starts) or 'nothing'}",
            "/lib/ufw/ufw-init start",
        )
    missing = [line.value.split()[0].lstrip(_PREFIXES) for line in starts if _START in line.value]
    missing = [path for path in missing if path.startswith("/") and not host.executable(path)]
    if missing:
        raise _not_started(f"{missing[0]} cannot be executed", "the program of ufw's package")
    own = [line for line in found if not line.packaged]
    for key in ("ExecStart", *_BEFORE, "ExecStartPost"):
        for line in units.effective(own, key):
            if ruins(host, line.value):
                raise _not_started(f"{line.path} has {key}={line.value}, which takes all rules away", "no such line")
            if key in _BEFORE and not line.value.startswith("-"):
                raise _not_started(
                    f"{line.path} has {key}={line.value}, without which it does not start",
                    f"{key}=-{line.value}, or no such line",
                )
    for key in _ELSEWHERE:
        for line in units.effective(own, key):
            if line.value.lower() not in ("no", "false", "0", "off", "root"):
                raise _not_started(f"{line.path} has {key}={line.value}", "no such line")
    return [*_doubtful_needs(host, own), *_doubtful_conditions(host, own)]


def _not_started(got: str, expected: str) -> RulesetError:
    return RulesetError(
        f"boot: {UNIT} does not start ufw: {got}; expected {expected}; the next boot may be without a firewall: change it "
        f"(`systemctl edit ufw`, `systemctl revert ufw`)"
    )


def _doubtful_needs(host: Host, own: Iterable[units.Setting]) -> list[str]:
    warnings = []
    for line in own:
        if line.key in _NEEDS:
            # Mounts and devices are made as they come.
            lost = [name for name in line.value.split() if name.endswith(_OF_FILES) and not units.exists(host, name)]
            if lost:
                raise _not_started(
                    f"{line.path} has {line.key}={lost[0]}, and there is no such unit", "units that start"
                )
            warnings.append(
                f"boot: {line.path} has {UNIT} start only if {line.value} does: then alone is there a firewall"
            )
    return warnings


def _doubtful_conditions(host: Host, own: Iterable[units.Setting]) -> list[str]:
    """systemd itself says whether a condition is met now; what it is at the boot only the boot knows."""
    lines = [line for line in own if line.key.startswith(("Condition", "Assert")) and line.value]
    if not lines:
        return []
    texts = [f"{line.key}={line.value}" for line in lines]
    where = ", ".join(dict.fromkeys(line.path for line in lines))
    if host.run(["systemd-analyze", "condition", *texts]).status:
        raise _not_started(f"{where} has {' and '.join(texts)}, which is not met", "no condition, or one that is met")
    return [
        f"boot: {where} has {UNIT} start only if {' and '.join(texts)} at the boot (it is so now): then alone is there a firewall"
    ]


def _text(host: Host, path: str) -> str | None:
    try:
        return read_text(host.path(path))
    except OSError:
        return None


# -- iptables --------------------------------------------------------------------------------------------------------


def _require_one_iptables(host: Host, families: Iterable[int]) -> None:
    """RulesetError where the commands of a family are of two kinds: what one loads the other does not see."""
    for family in families:
        names = (RESTORE[family], SAVE[family], RESTORE[family].partition("-")[0])
        kinds = {name: program(host, name) for name in names if program(host, name)}
        if len(set(kinds.values())) > 1:
            found = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
            raise RulesetError(
                f"boot: {found}: what the boot loads by one of them the others do not see; expected one kind; "
                f"`update-alternatives --auto {names[-1]}`"
            )
