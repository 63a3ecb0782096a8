# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ufw_ruleset takes for rulesets as large as ufw can hold, on a throw-away host with ufw's own files and a kernel: `ufw_ruleset.py --large` runs it.

Each step is one run of the module on the host, from its first import to its end, and the confirmation (`guard.py keep`)
that follows it. A step is measured by what it takes: seconds on the clock, seconds of the processor (children included),
seconds that ufw's lock was held, from the taking of /run/ufw.lock to its release, in the longest piece, and the peak of
memory. Beside it stands what ufw's own command takes for a rule on the same host in the same minute.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hosts import PLACE, Host, fleet

#: Targets: seconds of the module's run, and of ufw's lock.
WALL, LOCK = 5.0, 1.0
#: Where the measuring program and its input lie on the host.
MEASURE, INPUT = PLACE + "/measure.py", PLACE + "/input.json"
#: Rules that ufw's own command is measured with.
OWN = 20
PROGRAM = (
    '''\
"""One run: module < input, or keep TOKEN; a line of JSON with what it took. Runs on the host."""
import fcntl, io, json, os, resource, sys, time
began = time.monotonic()
def spent():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
taken, pieces, lockf, close = {}, [], fcntl.lockf, os.close
def taking(handle, *rest):
    lockf(handle, *rest)
    if os.readlink("/proc/self/fd/%%d" %% handle) == "/run/ufw.lock":
        taken.setdefault(handle, (time.monotonic(), spent()))
def closing(handle):
    close(handle)
    if handle in taken:
        since, cpu = taken.pop(handle)
        pieces.append((time.monotonic() - since, spent() - cpu))
fcntl.lockf, os.close = taking, closing
result, out, profile = {}, sys.stdout, None
sys.stdout = io.StringIO()
if os.environ.get("PROFILE"):
    import cProfile
    profile = cProfile.Profile()
    profile.enable()
try:
    if sys.argv[1] == "module":
        sys.path.insert(0, %r)
        arguments = json.load(sys.stdin)
        from ansible.module_utils.testing import patch_module_args
        from ansible_collections.bulkhead.tiers.plugins.modules import ufw_ruleset
        with patch_module_args(arguments):
            ufw_ruleset.main()
    else:
        program = "/run/bulkhead/ufw/guard.py"
        sys.path.insert(0, program)
        sys.argv = [program, *sys.argv[1:]]
        import runpy
        runpy.run_path(program, run_name="__main__")
except SystemExit:
    pass
if profile:
    profile.disable()
    profile.dump_stats(os.environ["PROFILE"])
lines = [line for line in sys.stdout.getvalue().splitlines() if line.startswith("{")]
result = json.loads(lines[-1]) if lines else {}
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
longest = max(pieces, default=(0.0, 0.0))
took = {"wall": time.monotonic() - began, "cpu": spent(), "lock": longest[0], "lock_cpu": longest[1], "peak": peak / 1024}
told = {name: result[name] for name in ("changed", "failed", "msg", "state", "error", "pending", "unlisted", "warnings") if name in result}
told.update({name: len(result[name]) for name in ("added", "removed", "opened", "closed", "drift") if name in result})
out.write(json.dumps({**took, "told": told}) + "\\n")
'''
    % PLACE
)

Rules = list[dict]


def rules_of(count: int, ipv6: bool, seed: int = 0) -> Rules:
    """As many rules of ufw in all files together, of the kinds that long rulesets are made of: denied hosts and networks,
    allowed ports of networks, ranges, limits, logged and routed ones. SSH comes first."""
    draw = random.Random(seed)
    rules: Rules = [{"rule": "allow", "proto": "tcp", "to_port": "22"}]
    left = count - (2 if ipv6 else 1)
    number = 0
    while left > 0:
        number += 1
        kind = number % 10
        address = f"{20 + seed}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        if ipv6 and kind in (7, 8):
            rule = {"rule": "deny", "from_ip": f"2001:db8:{seed:x}:{number:x}::/64"}
        elif ipv6 and kind == 9 and left > 1:
            rule = {
                "rule": "allow",
                "proto": "tcp",
                "to_port": f"{1024 + number % 60000}",
                "comment": f"{seed}/{number}",
            }
            left -= 1
        elif kind < 5:
            rule = {"rule": "deny", "from_ip": address}
        elif kind == 5:
            rule = {"rule": "allow", "proto": "udp", "to_port": f"{1024 + number}:{1030 + number}", "from_ip": address}
        elif kind == 6:
            rule = {"rule": draw.choice(["limit", "reject"]), "proto": "tcp", "to_port": "443", "from_ip": address}
        elif kind == 7:
            rule = {"rule": "deny", "from_ip": address, "log": True}
        elif kind == 8:
            rule = {"rule": "allow", "route": True, "interface_in": "eth0", "interface_out": "eth1", "to_ip": address}
        else:
            rule = {
                "rule": "allow",
                "proto": "tcp",
                "to_port": "80,443",
                "from_ip": address,
                "comment": f"rule {number}",
            }
        rules.append(rule)
        left -= 1
    return rules


class Took(NamedTuple):
    """What one run took: seconds, and MB."""

    wall: float
    cpu: float
    lock: float
    lock_cpu: float
    peak: float


class Step(NamedTuple):
    """A change of the ruleset: what it is called, the rules before it, the rules after it."""

    name: str
    before: Rules
    after: Rules


