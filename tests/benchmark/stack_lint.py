# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who finds what: stack_lint, compose-lint (PyPI) and dclint (npm) on the same files.

usage: PYTHONPATH=.venv/collections python tests/benchmark/stack_lint.py

The files are the stacks of the three reference architectures, and each of them with one mistake put into it (those of
the unit tests). A peer finds a mistake if it says something of the changed file that it does not say of the good one.
The peers are installed into a temporary directory, and not measured where that fails.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import Counter

from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import (
    CHECKOUT,
    REFERENCES,
    reference,
)
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.test_stack_references import TWINS

#: The mistakes that were seen to be missed before stack_lint was written.
MISSED = 5
PEERS = ("compose-lint", "dclint")


def run(command):
    return subprocess.run(command, check=False, capture_output=True, text=True)


def install(directory):
    """{name: command} of the peers that could be installed."""
    found = {}
    venv = directory / "venv"
    run([sys.executable, "-m", "venv", venv])
    if run([venv / "bin/pip", "install", "--quiet", "compose-lint"]).returncode == 0:
        found["compose-lint"] = [venv / "bin/compose-lint", "check", "--format", "json"]
    try:
        if run(["npm", "install", "--silent", "--prefix", directory / "npm", "dclint"]).returncode == 0:
            found["dclint"] = [directory / "npm/node_modules/.bin/dclint", "-f", "json"]
    except FileNotFoundError:
        pass
    return found


def said(name, command, file):
    """Counter of the rules that a peer reports of a file."""
    output = json.loads(run([*command, file]).stdout or "null")
    if name == "compose-lint":
        return Counter(item["rule_id"] for item in output["findings"])
    # Its rules of style speak of the order of keys and of quotes, whatever they stand for.
    return Counter(item["rule"] for part in output for item in part["messages"] if item["category"] != "style")


def main():
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        peers = install(work)
        for name in PEERS:
            if name not in peers:
                print(f"{name} could not be installed")
        score, seconds = Counter(), Counter()
        print(f"{'mistake':62} {'stack_lint':20} {'  '.join(peers)}")
        for index, (mistake, (site, file, old, new, _rule, _line)) in enumerate(TWINS.items()):
            began = time.perf_counter()
            items, edited = reference(site, work, [(file, old, new)])
            seconds["stack_lint"] += time.perf_counter() - began
            rules = sorted({item["rule"] for item in items})
            score["stack_lint"] += bool(rules)
            bad, good = work / file, CHECKOUT / "inventories/stacks" / site / file
            bad.write_text(edited[file])
            cells = []
            for name, command in peers.items():
                began = time.perf_counter()
                after = said(name, command, bad)
                seconds[name] += time.perf_counter() - began
                more = after - said(name, command, good)
                score[name] += bool(more)
                cells.append(" ".join(sorted(more)) or "-")
            mark = "*" if index < MISSED else " "
            print(f"{mark}{mistake:61} {' '.join(rules):20} {'  |  '.join(cells)}")
        print("* missed by the peers when stack_lint was begun\n")
        for name in ("stack_lint", *peers):
            speed = seconds[name] / len(TWINS) * 1000
            print(f"{name:13} finds {score[name]:2} of {len(TWINS)}, {speed:.0f} ms a file")
        clean = sum(len(reference(name)[0]) for name in REFERENCES)
        print(f"stack_lint on the good files: {clean} findings")


if __name__ == "__main__":
    main()
