# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the next boot will do: whether it starts ufw at all, and whether another firewall undoes it. Whether ufw's files
can be loaded then is in boot.py.

A ruleset that is in force until the reboot and not after it is no ruleset. What can be put right is part of the plan; what
is for a person to decide is an error that says what to do. Of a unit the links are read that systemd reads at the boot:
no process is needed for a run that changes nothing.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import RESTORE, SAVE
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import read_text

UNIT = "ufw.service"
#: Has the boot make ufw's lock file for root alone: ufw's first command would make it readable by all.
TMPFILES = "/etc/tmpfiles.d/bulkhead-ufw.conf"
TMPFILES_TEXT = "# Written by bulkhead.tiers.ufw_ruleset: a lock that any user can hold stops ufw.\nf /run/ufw.lock 0600 root root -\n"
_SYSTEMD = "/etc/systemd/system"
_NFTABLES = "/etc/nftables.conf"
_FLUSH = re.compile(r"^\s*flush\s+ruleset\b", re.MULTILINE)
_INCLUDE = re.compile(r'^\s*include\s+"([^"]+)"', re.MULTILINE)
#: Units that set up the whole firewall by themselves when they start.
_FIREWALLS = ("firewalld", "shorewall", "shorewall6", "ferm", "iptables", "ip6tables")
_PERSISTENT = {4: "/etc/iptables/rules.v4", 6: "/etc/iptables/rules.v6"}


class Boot(NamedTuple):
    """``drift`` is what the boot would do otherwise, a line each; ``commands`` and ``files`` put that right."""

    drift: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.commands or self.files)


def look_at_boot(host: Host, ipv6: bool) -> Boot:
    """What is to be done so that the next boot starts ufw. RulesetError where that is not enough."""
    families = (4, 6) if ipv6 else (4,)
    _require_one_iptables(host, families)
    if not host.exists("/run/systemd/system"):
        return Boot()
    _require_no_other(host, families)
    drift, commands = [], []
    if _is_masked(host, UNIT):
        drift.append(f"{UNIT} is masked, so that the next boot would be without a firewall")
        commands.append(("systemctl", "unmask", UNIT))
    if not _is_wanted(host, UNIT):
        drift.append(f"{UNIT} is not enabled, so that the next boot would be without a firewall")
        commands.append(("systemctl", "enable", UNIT))
    files = () if _text(host, TMPFILES) == TMPFILES_TEXT else ((TMPFILES, TMPFILES_TEXT),)
    if files:
        drift.append("the next boot would leave /run/ufw.lock to be made readable, and so lockable, by every user")
    return Boot(tuple(f"boot: {line}" for line in drift), tuple(commands), files)


def check_line_ends(state: State, enabled: bool) -> list[str]:
    """RulesetError where ufw's files have line ends with which it does not start; a warning while it stays off."""
    if not state.carriage_returns:
        return []
    names = " and ".join(state.carriage_returns)
    text = (
        f"{names}: got lines that end with a carriage return (CRLF); expected plain line ends, for iptables-restore and the "
        f"shell read them otherwise, and ufw does not start with them: run sed -i 's/\\r$//' {' '.join(state.carriage_returns)}"
    )
    if enabled:
        raise RulesetError(text)
    return [text]


# -- units -----------------------------------------------------------------------------------------------------------


def _is_masked(host: Host, unit: str) -> bool:
    path = host.path(f"{_SYSTEMD}/{unit}")
    with contextlib.suppress(OSError):
        return os.readlink(path) == "/dev/null"
    return os.path.isfile(path) and not os.path.getsize(path)


def _is_wanted(host: Host, unit: str) -> bool:
    """Whether a link has another unit start this one at every boot: what `systemctl enable` makes."""
    folder = glob.escape(host.path(_SYSTEMD))
    return any(map(os.path.islink, [*glob.glob(f"{folder}/*.wants/{unit}"), *glob.glob(f"{folder}/*.requires/{unit}")]))


def _starts(host: Host, name: str) -> bool:
    return _is_wanted(host, f"{name}.service") and not _is_masked(host, f"{name}.service")


def _require_no_other(host: Host, families: Iterable[int]) -> None:
    """RulesetError where another firewall starts at the boot and removes what ufw loads, or the other way round."""
    found = [
        f"{name}.service is enabled, which sets up the firewall by itself" for name in _FIREWALLS if _starts(host, name)
    ]
    if _starts(host, "nftables") and _flushes(host, _NFTABLES) and not _is_legacy(host):
        found.append(f"nftables.service is enabled, and {_NFTABLES} flushes the whole ruleset whenever it starts")
    saved = [_PERSISTENT[family] for family in families if host.exists(_PERSISTENT[family])]
    if saved and _starts(host, "netfilter-persistent"):
        found.append(
            f"netfilter-persistent.service is enabled, and puts {' and '.join(saved)} in the place of all rules"
        )
    if found:
        units = " ".join(dict.fromkeys(line.split()[0] for line in found))
        raise RulesetError(
            f"boot: {'; '.join(found)}: what the next boot leaves of ufw's rules is not known; expected ufw alone; "
            f"`systemctl disable {units}` (it takes effect with the boot), or leave this host's firewall to that one"
        )


def _flushes(host: Host, path: str, depth: int = 3) -> bool:
    """Whether a file of nftables, or one that it includes, flushes everything."""
    text = _text(host, path) or ""
    if _FLUSH.search(text):
        return True
    names = [os.path.join(os.path.dirname(path), name) for name in _INCLUDE.findall(text)] if depth else []
    found = [match[len(host.root) :] for name in names for match in glob.glob(glob.escape(host.root) + name)]
    return any(_flushes(host, name, depth - 1) for name in found)


def _text(host: Host, path: str) -> Optional[str]:
    try:
        return read_text(host.path(path))
    except OSError:
        return None


# -- iptables --------------------------------------------------------------------------------------------------------


def _program(host: Host, name: str) -> str:
    """The file behind a command, such as xtables-nft-multi; "" where it is not found."""
    for folder in ("/usr/sbin", "/sbin"):
        path = host.path(f"{folder}/{name}")
        if os.path.exists(path):
            return os.path.basename(os.path.realpath(path))
    return ""


def _is_legacy(host: Host) -> bool:
    return "legacy" in _program(host, RESTORE[4])


def _require_one_iptables(host: Host, families: Iterable[int]) -> None:
    """RulesetError where the commands of a family are of two kinds: what one loads the other does not see."""
    for family in families:
        names = (RESTORE[family], SAVE[family], RESTORE[family].partition("-")[0])
        kinds = {name: _program(host, name) for name in names if _program(host, name)}
        if len(set(kinds.values())) > 1:
            found = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
            raise RulesetError(
                f"boot: {found}: what the boot loads by one of them the others do not see; expected one kind; "
                f"`update-alternatives --auto {names[-1]}`"
            )
