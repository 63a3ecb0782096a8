# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's own command, in a loop, beside the module: no rule of either is lost.

    .venv/bin/python tests/fault/ufw_beside.py [--runs 10] [--release trixie]

One process runs `ufw allow` and `ufw delete` as fast as ufw goes, and writes down what it was told; the module applies two
rulesets in turn meanwhile, without purge. It proves each without ufw's lock and takes it to change, so that most of its
tries find another host than the one they read. At the end every rule that ufw was told last to have is in its file and in
the kernel, once, and every one that it was told to delete is in neither.

What ufw loses by itself (it reads before it takes its lock, so that it may write the module's rules out of its file again)
is found by the next run as drift.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from hosts import RELEASES, Host, fleet

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
#: Rules of ours: enough to prove that an `ufw allow` fits in.
OURS = [{"rule": "allow", "proto": "tcp", "to_port": str(2000 + number)} for number in range(300)]
WISHES = ([SSH, *OURS], [SSH, *OURS[:100], {"rule": "deny", "from_ip": "10.99.0.0/16"}])
STOP, LOG = "/run/beside.stop", "/srv/beside.log"
#: Three are added, and one of them is deleted again.
LOOP = """\
n=0; rm -f %(stop)s %(log)s
while [ ! -e %(stop)s ] && [ $n -lt 250 ]; do
    n=$((n + 1)); ufw allow from 203.0.113.$n >/dev/null 2>&1 && echo "+ $n" >> %(log)s
    [ $((n %% 3)) -ne 0 ] || { ufw delete allow from 203.0.113.$n >/dev/null 2>&1 && echo "- $n" >> %(log)s; }
done
""" % {"stop": STOP, "log": LOG}


def beside(host: Host, runs: int) -> tuple[str, list[str]]:
    """Both at once on one host: a line that says what was done, and what went wrong."""
    host.install()
    host.shell("ufw --force reset >/dev/null; ufw --force enable >/dev/null")
    host.driver({"rules": [SSH], "confirm": {"timeout": 0}})
    others = threading.Thread(target=host.shell, args=(LOOP,))
    others.start()
    results = []
    try:
        for number in range(runs):
            results.append(host.driver({"rules": WISHES[number % 2], "confirm": {"timeout": 0}}))
    finally:
        host.shell("touch " + STOP)
        others.join()
    problems = [
        f"run {number}: {result.get('msg', result)}" for number, result in enumerate(results) if "changed" not in result
    ]
    there: dict[int, bool] = {}
    lines = host.shell("cat " + LOG).splitlines()
    for line in lines:
        sign, number = line.split()
        there[int(number)] = sign == "+"
    # What ufw itself wrote out of its file comes back.
    last = host.driver({"rules": WISHES[(runs - 1) % 2], "confirm": {"timeout": 0}})
    problems += [] if "changed" in last else [f"the last run: {last}"]
    problems += lost(host, there)
    again = host.driver({"rules": WISHES[(runs - 1) % 2], "confirm": {"timeout": 0}})
    problems += [] if again.get("changed") is False else [f"one more run changes something: {json.dumps(again)[:500]}"]
    left_out = sum("not worked out" in json.dumps(result.get("unlisted", [])) for result in results)
    done = f"{runs} runs of ours, {left_out} of them under the lock throughout, beside {len(lines)} commands of ufw"
    return done, problems


def lost(host: Host, there: dict[int, bool]) -> list[str]:
    """Rules of ufw's own commands that are not where they should be."""
    texts = {"user.rules": host.shell("cat /etc/ufw/user.rules"), "the kernel": host.shell("iptables-save -t filter")}
    problems = []
    for name, text in texts.items():
        rules = [line for line in text.splitlines() if line.startswith("-A ufw-user-input ")]
        for number, wanted in there.items():
            found = sum(f"-s 203.0.113.{number} " in line or f"-s 203.0.113.{number}/32 " in line for line in rules)
            if found != int(wanted):
                problems.append(f"203.0.113.{number} is {found} times in {name}, not {int(wanted)}")
    return problems


def main() -> int:
    """On every release; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--release", action="append", choices=RELEASES)
    options = parser.parse_args()
    wrong = 0
    with fleet(tuple(options.release or RELEASES)) as hosts:
        for host in hosts:
            done, problems = beside(host, options.runs)
            print(
                "\n".join([f"{host.release}: {done}, {len(problems)} wrong", *(f"    {text}" for text in problems)]),
                flush=True,
            )
            wrong += len(problems)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
