# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's own UFW blocks, in its own log. The kernel has one ring of messages for the machine and all containers; roles/lab has
each host read its own (roles/lab/README.md), and here is the same for hosts of a test."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .machine import ROOT, Machine, run

SWITCH = Path("/proc/sys/net/netfilter/nf_log_all_netns")
#: An option of the container, for Machine.options.
DEVICE = "--device=/dev/kmsg:/dev/lab-kmsg:r"


@contextlib.contextmanager
def logged_namespaces() -> Iterator[None]:
    """The kernel logs packets of containers, too."""
    before = SWITCH.read_text()
    SWITCH.write_text("1")
    try:
        yield
    finally:
        # One that was on is another lab's, and may have been switched off meanwhile.
        if before.strip() == "0":
            SWITCH.write_text(before)


def read_own_messages(host: Machine) -> None:
    """Have a host that was started with DEVICE read what its own filter logs, as the lab's hosts do."""
    folder = ROOT / "roles" / "lab" / "host"
    files = subprocess.run(
        ["tar", "-C", folder, "--owner=root", "--group=root", "-c", "."], capture_output=True, check=True
    )
    run("docker", "exec", "-i", host.name, "tar", "-C", "/", "--no-overwrite-dir", "-x", stdin=files.stdout)
    # Until now its rsyslogd has read the machine's own ring: what hosts of other tests had blocked is in its files.
    host.shell(
        "systemctl stop syslog.socket rsyslog; rm -f /var/log/ufw.log /var/log/kern.log /var/log/syslog /var/log/messages; "
        "systemctl daemon-reload; systemctl restart lab-kmsg rsyslog"
    )
