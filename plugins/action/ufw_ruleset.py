# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a ruleset, then come in again over a new connection and say that it may stay; see modules/ufw_ruleset.py.

The host is asked first whether the ruleset differs at all, by a module without the code that only a change needs. Its
answer is the answer where nothing changes; otherwise the module reads and compares again.

The module leaves the new rules in the kernel alone, the old ones in the files, and a timer on the host that rolls back.
The confirmation is one command over the new connection. Whatever fails here, the host recovers by itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import said, ways
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.peer import check_peer

MODULE, PLAN = "bulkhead.tiers.ufw_ruleset", "bulkhead.tiers.ufw_ruleset_plan"
# Connections that reach the host from below its network: no ruleset can cut them.
INSIDE = frozenset(
    (
        "local",
        "chroot",
        "jail",
        "iocage",
        "zone",
        "docker",
        "docker_api",
        "nsenter",
        "podman",
        "buildah",
        "kubectl",
        "oc",
        "lxc",
        "lxd",
        "incus",
        "proxmox_pct_remote",
        "libvirt_lxc",
        "libvirt_qemu",
        "qubes",
        "mitogen_local",
        "mitogen_docker",
        "mitogen_lxc",
        "mitogen_lxd",
        "mitogen_jail",
        "mitogen_kubectl",
        "mitogen_podman",
        "mitogen_incus",
        "machinectl",
        "nspawn",
        "vmware_tools",
    )
)
#: Seconds that the host may take to answer after it has rolled back: two tries, and one after LIMIT.
GRACE = 36
#: Seconds between two tries, at least and at most: each of them counts for a rule with a limit.
PAUSE, LONGEST_PAUSE = 1, 8
#: Seconds without a try after which ufw's own limit (30 s) lets a new connection in.
LIMIT = 31
#: Seconds of a confirmation at most, as the module takes them.
LONGEST_TIMEOUT = 3600
#: The longest time without a try that is waited for: a limit of one connection an hour is not sat out.
LONGEST_LIMIT = 600
#: Seconds before the rollback is due that a last try begins, and after it that the next ones do.
LAST, NEXT = 3, 3


