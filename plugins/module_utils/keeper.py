# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change needs that a host takes back by itself: a program of its own and a timer, which outlive the module."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import zipfile
from collections.abc import Callable, Iterable

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Run

_PACKAGE = __name__.rpartition(".")[0]
Spawn = Callable[[list[str]], None]


def archive(modules: Iterable[str]) -> bytes:
    """The program that stays on the host: an archive that Python runs, with the modules under their own names. modules:
    in module_utils, such as "ufw.guard"; the first one has ``main``."""
    names = [f"{_PACKAGE}.{name}" for name in modules]
    texts = {f"{name.replace('.', '/')}.py": inspect.getsource(importlib.import_module(name)) for name in names}
    for path in list(texts):
        folders = path.split("/")[:-1]
        texts.update({"/".join([*folders[:depth], "__init__.py"]): "" for depth in range(1, len(folders) + 1)})
    texts["__main__.py"] = f"import sys\n\nfrom {names[0]} import main\n\nraise SystemExit(main(sys.argv[1:]))\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, text in texts.items():
            packed.writestr(path, text)
    return buffer.getvalue()


def start_timer(unit: str, settle: list[str], seconds: int, run: Run, spawn: Spawn, root: str = "") -> str:
    """Have a command run after so many seconds, whatever becomes of this process. The systemd unit of the timer, or "" for
    a process of its own, which gets the seconds as a last word. root: of the host's files."""
    if os.path.exists(root + "/run/systemd/system"):
        # systemd's own accuracy is a minute. A rollback that is killed is started again, however often.
        argv = ["systemd-run", "--quiet", "--collect", "--unit", unit, "--on-active", f"{seconds}s"]
        argv += ["--timer-property", "AccuracySec=100ms"]
        for setting in ("Restart=on-failure", "RestartSec=1", "StartLimitIntervalSec=0"):
            argv += ["--property", setting]
        # Not every systemd host has the command, and what a missing one raises is the caller's own; a process serves.
        with contextlib.suppress(Exception):
            if not run([*argv, *settle]).status:
                return unit + ".timer"
    spawn([*settle, str(seconds)])
    return ""
