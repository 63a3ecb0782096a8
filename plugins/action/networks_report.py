# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold the live networks of all hosts against the site; see modules/networks_report.py."""

from __future__ import annotations

from datetime import datetime, timezone

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule as SiteAction
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import (
    report_json,
    report_lines,
    summary,
    survey,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import write_json

ARGUMENTS = {
    "live": {"type": "str", "default": "__networks_live"},
    "report": {"type": "path", "default": "reports/networks.json"},
}

#: Why a host has nothing to say that was asked and is well.
NO_ENGINE = "no Docker Engine runs here"


class ActionModule(SiteAction):
    """Everything that was registered in, the report out; on the controller alone."""

    def run(self, tmp=None, task_vars=None):
        result = ActionBase.run(self, tmp, task_vars)
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            declared = declaration.read(task_vars, self._templar)
            site = declared.site
        except Refused as error:
            result.update(failed=True, msg="The site's declaration has problems.\n%s" % error)
            return result
        places = declared.places(task_vars.get("groups") or {})
        hosts, infos, silent = heard(task_vars, options["live"])
        fleet = survey(
            site,
            infos,
            silent,
            {name: _planned(declared, name, places) for name in hosts},
            unasked(task_vars),
        )
        for line, color in report_lines(fleet):
            self._display.display(line, color=color)
        made = datetime.now(timezone.utc).isoformat(timespec="seconds")
        found = report_json(fleet, made)
        result.update(changed=False, failed=bool(fleet.conflicts), msg=summary(fleet), conflicts=found["conflicts"])
        if self._task.check_mode:
            self._display.display("Check mode: the report %s was not written." % options["report"])
            return result
        try:
            result["report"] = write_json(options["report"], found)
        except Refused as error:
            result.update(failed=True, msg="%s\n%s" % (result["msg"], error))
            return result
        self._display.display("Everything: %s" % result["report"])
        return result


def _planned(declared, name, places):
    """The names of the networks that the site has on a host, by the inventory."""
    return [network["name"] for network in declared.plan(name, places[name])["networks"]] if name in places else []


def heard(task_vars, name):
    """({host: variables}, {host: what swarm_network_info returned there}, {host: why there is nothing}) of the play's
    hosts; name: the variable that its result was registered in."""
    # Taken raw: what hosts return is data, not templates.
    hosts = {host: task_vars["hostvars"].raw_get(host) for host in task_vars["ansible_play_hosts_all"]}
    said = {host: variables.get(name) or {} for host, variables in hosts.items()}
    infos = {host: info for host, info in said.items() if "networks" in info}
    return hosts, infos, {host: _why_silent(info) for host, info in said.items() if host not in infos}


def unasked(task_vars):
    """How many hosts of the inventory are not in the play."""
    return len(set((task_vars.get("groups") or {}).get("all") or ()) - set(task_vars["ansible_play_hosts_all"]))


def _why_silent(said):
    if said.get("skipped"):
        return NO_ENGINE
    if said.get("failed") or said.get("unreachable"):
        return " ".join(str(said.get("msg", "its engine could not be asked")).split())
    return "it was not reached"
