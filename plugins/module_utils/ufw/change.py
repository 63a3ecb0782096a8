# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan that changes something: the proof, what it opens and closes, and the transaction.

Imported by a run that changes something, not by the many that do not: with the packet engine it is half of the code.

What takes time comes first and without ufw's lock (``prepare``). Then ``carry_out`` takes the lock, looks whether the host
still is what all of that was worked out from, and changes it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, nat_block
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
    UNDESCRIBED,
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
    Beside,
    candidate_text,
    find_session,
    prove,
    read_beside,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Plan, kernel_repairs
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, what_changed
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import PROGRAM

Params = dict[str, Any]


class Ready(NamedTuple):
    """A plan that may be carried out: the kernel as it will be, what that opens and closes, what there was by family
    beside the filter table that something was decided by, what the confirmation has to know, and warnings."""

    after: dict[int, Kernel]
    effect: Effect
    besides: dict[int, Beside]
    pending: dict[str, Any]
    warnings: list[str]


def prepare(host: Host, state: State, plan: Plan, params: Params, seconds: int, describe: bool = True) -> Ready:
    """Prove the plan, and say what it does. Nothing is changed. RulesetError where the plan would cut a connection that
    it must not cut, or iptables does not take it. Without ``describe`` it is not said what it opens and closes."""
    tested = start_test(host, plan.repairs)  # while the packet engine works
    after = candidates(state.kernel, plan.repairs, plan.switch)
    besides = {family: read_beside(host, family) for family in after if after[family] != state.kernel[family]}
    decided = bool(params.get("through") or params.get("flush_established"))
    ready = Ready(after, NO_EFFECT, dict(besides) if decided else {}, {}, [])
    if plan.switch != "disable" and plan.repairs:
        ready.warnings.extend(_prove_ways(host, state.kernel, after, besides, params))
        _prove_own(host, state, plan, ready, besides, params, bool(seconds))
    effect = effect_of(state.kernel, after, besides) if describe or params.get("flush_established") else UNDESCRIBED
    if _flushes(params, effect):
        require_conntrack(host)
    tested()
    return ready._replace(effect=effect)


def count_flows(host: Host, params: Params, ready: Ready) -> int:
    """How many connections the plan would cut."""
    return len(find_flows(host, ready.effect)) if _flushes(params, ready.effect) else 0


def carry_out(host: Host, state: State, plan: Plan, params: Params, seconds: int, ready: Ready) -> tuple[str, int]:
    """Apply the plan, waiting for a confirmation where ``seconds`` says so: ("", how many flows it cuts). Or, where the
    host is no longer what the plan was made of and proven with: (what has changed, 0); then nothing is done."""
    with host.lock():
        changed = what_changed(host, state)
        for family, beside in ready.besides.items():
            if not changed and read_beside(host, family) != beside:
                changed = f"the kernel's IPv{family} rules"
        if changed:
            return changed, 0
        # What takes nothing away cannot cut the connection.
        wait = seconds if plan.switch != "disable" and plan.touches_kernel else 0
        cut = ready.effect if _flushes(params, ready.effect) else NO_EFFECT
        return "", _apply(host, state, plan, ready.after, wait, cut, ready.pending)


def _flushes(params: Params, effect: Effect) -> bool:
    return bool(params.get("flush_established") and effect.stopped)


def _prove_ways(
    host: Host, now: dict[int, Kernel], after: dict[int, Kernel], besides: dict[int, Beside], params: Params
) -> list[str]:
    """Warnings; RulesetError where the candidate would cut the controller's ways to other hosts that lead through this
    one."""
    if not params.get("through"):
        return []
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ways import cut

    closed, masked = cut(host, params["through"], now, after, besides)
    warnings = []
    if masked:
        warnings.append(
            f"the new ruleset masquerades the controller's way to {', '.join(masked)}: these hosts see an address of this host "
            "as its source, which their rules have to let in"
        )
    if not closed:
        return warnings
    message = f"the new ruleset would cut the controller's way to {', '.join(closed)}, which leads through this host"
    if not params.get("accept_lockout"):
        raise RulesetError(
            f"{message}; nothing was changed. Declare the flow that lets the controller through, or set accept_lockout: true"
        )
    return [*warnings, message]


def _prove_own(
    host: Host,
    state: State,
    plan: Plan,
    ready: Ready,
    besides: dict[int, Beside],
    params: Params,
    remote: bool,
) -> None:
    """The same for the connection of the task itself."""
    session = find_session(host)
    if session is None:
        if remote:
            ready.warnings.append(
                "the connection of this task was not found in the environment of its processes (SSH_CONNECTION): whether "
                "the new ruleset lets it in is left to the confirmation"
            )
        return
    if session.family not in ready.after:
        return
    beside = ready.besides[session.family] = besides.get(session.family) or read_beside(host, session.family)
    text = candidate_text(beside, ready.after[session.family])
    finding = prove(session, text, plan.rules[session.family], host.interfaces() or ["eth0"])
    now, then = state.kernel[session.family], ready.after[session.family]
    if now.others != then.others:
        from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.translations import steals

        rule = steals(now, then, session, host.interfaces() or ["eth0"])
        if rule:
            finding = finding._replace(
                refused=f"a new connection would be sent to another place by `{rule}` of the table nat"
            )
    ready.pending["pause"] = finding.pause
    if finding.refused:
        message = f"the new ruleset would cut the connection of this task, {session.text()}: {finding.refused}"
        over = remote and (params.get("confirm") or {}).get("over")
        if over:
            ready.pending["over"] = True
            message += f"; the confirmation has to come over a new connection to {over}"
        elif not params.get("accept_lockout"):
            raise RulesetError(
                f"{message}; nothing was changed. Allow the connection by an earlier rule, or set accept_lockout: true"
            )
        ready.warnings.append(message)
    elif finding.doubt:
        ready.warnings.append(f"the connection of this task, {session.text()}: {finding.doubt}")


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
        fresh = nat_block.with_table(host, fresh, None)
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
