# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers of the lab's images with systemd, on a dual-stack network of their own, and tasks on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "roles" / "lab" / "files" / "build-image"
IMAGE = "bulkhead-lab/debian:"


def run(*argv: object, stdin: str | bytes | None = None, check: bool = True) -> str:
    """A command's output; a RuntimeError with all that it said where it fails."""
    words = [str(word) for word in argv]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(words, input=data, capture_output=True, check=False)
    if check and done.returncode:
        raise RuntimeError("%s: %s%s" % (" ".join(words)[:200], done.stdout.decode(), done.stderr.decode()))
    return done.stdout.decode()


def wait(condition: Callable, seconds: float = 120.0, pause: float = 0.2, what: str = "") -> object:
    """Wait until the condition holds; what it says then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise RuntimeError("waited %d s in vain%s" % (seconds, what and ": " + what))


class Machine:
    """One container, by its name. ``net`` is the first three bytes of its IPv4 network, ``number`` begins at 1."""

    def __init__(self, prefix: str, net: str, number: int, release: str) -> None:
        self.prefix, self.release = prefix, release
        self.name = "%s-%d" % (prefix, number)
        self.net = net
        #: Further options of the command that makes its container.
        self.options: list[str] = []
        self._inside: list[str] = []
        self.addresses = {4: "%s.1%d" % (net, number), 6: "%s1%d" % (_net6(net), number)}

    def start(self) -> None:
        """Start it, as roles/lab starts its hosts; it boots meanwhile."""
        image = IMAGE + self.release
        run(BUILD, self.release, image)
        v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        cgroup = ["--cgroupns=private"] if v2 else ["--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        init = [] if v2 else ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"]
        rights = ["--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined"]
        rights += [
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run:size=64m",
            "--tmpfs=/run/lock:size=16m",
            "-v",
            "/var/lib/docker",
        ]
        place = ["--network=" + self.prefix, "--ip=" + self.addresses[4], "--ip6=" + self.addresses[6]]
        names = ["--name=" + self.name, "--hostname=" + self.name, "--stop-signal=SIGRTMIN+3"]
        run("docker", "run", "--detach", *names, *place, *rights, *self.options, *cgroup, image, "/sbin/init", *init)

    def ready(self) -> None:
        """What the kind of host needs besides its boot."""
        self.wait()

    def wait(self) -> None:
        """Until systemd has started everything."""
        self._inside = []
        # One command that waits there: to ask again and again costs more than the boot.
        done = "timeout 60 systemctl is-system-running --wait 2>/dev/null | grep -qx -e running -e degraded && echo up"
        wait(
            lambda: self.shell(done, check=False).strip() == "up",
            240,
            # Each systemd takes about seven of them; seen with 20 hosts and the kernel's default of 128.
            what=self.name + " does not boot; with many hosts fs.inotify.max_user_instances may be too low",
        )

    def kill(self) -> None:
        """As when the power fails, and boot again."""
        run("docker", "kill", self.name)
        run("docker", "start", self.name)
        self.wait()

    def reboot(self) -> None:
        """systemd stops everything and starts it again; the kernel's rules and /run are new."""
        run("docker", "restart", "--time", "20", self.name)
        self.wait()

    def remove(self) -> None:
        run("docker", "rm", "--force", "--volumes", self.name, check=False)

    def shell(self, script: str, stdin: str | None = None, check: bool = True) -> str:
        return run(*(self._inside or self._enter()), "sh", "-c", script, stdin=stdin, check=check)

    def _enter(self) -> list[str]:
        """The command that runs another one on the host: by its namespaces where they are on this machine and may be
        entered, which takes a twentieth of what `docker exec` does."""
        pid = run("docker", "inspect", "--format", "{{.State.Pid}}", self.name, check=False).strip()
        environment = ["env", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        enter = ["nsenter", "--target", pid, "--all", "--wd=/", *environment]
        try:
            self._inside = enter if run(*enter, "hostname").strip() == self.name else []
        except (OSError, RuntimeError):
            self._inside = []
        return self._inside or ["docker", "exec", "-i", self.name]

    def put(self, path: str, text: str, mode: str = "644") -> None:
        self.shell("mkdir -p %s && cat > %s && chmod %s %s" % (os.path.dirname(path), path, mode, path), stdin=text)

    def inventory(self) -> dict:
        """How Ansible reaches it."""
        return {
            "ansible_host": self.name,
            "ansible_connection": "community.docker.docker",
            "ansible_python_interpreter": "/usr/bin/python3",
        }


def _net6(net: str) -> str:
    """fd00:77:: for 10.77.0, fd00:77:3:: for 10.77.3."""
    return "fd00:%s::" % ":".join(byte for byte in net.split(".")[1:] if byte != "0")


@contextmanager
def started(machines: Sequence[Machine], keep: bool = False) -> Iterator[None]:
    """Machines that are up inside, with their network, and gone afterwards (unless they are kept for a look)."""
    prefix, net = machines[0].prefix, machines[0].net

    def remove() -> None:
        for machine in machines:
            machine.remove()
        run("docker", "network", "rm", prefix, check=False)

    remove()
    nets = ["--subnet=%s.0/24" % net, "--ipv6", "--subnet=%s/64" % _net6(net)]
    # They are to reach this machine and each other, and nothing else.
    closed = ["-o", "com.docker.network.bridge.enable_ip_masquerade=false"]
    try:
        run("docker", "network", "create", *nets, *closed, prefix)
        for machine in machines:
            machine.start()
        for machine in machines:
            machine.ready()
        # A new bridge looks for its IPv6 address in the network first; until then this machine sends from another one.
        own = _net6(net) + "1"
        wait(lambda: not run("ip", "-6", "address", "show", "tentative", "to", own).strip(), what=own + " can be used")
        yield
    finally:
        if not keep:
            remove()


class Play:
    """Tasks in one play on one machine, which are running now; ``results`` waits for their end.

    ``others``: further hosts of the inventory, by name; no task runs on them. ``options``: of the
    command, such as --check.
    """

    def __init__(
        self,
        name: str,
        inventory: dict,
        tasks: list[dict],
        others: dict[str, dict] | None = None,
        options: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self._name = name
        self._folder = tempfile.TemporaryDirectory(prefix="bulkhead-play-")
        folder = Path(self._folder.name)
        hosts, playbook = folder / "hosts.json", folder / "play.json"
        hosts.write_text(json.dumps({"all": {"hosts": {name: inventory, **(others or {})}}}))
        playbook.write_text(json.dumps([{"hosts": name, "gather_facts": False, "tasks": tasks}]))
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ansible-playbook"), *options, "-i", hosts, playbook],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                "ANSIBLE_DEPRECATION_WARNINGS": "0",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def results(self) -> list[tuple[dict, dict]]:
        """(task's name, id and duration; result) of each task that was run."""
        out, err = self._process.communicate(timeout=1800)
        self._folder.cleanup()
        try:
            # Other callbacks may print before and after it.
            report, _end = json.JSONDecoder().raw_decode(out, out.index("{"))
            return [(task["task"], task["hosts"][self._name]) for task in report["plays"][0]["tasks"]]
        except (ValueError, LookupError) as error:
            raise RuntimeError((out + err)[-2000:]) from error
