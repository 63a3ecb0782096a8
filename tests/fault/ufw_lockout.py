# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""50 rulesets that would cut the connection of the task that applies them.

    .venv/bin/python tests/fault/ufw_lockout.py [--cases 50] [--timeout 6]

Each is applied twice through Ansible over SSH. With the lock-out proof on it must be refused, naming what does it, and
nothing may change. With the proof off (accept_lockout) it must be loaded, cut new connections, and be gone again by
itself: a new connection is greeted within the timeout + 5 s, the task fails and says why, and files and kernel are what
they were.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from typing import NamedTuple

from hosts import NET, Host, fleet

HERE = {4: "10.%d.0.0/24" % NET, 6: "fd00:%d::/64" % NET}
DEFAULT = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
GOOD = {"default": DEFAULT, "logging": "low", "ipv6": True, "purge": True, "rules": [SSH]}
STATE = (
    "for c in iptables-save ip6tables-save; do $c -t filter | grep -v '^#' | sed 's/ \\[.*//'; done; "
    "cat /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/ufw.conf /etc/default/ufw"
)
# Without this line ufw lets answers out only where a rule does.
ANSWERS = "^-A %s-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


class Case(NamedTuple):
    """``named`` is what the refusal must name. ``prepare`` runs on the host before, ``clean`` after."""

    kind: str
    arguments: dict
    named: str
    family: int = 4
    prepare: str = ""
    clean: str = ""


def rules(*items: dict, **default: str) -> dict:
    return {**GOOD, "rules": list(items), "default": {**DEFAULT, **default}}


def cases() -> list[Case]:
    """All of them, in an order that begins with one of each kind."""
    made: dict[str, list[Case]] = {}

    def case(kind: str, arguments: dict, named: str, **more: object) -> None:
        made.setdefault(kind, []).append(Case(kind, arguments, named, **more))  # type: ignore[arg-type]

    for action in ("deny", "reject"):
        verb = "the rule `%s in " % action
        for match, words in (
            ({"proto": "tcp", "to_port": "22"}, "proto tcp from any to any port 22`"),
            ({"to_port": "22"}, "from any to any port 22`"),
            ({"proto": "tcp", "to_port": "20:30"}, "proto tcp from any to any port 20:30`"),
            ({"proto": "tcp", "to_port": "22,80,443"}, "proto tcp from any to any port 22,80,443`"),
            ({"from_ip": HERE[4]}, "from %s to any`" % HERE[4]),
            ({"from_ip": "0.0.0.0/0"}, "from any to any`"),
            ({"proto": "tcp", "interface": "eth0"}, ""),
            ({"proto": "tcp", "from_ip": HERE[4].replace(".0/24", ".1"), "to_port": "22", "log": "new"}, ""),
        ):
            # The same match twice is a mistake of its own.
            others = [] if words.endswith("proto tcp from any to any port 22`") else [SSH]
            case("deny ssh", rules({"rule": action, **match}, *others), verb + words if words else verb[:-4])
    for number, source in enumerate(
        ("10.200.0.0/16", "192.0.2.0/24", "10.%d.1.0/24" % NET, "10.%d.0.128/25" % NET, "::/0")
    ):
        for policy in ("deny", "reject"):
            rule = {**SSH, "from_ip": source}
            case("wrong subnet", rules(rule, incoming=policy), "the default policy of incoming packets", family=4)
        if number < 2:
            case("wrong subnet", rules(rule), "the default policy of incoming packets", family=6)
    for policy in ("deny", "reject"):
        for family in (4, 6):
            case("nothing allowed", rules(incoming=policy), "the default policy of incoming packets", family=family)
        case("nothing allowed", rules({**SSH, "to_port": "2222"}, incoming=policy), "the default policy of incoming")
        case("nothing allowed", rules({**SSH, "proto": "udp"}, incoming=policy), "the default policy of incoming")
    for name in ("eth1", "docker0", "tailscale0", "wg0", "eth00", "lo"):
        case("wrong interface", rules({**SSH, "interface": name}), "the default policy of incoming packets")
    for family in (4, 6):
        six = "" if family == 4 else "6"
        path = "/etc/ufw/before%s.rules" % six
        pattern = ANSWERS % ("ufw" + six)
        edit = f"cp -p {path} /root/before && sed -i '/{pattern}/d' {path}"
        back = "cp -p /root/before " + path
        more = {"family": family, "prepare": edit, "clean": back}
        for policy in ("deny", "reject"):
            case("no answer", rules(SSH, outgoing=policy), "the default policy of outgoing packets", **more)
            out = {"rule": policy, "direction": "out", "to_ip": HERE[family]}
            case("no answer", rules(SSH, out), "the rule `%s out from any to %s`" % (policy, HERE[family]), **more)
    case("no IPv6", {**GOOD, "ipv6": False}, "", family=6)
    off = "ufw --force disable"
    for arguments in (
        rules(),
        rules({**SSH, "from_ip": "10.200.0.0/16"}),
        rules({"rule": "deny", "to_port": "22"}, SSH),
    ):
        case("switched on", arguments, "a new connection would be stopped by", prepare=off, clean="")
    groups = list(made.values())
    order = [group[place] for place in range(max(map(len, groups))) for group in groups if place < len(group)]
    return order


