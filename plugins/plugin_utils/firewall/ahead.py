# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has said of its ruleset, or of a file, ahead of the task that asks, in a trip for another task.

Each task of a host is a process of its own, so it is kept in Ansible's temporary folder of this run, which is this user's
alone. It is good for one task of that host with the very same options, soon after, and for what the module's answer is good
for: that there is nothing to do, or that the module that changes the host has to look.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants

#: Seconds after which the host is asked again: the gate before a change (plugin_utils/change) asks all hosts before the
#: first of them has its turn.
SOON = 300
#: What stands in the result of a task for a host that has everything.
NOTHING: Mapping[str, Any] = {"changed": False, "missing": [], "files": [], "diff": []}
#: Options of ufw_ruleset that are about a change alone.
_OF_A_CHANGE = ("ways", "confirm")
#: What Ansible takes out of a result of a module, or gives a meaning of its own: an answer with one of these is none.
_ANSIBLE_S = frozenset(
    (
        "add_group",
        "add_host",
        "ansible_facts",
        "deprecations",
        "exception",
        "failed",
        "invocation",
        "msg",
        "pending",
        "skipped",
        "unreachable",
    )
)


def question(task: Any, task_vars: Mapping[str, Any], options: Any) -> str:
    """What is asked, as the name of a file; "" where it is no question about the task's own host. options: of the task that
    is to know the answer; how ufw_ruleset has a change confirmed is no question where nothing changes."""
    host = task_vars.get("inventory_hostname")
    if not host or getattr(task, "delegate_to", None) or not isinstance(options, Mapping):
        return ""
    said = {key: value for key, value in options.items() if key not in _OF_A_CHANGE and value is not None}
    text = json.dumps([str(host), bool(task.check_mode), said], sort_keys=True, default=str)
    return f"bulkhead-ahead-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def keep(name: str, answer: Any) -> None:
    """Keep what a host said. name: of `question`."""
    if not name or not _is_answer(answer):
        return
    path = _path(name)
    # Without a place for it the host is asked again.
    with contextlib.suppress(OSError, TypeError, ValueError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump([time.time(), answer], file)


def keep_setup(task: Any, task_vars: Mapping[str, Any], options: Mapping[str, Any], ruleset: Any, after: Any) -> None:
    """Keep what firewall_setup said beside what it did. options: its own; ruleset: what ufw_ruleset_plan answers; after:
    whether the files that come later are as they should be."""
    keep(question(task, task_vars, options.get("ruleset")), ruleset)
    if after is True and options.get("after"):
        keep(question(task, task_vars, {"files": options["after"]}), {"changed": False, "same": True})


def keep_looked(task: Any, task_vars: Mapping[str, Any], options: Mapping[str, Any], said: Any) -> None:
    """Keep what firewall_setup said when it was only to look. said: what it would have done."""
    if not isinstance(said, Mapping):
        return
    keep_setup(task, task_vars, options, said.get("ruleset"), said.get("after"))
    if {name: said.get(name) for name in NOTHING} == NOTHING:
        keep(question(task, task_vars, options), {"changed": False, "same": True})


def take(name: str) -> Optional[dict[str, Any]]:
    """What was kept, once; None where there is nothing, or where it is too long ago."""
    if not name:
        return None
    path = _path(name)
    try:
        with open(path, encoding="utf-8") as file:
            when, answer = json.load(file)
        os.unlink(path)
    except (OSError, ValueError):
        return None
    return dict(answer) if 0 <= time.time() - when <= SOON else None


def _is_answer(answer: Any) -> bool:
    """Whether it is what ufw_ruleset_plan answers, and nothing that Ansible would act on."""
    if (
        not isinstance(answer, Mapping)
        or not isinstance(answer.get("same"), bool)
        or answer.get("changed") is not False
    ):
        return False
    return not any(str(key).startswith("_") or key in _ANSIBLE_S for key in answer)


def _path(name: str) -> str:
    return os.path.join(str(constants.DEFAULT_LOCAL_TMP), name)
