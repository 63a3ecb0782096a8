# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a ruleset, then come in again over a new connection and say that it may stay; see modules/ufw_ruleset.py.

The module leaves the new rules in the kernel alone, the old ones in the files, and a timer on the host that rolls back.
The confirmation is one command over the new connection. Whatever fails here, the host recovers by itself.
"""

from __future__ import annotations

import json
import shlex
import time

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

MODULE = "bulkhead.tiers.ufw_ruleset"
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
#: How long the host may take to answer after it has rolled back, in seconds.
GRACE = 15
PAUSE = 1


class ActionModule(ActionBase):
    """Runs in the controller. Nothing but the module's call where nothing changes."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        transport = self._connection.transport.rpartition(".")[2]
        inside = transport in INSIDE
        if inside:
            arguments["confirm"] = {"timeout": 0}
        began = time.monotonic()
        try:
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(
                "The connection broke while the ruleset was applied; if the new rules did that, the host rolls them "
                "back by itself within the timeout of the confirmation: %s" % error
            ) from error
        result.update(answer)
        pending = result.pop("pending", None)
        if result.get("failed"):
            return result
        if pending is None:
            result["confirmation"] = self._why_not(result, inside, transport)
            return result
        self._confirm(result, pending, began + pending["timeout"] + GRACE)
        return result

    def _why_not(self, result, inside, transport):
        if self._task.check_mode:
            return "check mode"
        if not result.get("changed"):
            return "nothing to confirm"
        if inside:
            return "not needed: a connection of the kind %s cannot be cut" % transport
        timeout = (self._task.args.get("confirm") or {}).get("timeout", 1)
        return "switched off" if str(timeout) == "0" else "nothing to confirm"

    def _confirm(self, result, pending, end):
        """Try until the host has kept the change, or says that it has not, or nobody can wait any longer."""
        command = "%s keep %s" % (self._program(pending), pending["token"])
        failures = []
        while True:
            try:
                answer = self._over_a_new_connection(command)
                if answer["state"] == "kept":
                    result["confirmation"] = "confirmed over a new connection"
                    return
                if answer["state"] != "waiting":
                    self._fail(result, answer, pending, failures)
                    return
                failures.append(answer.get("error", "the change still waits"))
            except (AnsibleConnectionFailure, ValueError) as error:
                failures.append(str(error).strip() or "no answer")
            if time.monotonic() > end:
                raise AnsibleConnectionFailure(
                    "The host does not answer over a new connection, and not after its rollback was due either: %s"
                    % failures[-1]
                )
            time.sleep(PAUSE)

    @staticmethod
    def _program(pending):
        return "%s -I %s" % (shlex.quote(pending["python"] or "python3"), shlex.quote(pending["program"]))

    def _over_a_new_connection(self, command):
        """Run the host's own program; what it prints. The old connection goes first, a shared one too."""
        try:
            self._connection.reset()
        except AttributeError as error:
            raise AnsibleActionFail(
                "connection %s: cannot be opened anew, which the confirmation needs; the change is rolled back by the "
                "host. Set confirm: {timeout: 0} to do without" % self._connection.transport
            ) from error
        done = self._low_level_execute_command(command)
        lines = [line for line in (done.get("stdout") or "").splitlines() if line.startswith("{")]
        if not lines:
            raise ValueError("%s: %s" % (command, (done.get("stderr") or done.get("stdout") or "no output").strip()))
        return json.loads(lines[-1])

    @staticmethod
    def _fail(result, answer, pending, failures):
        why = answer.get("error") or answer.get("why") or "no reason is known"
        if failures:
            why = "no new connection came through within %d s (%s)" % (pending["timeout"], failures[0])
        result.update(
            failed=True,
            changed=False,
            confirmation="rolled back",
            msg="The new ruleset was not confirmed: %s. The old one is back, in the kernel and in the files." % why,
        )
        if answer["state"] != "back":
            result["msg"] = (
                "The new ruleset was not confirmed: %s. The host knows nothing of the change any more (%s): it was "
                "restarted, or the change was settled by hand. Run the task again." % (why, answer["state"])
            )
