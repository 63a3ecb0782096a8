# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stack_lint says of Compose and stack files that other people wrote: counts by rule, over a directory.

usage: PYTHONPATH=.venv/collections python tests/benchmark/stack_lint_corpus.py DIRECTORY [--rule BT001 ...]

Every YAML file below DIRECTORY with a top-level key `services` is a stack, without a site. Swarm stacks are those with an
overlay, or with stack or swarm in the name of their file; those of one directory are checked together, as they share a
Swarm, every other file by itself. What they include may lie anywhere below DIRECTORY, and is no stack by itself. A finding
counts once, in however many stacks its file is. With --rule the findings of these rules (all: of every one) are printed,
to be judged by hand.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import time
from collections import Counter

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.files import Files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import Tree
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import NotCompose
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS

_SERVICES = re.compile(r"^services:\s*(#.*)?$", re.MULTILINE)
_SWARM = re.compile(r"^\s+driver: overlay", re.MULTILINE)
#: What is true of every file that has it, and says little of how well the others are found.
MECHANICAL = ("BT014", "BT021")


def corpus(directory: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """(file, its text) of the Compose files."""
    found = []
    for path in sorted(directory.rglob("*.y*ml")):
        if path.is_file() and not path.is_symlink():
            text = path.read_text(errors="replace")
            if _SERVICES.search(text):
                found.append((path, text))
    return found


def parts(directory: pathlib.Path, files: list[tuple[pathlib.Path, str]]) -> set[str]:
    """The files that others include or extend."""
    found: set[str] = set()
    for path, _text in files:
        try:
            tree = Tree([str(path)], {}, Files([str(path)], [str(directory)]).read)
        except NotCompose:
            continue
        found.update(file for file in tree.sources if file != str(path))
    return found


def calls(files: list[tuple[pathlib.Path, str]]) -> list[list[dict[str, object]]]:
    """The stacks of each call: a Compose file by itself, the Swarm stacks of one directory together."""
    found: list[list[dict[str, object]]] = []
    swarms: dict[pathlib.Path, list[dict[str, object]]] = {}
    for path, text in files:
        if _SWARM.search(text) or any(word in path.name.lower() for word in ("stack", "swarm")):
            swarms.setdefault(path.parent, []).append({"name": path.stem, "kind": "swarm", "files": [str(path)]})
        else:
            found.append([{"name": path.parent.name.lower(), "kind": "compose", "files": [str(path)]}])
    return found + list(swarms.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rule", action="append", default=[])
    asked = parser.parse_args()
    files = corpus(asked.directory)
    taken = parts(asked.directory, files)
    files = [(path, text) for path, text in files if str(path) not in taken]
    kinds, found, began = Counter(), {}, time.perf_counter()
    for stacks in calls(files):
        kinds.update(stack["kind"] for stack in stacks)
        for item in lint_files({**DEFAULTS, "stacks": stacks, "allowed_directories": [str(asked.directory)]}):
            found.setdefault(tuple(item[key] for key in ("rule", "file", "line", "service")), item)
    seconds = time.perf_counter() - began
    for item in found.values():
        if item["rule"] in asked.rule or "all" in asked.rule:
            print(f"{item['file']}:{item['line']}: {item['rule']} {item['message']}; fix: {item['fix']}")
    print(f"{len(files)} files ({', '.join(f'{count} {kind}' for kind, count in kinds.items())}) in {seconds:.1f} s")
    rules = Counter(rule for rule, _file, _line, _service in found)
    with_finding = Counter(rule for rule, _file in {(rule, file) for rule, file, _line, _service in found})
    for rule in sorted(rules):
        print(f"{rule} {RULES[rule].name:24} {rules[rule]:5} findings in {with_finding[rule]:4} files")
    told = sum(count for rule, count in rules.items() if rule not in MECHANICAL)
    print(f"{sum(rules.values())} findings, {told} of them without {' and '.join(MECHANICAL)}")


if __name__ == "__main__":
    main()
