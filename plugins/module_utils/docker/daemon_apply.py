# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docker_engine_config's way through a run: find the engine, merge its file, see what that costs, bring it over."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import daemon_file, daemon_host
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_file import (
    LOSS,
    NONE,
    RELOAD,
    RESTART,
    START,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_host import (
    Api,
    Daemon,
    EngineTrouble,
    Run,
    State,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Beside daemon.json while an engine has not taken it over yet: a run that was cut off there is finished by the next one.
PENDING_SUFFIX = ".bulkhead-pending"
_ORDER = (NONE, START, RELOAD, RESTART)


@dataclass(frozen=True)
class Change:
    """What one run has to do. ``old`` and ``text`` are the file's (None: there is none; what it has to be), ``running``
    the containers to have back after a restart."""

    daemon: Daemon
    api: Api
    old: str | None
    text: str
    keys: tuple[str, ...]
    action: str
    state: State
    running: dict[str, str]


def configure(run: Run, params: Mapping[str, Any], check_mode: bool, backup: Callable[[str], object]) -> dict[str, Any]:
    """The module's result. ``run`` runs a command, ``backup`` keeps a copy of a file. Raises Refused and EngineTrouble."""
    daemon = daemon_host.find_daemon(run)
    old = _read(daemon.config)
    before, mistakes = daemon_file.parse_config(old or "", daemon.config)
    if mistakes:
        raise Refused(mistakes)
    after = daemon_file.merge(before, params["settings"])
    missing = daemon_host.missing_packages(daemon)
    change = _plan(daemon, old, before, after)
    mistakes = [*_forbidden(run, change, before, after, params["settings"], missing)]
    mistakes = [mistake for mistake in mistakes if mistake.kind != LOSS or not params["allow_loss"]]
    if mistakes:
        raise Refused(mistakes)
    warnings = []
    if not check_mode:
        if change.keys:
            _write(run, change, backup)
        if not daemon.pid:
            # Whatever is left to be taken over, its next start does.
            _remove(daemon.config + PENDING_SUFFIX)
        elif change.action != NONE:
            warnings = _bring_over(run, change, _saves(after, change))
    stops = change.action == RESTART and not _survives(after, change)
    return {
        "changed": bool(change.keys) or change.action != NONE,
        "path": daemon.config,
        "keys": list(change.keys),
        "effect": change.action,
        "stopped_meanwhile": sorted(change.running.values()) if stops else [],
        "engine": {
            "present": daemon.present,
            "running": bool(daemon.pid),
            "enabled": daemon_host.starts_at_boot(daemon.unit),
            "unit": daemon.unit or ("" if daemon.pid else daemon_host.UNIT),
        },
        "missing": missing,
        "notes": warnings,
        "diff": {
            "before_header": daemon.config,
            "after_header": daemon.config,
            "before": daemon_file.shown(before) if old is not None else "",
            "after": daemon_file.shown(after) if change.keys or old is not None else "",
        },
    }


def _plan(daemon: Daemon, old: str | None, before: dict[str, Any], after: dict[str, Any]) -> Change:
    keys = daemon_file.changed_keys(before, after)
    action = daemon_file.action_for(keys, bool(daemon.pid))
    pending, running = _pending(daemon)
    action = max(action, pending, key=_ORDER.index)
    api, state = daemon_host.api_of(daemon, before), State()
    if action in (RELOAD, RESTART):
        state = daemon_host.read_state(api)
        running = {**running, **state.running}
    elif keys:
        state = State(has=daemon_host.read_holdings(before, daemon.flags))
    return Change(daemon, api, old, daemon_file.write_config(after), tuple(keys), action, state, running)


def _forbidden(
    run: Run,
    change: Change,
    before: dict[str, Any],
    after: dict[str, Any],
    settings: Mapping[str, Any],
    missing: list[str],
) -> Iterator[Mistake]:
    daemon, state = change.daemon, change.state
    if daemon_host.ENGINE_PACKAGE in missing:
        gone = daemon_host.displaced(run, missing)
        if gone:
            yield Mistake(
                "docker_engine",
                f"a host on which the installation of {', '.join(missing)} would remove {', '.join(map(printable, gone))}",
                "one where it removes nothing",
                "install a Docker Engine that goes with them by hand: the role takes the one that is there",
            )
    if not change.keys and change.action == NONE:
        return
    yield from daemon_file.wrong_settings(settings, after, daemon.flags)
    if "live-restore" in change.keys and after.get("live-restore") and state.has.swarm:
        yield Mistake(
            "settings.live-restore", "true", "false on a node of a Swarm: the engine refuses it", "leave it out"
        )
    if change.action == RELOAD:
        return
    yield from daemon_file.losses(after, before, daemon.flags, state.has)
    if change.action != RESTART:
        return
    if not daemon.unit:
        yield Mistake(
            f"settings.{(*change.keys, 'settings')[0]}",
            f"a change that needs a restart of a dockerd that no systemd unit runs (PID {daemon.pid})",
            "an engine that systemd runs",
            f"write the settings to {daemon.config} and restart it by hand, or run it by a unit",
        )
    # 20.10 removes them at its next start even where they ran on by live-restore; 26.1 does not.
    if state.fleeting:
        yield Mistake(
            f"settings.{(*change.keys, 'settings')[0]}",
            "a change that needs a restart, with running containers that the engine removes when they end (--rm): "
            + ", ".join(printable(name, 64) for name in state.fleeting),
            "none of them",
            "wait for their end, or give allow_loss: true",
            LOSS,
        )


def _saves(after: Mapping[str, Any], change: Change) -> bool:
    """Whether a reload before the restart lets the containers run on."""
    return "live-restore" in change.keys and bool(after.get("live-restore"))


def _survives(after: Mapping[str, Any], change: Change) -> bool:
    """Whether containers run on over a restart: both the engine that ends and the one that starts must have live-restore."""
    if "live-restore" in change.daemon.flags:
        return change.state.survives
    return bool(after.get("live-restore")) and (change.state.survives or _saves(after, change))


def _bring_over(run: Run, change: Change, reload_first: bool) -> list[str]:
    """Have the engine take the file over, or put the old file back; warnings. Raises EngineTrouble."""
    daemon = change.daemon
    try:
        if reload_first and change.action == RESTART:
            daemon_host.bring_over(run, daemon, change.api, RELOAD, {})
            daemon_host.await_live_restore(change.api)
        notes = daemon_host.bring_over(run, daemon, change.api, change.action, change.running)
    except EngineTrouble as trouble:
        said = daemon_host.journal(run, daemon.unit)
        raise EngineTrouble(f"{trouble}. Its log ends: {said}. {_roll_back(run, change)}") from trouble
    _remove(daemon.config + PENDING_SUFFIX)
    return notes


def _roll_back(run: Run, change: Change) -> str:
    """What is in force after it, as a sentence."""
    path = change.daemon.config
    if not change.keys:
        return f"{path} was not changed by this run"
    if change.old is None:
        _remove(path)
    else:
        _replace(path, change.old)
    run(["systemctl", "reset-failed", change.daemon.unit])
    try:
        daemon_host.bring_over(run, change.daemon, change.api, RESTART, change.running)
    except EngineTrouble as trouble:
        return f"{path} is again as it was, but the engine does not start with it either: {trouble}"
    _remove(path + PENDING_SUFFIX)
    return f"{path} is again as it was, and the engine runs with it"


def _pending(daemon: Daemon) -> tuple[str, dict[str, str]]:
    """(what an interrupted run left to do, the containers that ran before it)."""
    text = _read(daemon.config + PENDING_SUFFIX)
    if text is None:
        return NONE, {}
    try:
        left = json.loads(text)
        action, running = left["action"], dict(left["running"])
    except (ValueError, LookupError, TypeError):
        action, running = RESTART, {}
    return (action if action in (RELOAD, RESTART) else RESTART) if daemon.pid else NONE, running


def _write(run: Run, change: Change, backup: Callable[[str], object]) -> None:
    """Write the file, after dockerd has looked at it. Raises EngineTrouble."""
    path = change.daemon.config
    os.makedirs(os.path.dirname(path), exist_ok=True)
    trial = path + ".bulkhead-trial"
    _replace(trial, change.text)
    said = daemon_host.validate(run, change.daemon, trial)
    _remove(trial)
    if said:
        raise EngineTrouble(f"dockerd would not start with these settings, and nothing was changed: {said}")
    if change.old is not None:
        backup(path)
    if change.action in (RELOAD, RESTART):
        _replace(path + PENDING_SUFFIX, json.dumps({"action": change.action, "running": change.running}), 0o600)
    _replace(path, change.text)


def _replace(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all; one that is there keeps its owner and mode."""
    handle, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".bulkhead-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            try:
                former = os.stat(path)
                os.fchown(handle, former.st_uid, former.st_gid)
                mode = former.st_mode & 0o7777
            except FileNotFoundError:
                pass
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.replace(fresh, path)
    except BaseException:
        _remove(fresh)
        raise


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Refused(
            [Mistake(path, f"no UTF-8 ({error.reason})", "a JSON object", "correct the file by hand")]
        ) from error
