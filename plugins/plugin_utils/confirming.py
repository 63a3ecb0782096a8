# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that waits on its host until the controller has come in over a new connection: the controller's part.

The host's own program (``python3 PROGRAM keep TOKEN``) keeps the change; without that the host takes it back by itself.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

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
#: Seconds that the host may take to answer after it has rolled back: two tries, and three more after LIMIT each. A machine with
#: a load of ten a core was seen to take a minute for the rollback and the new connection.
GRACE = 98
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


class Confirming(ActionBase):
    """An action plugin whose module may leave a change waiting. NEW: what is changed. OLD: what a rollback has brought back."""

    NEW = "change"
    OLD = ""
    _connection: Any

    def _confirm(self, result: dict[str, Any], pending: dict[str, Any], due: float, grace: float = GRACE) -> None:
        """Try until the host has kept the change, or says that it has not, or it is too late for either: ``grace`` seconds
        after the rollback is ``due``."""
        limit = min(pending.get("pause", 0), LONGEST_LIMIT)
        end = due + (grace and grace + max(0, limit - LIMIT))
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

    def _fail(
        self, result: dict[str, Any], answer: dict[str, Any], pending: dict[str, Any], failures: list[str]
    ) -> None:
        why = answer.get("error") or answer.get("why") or "no reason is known"
        if failures:
            why = f"no new connection came through within {pending['timeout']} s ({failures[0]})"
        result.update(
            failed=True,
            changed=False,
            confirmation="rolled back",
            msg=f"The new {self.NEW} was not confirmed: {why}. {self.OLD}",
        )
        state = answer.get("state", "no state")
        if state != "back":
            result["msg"] = (
                f"The new {self.NEW} was not confirmed: {why}. The host knows nothing of the change any more "
                f"({state}): it was restarted, or the change was settled by hand. Run the task again."
            )


def pending_of(told: Any, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The change that waits, as the host tells of it; None where that is not what was asked for.

    What the host says is run on that host alone, and waited for no longer than the task says.
    """
    if not isinstance(told, Mapping):
        return None
    texts = {key: told.get(key) or "" for key in ("token", "program", "python")}
    numbers = {key: told.get(key) or 0 for key in ("timeout", "pause", "waited")}
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
