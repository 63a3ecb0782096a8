# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a large fleet costs on one controller: seconds and memory of each phase, beside what Ansible takes for the same inventory.

    PYTHONPATH=.venv/collections:tests/support .venv/bin/python tests/benchmark/scale.py [--hosts 2000 10000] [--tiers 50] [--flows 500]

No host is contacted. The inventory has as many hosts as asked for, spread over the tiers. Each phase is a process of its own, and
each is measured next to what it is compared with, in the same run, so that a loaded machine slows both:

    inventory      a play on localhost with one task that does nothing: Ansible reads the inventory, and no more
    plan.yml       the whole plan of the site, with its page
    compile        every host's own plan, all of them one after the other in one process
    once           a task that does nothing, run once, in a play on all hosts
    begin          the beginning of a proof there: which hosts it is about, and as what
    rules          a proof of what every host's rules let through, of what the hosts have said (tests/benchmark/scale_proof.py)
    packets        who probes what, of all hosts that listen; with --packets, for it takes minutes
    judge          the proof of what so many probes have found, and its report, of 20 hosts in 20 tiers with 100 flows; with --packets
    nothing        a task that does nothing, on every host
    check          the check of the site, on every host
    tiers: ...     the same two in a play whose hosts are those of lookup('bulkhead.tiers.waves'), as in site.yml: it reads the site in
                   Ansible's own process, and each host's process finds it there

Exit status 1 where plan.yml, the beginning of a proof or the proof of the rules take more than 30 s or 2 GiB over Ansible's own, or the
check more than 1.1 times the task that does nothing. What is compared is the time of processors, which a loaded machine changes least;
the ratio is that of the medians of the rounds, which are taken in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from declaration import large

ROOT = Path(__file__).parents[2]
#: The seconds and MiB that plan.yml, and compiling every host, may take over Ansible's own for the same inventory.
SECONDS, MEMORY = 30.0, 2048.0
#: How many times a task that does nothing the check of the site may take.
RATIO = 1.1
#: What does nothing, without a connection, as the check does.
NOTHING = {"name": "Nothing", "ansible.builtin.debug": {"verbosity": 5}}
BEGIN = {"name": "Begin", "bulkhead.tiers.prove": {"step": "begin", "seed": "1"}}
CHECK = {"name": "Check the site", "bulkhead.tiers.site": None}
PROOF = Path(__file__).with_name("scale_proof.py")
#: What does nothing, and what is compared with it.
PAIR = ("nothing", "check")
COMPILE = """
import json, sys
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
site, groups = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
declared = declaration.declare(site)
rules = sum(len(declared.plan(host, place)["rules"]) for host, place in declared.places(groups).items())
print(f"{rules} rules")
"""


class Cost(NamedTuple):
    """Of one process with its children: wall seconds, the largest one's MiB, and the seconds of processors."""

    seconds: float
    memory: float
    processor: float = 0.0


def fleet(folder: Path, hosts: int, tiers: int, flows: int) -> None:
    """An inventory of that size below `folder`."""
    site = large(tiers, flows)
    names = list(site["bulkhead_tiers"])
    groups: dict[str, list[str]] = {name: [] for name in names}
    for number in range(hosts):
        groups[names[number % tiers]].append(f"h{number:05}")
    lines = [line for name, members in groups.items() for line in (f"[{name}]", *members)]
    (folder / "hosts").write_text("\n".join([*lines, ""]))
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "group_vars" / "all" / "site.yml").write_text(yaml.safe_dump(site))
    (folder / "site.json").write_text(json.dumps(site))
    everyone = [name for members in groups.values() for name in members]
    (folder / "groups.json").write_text(json.dumps({**groups, "all": everyone}))
    plays: dict[str, list[dict[str, Any]]] = {
        "inventory": [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [NOTHING]}],
        "once": [{"hosts": "all", "gather_facts": False, "tasks": [{**NOTHING, "run_once": True}]}],
        "begin": [
            {
                "hosts": "all",
                "gather_facts": False,
                "vars": {"ansible_connection": "local"},
                "tasks": [{**BEGIN, "run_once": True}],
            }
        ],
        "nothing": [{"hosts": "all", "gather_facts": False, "tasks": [NOTHING]}],
        "check": [{"hosts": "all", "gather_facts": False, "tasks": [CHECK]}],
    }
    # The first play makes the hosts' variables known, as that of site.yml does.
    first = {**plays["check"][0], "tasks": [{**CHECK, "run_once": True}]}
    for name in PAIR:
        plays[f"tiers: {name}"] = [first, {**plays[name][0], "hosts": "{{ lookup('bulkhead.tiers.waves').hosts }}"}]
    for name, play in plays.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(play))


