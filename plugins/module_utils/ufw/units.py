# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd's units as files: what the boot starts, and what it starts it with. No process is needed, and what was not
reloaded yet counts as the boot will read it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import read_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host

#: Where systemd looks for units, the first that has one wins (systemd.unit(5)); the last but one is /lib on merged hosts.
_OWN = "/etc/systemd/system"
_FOLDERS = (
    _OWN,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_PACKAGED = ("/usr/lib/systemd/system", "/lib/systemd/system")
#: Targets that every service pulls in by itself.
_BASIC = ("basic.target", "sysinit.target")


class Setting(NamedTuple):
    """A line of a unit: the file, the key, and the value. ``packaged`` is whether the unit's package brings it."""

    path: str
    key: str
    value: str
    packaged: bool


def is_masked(host: Host, unit: str) -> bool:
    path = host.path(f"{_OWN}/{unit}")
    with contextlib.suppress(OSError):
        return os.readlink(path) == "/dev/null"
    return os.path.isfile(path) and not os.path.getsize(path)


def is_wanted(host: Host, unit: str) -> bool:
    """Whether a link has another unit start this one: what `systemctl enable` makes."""
    return unit in enabled_units(host)


def enabled_units(host: Host) -> list[str]:
    """The units that a link has another one start, in the order of the units that want them."""
    folder = host.path(_OWN)
    wanting = [name for name in sorted(_names(folder)) if name.endswith((".wants", ".requires"))]
    return [name for one in wanting for name in sorted(_links(f"{folder}/{one}"))]


def enabled_services(host: Host, enabled: Iterable[str]) -> list[str]:
    """Of enabled_units the services, and those of timers, sockets and paths."""
    names = [name for name in enabled if not name.endswith(".target")]
    services = dict.fromkeys(os.path.splitext(name)[0] + ".service" for name in names)
    return [name for name in services if not is_masked(host, name)]


def settings(host: Host, unit: str) -> list[Setting]:
    """The unit's lines in the order in which they count: its file, then its drop-ins. An empty value takes back what was
    said before. Empty where there is no such unit."""
    path = _fragment(host, unit)
    found = _lines(host, path) if path else []
    for path in _drop_ins(host, unit):
        found += _lines(host, path)
    return found


def effective(found: Iterable[Setting], key: str) -> list[Setting]:
    """The lines of a key that are left."""
    left: list[Setting] = []
    for line in found:
        if line.key == key:
            left = [*left, line] if line.value else []
    return left


def boots_into(host: Host, *wanted: str) -> bool:
    """Whether the default target starts one of these units, by itself or by targets that it starts."""
    queue = [default_target(host), *_BASIC]
    seen = {*queue}
    while queue:
        unit = queue.pop()
        if unit in wanted:
            return True
        found = settings(host, unit)
        names = " ".join(
            line.value for key in ("Wants", "Requires", "BindsTo") for line in effective(found, key)
        ).split()
        for folder in _FOLDERS:
            for kind in ("wants", "requires"):
                names += _links(host.path(f"{folder}/{unit}.{kind}"))
        fresh = [name for name in names if name not in seen and (name in wanted or name.endswith(".target"))]
        seen.update(fresh)
        queue += fresh
    return False


def default_target(host: Host) -> str:
    """The target that the boot starts; default.target itself where that is a file."""
    for folder in _FOLDERS:
        path = host.path(f"{folder}/default.target")
        if os.path.islink(path):
            return os.path.basename(os.readlink(path))
        if os.path.exists(path):
            break
    return "default.target"


def exists(host: Host, unit: str) -> bool:
    """Whether there is such a unit, which is not masked."""
    return _fragment(host, unit) is not None and not is_masked(host, unit)


def _fragment(host: Host, unit: str) -> Optional[str]:
    template = f"{unit.partition('@')[0]}@.{unit.rpartition('.')[2]}"
    for name in (unit, template) if "@" in unit else (unit,):
        for folder in _FOLDERS:
            if os.path.isfile(host.path(f"{folder}/{name}")):
                return f"{folder}/{name}"
    return None


def _names(folder: str) -> list[str]:
    """What is in a folder, without what is hidden; empty where there is none."""
    with contextlib.suppress(OSError):
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    return []


def _links(folder: str) -> list[str]:
    return [name for name in _names(folder) if os.path.islink(f"{folder}/{name}")]


def _drop_ins(host: Host, unit: str) -> list[str]:
    """A file hides those of the same name in the folders behind; all are read in the order of their names."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        for name in (f"{unit}.d", f"{unit.rpartition('.')[2]}.d"):
            for file in _names(host.path(f"{folder}/{name}")):
                if file.endswith(".conf"):
                    found.setdefault(file, f"{folder}/{name}/{file}")
    return [found[name] for name in sorted(found)]


def _lines(host: Host, path: str) -> list[Setting]:
    try:
        text = read_text(host.path(path))
    except OSError:
        return []
    packaged = path.startswith(_PACKAGED)
    found = []
    for line in text.replace("\\\n", " ").split("\n"):
        key, sign, value = line.partition("=")
        if sign and not line.lstrip().startswith(("#", ";", "[")):
            found.append(Setting(path, key.strip(), value.strip(), packaged))
    return found
