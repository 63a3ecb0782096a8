# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others do while a change waits, while its keeper, its rollback or its timer is killed; and the boot after it.

    .venv/bin/python tests/fault/ufw_confirm.py [--every 1] [--release trixie] [--log FILE] [TROUBLE ...]

A change waits; then something happens on the host (/run is full, /var is read-only, ufw is restarted or switched off, a
rule is allowed with ufw's own command, other programs insert rules, the timer is lost); then the change is kept or
rolled back, and that is killed at a step. What it left is taken up by one of ENDINGS, in turns, so that over the
troubles each step meets each of them. Afterwards kernel and files agree: both the old ruleset or both the new one; what
others inserted is there, nothing waits, and the program on the host says which of the two it is. Then the host is
rebooted, every time, and has the same ruleset: it lets SSH in and drops what comes to another port.

TROUBLE are parts of the names of troubles; all of them without one. With --log, each row that is done is noted down in
the file, and one that is noted down is not done again: a long run can be stopped and taken up.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, Queue
from typing import NamedTuple

from hosts import RELEASES, Host, fleet
from ufw_kill import BACK, CONFIG, GUARD, KEEP, NEW, Bench, Look, Role, reachable

#: What fail2ban, CrowdSec and Docker do; each line as iptables-save prints it.
INSERTED = {
    "INPUT": "-p tcp -m multiport --dports 22 -j f2b-sshd",
    "f2b-sshd": "-s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable",
    "FORWARD": "-s 198.51.100.0/24 -i docker9 -j DROP",
    "OUTPUT": "-d 203.0.113.0/24 -j DROP",
    "ufw-user-input": "-s 192.0.2.9/32 -j DROP",
}
_INSERT = "iptables -N f2b-sshd; " + "; ".join(f"iptables -I {chain} {rule}" for chain, rule in INSERTED.items())
# ufw's restart empties its own chains: what was put there is gone by ufw's doing.
_AGAIN = f"iptables -I ufw-user-input {INSERTED['ufw-user-input']}"
# Else what is written there would fill the machine's memory.
_LIMITED_RUN = "df -k --output=size /run | grep -qx ' *65536'"


class Trouble(NamedTuple):
    """``make`` is done while the change waits. ``keeps`` is whether a change may be kept after it; ``lines`` whether the
    inserted rules must be there; ``own`` whether ufw's files are other ones then: kernel and files have to agree;
    ``timer`` whether there is a timer still."""

    name: str
    make: str
    keeps: bool = True
    lines: bool = False
    own: bool = False
    timer: bool = True


TROUBLES = (
    Trouble("nothing", "true"),
    Trouble("/run full", f"{_LIMITED_RUN} && ! head -c 128M /dev/zero > /run/fill 2>/dev/null"),
    Trouble("/var read-only", "mount --bind /var /var && mount -o remount,ro,bind /var && ! touch /var/x 2>/dev/null"),
    Trouble("its timer is lost", "systemctl stop 'bulkhead-ufw-*.timer'", timer=False),
    Trouble("ufw restarted", "systemctl restart ufw", keeps=False),
    Trouble("rules inserted", _INSERT, lines=True),
    Trouble("inserted, ufw restarted", f"{_INSERT}; systemctl restart ufw; {_AGAIN}", keeps=False, lines=True),
    Trouble(
        "everything flushed",
        "for c in iptables ip6tables; do for p in INPUT FORWARD OUTPUT; do $c -P $p ACCEPT; done; $c -F; $c -X; done",
        keeps=False,
    ),
    Trouble("a rule of ufw's command", "ufw allow 9999/tcp >/dev/null", keeps=False, own=True),
    Trouble("one inserted by it", "ufw insert 1 deny from 192.0.2.66 >/dev/null", keeps=False, own=True),
    Trouble("ufw switched off", "ufw --force disable >/dev/null", keeps=False, own=True),
)
#: What takes up a killed program's work: the same program again, the timer's service, the next run of the module once the
#: change is overdue, or the boot.
ENDINGS = ("again", "timer", "next run", "boot")
_OVERDUE = f"""\
systemctl stop 'bulkhead-ufw-*' 2>/dev/null
python3 - <<'END'
import json, os
path = "/run/bulkhead/ufw/change.json"
if os.path.exists(path):
    with open(path) as stream:
        change = json.load(stream)
    with open("/srv/change.json", "w") as stream:
        json.dump({{**change, "deadline": 0}}, stream)
    # In its place, and of its length: there may be no room in /run for another one.
    os.system("cat /srv/change.json 1<>" + path + " && truncate -s $(stat -c %s /srv/change.json) " + path)
END
rm -f {CONFIG}"""


class Row(NamedTuple):
    """A trouble and a role on one release: the program's steps, how many runs, what was found after them."""

    release: str
    trouble: str
    role: str
    steps: int
    tried: int
    states: dict[str, int]
    problems: list[str]

    def text(self) -> str:
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items()))
        head = f"{self.release:9} {self.trouble:24} {self.role:13} {self.steps:5} {self.tried:5}  {states:16} "
        return "\n".join([f"{head}{len(self.problems)} wrong", *(f"    {text[:1500]}" for text in self.problems)])


