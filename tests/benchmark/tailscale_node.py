# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Seconds of tailscale_node on a real node, beside the tasks of the role artis3n.tailscale for the same end state.

    PYTHONPATH=.venv/collections:tests/support python tests/benchmark/tailscale_node.py [--runs 5] [--sets 1000]

One host, a real Headscale. Both have the same to do, through ansible-playbook with pipelining, over the same connection: a
node that is joined and as it should be (no change), and one option that is another one (a change). The role's part is what
its tasks/main.yml and tasks/install.yml of November 2025 do on a Debian whose package is installed, as ordinary tasks in its
order, without those for the package; its `tailscale up` names every flag, since it would be refused otherwise.

Then the module's own time where nothing changes, on the host, of 20 runs, and ``--sets`` random sets of preferences of which
check mode has to predict what a run changes. Exit status 1 where it does not, where a run without a change changes
something, or where the module needs more than 0.3 s or three requests for that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hosts.machine import ROOT, Play
from tailnet import Headscale, Node, tailnet
from tailnet.drive import drive, send

PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-bench") + "-ts"
NET = f"10.{os.environ.get('BULKHEAD_FAULT_NET', '77')}.8"
MOST_SECONDS, MOST_REQUESTS = 0.3, 3


def role(control: Headscale, key: str, routes: str) -> list[dict]:
    """The role's tasks, as they run on a host of Debian's family with an installed package."""
    arguments = f"--login-server={control.url} --hostname=bench --accept-routes --advertise-routes={routes} --netfilter-mode=nodivert"
    state = "/root/.local/state/artis3n-tailscale"
    online = "(status.stdout | from_json).Self.Online"
    return [
        {"name": "facts", "ansible.builtin.setup": {}},
        {"name": "arguments are checked", "ansible.builtin.fail": {"msg": "no key"}, "when": "false"},
        {"name": "legacy state", "ansible.builtin.file": {"path": "/root/.artis3n-tailscale", "state": "absent"}},
        {"name": "state folder", "ansible.builtin.file": {"path": state, "state": "directory", "mode": "0700"}},
        {
            "name": "readme",
            "ansible.builtin.copy": {"content": "state\n", "dest": f"{state}/README.md", "mode": "0644"},
        },
        {
            "name": "service",
            "ansible.builtin.service": {"name": "tailscaled", "state": "started", "enabled": True},
        },
        {
            "name": "status",
            "ansible.builtin.command": "tailscale status --json",
            "changed_when": False,
            "register": "status",
        },
        {"name": "parsed", "ansible.builtin.set_fact": {"online": "{{ " + online + " }}"}},
        {"name": "tags", "ansible.builtin.set_fact": {"tags_": []}},
        {"name": "key's type", "ansible.builtin.set_fact": {"kind": "key"}, "no_log": True},
        {"name": "arguments", "ansible.builtin.set_fact": {"arguments": f"{arguments} --timeout=120s"}},
        {
            "name": "state",
            "ansible.builtin.copy": {
                "content": "{{ arguments | hash('sha256') }}\n",
                "dest": f"{state}/state",
                "mode": "0644",
            },
            "register": "file",
        },
        {
            "name": "up",
            "ansible.builtin.command": f"tailscale up {arguments} --timeout=120s --authkey={key}",
            "no_log": True,
            "async": 130,
            "poll": 5,
            "when": "file is changed or not (online | bool)",
        },
        {"name": "address", "ansible.builtin.command": "tailscale ip --4", "changed_when": False},
        {"name": "address6", "ansible.builtin.command": "tailscale ip --6", "changed_when": False},
        {
            "name": "whois",
            "ansible.builtin.command": "tailscale status --json",
            "changed_when": False,
            "register": "facts",
        },
    ]


def ours(control: Headscale, key: str, routes: str) -> list[dict]:
    """The same end state."""
    task = {"login_server": control.url, "auth_key": key, "hostname": "bench", "accept_routes": True}
    task.update(advertise_routes=[routes], netfilter_mode="nodivert")
    return [{"name": "node", "bulkhead.tiers.tailscale_node": task}]


def timed(node: Node, tasks: list[dict]) -> tuple[float, bool]:
    """(seconds of the tasks as Ansible counts them, whether the node was changed)."""
    began = time.monotonic()
    results = Play(node.name, node.inventory(), tasks).results()
    bad = [result for _task, result in results if result.get("failed")]
    if bad:
        sys.exit(json.dumps(bad[0], indent=1))
    seconds = time.monotonic() - began
    return seconds, any(result.get("changed") for task, result in results if task["name"] in ("up", "node"))


def compare(control: Headscale, node: Node, runs: int) -> list[str]:
    """Prints the table; what is wrong."""
    problems = []
    key = control.key(reusable=True)
    print(f"{'':12}{'tailscale_node':>16}{'the role':>12}{'times':>8}")
    for row in ("no change", "a change"):
        found = {}
        for name, tasks in (("ours", ours), ("role", role)):
            timed(node, tasks(control, key, "10.1.0.0/24"))
            seconds = []
            for number in range(runs):
                routes = f"10.{2 + number}.0.0/24" if row == "a change" else "10.1.0.0/24"
                took, changed = timed(node, tasks(control, key, routes))
                seconds.append(took)
                if name == "ours" and changed != (row == "a change"):
                    problems.append(f"{row}: changed is {changed}")
            found[name] = statistics.median(seconds)
        print(f"{row:12}{found['ours']:14.2f} s{found['role']:10.2f} s{found['role'] / found['ours']:8.1f}")
    return problems


def alone(control: Headscale, node: Node) -> list[str]:
    """The module's own time where nothing changes."""
    params = ours(control, "hskey-auth-rotated", "10.1.0.0/24")[0]["bulkhead.tiers.tailscale_node"]
    drive(node, [({**params, "auth_key": control.key()}, False)])
    said = drive(node, [(params, False)] * 20)
    seconds, requests = statistics.median(one["seconds"] for one in said), max(one["requests"] for one in said)
    print(f"no change on the host alone: {seconds * 1000:.0f} ms (median of 20), {requests} requests")
    wrong = [one for one in said if one["changed"]]
    return [f"{len(wrong)} of 20 changed something"] * bool(wrong) + (
        [f"{seconds:.2f} s, {requests} requests"] if seconds > MOST_SECONDS or requests > MOST_REQUESTS else []
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sets", type=int, default=1000)
    arguments = parser.parse_args()
    with tailnet(PREFIX, NET, ["bookworm"]) as (control, (node,)):
        send(node)
        node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        control.user("lab")
        problems = compare(control, node, arguments.runs) + alone(control, node)
    if arguments.sets:
        test = "tests/integration/test_tailscale_node.py::test_check_mode_predicts_exactly_what_a_run_changes"
        environment = {**os.environ, "BULKHEAD_TAILSCALE_SETS": str(arguments.sets)}
        with tempfile.TemporaryDirectory() as folder:
            argv = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"--basetemp={Path(folder, 't')}",
                test,
            ]
            done = subprocess.run(argv, cwd=ROOT, env=environment, check=False)
        print(f"{arguments.sets} random sets: {'as predicted' if not done.returncode else 'NOT as predicted'}")
        problems += ["check mode is wrong"] * bool(done.returncode)
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