def run(folder: Path, command: list[str | Path]) -> Cost:
    """The cost of a command, which must end well; what it prints goes to a file."""
    began = time.monotonic()
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_DISPLAY_OK_HOSTS": "false",
        "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in (".venv/collections", "tests/support")),
    }
    with (folder / "output").open("wb") as output:
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        pid = os.posix_spawn(str(command[0]), [str(part) for part in command], environment, file_actions=actions)
        _pid, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit((folder / "output").read_text()[-3000:])
    return Cost(time.monotonic() - began, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def playbook(folder: Path, path: Path, forks: int) -> Cost:
    binary = Path(sys.executable).parent / "ansible-playbook"
    extra: list[str | Path] = ["-e", f"plan_page={folder}/plan.html", "-e", f"plan_page_directory={folder}"]
    return run(folder, [binary, "-f", str(forks), "-i", folder / "hosts", path, *extra])


def show(name: str, cost: Cost, remark: str = "") -> None:
    print(
        f"  {name:<16}{cost.seconds:>9.1f} s {cost.processor:>9.1f} s of CPU {cost.memory:>7.0f} MiB   {remark}",
        flush=True,
    )


def once_for_all(folder: Path, hosts: int, forks: int, packets: bool) -> list[str]:
    """The phases that are done once for a run; what is over the target."""
    own = playbook(folder, folder / "inventory.yml", forks)
    show("inventory", own, "Ansible's own")
    plan = playbook(folder, ROOT / "playbooks" / "plan.yml", forks)
    over = {"plan.yml": _over(plan, own)}
    show("plan.yml", plan, f"{_shown(over['plan.yml'])} over the inventory's")
    compiled = run(folder, [sys.executable, "-c", COMPILE, folder / "site.json", folder / "groups.json"])
    show("compile", compiled, (folder / "output").read_text().strip())
    once = playbook(folder, folder / "once.yml", forks)
    show("once", once, "Ansible's own")
    begun = playbook(folder, folder / "begin.yml", forks)
    over.update(compile=compiled, begin=_over(begun, once))
    show("begin", begun, f"{_shown(over['begin'])} over a task that does nothing")
    (folder / "small.json").write_text(json.dumps(large(20, 100)))
    phases = {"rules": ("site", hosts), "packets": ("site", hosts), "judge": ("small", 20)}
    for what, (site, number) in phases.items():
        if what != "rules" and not packets:
            continue
        judged = run(folder, [sys.executable, PROOF, what, folder / f"{site}.json", str(number)])
        show(what, judged, (folder / "output").read_text().strip())
        if what == "rules":
            over[what] = judged
    return [
        f"{name}: {_shown(cost)}, not {SECONDS:.0f} s and {MEMORY:.0f} MiB"
        for name, cost in over.items()
        if cost.processor > SECONDS or cost.memory > MEMORY
    ]


def _over(cost: Cost, own: Cost) -> Cost:
    return Cost(*(one - other for one, other in zip(cost, own, strict=True)))


def _shown(cost: Cost) -> str:
    return f"{cost.processor:+.1f} s of CPU {cost.memory:+.0f} MiB"


def on_every_host(folder: Path, forks: int, rounds: int) -> list[str]:
    """The check beside a task that does nothing; what is over the target."""
    found = []
    for where in ("", "tiers: "):
        costs: dict[str, list[Cost]] = {f"{where}{name}": [] for name in PAIR}
        for _round in range(rounds):
            for name, taken in costs.items():
                taken.append(playbook(folder, folder / f"{name}.yml", forks))
                show(name, taken[-1])
        nothing, check = (statistics.median(cost.processor for cost in taken) for taken in costs.values())
        print(f"  the check takes {check / nothing:.2f} times the task that does nothing")
        if check / nothing > RATIO:
            found.append(f"{where}check: {check / nothing:.2f} times, not {RATIO}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2000, 10000])
    parser.add_argument("--tiers", type=int, default=50)
    parser.add_argument("--flows", type=int, default=500)
    parser.add_argument("--forks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1, help="of the check and the task that does nothing, in turn")
    parser.add_argument("--packets", action="store_true", help="see above")
    options = parser.parse_args()
    missed = []
    for hosts in options.hosts:
        print(f"{hosts} hosts, {options.tiers} tiers, {options.flows} flows, {options.forks} forks")
        with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as name:
            folder = Path(name)
            fleet(folder, hosts, options.tiers, options.flows)
            found = once_for_all(folder, hosts, options.forks, options.packets)
            found += on_every_host(folder, options.forks, options.rounds)
        missed += [f"{hosts} hosts: {what}" for what in found]
    print(*(f"missed: {what}" for what in missed), sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
