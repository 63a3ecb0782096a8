# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a run has a part of the inventory only, because AWX cut it into slices.

A slice knows its own hosts and no others: they are in no group and have no variables. AWX does not say so in a variable of its
own, but each slice is a job of a workflow that AWX makes for it, and that has the name of the job's template; a workflow of
one's own has another name, for AWX finds nodes and schedules by the name alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The kind of a Mistake about a run that must see every host and does not.
SLICED = "sliced"

#: What AWX gives every job, under both of the names that it has had.
_PREFIXES = ("awx", "tower")


def slice_of(variables: Mapping[str, Any]) -> Optional[str]:
    """The name of the template whose job this run is a slice of; None where it has the whole inventory."""
    for prefix in _PREFIXES:
        template = variables.get(f"{prefix}_job_template_name")
        if template and template == variables.get(f"{prefix}_workflow_job_name"):
            return str(template)
    return None


def refuse_slice(variables: Mapping[str, Any], what: str) -> None:
    """Refused where the run is a slice; what: what needs the whole inventory."""
    template = slice_of(variables)
    if template is not None:
        raise Refused(
            [
                Mistake(
                    "job slices",
                    f"a slice of the inventory, by the template {printable(template)}",
                    f"the whole inventory, which {what} needs",
                    "give it a template with one slice",
                    SLICED,
                )
            ]
        )
