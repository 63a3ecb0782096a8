# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Slices over the nodes of a mesh: each node has one at a time, and one that died with its node goes to another node."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from .job import Job, cut
from .nodes import WORK, Mesh

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: Seconds between two looks at whether a node is still there.
_PAUSE = 0.5


@dataclass
class Slice:
    """One slice. tried: the nodes that it ran on; lost: those of them that died meanwhile; status: ansible-runner's
    last word."""

    number: int
    hosts: list[str]
    tried: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    status: str = "pending"
    output: Optional[Path] = None
    seconds: float = 0.0

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of its last run that the control node has, in order."""
        found = []
        for path in self.output.glob("artifacts/**/job_events/*.json") if self.output else ():
            try:
                found.append(json.loads(path.read_text()))
            except ValueError:
                continue  # it is being written
        return sorted(found, key=lambda event: int(event["counter"]))

    @property
    def stdout(self) -> str:
        """What its last run printed, without colors."""
        texts = (
            [path.read_text(errors="replace") for path in self.output.glob("artifacts/**/stdout")]
            if self.output
            else []
        )
        return _COLORS.sub("", "".join(texts))

    @property
    def totals(self) -> dict[str, dict[str, int]]:
        """{what (ok, changed, failures, dark ...): {host: count}} of its last run."""
        stats = [event["event_data"] for event in self.events if event["event"] == "playbook_on_stats"]
        return {key: value for key, value in (stats[-1] if stats else {}).items() if isinstance(value, dict)}

    @property
    def artifacts(self) -> dict[str, Any]:
        """What its last run has handed on."""
        return dict(self.totals.get("artifact_data", {}))


@dataclass
class Done:
    """How it ended. said: what an operator reads of it, line by line."""

    slices: list[Slice]
    said: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        return all(one.status == "successful" for one in self.slices)


class _Run:
    """One sliced job; a thread for each node takes slices from what waits."""

    def __init__(
        self, mesh: Mesh, job: Job, slices: Sequence[Slice], folder: Path, watch: Callable[[Slice, str], None]
    ) -> None:
        self.mesh, self.job, self.folder, self.watch = mesh, job, folder, watch
        self.change = threading.Condition()
        self.slices = len(slices)
        self.waiting = list(slices)
        self.running = 0
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def work(self, node: str) -> None:
        """What one node does, until no slice is left or the node is gone."""
        while True:
            with self.change:
                # One that runs elsewhere may come back.
                while not self.waiting and self.running:
                    self.change.wait()
                if not self.waiting:
                    return
                one = self.waiting.pop(0)
                self.running += 1
            alive = False
            try:
                alive = self.run(one, node)
            finally:
                with self.change:
                    self.running -= 1
                    self.change.notify_all()
            if not alive:
                return

    def run(self, one: Slice, node: str) -> bool:
        """One slice on one node; whether the node lives."""
        one.tried.append(node)
        began = time.monotonic()
        place = self.folder / f"slice{one.number + 1}-{len(one.tried)}"
        # With one slice AWX makes a job as any other.
        self.job.write(place / "private", one.hosts, one.number if self.slices > 1 else None)
        one.output = place / "out"
        unit = self.submit(place / "private", node)
        status = self.follow(one, unit, node) if unit else None
        one.seconds = time.monotonic() - began
        if status is not None:
            one.status = status
            self.say(f"slice {one.number + 1} on {node}: {status} ({', '.join(one.hosts)})")
            return True
        one.lost.append(node)
        one.status = "lost"
        self.say(f"slice {one.number + 1} on {node}: LOST with its node, runs again elsewhere ({', '.join(one.hosts)})")
        with self.change:
            self.waiting.append(one)
        return self.mesh.is_up(node)

    def submit(self, private: Path, node: str) -> Optional[str]:
        """The unit's id; None where the node could not be given it."""
        with subprocess.Popen(
            self.mesh.runner("transmit", private, "--playbook", "play.yml"), stdout=subprocess.PIPE
        ) as sent:
            done = subprocess.run(
                self.mesh.ctl("work", "submit", WORK, "--node", node, "--payload", "-"),
                stdin=sent.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
        found = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.startswith("Unit ID")]
        return found[0] if found else None

    def follow(self, one: Slice, unit: str, node: str) -> Optional[str]:
        """ansible-runner's status of a unit at its end; None where it has none because the node is gone."""
        assert one.output is not None
        results = subprocess.Popen(self.mesh.ctl("work", "results", unit), stdout=subprocess.PIPE)
        process = subprocess.Popen(
            self.mesh.runner("process", one.output), stdin=results.stdout, stdout=subprocess.DEVNULL
        )
        assert results.stdout is not None
        results.stdout.close()
        gone = False
        while process.poll() is None and not gone:
            self.watch(one, node)
            gone = not self.mesh.is_up(node)
            time.sleep(_PAUSE)
        if gone:
            results.kill()
        results.wait()
        process.wait()
        # What a dead node had of it cannot be taken away there; the control node forgets it.
        subprocess.run(
            self.mesh.ctl("work", "release", *(["--force"] if gone else []), unit), capture_output=True, check=False
        )
        ends = [path.read_text().strip() for path in one.output.glob("artifacts/**/status")]
        return ends[0] if ends and ends[0] in ("successful", "failed", "timeout", "canceled") else None


def run_isolated(mesh: Mesh, job: Job, image: str, folder: Path) -> Slice:
    """Run a job on all hosts in a container of an execution environment, as a node of AWX's does; what it comes to."""
    one = Slice(0, job.hosts, output=folder)
    began = time.monotonic()
    # As a job on a node: from the node's own addresses.
    command = mesh.runner(
        *("run", job.write(folder, job.hosts), "--playbook", "play.yml", "--quiet"),
        *("--process-isolation", "--process-isolation-executable", "docker"),
        *("--container-image", image, "--container-option=--network=host"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    one.seconds = time.monotonic() - began
    one.status = "successful" if done.returncode == 0 else f"failed: {done.stderr[-1000:]}"
    return one


def run_slices(
    mesh: Mesh,
    job: Job,
    count: int,
    folder: Path,
    nodes: Sequence[str] = (),
    watch: Callable[[Slice, str], None] = lambda _one, _node: None,
) -> Done:
    """Run a job in slices over nodes (all of the mesh's). watch is called with a slice that runs, and its node, now and then."""
    slices = [Slice(number, hosts) for number, hosts in enumerate(cut(job.hosts, count))]
    run = _Run(mesh, job, slices, folder, watch)
    began = time.monotonic()
    threads = [threading.Thread(target=run.work, args=(node,)) for node in nodes or mesh.nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in slices:
        if one.status in ("pending", "lost"):
            run.say(f"slice {one.number + 1}: no node is left to run it ({', '.join(one.hosts)})")
    return Done(slices, run.said, time.monotonic() - began)
