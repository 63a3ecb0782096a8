# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others do while a change waits, while its keeper, its rollback or its timer is killed; and the boot after it.

    .venv/bin/python tests/fault/ufw_confirm.py [--every 3] [--release trixie] [--no-reboot]

A change waits; then something happens on the host (/run is full, /var is read-only, ufw is restarted or switched off, a
rule is allowed with ufw's own command, other programs insert rules); then the change is kept or rolled back, and that is
killed at a step and taken up again, once by a second keep and once by the timer. Afterwards kernel and files agree: both
the old ruleset or both the new one; what others inserted is there, and nothing waits. Then the host is rebooted, and
has the same ruleset: it is neither open nor shut out.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import NamedTuple

import ufw_kill
from hosts import RELEASES, Host, fleet, run
from ufw_kill import BACK, GUARD, KEEP, NEW, Bench, Role

#: What fail2ban, CrowdSec and Docker do; each line as iptables-save prints it.
INSERTED = {
    "INPUT": "-p tcp -m multiport --dports 22 -j f2b-sshd",
    "f2b-sshd": "-s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable",
    "FORWARD": "-s 198.51.100.0/24 -i docker9 -j DROP",
    "OUTPUT": "-d 203.0.113.0/24 -j DROP",
    "ufw-user-input": "-s 192.0.2.9/32 -j DROP",
}
_INSERT = "iptables -N f2b-sshd; " + "; ".join(f"iptables -I {chain} {rule}" for chain, rule in INSERTED.items())


_LIMITED_RUN = "df -k --output=size /run | grep -qx ' *65536'"


class Trouble(NamedTuple):
    """``make`` is done while the change waits. ``keeps`` is whether a change may be kept after it; ``lines`` whether the
    inserted rules must be there; ``own`` whether ufw's files are other ones then: kernel and files have to agree."""

    name: str
    make: str
    keeps: bool = True
    lines: bool = False
    own: bool = False


TROUBLES = (
    Trouble("nothing", "true"),
    Trouble("/run full", "! head -c 128M /dev/zero > /run/fill 2>/dev/null"),
    Trouble("/var read-only", "mount --bind /var /var && mount -o remount,ro,bind /var && ! touch /var/x 2>/dev/null"),
    Trouble("ufw restarted", "systemctl restart ufw", keeps=False),
    Trouble("rules inserted", _INSERT, lines=True),
    Trouble("inserted, ufw restarted", f"{_INSERT}; systemctl restart ufw; iptables -I {{0}} {{1}}", False, lines=True),
    Trouble(
        "everything flushed",
        "for c in iptables ip6tables; do for p in INPUT FORWARD OUTPUT; do $c -P $p ACCEPT; done; $c -F; $c -X; done",
        keeps=False,
    ),
    Trouble("a rule of ufw's command", "ufw allow 9999/tcp >/dev/null", keeps=False, own=True),
    Trouble("one inserted by it", "ufw insert 1 deny from 192.0.2.66 >/dev/null", keeps=False, own=True),
    Trouble("ufw switched off", "ufw --force disable >/dev/null", keeps=False, own=True),
)
# ufw's restart empties its own chains: what was put there is gone by ufw's doing.
TROUBLES = tuple(
    each._replace(make=each.make.format("ufw-user-input", INSERTED["ufw-user-input"])) for each in TROUBLES
)


def _clean(bench: Bench) -> None:
    """The host as before, without a boot."""
    bench.host.shell(
        "rm -f /run/fill /run/more; while mountpoint -q /var; do umount /var || break; done; "
        f"rm -f {ufw_kill.CONFIG}; systemctl stop 'bulkhead-ufw-*' 2>/dev/null; "
        + "; ".join(f"iptables -D {chain} {rule} 2>/dev/null" for chain, rule in INSERTED.items())
        + "; iptables -X f2b-sshd 2>/dev/null; true"
    )


def judge(bench: Bench, trouble: Trouble) -> tuple[str, list[str]]:
    """Which ruleset is there, and what is wrong."""
    problems = []
    found = bench.look()
    if trouble.lines:
        saved = bench.host.shell("iptables-save -t filter")
        problems += [f"lost: {chain} {rule}" for chain, rule in INSERTED.items() if f"-A {chain} {rule}\n" not in saved]
        lines = {f"-A {chain} {rule}" for chain, rule in INSERTED.items()} | {":f2b-sshd -"}
        found = found._replace(kernel="\n".join(line for line in found.kernel.splitlines() if line not in lines))
    if found.left:
        problems.append(f"left behind: {found.left}")
    if trouble.own:
        off = "ENABLED=no" in found.files
        if off != ("inactive" in found.status):
            problems.append(f"ufw.conf and `ufw status` do not agree: {found.status.splitlines()[0]}")
        return "off" if off else "theirs", problems + ([] if off else _disagreement(bench))
    for name, known in bench.known.items():
        if found.files == known.files:
            kernels = {other: each.kernel == found.kernel for other, each in bench.known.items()}
            if not kernels[name]:
                lines = set(found.kernel.splitlines()) ^ set(known.kernel.splitlines())
                also = [other for other, same in kernels.items() if same]
                problems.append(f"the files are the {name} ones, the kernel is {also}: {sorted(lines)[:4]}")
            return name, problems
    return "neither", [*problems, "the files are neither the old nor the new ones"]


def _disagreement(bench: Bench) -> list[str]:
    """How kernel and files differ, as the module says that asks for nothing."""
    said = bench.host.driver({"state": "enabled", "_ansible_check_mode": True, "confirm": {"timeout": 0}})
    return [] if said.get("drift") == [] and not said.get("changed") else [f"kernel and files differ: {said}"]


def reboot(bench: Bench) -> None:
    """Really boot: systemd stops everything, and starts it again."""
    run("docker", "restart", "--time", "20", bench.host.name)
    bench.host.wait()


class Row(NamedTuple):
    trouble: str
    role: str
    steps: int
    tried: int
    states: dict[str, int]
    problems: list[str]


def try_trouble(bench: Bench, trouble: Trouble, role: Role, every: int, offset: int = 0, boots: bool = True) -> Row:
    """The trouble with the role undisturbed (step 0), and killed at each n-th step; ended by a second keep or by the
    timer, in turns; a boot after the last, and after each in a full run."""
    states: dict[str, int] = {}
    problems: list[str] = []
    steps, tried, step = 0, 0, 0
    while step <= steps:
        told, wrong = _once(bench, trouble, role, step, second=tried % 2 == 1)
        if not step:
            steps = len(bench.steps())
        state, more = judge(bench, trouble)
        wrong += more
        if state == "new" and not trouble.keeps:
            wrong.append("kept, though it is not in force")
        if told in ("kept", "back") and not trouble.own and told != {"new": "kept", "old": "back"}.get(state):
            wrong.append(f"the program says {told}, it is {state}")
        states[state] = states.get(state, 0) + 1
        tried += 1
        if boots or step + every > steps:
            reboot(bench)
            again, more = judge(bench, trouble._replace(lines=False))
            wrong += [f"after the boot: {text}" for text in more]
            wrong += [f"{state} before the boot and {again} after it"] if again != state else []
            if not bench.host.reachable() and state != "theirs":
                wrong.append("shut out after the boot")
        else:
            _clean(bench)
        problems += [f"step {step}: {text}" for text in wrong]
        step = step + every if step else 1 + offset % every
    return Row(trouble.name, role.name, steps, tried, states, problems)


def _once(bench: Bench, trouble: Trouble, role: Role, step: int, second: bool) -> tuple[str, list[str]]:
    """(what the program says became of the change, what is wrong)."""
    _clean(bench)
    bench.host.shell(_LIMITED_RUN)  # else what is written there would fill the machine's memory
    bench.prepare(role)
    # A rollback waits for its time here: the trouble needs some of it.
    seconds = 600 if role is KEEP else 15
    pending = bench.host.driver({**NEW, "confirm": {"timeout": seconds}}).get("pending")
    if not pending:
        return "", ["the change did not wait"]
    bench.host.shell(trouble.make)
    bench.arm(role, step, "kill")
    if role is KEEP:
        bench.host.shell(f"python3 -I {GUARD} keep {pending['token']}", check=False)
        bench.host.shell(f"rm -f {ufw_kill.CONFIG}")
        if second:
            bench.host.shell(f"python3 -I {GUARD} keep {pending['token']}", check=False)
        bench.settle()
    else:
        bench.host.shell(f"python3 -I {GUARD} settle {pending['token']}", check=False)
        bench.host.shell(f"rm -f {ufw_kill.CONFIG}")
        bench.settle() if second else bench.wait_for("test ! -e /run/bulkhead/ufw/change.json")
    answer = json.loads(bench.host.shell(f"python3 -I {GUARD} status {pending['token']}", check=False) or "{}")
    return answer.get("state", ""), []


def print_row(release: str, row: Row) -> None:
    states = ", ".join(f"{number} {state}" for state, number in sorted(row.states.items()))
    print(
        f"{release:9} {row.trouble:24} {row.role:13} {row.steps:5} {row.tried:5}  {states:16} {len(row.problems)} wrong",
        flush=True,
    )
    for text in row.problems:
        print(f"    {text[:300]}", flush=True)


def main() -> int:
    """All troubles, both roles, on every host."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3, help="only each n-th step")
    parser.add_argument("--release", action="append", choices=RELEASES)
    parser.add_argument("--no-reboot", action="store_true", help="one boot for each row instead of one for each kill")
    options = parser.parse_args()
    rows: list[Row] = []

    def work(host: Host, offset: int) -> None:
        bench = Bench(host)
        for trouble in TROUBLES:
            for role in (KEEP, BACK):
                try:
                    row = try_trouble(bench, trouble, role, options.every, offset, not options.no_reboot)
                except Exception as error:  # pylint: disable=broad-except
                    row = Row(trouble.name, role.name, 0, 0, {}, [f"{type(error).__name__}: {error}"])
                rows.append(row)
                print_row(host.release, row)

    began = time.monotonic()
    with fleet(tuple(options.release or RELEASES)) as hosts:
        threads = [threading.Thread(target=work, args=each) for each in zip(hosts, range(len(hosts)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = 2 * len(TROUBLES) * len(hosts)
    wrong = sum(len(row.problems) for row in rows)
    print(f"\n{sum(row.tried for row in rows)} changes, {wrong} went wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong or len(rows) < expected else 0


if __name__ == "__main__":
    sys.exit(main())
