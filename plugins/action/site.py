# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the declared site. Runs on the controller alone; see modules/site.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.answers import REVISION, refuse_run
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import (
    SiteRules,
    plan_json,
    plan_text,
    site_rules,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.inventory import (
    inventory_advice,
    managed_hosts,
    require_hosts,
    tierless_hosts,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import refuse_slice, slice_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, pieces

#: Of a site's warnings, how many the summary has.
MOST_WARNINGS = 20
ARGUMENTS: dict[str, dict[str, Any]] = {
    "report": {"type": "bool", "default": False},
    "page": {"type": "path"},
    "directory": {"type": "path", "default": "reports"},
    "require_hosts": {"type": "bool", "default": False},
    "answers": {"type": "bool", "default": False},
    "static": {"type": "bool", "default": False},
    "declaration": {"type": "dict"},
}
DEFAULTS = {name: option.get("default") for name, option in ARGUMENTS.items()}


class ActionModule(ActionBase):
    """Variables in, what is wrong with them out. It never connects, changes nothing in any mode, and sets no fact."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._options()
        task_vars = task_vars or {}
        try:
            if options["declaration"] is None:
                declared = declaration.read(task_vars, self._templar)
            else:
                declared = declaration.declare(options["declaration"])
            # A slice may be without a host of any tier; the whole inventory is checked by whatever has it.
            if options["require_hosts"] and slice_of(task_vars) is None:
                require_hosts(declared.site, task_vars.get("groups") or {})
            if options["answers"]:
                refuse_run(task_vars, declared.outline.tiers)
            warnings = self._warnings(declared, task_vars)
            # What is wrong for this host alone, as for a manager of the Swarm in another tier, is wrong now.
            declared.check(str(task_vars.get("inventory_hostname", "")), task_vars.get("group_names") or ())
            self._in_slice(declared, task_vars, options)
        except Refused as error:
            result.update(failed=True, msg=_message(error))
            return result
        result.update(changed=False)
        if options["report"]:
            groups = {name: list(hosts) for name, hosts in (task_vars.get("groups") or {}).items()}
            site = declared.site
            site = replace(site, warnings=(*site.warnings, *self._about_stacks(site, task_vars)))
            rules = site_rules(site)
            # Each call is an event in AWX, whose page cuts those that are long.
            for piece in pieces(plan_text(site, groups, rules).rstrip("\n")):
                self._display.display(piece)
            result["plan"] = plan_json(site, rules)
            if options["static"]:
                result.update(self._proven(declared))
            result["summary"] = {
                **_summary(declared, site, groups),
                "revision": printable(task_vars.get(REVISION) or "", 80),
            }
            if options["page"] and not self._task.check_mode:
                try:
                    result["page"] = self._page(options, site, rules, task_vars)
                except Refused as error:
                    result.update(failed=True, msg=f"The page of the plan was not written.\n{error}")
                    return result
            # They are part of the plan that was printed.
            warnings = [text for text in warnings if text not in declared.outline.warnings]
        if warnings:
            result["warnings"] = warnings
        return result

    @staticmethod
    def _in_slice(declared: declaration.Declaration, task_vars: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Refused where a slice of the inventory cannot do what is asked: plan the site, or join a Swarm by a host that it lacks."""
        if slice_of(task_vars) is None:
            return
        if options["report"]:
            refuse_slice(task_vars, "a plan of the site")
        place, known = declaration.host_place(declared, task_vars), (task_vars.get("groups") or {}).get("all") or ()
        swarm = declared.plan(str(task_vars.get("inventory_hostname", "")), place)["swarm"]
        first = declared.outline.managers[:1]
        if swarm and first and first[0] not in known:
            refuse_slice(task_vars, f"a node of the Swarm: it joins by {first[0]}")

    def _options(self) -> Mapping[str, Any]:
        # Most calls have none, one for each host.
        if not self._task.args:
            return DEFAULTS
        _checked, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        return dict(options)

    def _proven(self, declared: declaration.Declaration) -> dict[str, Any]:
        """Whether the compiled rules let through what is declared and nothing else; no host is asked."""
        # Each host of each run checks the site, and would import the packet engine.
        from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_fleet
        from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import proven
        from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.text import planned_summary, static_lines

        static = proven(planned_fleet(declared.site, declared.plan))
        lines = static_lines(static, planned_summary(static))
        for line, color in lines:
            self._display.display(line, color=color)
        found: dict[str, Any] = {"static": static.to_dict()}
        if not static.holds:
            found.update(failed=True, msg=planned_summary(static))
        return found

    def _page(self, options: Mapping[str, Any], site: Site, rules: SiteRules, task_vars: Mapping[str, Any]) -> str:
        # Each host of each run checks the site, and would import the templates.
        from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name, write_plan

        path = write_plan(report_path(options["page"], options["directory"]), site, site_name(task_vars), rules)
        self._display.display(f"The page: {path}")
        return path

    @staticmethod
    def _warnings(declared: declaration.Declaration, task_vars: Mapping[str, Any]) -> list[str]:
        """What is to be said of the site, the inventory and the settings. The first host of the play says it for all."""
        hosts = task_vars.get("ansible_play_hosts_all")
        if hosts and task_vars.get("inventory_hostname") != hosts[0]:
            return []
        groups = task_vars.get("groups") or {}
        # A site can be planned before there is an inventory.
        advice = inventory_advice(declared.site, groups) if managed_hosts(groups) else []
        return [*declared.outline.warnings, *map(str, advice), *declaration.warnings_of_settings()]

    def _about_stacks(self, site: Site, task_vars: Mapping[str, Any]) -> list[str]:
        """What the stacks' files show that would end their deployment; a plan without an inventory has no files."""
        inventory = task_vars.get("inventory_dir")
        if not site.stacks or not (inventory or "stacks_directory" in task_vars):
            return []
        settings: dict[str, Any] = {
            "stacks_directory": os.path.join(os.path.dirname(str(inventory)), "stacks"),
            "stacks_environment": {},
        }
        for name in set(settings) & set(task_vars):
            settings[name] = declaration.value_of(name, task_vars, self._templar)
        # Only a plan reads files: each host of each run checks the site, and would import the reader of Compose files.
        from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.placement import placement_warnings

        directory, environment = settings["stacks_directory"], settings["stacks_environment"]
        try:
            return placement_warnings(lint_arguments(site), str(directory), environment)
        except Refused as error:
            return error.errors

    def _declared(self, task_vars: Mapping[str, Any]) -> Mapping[str, Any]:
        """The site's variables as this host sees them, templated; Refused where a host has set one."""
        return declaration.read(task_vars, self._templar).variables


def _summary(declared: declaration.Declaration, site: Site, groups: Mapping[str, list[str]]) -> dict[str, Any]:
    """What an approver reads of a plan, short at any size of the fleet."""
    hosts = managed_hosts(groups)
    return {
        "declaration": declared.key[:12],
        "tiers": {name: len(groups.get(name, ())) for name in site.tiers},
        "hosts": len(hosts),
        "hosts_of_no_tier": len(tierless_hosts(site, groups)),
        "flows": len(site.flows),
        "never": len(site.never),
        "warnings": list(site.warnings[:MOST_WARNINGS]),
        "more_warnings": max(0, len(site.warnings) - MOST_WARNINGS),
    }


def _message(error: Refused) -> str:
    if any(mistake.kind == declaration.INJECTED for mistake in error.mistakes):
        return f"A host tries to set what is done; nothing was touched.\n{error}"
    return f"The site's declaration has {count(len(error.mistakes), 'problem')}; nothing was touched.\n{error}"