def judge(bench: Bench, trouble: Trouble, ran: bool = False) -> tuple[str, list[str]]:
    """Which ruleset is there, and what is wrong. ``ran`` is whether the module ran since: what others put into ufw's own
    chains is a difference from its files, which is taken away."""
    problems = []
    found = bench.look()
    if trouble.lines:
        there = found.kernel.splitlines()
        stay = [(chain, rule) for chain, rule in INSERTED.items() if not (ran and chain.startswith("ufw"))]
        problems += [f"lost: {chain} {rule}" for chain, rule in stay if f"-A {chain} {rule}" not in there]
        lines = {f"-A {chain} {rule}" for chain, rule in INSERTED.items()} | {":f2b-sshd -"}
        found = found._replace(kernel="\n".join(line for line in there if line not in lines))
    if found.left:
        problems.append(f"left behind: {found.left}")
    if trouble.own:
        off = "ENABLED=no" in found.files
        if off != ("inactive" in found.status):
            problems.append(f"ufw.conf and `ufw status` do not agree: {found.status.splitlines()[0]}")
        return "off" if off else "theirs", problems + ([] if off else _disagreement(bench))
    state = next((name for name, known in bench.known.items() if found.files == known.files), "neither")
    if state == "neither":
        problems.append("the files are neither the old nor the new ones")
    elif found.kernel != bench.known[state].kernel:
        problems.append(f"the files are the {state} ones, the kernel is not: {_difference(bench, found, state)}")
    return state, problems


def _difference(bench: Bench, found: Look, state: str) -> str:
    also = [name for name, each in bench.known.items() if each.kernel == found.kernel]
    there, wanted = set(found.kernel.splitlines()), set(bench.known[state].kernel.splitlines())
    return f"it is {also or 'neither'}; too much: {sorted(there - wanted)[:4]}, missing: {sorted(wanted - there)[:4]}"


def _disagreement(bench: Bench) -> list[str]:
    """How kernel and files differ, as the module says that asks for nothing."""
    said = bench.host.driver({"state": "enabled", "_ansible_check_mode": True, "confirm": {"timeout": 0}})
    return [] if said.get("drift") == [] and not said.get("changed") else [f"kernel and files differ: {said}"]


def try_trouble(bench: Bench, trouble: Trouble, role: Role, every: int, turn: int = 0) -> Row:
    """The trouble with the role undisturbed (step 0), and killed at each n-th step; a boot after each. ``turn`` is which
    ending comes first, and which step."""
    states: dict[str, int] = {}
    problems: list[str] = []
    steps, tried, step = 0, 0, 0
    while step <= steps:
        ending = ENDINGS[(tried + turn) % len(ENDINGS)] if step else "none"
        state, wrong = try_step(bench, trouble, role, step, ending)
        if not step:
            steps = len(bench.steps())
        states[state] = states.get(state, 0) + 1
        problems += [f"step {step}, {ending}: {text}" for text in wrong]
        tried += 1
        step = step + every if step else 1 + turn % every
    return Row(bench.host.release, trouble.name, role.name, steps, tried, states, problems)


def try_step(bench: Bench, trouble: Trouble, role: Role, step: int, ending: str) -> tuple[str, list[str]]:
    """One run and the boot after it: the ruleset that is there, and what is wrong."""
    if ending == "timer" and not trouble.timer:
        ending = "again"
    bench.prepare(role)
    pending = bench.host.driver({**NEW, "confirm": {"timeout": 600}}).get("pending")
    if not pending:
        return "", ["the change did not wait"]
    bench.host.shell(trouble.make)
    bench.arm(role, step, "kill")
    wrong: list[str] = []
    _act(bench, role, pending["token"], ending)
    if step and (reached := bench.steps()[-1:]) and not reached[0].startswith(f"{step} "):
        wrong.append(f"the step was not reached: {reached}")
    if ending == "next run":
        wrong += _run_again(bench)
    if ending == "boot":
        bench.host.kill()
        state, more = judge(bench, trouble._replace(lines=False))
        return state, wrong + more + reachable(bench.host, state)
    answer = json.loads(bench.host.shell(f"python3 -I {GUARD} status {pending['token']}", check=False) or "{}")
    told = answer.get("state", "")
    state, more = judge(bench, trouble, ran=ending == "next run")
    wrong += more
    if state == "new" and not trouble.keeps:
        wrong.append("kept, though it is not in force")
    # The module's run makes a change of its own where others have changed its chains, and that is the last one then.
    known = {"new": "kept", "old": "back"}.get(state)
    if not trouble.own and told != known and not (ending == "next run" and told == "unknown"):
        wrong.append(f"the program says {answer}, it is {state}")
    bench.host.reboot()
    again, more = judge(bench, trouble._replace(lines=False))
    wrong += [f"after the boot: {text}" for text in more]
    wrong += [f"{state} before the boot and {again} after it"] if again != state else []
    return state, wrong + reachable(bench.host, state)