def steps(count: int, ipv6: bool) -> Iterator[Step]:
    """The changes. Each one begins where the one before ends, as far as that can be."""
    rules, others = rules_of(count, ipv6), rules_of(count, ipv6, 1)
    most = rules[: len(rules) * 4 // 5]
    draw = random.Random(count)
    fewer = [rule for number, rule in enumerate(most) if not number or draw.random() > 3 / 8]
    name = f"{count:,}"
    yield Step(f"0 -> {name}", rules[:1], rules)
    yield Step(f"{name} -> the same", rules, rules)
    yield Step(f"{name} -> the other way round", rules, rules[:1] + rules[:0:-1])
    yield Step(f"{name} -> others", rules[:1] + rules[:0:-1], others)
    yield Step(f"{len(most):,} -> {len(fewer):,} of them", most, fewer)
    yield Step(f"{len(fewer):,} -> {len(most):,}", fewer, most)
    yield Step(f"{len(most):,} -> 1", most, rules[:1])


class Bench:
    """One host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.rules: Rules | None = None
        host.install()
        host.put(MEASURE, PROGRAM)
        self.session = f"{host.address[4].rpartition('.')[0]}.1 40000 {host.address[4]} 22"

    def run(self, words: str, arguments: dict | None = None, profile: str = "") -> tuple[Took, dict]:
        """Run the measuring program; what it took, and what was said."""
        self.host.put(INPUT, json.dumps(arguments or {}))
        command = f"PYTHONDONTWRITEBYTECODE=1 PROFILE={profile} SSH_CONNECTION='{self.session}' python3 {MEASURE} {words} < {INPUT}"
        found = json.loads(self.host.shell(command).splitlines()[-1])
        told = found.pop("told")
        if told.get("failed") or told.get("error"):
            raise RuntimeError(f"{words}: {told}")
        return Took(**found), told

    def apply(self, rules: Rules, ipv6: bool, seconds: int, profile: str = "") -> tuple[Took, dict]:
        """The module with these rules."""
        wish = {"default": {"incoming": "deny", "outgoing": "allow"}, "ipv6": ipv6, "purge": True, "rules": rules}
        self.rules = rules
        return self.run("module", {**wish, "confirm": {"timeout": seconds}}, profile)

    def step(self, step: Step, ipv6: bool, repeat: int) -> tuple[Took, Took, dict]:
        """The least that the module and the confirmation took, of as many tries; what the module said."""
        runs, keeps, told = [], [], {}
        for _try in range(repeat):
            if self.rules is not step.before:
                self.apply(step.before, ipv6, 0)
            took, told = self.apply(step.after, ipv6, 60)
            runs.append(took)
            if "pending" in told:
                keeps.append(self.run(f"keep {told['pending']['token']}")[0])
        return least(runs), least(keeps) if keeps else Took(0, 0, 0, 0, 0), told

    def own(self) -> float:
        """Seconds that ufw's own command takes for a rule."""
        words = " ".join(f"198.51.100.{number}" for number in range(1, OWN + 1))
        script = (
            f"a=$(date +%s%N); for i in {words}; do ufw deny from $i >/dev/null; done; b=$(date +%s%N); echo $((b - a))"
        )
        return int(self.host.shell(script)) / 1e9 / OWN


def least(runs: list[Took]) -> Took:
    """The least of each: what is more was another program's doing."""
    return Took(*(min(column) for column in zip(*runs)))


def run(host: Host, count: int, repeat: int) -> list[str]:
    """Measure on one host and print the table; the targets that were missed."""
    bench, missed = Bench(host), []
    bench.apply(rules_of(1, False), True, 0)
    own = bench.own()
    print(f"ufw's own command takes {own:.3f} s for a rule; a run of ours stands beside {count:,} of them")
    head = (
        "",
        "IPv6",
        "wall s",
        "cpu s",
        "ufw's lock s",
        "(cpu)",
        "MB",
        "keep s",
        "lock s",
        "(cpu)",
        "ufw's own / ours",
    )
    line = "{:32} {:4} {:>8} {:>8} {:>12} {:>7} {:>6} {:>8} {:>8} {:>7} {:>16}"
    print(line.format(*head), flush=True)
    for ipv6 in (True, False):
        for step in steps(count, ipv6):
            took, keep, _told = bench.step(step, ipv6, repeat)
            cells = [
                *map("{:.2f}".format, took[:4]),
                f"{took.peak:.0f}",
                *map("{:.2f}".format, (keep.wall, keep.lock, keep.lock_cpu)),
            ]
            changed = abs(len(step.after) - len(step.before)) or count
            ratio = f"{own * changed / took.wall:.0f}x"
            print(line.format(step.name, "on" if ipv6 else "off", *cells, ratio), flush=True)
            name = f"{step.name} (IPv6 {'on' if ipv6 else 'off'}): "
            missed += [f"{name}{took.wall:.2f} s, not {WALL:.0f}"] if took.wall > WALL else []
            longest = max(took.lock, keep.lock)
            missed += [f"{name}{longest:.2f} s of ufw's lock, not {LOCK:.0f}"] if longest > LOCK else []
        bench.apply(rules_of(1, False), True, 0)
    return missed


def main(releases: tuple[str, ...], count: int, repeat: int) -> list[str]:
    """Measure on a host of each release; the targets that were missed."""
    missed: list[str] = []
    with fleet(releases) as hosts:
        for host in hosts:
            print(f"{host.release}:")
            missed += [f"{host.release}: {text}" for text in run(host, count, repeat)]
    return missed


if __name__ == "__main__":
    sys.exit(f"{Path(__file__).name} is run by ufw_ruleset.py --large")
