# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long ufw_ruleset takes on a host, beside community.general.ufw in a loop over the same rules on the same host.

    .venv/bin/python tests/benchmark/ufw_ruleset.py [--release trixie] [--rules 100 200 1000] [--peer 200] [--host NAME]
    .venv/bin/python tests/benchmark/ufw_ruleset.py --large 10000 [--release trixie] [--repeat 3]

It makes a host of its own for each release, or takes a named one, WHOSE RULES ARE REPLACED. Both modules run through
Ansible with pipelining; what is measured is the module on the host, from the start of its Python to its end, by a wrapper
around the interpreter: not the controller, not the connection. The host is reached from below its network (docker), so
that no confirmation is waited for. A figure of the peer for another number of rules than --peer is extrapolated, and
says so.

Two floors stand beside it: Python's start and a bare iptables-restore of both files (iptables-save where nothing
changes), and the same with a module of Ansible's that does nothing in the place of Python's start, below which no module
can be. Exit status 1 where a target is missed; which ones is said at the end.

With --large it is about rulesets as long as ufw can hold: seconds, seconds of ufw's lock, and memory; see ufw_large.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import ufw_large
from hosts import RELEASES, fleet

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


EMPTY = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}).exit_json()
"""


class Bench:
    """One host and the way to it."""

    def __init__(self, host: str, connection: str, folder: str) -> None:
        self.host, self.connection, self.folder = host, connection, Path(folder)
        (self.folder / "bulkhead_empty.py").write_text(EMPTY)

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
        environment = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_LIBRARY": str(self.folder)}
        done = subprocess.run(argv, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
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
# Nanoseconds of: Python's start, a bare restore of both files, a bare save of both tables.
BARE = (
    "now() { date +%s%N; }; a=$(now); python3 -c 'import json'; b=$(now); iptables-restore -n < /etc/ufw/user.rules; "
    "ip6tables-restore -n < /etc/ufw/user6.rules; c=$(now); iptables-save -t filter >/dev/null; "
    "ip6tables-save -t filter >/dev/null; d=$(now); echo $((b - a)) $((c - b)) $((d - c))"
)
APPLY, NO_CHANGE = "apply", "no change"
# Times faster than the peer, with as many rules; seconds with as many rules; times the higher of the two floors.
FASTER = {(200, APPLY): 100, (200, NO_CHANGE): 200}
LONGEST = {(1000, APPLY): 2.0, (1000, NO_CHANGE): 0.3}
FLOORS = 2.0


class Row(NamedTuple):
    """A line of the table; seconds. ``empty_floor`` is the floor with an empty module of Ansible's."""

    rules: int
    what: str
    seconds: float
    floor: float
    empty_floor: float
    peer: float | None
    extrapolated: bool

    def text(self) -> str:
        line = "%6d  %-10s %9.3f s %8.3f s %5.1fx %10.3f s %5.1fx" % (
            self.rules, self.what, self.seconds, self.floor, self.seconds / self.floor,
            self.empty_floor, self.seconds / self.empty_floor,
        )  # fmt: skip
        if self.peer is None:
            return line
        note = "  (extrapolated)" if self.extrapolated else ""
        return line + " %18.1f s %13.0fx%s" % (self.peer, self.peer / self.seconds, note)

    def missed(self) -> list[str]:
        """The targets that this line misses."""
        name, missed = "%d rules, %s: " % (self.rules, self.what), []
        times = FASTER.get((self.rules, self.what))
        if times and self.peer is not None and self.peer / self.seconds < times:
            missed.append(name + "%.0f times faster than the peer, not %d" % (self.peer / self.seconds, times))
        longest = LONGEST.get((self.rules, self.what))
        if longest and self.seconds > longest:
            missed.append(name + "%.3f s, not %.1f" % (self.seconds, longest))
        if self.what == APPLY and self.seconds > FLOORS * self.empty_floor:
            times = self.seconds / self.empty_floor
            missed.append(name + "%.1f times an empty module and a bare restore, not %.0f" % (times, FLOORS))
        return missed


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def measure(bench: Bench, count: int, repeat: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Medians of the module's two times, the first from an empty ruleset, and the two floors of each. Every round takes
    all of them, so that a slow minute of the machine falls on all."""
    rounds = []
    for dummy in range(repeat):
        bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
        ours = [bench.timed([OURS], rules=rules_of(count)) for what in (APPLY, NO_CHANGE)]
        bare = [int(word) / 1e9 for word in bench.shell(BARE).split()]
        rounds.append([*ours, *bare, bench.timed([{"bulkhead_empty": {}}])])
    apply, no_change, python, restore, save, empty = (median(list(column)) for column in zip(*rounds))
    below = {APPLY: (python + restore, empty + restore), NO_CHANGE: (python + save, empty + save)}
    return {APPLY: apply, NO_CHANGE: no_change}, below


def run(bench: Bench, counts: list[int], peer_rules: int, repeat: int) -> list[Row]:
    """Measure on one host and print the table."""
    bench.install()
    bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
    peer = {}
    if peer_rules:
        for what in (APPLY, NO_CHANGE):
            peer[what] = bench.timed([PEER], rules=rules_of(peer_rules))
    print(
        "%6s  %-10s %11s %10s %6s %12s %6s %20s %14s"
        % ("rules", "", "ufw_ruleset", "Python+", "", "empty+", "", "community.general.ufw", "times faster"),
        flush=True,
    )
    rows = []
    for count in counts:
        seconds, below = measure(bench, count, repeat)
        for what in (APPLY, NO_CHANGE):
            beside = peer[what] * count / peer_rules if peer else None
            rows.append(Row(count, what, seconds[what], *below[what], beside, count != peer_rules))
            print(rows[-1].text(), flush=True)
    bench.play([OURS], interpreter="/usr/bin/python3", rules=[])
    bench.remove()
    return rows


def main() -> int:
    """Measure on each host; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", help="a host whose rules may be replaced, instead of one of our own")
    parser.add_argument("--release", action="append", choices=RELEASES, help="only this one")
    parser.add_argument("--connection", default="community.docker.docker")
    parser.add_argument("--rules", type=int, nargs="+", default=[100, 200, 1000])
    parser.add_argument("--peer", type=int, default=200, help="rules that the peer really does; 0 leaves it out")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each figure of ours, of which the median counts")
    parser.add_argument("--large", type=int, metavar="RULES", help="long rulesets: as many rules in, and as many out")
    options = parser.parse_args()
    missed = []

    def one(name: str, release: str) -> None:
        print("%s:" % (release or name))
        with tempfile.TemporaryDirectory() as folder:
            rows = run(Bench(name, options.connection, folder), options.rules, options.peer, options.repeat)
        missed.extend("%s: %s" % (release or name, text) for row in rows for text in row.missed())

    if options.large:
        missed = ufw_large.main(tuple(options.release or RELEASES), options.large, options.repeat)
    elif options.host:
        one(options.host, "")
    else:
        with fleet(tuple(options.release or RELEASES)) as hosts:
            for host in hosts:
                one(host.name, host.release)
    print("\n".join("MISSED %s" % line for line in missed) or "every target is reached")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
