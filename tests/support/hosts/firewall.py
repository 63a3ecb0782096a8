# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of a ufw_ruleset test, reached over SSH."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .machine import ROOT, Machine, Play, run, started, wait

PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-fault")
# The second byte of 10.NET.0.0/24; IPv6 is fd00:NET::/64.
NET = int(os.environ.get("BULKHEAD_FAULT_NET", "77"))
RELEASES = ("bookworm", "trixie")
# Where the module lies on a host, and Ansible's own part that it needs.
PLACE = "/opt/bulkhead-fault"


class Host(Machine):
    """A host with sshd, whose SSH client is this machine at the network's first address."""

    def __init__(self, number: int, release: str, folder: Path) -> None:
        super().__init__(PREFIX, "10.%d.0" % NET, number, release)
        self.folder = folder
        self.address = self.addresses

    def ready(self) -> None:
        self.wait()
        self.shell(
            "mkdir -p -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys", stdin=(self.folder / "key.pub").read_text()
        )
        # Newer servers shut out who connects often without logging in, as a watch for reachability does.
        self.shell(
            "f=/etc/ssh/sshd_config.d/fault.conf; echo MaxStartups 200 > $f; "
            "! sshd -T | grep -qi persourcepenalties || echo PerSourcePenalties no >> $f; systemctl restart ssh"
        )

    def reachable(self, family: int = 4, timeout: float = 1.0) -> bool:
        """Whether sshd greets a new connection."""
        try:
            with socket.create_connection((self.address[family], 22), timeout) as stream:
                stream.settimeout(timeout)
                return stream.recv(4) == b"SSH-"
        except OSError:
            return False

    def is_open(self, family: int = 4, port: int = 4444, timeout: float = 0.3) -> bool:
        """Whether a connection to a port where nothing listens is refused by the host itself, past a firewall that drops."""
        try:
            socket.create_connection((self.address[family], port), timeout).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True

    # -- the module ----------------------------------------------------------------------------------------------

    def inventory(self, family: int = 4) -> dict:
        return {
            "ansible_host": self.address[family],
            "ansible_user": "root",
            "ansible_connection": "ssh",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }

    def task(self, arguments: dict, family: int = 4) -> dict:
        """The module through Ansible over SSH: its result."""
        tasks = [{"bulkhead.tiers.ufw_ruleset": arguments}]
        paths = str(self.folder / "cp")
        play = Play(self.name, self.inventory(family), tasks, ANSIBLE_SSH_CONTROL_PATH_DIR=paths)
        ((_task, result),) = play.results()
        return result

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

    def roll_back(self, token: str, runs: int = 0) -> None:
        """Roll an unconfirmed change back, as its timer would; with ``runs``, as soon as so many runs wait for it on the host."""
        # They sleep while they wait, and at nothing else that lasts.
        asleep = "for each in $(pgrep -x python3); do cat /proc/$each/wchan; echo; done | awk '/nanosleep/ {n++} END {print n + 0}'"
        wait(lambda: int(self.shell(asleep)) >= runs, what=f"{runs} runs that wait on {self.name}")
        self.shell(f"python3 /run/bulkhead/ufw/guard.py settle {token}")


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
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        hosts = [Host(number, release, folder) for number, release in enumerate(releases, 1)]
        with started(hosts, keep):
            yield hosts
