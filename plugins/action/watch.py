# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says what the firewalls of a fleet blocked, in the site's own words; see modules/watch.py. What a host returns is kept on the
controller, and never becomes a variable, as in a proof (action/prove.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, read
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Run, Step, why_not
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import json_text, write_json, write_whole
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.fold import Watch
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Heard, NotHeard, read_heard
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.report import (
    Found,
    notes_of,
    report_dict,
    report_lines,
    report_markdown,
    report_metrics,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.since import seconds_since

READ = "bulkhead.tiers.traffic_info"
#: What is read of one host: packets and connections of different kinds.
MOST_OF_A_HOST = 5000
#: Rows of the files: more than anyone reads, and bounded all the same.
MOST_WRITTEN = 5000
#: Rows of the metrics: each is a time series.
MOST_METRICS = 500

ARGUMENTS = {
    "step": {"type": "str", "choices": ["read", "report"], "default": "report"},
    "run": {"type": "str", "required": True},
    "since": {"type": "str", "default": "1d"},
    "logs": {"type": "str", "choices": ["hosts", "collector"], "default": "hosts"},
    "connections": {"type": "bool", "default": True},
    "limit": {"type": "int", "default": 30},
    "format": {"type": "str", "choices": ["text", "json"], "default": "text"},
    "report": {"type": "path", "default": "reports/watch.json"},
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
        arguments = {
            "seconds": seconds_since(options["since"], time.time()),
            "limit": MOST_OF_A_HOST,
            "collected": options["logs"] == "collector",
            "connections": options["connections"],
        }
        said = self._execute_module(module_name=READ, task_vars=task_vars, module_args=arguments)
        why = why_not(said)
        if why:
            return run.not_read(name, why)
        kept = {key: said.get(key) for key in ("now", "logs", "tracked", "addresses", "ufw")}
        try:
            heard = read_heard(kept)
        except NotHeard as error:
            return run.not_read(name, str(error))
        run.keep(Step.TRAFFIC, name, {"said": kept, "at": time.time()})
        packets = sum(packet.number for log in heard.logs for packet in log.packets)
        return {"changed": False, "blocked": packets, "connections": sum(one.number for one in heard.connections)}

    def _report(self, declaration: Declaration, options: Mapping[str, Any], name: str) -> dict[str, Any]:
        path = report_path(options["report"], options["directory"])
        if options["limit"] < 1:
            raise Refused([Mistake("limit", str(options["limit"]), "a number from 1 on", "leave it out for 30")])
        now = time.time()
        found = self._found(declaration, options, name, now)
        limit = options["limit"]
        if options["format"] == "json":
            self._display.display(json_text(report_dict(found, limit)))
        else:
            for line, color in report_lines(found, limit):
                self._display.display(line, color=color)
        result: dict[str, Any] = {"changed": False, "msg": summary(found), "watch": report_dict(found, limit)}
        if not self._task.check_mode:
            stem = path[: -len(".json")] if path.endswith(".json") else path
            markdown = write_whole(f"{stem}.md", report_markdown(found, MOST_WRITTEN))
            metrics = write_whole(f"{stem}.prom", report_metrics(found, MOST_METRICS))
            written = write_json(path, report_dict(found, MOST_WRITTEN))
            result.update(reports={"json": written, "markdown": markdown, "prometheus": metrics})
            self._display.display(f"The report: {markdown}")
        return result

    def _found(self, declaration: Declaration, options: Mapping[str, Any], name: str, now: float) -> Found:
        run = self._opened(options)
        heard: dict[str, Heard] = {}
        asked_at: dict[str, float] = {}
        trouble: dict[str, str] = {}
        collectors = 0
        for host in run.record.members:
            kept = run.kept(Step.TRAFFIC, host)
            if kept is None or host in run.record.trouble:
                shown = printable(host)
                trouble[shown] = str(
                    run.record.trouble.get(host) or run.kept(Step.TROUBLE, host) or _why_not(run, host)
                )
                continue
            answer = read_heard(kept["said"])
            if options["logs"] == "collector":
                collects = len(answer.logs) > 1
                collectors += collects
                # What the others have blocked is with the collector: once is enough.
                answer = answer if collects else answer._replace(logs=())
            heard[printable(host)], asked_at[printable(host)] = answer, kept["at"]
        notes = list(notes_of(heard, trouble, asked_at))
        if options["logs"] == "collector" and not collectors:
            notes.append("No host that was read collects logs (/var/log/bulkhead): see firewall_log_collector.")
        watch = Watch(declaration.site)
        since = now - seconds_since(options["since"], now)
        return Found(name, since, now, watch.fold(heard), tuple(notes), len(heard), watch)

    @staticmethod
    def _opened(options: Mapping[str, Any]) -> Run:
        return Run.opened(str(constants.DEFAULT_LOCAL_TMP), options["run"])


def _why_not(run: Run, host: str) -> str:
    return "left out of this run" if host in run.record.left_out else "it was not reached"
