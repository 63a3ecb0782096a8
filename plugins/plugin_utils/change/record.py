# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a change: who, when, why, what it opened and closed, how it ended, and the proof before and after. One JSON file
and one Markdown file, for their owner alone; no value of a variable is in it, but the reason that was given."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import MOST, Judged, Told
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, json_text, write_whole

Record = dict[str, Any]

#: How a change ended; begun is what stands in a record whose run never came to its end.
PLANNED, STOPPED, BEGUN, FINISHED, FAILED = "planned", "stopped", "begun", "finished", "failed"
#: Whom only the record's owner lets read it.
_PRIVATE = 0o600
#: What was declared when the site was applied as a whole for the last time.
STATE = "state.json"
#: The largest file that is read, in bytes.
_MOST_BYTES = 256 << 20
#: The longest reason, in characters.
_REASON = 500
#: Seconds that git may take.
_PATIENCE = 10


def new_record(
    judged: Judged, planes: Mapping[str, tuple[Sequence[str], Sequence[str]]], reason: str, about: Mapping[str, Any]
) -> Record:
    """about: what is known of the run itself: who, site, inventory, revision, limit, slice_of, tags, proof_before, planes_since."""
    return {
        "format": 1,
        "result": BEGUN,
        "began": _now(),
        "ended": None,
        "why": printable(reason, _REASON),
        **about,
        "hosts": {
            "read": judged.read,
            "touched": [printable(name) for name in judged.touched[:MOST]],
            "not_read": {printable(name): printable(why) for name, why in list(judged.missing.items())[:MOST]},
            "not_finished": [],
        },
        "opened": [_told(one) for one in judged.opened[:MOST]],
        "closed": [_told(one) for one in judged.closed[:MOST]],
        "unknown": [_told(one) for one in judged.unknown[:MOST]],
        "left_out": sum(max(len(told) - MOST, 0) for told in (judged.opened, judged.closed, judged.unknown)),
        "unchanged": judged.unchanged,
        "broken": list(judged.broken[:MOST]),
        "planes": {
            plane: {"new": list(new)[:MOST], "gone": list(gone)[:MOST]} for plane, (new, gone) in planes.items()
        },
        "stopped_by": [],
        "proof_after": None,
    }


def _told(one: Told) -> dict[str, Any]:
    names = {"from": one.source, "to": one.destination, "service": one.service, "hosts": one.hosts}
    return {**names, "declared_by": one.path or None, "forbidden_by": one.never or None, "text": one.text()}


def write_record(directory: str, record: Record, name: str = "") -> str:
    """Write it, under a name of its own where it has none yet; returns the path of its JSON. Refused where it cannot be."""
    name = name or f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    make_private(directory)
    path = write_whole(os.path.join(directory, f"{name}.json"), json_text(record), _PRIVATE)
    write_whole(os.path.join(directory, f"{name}.md"), markdown(record), _PRIVATE)
    return path


def make_private(directory: str) -> None:
    """The folder, for its owner alone where it is new."""
    if not os.path.isdir(directory):
        os.makedirs(os.path.dirname(os.path.abspath(directory)), exist_ok=True)
        os.makedirs(directory, mode=0o700, exist_ok=True)


def end_record(path: str, result: str, not_finished: Sequence[str]) -> None:
    """Say in a record how the run ended."""
    record = read_json(path)
    if record is None:
        return
    record.update(result=result, ended=_now())
    record["hosts"]["not_finished"] = [printable(name) for name in not_finished[:MOST]]
    _rewrite(path, record)


def note_proof(directory: str, verdict: Mapping[str, Any]) -> Optional[str]:
    """Note a proof in the last record, where a change was made and none is noted yet; returns the record's path."""
    names = sorted((name for name in _names(directory) if name.endswith(".json") and name != STATE), reverse=True)
    for name in names:
        path = os.path.join(directory, name)
        record = read_json(path)
        if record is None or record.get("result") not in (FINISHED, FAILED, BEGUN):
            continue
        if record.get("proof_after") is not None:
            return None
        record["proof_after"] = dict(verdict)
        _rewrite(path, record)
        return path
    return None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _rewrite(path: str, record: Record) -> None:
    write_whole(path, json_text(record), _PRIVATE)
    write_whole(f"{path.removesuffix('.json')}.md", markdown(record), _PRIVATE)


