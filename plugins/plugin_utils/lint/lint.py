# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of stack_lint: read the files, check, waive; and the result of the whole."""

from __future__ import annotations

import os

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks import report
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import (
    NEVER,
    read_architecture,
    read_environment,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.catalogue import SEVERITIES
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import SWARM, Finding
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.rules import check
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.waivers import apply_waivers
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import Tree
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.read import read_stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.sarif import write_sarif
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import NotCompose
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.swarm import about_swarm_files


def lint_files(params):
    """The findings, as data, of all stacks of the arguments together; raises Refused for arguments that are wrong."""
    architecture, environment = read_architecture(params), read_environment(params)
    stacks, sources, findings = [], {}, []
    for item in params["stacks"]:
        # Compose sets this one itself.
        known = {"COMPOSE_PROJECT_NAME": item["name"], **environment}
        try:
            tree = Tree([os.path.join(params["directory"] or "", file) for file in item["files"]], known, _read)
            stacks.append(read_stack(item["name"], item["kind"], tree))
        except NotCompose as error:
            message = f"{report.shown(error.place.file)} is no Compose file that can be read: {error}"
            fix = "mend the file, or name another one"
            findings.append(Finding("BT000", message, fix, error.place, item["name"]))
            continue
        sources.update(tree.sources)
        findings += _about_sources(tree, item["name"])
        if item["kind"] == SWARM:
            findings += about_swarm_files(tree.sources.values(), item["name"])
    fleet = Fleet(stacks, architecture)
    findings += check(fleet)
    return report.as_data(apply_waivers(findings, sources.values(), fleet.services))


def result(items, params, write):
    """The task's result. write: whether the SARIF file is written; `failed` is there where it fails."""
    found = report.counts(items)
    said = {
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


def _read(file):
    with open(file, encoding="utf-8-sig") as opened:
        return opened.read()


def _about_sources(tree, stack):
    """What is to be said of the files themselves."""
    for source in tree.sources.values():
        for name, place in source.unset.items():
            yield Finding(
                "BT021",
                f"variable {name} has no value and no default",
                f"give it in environment, or write ${{{name}:-default}}",
                place,
                stack,
            )
        for key, place, first in source.duplicates:
            message = f"{key} stands twice in one mapping; first on line {first}"
            yield Finding("BT022", message, "remove one of both", place, stack)
