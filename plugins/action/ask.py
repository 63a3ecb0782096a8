# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers whether a connection passes; see modules/ask.py. What a host returns is kept on the controller, and never becomes a
variable, as in a proof (action/prove.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node, NotRead, read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.reply import (
    Reply,
    by_declaration,
    by_live_rules,
    question_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, read
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Run, Step, why_not
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, GOOD, some

READ = "bulkhead.tiers.netfilter_info"

ARGUMENTS = {
    "step": {"type": "str", "choices": ["read", "answer"], "default": "answer"},
    "run": {"type": "str"},
    "from": {"type": "str"},
    "to": {"type": "str"},
    "port": {"type": "str"},
    "live": {"type": "bool", "default": True},
    "expect": {"type": "str", "choices": ["allowed", "denied", "unknown"]},
}
REQUIRED = [("step", "read", ["run"]), ("step", "answer", ["from", "to", "port"]), ("live", True, ["run"])]


class ActionModule(ActionBase):
    """`read` connects to a host; `answer` is given on the controller."""

    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS, required_if=REQUIRED)
        try:
            if options["step"] == "read":
                result.update(self._read(options, variables))
            else:
                result.update(self._answer(read(variables, self._templar), options))
        except Refused as error:
            result.update(failed=True, msg=f"The question was not answered.\n{error}")
        return result

    def _read(self, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, name = self._opened(options), str(task_vars["inventory_hostname"])
        said = self._execute_module(module_name=READ, task_vars=task_vars, module_args={})
        why = why_not(said)
        if why:
            return run.not_read(name, why)
        kept = {"printed": said.get("printed"), "settings": said.get("settings")}
        try:
            node = read_node(name, kept)
        except NotRead as error:
            return run.not_read(name, str(error))
        run.keep(Step.NETFILTER, name, kept)
        return {"changed": False, "addresses": len(node.own)}

    def _answer(self, declaration: Declaration, options: Mapping[str, Any]) -> dict[str, Any]:
        site = declaration.site
        asked = question_of(site, options["from"], options["to"], options["port"])
        if options["live"]:
            reply = self._live(declaration, options)
        else:
            reply = by_declaration(site, asked)
        for number, line in enumerate(reply.lines):
            color = {Answer.ALLOWED: GOOD, Answer.DENIED: BAD}.get(reply.answer) if number == 0 else None
            self._display.display(line, color=color)
        result = {"changed": False, **reply.to_dict()}
        if options["expect"] and options["expect"] != reply.answer.value.lower():
            result.update(failed=True, msg=f"{reply.lines[0]}\nIt was expected to be {options['expect']}.")
        return result

    def _live(self, declaration: Declaration, options: Mapping[str, Any]) -> Reply:
        run = self._opened(options)
        members = run.record.members
        nodes: dict[str, Node] = {}
        missing = []
        for name in members:
            kept = run.kept(Step.NETFILTER, name)
            if kept is None or name in run.record.trouble:
                missing.append(f"{printable(name)} ({run.kept(Step.TROUBLE, name) or 'it was not reached'})")
            else:
                nodes[name] = read_node(name, kept)
        asked = question_of(declaration.site, options["from"], options["to"], options["port"])
        reply = by_live_rules(declaration.site, members, nodes, asked)
        if missing:
            text = f"not read, so not known on the way: {some(missing)}"
            return reply._replace(lines=(*reply.lines, text))
        return reply

    @staticmethod
    def _opened(options: Mapping[str, Any]) -> Run:
        try:
            return Run(str(constants.DEFAULT_LOCAL_TMP), options["run"])
        except ValueError:
            got = printable(options["run"])
            raise Refused(
                [Mistake("run", got, "what bulkhead.tiers.prove's step begin returned", "pass that on")]
            ) from None
