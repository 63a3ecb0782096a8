# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as its VLANs see it: which stack looks after the parent interface, what is there, and the commands that change it."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Run, read_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.render import (
    IFUPDOWN,
    INTERFACES,
    MARKER,
    NETPLAN,
    NETWORKD,
    PATTERNS,
    YAML,
    File,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Vlan, Wanted

_SOURCES = re.compile(r"^\s*(?:source|source-directory)\s+(\S+)", re.MULTILINE)
#: The names of interfaces in files of ours, one expression for each stack.
_NAMES = re.compile(r'^(?:auto (\S+)|    "([^"]+)":|Name=(\S+))$', re.MULTILINE)


class Stack(NamedTuple):
    """Who looks after the parent interface. parents_file: the name of networkd's file for it, for networkd alone."""

    name: str
    parents_file: str = ""


class Link(NamedTuple):
    """An interface as the kernel has it. id: of a VLAN, else None."""

    parent: str
    id: Optional[int]
    addresses: frozenset[str]


class Host:
    """Reads; nothing here changes the host but `load_kernel`."""

    def __init__(self, run: Run, root: str = "") -> None:
        self._run = run
        self.root = root

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        places = os.pathsep.join(self.root + folder for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))
        return shutil.which(program, path=places) is not None

    # -- what must be there before anything is changed -----------------------------------------------------------

    def check_kernel(self, check_mode: bool) -> None:
        """Refused on a kernel without 802.1q. The module is loaded where that is needed, but in check mode."""
        if os.path.isdir(self.root + "/proc/net/vlan"):
            return
        done = (
            self._run(["modprobe", *(["--dry-run"] if check_mode else []), "8021q"]) if self.has("modprobe") else None
        )
        if done is not None and not done.status:
            return
        why = f" (modprobe 8021q: {done.err.strip()})" if done is not None and done.err.strip() else ""
        got = f"a kernel without 802.1q{why}"
        remedy = (
            "run the host on a kernel that has the module 8021q; a container has its machine's. Nothing was changed"
        )
        raise Refused([Mistake("vlans", got, "one with the module 8021q", remedy, "kernel")])

    def check_parent(self, wanted: Wanted) -> None:
        """Refused where the parent interface is not there."""
        folder = self.root + "/sys/class/net"
        if os.path.isdir(f"{folder}/{wanted.parent}"):
            return
        there = ", ".join(sorted(os.listdir(folder))) if os.path.isdir(folder) else "none"
        remedy = f"name the interface that is the trunk; the host has {there}"
        raise Refused([Mistake("parent", f"{wanted.parent}, which is not there", "an interface", remedy, "parent")])

    def stack(self, wanted: Wanted, asked: str) -> Stack:
        """The one that is asked for, or the one that looks after the parent interface. Refused where there is none."""
        ways = {NETPLAN: self._netplan, NETWORKD: self._networkd, IFUPDOWN: self._ifupdown}
        for name in ways if asked == "auto" else (asked,):
            found = ways[name](wanted.parent)
            if found is not None:
                return found
        expected = {
            NETPLAN: f"netplan with {wanted.parent} in a file of /etc/netplan",
            NETWORKD: f"a running systemd-networkd with a .network file for {wanted.parent}",
            IFUPDOWN: "ifupdown with a line `source /etc/network/interfaces.d/*` in /etc/network/interfaces",
        }
        wants = expected.get(asked) or f"one of: {'; '.join(expected.values())}"
        got = f"a host where {'none of the three' if asked == 'auto' else 'it'} looks after {wanted.parent}"
        raise Refused(
            [Mistake("stack", got, wants, "configure the interface there first, or name another stack", "stack")]
        )

    def _netplan(self, parent: str) -> Optional[Stack]:
        if not (self.has("netplan") and glob.glob(self.root + "/etc/netplan/*.yaml")):
            return None
        done = self._run(["netplan", "get"])
        # The definitions are two levels below `network:`.
        names = re.findall(r'^    "?([^\s":]+)"?:', done.out, re.MULTILINE)
        return Stack(NETPLAN) if not done.status and parent in names else None

    def _networkd(self, parent: str) -> Optional[Stack]:
        if not self.has("networkctl") or self._run(["systemctl", "is-active", "--quiet", "systemd-networkd"]).status:
            return None
        done = self._run(["networkctl", "status", "--no-pager", "--lines=0", parent])
        found = re.search(r"^\s*Network File: (\S+)", done.out, re.MULTILINE)
        return Stack(NETWORKD, os.path.basename(found.group(1))) if found and found.group(1).startswith("/") else None

    def _ifupdown(self, _parent: str) -> Optional[Stack]:
        if not self.has("ifup"):
            return None
        try:
            text = read_text(self.root + "/etc/network/interfaces")
        except OSError:
            return None
        wanted = os.path.dirname(INTERFACES)
        return Stack(IFUPDOWN) if any(found.startswith(wanted) for found in _SOURCES.findall(text)) else None

    # -- what is there -------------------------------------------------------------------------------------------

    def own_files(self) -> dict[str, File]:
        """The files of ours, of any stack. Refused where another's file has the name of one."""
        found, others = {}, []
        for pattern in PATTERNS:
            for path in sorted(glob.glob(self.root + pattern)):
                name, text = path[len(self.root) :], read_text(path)
                if text.startswith(MARKER):
                    found[name] = File(text, stat.S_IMODE(os.stat(path).st_mode))
                else:
                    others.append(name)
        if others:
            raise Refused(
                [
                    Mistake(
                        name,
                        "a file that this collection has not written",
                        f"one that begins with {MARKER!r}",
                        "move it",
                    )
                    for name in others
                ]
            )
        return found

    def links(self) -> dict[str, Link]:
        """{interface: Link}, of all that have addresses or are VLANs."""
        done = self._run(["ip", "-json", "-details", "address", "show"])
        found = {}
        for entry in json.loads(done.out) if not done.status and done.out.strip() else ():
            info: dict[str, Any] = entry.get("linkinfo") or {}
            vlan = (info.get("info_data") or {}).get("id") if info.get("info_kind") == "vlan" else None
            addresses = frozenset(
                f"{address['local']}/{address['prefixlen']}"
                for address in entry.get("addr_info") or ()
                if "local" in address
            )
            found[str(entry.get("ifname"))] = Link(str(entry.get("link", "")), vlan, addresses)
        return found


def names_in(files: Mapping[str, File]) -> list[str]:
    """The VLAN interfaces that files of ours make."""
    found: list[str] = []
    for path, file in files.items():
        if path in (INTERFACES, YAML) or path.endswith(".netdev"):
            found += [name for names in _NAMES.findall(file.text) for name in names if name]
    return list(dict.fromkeys(found))


def stack_of(files: Mapping[str, File]) -> str:
    """The stack that files of ours are for; "" of none."""
    return next(
        (IFUPDOWN if path == INTERFACES else NETPLAN if path == YAML else NETWORKD for path in files),
        "",
    )


def is_up(link: Optional[Link], wanted: Wanted, vlan: Vlan) -> bool:
    """Whether an interface is as it should be."""
    return (
        link is not None
        and link.parent == wanted.parent
        and link.id == vlan.id
        and set(vlan.addresses) <= link.addresses
    )
