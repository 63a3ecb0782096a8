# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the declared site and say what it means for this host. Runs on the controller alone; see modules/site.py."""

from __future__ import annotations

from datetime import date

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import plan_json, plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import OUTPUTS, PREFIX, parse_site

#: The inventory group of the routers.
GATEWAY_GROUP = "gateway"


class ActionModule(ActionBase):
    """Variables in, this host's part of the site out. It never connects, and changes nothing in any mode."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(
            argument_spec={"report": {"type": "bool", "default": False}, "declaration": {"type": "dict"}}
        )
        task_vars = task_vars or {}
        try:
            variables = options["declaration"]
            if variables is None:
                variables = self._declared(task_vars)
            site = parse_site(variables, date.today())
            plan = self._host_plan(site, task_vars)
        except Refused as error:
            result.update(failed=True, msg=_message(error))
            return result
        result.update(changed=False, ansible_facts={"bulkhead_host": plan})
        if options["report"]:
            groups = {name: list(hosts) for name, hosts in (task_vars.get("groups") or {}).items()}
            self._display.display(plan_text(site, groups))
            result["plan"] = plan_json(site)
        elif site.warnings:
            result["warnings"] = list(site.warnings)
        return result

    def _declared(self, task_vars):
        """The site's variables as this host sees them, templated."""
        variables, problems = {}, []
        for name in sorted(task_vars):
            if not name.startswith(PREFIX) or name in OUTPUTS:
                continue
            try:
                variables[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                problems.append(Mistake(name, "a template that fails", "a value", " ".join(str(error).split())))
        if problems:
            raise Refused(problems)
        return variables

    @staticmethod
    def _host_plan(site, task_vars):
        groups = task_vars.get("group_names") or ()
        return host_plan(
            site,
            str(task_vars.get("inventory_hostname", "")),
            tuple(name for name in site.tiers if name in groups),
            GATEWAY_GROUP in groups,
        )


def _message(error):
    count = len(error.mistakes)
    return "The site's declaration has %d problem%s; nothing was touched.\n%s" % (
        count,
        "" if count == 1 else "s",
        error,
    )
