# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long ufw_ruleset takes on a host, beside community.general.ufw in a loop over the same rules on the same host.

    .venv/bin/python tests/benchmark/ufw_ruleset.py --host bulkhead-monitor --rules 100 200 1000 --peer 100

THE HOST'S RULES ARE REPLACED. Both modules run through Ansible with pipelining; what is measured is the module on the
host, from the start of its Python to its end, by a wrapper around the interpreter: not the controller, not the
connection. The floor is what nothing can go below: Python's start and a bare iptables-restore of both files.
A figure of the peer for another number of rules than --peer is extrapolated, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = "/root/bulkhead-timed-python"
TIMES = "/root/bulkhead-times"
SCRIPT = (
    """#!/bin/sh
s=$(date +%%s%%N)
/usr/bin/python3 "$@"
r=$?
e=$(date +%%s%%N)
echo $((e - s)) >> %s
exit $r
"""
    % TIMES
)


def rules_of(count: int) -> list[dict]:
    """Rules that both modules understand: a third for both families, the others for an IPv4 network each."""
    rules = []
    for number in range(count):
        rule = {"rule": "allow", "proto": "tcp", "to_port": str(1000 + number), "comment": "rule %d" % number}
        if number % 3:
            rule["from_ip"] = "10.%d.%d.0/24" % (number // 250, number % 250)
        rules.append(rule)
    return rules


class Bench:
    """One host and the way to it."""

    def __init__(self, host: str, connection: str, folder: str) -> None:
        self.host, self.connection, self.folder = host, connection, Path(folder)

    def shell(self, script: str) -> str:
        """A shell script on the host; its output."""
        return self.play([{"ansible.builtin.raw": script}], interpreter="/usr/bin/python3")

    def play(self, tasks: list[dict], interpreter: str = WRAPPER, **variables: object) -> str:
        """Run tasks on the host; the output of the last one where it is a raw one."""
        playbook = self.folder / "play.json"
        output = self.folder / "out"
        keep = {
            "ansible.builtin.copy": {"content": "{{ out.stdout | default('') }}", "dest": str(output)},
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        }
        tasks = [*tasks[:-1], {**tasks[-1], "register": "out"}, keep]
        play = {
            "hosts": "all",
            "gather_facts": False,
            "tasks": tasks,
            "vars": {**variables, "ansible_python_interpreter": interpreter},
        }
        playbook.write_text(json.dumps([play]))
        argv = [
            Path(sys.executable).parent / "ansible-playbook",
            "-i",
            self.host + ",",
            "-c",
            self.connection,
            playbook,
        ]
        done = subprocess.run(
            argv, cwd=ROOT, env={**os.environ, "ANSIBLE_PIPELINING": "1"}, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
        return output.read_text()

    def timed(self, tasks: list[dict], **variables: object) -> float:
        """Seconds that the tasks' modules ran on the host, all together."""
        self.shell("rm -f " + TIMES)
        self.play(tasks, **variables)
        return sum(int(line) for line in self.shell("cat " + TIMES).split()) / 1e9

    def install(self) -> None:
        """The wrapper around Python that writes down how long it ran."""
        self.shell("cat > %s << 'END'\n%sEND\nchmod 755 %s" % (WRAPPER, SCRIPT, WRAPPER))

    def remove(self) -> None:
        """Leave no trace but the rules."""
        self.shell("rm -f %s %s" % (WRAPPER, TIMES))


OURS = {"bulkhead.tiers.ufw_ruleset": {"purge": True, "rules": "{{ rules }}"}}
PEER = {
    "community.general.ufw": {
        key: "{{ item.%s | default(omit) }}" % key for key in ("rule", "proto", "from_ip", "to_port", "comment")
    },
    "loop": "{{ rules }}",
    "loop_control": {"label": ""},
}
FLOOR = (
    "now() { date +%s%N; }; s=$(now); python3 -c 'import json'; iptables-restore -n < /etc/ufw/user.rules; "
    "ip6tables-restore -n < /etc/ufw/user6.rules; e=$(now); echo $((e - s))"
)


def best(bench: Bench, repeat: int, count: int, clear: bool) -> float:
    """The median of several runs, each from an empty ruleset if ``clear``."""
    times = []
    for dummy in range(repeat):
        if clear:
            bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
        times.append(bench.timed([OURS], rules=rules_of(count)))
    return sorted(times)[len(times) // 2]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="a host whose rules may be replaced")
    parser.add_argument("--connection", default="community.docker.docker")
    parser.add_argument("--rules", type=int, nargs="+", default=[100, 200, 1000])
    parser.add_argument("--peer", type=int, default=100, help="rules that the peer really does; 0 leaves it out")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each figure of ours, of which the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.host, options.connection, folder)
        bench.install()
        bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
        peer = {}
        if options.peer:
            for name in ("apply", "no change"):
                peer[name] = bench.timed([PEER], rules=rules_of(options.peer))
        print(
            "%6s  %-10s %12s %12s %24s %14s"
            % ("rules", "", "ufw_ruleset", "the floor", "community.general.ufw", "times faster")
        )
        for count in options.rules:
            figures = {
                "apply": best(bench, options.repeat, count, True),
                "no change": best(bench, options.repeat, count, False),
            }
            floor = sorted(int(bench.shell(FLOOR)) for dummy in range(options.repeat))[options.repeat // 2] / 1e9
            for name, seconds in figures.items():
                print(
                    "%6d  %-10s %10.3f s %10.3f s %s"
                    % (count, name, seconds, floor, beside(peer.get(name), options.peer, count, seconds))
                )
        bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
        bench.remove()


def beside(peer: float | None, measured: int, count: int, seconds: float) -> str:
    """The peer's figure and the ratio."""
    if peer is None:
        return ""
    total = peer * count / measured
    note = "" if count == measured else "  (extrapolated from %d)" % measured
    return "%22.1f s %13.0fx%s" % (total, total / seconds, note)


if __name__ == "__main__":
    main()
