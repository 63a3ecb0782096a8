# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host of the recorded files: its kernel takes iptables-restore's input, its ufw switches on and off.

The kernel starts from a recorded iptables-save and understands just what iptables-restore -n does with a payload:
declared chains are emptied or made, policies set, rules appended, inserted, deleted, all or nothing.
"""

from __future__ import annotations

import copy
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import (
    INIT,
    Host,
    Result,
    edit_settings,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import take_snapshot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import TMPFILES, TMPFILES_TEXT
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import inform as firewall

RECORDED = Path(__file__).parent / "recorded"
FAMILIES = {"iptables": 4, "ip6tables": 6}


#: The built-in chains of any table but the filter's.
BUILT_IN = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"
)


class RestoreFailed(Exception):
    """A payload that iptables-restore would refuse."""


def transactions(payload: str) -> list[str]:
    """The parts of a payload, each from its table's name to its COMMIT."""
    lines = [line for line in payload.split("\n") if line and not line.startswith("#")]
    payload = "\n".join(lines)
    parts = payload.removesuffix("COMMIT").split("COMMIT\n") if payload else []
    return [part + "COMMIT\n" for part in parts]


class FakeTable:
    """The filter table of one family, or IPv6's security table."""

    def __init__(self, save: str, name: str = "filter") -> None:
        kernel = parse_save(save)
        self.name = name
        self.policies, self.chains = dict(kernel.policies), {name: list(rules) for name, rules in kernel.chains.items()}

    def save(self) -> str:
        """As iptables-save prints it."""
        lines = ["*" + self.name]
        lines += [":%s %s [0:0]" % (name, self.policies.get(name, "-")) for name in self.chains]
        lines += ["-A %s %s" % (name, rule) for name, rules in self.chains.items() for rule in rules]
        return "\n".join([*lines, "COMMIT", ""])

    def restore(self, payload: str) -> None:
        """iptables-restore -n: of each transaction everything or nothing."""
        for part in transactions(payload):
            self._transaction(part)

    def _transaction(self, payload: str) -> None:
        work = copy.deepcopy(self)
        lines = payload.splitlines()
        assert (lines[0], lines[-1]) == ("*" + self.name, "COMMIT"), payload
        for line in lines[1:-1]:
            work.step(line)
        for rules in work.chains.values():
            for rule in rules:
                target = rule.partition("-j ")[2].split(" ")[0]
                if target.startswith("ufw") and target not in work.chains:
                    raise RestoreFailed("no chain " + target)
        self.policies, self.chains = work.policies, work.chains

    def step(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if line.startswith(":"):
            name, policy = line[1:].split()[:2]
            if policy == "-":
                self.chains[name] = []
            else:
                self.policies[name] = policy
            return
        how, _space, rest = line.partition(" ")
        name, _space, rule = rest.partition(" ")
        if name not in self.chains:
            raise RestoreFailed("no chain " + name)
        if how == "-A":
            self.chains[name].append(rule)
        elif how == "-I":
            number, _space, rest = rule.partition(" ")
            place = int(number) - 1 if number.isdigit() else 0
            if place > len(self.chains[name]):
                raise RestoreFailed("index of insertion too big")
            self.chains[name].insert(place, rest if number.isdigit() else rule)
        elif how == "-D":
            if rule not in self.chains[name]:
                raise RestoreFailed("no such rule")
            self.chains[name].remove(rule)
        elif how == "-F":
            self.chains[name] = []
        elif how == "-X":
            assert not self.chains.pop(name), name
        else:
            raise RestoreFailed("unknown command " + line)


def recorded_table(release: str, family: int) -> FakeTable:
    """The filter table of a recorded host."""
    return FakeTable((RECORDED / release / ("iptables-save" if family == 4 else "ip6tables-save")).read_text())


class FakeHost(Host):
    """A copy of a recorded host in a temporary folder; ``ran`` is every command that was run, ``fail`` makes some fail:
    a substring of the command line -> the message that it fails with. ``spawned`` are the processes that outlive it,
    ``flows`` is what `conntrack -L` prints, ``counters`` are the packets and bytes of lines of iptables-save."""

    addresses = "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 10.0.0.5/24 scope global eth0\n"

    def __init__(self, root: Path, release: str = "debian12") -> None:
        super().__init__(str(root))
        shutil.copytree(RECORDED / release / "etc", root / "etc")
        (root / "run").mkdir()
        (root / "proc/sys/net/ipv6").mkdir(parents=True)
        self.release = release
        self.tables = {family: recorded_table(release, family) for family in (4, 6)}
        self.security = FakeTable("", "security")
        self.others: dict[tuple[int, str], FakeTable] = {}
        self.nft = ""  # what `nft list tables` prints
        self.ran: list[str] = []
        self.spawned: list[list[str]] = []
        self.fail: dict[str, str] = {}
        self.flows = ""
        self.counters: dict[str, tuple[int, int]] = {}
        # Without the right to make a network namespace; a test may have one that answers as a recorded one did.
        self.scratch: Callable[[int, str], Result] = lambda family, text: Result(1, "", "unshare: unshare failed")

    def systemd(self) -> None:
        """As a host where systemd runs, set up for the next boot."""
        self.file("/run/systemd/system").mkdir(parents=True)
        self.file(TMPFILES).parent.mkdir(exist_ok=True)
        self.file(TMPFILES).write_text(TMPFILES_TEXT)
        units = {
            "default.target": "[Unit]\nRequires=multi-user.target\n",
            "basic.target": "[Unit]\n",
            "multi-user.target": "[Unit]\nRequires=basic.target\n",
            "ufw.service": "[Service]\nExecStart=/lib/ufw/ufw-init start quiet\n[Install]\nWantedBy=multi-user.target\n",
        }
        for name, text in units.items():
            self.put(f"/usr/lib/systemd/system/{name}", text)
        self.put(INIT, "#!/bin/sh\n").chmod(0o755)
        self.enable("ufw.service")

    def put(self, name: str, text: str = "") -> Path:
        """A file of the host."""
        path = self.file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def enable(self, unit: str) -> None:
        """As `systemctl enable`."""
        link = self.file(f"/etc/systemd/system/multi-user.target.wants/{unit}")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/lib/systemd/system/{unit}")

    # -- what tests look at --------------------------------------------------------------------------------------

    def file(self, name: str) -> Path:
        return Path(self.path(name))

    def snapshot(self) -> dict[str, str]:
        """Everything that an apply may change."""
        state = {str(path): path.read_text() for path in sorted(Path(self.root, "etc").rglob("*")) if path.is_file()}
        return {**state, "v4": self.tables[4].save(), "v6": self.tables[6].save(), "last": self.security.save()}

    def inactive(self) -> FakeHost:
        """Switch ufw off, as after the package's installation."""
        self._switch("disable")
        return self

    # -- commands ------------------------------------------------------------------------------------------------

    def run(self, argv: list[str], stdin: str = "") -> Result:
        line = " ".join(argv)
        self.ran.append(line)
        for part, message in self.fail.items():
            if part in line:
                return Result(1, "", message)
        if argv[0] == "ufw":
            self._switch(argv[-1])
            return Result(0, "", "")
        if argv[0] == INIT:
            # ufw-init sets the kernel from the files (of --datadir), and does not write any.
            tree = argv[2] if "--datadir" in argv else self.root
            self._switch_kernel({"start": "enable", "stop": "disable"}[argv[-1]], tree)
            return Result(0, "", "")
        if argv[0] == "conntrack":
            return Result(0, self.flows if "-L" in argv else "", "")
        if argv[0] == "ip":
            return Result(0, self.addresses if "address" in argv else "", "")
        if argv[0] == "timeout":
            return self.scratch(6 if "ip6tables" in line else 4, stdin)
        if argv[0] == "chmod":
            self.file(argv[2]).chmod(int(argv[1], 8))
            return Result(0, "", "")
        if argv[0] in ("systemd-run", "systemctl", "systemd-analyze"):
            return Result(0, "", "")
        if argv[0] == "nft":
            return Result(0, self.nft, "")
        family = FAMILIES[argv[0].partition("-")[0]]
        if len(argv) == 1 and argv[0].endswith("-save"):
            others = [table for (one, _name), table in self.others.items() if one == family]
            return Result(0, "".join(table.save() for table in [self.tables[family], *others]), "")
        if argv[0].endswith("-save"):
            if argv[-1] not in ("filter", "-c"):
                return Result(0, self.table(family, argv[-1]).save(), "")
            text = self.tables[family].save()
            return Result(0, re.sub(r"(?m)^-A .*", self._counted, text) if "-c" in argv else text, "")
        for part in transactions(stdin):
            table = self.table(family, part.partition("\n")[0][1:])
            if "--test" in argv:  # which carries out neither, and so finds nothing wrong with them
                part = re.sub(r"(?m)^-[ER] .*\n", "", part)
            try:
                (copy.deepcopy(table) if "--test" in argv else table).restore(part)
            except RestoreFailed as error:
                return Result(1, "", str(error))
        return Result(0, "", "")

    def table(self, family: int, name: str) -> FakeTable:
        """One table of the kernel."""
        if name == "filter":
            return self.tables[family]
        if name == "security" and family == 6:
            return self.security
        return self.others.setdefault((family, name), FakeTable(BUILT_IN, name))

    def start(self, argv: list[str], stdin: str = "") -> Callable[[], Result]:
        done = self.run(argv, stdin)
        return lambda: done

    def _counted(self, line: re.Match) -> str:
        """A line of `iptables-save -c`."""
        return "[%d:%d] %s" % (*self.counters.get(line.group(), (0, 0)), line.group())

    def spawn(self, argv: list[str]) -> None:
        self.spawned.append(argv)

    def _switch(self, word: str) -> None:
        conf = self.file("/etc/ufw/ufw.conf")
        value = {"enable": "yes", "disable": "no"}[word]
        conf.write_text(edit_settings(conf.read_text(), {"ENABLED": value}))
        self._switch_kernel(word, self.root)

    def _switch_kernel(self, word: str, tree: str) -> None:
        for family, table in self.tables.items():
            if word == "disable":
                table.policies = dict.fromkeys(table.policies, "ACCEPT")
                for name in list(table.chains):
                    table.chains[name] = []
                    if "-user-" in name:
                        del table.chains[name]
            else:
                rules = Path(tree, "etc/ufw/user.rules" if family == 4 else "etc/ufw/user6.rules")
                self.tables[family] = recorded_table(self.release, family)
                self.tables[family].restore(rules.read_text().rstrip("\n"))


def inform(host: Host, **options: bool | str) -> dict[str, object]:
    """What ufw_ruleset_info says of a host: read there, understood on the controller."""
    return firewall.inform(lambda depth: take_snapshot(host, depth), **options)


def snapshot_of(**wish: object) -> str:
    """What a host returns that has these options of ufw_ruleset."""
    with tempfile.TemporaryDirectory() as folder:
        host = FakeHost(Path(folder))
        shape = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": True, "rules": []}
        converge(host, {**shape, **wish}, False)
        return take_snapshot(host, "rules")
