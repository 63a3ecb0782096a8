# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold the live networks of all hosts against the site; see modules/networks_report.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule as SiteAction
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import Heard, hear
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.report import report_json, report_lines, summary
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import survey
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.inventory import (
    inventory_advice,
    managed_hosts,
    tierless_hosts,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import refuse_slice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import write_json

ARGUMENTS = {
    "live": {"type": "str", "default": "__networks_live"},
    "report": {"type": "path", "default": "reports/networks.json"},
    "directory": {"type": "path", "default": "reports"},
}


class ActionModule(SiteAction):
    """Everything that was registered in, the report out; on the controller alone."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            refuse_slice(task_vars, "a report of all networks")
            declared = declaration.read(task_vars, self._templar)
            site = declared.site
        except Refused as error:
            result.update(failed=True, msg=f"The site's declaration has mistakes.\n{error}")
            return result
        try:
            path = report_path(options["report"], options["directory"])
        except Refused as error:
            result.update(failed=True, msg=str(error))
            return result
        fleet = survey(site, heard(task_vars, options["live"]), _planned(declared, task_vars), unasked(task_vars))
        for line, colour in report_lines(fleet):
            self._display.display(line, color=colour)
        made = datetime.now(timezone.utc).isoformat(timespec="seconds")
        found = report_json(fleet, made)
        result.update(changed=False, failed=not fleet.holds, msg=summary(fleet), conflicts=found["conflicts"])
        groups = task_vars.get("groups") or {}
        if tierless_hosts(site, groups) == managed_hosts(groups):
            # Another fleet's inventory, or one with other names: nothing of what the site declares was looked at.
            advice = [str(mistake) for mistake in inventory_advice(site, groups)]
            result.update(
                failed=True, msg="\n".join([f"{result['msg']}, and no host is in a tier of the site.", *advice])
            )
        if self._task.check_mode:
            self._display.display(f"Check mode: the report {options['report']} was not written.")
            return result
        try:
            result["report"] = write_json(path, found)
        except Refused as error:
            result.update(failed=True, msg=f"{result['msg']}\n{error}")
            return result
        self._display.display(f"Everything: {result['report']}")
        return result


def _planned(declared: declaration.Declaration, task_vars: Mapping[str, Any]) -> dict[str, list[str]]:
    """{host: the networks that the site has there, by the inventory}, of the play's hosts."""
    places = declared.places(task_vars.get("groups") or {})
    return {
        host: [network["name"] for network in declared.plan(host, places[host])["networks"]]
        for host in task_vars["ansible_play_hosts_all"]
        if host in places
    }


def heard(task_vars: Mapping[str, Any], name: str) -> Heard:
    """What the hosts of the play said of their networks; name: the variable that it was registered in."""
    # Taken raw: what hosts return is data, not templates.
    hosts = {host: task_vars["hostvars"].raw_get(host) for host in task_vars["ansible_play_hosts_all"]}
    return hear({host: variables.get(name) or {} for host, variables in hosts.items()})


def unasked(task_vars: Mapping[str, Any]) -> list[str]:
    """The hosts of the inventory that are not in the play."""
    asked = set(task_vars["ansible_play_hosts_all"])
    return [host for host in (task_vars.get("groups") or {}).get("all") or () if host not in asked]
