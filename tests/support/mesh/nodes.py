# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes of receptor as processes of this machine, each with process numbers of its own, so that one dies as a machine does: at once
and with all that runs on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from hosts.machine import wait

BUILD = Path(__file__).parent / "build-mesh"
#: What an execution node offers, as in AWX.
WORK = "ansible-runner"


def programs() -> Path:
    """The folder of receptor, receptorctl and ansible-runner; the first call on a machine builds them."""
    done = subprocess.run(
        [BUILD], env={**os.environ, "PYTHON": sys.executable}, stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(done.stdout.strip()) / "bin"


class Node:
    """One receptor. Its process is the first of a PID namespace: what kills it kills the jobs that it runs. core: the only one that
    it has, or None for all."""

    def __init__(
        self,
        name: str,
        folder: Path,
        bin_: Path,
        settings: Sequence[dict[str, Any]],
        core: Optional[int] = None,
    ) -> None:
        self.name = name
        self._pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self.home = folder / name
        self.home.mkdir()
        self._bin = bin_
        self._config = self.home / "receptor.conf"
        node: dict[str, Any] = {"node": {"id": name, "datadir": str(self.home / "data")}}
        self._config.write_text(json.dumps([node, {"log-level": "warning"}, *settings]))
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        environment = {
            **os.environ,
            # What a node has of its own: the connections to hosts that it holds open, and what Ansible keeps.
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        for name in [name for name in environment if name.startswith("ANSIBLE_")]:
            del environment[name]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._pinned,
                    *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *(self._bin / "receptor", "--config", self._config),
                ],
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """As when its power fails."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")


class Mesh:
    """The control node ``ctl`` and execution nodes of these names; a context manager that has them up and connected. pinned: whether
    each node has one core of this machine, as if it was a machine of its own."""

    def __init__(self, names: Sequence[str], pinned: bool = False) -> None:
        self._names = tuple(names)
        cores = sorted(os.sched_getaffinity(0))
        self._cores = [cores[number % len(cores)] if pinned else None for number in range(len(self._names))]

    def __enter__(self) -> Mesh:
        self.bin = programs()
        self._folder = tempfile.TemporaryDirectory(prefix="bulkhead-mesh-")
        folder = Path(self._folder.name)
        self.socket = folder / "ctl.sock"
        port = _free_port()
        control = [
            {"control-service": {"service": "control", "filename": str(self.socket)}},
            {"tcp-listener": {"bindaddr": "127.0.0.1", "port": port}},
        ]
        work = {"worktype": WORK, "command": str(self.bin / "ansible-runner"), "params": "worker"}
        execution = [
            # By it the control node gives it work.
            {"control-service": {"service": "control"}},
            {"tcp-peer": {"address": f"127.0.0.1:{port}", "redial": True}},
            {"work-command": {**work, "allowruntimeparams": True}},
        ]
        self._control = Node("ctl", folder, self.bin, control)
        self.nodes = {
            name: Node(name, folder, self.bin, execution, core)
            for name, core in zip(self._names, self._cores, strict=True)
        }
        try:
            self._control.start()
            wait(self.socket.exists, 60, what=f"the control node has no socket: {self._control.log}")
            for node in self.nodes.values():
                self.start(node.name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for node in (*self.nodes.values(), self._control):
            node.kill()
        self._folder.cleanup()

    def start(self, name: str) -> None:
        """Start a node, or one that was killed again; it can be given work when this returns."""
        self.nodes[name].start()
        wait(lambda: self.is_up(name), 60, what=f"{name} is not in the mesh: {self.nodes[name].log}")

    def kill(self, name: str) -> None:
        """A node dies with all that it does; returns when the control node has noticed."""
        self.nodes[name].kill()
        wait(lambda: not self.is_up(name), 60, what=f"the control node still has a way to {name}")

    def is_up(self, name: str) -> bool:
        """Whether the control node knows a way to a node."""
        return name in (self.ask("status").get("RoutingTable") or {})

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The control node's answer over its socket: one line of JSON each way, after a line of greeting."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.socket))
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.readline()
                stream.write(json.dumps({"command": command, **arguments}) + "\n")
                stream.flush()
                found = json.loads(stream.readline())
        return found if isinstance(found, dict) else {}

    def ctl(self, *words: str) -> list[str]:
        """The command line of receptorctl."""
        return [str(self.bin / "receptorctl"), "--socket", str(self.socket), *words]

    def runner(self, *words: object) -> list[str]:
        """The command line of ansible-runner."""
        return [str(self.bin / "ansible-runner"), *map(str, words)]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
