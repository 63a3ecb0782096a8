# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user without rights tries to keep a host cut off: to stop the rollback of a change that nothing confirms.

    .venv/bin/python tests/fault/ufw_user.py [--release trixie] [ATTACK ...]

Each attack is made before the change is applied or while it waits, and goes on until the end. The rollback must come all
the same: kernel and files are what they were, and the program on the host says so. Where the attack needs something
that root has left open (a lock file that any user can read, a folder in /run that any user can write to), it is made.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import NamedTuple

from hosts import RELEASES, Host, fleet

GUARD = "python3 -I /run/bulkhead/ufw/guard.py"
SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
OLD = {"default": {"incoming": "deny", "outgoing": "allow", "routed": "deny"}, "logging": "low", "purge": True}
OLD = {**OLD, "rules": [SSH]}
CUTS = {**OLD, "rules": [{**SSH, "rule": "deny"}], "default": {**OLD["default"], "outgoing": "reject"}}
STATE = (
    "for c in iptables-save ip6tables-save; do $c -t filter | grep -v '^#' | sed 's/ \\[.*//' | sort; done; "
    "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/ufw.conf /etc/default/ufw; "
    "find /etc/ufw /etc/default /etc/systemd/system/ufw.service.d -name '*bulkhead*' 2>/dev/null || true"
)
#: The user's program; it says when it holds what it is after, or that it does not get it.
HOLD = """\
import fcntl, os, struct, sys, time
kind, path = sys.argv[1:]
try:
    if kind == "posix":
        handle = os.open(path, os.O_RDONLY); fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    elif kind == "ofd":
        handle = os.open(path, os.O_RDONLY)
        fcntl.fcntl(handle, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
    elif kind == "write":
        handle = os.open(path, os.O_RDWR); fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif kind == "flock":
        handle = os.open(path, os.O_RDONLY); fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif kind == "fill":
        handle = os.open(path + "/much", os.O_WRONLY | os.O_CREAT)
        try:
            for _part in range(2048):  # 128 MB: of a /run that has half of that
                os.write(handle, b"x" * 65536)
        except OSError:
            pass
    print("held", flush=True)
except OSError as error:
    print("refused", error, flush=True)
# Until the test ends, or the host's side of it is lost.
end = time.time() + 300
while time.time() < end and not os.path.exists("/tmp/let-go"):
    if kind in ("posix", "write") and "handle" not in globals():
        try:
            handle = os.open(path, os.O_RDONLY); fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            globals().pop("handle", None)
    time.sleep(0.2)
"""


class Attack(NamedTuple):
    """``first`` is done by root before all; ``hold`` is what the user's program holds: kind and path. ``late`` is whether
    it begins while the change waits. ``got`` is whether the user gets hold of it at all, None where either will do."""

    name: str
    hold: tuple[str, str]
    first: str = ""
    late: bool = False
    got: bool | None = None


LOCK = "/run/ufw.lock"
LEFT_OPEN = f"rm -rf {LOCK}; touch {LOCK}; chmod 644 {LOCK}"
ATTACKS = (
    Attack("a shared lock on ufw's lock file", ("posix", LOCK), LEFT_OPEN, got=True),
    Attack("the same once the change waits", ("posix", LOCK), LEFT_OPEN, late=True, got=False),
    Attack("after a command of ufw's own", ("posix", LOCK), f"rm -rf {LOCK}; ufw status >/dev/null", got=True),
    Attack("a shared lock of the open file", ("ofd", LOCK), LEFT_OPEN, got=True),
    Attack("an exclusive lock on a file that all may write to", ("write", LOCK), f"{LEFT_OPEN}; chmod 666 {LOCK}"),
    Attack("a FIFO as lock file", ("posix", "/dev/null"), f"rm -rf {LOCK}; mkfifo -m 666 {LOCK}"),
    Attack(
        "a link to a file of the user's",
        ("write", "/tmp/mine"),
        f"rm -rf {LOCK}; install -o nobody -m 666 /dev/null /tmp/mine; ln -s /tmp/mine {LOCK}",
    ),
    Attack("a folder as lock file, once the change waits", ("late", f"rm -f {LOCK}; mkdir {LOCK}"), "", late=True),
    Attack("our own lock", ("flock", "/run/bulkhead"), "rm -rf /run/bulkhead; mkdir -m 755 /run/bulkhead", got=True),
    Attack(
        "iptables' lock, where it has one",
        ("flock", "/run/xtables.lock"),
        "update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy; "
        "update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy; touch /run/xtables.lock; "
        "chmod 644 /run/xtables.lock",
        late=True,
        got=True,
    ),
    Attack("/run filled up", ("fill", "/run/shared"), "mkdir -m 1777 /run/shared", late=True, got=True),
)
CLEAN = (
    "touch /tmp/let-go; while pgrep -u nobody >/dev/null; do sleep 0.1; done; rm -rf /tmp/let-go /tmp/mine "
    f"/run/shared {LOCK} /run/xtables.lock; update-alternatives --quiet --set iptables /usr/sbin/iptables-nft; "
    "update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-nft; systemctl stop 'bulkhead-ufw-*'"
)