def read_json(path: str) -> Optional[dict[str, Any]]:
    """A mapping of a file; None where there is none that is one."""
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            return None
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# -- what is known of a run ------------------------------------------------------------------------------------------


def verdict_of(path: str) -> Optional[dict[str, Any]]:
    """The verdict of the last proof, and when it was written."""
    found = read_json(path)
    if found is None or not isinstance(found.get("holds"), bool):
        return None
    # The live proof, and the static one where it was made too.
    static = found.get("static")
    holds = found["holds"] and (not isinstance(static, dict) or static.get("holds") is True)
    return {
        "holds": holds,
        "summary": printable(found.get("summary", ""), 500),
        "time": _text(os.path.getmtime(path)),
    }


def who(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Who runs it, as this machine knows, and as AWX says. variables: those of AWX, without what hosts set."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    found: dict[str, Any] = {"user": printable(user, 80), "controller": printable(socket.gethostname(), 80)}
    if os.environ.get("SUDO_USER"):
        found["sudo_user"] = printable(os.environ["SUDO_USER"], 80)
    for name, value in variables.items():
        found[name] = printable(value, 200)
    return found


def revision(folder: str) -> Optional[dict[str, Any]]:
    """The commit of the repository that a folder is in, and whether the folder differs from it; None where there is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--", ".")
    return {"commit": printable(commit, 64), "changed_since": bool(changed) if changed is not None else None}


def _git(folder: str, *words: str) -> Optional[str]:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if not done.returncode else None


def _now() -> str:
    return _text(time.time())


def _text(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# -- for people ------------------------------------------------------------------------------------------------------


def markdown(record: Record) -> str:
    """The same for people."""
    hosts = record["hosts"]
    names = record.get("who") or {}
    who_text = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in names.items())
    commit = record.get("revision")
    changed = ", with changes that are not committed" if commit and commit["changed_since"] else ""
    rows = [
        ("result", record["result"]),
        ("who", who_text),
        ("when", f"{record['began']} to {record['ended'] or 'not known'}"),
        ("why", record["why"] or "no reason was given"),
        ("site", record.get("site", "")),
        ("inventory", ", ".join(record.get("inventory") or ())),
        ("revision", f"{commit['commit']}{changed}" if commit else "not in a repository"),
        ("limit, tags", ", ".join(filter(None, (record.get("limit", ""), *(record.get("tags") or ())))) or "none"),
        *([("hosts of one slice of", record["slice_of"])] if record.get("slice_of") else []),
        ("hosts", f"{hosts['read']} read, the rules of {len(hosts['touched'])} change: {', '.join(hosts['touched'])}"),
        ("not finished", ", ".join(hosts["not_finished"]) or "none"),
        ("proof before", _proof(record.get("proof_before"))),
        ("proof after", _proof(record.get("proof_after"))),
    ]
    lines = [f"# Change of {record['began']}", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in rows]
    sections = [
        ("Stopped by", record["stopped_by"]),
        ("Would break an invariant", record["broken"]),
        ("Opened", [one["text"] for one in record["opened"]]),
        ("Closed", [one["text"] for one in record["closed"]]),
        ("Not known", [one["text"] for one in record["unknown"]]),
        ("Not read", [f"{name}: {why}" for name, why in hosts["not_read"].items()]),
    ]
    for plane, found in (record.get("planes") or {}).items():
        sections.append((f"{plane}, new", found["new"]))
        sections.append((f"{plane}, gone", found["gone"]))
    for head, items in sections:
        if items:
            lines += ["", f"## {head}", "", *(f"- {_cell(item)}" for item in items)]
    rest = [f"{count(record['left_out'], 'more line')} left out."] if record["left_out"] else []
    return "\n".join(
        [*lines, "", f"Unchanged: {count(record['unchanged'], 'declared service')} between two places.", *rest, ""]
    )


def _proof(found: Optional[Mapping[str, Any]]) -> str:
    return f"{found['summary']} ({found['time']})" if found else "none"


def _cell(text: str) -> str:
    escaped = printable(text, 2000).replace("\\", "\\\\").replace("<", "&lt;").replace(">", "&gt;")
    for char in "|`*_[]":
        escaped = escaped.replace(char, f"\\{char}")
    return escaped
