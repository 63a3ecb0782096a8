# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dockerd of this host: which one it is, what it has, how it takes over a changed daemon.json.

It asks the engine over its socket by HTTP, for the Docker SDK may not be there yet. Whatever brought the engine is taken as it is:
the distribution's docker.io, docker-ce, a snap, a program of one's own.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_file import (
    RELOAD,
    Holdings,
    configured,
    parse_flags,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import container_name
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import TASK_LABEL
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

UNIT = "docker.service"
CONFIG = "/etc/docker/daemon.json"
SOCKET = "/run/docker.sock"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
#: What the role installs from the distribution where it is not there.
ENGINE_PACKAGE, SDK_PACKAGE = "docker.io", "python3-docker"
#: How long an engine may take until it answers after a start; one with many containers needs some.
START_SECONDS = 120.0
#: How long it may take to read its file again.
RELOAD_SECONDS = 20.0
POLL_SECONDS = 0.2
#: States in which a container does something; see GET /containers/json.
RUNNING_STATES = ("running", "paused", "restarting")
#: (return code, standard output, standard error) of a command.
Run = Callable[[list[str]], "tuple[int, str, str]"]


class EngineTrouble(Exception):
    """The engine does not answer, does not start or refuses; the text says what happened and what is in force now."""


@dataclass(frozen=True)
class Daemon:
    """The dockerd of this host. ``program`` is empty where there is none, ``unit`` where systemd does not run it.

    pid: 0 where it does not run. config: its daemon.json. flags: its command line, see daemon_file.parse_flags.
    """

    program: str = ""
    unit: str = ""
    pid: int = 0
    config: str = CONFIG
    flags: dict[str, list[str]] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        return bool(self.program or self.pid)


def find_daemon(run: Run) -> Daemon:
    """The engine of this host: docker.service's, or any other dockerd of root that runs in this host's own PID namespace."""
    pid, argv, unit = _of_unit(run)
    if not pid:
        pid, other = next(_processes(), (0, ""))
        unit = other if pid else unit
    if pid:
        argv = _read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    program = argv[0] if argv else shutil.which("dockerd", path=PATH) or ""
    flags = parse_flags(argv[1:])
    config = flags.get("config-file", [""])[-1] or CONFIG
    return Daemon(program, unit, pid, os.path.realpath(config), flags)


def starts_at_boot(unit: str) -> bool:
    """Whether a link has another unit start this one at every boot: what `systemctl enable` makes."""
    return bool(unit) and any(map(os.path.islink, glob.glob(f"/etc/systemd/system/*.wants/{glob.escape(unit)}")))


def _of_unit(run: Run) -> tuple[int, list[str], str]:
    """(PID, command line, unit) of docker.service; (0, [], "") where no such unit is there."""
    if not shutil.which("systemctl"):
        return 0, [], ""
    _code, out, _err = run(["systemctl", "show", UNIT, "--property", "LoadState,MainPID,ExecStart"])
    facts = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    if facts.get("LoadState") in (None, "not-found"):
        return 0, [], ""
    command = re.search(r"argv\[\]=(.*?) ; ignore_errors=", facts.get("ExecStart", ""))
    words = shlex.split(command.group(1)) if command else []
    return int(facts.get("MainPID") or 0), [word for word in words if not word.startswith("$")], UNIT


def _processes() -> Iterator[tuple[int, str]]:
    """(PID, systemd unit or "") of every dockerd of root. A container's has another PID namespace."""
    own = _namespace("self")
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if _read(f"/proc/{pid}/comm").strip() != "dockerd" or _namespace(str(pid)) != own:
            continue
        try:
            if os.stat(f"/proc/{pid}").st_uid != 0:
                continue
        except OSError:
            continue
        units = re.findall(r"/([^/\n]+\.service)(?=/|\n|$)", _read(f"/proc/{pid}/cgroup"))
        yield pid, units[-1] if units else ""


def _namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def missing_packages(daemon: Daemon) -> list[str]:
    """The distribution's packages that the role has to install: never an engine where there is one already."""
    spec = importlib.util.find_spec("docker")
    return [
        *([] if daemon.present else [ENGINE_PACKAGE]),
        # A folder that happens to have the name has no origin.
        *([] if spec is not None and spec.origin else [SDK_PACKAGE]),
    ]


def displaced(run: Run, packages: list[str]) -> list[str]:
    """The packages that an installation would remove, by apt's own simulation; empty where it cannot tell."""
    if not packages or not shutil.which("apt-get"):
        return []
    _code, out, _err = run(["apt-get", "--simulate", "--quiet", "install", *packages])
    return re.findall(r"^Remv (\S+)", out, re.MULTILINE)


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Api:
    """The engine's API at its socket. Raises EngineTrouble."""

    path: str = SOCKET

    def ask(self, method: str, path: str, expected: tuple[int, ...] = (200,)) -> Any:
        """The JSON of an answer, None where it has no body."""
        connection = _UnixConnection(self.path, 60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise EngineTrouble(
                f"The engine at {self.path} does not answer {method} {path}: {printable(error)}"
            ) from error
        finally:
            connection.close()
        if answer.status not in expected:
            text = printable(body.decode("utf-8", "replace").strip())
            raise EngineTrouble(f"The engine at {self.path} refused {method} {path}: {text} (HTTP {answer.status})")
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise EngineTrouble(f"The engine at {self.path} answered {method} {path} with no JSON") from error

    def await_answer(self, seconds: float = START_SECONDS) -> dict[str, Any]:
        """GET /info of an engine that is starting."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.ask("GET", "/info")
            except EngineTrouble:
                if time.monotonic() > end:
                    raise
                time.sleep(POLL_SECONDS)


def api_of(daemon: Daemon, settings: dict[str, Any]) -> Api:
    """The API of a running engine: its Unix socket, as its command line or its file names it."""
    hosts = [*daemon.flags.get("hosts", ()), *(settings.get("hosts") or ())]
    paths = [host[len("unix://") :] for host in hosts if host.startswith("unix://")]
    return Api(paths[0] if paths else SOCKET)


@dataclass(frozen=True)
class State:
    """A running engine. running: {id: name} of the containers that run and that no Swarm starts anew; fleeting: the names of those
    that the engine removes when they end; survives: whether all of them run on while the engine is away (live-restore)."""

    version: str = ""
    survives: bool = False
    has: Holdings = Holdings()
    running: dict[str, str] = field(default_factory=dict)
    fleeting: tuple[str, ...] = ()


def read_state(api: Api) -> State:
    """Ask a running engine what it has. Raises EngineTrouble."""
    info = api.await_answer()
    containers = api.ask("GET", "/containers/json?all=1")
    volumes = (api.ask("GET", "/volumes") or {}).get("Volumes") or []
    remapped = any("name=userns" in option for option in info.get("SecurityOptions") or ())
    root = info.get("DockerRootDir") or ""
    running = {
        item["Id"]: container_name(item)
        for item in containers
        if item.get("State") in RUNNING_STATES and TASK_LABEL not in (item.get("Labels") or {})
    }
    details = {name: api.ask("GET", f"/containers/{key}/json", (200, 404)) for key, name in running.items()}
    return State(
        version=str(info.get("ServerVersion") or ""),
        survives=bool(info.get("LiveRestoreEnabled")),
        has=Holdings(
            root=re.sub(r"/\d+\.\d+$", "", root) if remapped else root,
            driver=info.get("Driver") or "",
            remapped=remapped,
            snapshotter=any("containerd.snapshotter" in str(value) for _key, value in info.get("DriverStatus") or ()),
            containers=tuple(sorted(container_name(item) for item in containers)),
            volumes=len(volumes),
            images=info.get("Images") or 0,
            swarm=((info.get("Swarm") or {}).get("LocalNodeState") or "inactive") != "inactive",
        ),
        running=running,
        fleeting=tuple(
            sorted(name for name, item in details.items() if (item.get("HostConfig") or {}).get("AutoRemove"))
        ),
    )


def read_holdings(settings: dict[str, Any], flags: dict[str, list[str]]) -> Holdings:
    """What an engine that does not run has, as its files say."""
    where = configured(settings, flags)
    root = where.root
    if where.remapped:
        nested = sorted(name for name in _list(root) if re.fullmatch(r"\d+\.\d+", name))
        root = os.path.join(root, nested[0]) if nested else root
    drivers = [name for name in _list(os.path.join(root, "image")) if os.path.isdir(os.path.join(root, "image", name))]
    names = []
    for folder in _list(os.path.join(root, "containers")):
        try:
            about = json.loads(_read(os.path.join(root, "containers", folder, "config.v2.json")))
        except ValueError:
            about = {}
        names.append(str(about.get("Name") or folder[:12]).lstrip("/"))
    return replace(
        where,
        driver=where.driver or (drivers[0] if len(drivers) == 1 else ""),
        containers=tuple(sorted(names)),
        volumes=sum(
            os.path.isdir(os.path.join(root, "volumes", name)) for name in _list(os.path.join(root, "volumes"))
        ),
        images=sum(len(_list(os.path.join(root, "image", name, "imagedb", "content", "sha256"))) for name in drivers),
        swarm=os.path.exists(os.path.join(root, "swarm", "docker-state.json")),
    )


def _list(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def validate(run: Run, daemon: Daemon, path: str) -> str:
    """What dockerd itself says against a file, "" where it takes it or (before Engine 23) cannot tell."""
    if not daemon.program:
        return ""
    own = [f"--{key}={value}" for key in ("data-root",) for value in daemon.flags.get(key, ())]
    code, out, err = run([daemon.program, "--validate", "--config-file", path, *own])
    said = (err or out).strip()
    return "" if code == 0 or "unknown flag" in said else printable(said)


def bring_over(run: Run, daemon: Daemon, api: Api, action: str, running: dict[str, str]) -> list[str]:
    """Have a running engine take over its file; warnings. Containers of ``running`` that are not back are started.

    Raises EngineTrouble.
    """
    if action == RELOAD:
        os.kill(daemon.pid, signal.SIGHUP)
        api.await_answer()
        return []
    code, out, err = run(["systemctl", "restart", daemon.unit])
    if code:
        raise EngineTrouble(f"systemctl restart {daemon.unit} failed: {printable((err or out).strip())}")
    api.await_answer()
    return _start_again(api, running)


def await_live_restore(api: Api) -> None:
    """Wait until a reload has switched live-restore on: a restart after it lets the containers run on only then."""
    end = time.monotonic() + RELOAD_SECONDS
    while not api.ask("GET", "/info").get("LiveRestoreEnabled"):
        if time.monotonic() > end:
            raise EngineTrouble("The engine did not take live-restore over")
        time.sleep(POLL_SECONDS)


def _start_again(api: Api, running: dict[str, str]) -> list[str]:
    """The engine starts those with a restart policy; the others ran as well, and one may need another one's network."""
    left, why = dict(running), {}
    for _round in range(3):
        for key in list(left):
            try:
                api.ask("POST", f"/containers/{key}/start", (204, 304, 404))
                del left[key]
            except EngineTrouble as trouble:
                why[key] = str(trouble)
    return [
        f"Container {printable(name, 64)} ran before the engine's restart and does not start: {why[key]}"
        for key, name in left.items()
    ]


def journal(run: Run, unit: str) -> str:
    """The last words of a unit, on one line."""
    _code, out, _err = run(["journalctl", "--unit", unit, "--lines", "5", "--output", "cat", "--no-pager"])
    return printable(" / ".join(line for line in out.splitlines() if line.strip()), 1000)
