# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An engine's daemon.json: what it says, what it would say, and what a change of it takes and costs. Pure.

Sources: dockerd's reference, "Daemon configuration file" and "Configuration reload behavior"; tried on 20.10 and 26.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import realpath
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Where an engine keeps everything when nothing says otherwise.
DEFAULT_ROOT = "/var/lib/docker"
#: What a running engine takes over at SIGHUP; everything else needs a restart.
RELOADABLE = frozenset(
    {
        "allow-nondistributable-artifacts",
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features.buildkit",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
#: What would come of a change: nothing, SIGHUP, a restart, or that the next start reads the file.
NONE, RELOAD, RESTART, START = ACTIONS = ("none", "reload", "restart", "start")
#: The kind of a mistake that ``allow_loss`` waves through.
LOSS = "loss"
#: Flags of dockerd whose key in daemon.json has another name.
FLAG_KEYS = {
    "D": "debug",
    "G": "group",
    "H": "hosts",
    "b": "bridge",
    "g": "data-root",
    "graph": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "add-runtime": "runtimes",
    "allow-nondistributable-artifact": "allow-nondistributable-artifacts",
    "authorization-plugin": "authorization-plugins",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}
#: Keys whose values no diff shows, and the credentials of a URL.
_SECRET_KEY = re.compile(r"token|passw|secret|apikey|access-key", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_HIDDEN = "***"


@dataclass(frozen=True)
class Holdings:
    """What an engine has in its data root.

    root: the folder. driver: the storage driver, "" where it is not known. remapped: whether user namespaces are on,
    which gives an engine a root of its own; snapshotter: whether containerd keeps the images. containers: their names.
    volumes, images: how many. swarm: whether it is in a Swarm.
    """

    root: str = DEFAULT_ROOT
    driver: str = ""
    remapped: bool = False
    snapshotter: bool = False
    containers: tuple[str, ...] = ()
    volumes: int = 0
    images: int = 0
    swarm: bool = False

    def __str__(self) -> str:
        parts = []
        if self.containers:
            shown = ", ".join(printable(name, 64) for name in self.containers[:10])
            more = len(self.containers) - 10
            parts.append(
                f"{_count(len(self.containers), 'container')} ({shown}{f' and {more} more' if more > 0 else ''})"
            )
        parts += [_count(self.volumes, "volume")] if self.volumes else []
        parts += [_count(self.images, "image")] if self.images else []
        parts += ["a Swarm node's state"] if self.swarm else []
        return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def parse_config(text: str, path: str) -> tuple[dict[str, Any], list[Mistake]]:
    """(the settings of a daemon.json, mistakes); an empty file has none of either. ``path`` is the file's."""
    repeated: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.extend(key for index, (key, _value) in enumerate(pairs) if key in dict(pairs[:index]))
        return dict(pairs)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    if not text.strip():
        return {}, []
    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_constant=constant)
    except ValueError as error:
        remedy = "correct the file by hand: the engine itself cannot start with it"
        if re.search(r"^\s*(//|/\*|#)", text, re.MULTILINE):
            remedy = "remove its comments, which JSON does not have"
        return {}, [Mistake(path, f"no JSON ({printable(error)})", "a JSON object", remedy)]
    if not isinstance(value, dict):
        return {}, [Mistake(path, f"a {type(value).__name__}", "a JSON object", "write {} around its settings")]
    return value, [
        Mistake(
            f"{path}: {printable(key)}", "the key more than once", "it once", "remove all but one: the last one counts"
        )
        for key in dict.fromkeys(repeated)
    ]


def merge(before: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``before`` with ``settings``: mappings are merged key by key, lists and values replaced, None removes a key."""
    result = dict(before)
    for key, value in settings.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            former = result.get(key)
            result[key] = merge(former if isinstance(former, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the settings that differ, sorted; those of ``features`` one by one ("features.buildkit")."""
    found = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old == new and (key in before) == (key in after) and type(old) is type(new):
            continue
        if key == "features" and isinstance(old or {}, Mapping) and isinstance(new or {}, Mapping):
            found += [f"features.{name}" for name in changed_keys(old or {}, new or {})]
        else:
            found.append(key)
    return found


def action_for(keys: list[str], running: bool) -> str:
    """One of ACTIONS for a change of these settings."""
    if not keys:
        return NONE
    if not running:
        return START
    return RELOAD if set(keys) <= RELOADABLE else RESTART


def parse_flags(argv: list[str]) -> dict[str, list[str]]:
    """{key as daemon.json has it: values} of a dockerd command line without its first word."""
    found: dict[str, list[str]] = {}
    words = iter(argv)
    pending = next(words, None)
    while pending is not None:
        word, pending = pending, next(words, None)
        if not word.startswith("-"):
            continue
        name, has_value, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and len(name) > 1 and not has_value:
            name, value = name[0], name[1:]
        elif not has_value and pending is not None and not pending.startswith("-"):
            value = pending
        found.setdefault(FLAG_KEYS.get(name, name), []).append(value)
    return found


def wrong_settings(
    settings: Mapping[str, Any], after: Mapping[str, Any], flags: Mapping[str, list[str]]
) -> Iterator[Mistake]:
    """What the engine would not start with, told by its keys alone."""
    for key in sorted(settings):
        if settings[key] is not None and key in flags:
            yield Mistake(
                f"settings.{key}",
                f"a setting that dockerd's command line has as well ({printable(' '.join(flags[key]), 100) or 'a flag'})",
                "each setting in one place: the engine does not start otherwise",
                "remove the flag from the engine's unit (systemctl cat docker), or leave the setting out",
            )
    if "graph" in after and "data-root" in after:
        yield Mistake("settings.data-root", "the key graph beside it", "one of them", "give graph: null to remove it")


def losses(
    after: Mapping[str, Any], before: Mapping[str, Any], flags: Mapping[str, list[str]], has: Holdings
) -> Iterator[Mistake]:
    """What the engine has and would not find any more with the settings ``after``.

    It is compared with what the engine uses, not with the file ``before``: that may wait for its restart.
    """
    remedy = "leave the setting as it is, or move them first; allow_loss: true takes the change as it is, and deletes nothing"
    root = _root(after, flags)
    if str(has) and realpath(root) != realpath(has.root):
        yield Mistake(
            "settings.data-root", printable(root), f"{printable(has.root)}, where the engine has {has}", remedy, LOSS
        )
    if (
        str(has)
        and "userns-remap" not in flags
        and (bool(after.get("userns-remap")) != has.remapped or _differ(before, after, "userns-remap"))
    ):
        yield Mistake(
            "settings.userns-remap",
            printable(after.get("userns-remap") or "nothing"),
            f"{'what it is' if has.remapped else 'nothing'}: the engine would keep another root, without {has}",
            remedy,
            LOSS,
        )
    if not (has.containers or has.images):
        return
    driver = after.get("storage-driver")
    if driver and has.driver and driver != has.driver:
        yield Mistake(
            "settings.storage-driver",
            printable(driver),
            f"{printable(has.driver)}, with which the engine made {has}",
            remedy,
            LOSS,
        )
    wanted = (after.get("features") or {}).get("containerd-snapshotter")
    if wanted is not None and bool(wanted) != has.snapshotter:
        yield Mistake(
            "settings.features.containerd-snapshotter",
            str(wanted).lower(),
            f"{str(has.snapshotter).lower()}, with which the engine made {has}",
            remedy,
            LOSS,
        )
    for key in ("containerd-namespace", "exec-root"):
        if _differ(before, after, key) and has.containers:
            yield Mistake(
                f"settings.{key}",
                printable(after.get(key) or "nothing"),
                f"{printable(before.get(key) or 'nothing')}: the engine finds its running containers there",
                remedy,
                LOSS,
            )


def _differ(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    return bool((before.get(key) or after.get(key)) and before.get(key) != after.get(key))


def _root(settings: Mapping[str, Any], flags: Mapping[str, list[str]]) -> str:
    given = flags.get("data-root")
    return given[-1] if given else str(settings.get("data-root") or settings.get("graph") or DEFAULT_ROOT)


def configured(settings: Mapping[str, Any], flags: Mapping[str, list[str]]) -> Holdings:
    """Where an engine that does not run keeps what it has, by its settings and its command line."""
    driver = flags.get("storage-driver", [""])[-1] or settings.get("storage-driver") or ""
    remapped = bool(settings.get("userns-remap") or flags.get("userns-remap"))
    snapshotter = bool((settings.get("features") or {}).get("containerd-snapshotter"))
    return Holdings(_root(settings, flags), str(driver), remapped, snapshotter)


def write_config(settings: Mapping[str, Any]) -> str:
    """The text of a daemon.json; the order of the keys is kept."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


def shown(settings: Mapping[str, Any]) -> str:
    """The settings for a diff, sorted, without credentials."""
    return json.dumps(_hide(settings), indent=4, sort_keys=True) + "\n"


def _hide(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _hide(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, name) for item in value]
    if not isinstance(value, str):
        return value
    return _HIDDEN if _SECRET_KEY.search(name) else _CREDENTIALS.sub(_HIDDEN, value)
