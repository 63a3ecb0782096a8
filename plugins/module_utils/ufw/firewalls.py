# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What else sets up a firewall at the boot, and takes away what ufw loads: units that are enabled, and scripts."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import read_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import units
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import RESTORE

_NFTABLES = "/etc/nftables.conf"
_FLUSH = re.compile(r"^\s*flush\s+ruleset\b", re.MULTILINE)
_INCLUDE = re.compile(r'^\s*include\s+"([^"]+)"', re.MULTILINE)
#: Units that set up the whole firewall by themselves when they start.
_FIREWALLS = ("firewalld", "shorewall", "shorewall6", "ferm", "iptables", "ip6tables", "firehol")
#: Two more, which do so where they have a file to load.
_NFT, _SAVED = "nftables", "netfilter-persistent"
_PERSISTENT = {4: "/etc/iptables/rules.v4", 6: "/etc/iptables/rules.v6"}
#: Commands that take every rule away, or put others in their place: a restore without --noflush, a flush of all or of a
#: chain that leads to ufw's.
_REPLACES = re.compile(
    r"\bip6?tables(?:-legacy|-nft)?-restore\b(?![^;&|\n]*\s(?:-\w*n\w*|--noflush|-t|--test)\b)"
    r"|\bip6?tables(?:-legacy|-nft)?\s+(?:-w\s+(?:\d+\s+)?)?(?:-t\s*filter\s+)?(?:-F|--flush)[ \t]*(?:[;&|\"')#\n]|$|INPUT|FORWARD|OUTPUT|ufw)"
    r"|\bnft\b[^;&|\n]*\bflush\s+ruleset\b"
)
_NFT_FILE = re.compile(r"\bnft\s[^;&|\n]*(?:-f|--file)[ =]+(/[^\s;&|\"']+)")
#: A program of the host's own, which is a script more often than not.
_OWN_PROGRAM = re.compile(r"(?:^|[\s'\"@+!-])(/(?:usr/local|opt|root|etc|home|srv)/[^\s'\";&|]+)")
#: Scripts that run at the boot or when an interface comes up, where they may be executed; and files with such lines.
_SCRIPTS = ("/etc/rc.local", "/etc/network/if-pre-up.d/*", "/etc/network/if-up.d/*")
_LISTS = (
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
    "/etc/crontab",
    "/etc/cron.d/*",
    "/var/spool/cron/crontabs/*",
)
_LIST_LINE = re.compile(r"^\s*(?:@reboot|pre-up|up|post-up)\s(.*)", re.MULTILINE)
#: Of a script; one that is longer is no list of firewall commands.
_LONGEST = 65536


def require_no_other(host: Host, families: Iterable[int]) -> list[str]:
    """RulesetError where a unit that starts at the boot removes what ufw loads, or puts other rules in its place;
    warnings about scripts that look as if they did."""
    enabled = units.enabled_units(host)
    known = {f"{name}.service": name for name in (*_FIREWALLS, _NFT, _SAVED, "ufw")}
    starts = [known[unit] for unit in known if unit in enabled and not units.is_masked(host, unit)]
    found = [
        f"{name}.service is enabled, which sets up the firewall by itself" for name in _FIREWALLS if name in starts
    ]
    if _NFT in starts and _flushes(host, _NFTABLES) and not is_legacy(host):
        found.append(f"nftables.service is enabled, and {_NFTABLES} flushes the whole ruleset whenever it starts")
    saved = [_PERSISTENT[family] for family in families if host.exists(_PERSISTENT[family])]
    if saved and _SAVED in starts:
        found.append(
            f"netfilter-persistent.service is enabled, and puts {' and '.join(saved)} in the place of all rules"
        )
    warnings = []
    for unit in units.enabled_services(host, enabled):
        lines = (
            [] if unit in known else [line for line in units.settings(host, unit) if line.key.startswith("ExecStart")]
        )
        guilty = [line for line in lines if _replaces(host, line.value)]
        if guilty:
            found.append(f"{unit} is enabled, and its {guilty[0].key}={guilty[0].value} takes all rules away")
        else:
            warnings += [f"{path}, which {unit} runs" for path in _own_programs(lines) if _is_such_a_script(host, path)]
    if found:
        names = " ".join(dict.fromkeys(line.split()[0] for line in found))
        raise RulesetError(
            f"boot: {'; '.join(found)}: what the next boot leaves of ufw's rules is not known; expected ufw alone; "
            f"`systemctl disable {names}` (it takes effect with the boot), or leave this host's firewall to that one"
        )
    return [
        f"boot: {what} has a command that takes all of the firewall's rules away: if it runs after ufw has started, the "
        "next boot is without a firewall; remove it"
        for what in [*warnings, *_scripts(host)]
    ]


def ruins(host: Host, command: str) -> bool:
    """Whether a command takes all rules away, or one of the scripts that it runs has such a line."""
    programs = _OWN_PROGRAM.findall(command)
    return _replaces(host, command) or any(_is_such_a_script(host, path) for path in programs)


def is_legacy(host: Host) -> bool:
    return "legacy" in program(host, RESTORE[4])


def program(host: Host, name: str) -> str:
    """The file behind a command, such as xtables-nft-multi; "" where it is not found."""
    for folder in ("/usr/sbin", "/sbin"):
        path = host.path(f"{folder}/{name}")
        if os.path.exists(path):
            return os.path.basename(os.path.realpath(path))
    return ""


def _own_programs(lines: Iterable[units.Setting]) -> Iterator[str]:
    for line in lines:
        yield from _OWN_PROGRAM.findall(line.value)


def _replaces(host: Host, text: str) -> bool:
    if _REPLACES.search(text):
        return True
    return any(_flushes(host, path) for path in _NFT_FILE.findall(text)) and not is_legacy(host)


def _is_such_a_script(host: Host, path: str) -> bool:
    text = _text(host, path) or ""
    if not text.startswith("#!") or len(text) > _LONGEST:
        return False
    return _replaces(host, re.sub(r"(?m)^\s*#.*$", "", text))


def _scripts(host: Host) -> Iterator[str]:
    for path in _glob(host, _SCRIPTS):
        if host.executable(path) and _is_such_a_script(host, path):
            yield path
    for path in _glob(host, _LISTS):
        if any(ruins(host, line) for line in _LIST_LINE.findall(_text(host, path) or "")):
            yield path


def _glob(host: Host, patterns: Iterable[str]) -> list[str]:
    found = [path for name in patterns for path in sorted(glob.glob(glob.escape(host.root) + name))]
    return [path[len(host.root) :] for path in found if os.path.isfile(path)]


def _flushes(host: Host, path: str, depth: int = 3) -> bool:
    """Whether a file of nftables, or one that it includes, flushes everything."""
    text = _text(host, path) or ""
    if _FLUSH.search(text):
        return True
    names = [os.path.join(os.path.dirname(path), name) for name in _INCLUDE.findall(text)] if depth else []
    return any(_flushes(host, name, depth - 1) for name in _glob(host, names))


def _text(host: Host, path: str) -> Optional[str]:
    try:
        return read_text(host.path(path))
    except OSError:
        return None
