# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says which flows and rules nothing has used; see modules/review.py. What a host returns is kept on the controller, and never
becomes a variable, as in a proof (action/prove.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, read
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import inform, published_counters
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.review.fold import (
    MOST_RULES,
    Counted,
    Counter,
    Published,
    fold,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.review.report import (
    Found,
    earlier_rows,
    report_json,
    report_lines,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import write_json
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.fold import Watch
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import NotHeard, read_heard

FIREWALL, TRAFFIC = "bulkhead.tiers.ufw_ruleset_info", "bulkhead.tiers.traffic_info"
#: When the rules were loaded at the earliest: they were written, or the host was started, before.
LOADED = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/ufw/before.rules", "/proc/1")
#: Connections of one host that are read, and rows of the file.
MOST_CONNECTIONS, MOST_WRITTEN = 5000, 5000

ARGUMENTS = {
    "step": {"type": "str", "choices": ["read", "report"], "default": "report"},
    "run": {"type": "str", "required": True},
    "limit": {"type": "int", "default": 50},
    "report": {"type": "path", "default": "reports/review.json"},
    "directory": {"type": "path", "default": "reports"},
}


class ActionModule(ActionBase):
    """`read` connects to a host; `report` is made on the controller."""

    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            if options["step"] == "read":
                result.update(self._read(options, variables))
            else:
                result.update(self._report(read(variables, self._templar), options, site_name(variables)))
        except Refused as error:
            result.update(failed=True, msg=f"Nothing is reported.\n{error}")
        return result

    def _read(self, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, name = self._opened(options), str(task_vars["inventory_hostname"])
        try:
            answer, packed = self._firewall(task_vars)
            published = published_counters(packed) if answer["active"] else []
            traffic = self._asked(
                TRAFFIC,
                {"seconds": 1, "limit": MOST_CONNECTIONS, "collected": False, "connections": True},
                task_vars,
            )
            kept = {key: traffic.get(key) for key in ("now", "logs", "tracked", "addresses", "ufw")}
            read_heard(kept)
            since = max(self._changed(path, task_vars) for path in LOADED)
        except (RulesetError, NotHeard) as error:
            text = printable(" ".join(str(error).split()), 1000)
            run.keep(Step.TROUBLE, name, text)
            return {"failed": True, "msg": text}
        counters = [(item, one["packets"]) for item, one in zip(answer["rules"], answer["counters"], strict=True)][
            :MOST_RULES
        ]
        run.keep(
            Step.REVIEWED,
            name,
            {
                "active": answer["active"],
                "counters": counters,
                "since": since,
                "published": published[:MOST_RULES],
                "said": kept,
            },
        )
        return {"changed": False, "rules": len(counters), "unused": sum(not packets for _item, packets in counters)}

    def _firewall(self, task_vars: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """(what its rules are and counted, the snapshot that says so)."""
        packed: list[Any] = []

        def ask(depth: str) -> Any:
            packed.append(self._asked(FIREWALL, {"findings": False, "depth": depth}, task_vars).get("snapshot"))
            return packed[-1]

        return inform(ask, findings=False), packed[-1]

    def _changed(self, path: str, task_vars: dict[str, Any]) -> float:
        """When a file was changed, in seconds since 1970; 0 where there is none."""
        said = self._asked("ansible.builtin.stat", {"path": path, "get_checksum": False, "get_mime": False}, task_vars)
        stat = said.get("stat")
        found = stat.get("mtime", 0) if isinstance(stat, Mapping) else 0
        return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else 0.0

    def _asked(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Mapping[str, Any]:
        said = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        if not isinstance(said, Mapping) or said.get("failed") or said.get("unreachable"):
            raise RulesetError(str(said.get("msg", "it gave no reason")) if isinstance(said, Mapping) else "no mapping")
        return said

    def _report(self, declaration: Declaration, options: Mapping[str, Any], name: str) -> dict[str, Any]:
        path = report_path(options["report"], options["directory"])
        if options["limit"] < 1:
            raise Refused([Mistake("limit", str(options["limit"]), "a number from 1 on", "leave it out for 50")])
        found = self._found(declaration, options, name, _earlier(path))
        for line, color in report_lines(found, options["limit"]):
            self._display.display(line, color=color)
        result: dict[str, Any] = {
            "changed": False,
            "msg": summary(found),
            "review": report_json(found, options["limit"]),
        }
        if not self._task.check_mode:
            result["report"] = write_json(path, report_json(found, MOST_WRITTEN))
            self._display.display(f"The report: {result['report']}")
        return result

    def _found(
        self, declaration: Declaration, options: Mapping[str, Any], name: str, before: Mapping[str, Mapping[str, Any]]
    ) -> Found:
        run = self._opened(options)
        counted: dict[str, Counted] = {}
        heard: dict[str, Any] = {}
        trouble: dict[str, str] = {}
        for host, member in run.record.members.items():
            shown = printable(host)
            if not member.tiers and not member.gateway:
                continue
            kept = run.kept(Step.REVIEWED, host)
            if kept is None or not kept["active"]:
                why = "its firewall is off" if kept else run.kept(Step.TROUBLE, host) or "it was not reached"
                trouble[shown] = str(why)
                continue
            counters = tuple(Counter(rule, packets) for rule, packets in kept["counters"])
            published = tuple(Published(**entry) for entry in kept["published"])
            counted[shown] = Counted(member.place, counters, kept["since"], published)
            heard[shown] = read_heard(kept["said"])
        users: dict[str, list[str]] = {}
        for row in Watch(declaration.site).fold(heard).open_now:
            if row.flow:
                users.setdefault(row.flow.path, []).extend(sorted(row.sources))
        review = fold(declaration.site, counted, users)
        return Found(name, time.time(), len(counted), trouble, review, before)

    @staticmethod
    def _opened(options: Mapping[str, Any]) -> Run:
        return Run.opened(str(constants.DEFAULT_LOCAL_TMP), options["run"])


def _earlier(path: str) -> dict[str, dict[str, Any]]:
    """The rows of the review before."""
    try:
        with open(path, encoding="utf-8") as file:
            return earlier_rows(json.load(file))
    except (OSError, ValueError):
        return {}