def _act(bench: Bench, role: Role, token: str, ending: str) -> None:
    """Run the role's program, which is killed at the armed step, and have the ending take up what it left."""
    word = "keep" if role is KEEP else "settle"
    program = f"python3 -I {GUARD} {word} {token}"
    if role is BACK and ending == "timer":
        # The timer's own service is the one that is killed; systemd starts it again.
        bench.settle()
        bench.wait_for("test ! -e /run/bulkhead/ufw/change.json")
        return
    bench.host.shell(program, check=False)
    bench.host.shell(f"rm -f {CONFIG}")
    if ending == "again":
        bench.host.shell(program, check=False)
    elif ending == "timer":
        bench.settle()


def _run_again(bench: Bench) -> list[str]:
    """The module's next run, that asks for nothing."""
    bench.host.shell(_OVERDUE)
    said = bench.host.driver({"confirm": {"timeout": 0}})
    return [f"the next run: {said.get('msg')}"] if said.get("failed") else []


def run_rows(
    hosts: list[Host], jobs: Iterable[tuple[str, Trouble, Role, int]], every: int, log: Path | None
) -> list[Row]:
    """Each job by a host of its release; a row for each."""
    queues: dict[str, Queue] = {host.release: Queue() for host in hosts}
    for release, *job in jobs:
        queues[release].put(job)
    rows: list[Row] = []
    lock = threading.Lock()

    def work(host: Host) -> None:
        bench = Bench(host)
        while True:
            try:
                trouble, role, turn = queues[host.release].get_nowait()
            except Empty:
                return
            try:
                row = try_trouble(bench, trouble, role, every, turn)
            except Exception as error:  # pylint: disable=broad-except
                row = Row(host.release, trouble.name, role.name, 0, 0, {}, [f"{type(error).__name__}: {error}"])
            with lock:
                rows.append(row)
                print(row.text(), flush=True)
                if log and row.tried:  # one that its host was lost for is done again
                    with log.open("a") as stream:
                        stream.write(json.dumps(row._asdict()) + "\n")

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows


def main() -> int:
    """All troubles, both roles, on every release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("troubles", nargs="*", metavar="TROUBLE")
    parser.add_argument("--every", type=int, default=4, help="only each n-th step (%(default)s)")
    parser.add_argument("--release", action="append", choices=RELEASES)
    parser.add_argument("--log", type=Path, help="note down the rows that are done, and leave those out that are in it")
    parser.add_argument("--hosts", type=int, default=1, help="how many of each release (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    options = parser.parse_args()
    releases = tuple(options.release or RELEASES)
    known: list[Row] = []
    if options.log and options.log.exists():
        known = [Row(**json.loads(line)) for line in options.log.read_text().splitlines()]
    wanted = [
        # Each release begins with another step and another ending: over the troubles together they see each step.
        (release, trouble, role, number + place)
        for number, trouble in enumerate(TROUBLES)
        for role in (KEEP, BACK)
        for place, release in enumerate(RELEASES)
        if release in releases and (not options.troubles or any(part in trouble.name for part in options.troubles))
    ]
    done = {row[:3] for row in known}
    jobs = [job for job in wanted if (job[0], job[1].name, job[2].name) not in done]
    print("\n".join(row.text() for row in known))
    began = time.monotonic()
    rows = known
    if jobs:
        with fleet(releases * options.hosts, options.keep) as hosts:
            rows = known + run_rows(hosts, jobs, options.every, options.log)
    wrong = sum(len(row.problems) for row in rows)
    changes = sum(row.tried for row in rows)
    print(f"\n{changes} changes and as many boots, {wrong} went wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong or not wanted or len(rows) < len(wanted) else 0


if __name__ == "__main__":
    sys.exit(main())
