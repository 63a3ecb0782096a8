# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook as a user of this checkout starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def playbook(
    name: str | Path, inventory: str | Path, *words: object, folder: Path = ROOT, seconds: int = 600, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of this collection (`site`), or a file, from a folder, and wait for its end; whether it ends well or not.

    Beside a checkout the folder gets connections of its own, so that two fleets with hosts at the same address keep apart.
    """
    file = ROOT / "playbooks" / f"{name}.yml" if isinstance(name, str) else name
    own = {} if folder == ROOT else {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp")}
    return subprocess.run(
        [str(word) for word in (Path(sys.executable).parent / "ansible-playbook", "-i", inventory, file, *words)],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **own, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