class ActionModule(ActionBase):
    """Runs in the controller. One trip to the host where nothing changes."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _connection: Any

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
        pending = _pending(told, arguments)
        if pending is None:
            result.update(
                failed=True, msg=f"The host says of its pending change {printable(told)}: no such change was asked for"
            )
            return result
        lost = self._lost(open_ways, pending, began, task_vars)
        if lost:
            self._roll_back(result, pending, lost)
            return result
        over = str((arguments.get("confirm") or {}).get("over") or "")
        with self._another_way(over if pending["over"] else "", task_vars or {}):
            self._confirm(result, pending, began + pending["timeout"])
        if pending["over"] and not result.get("failed"):
            result["confirmation"] += f" to {printable(over, 80)}"
        return result

    @contextlib.contextmanager
    def _another_way(self, address: str, task_vars: Mapping[str, Any]) -> Iterator[None]:
        """New connections go to another address of the host meanwhile: the ruleset closes the way of this task. Its
        connection, which is established, stays as it is."""
        if not address:
            yield
            return
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

    def _roll_back(self, result: dict[str, Any], pending: dict[str, Any], lost: list[str]) -> None:
        with contextlib.suppress(AnsibleConnectionFailure, ValueError):  # the host's own timer does it otherwise
            self._over_a_new_connection(f"{self._program(pending)} back {pending['token']}")
        result.update(
            failed=True,
            changed=False,
            confirmation="rolled back",
            msg=(
                f"The new ruleset was not confirmed: no new connection comes through this host to {', '.join(lost)}. "
                "The old one is back, in the kernel and in the files."
            ),
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

    def _confirm(self, result: dict[str, Any], pending: dict[str, Any], due: float) -> None:
        """Try until the host has kept the change, or says that it has not, or it is too late for either. The rollback is
        ``due`` then."""
        limit = min(pending.get("pause", 0), LONGEST_LIMIT)
        end = due + GRACE + max(0, limit - LIMIT)
        command = f"{self._program(pending)} keep {pending['token']}"
        failures: list[str] = []
        while True:
            try:
                answer = self._over_a_new_connection(command)
                state = answer.get("state", "no state")
                if state == "kept":
                    result["confirmation"] = "confirmed over a new connection"
                    return
                if state != "waiting":
                    self._fail(result, answer, pending, failures)
                    return
                failures.append(answer.get("error", "the change still waits"))
            except (AnsibleConnectionFailure, ValueError) as error:
                failures.append(printable(str(error).strip()) or "no answer")
            if time.monotonic() > end:
                raise AnsibleConnectionFailure(
                    "The host does not answer over a new connection, and not after its rollback was due either: "
                    f"{failures[-1]}"
                )
            time.sleep(self._pause(len(failures), limit, due))

    @staticmethod
    def _pause(failures: int, limit: int, due: float) -> float:
        """How long to wait for the next try. A limit on new connections may be the reason that none came through
        (``limit`` seconds without a try are over it for sure), and a try that is refused keeps it alive: then there is
        one more at the end of the time, and the next when the limit has passed."""
        left = due - time.monotonic()
        if left <= 0:
            return NEXT if -left < 2 * NEXT else max(limit, LIMIT)
        if limit:
            return left - LAST if left > LAST + PAUSE else left + NEXT
        pause = min(PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
        return left + NEXT if left < pause else pause

    @staticmethod
    def _program(pending: dict[str, Any]) -> str:
        return f"{shlex.quote(pending['python'] or 'python3')} -I {shlex.quote(pending['program'])}"

    def _over_a_new_connection(self, command: str) -> dict[str, Any]:
        """Run the host's own program; what it prints. The old connection goes first, a shared one too."""
        try:
            self._connection.reset()
        except AttributeError as error:
            raise AnsibleActionFail(
                f"connection {self._connection.transport}: cannot be opened anew, which the confirmation needs; the change "
                "is rolled back by the host. Set confirm: {timeout: 0} to do without"
            ) from error
        done = self._low_level_execute_command(command)
        lines = [line for line in (done.get("stdout") or "").splitlines() if line.startswith("{")]
        output = printable((done.get("stderr") or done.get("stdout") or "no output").strip())
        if not lines:
            raise ValueError(f"{command}: {output}")
        try:
            answer = json.loads(lines[-1])
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{command}: {output}") from error
        return {str(key): printable(value) for key, value in answer.items()}

    @staticmethod
    def _fail(result: dict[str, Any], answer: dict[str, Any], pending: dict[str, Any], failures: list[str]) -> None:
        why = answer.get("error") or answer.get("why") or "no reason is known"
        if failures:
            why = f"no new connection came through within {pending['timeout']} s ({failures[0]})"
        result.update(
            failed=True,
            changed=False,
            confirmation="rolled back",
            msg=f"The new ruleset was not confirmed: {why}. The old one is back, in the kernel and in the files.",
        )
        state = answer.get("state", "no state")
        if state != "back":
            result["msg"] = (
                f"The new ruleset was not confirmed: {why}. The host knows nothing of the change any more "
                f"({state}): it was restarted, or the change was settled by hand. Run the task again."
            )


def _pending(told: Any, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The change that waits, as the host tells of it; None where that is not what was asked for.

    What the host says is run on that host alone, and waited for no longer than the task says.
    """
    if not isinstance(told, Mapping):
        return None
    texts = {key: told.get(key) or "" for key in ("token", "program", "python")}
    numbers = {key: told.get(key) or 0 for key in ("timeout", "pause")}
    over = told.get("over") is True
    if not all(isinstance(text, str) for text in texts.values()) or not texts["token"].isalnum():
        return None
    if not all(isinstance(number, int) and 0 <= number <= LONGEST_TIMEOUT for number in numbers.values()):
        return None
    confirm = arguments.get("confirm")
    asked = confirm.get("timeout") if isinstance(confirm, Mapping) else None
    with contextlib.suppress(TypeError, ValueError):
        if asked is not None and numbers["timeout"] > int(asked):
            return None
    return {**texts, **numbers, "over": over}


#: A number of YAML 1.1 that is not written as it reads: sixties, octal, hexadecimal, binary, with underscores.
_WRITTEN = re.compile(r"""[^\s,\]}#"']+""")


def misread_numbers(arguments: dict[str, Any]) -> list[str]:
    """Ports that are numbers to YAML but were written otherwise: 22:23 without quotes is 1343, 022 is 18. Where
    ansible-core remembers the place of each value (2.19 and later) the text there is looked at."""
    docker = arguments.get("docker")
    lists = {
        "rules": arguments.get("rules"),
        "docker.published": docker.get("published") if isinstance(docker, dict) else None,
    }
    warnings = []
    for name, items in lists.items():
        for index, item in enumerate(items if isinstance(items, list) else ()):
            for key in ("to_port", "from_port", "port") if isinstance(item, dict) else ():
                value = item.get(key)
                written = _as_written(value) if isinstance(value, int) and not isinstance(value, bool) else ""
                if written and written != str(value):
                    warnings.append(
                        f"{name}[{index}].{key}: YAML reads {written} without quotes as the number {value}; write "
                        f'"{written}" or "{value}", whichever is meant'
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
