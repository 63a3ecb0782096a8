# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""usage: show.py [--kills N] [--slices N] [--ee] [--only awx|mesh|kills]

What docs/awx.md and docs/scale.md say, on this machine: playbooks/awx.yml against the stand-in for AWX, twice; site.yml in slices over a mesh
of real receptor nodes, by one node and by two; nodes that die in the middle of a slice; and all of it taken away."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from awx_server.controller import Controller
from awx_server.drive import Awx, Run
from awx_server.serve import Front, Server
from mesh import Done, Mesh, run_isolated, run_slices
from mesh.death import Death
from mesh.fleet import SITE, Site, changed, site

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, table

BUILD = Path(__file__).parent / "build-ee"
VERSION = yaml.safe_load((Path(__file__).parents[2] / "galaxy.yml").read_text(encoding="utf-8"))["version"]
#: The port of the service that every host's rules have, to begin with.
FIRST = 9100
#: Columns of a terminal.
WIDTH = 150


def say(text: str = "") -> None:
    print(text, flush=True)


def head(text: str) -> None:
    say(f"\n\033[1m-- {text}\033[0m")


def expect(condition: bool, what: str) -> None:
    """What is shown is also held."""
    if not condition:
        raise SystemExit(f"make awx: {what}")


# -- AWX from code ---------------------------------------------------------------------------------------------------


@contextmanager
def awx(folder: Path, declared: dict[str, Any]) -> Iterator[Awx]:
    """A stand-in with everything in it, shown; at the end it is empty again."""
    with Server(Front(Controller.fresh())) as server:
        found = Awx(folder, server, declared)
        head(f"the stand-in for AWX 24.6.1 is at {server.url}; awx.yml makes everything")
        requests("made", found.play(awx_slices=4))
        say()
        templates(found)
        say()
        workflow(found)
        head("awx.yml --check")
        looked = found.play("--check", awx_slices=4)
        requests("looked at", looked)
        expect(not looked.writes, "the check wrote to AWX")
        head("awx.yml again")
        again = found.play(awx_slices=4)
        requests("again", again)
        expect(again.changed == 0, "the second run of awx.yml changed something")
        try:
            yield found
        finally:
            head("awx.yml -e awx_absent=true")
            requests("taken away", found.play(awx_absent=True))
            left = {
                plural: found.names(plural)
                for plural in ("job_templates", "workflow_job_templates", "projects", "inventories")
            }
            left = {
                plural: names for plural, names in left.items() if any(name.startswith("bulkhead") for name in names)
            }
            expect(not left, f"left in AWX: {left}")


def requests(what: str, run: Run) -> None:
    expect(run.status == 0, f"awx.yml ended with {run.status}:\n{run.said[-4000:]}")
    say(f"{what}: changed={run.changed}, {count(len(run.requests), 'request')}, {len(run.writes)} of which write")


def templates(found: Awx) -> None:
    """What AWX's list of templates shows, and what a person wants to know of each."""
    asked = {"limit": "limit", "job_slice_count": "slices", "tags": "tags"}
    rows = []
    for thing in sorted(found.store.all("job_templates"), key=lambda one: one.id):
        asks = [word for name, word in asked.items() if thing[f"ask_{name}_on_launch"]]
        asks += ["survey"] if thing["survey_enabled"] else []
        what = str(thing["playbook"]) + (f" of {thing['scm_branch']}" if thing["scm_branch"] else "")
        limit = f"only {thing['limit']}. " if thing["limit"] else ""
        rows.append(
            (
                str(thing["name"]),
                what,
                str(thing["job_type"]),
                str(thing["job_slice_count"]),
                ", ".join(asks) or "-",
                limit + str(thing["description"]),
            )
        )
    for line in table(("job template", "playbook", "type", "slices", "asks for", "what for"), rows, WIDTH):
        say(line)


def workflow(found: Awx) -> None:
    """The nodes in the order in which they run."""
    nodes = {node.id: node for node in found.store.all("workflow_job_template_nodes")}
    names = {number: str(node["identifier"]) for number, node in nodes.items()}
    led_to = {
        number for node in nodes.values() for way in ("success_nodes", "failure_nodes") for number in node.linked(way)
    }
    ordered = [number for number in nodes if number not in led_to]
    for number in ordered:
        ordered += [
            after
            for way in ("success_nodes", "failure_nodes")
            for after in nodes[number].linked(way)
            if after not in ordered
        ]
    rows = [
        (
            names[number],
            *(
                ", ".join(names[after] for after in nodes[number].linked(way)) or "-"
                for way in ("success_nodes", "failure_nodes")
            ),
        )
        for number in ordered
    ]
    for line in table(("workflow bulkhead change", "where it succeeds", "where it fails"), rows, WIDTH):
        say(line)


# -- slices over a mesh ----------------------------------------------------------------------------------------------


