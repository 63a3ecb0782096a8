# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a ruleset, then come in again over a new connection and say that it may stay; see modules/ufw_ruleset.py.

The host is asked first whether the ruleset differs at all, by a module without the code that only a change needs. Its
answer is the answer where nothing changes; otherwise the module reads and compares again.

The module leaves the new rules in the kernel alone, the old ones in the files, and a timer on the host that rolls back.
The confirmation is one command over the new connection. Whatever fails here, the host recovers by itself.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import said, ways
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.confirming import (
    GRACE,
    INSIDE,
    NEXT,
    Confirming,
    pending_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.peer import check_peer

MODULE, PLAN = "bulkhead.tiers.ufw_ruleset", "bulkhead.tiers.ufw_ruleset_plan"


class ActionModule(Confirming):
    """Runs in the controller. One trip to the host where nothing changes."""

    TRANSFERS_FILES = False
    #: The connection of the task; another one while a change is confirmed over another way.
    _connection: Any
    _supports_check_mode = True
    _supports_diff = True
    NEW = "ruleset"
    OLD = "The old one is back, in the kernel and in the files."

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's answer, with what became of the confirmation."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        pasted = [str(mistake) for mistake in check_peer(arguments)]
        if pasted:
            result.update(failed=True, msg="\n".join(pasted), errors=pasted)
            return result
        hosts = self._behind(arguments.pop("ways", None) or [], task_vars or {})
        transport = self._connection.transport.rpartition(".")[2]
        inside = transport in INSIDE
        if inside:
            arguments["confirm"] = {"timeout": 0}
        open_ways: list[ways.Way] = []
        answer = ahead.take(ahead.question(self._task, task_vars or {}, self._task.args))
        if answer is None:
            answer = dict(self._execute_module(module_name=PLAN, module_args=arguments, task_vars=task_vars))
        same = answer.pop("same", False)
        began = time.monotonic()
        if not (answer.get("failed") or same):
            if hosts and not self._task.check_mode:
                # What changes nothing cuts no way: the others are only asked where something changes.
                open_ways, silent = ways.ways(hosts, task_vars or {}, self._play_context, self._loader)
                arguments["through"] = [way.to_dict() for way in open_ways if way.client]
                if silent:
                    self._display.vv(f"not reached before the change, and not asked after it: {', '.join(silent)}")
            began = time.monotonic()
            answer = self._apply(arguments, task_vars)
        result.update(said.shown(answer))
        misread = misread_numbers(arguments)
        if misread:
            # The module can only guess at the same.
            guesses = tuple(f"{text.partition(':')[0]}: got the number" for text in misread)
            result["warnings"] = [text for text in result.get("warnings", []) if not text.startswith(guesses)] + misread
        told = result.pop("pending", None)
        if result.get("failed"):
            return result
        if told is None:
            result["confirmation"] = self._why_not(result, inside, transport)
            return result
        pending = pending_of(told, arguments)
        if pending is None:
            result.update(
                failed=True, msg=f"The host says of its pending change {printable(told)}: no such change was asked for"
            )
            return result
        # It may have waited for another change before it began with its own, and has begun by now.
        began = min(began + pending["waited"], time.monotonic())
        lost = self._lost(open_ways, pending, began, task_vars)
        if lost:
            self._roll_back(result, pending, f"no new connection comes through this host to {', '.join(lost)}")
            return result
        over = str((arguments.get("confirm") or {}).get("over") or "")
        due = began + pending["timeout"]
        if pending["over"] and over:
            self._confirm_over(over, result, pending, due, task_vars or {})
        else:
            self._confirm(result, pending, due)
        return result

    def _confirm_over(
        self, address: str, result: dict[str, Any], pending: dict[str, Any], due: float, task_vars: Mapping[str, Any]
    ) -> None:
        """The same over another way than the task's. Where none comes through, the own way is open again once the host has
        rolled back; over it the change is never kept."""
        way = printable(address, 80)
        try:
            with self._another_way(address, task_vars):
                self._confirm(result, pending, due, 0)
            if not result.get("failed"):
                result["confirmation"] += f" to {way}"
        except AnsibleConnectionFailure:
            why = f"no new connection came to {way} within {pending['timeout']} s, and the way of this task is to be closed"
            self._roll_back(result, pending, why, due)

    @contextlib.contextmanager
    def _another_way(self, address: str, task_vars: Mapping[str, Any]) -> Iterator[None]:
        """New connections go to another address of the host meanwhile: the ruleset closes the way of this task. Its
        connection, which is established, stays as it is."""
        own = self._connection
        name = str(task_vars["inventory_hostname"])
        self._connection = ways.connection_to(name, task_vars, self._play_context, self._loader, address)
        self._connection.set_become_plugin(own.become)
        try:
            yield
        finally:
            with contextlib.suppress(AnsibleError, OSError):
                self._connection.close()
            self._connection = own

    def _apply(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The answer of the module that changes the host."""
        try:
            return dict(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(
                "The connection broke while the ruleset was applied; if the new rules did that, the host rolls them "
                f"back by itself within the timeout of the confirmation: {error}"
            ) from error

    @staticmethod
    def _behind(names: list[str], task_vars: dict[str, Any]) -> list[str]:
        """The other hosts that names of hosts and groups stand for, each once."""
        groups = task_vars.get("groups") or {}
        hosts = dict.fromkeys(host for name in names for host in groups.get(name, [name]))
        return [host for host in hosts if host != task_vars.get("inventory_hostname")]

    def _lost(
        self, before: list[ways.Way], pending: dict[str, Any], began: float, task_vars: dict[str, Any] | None
    ) -> list[str]:
        """The hosts that answered before the change and do not any more, asked again until half of the time is over."""
        lost = [way.host for way in before]
        while lost:
            left = began + pending["timeout"] - ways.ONE - time.monotonic()
            _found, lost = ways.ways(lost, task_vars or {}, self._play_context, self._loader, max(ways.ONE, left))
            if time.monotonic() > began + pending["timeout"] / 2:
                break
        return lost

    def _roll_back(self, result: dict[str, Any], pending: dict[str, Any], why: str, due: float = 0.0) -> None:
        """Have the host roll back. due: when it does so by itself, where no way leads to it before."""
        while True:
            with contextlib.suppress(AnsibleConnectionFailure, ValueError):  # the host's own timer does it otherwise
                self._over_a_new_connection(f"{self._program(pending)} back {pending['token']}")
                break
            if time.monotonic() > due + GRACE:
                break
            time.sleep(NEXT)
        result.update(
            failed=True,
            changed=False,
            confirmation="rolled back",
            msg=f"The new ruleset was not confirmed: {why}. {self.OLD}",
        )

    def _why_not(self, result: dict[str, Any], inside: bool, transport: str) -> str:
        if self._task.check_mode:
            return "check mode"
        if not result.get("changed"):
            return "nothing to confirm"
        if inside:
            return f"not needed: a connection of the kind {transport} cannot be cut"
        timeout = (self._task.args.get("confirm") or {}).get("timeout", 1)
        return "switched off" if str(timeout) == "0" else "nothing to confirm"


_PORTS = ("to_port", "from_port", "port", "target_port")
#: A number of YAML 1.1 that is not written as it reads: sixties, octal, hexadecimal, binary, with underscores.
_WRITTEN = re.compile(r"""[^\s,\]}#"']+""")


def misread_numbers(arguments: dict[str, Any]) -> list[str]:
    """Ports that are numbers to YAML but were written otherwise: 22:23 without quotes is 1343, 022 is 18. Where
    ansible-core remembers the place of each value (2.19 and later) the text there is looked at."""
    lists = {"rules": arguments.get("rules")}
    for option, name in (("docker", "published"), ("nat", "forward")):
        value = arguments.get(option)
        lists[f"{option}.{name}"] = value.get(name) if isinstance(value, dict) else None
    warnings = []
    for name, items in lists.items():
        for index, item in enumerate(items if isinstance(items, list) else ()):
            for key, value in item.items() if isinstance(item, dict) else ():
                for one in (value if isinstance(value, list) else [value]) if key in _PORTS else ():
                    written = _as_written(one) if isinstance(one, int) and not isinstance(one, bool) else ""
                    if written and written != str(one):
                        warnings.append(
                            f"{name}[{index}].{key}: YAML reads {written} without quotes as the number {one}; write "
                            f'"{written}" or "{one}", whichever is meant'
                        )
    return warnings


def _as_written(value: int) -> str:
    """The text that a number was written as, or nothing where that is not known."""
    try:
        from ansible._internal._datatag._tags import Origin
    except ImportError:
        return ""
    origin = Origin.get_tag(value)
    if origin is None or not origin.path or not origin.line_num or not origin.col_num:
        return ""
    try:
        with open(origin.path, encoding="utf-8") as stream:
            line = stream.read().split("\n")[origin.line_num - 1]
    except (OSError, UnicodeDecodeError, IndexError):
        return ""
    found = _WRITTEN.match(line, origin.col_num - 1)
    return found.group() if found and found.group()[0].isdigit() else ""
