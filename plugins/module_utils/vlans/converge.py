# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""read -> plan -> apply under a timer, for the module vlan_interfaces."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.clearing import begin, clear_the_way
from ansible_collections.bulkhead.tiers.plugins.module_utils.keeper import archive, start_timer
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Run, now, run_command, spawn_process
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.guard import (
    MODULES,
    PROGRAM,
    Change,
    Guard,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.host import Host, Stack, is_up, stack_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.plan import Plan, make, render_diff
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.render import STACKS, files
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Wanted, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import GuardError

ARGUMENTS: dict[str, Any] = {
    "parent": {"type": "str", "required": True},
    "vlans": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "id": {"type": "int", "required": True},
            "tier": {"type": "str"},
            "subnets": {"type": "list", "elements": "str", "default": []},
            "addresses": {"type": "list", "elements": "str", "default": []},
        },
    },
    "addresses": {"type": "dict", "default": {}},
    "routes": {"type": "dict", "default": {}},
    "names": {"type": "dict", "default": {}},
    "untagged": {"type": "list", "elements": "str", "default": []},
    "stack": {"type": "str", "choices": ["auto", *STACKS], "default": "auto"},
    "confirm": {"type": "dict", "options": {"timeout": {"type": "int", "default": 30}}},
}
#: Seconds that interfaces may take to come up, and between two looks.
_COMES_UP, _PAUSE = 20.0, 0.3
#: Seconds that a change itself may take before the time of its confirmation begins.
_APPLYING = 60
LONGEST_TIMEOUT = 3600


class Converge:
    """One call."""

    def __init__(self, params: Mapping[str, Any], run: Run = run_command, root: str = "") -> None:
        self._params = params
        self._run = run
        self._host = Host(run, root)
        self._guard = Guard(root, run)

    def converge(self, check_mode: bool) -> dict[str, Any]:
        """The module's answer. Refused, with everything as it was."""
        wanted = parse(self._params)
        timeout = int((self._params.get("confirm") or {}).get("timeout", 30))
        if not 0 <= timeout <= LONGEST_TIMEOUT:
            raise Refused(
                [Mistake("confirm.timeout", str(timeout), f"0-{LONGEST_TIMEOUT}", "seconds; 0 for no confirmation")]
            )
        notes = clear_the_way(self._guard, check_mode)
        old = self._host.own_files()
        if wanted.vlans:
            self._host.check_kernel(check_mode)
            self._host.check_parent(wanted)
            stack = self._host.stack(wanted, self._params["stack"])
        else:
            stack = Stack(stack_of(old))
        new = files(stack.name, wanted, stack.parents_file)
        plan = make(wanted, old, new, stack.name, self._host.links())
        result = {
            "changed": not plan.empty,
            "stack": stack.name,
            "interfaces": [
                {"name": vlan.name, "id": vlan.id, "tier": vlan.tier, "addresses": list(vlan.addresses)}
                for vlan in wanted.vlans
            ],
            "files": sorted({path for path in {*old, *new} if old.get(path) != new.get(path)}),
            "diff": render_diff(plan),
            "notes": notes,
        }
        if plan.empty or check_mode:
            return result
        pending = self._apply(plan, wanted, timeout)
        return {**result, "pending": pending} if pending else result

    def _apply(self, plan: Plan, wanted: Wanted, timeout: int) -> dict[str, Any]:
        """Make the change; what the controller gets to confirm it with, {} where it is kept at once."""
        before, after = plan.backward()
        every = sorted({*plan.old, *plan.new})
        change = Change(
            secrets.token_hex(4),
            now() + timeout + _APPLYING,
            files={path: list(plan.old[path]) if path in plan.old else None for path in every},
            before=before,
            after=after,
        )
        try:
            self._arm(change, timeout + _APPLYING, program=True)
        except OSError as error:
            got = f"no rollback that could be prepared ({error}); nothing was changed"
            raise Refused(
                [Mistake("confirm", got, "a file of root's in /var/lib/bulkhead", "make room there", "guard")]
            ) from error
        try:
            self._make(plan, wanted, every)
        except BaseException as error:
            with contextlib.suppress(GuardError, OSError), self._guard.locked():
                self._guard.back(change, f"the change did not come about: {type(error).__name__}")
            raise
        if not timeout:
            with self._guard.locked():
                self._guard.keep(change)
            return {}
        self._arm(change, timeout)
        return {
            "token": change.token,
            "timeout": timeout,
            "pause": 0,
            "program": self._guard.path(PROGRAM),
            "python": sys.executable or "python3",
        }

    def _arm(self, change: Change, seconds: int, program: bool = False) -> None:
        """Note the change down with a new deadline, and only then let go of the old timer."""
        old, change.deadline = change.timer, now() + seconds
        settle = [sys.executable or "/usr/bin/python3", "-I", self._guard.path(PROGRAM), "settle", change.token]
        if program:
            begin(self._guard, change, archive(MODULES))
        unit = f"bulkhead-vlans-{change.token}-{secrets.token_hex(2)}"
        change.timer = start_timer(unit, settle, seconds, self._run, spawn_process, self._guard.root)
        self._guard.arm(change)
        if old:
            with contextlib.suppress(OSError):
                self._run(["systemctl", "stop", old])

    def _make(self, plan: Plan, wanted: Wanted, every: list[str]) -> None:
        """Refused where a command fails, or an interface is not as it should be in the end."""
        before, after = plan.forward()
        for argv in before:
            with contextlib.suppress(OSError):
                self._run(argv)
        self._guard.put({path: list(plan.new[path]) if path in plan.new else None for path in every})
        for argv in after:
            done = self._run(argv)
            if done.status:
                raise Refused([_failed(plan.stack, f"`{' '.join(argv)}` failed: {(done.err or done.out).strip()}")])
        end = time.monotonic() + _COMES_UP
        while True:
            links = self._host.links()
            down = [vlan.name for vlan in wanted.vlans if not is_up(links.get(vlan.name), wanted, vlan)]
            if not down:
                return
            if time.monotonic() > end:
                raise Refused([_failed(plan.stack, f"{', '.join(down)} did not come up within {_COMES_UP:.0f} s")])
            time.sleep(_PAUSE)


def _failed(stack: str, got: str) -> Mistake:
    remedy = f"see what {stack or 'the stack'} says of it in the host's journal; the old interfaces are back"
    return Mistake("vlans", got, "interfaces that come up", remedy, "apply")