def prepare(host: Host) -> None:
    """Once for each host."""
    host.install()
    host.put("/opt/hold.py", HOLD)
    host.shell("df -k --output=size /run | grep -qx ' *65536'")


def try_attack(host: Host, attack: Attack, timeout: int = 5, patience: float = 45.0) -> list[str]:
    """What went wrong; nothing where the user got nothing."""
    problems = []
    try:
        host.shell(attack.first or "true")
        if attack.name.startswith("iptables"):
            host.shell("iptables-save >/dev/null; ufw --force reload")
        if not attack.late:
            _hold(host, attack, problems)
        settled = host.driver({**OLD, "confirm": {"timeout": 0}})
        if "changed" not in settled:
            return [*problems, f"cannot begin: {settled.get('msg', settled)}"]
        before = host.shell(STATE)
        pending = host.driver({**CUTS, "confirm": {"timeout": timeout}}).get("pending")
        if not pending or host.shell(STATE) == before:
            return [*problems, "the change was not applied"]
        if attack.late:
            _hold(host, attack, problems)
        end = time.monotonic() + timeout + patience
        while host.shell(STATE) != before and time.monotonic() < end:
            time.sleep(0.3)
        if host.shell(STATE) != before:
            problems.append("the host is cut off: not rolled back")
            return problems
        answer = json.loads(host.shell(f"{GUARD} status {pending['token']}"))
        if answer["state"] != "back":
            problems.append(f"rolled back, and the program says {answer}")
    finally:
        host.shell(CLEAN, check=False)
    return problems


def _hold(host: Host, attack: Attack, problems: list[str]) -> None:
    kind, path = attack.hold
    if kind == "late":
        host.shell(path)
        return
    host.shell(
        f"rm -f /tmp/said; touch /tmp/said; chmod 666 /tmp/said; runuser -u nobody -- sh -c "
        f"'setsid python3 /opt/hold.py {kind} {path} >/tmp/said 2>&1 &'"
    )
    end = time.monotonic() + 30
    while not (said := host.shell("cat /tmp/said").strip()) and time.monotonic() < end:
        time.sleep(0.1)
    if attack.got is not None and said.startswith("held") != attack.got:
        problems.append(f"the user's program says: {said or 'nothing'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", help="parts of the names of attacks; all without")
    parser.add_argument("--release", action="append", choices=RELEASES)
    options = parser.parse_args()
    chosen = [each for each in ATTACKS if not options.attacks or any(part in each.name for part in options.attacks)]
    wrong = 0
    with fleet(tuple(options.release or RELEASES)) as hosts:
        for host in hosts:
            prepare(host)
            for attack in chosen:
                problems = try_attack(host, attack)
                wrong += bool(problems)
                print(f"{host.release:9} {attack.name:50} {'; '.join(problems) or 'ok'}", flush=True)
    print(f"\n{len(chosen)} attacks on each of {len(hosts)} hosts, {wrong} got something")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
