# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of stack_lint: read the files, check, waive; and the result of the whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import (
    NEVER,
    read_architecture,
    read_environment,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import (
    SEVERITIES,
    SWARM,
    Finding,
    Stack,
    Text,
    Waiving,
    waiving_labels,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.rules import check
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint import report
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.files import Files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import Tree
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.read import files_named, read_stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.sarif import write_sarif
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.schema import problems
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import NotCompose, Source
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.swarm import about_swarm_files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.waivers import apply_waivers

#: What is said of one file's keys and shapes: more of them does not make it clearer.
_MOST_PROBLEMS = 100
#: Findings of one host.
_MOST_HEARD = 10_000


def lint_files(params: Mapping[str, Any]) -> list[report.Item]:
    """The findings, as data, of all stacks of the arguments together; raises Refused for arguments that are wrong."""
    architecture, environment = read_architecture(params), read_environment(params)
    stacks: list[Stack] = []
    sources: dict[str, Source] = {}
    findings: list[Finding] = []
    for item in params["stacks"]:
        paths = [os.path.join(params["directory"] or "", file) for file in item["files"]]
        files = Files(paths, params.get("allowed_directories") or ())
        try:
            # Compose sets this variable itself.
            tree = Tree(paths, {"COMPOSE_PROJECT_NAME": item["name"], **environment}, files.read)
        except NotCompose as error:
            message = f"{report.shown(error.place.file)} is no Compose file that can be read: {error}"
            findings.append(Finding("BT000", message, error.fix, error.place, item["name"]))
            continue
        stacks.append(read_stack(item["name"], item["kind"], tree, tuple(item.get("tiers") or ())))
        sources.update(tree.sources)
        findings += _about_sources(tree, item["name"])
        findings += _about_named_files(tree, files, paths, item["name"])
        if item["kind"] == SWARM:
            findings += about_swarm_files(tree.sources.values(), item["name"])
    fleet = Fleet(stacks, architecture)
    findings += check(fleet)
    return report.as_data(apply_waivers(findings, sources.values(), waiving_labels(fleet.services)))


def heard(answer: Mapping[str, Any], host: str) -> list[report.Item]:
    """The findings that a host's module returned, as this collection would say them: a host may answer anything.

    Raises Refused where the answer is none.
    """
    said = answer.get("findings")
    if answer.get("failed") or not isinstance(said, list):
        reason = printable(answer.get("msg") or "no findings", 1000)
        raise Refused([Mistake(host, "an answer without findings", "what its engine runs", reason)], reason)
    findings = [
        Finding(
            item["rule"],
            str(item.get("message") or ""),
            str(item.get("fix") or ""),
            stack=str(item.get("stack") or ""),
            service=str(item.get("service") or ""),
        )
        for item in said[:_MOST_HEARD]
        if isinstance(item, dict) and isinstance(item.get("rule"), str) and item["rule"] in RULES
    ]
    labels = answer.get("waivers")
    waivers = [
        Waiving(
            str(item.get("stack") or ""),
            str(item.get("service") or ""),
            str(item.get("rule") or ""),
            Text(str(item.get("reason") or "")),
        )
        for item in (labels if isinstance(labels, list) else ())[:_MOST_HEARD]
        if isinstance(item, dict)
    ]
    return [dict(item, host=host) for item in report.as_data(apply_waivers(findings, (), waivers))]


def result(items: Sequence[report.Item], params: Mapping[str, Any], write: bool) -> dict[str, Any]:
    """The task's result. write: whether the SARIF file is written; `failed` is there where it fails."""
    found = report.counts(items)
    said: dict[str, Any] = {
        "changed": False,
        "findings": items,
        "counts": found,
        "text": report.as_lines(items),
        "msg": report.summary(items),
    }
    if params["sarif"] and write:
        write_sarif(params["sarif"], items)
    failing = () if params["fail_on"] == NEVER else SEVERITIES[: SEVERITIES.index(params["fail_on"]) + 1]
    if any(found[severity] for severity in failing):
        said["failed"] = True
        said["msg"] = "\n".join([f"The stacks do not keep the rules: {said['msg']}."] + said["text"])
    return said


def _about_sources(tree: Tree, stack: str) -> Iterator[Finding]:
    """What is to be said of the files themselves."""
    for source in tree.sources.values():
        yield from _about_keys(source, stack)
        for name, place in source.unset.items():
            yield Finding(
                "BT021",
                f"variable {name} has no value and no default",
                f"give it in environment, or write ${{{name}:-default}}",
                place,
                stack,
            )
        for key, place, first in source.duplicates:
            message = f"{printable(key, 100)} stands twice in one mapping; first on line {first}"
            yield Finding("BT022", message, "remove one of the two", place, stack)


def _about_keys(source: Source, stack: str) -> Iterator[Finding]:
    for problem in islice(problems(source.root), _MOST_PROBLEMS):
        path = problem.path.split(".")
        service = path[1].partition("[")[0] if path[0] == "services" and len(path) > 2 else ""
        where = printable(problem.path, 200)
        if problem.unknown:
            close = get_close_matches(problem.got[:100], problem.expected, 1)
            fix = f"write {close[0]}" if close else "remove it, or begin its name with x-"
            message = f"Compose knows no {where}"
            yield Finding("BT025", message, fix, problem.place, stack, service)
        else:
            expected = " or ".join(problem.expected)
            message = f"{where} is {problem.got}; Compose takes {expected} there"
            yield Finding("BT000", message, f"write {expected}", problem.place, stack, service)


def _about_named_files(tree: Tree, files: Files, paths: Sequence[str], stack: str) -> Iterator[Finding]:
    """Files that a deployment reads, as env files, configs and secrets, outside of where the stack may read."""
    home = os.path.dirname(paths[0]) if paths else ""
    for what, text, service in files_named(tree.root):
        if text.unset or not text.value:
            continue
        # Relative paths start at the first file, those of an included file beside that one.
        start = home if text.place.file in paths else os.path.dirname(text.place.file)
        if text.value.startswith("~") or not files.holds(os.path.join(start, text.value)):
            yield Finding(
                "BT026",
                f"{what} of {service or stack} is {printable(text.value, 200)}, outside of the stack's directory",
                "move it there, or name its directory in allowed_directories",
                text.place,
                stack,
                service,
            )
