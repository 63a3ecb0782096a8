# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a survey of AWX, and the jobs before this one in its workflow, say of a run that applies the site.

AWX hands answers and artifacts to every job of a workflow as variables, past the surveys of its templates: they are held here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The variable that narrows a run to tiers, and the one that says until when it may begin.
ONLY, UNTIL = "change_tiers", "change_until"
#: The variable of a run that goes back to what was proven: the answers are about the change, which may have brought the tiers that
#: they name. It is for all of them, never too late, and not what was planned.
ROLLBACK = "change_rollback"
#: What was planned, an artifact of plan.yml; and the commit that AWX gives this job.
PLAN, REVISION = "site_plan", "awx_project_revision"


def refuse_run(variables: Mapping[str, Any], tiers: Sequence[str]) -> None:
    """Refused where a run is not to begin: too late, for what is no tier, or with another commit than was planned and approved."""
    wrong = [] if _goes_back(variables) else [*_others(variables, tiers), *_late(variables), *_unplanned(variables)]
    if wrong:
        raise Refused(wrong)


def tiers_asked(variables: Mapping[str, Any], tiers: Sequence[str]) -> frozenset[str]:
    """The tiers that a run is narrowed to, nothing for all; Refused where one is none of the site's."""
    if _goes_back(variables):
        return frozenset()
    wrong = [*_others(variables, tiers)]
    if wrong:
        raise Refused(wrong)
    return frozenset(_asked(variables))


def _goes_back(variables: Mapping[str, Any]) -> bool:
    return bool(boolean(variables.get(ROLLBACK) or False, strict=False))


def _asked(variables: Mapping[str, Any]) -> list[str]:
    asked = variables.get(ONLY) or ()
    return [str(name).strip() for name in (asked.split(",") if isinstance(asked, str) else asked)]


def _others(variables: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Mistake]:
    expected = f"tiers of the site ({', '.join(tiers)})"
    for name in _asked(variables):
        if name not in tiers:
            yield Mistake(ONLY, printable(name), expected, "correct the answer; nothing was touched")


def _late(variables: Mapping[str, Any]) -> Iterator[Mistake]:
    """An approval may come late."""
    asked = str(variables.get(UNTIL) or "").strip()
    if not asked:
        return
    try:
        last = date.fromisoformat(asked)
    except ValueError:
        yield Mistake(UNTIL, printable(asked), "a day, as 2027-06-30", "correct the answer")
        return
    if last < date.today():
        remedy = "ask for the change again; nothing was touched"
        yield Mistake(UNTIL, asked, f"today, {date.today()}, or a day to come", remedy)


def _unplanned(variables: Mapping[str, Any]) -> Iterator[Mistake]:
    """While an approval was waited for, the repository may have gone on."""
    plan, now = variables.get(PLAN), str(variables.get(REVISION) or "")
    planned = str(plan.get("revision") or "") if isinstance(plan, Mapping) else ""
    if planned and now and planned != now:
        expected = f"{printable(planned, 12)}, which was planned and may have been approved"
        yield Mistake(
            "the project's revision", printable(now, 12), expected, "start the workflow again; nothing was touched"
        )