def shown(done: Done) -> None:
    expect(done.ok, "a slice failed\n" + "\n".join([*done.said, *(one.stdout[-4000:] for one in done.slices)]))
    rows = []
    for one in done.slices:
        totals = one.totals
        rows.append(
            (
                str(one.number + 1),
                ", ".join(one.tried),
                one.status,
                f"{one.seconds:.0f}",
                str(sum(totals.get("changed", {}).values())),
                ", ".join(one.hosts),
            )
        )
    for line in table(("slice", "ran on", "ended", "seconds", "changed", "its hosts"), rows, WIDTH):
        say(line)
    say(f"{done.seconds:.0f} s in all")


def converged(found: Site, mesh: Mesh, slices: int, folder: Path) -> None:
    head(f"site.yml on {count(len(found.hosts), 'new host')}, in {slices} slices by two nodes")
    found.declare(FIRST)
    shown(run_slices(mesh, found.job(), slices, folder / "first"))


def processors() -> list[int]:
    """What the processors of this machine have done since it was booted, in ticks: all of it, and what was idle."""
    ticks = [int(text) for text in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    return [sum(ticks), ticks[3] + ticks[4]]


def timed(found: Site, mesh: Mesh, slices: int, folder: Path) -> None:
    """By one node, and by two; and how busy that kept the processors, which the nodes share with all hosts."""
    taken = {}
    for nodes in (("exec1",), ("exec1", "exec2")):
        found.declare(FIRST + len(nodes))
        head(f"a service has another port: {count(len(nodes), 'node')}")
        before = processors()
        done = run_slices(mesh, found.job(), slices, folder / f"by{len(nodes)}", nodes)
        every, idle = (after - first for after, first in zip(processors(), before, strict=True))
        shown(done)
        taken[len(nodes)] = done.seconds
        say(f"{os.cpu_count()} processors, {100 * (every - idle) / every:.0f} % busy")
    say(
        f"two nodes took {taken[2] / taken[1]:.2f} of the time of one; each has one core, which it shares with the hosts"
    )


def killed(found: Site, mesh: Mesh, slices: int, kills: int, folder: Path) -> None:
    """Each time another change, and a node that dies at another moment of it. Every host must have its rules, byte for byte."""
    seed = random.randrange(1 << 20)
    before, port = found.rules(), found.port
    for number in range(kills):
        death = Death.drawn(mesh, seed + number)
        head(f"kill {number + 1} of {kills}: {death} (seed {seed + number})")
        found.declare(9200 + number)
        done = run_slices(mesh, found.job(), slices, folder / f"kill{number}", watch=death)
        death.restart()
        for line in done.said:
            say(f"  {line}")
        expect(death.slice is not None, "no node died")
        shown(done)
        # As a packet's own port, and as that of a published one.
        wanted = {name: rules.replace(f"port {port} ", f"port {found.port} ") for name, rules in before.items()}
        expect(found.rules() == wanted, "not converged: a host has other rules")
        say("converged: all hosts have the rules of the site, byte for byte")
    again = found.whole()
    expect(again.returncode == 0 and not any(changed(again.stdout).values()), f"not converged:\n{again.stdout[-4000:]}")
    head(f"{kills} of {kills} ended converged; a run over all hosts changes nothing")


def isolated(found: Site, mesh: Mesh, folder: Path) -> None:
    """In the execution environment, as AWX does it."""
    image = f"bulkhead/ee:{VERSION}"
    head(f"execution-environment.yml, built as {image} without a registry")
    done = subprocess.run([BUILD, image], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"it is not built:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    say(subprocess.run(["docker", "images", image], capture_output=True, text=True, check=True).stdout.rstrip())
    inside = ["docker", "run", "--rm", image, "ansible-galaxy", "collection", "list"]
    say(subprocess.run(inside, capture_output=True, text=True, check=True).stdout.rstrip())
    found.declare(9150)
    head("site.yml in a container of it, by ansible-runner with process isolation")
    one = run_isolated(mesh, found.job(collections=None), image, folder / "isolated")
    expect(one.status == "successful", f"{one.status}\n{one.stdout[-4000:]}")
    rows = [(host, str(one.totals["changed"].get(host, 0)), str(one.totals["ok"][host])) for host in one.hosts]
    for line in table(("host", "changed", "ok"), rows, WIDTH):
        say(line)
    expect(all("dport 9150" in rules for rules in found.rules().values()), "the hosts have other rules")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--only", choices=["awx", "mesh", "kills"], help="leave the rest out")
    parser.add_argument(
        "--ee", action="store_true", help="build the execution environment, and run site.yml in it as well"
    )
    options = parser.parse_args()
    # Everything is taken away also where it is stopped from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="bulkhead-awx-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if options.only not in ("mesh", "kills"):
            stack.enter_context(awx(folder, SITE))
        if options.only != "awx":
            found = stack.enter_context(site())
            mesh = stack.enter_context(Mesh(["exec1", "exec2"], pinned=True))
            converged(found, mesh, options.slices, folder)
            if options.only != "kills":
                timed(found, mesh, options.slices, folder)
            if options.ee:
                isolated(found, mesh, folder)
            killed(found, mesh, options.slices, options.kills, folder)
    head("nothing is left: no host, no network, no node, nothing in AWX")
    return 0


if __name__ == "__main__":
    sys.exit(main())
