# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""parse -> read -> plan -> render -> apply, for maas_vlan."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils import mistakes
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.apply import apply
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan import Plan, needs, plan, touched
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.render import diff
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import State, read, read_more
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import Client, MaasError
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake


class Refused(mistakes.Refused, MaasError):
    """Input that cannot be applied, and nothing was written."""


def ensure(client: Client, params: dict, check_mode: bool) -> tuple:
    """``(result, [warning])`` of `maas_vlan`; the same keys in check mode and outside."""
    wanted, errors = parse(params)
    state = _read(client, wanted, errors)
    planned = plan(wanted, state)
    if errors or planned.errors:
        raise Refused(errors + planned.errors)
    if not check_mode:
        apply(client, planned)
    reads = client.sent["GET"]
    return result(planned, reads, sum(client.sent.values()) - reads), planned.warnings


def result(planned: Plan, reads: int, writes: int) -> dict:
    """What a run with this plan returns; so many requests were sent."""
    return {
        "changed": bool(planned.ops),
        "operations": [str(op) for op in planned.ops],
        "requests": {"reads": reads, "writes": writes},
        "diff": diff(planned.before, planned.after),
    }


def _read(client: Client, wanted: Wanted, errors: list) -> State:
    """The state that the plan needs; where MAAS cannot be read, the errors of the input are told with that."""
    try:
        state = read(client)
        leaving, pools = touched(wanted, state)
        read_more(client, state, needs(wanted, state), leaving, pools)
    except MaasError as error:
        if errors:
            unread = Mistake("url", str(error), "the region's tree, to check the rest", "try again when MAAS answers")
            raise Refused([*errors, unread]) from None
        raise
    return state


def failure(error: MaasError) -> dict:
    """The keys of a failed task: the text, each error by itself, and what had been done by then."""
    done: list = getattr(error, "done", [])
    facts: dict[str, Any] = {"msg": str(error), "errors": list(getattr(error, "errors", [str(error)]))}
    facts["operations"] = [str(op) for op in done]
    facts["changed"] = bool(done)
    return facts