class Result(NamedTuple):
    """``problems`` is empty where all is well; ``back`` the seconds from the task's start to the greeting."""

    case: Case
    problems: list[str]
    cut: bool
    back: float


def try_case(host: Host, case: Case, timeout: int, late: int = 5) -> Result:
    """Both runs of one case. late: seconds after the timeout within which an idle machine has the old rules back."""
    problems = []
    settled = host.task({**GOOD, "confirm": {"timeout": 20}})
    if settled.get("failed"):
        return Result(case, ["cannot begin: %s" % settled.get("msg")], False, 0)
    if case.prepare:
        host.shell(case.prepare)
    before = host.shell(STATE)
    answer = host.task({**case.arguments, "confirm": {"timeout": timeout}}, case.family)
    if not answer.get("failed") or "would cut the connection" not in answer.get("msg", ""):
        problems.append("not refused: %s" % answer.get("msg", answer))
    elif case.named not in answer["msg"]:
        problems.append("refused without naming %r: %s" % (case.named, answer["msg"]))
    if host.shell(STATE) != before:
        problems.append("the refusal changed something")

    watch = Watch(host, case.family)
    answer = host.task({**case.arguments, "accept_lockout": True, "confirm": {"timeout": timeout}}, case.family)
    watch.finish()
    if not answer.get("failed") and not answer.get("unreachable"):
        problems.append("not rolled back: %s" % answer.get("confirmation"))
    elif "The old one is back" not in answer.get("msg", ""):
        problems.append("rolled back without saying so: %s" % answer.get("msg"))
    if not watch.cut:
        problems.append("it does not cut the connection")
    elif not watch.back:
        problems.append("not reachable again")
    elif watch.back > (timeout + late) * max(
        1.0, os.getloadavg()[0] / (os.cpu_count() or 1)
    ):  # a busy machine is late itself
        problems.append("reachable only after %.1f s" % watch.back)
    if host.shell(STATE) != before:
        problems.append("the rollback left something")
    if case.clean:
        host.shell(case.clean)
    return Result(case, problems, bool(watch.cut), watch.back)


class Watch:
    """New connections, all the time: ``cut`` when the first one failed, ``back`` how long it took until they passed
    again: both in seconds from the cut."""

    def __init__(self, host: Host, family: int) -> None:
        self._host, self._family, self._stop = host, family, threading.Event()
        self.cut, self.back = 0.0, 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            greeted = self._host.reachable(self._family, 0.5)
            if self._stop.is_set():
                break
            if not greeted:
                self.cut, self.back = self.cut or began, 0.0
            elif self.cut and not self.back:
                self.back = time.monotonic() - self.cut
            self._stop.wait(0.1)

    def finish(self) -> None:
        end = time.monotonic() + 60
        while self.cut and not self.back and time.monotonic() < end:
            time.sleep(0.1)
        self._stop.set()
        self._thread.join()


def run_cases(hosts: list[Host], chosen: list[Case], timeout: int) -> list[Result]:
    """The cases, dealt out to the hosts."""
    results: list[Result] = []
    lock = threading.Lock()

    def work(host: Host, mine: list[Case]) -> None:
        for case in mine:
            try:
                result = try_case(host, case, timeout)
            except Exception as error:  # pylint: disable=broad-except
                result = Result(case, ["%s: %s" % (type(error).__name__, error)], False, 0)
            with lock:
                results.append(result)
                print(
                    "%-12s %-16s v%d  back after %4.1f s  %s"
                    % (host.name, case.kind, case.family, result.back, "; ".join(result.problems) or "ok"),
                    flush=True,
                )

    threads = [
        threading.Thread(target=work, args=(host, chosen[number :: len(hosts)])) for number, host in enumerate(hosts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main() -> int:
    """All cases, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--timeout", type=int, default=6, help="confirm.timeout")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    options = parser.parse_args()
    chosen = cases()[: options.cases]
    with fleet(keep=options.keep) as hosts:
        results = run_cases(hosts, chosen, options.timeout)
    print("\n%-16s %6s %8s %12s %14s" % ("kind", "cases", "refused", "rolled back", "slowest back"))
    for kind in dict.fromkeys(case.kind for case in chosen):
        these = [result for result in results if result.case.kind == kind]
        refused = sum(not any("refus" in problem for problem in result.problems) for result in these)
        rolled = sum(not any("refus" not in problem for problem in result.problems) for result in these)
        slowest = max(result.back for result in these)
        print("%-16s %6d %8d %12d %12.1f s" % (kind, len(these), refused, rolled, slowest))
    bad = [result for result in results if result.problems]
    print("\n%d of %d cases went wrong" % (len(bad), len(results)))
    return 1 if bad or len(results) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
