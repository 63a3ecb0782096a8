# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A region that was read on a host, and what its tree means: for maas_vlan_info, and for maas_vlan where nothing differs.

The host sends what MAAS answered, cut to the fields that are used. Everything that reads and checks such answers on a host
reads and checks these here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan import needs, plan, touched
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import Refused, result
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import LISTS, State, read, read_more
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.drift import drift
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.export import export

#: Reads lists of the API on the host: their paths -> ({path: list}, how many requests that took).
Ask = Callable[[list[str]], tuple[Any, int]]

#: What every run reads, and what `plan.needs` calls the others.
FIRST = (LISTS["fabric"], LISTS["subnet"], LISTS["range"])
NEEDED = {"spaces": LISTS["space"], "racks": "rackcontrollers/", "routes": LISTS["route"], "interfaces": "nodes/"}
#: A report shows these whether a plan would need them or not.
EVERYTHING = frozenset(("spaces", "racks", "routes"))
#: What is read where a subnet goes, beside the addresses in use of each.
LEAVING = ("reservedips/", "dhcp-snippets/")


class Unread(MaasError):
    """A list that the host was not asked for, or did not return."""


class Region:
    """What was read of a region so far; to `state.read` it is a client."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answers: dict[str, Any] = {}
        self.reads = 0

    def fetch(self, paths: Iterable[str]) -> None:
        """Read those that were not read yet, in one trip."""
        new = [path for path in dict.fromkeys(paths) if path not in self._answers]
        if new:
            answers, reads = self._ask(new)
            self.reads += reads
            if isinstance(answers, Mapping):
                self._answers.update((path, answers[path]) for path in new if path in answers)

    def get(self, path: str) -> Any:
        if path not in self._answers:
            raise Unread(f"{path}: got nothing; expected what the host read of it; run the task again")
        return self._answers[path]


def unchanged(ask: Ask, params: Mapping[str, Any]) -> Optional[tuple[dict[str, Any], list[str]]]:
    """(maas_vlan's result, warnings) where nothing is to change; None where something may be, or where what is wrong with
    the arguments or the region is for the module itself to say."""
    wanted, errors = parse(dict(params))
    if errors:
        return None
    region, known = Region(ask), _at_once(wanted)
    region.fetch([*FIRST, *(NEEDED[name] for name in sorted(known))])
    try:
        state = read(region)
        if any(touched(wanted, state)) or not needs(wanted, state) <= known:
            return None
        read_more(region, state, known)
    except MaasError:
        return None
    planned = plan(wanted, state)
    return None if planned.errors or planned.ops else (result(planned, region.reads, 0), planned.warnings)


def _at_once(wanted: Wanted) -> set[str]:
    """What `plan.needs` will name whatever the region holds, as far as the arguments show it."""
    found = set()
    if any(item.fields.get("primary_rack") or item.fields.get("secondary_rack") for item in wanted.vlans.values()):
        found.add("racks")
    if wanted.spaces or ("spaces" in wanted.purge and wanted.listed["spaces"]):
        found.add("spaces")
    if wanted.routes or ("static_routes" in wanted.purge and wanted.listed["static_routes"]):
        found.add("routes")
    return found


def report(ask: Ask, params: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `maas_vlan_info`: the tree as the other module's input, and what drifted. Raises MaasError."""
    wanted, errors = parse(dict(params))
    region = Region(ask)
    try:
        state = _whole(region, wanted)
    except MaasError as error:
        if errors:
            unread = Mistake("url", str(error), "the region's tree, to check the rest", "try again when MAAS answers")
            raise Refused([*errors, unread]) from None
        raise
    if errors:
        raise Refused(errors)
    only = set(wanted.fabrics) if params.get("fabrics") is not None else None
    return {
        "changed": False,
        "tree": export(state, only),
        "drift": drift(state, wanted),
        "racks": [
            {"hostname": rack.hostname, "system_id": rack.system_id, "vids": sorted(rack.vids)}
            for _name, rack in sorted((state.racks or {}).items())
        ],
        "requests": {"reads": region.reads, "writes": 0},
    }


def _whole(region: Region, wanted: Wanted) -> State:
    region.fetch([*FIRST, *(NEEDED[name] for name in sorted(EVERYTHING))])
    state = read(region)
    leaving, pools = touched(wanted, state)
    needed = needs(wanted, state) | EVERYTHING
    used = [f"subnets/{state.subnets[cidr].id}/?op=ip_addresses" for cidr in (*leaving, *pools)]
    region.fetch([*(NEEDED[name] for name in sorted(needed)), *(LEAVING if leaving else ()), *used])
    read_more(region, state, needed, leaving, pools)
    return state
