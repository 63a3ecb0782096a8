# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan that changes something: the proof, what it opens and closes, and the transaction.

Imported by a run that changes something, not by the many that do not: with the packet engine it is half of the code.
"""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apply import (
    CRASH_TIMEOUT,
    Transaction,
    start_test,
    write_files,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import run_commands
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import write_files as write_boot_files
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import (
    NO_EFFECT,
    Effect,
    candidates,
    effect_of,
    find_flows,
    require_conntrack,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, start_reading
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import (
    candidate_text,
    find_session,
    prove,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Plan, kernel_repairs
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import PROGRAM

Params = dict[str, Any]


def change(
    host: Host, state: State, plan: Plan, params: Params, seconds: int, check_mode: bool
) -> tuple[dict[str, Any], list[str]]:
    """Under ufw's lock: prove the plan, say what it does, and apply it, waiting for a confirmation where ``seconds`` says
    so. Return values of the module, and warnings."""
    tested = start_test(host, plan.repairs)  # while the packet engine works
    after = candidates(state.kernel, plan.repairs, plan.switch)
    pending: dict[str, Any] = {}
    warnings = _prove(host, plan, state.kernel, after, params, bool(seconds), pending)
    effect = effect_of(state.kernel, after)
    flush = bool(params.get("flush_established") and effect.stopped)
    if flush:
        require_conntrack(host)
    tested()
    if check_mode:
        flows = len(find_flows(host, effect)) if flush else 0
    else:
        # What takes nothing away cannot cut the connection.
        wait = seconds if plan.switch != "disable" and plan.touches_kernel else 0
        flows = _apply(host, state, plan, after, wait, effect if flush else NO_EFFECT, pending)
    result = {**effect.lists, "unlisted": effect.unlisted, "flushed": flows}
    return ({**result, "pending": pending} if "token" in pending else result), warnings


def _prove(
    host: Host,
    plan: Plan,
    now: dict[int, Kernel],
    after: dict[int, Kernel],
    params: Params,
    remote: bool,
    pending: dict[str, Any],
) -> list[str]:
    """Warnings; LockoutError where the candidate would cut the connection that the task came by."""
    if plan.switch == "disable" or not plan.repairs:
        return []
    return _prove_ways(host, now, after, params) + _prove_own(host, plan, after, params, remote, pending)


def _prove_ways(host: Host, now: dict[int, Kernel], after: dict[int, Kernel], params: Params) -> list[str]:
    """The same for the controller's ways to other hosts that lead through this one."""
    if not params.get("through"):
        return []
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ways import cut

    closed = cut(host, params["through"], now, after)
    if not closed:
        return []
    message = f"the new ruleset would cut the controller's way to {', '.join(closed)}, which leads through this host"
    if not params.get("accept_lockout"):
        raise RulesetError(
            f"{message}; nothing was changed. Declare the flow that lets the controller through, or set accept_lockout: true"
        )
    return [message]


def _prove_own(
    host: Host, plan: Plan, after: dict[int, Kernel], params: Params, remote: bool, pending: dict[str, Any]
) -> list[str]:
    """The connection of the task itself; ``pending`` gets what the confirmation has to know of it."""
    session = find_session(host)
    if session is None:
        unseen = "the connection of this task was not found in the environment of its processes (SSH_CONNECTION)"
        return [unseen + ": whether the new ruleset lets it in is left to the confirmation"] if remote else []
    if session.family not in after:
        return []
    text = candidate_text(host, session.family, after[session.family])
    finding = prove(session, text, plan.rules[session.family], host.interfaces() or ["eth0"])
    pending["pause"] = finding.pause
    if finding.refused:
        message = f"the new ruleset would cut the connection of this task, {session.text()}: {finding.refused}"
        if not params.get("accept_lockout"):
            raise RulesetError(
                f"{message}; nothing was changed. Allow the connection by an earlier rule, or set accept_lockout: true"
            )
        return [message]
    return [f"the connection of this task, {session.text()}: {finding.doubt}"] if finding.doubt else []


def _apply(
    host: Host,
    state: State,
    plan: Plan,
    after: dict[int, Kernel],
    wait: int,
    cut: Effect,
    pending: dict[str, Any],
) -> int:
    """Load, and persist at once or leave that to the confirmation, which ``pending`` tells of. How many flows it cuts."""

    write_boot_files(host, plan.boot)
    if not (plan.files or plan.touches_kernel):
        run_commands(host, plan.boot)
        return 0

    def rest() -> dict[int, Repair]:
        """What ufw's own start leaves to do: IPv6's limit chains are empty the first time."""
        fresh = docker_block.with_files(state, plan.files)._replace(kernel=start_reading(host, state.kernel)())
        if not fresh.loaded:
            raise RulesetError("ufw's own start reported success, but its rules are not there; see the journal of ufw")
        return kernel_repairs(fresh, plan.goal, plan.rules)

    start = rest if plan.switch == "enable" else None
    transaction = Transaction(host, plan.repairs, plan.files, state.texts, state.kernel, after, start)
    transaction.prepare()
    transaction.arm(wait or CRASH_TIMEOUT, [list(argv) for argv in plan.boot.commands])
    transaction.load()
    # Looked up as late as this: from now on no new flow of theirs can begin.
    flows = find_flows(host, cut)
    transaction.wait(flows, look=bool(wait))
    if wait:
        pending.update(token=transaction.token, timeout=wait, program=host.path(PROGRAM), python=sys.executable)
    else:
        transaction.persist()
    return len(flows)


def switch_off(host: Host, old: State, plan: Plan) -> None:
    """Switch ufw off with its own command, which takes the lock itself; the files are written already."""
    argv = ["ufw", "--force", "disable"]
    done = host.run(argv)
    if done.status:
        with host.lock():
            write_files(host, {path: old.texts[path] for path in plan.files})
        raise RulesetError(
            f"`{' '.join(argv)}` failed (status {done.status}): {(done.err + done.out).strip()}; "
            f"ufw's files are as they were"
        )
