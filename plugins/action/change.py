# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate before a change, and its record; see modules/change.py. What a host returns is kept on the controller, and never
becomes a variable, as in a proof (action/prove.py)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node, NotRead, read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change import record as records
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import Judged, judge
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.planes import declared, difference
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.report import (
    Planes,
    report_lines,
    stops,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import (
    GATEWAY_GROUP,
    Declaration,
    read,
    value_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.inventory import groups_of_sources
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Part, members_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step, why_not
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import shown
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.changes import OPENED, UNKNOWN
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import slice_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, GOOD, json_text, write_whole

#: What runs on a host: the first in one trip with what the role firewall asks first, the other where the first fails.
LOOK, READ = "bulkhead.tiers.firewall_setup", "bulkhead.tiers.netfilter_info"
#: What AWX says of the job, by the names of its variables.
AWX = ("awx_user_name", "awx_job_id", "awx_job_template_name", "awx_workflow_job_id")
#: The name of what AWX hands on of a run, and how many lines of each kind are in it.
ARTIFACT = "site_change"
SHOWN = 20
#: What is said of a run that has a slice of the inventory.
SLICE = "This is about the hosts of one slice; the others have answers and records of their own."
#: Whose record a run has, beside the hosts'.
_RUN = "run"

SETUP = {
    "packages": {"type": "list", "elements": "str"},
    "files": {"type": "list", "elements": "dict"},
    "after": {"type": "list", "elements": "dict"},
    "ruleset": {"type": "dict", "required": True},
}
ARGUMENTS = {
    "step": {"type": "str", "choices": ["begin", "read", "judge", "end"], "required": True},
    "run": {"type": "str"},
    "setup": {"type": "dict", "options": SETUP},
    "reason": {"type": "str", "default": ""},
    "accept": {"type": "list", "elements": "str", "choices": [OPENED, UNKNOWN], "default": []},
    "outside": {"type": "str", "default": "outside"},
    "directory": {"type": "path", "default": "reports/changes"},
    "proof": {"type": "path", "default": "reports/proof.json"},
}
REQUIRED = [("step", "read", ["run", "setup"]), ("step", "judge", ["run"]), ("step", "end", ["run"])]


class ActionModule(ActionBase):
    """`read` connects to a host; the other steps are done on the controller."""

    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS, required_if=REQUIRED)
        try:
            result.update(getattr(self, f"_{options['step']}")(options, variables))
        except Refused as error:
            result.update(failed=True, msg=f"Nothing was changed.\n{error}")
        return result

    # -- the steps

    def _begin(self, _options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        declaration = read(task_vars, self._templar)
        groups = groups_of_sources(task_vars["hostvars"])
        members = members_of(groups, declaration.places(groups), _options["outside"])
        in_play = set(task_vars["ansible_play_hosts_all"])
        begun = Run.begin(
            str(constants.DEFAULT_LOCAL_TMP),
            Record(
                seed="",
                outside=_options["outside"],
                began=time.time(),
                declaration=declaration.key,
                limit=printable(task_vars.get("ansible_limit") or ""),
                members=members,
                left_out=tuple(name for name in members if name not in in_play),
                trouble={},
            ),
        )
        return {"changed": False, "run": begun.id}

    def _read(self, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, name = self._opened(options), str(task_vars["inventory_hostname"])
        setup = {key: value for key, value in options["setup"].items() if value is not None}
        said = self._execute_module(module_name=LOOK, task_vars=task_vars, module_args={**setup, "look": True})
        ahead.keep_looked(self._task, task_vars, setup, said.get("setup"))
        found = said.get("netfilter")
        if not isinstance(found, Mapping):
            found = self._execute_module(module_name=READ, task_vars=task_vars, module_args={})
        why = why_not(found)
        if why:
            return run.not_read(name, why)
        run.keep(Step.NETFILTER, name, {"printed": found.get("printed"), "settings": found.get("settings")})
        run.keep(Step.PLAN, name, _planned(setup["ruleset"]))
        return shown({"changed": False, **{key: said[key] for key in ("warnings",) if key in said}})

    def _judge(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        run, declaration = self._opened(options), read(task_vars, self._templar)
        site, check = declaration.site, bool(self._task.check_mode)
        # AWX leaves groups in a slice of which it has no host: that of the routers is there where there are any.
        sliced = slice_of(task_vars)
        elsewhere = sliced is not None and GATEWAY_GROUP in (task_vars.get("groups") or {})
        judged = self._judged(run, declaration, elsewhere)
        known = records.read_json(os.path.join(options["directory"], records.STATE)) or {}
        before = known.get("planes")
        planes = difference(before, declared(site)) if isinstance(before, Mapping) else {}
        since = printable(known.get("time", ""), 40)
        for line, color in report_lines(judged, planes, since):
            self._display.display(line, color=color)
        if sliced is not None:
            self._display.display(f"  {SLICE}", color=DIM)
        stopped = stops(judged, planes, site.changes, options["reason"], options["accept"], check)
        result: dict[str, Any] = {"changed": False, "msg": summary(judged, planes), "gate": _returned(judged, planes)}
        # AWX puts the artifacts of slices together key by key, and of one key the last one counts: each has a key of its own.
        name = (
            ARTIFACT if sliced is None else f"{ARTIFACT}_of_job_{printable(task_vars.get('awx_job_id', 'unknown'), 20)}"
        )
        artifact = result.setdefault("artifacts", {}).setdefault(name, _artifact(judged, planes))
        if judged.nothing and not planes and not stopped:
            return result
        written = records.new_record(judged, planes, options["reason"], self._about(options, task_vars, since))
        written["stopped_by"] = stopped
        written["result"] = records.STOPPED if stopped else records.PLANNED if check else records.BEGUN
        if stopped or check:
            written["ended"] = written["began"]
        path = records.write_record(options["directory"], written)
        run.keep(Step.CHANGE, _RUN, path)
        self._display.display(f"The record: {path.removesuffix('.json')}.md", color=BAD if stopped else GOOD)
        result["record"] = artifact["record"] = path
        if stopped:
            # The record has the whole: Ansible prints all of a result that failed.
            del result["gate"]
            result.update(failed=True, msg="\n".join(["The change was stopped, and no host was touched.", *stopped]))
        return result

    def _judged(self, run: Run, declaration: Declaration, routers_elsewhere: bool) -> Judged:
        nodes: dict[str, Node] = {}
        plans: dict[str, Mapping[str, Any]] = {}
        missing: dict[str, str] = {}
        for name, member in run.record.members.items():
            if member.part not in (Part.TIER, Part.GATEWAY) or name in run.record.left_out:
                continue
            kept, plan = run.kept(Step.NETFILTER, name), run.kept(Step.PLAN, name)
            if kept is None or plan is None:
                missing[printable(name)] = str(run.kept(Step.TROUBLE, name) or "it was not reached")
            else:
                try:
                    nodes[name], plans[name] = read_node(name, kept), plan
                except NotRead as error:
                    missing[printable(name)] = printable(str(error))
        return judge(declaration.site, run.record.members, nodes, plans, missing, routers_elsewhere)

    def _end(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        run = self._opened(options)
        here = set(task_vars["ansible_play_hosts_all"])
        members = run.record.members
        lost = [name for name in members if name not in here and name not in run.record.left_out]
        path = run.kept(Step.CHANGE, _RUN)
        if self._task.check_mode:
            return {"changed": False}
        if path:
            records.end_record(path, records.FAILED if lost else records.FINISHED, lost)
        # A slice has none that are left out: it does not know that there are others.
        if not lost and not run.record.left_out and slice_of(task_vars) is None and self._whole():
            # What is declared now is what the next run is compared with.
            state = {"time": _now(), "planes": declared(read(task_vars, self._templar).site)}
            records.make_private(options["directory"])
            write_whole(os.path.join(options["directory"], records.STATE), json_text(state), 0o600)
        return {"changed": False, **({"record": path} if path else {})}

    # -- what is known of the run

    @staticmethod
    def _whole() -> bool:
        """Whether no tag leaves a part of the playbook out."""
        return set(context.CLIARGS.get("tags") or ("all",)) == {"all"} and not context.CLIARGS.get("skip_tags")

    def _about(self, options: Mapping[str, Any], task_vars: Mapping[str, Any], since: str) -> dict[str, Any]:
        awx = {}
        for name in AWX:
            with contextlib.suppress(AnsibleError):
                awx[name] = value_of(name, task_vars, self._templar)
        folder = str(task_vars.get("inventory_dir") or "")
        tags = [str(tag) for tag in context.CLIARGS.get("tags") or () if tag != "all"]
        skipped = [f"not {tag}" for tag in context.CLIARGS.get("skip_tags") or ()]
        return {
            "who": records.who(awx),
            "site": site_name(task_vars),
            "inventory": [printable(source) for source in context.CLIARGS.get("inventory") or ()],
            "revision": records.revision(folder) if folder else None,
            "limit": printable(task_vars.get("ansible_limit") or ""),
            "slice_of": printable(slice_of(task_vars) or ""),
            "tags": [printable(tag, 80) for tag in (*tags, *skipped)],
            "accepted": list(options["accept"]),
            "planes_since": since or None,
            "proof_before": records.verdict_of(options["proof"]),
        }

    @staticmethod
    def _opened(options: Mapping[str, Any]) -> Run:
        return Run.opened(str(constants.DEFAULT_LOCAL_TMP), options["run"])


def _artifact(judged: Judged, planes: Planes) -> dict[str, Any]:
    """What an approver in AWX reads: short for any size of the fleet."""
    told = {name: [one.text() for one in getattr(judged, name)] for name in ("opened", "closed", "unknown")}
    lists = {**told, "broken": judged.broken, "touched": judged.touched}
    return {
        "summary": summary(judged, planes),
        **{name: _short(texts) for name, texts in lists.items()},
        "record": "",
    }


def _short(texts: Sequence[str]) -> list[str]:
    more = len(texts) - SHOWN
    return [*texts[:SHOWN], *([f"and {more:,} more"] if more > 0 else [])]


def _planned(ruleset: Mapping[str, Any]) -> dict[str, Any]:
    """What the host's firewall is to be, of the options of ufw_ruleset; keeps: whether rules that are not declared stay."""
    kept = {name: ruleset.get(name) for name in ("default", "rules", "docker", "nat")}
    purge = boolean(ruleset.get("purge") or False, strict=False)
    return {**kept, "docker": kept["docker"] or {}, "keeps": not purge or bool(ruleset.get("keep"))}


def _returned(judged: Judged, planes: Planes) -> dict[str, Any]:
    return {
        **{name: [one.text() for one in getattr(judged, name)] for name in ("opened", "closed", "unknown")},
        "unchanged": judged.unchanged,
        "broken": list(judged.broken),
        "touched": list(judged.touched),
        "not_read": dict(judged.missing),
        "planes": {plane: {"new": list(new), "gone": list(gone)} for plane, (new, gone) in planes.items()},
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
