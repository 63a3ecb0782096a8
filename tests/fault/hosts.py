# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of a fault test: containers of the lab's images with systemd, sshd and ufw, on a network of their own.

This machine is their SSH client and holds the network's first address. BULKHEAD_FAULT_PREFIX and BULKHEAD_FAULT_NET
name another network, so that two tests can run side by side.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / ".venv" / "collections"
BUILD = ROOT / "roles" / "lab" / "files" / "build-image"
PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-fault")
# The third byte's network; IPv6 is fd00:NET::/64.
NET = int(os.environ.get("BULKHEAD_FAULT_NET", "77"))
RELEASES = ("bookworm", "trixie")
# Where the module lies on a host, and Ansible's own part that it needs.
PLACE = "/opt/bulkhead-fault"


def run(*argv: str, stdin: str | bytes | None = None, check: bool = True) -> str:
    """A command's output; with its errors where it fails."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(argv, input=data, capture_output=True, check=False)
    if check and done.returncode:
        raise RuntimeError("%s: %s%s" % (" ".join(argv), done.stdout.decode(), done.stderr.decode()))
    return done.stdout.decode()


class Host:
    """One container."""

    def __init__(self, number: int, release: str, folder: Path) -> None:
        self.name = "%s-%d" % (PREFIX, number)
        self.release, self.folder = release, folder
        self.address = {4: "10.%d.0.1%d" % (NET, number), 6: "fd00:%d::1%d" % (NET, number)}

    def start(self) -> None:
        image = "bulkhead-lab/debian:" + self.release
        run(str(BUILD), self.release, image)
        run("docker", "rm", "--force", "--volumes", self.name, check=False)
        v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        cgroup = ["--cgroupns=private"] if v2 else ["--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        init = [] if v2 else ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"]
        rights = ["--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined"]
        rights += ["--security-opt=apparmor=unconfined", "--tmpfs=/run", "--tmpfs=/run/lock"]
        place = ["--network=" + PREFIX, "--ip=" + self.address[4], "--ip6=" + self.address[6]]
        names = ["--name=" + self.name, "--hostname=" + self.name, "--stop-signal=SIGRTMIN+3"]
        run("docker", "run", "--detach", *names, *place, *rights, *cgroup, image, "/sbin/init", *init)
        self.wait()
        self.shell("cat > /root/.ssh/authorized_keys", stdin=(self.folder / "key.pub").read_text())
        # Newer servers shut out who connects often without logging in, as a watch for reachability does.
        self.shell(
            "f=/etc/ssh/sshd_config.d/fault.conf; echo MaxStartups 200 > $f; "
            "! sshd -T | grep -qi persourcepenalties || echo PerSourcePenalties no >> $f; systemctl restart ssh"
        )

    def wait(self) -> None:
        """Until systemd has started everything."""
        end = time.monotonic() + 60
        while self.shell("systemctl is-active multi-user.target", check=False).strip() != "active":
            if time.monotonic() > end:
                raise RuntimeError(self.name + " does not boot")
            time.sleep(0.2)

    def kill(self) -> None:
        """As when the power fails, and boot again."""
        run("docker", "kill", self.name)
        run("docker", "start", self.name)
        self.wait()

    def shell(self, script: str, stdin: str | None = None, check: bool = True) -> str:
        return run("docker", "exec", "-i", self.name, "sh", "-c", script, stdin=stdin, check=check)

    def put(self, path: str, text: str, mode: str = "644") -> None:
        self.shell("mkdir -p %s && cat > %s && chmod %s %s" % (os.path.dirname(path), path, mode, path), stdin=text)

    def reachable(self, family: int = 4, timeout: float = 1.0) -> bool:
        """Whether sshd greets a new connection."""
        try:
            with socket.create_connection((self.address[family], 22), timeout) as stream:
                stream.settimeout(timeout)
                return stream.recv(4) == b"SSH-"
        except OSError:
            return False

    # -- the module ----------------------------------------------------------------------------------------------

    def task(self, arguments: dict, family: int = 4) -> dict:
        """The module through Ansible over SSH: its result."""
        inventory = {
            "ansible_host": self.address[family],
            "ansible_user": "root",
            "ansible_connection": "ssh",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }
        hosts = self.folder / (self.name + ".json")
        hosts.write_text(json.dumps({"all": {"hosts": {self.name: inventory}}}))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        argv = [Path(sys.executable).parent / "ansible", "all", "-i", hosts, "-m", "bulkhead.tiers.ufw_ruleset"]
        done = subprocess.run(
            [*argv, "-a", json.dumps(arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        try:
            # Other callbacks may print before and after it.
            report, _end = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("{"))
            return report["plays"][0]["tasks"][0]["hosts"][self.name]
        except (ValueError, LookupError) as error:
            raise RuntimeError((done.stdout + done.stderr)[-600:]) from error

    def install(self) -> None:
        """Put the module on the host, for runs without Ansible."""
        import ansible

        utils = Path(ansible.__file__).parent / "module_utils"
        plugins = ROOT / "plugins"
        self.shell("rm -rf %s && mkdir -p %s" % (PLACE, PLACE))
        for source, target in (
            (utils, "ansible/module_utils"),
            (utils.parent / "release.py", "ansible/release.py"),
            (plugins / "module_utils", "ansible_collections/bulkhead/tiers/plugins/module_utils"),
            (plugins / "modules", "ansible_collections/bulkhead/tiers/plugins/modules"),
        ):
            folder = "%s/%s" % (PLACE, os.path.dirname(target))
            self.shell("mkdir -p " + folder)
            tar = subprocess.run(
                ["tar", "-C", source.parent, "--exclude=__pycache__", "-c", source.name],
                capture_output=True,
                check=True,
            )
            run("docker", "exec", "-i", self.name, "tar", "-C", folder, "-x", stdin=tar.stdout)
        # As Ansible ships it: the controller's own part stays there.
        self.put(PLACE + "/ansible/__init__.py", "from ansible.release import __version__\n")
        self.put(PLACE + "/driver.py", DRIVER)

    def driver(self, arguments: dict) -> dict:
        """The module as Ansible starts it, without Ansible: its result, or {} where it was killed."""
        command = "PYTHONDONTWRITEBYTECODE=1 python3 %s/driver.py %s" % (PLACE, shlex.quote(json.dumps(arguments)))
        lines = [line for line in self.shell(command, check=False).splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}


DRIVER = (
    """\
import json, sys
sys.path.insert(0, "%s")
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulkhead.tiers.plugins.modules import ufw_ruleset
with patch_module_args(json.loads(sys.argv[1])):
    ufw_ruleset.main()
"""
    % PLACE
)


@contextmanager
def fleet(releases: tuple[str, ...] = RELEASES, keep: bool = False) -> Iterator[list[Host]]:
    """Hosts that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-fault-") as name:
        folder = Path(name)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
        hosts = [Host(number, release, folder) for number, release in enumerate(releases, 1)]
        nets = ["--subnet=10.%d.0.0/24" % NET, "--ipv6", "--subnet=fd00:%d::/64" % NET]
        closed = ["-o", "com.docker.network.bridge.enable_ip_masquerade=false"]
        if not run("docker", "network", "ls", "--quiet", "--filter", "name=^%s$" % PREFIX):
            run("docker", "network", "create", *nets, *closed, PREFIX)
        try:
            for host in hosts:
                host.start()
            yield hosts
        finally:
            if not keep:
                for host in hosts:
                    run("docker", "rm", "--force", "--volumes", host.name, check=False)
                run("docker", "network", "rm", PREFIX, check=False)
