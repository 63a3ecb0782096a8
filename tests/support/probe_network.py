"""Three hosts and their router in network namespaces, for tests of the prober and the listener.

fp-a 10.201.1.10 --- fp-r --- fp-b 10.201.2.10
                       |
                       +----- fp-c 10.201.3.10

and the same in IPv6: fd00:201:1::10 and so on, the router at ::1 of each.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.controls import controls_of, silent
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import parse_listening, parse_result

ROOT = Path(__file__).parents[2]
DRIVE = ROOT / "tests" / "integration" / "flow_probe" / "drive.py"
A, B, C = "10.201.1.10", "10.201.2.10", "10.201.3.10"
HOSTS = {"a": A, "b": B, "c": C}
A6, B6, C6 = "fd00:201:1::10", "fd00:201:2::10", "fd00:201:3::10"
HOSTS6 = {"a": A6, "b": B6, "c": C6}
#: What a listener serves, by IP version.
RANGES = {4: ["10.201.0.0/16"], 6: ["fd00:201::/32"]}
PORTS = (1000, 1001, 1002, 1003, 1004, 1005, 1006, 2222, 4789)


def pythons():
    """The oldest Python that is supported and the newest at hand; those between them run on the lab's hosts."""
    found = [python_of(minor) for minor in (9, 13)]
    return list(filter(None, found)) or [shutil.which("python3")]


def python_of(minor):
    """Python 3.`minor`, on the path or among pyenv's versions."""
    of_pyenv = os.pathsep.join(str(path) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin"))
    return shutil.which(f"python3.{minor}", path=of_pyenv or None)


def run(command):
    subprocess.run(command, shell=True, check=True)


def remove():
    for name in "abcr":
        subprocess.run(["ip", "netns", "delete", f"fp-{name}"], stderr=subprocess.DEVNULL, check=False)


class Driver:
    """The module's three modes, run inside a host's namespace."""

    runs = itertools.count()

    def __init__(self, python):
        self.python = python
        self.token = f"run{next(self.runs)}"

    def begin(self, host, **asked):
        """Start a step and return its process."""
        asked.setdefault("token", self.token)
        asked.setdefault("key", f"the key of {host}")
        process = subprocess.Popen(
            ["ip", "netns", "exec", f"fp-{host}", self.python, str(DRIVE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / ".venv" / "collections"), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def end(process):
        """What a step returned."""
        output, _none = process.communicate(timeout=60)
        assert process.returncode == 0
        return json.loads(output)

    def step(self, host, **asked):
        return self.end(self.begin(host, **asked))

    def listen(self, name, ports=PORTS, **more):
        return self.step(
            name, step="listen", name=name, ports=[(proto, port) for proto in ("tcp", "udp") for port in ports], **more
        )

    def probe(self, name, *jobs, again=False, **more):
        """jobs: (proto, dest, port, {...}); a listener is expected unless a job says otherwise. Returns the results.

        again: whether all of them are to be answered, so that silence is asked again, as a proof does: on a loaded machine
        an answer, or that of neighbour discovery before it, is late.
        """
        names = {address: host for hosts in (HOSTS, HOSTS6) for host, address in hosts.items()}
        full = [
            {
                "id": str(number),
                "proto": proto,
                "source": (HOSTS6 if ":" in dest else HOSTS)[name],
                "dest": dest,
                "port": port,
                "host": names.get(dest),
                "listening": True,
                "again": again,
                **(extra[0] if extra else {}),
            }
            for number, (proto, dest, port, *extra) in enumerate(jobs)
        ]
        return self.step(name, step="probe", jobs=full, **more)

    def silent(self, name, said, ports=PORTS):
        """{socket: why} of the sockets that do not answer their own host, as a proof asks for them."""
        key = f"the key of {name}".encode()
        every = [(proto, port) for proto in ("tcp", "udp") for port in ports]
        jobs = controls_of(name, 0, parse_listening(said), every)
        results = self.step(name, step="probe", jobs=[job.to_dict() for job in jobs])
        return silent(
            (job, checked(job, parse_result(result), key, self.token))
            for job, result in zip(jobs, results, strict=True)
        )

    def verdicts(self, name, *jobs, **more):
        return [result["verdict"] for result in self.probe(name, *jobs, **more)]

    def stop(self, name):
        return self.step(name, step="stop", peers=[*HOSTS.values(), *HOSTS6.values()])


def heard(flows):
    """{(source, dest, proto): [ports]} of what a listener heard."""
    return {(flow["source"], flow["dest"], flow["proto"]): flow["ports"] for flow in flows}
