"""A host with a network stack, as far as its VLANs see it."""

from __future__ import annotations

import json
import os
import pathlib
import re

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.render import FOLDER, INTERFACES, YAML


class FakeHost:
    """Files below `root`; `commands` are those that were run. An interface comes up when its stack is told to read its files."""

    def __init__(self, root: pathlib.Path, stack: str) -> None:
        self.root, self.stack = root, stack
        self.commands: list[list[str]] = []
        self.links: dict[str, dict] = {"eth1": {"ifname": "eth1", "addr_info": []}}
        self.fails: set[str] = set()
        #: Interfaces that never come up.
        self.dead: set[str] = set()
        self.kernel = True
        self._parents: list[str] = []
        for folder in ("proc/net", "sys/class/net/eth1", "etc/network/interfaces.d", "etc/netplan", "run"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / FOLDER[1:]).mkdir(parents=True)
        programs = {"ifupdown": ["ifup"], "netplan": ["netplan", "networkctl"], "networkd": ["networkctl"]}[stack]
        (root / "usr/sbin").mkdir(parents=True)
        for name in ("modprobe", *programs):
            (root / "usr/sbin" / name).write_text("")
            (root / "usr/sbin" / name).chmod(0o755)
        (root / "etc/network/interfaces").write_text("source /etc/network/interfaces.d/*\n")
        (root / "etc/netplan/50-own.yaml").write_text("network: {}\n")

    def run(self, argv, stdin=""):
        self.commands.append(argv)
        if argv[0] in self.fails:
            return Result(1, "", f"{argv[0]} does not work today")
        answer = getattr(self, f"_{argv[0]}", lambda argv: Result(0, "", ""))(argv)
        return answer

    @property
    def changes(self):
        """The commands that change interfaces."""
        return [
            argv
            for argv in self.commands
            if argv[0] in ("ifup", "ifdown")
            or argv[:2]
            in (["netplan", "apply"], ["networkctl", "reload"], ["networkctl", "reconfigure"], ["ip", "link"])
        ]

    def _modprobe(self, argv):
        return Result(0, "", "") if self.kernel else Result(1, "", "FATAL: Module 8021q not found")

    def _networkctl(self, argv):
        if argv[1] == "status":
            return Result(0, "         Link File: n/a\n      Network File: /etc/systemd/network/20-trunk.network\n", "")
        # A VLAN is made when its parent is configured: at a reload only where a file of the parent has changed.
        now = [path.read_text() for path in (self.root / FOLDER[1:]).glob("*.network.d/*")]
        made = self._parents != now or argv[1] == "reconfigure"
        self._parents = now
        self._read(known=None if made else set(self.links))
        return Result(0, "", "")

    def _netplan(self, argv):
        if argv[1] == "get":
            return Result(0, "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n    eth1: {}\n", "")
        self._read()
        return Result(0, "", "")

    def _ifup(self, argv):
        self._read(argv[1])
        return Result(0, "", "")

    def _ip(self, argv):
        if argv[:3] == ["ip", "link", "delete"]:
            found = self.links.pop(argv[-1], None)
            return Result(0 if found else 1, "", "")
        return Result(0, json.dumps(list(self.links.values())), "")

    def _read(self, only="", known=None):
        """What the stack makes of its files, in the simplest reading of them. known: no other interface is made."""
        for name, number, addresses in self.declared():
            if known is not None and name not in known:
                continue
            if name not in self.dead and only in ("", name):
                infos = [dict(zip(("local", "prefixlen"), (a.split("/")[0], int(a.split("/")[1])))) for a in addresses]
                data = {"info_kind": "vlan", "info_data": {"id": number}}
                self.links[name] = {"ifname": name, "link": "eth1", "linkinfo": data, "addr_info": infos}

    def declared(self):
        for path in (self.root / INTERFACES[1:], self.root / YAML[1:]):
            text = path.read_text() if path.exists() else ""
            for block in re.split(r'^(?=auto |    ")', text, flags=re.MULTILINE)[1:]:
                name = re.match(r'(?:auto (\S+)|    "([^"]+)")', block)
                number = re.search(r"(?: id:? )(\d+)", block)
                yield (
                    name.group(1) or name.group(2),
                    int(number.group(1)),
                    re.findall(r'(?:address |- ")([0-9a-f.:]+/\d+)', block),
                )
        for path in sorted((self.root / FOLDER[1:]).glob("*.netdev")):
            name = re.search(r"Name=(\S+)", path.read_text()).group(1)
            number = int(re.search(r"Id=(\d+)", path.read_text()).group(1))
            yield name, number, re.findall(r"Address=(\S+)", path.with_suffix(".network").read_text())

    def own(self):
        """{path: text} of all files in /etc."""
        return {
            "/" + os.path.relpath(path, self.root): path.read_text()
            for path in sorted((self.root / "etc").rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture(name="host", params=["ifupdown", "netplan", "networkd"])
def fixture_host(request, tmp_path, monkeypatch):
    """A host of each stack, whose timers are noted down and never run."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans import converge

    host = FakeHost(tmp_path / "root", request.param)
    host.timers = []
    monkeypatch.setattr(converge, "spawn_process", host.timers.append)
    monkeypatch.setattr(converge, "_COMES_UP", 0.05)
    monkeypatch.setattr(converge, "_PAUSE", 0.01)
    return host
