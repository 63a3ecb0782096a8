# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL at every step of a change: of the module, of each program that holds ufw's lock, and of the whole host.

    .venv/bin/python tests/fault/ufw_kill.py [--every 1] [--release trixie]

A step is every operation on the outside that Python announces by an audit event: a command that is started, a file that
is opened for writing, renamed or removed, a folder that is made or removed. A sitecustomize.py on the test host counts
them, notes them down, and at the chosen one kills its process, or stops it until the host is killed. So each step is
hit by number, and the table says how many there are. What is not Python (iptables-restore, which is one transaction,
and ufw's own start) is killed with the host only.

ufw's own command is one of those programs: it is stopped at each step of `ufw allow`, the module starts and must wait
for the lock if ufw holds it, ufw is killed, and the module must go on to the new ruleset. Where ufw was about to write
its rules it is killed a second time with the file cut off: ufw empties it first and fills it then.

Afterwards the firewall must be on with the old ruleset or the new one: the same in the kernel (both families) and in
the files, and `ufw status` must agree; nothing may wait any more. Then the host is rebooted (where it was not killed
itself) and has the same ruleset: it lets SSH in and nothing else. And the next run must reach the new one.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import NamedTuple

from hosts import PLACE, RELEASES, Host, fleet, wait

GUARD = "/run/bulkhead/ufw/guard.py"
CONFIG, STEPS, REACHED = "/srv/kill.json", "/srv/steps", "/srv/reached"
SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
OLD = {
    "default": {"incoming": "deny", "outgoing": "allow", "routed": "deny"},
    "logging": "low",
    "purge": True,
    "rules": [SSH, {"rule": "allow", "proto": "tcp", "to_port": "80"}],
}
# All four files and both families change.
NEW = {
    "default": {"incoming": "deny", "outgoing": "allow", "routed": "reject"},
    "logging": "medium",
    "purge": True,
    "rules": [SSH, {"rule": "deny", "from_ip": "10.99.0.0/16"}, {"rule": "allow", "proto": "udp", "to_port": "53"}],
}
HOOK = """\
import json, os, signal, sys
def install():
    try:
        with open(%(config)r) as stream:
            config = json.load(stream)
        with open("/proc/self/cmdline") as stream:
            command = stream.read().replace("\\0", " ")
    except (OSError, ValueError):
        return
    if config["role"] not in command:
        return
    counted = [0]
    flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    # The places that matter; not what Python caches for itself.
    ours = ("/etc/", "/run/", "/var/lib/")
    def hook(event, args):
        if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "subprocess.Popen"):
            what = args[1] if event == "subprocess.Popen" else args[0]
        elif event == "open" and isinstance(args[0], str) and args[0].startswith(ours) and (args[2] or 0) & flags:
            what = args[0]
        else:
            return
        if event != "subprocess.Popen" and not str(what).startswith(ours):
            return
        counted[0] += 1
        number = counted[0]
        if number > config["step"] > 0:
            return
        log = os.open(%(steps)r, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        text = " ".join(map(str, what)) if isinstance(what, (list, tuple)) else str(what)
        os.write(log, ("%%d %%s %%s\\n" %% (number, event, text[:90])).encode())
        os.close(log)
        if number == config["step"]:
            os.unlink(%(config)r) if config["how"] != "stop" else None
            reached = os.open(%(reached)r, os.O_CREAT | os.O_WRONLY)
            os.write(reached, b"%%d\\n" %% os.getpid())
            os.close(reached)
            os.kill(os.getpid(), signal.SIGSTOP if config["how"] == "stop" else signal.SIGKILL)
    # The hook's own operations announce themselves as well.
    busy = []
    def once(event, args):
        if not busy:
            busy.append(1)
            try:
                hook(event, args)
            finally:
                busy.pop()
    sys.addaudithook(once)
install()
""" % {"config": CONFIG, "steps": STEPS, "reached": REACHED}
# What the kernel and the files are, without counters; what ufw says; and what still waits. A temporary file of a killed
# process waits for nothing: the next run removes it. The chains that ufw's command makes to see what the kernel can do
# stay behind when it is killed; nothing leads to them.
LOOK = """\
echo KERNEL; for c in iptables-save ip6tables-save; do $c -t filter | grep -v -e '^#' -e '[ :]ufw6*-caps-test' |
    sed 's/ \\[.*//'; done
echo FILES; cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/ufw.conf /etc/default/ufw
echo STATUS; ufw status verbose
echo LEFT; find /run/bulkhead/ufw/change.json /etc/ufw/bulkhead-keep.sh /etc/systemd/system/ufw.service.d \
    ! -type d ! -name '.*.bulkhead' 2>/dev/null || true
"""
# The old ruleset, to have it again in a moment.
SAVE = """\
tar -C / -cf /srv/old.tar etc/ufw etc/default/ufw
iptables-save -t filter > /srv/old.4; ip6tables-save -t filter > /srv/old.6
"""
RESTORE = """\
systemctl stop 'bulkhead-ufw-*' 2>/dev/null
rm -rf /run/bulkhead/ufw /etc/systemd/system/ufw.service.d /etc/ufw/bulkhead-keep.sh /etc/ufw/.*.bulkhead
tar -C / -xf /srv/old.tar && iptables-restore < /srv/old.4 && ip6tables-restore < /srv/old.6"""


# The module beside a stopped command of ufw's: whether the command holds the lock, and whether the module ended all the
# same, for which it gets the time.
BESIDE = """\
ufw=$(cat %s)
grep -q "POSIX .* WRITE $ufw " /proc/locks && echo held || echo free
PYTHONDONTWRITEBYTECODE=1 python3 %s/driver.py '%%(wish)s' >/dev/null 2>&1 & module=$!
while kill -0 $module 2>/dev/null && ! ls -l /proc/$module/fd 2>/dev/null | grep -q /ufw.lock; do sleep 0.05; done
sleep %%(time)s
kill -0 $module 2>/dev/null && echo waits || echo ended
%%(cut)s
kill -9 $ufw
wait $module || true
""" % (REACHED, PLACE)


class Role(NamedTuple):
    """A program that is killed. ``mark`` is a part of its command line; ``waits`` whether the change waits for a
    confirmation; ``begin`` what the host is like before: the old ruleset, or the old one with ufw off."""

    name: str
    mark: str
    waits: int
    off: bool = False


MODULE = Role("module, waits", PLACE + "/driver.py", 600)
AT_ONCE = Role("module, at once", PLACE + "/driver.py", 0)
SWITCH = Role("module, ufw off", PLACE + "/driver.py", 600, off=True)
KEEP = Role("confirmation", "guard.py keep", 600)
BACK = Role("rollback", "guard.py settle", 5)
UFW = Role("ufw itself", "/usr/sbin/ufw allow", 0)
ROLES = (MODULE, AT_ONCE, SWITCH, KEEP, BACK)


class Look(NamedTuple):
    """What LOOK prints, in parts."""

    kernel: str
    files: str
    status: str
    left: str


class Bench:
    """One host and its two rulesets."""

    def __init__(self, host: Host) -> None:
        self.host = host
        host.install()
        version = host.shell("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
        host.put("/usr/lib/python3/dist-packages/sitecustomize.py", HOOK)
        host.shell("rm -f /usr/lib/python%s/sitecustomize.py" % version)
        self.known: dict[str, Look] = {}
        for name, wish in (("new", NEW), ("old", OLD)):
            self.apply(wish)
            self.known[name] = self.look()
        host.shell(SAVE)

    def apply(self, wish: dict) -> None:
        began = time.monotonic()
        result = self.host.driver({**wish, "confirm": {"timeout": 0}})
        self.took = time.monotonic() - began
        if "changed" not in result:
            raise RuntimeError("%s: %s" % (self.host.name, result))

    def look(self) -> Look:
        parts = self.host.shell(LOOK).replace("KERNEL\n", "\0").replace("FILES\n", "\0").replace("STATUS\n", "\0")
        kernel, files, status, left = parts.replace("LEFT\n", "\0").split("\0")[1:]
        # The chains are declared in the order of their making.
        return Look(
            "\n".join(sorted(kernel.splitlines(), key=lambda line: line.split()[:2])), files, status, left.strip()
        )

    # -- one run -------------------------------------------------------------------------------------------------

    def prepare(self, role: Role) -> None:
        """The old ruleset in files and kernel, as the module made it once; nothing waits."""
        off = "ufw --force disable >/dev/null" if role.off else "true"
        self.host.shell(f"rm -f {CONFIG} {STEPS} {REACHED}\n{RESTORE} && {off}")

    def arm(self, role: Role, step: int, how: str) -> None:
        self.host.put(CONFIG, json.dumps({"role": role.mark, "step": step, "how": how}))

    def act(self, role: Role, step: int, how: str) -> None:
        """Do what the role does; it is killed at the step, or comes to an end (step 0)."""
        if role is UFW:
            return self.act_beside(step, how)
        if role.mark.startswith("guard"):
            token = self.host.driver({**NEW, "confirm": {"timeout": role.waits}})["pending"]["token"]
            self.arm(role, step, how)
            if role is BACK:
                return self.await_end(how, step)
            return self.start("python3 -I %s keep %s" % (GUARD, token), how)
        self.arm(role, step, how)
        words = json.dumps({**NEW, "confirm": {"timeout": role.waits}})
        return self.start("PYTHONDONTWRITEBYTECODE=1 python3 %s/driver.py '%s'" % (PLACE, words), how)

    def act_beside(self, step: int, how: str) -> None:
        """ufw's command is stopped at the step, the module started, and the command killed."""
        command = "ufw allow 9999/tcp"
        if not step:
            self.arm(UFW, 0, "kill")
            return self.start(command, "kill")
        self.arm(UFW, step, "stop")
        self.start(command, "stop")
        path = self.steps()[-1].split()[-1]
        words = {
            "cut": ": > " + path if how == "cut" else ":",
            "time": "%.1f" % max(1, 1.5 * self.took),
            "wish": json.dumps({**NEW, "confirm": {"timeout": 0}}),
        }
        said = self.host.shell(BESIDE % words).split()
        if said == ["held", "ended"]:
            raise RuntimeError("the module did not wait for the lock at step %d" % step)

    def start(self, command: str, how: str) -> None:
        if how != "stop":
            self.host.shell(command, check=False)
            return
        self.host.shell("nohup env %s >/dev/null 2>&1 &" % command)
        self.await_reached()

    def await_reached(self) -> None:
        self.wait_for("test -s " + REACHED)

    def await_end(self, how: str, step: int) -> None:
        """Until the timer's program has rolled back, killed in between or not; or is stopped at the step."""
        if how == "stop" and step:
            self.await_reached()
        else:
            self.wait_for("test ! -e /run/bulkhead/ufw/change.json")

    def wait_for(self, test: str) -> None:
        end = time.monotonic() + 120
        while self.host.shell("%s && echo yes || true" % test).strip() != "yes":
            if time.monotonic() > end:
                raise RuntimeError("waited in vain for: " + test)
            time.sleep(0.1)

    def steps(self) -> list[str]:
        return self.host.shell("cat %s 2>/dev/null || true" % STEPS).splitlines()

    def settle(self) -> None:
        """What the timer does when its time has come; here at once, by starting its own service."""
        self.host.shell(
            "for t in $(systemctl list-units --plain --no-legend 'bulkhead-ufw-*.timer' | cut -d' ' -f1); do "
            "systemctl start ${t%.timer}.service; systemctl stop $t; done; "
            "while systemctl is-active --quiet 'bulkhead-ufw-*.service'; do sleep 0.1; done",
            check=False,
        )

    def judge(self, role: Role) -> tuple[str, list[str]]:
        """old, new, or off (which is the old one where ufw was off); and what is wrong."""
        found, problems = self.look(), []
        status = found.status.splitlines()[0]
        if role.off and "inactive" in status:
            state = "off"
            if "-P INPUT DROP" in found.kernel or ":INPUT DROP" in found.kernel:
                problems.append("ufw is off but the kernel drops")
            if "ENABLED=no" not in found.files:
                problems.append("ufw is off but ENABLED is not no")
        else:
            names = [name for name, known in self.known.items() if found.files == known.files]
            state = names[0] if names else "neither"
            if not names:
                problems.append("the files are neither the old nor the new ones")
            elif found.kernel != self.known[state].kernel:
                other = [name for name, known in self.known.items() if found.kernel == known.kernel]
                problems.append("the files are the %s ones, the kernel is %s" % (state, other or "neither"))
            elif found.status != self.known[state].status:
                problems.append("ufw status does not agree: " + found.status)
        if found.left:
            problems.append("left behind: " + found.left)
        return state, problems

    def finish(self) -> list[str]:
        """The next run reaches the new ruleset, whatever it found."""
        result = self.host.driver({**NEW, "confirm": {"timeout": 0}})
        state, problems = self.judge(MODULE)
        if result.get("failed") or state != "new" or problems:
            return ["the next run: %s %s %s" % (result.get("msg", ""), state, "; ".join(problems))]
        return []


class Row(NamedTuple):
    """A line of the table."""

    role: str
    how: str
    steps: int
    tried: int
    states: dict
    problems: list


def count(bench: Bench, role: Role) -> list[str]:
    """The steps of a run that nobody kills."""
    bench.prepare(role)
    bench.act(role, 0, "kill")
    steps = bench.steps()
    bench.host.shell("rm -f " + CONFIG)
    if bench.host.shell("ls /run/bulkhead/ufw/change.json 2>/dev/null || true"):
        bench.host.shell("python3 -I %s back" % GUARD)
    return steps


HOW = {"kill": "the process", "cut": "and its file", "stop": "the host"}


def try_role(bench: Bench, role: Role, how: str, every: int, offset: int = 0) -> Row:
    """Kill a role at its steps, one run each. ``how`` is kill (the process), cut (and the file that it was about to
    write is empty) or stop (and then the host)."""
    steps = count(bench, role)
    chosen = list(range(1 + offset % every, len(steps) + 1, every))
    if how == "cut":
        chosen = [number for number, step in enumerate(steps, 1) if " open /etc/ufw/user" in step]
    states: dict[str, int] = {}
    problems = []
    for step in chosen:
        bench.prepare(role)
        bench.act(role, step, how)
        hit = bench.steps()
        if not hit or not hit[-1].startswith("%d " % step):
            problems.append("step %d was not reached: %s" % (step, hit[-1:]))
        if how == "stop":
            bench.host.kill()
        elif role is not BACK:
            bench.settle()
        bench.host.shell("rm -f " + CONFIG)
        state, wrong = bench.judge(role)
        if role is UFW and state != "new":
            wrong.append("the module did not go on")
        states[state] = states.get(state, 0) + 1
        if how != "stop":
            bench.host.reboot()
            again, more = bench.judge(role)
            wrong += [f"after the boot: {text}" for text in more]
            wrong += [f"{state} before the boot and {again} after it"] if again != state else []
        wrong += reachable(bench.host, state)
        wrong += bench.finish()
        problems += ["step %s: %s" % (hit[-1] if hit else step, text) for text in wrong]
    return Row(role.name, HOW[how], len(steps), len(chosen), states, problems)


def reachable(host: Host, state: str) -> list[str]:
    """Whether SSH is let in after the boot, and nothing else where ufw is on."""
    wrong = []
    try:
        wait(lambda: host.reachable(4) and host.reachable(6), 20)
    except RuntimeError:
        wrong.append("shut out after the boot")
    for family in (4, 6):
        if host.is_open(family) != (state == "off"):
            wrong.append(f"IPv{family} is {'closed' if state == 'off' else 'open'} after the boot")
    return wrong


def run_host(
    host: Host, every: int, offset: int, rows: list[tuple[str, Row]], ways: tuple[tuple[Role, str], ...]
) -> None:
    """All roles on one host."""
    bench = Bench(host)
    for number, (role, how) in enumerate(ways):
        try:
            row = try_role(bench, role, how, every, offset + number)
        except Exception as error:  # pylint: disable=broad-except
            row = Row(role.name, how, 0, 0, {}, ["%s: %s" % (type(error).__name__, error)])
        rows.append((host.release, row))
        print_row(host.release, row)


def print_row(release: str, row: Row) -> None:
    states = ", ".join("%d %s" % (number, state) for state, number in sorted(row.states.items()))
    line = "%-9s %-16s %-12s %5d %5d  %-24s %d wrong" % (
        release, row.role, row.how, row.steps, row.tried, states, len(row.problems),
    )  # fmt: skip
    print("\n".join([line] + ["    " + text for text in row.problems]), flush=True)


WAYS = (*((role, how) for how in ("kill", "stop") for role in ROLES), (UFW, "kill"), (UFW, "cut"))


def main() -> int:
    """Every step on every host, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=2, help="only each n-th step (%(default)s)")
    parser.add_argument("--release", action="append", choices=RELEASES)
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    options = parser.parse_args()
    rows: list[tuple[str, Row]] = []
    print("%-9s %-16s %-12s %5s %5s  %s" % ("release", "program", "killed", "steps", "tried", "found afterwards"))
    with fleet(tuple(options.release or RELEASES), options.keep) as hosts:
        # Each host begins at another step, so that together they see more of them where not each is tried.
        threads = [
            threading.Thread(target=run_host, args=(host, options.every, number, rows, WAYS))
            for number, host in enumerate(hosts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = len(hosts) * len(WAYS)
    wrong = sum(len(row.problems) for _release, row in rows)
    print("\n%d kills, %d went wrong" % (sum(row.tried for _release, row in rows), wrong))
    return 1 if wrong or len(rows) < expected else 0


if __name__ == "__main__":
    sys.exit(main())
