# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the real programs lie on this machine, and how a host gets them."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

#: The same folder on every host that ``mount`` names.
PLACE = "/opt/tailnet"


@functools.cache
def binaries() -> Path:
    """The folder with tailscaled, tailscale and headscale; built first where it is not there (minutes)."""
    script = Path(__file__).parent / "build-peers"
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def mount() -> list[str]:
    """The options of a container that has the folder: a copy for each host would take longer than its boot."""
    return ["-v", f"{binaries()}:{PLACE}:ro"]
