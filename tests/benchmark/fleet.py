# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long site.yml takes on a small fleet over SSH, beside community.general.ufw with the same rules on the same hosts.

    .venv/bin/python tests/benchmark/fleet.py [--rounds 1] [--pipelining on off]

A router, two web servers and a database server, and a host that stands for the internet, which gets nothing. Both run as a
user of each would: `ansible-playbook playbooks/site.yml`, and a play on all hosts at once with a task for the packages, one for
rsyslog's file, one for the rules (an item a rule), one for the policies, one for the log level, one that enables, and one for
the router's kernel settings. Both come to the same end: the same packages, rules, policies and files. What the peer does not
do is in site.yml's time alone: it goes through the tiers in their order, routers first, proves before a change that the
connection lives, and keeps a change only over a new connection. The packages are installed beforehand, and ufw is off with no
rule before a first run. What is measured is the whole command, from its start to its end.

site.yml is run as it is, and without its gate (change_gate=false), which reads all hosts and says what would open and close
before the first of them is touched: the peer has nothing like it. Beside all stands the floor, a play for each of the tiers in
their order with one task that does nothing. It is what a run takes that asks each host once, in that order.

Prints the medians, how many times as long the peer takes, and how many times as long as the floor it is, then where site.yml's
time goes. What misses the TARGET is printed as missed. Exit status 1 where the peer takes less than REACHED times as long: it
says that site.yml has become slower, and nothing about the target.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hosts
import yaml

from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration

#: How many times as long the peer is to take. At the first run it makes about 25 trips to its slowest host, one after the
#: other, and site.yml about 16: docs/ufw_ruleset.md counts them. More than that is not in reach of what it has to do there.
TARGET = {"no change": 8, "first run": 1.5}
#: Below which it fails, which says that site.yml has become slower: what was reached, less a quarter.
REACHED = {
    ("site.yml", "no change"): 4.6,
    ("site.yml", "first run"): 1.2,
    ("no gate", "no change"): 4.7,
    ("no gate", "first run"): 1.5,
}
BASE = f"10.{hosts.NET}.0"
#: Inventory name: its group and its address.
FLEET = {
    "gw1": ("gateway", f"{BASE}.17"),
    "web1": ("web", f"{BASE}.18"),
    "web2": ("web", f"{BASE}.19"),
    "db1": ("db", f"{BASE}.34"),
    "out1": ("outside", f"{BASE}.60"),
}
SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": f"{BASE}.16/28", "gateway": f"{BASE}.17"},
        "db": {"vlan": 20, "subnet": f"{BASE}.32/28", "gateway": f"{BASE}.33"},
    },
    "bulkhead_addresses": {"controller": f"{BASE}.1", "monitor": f"{BASE}.200"},
    "bulkhead_services": {
        "ssh": "22/tcp",
        "http": "80/tcp",
        "https": ["443/tcp", "443/udp"],
        "postgres": "5432/tcp",
        "node_exporter": "9100/tcp",
        "ntp": "123/udp",
    },
    "bulkhead_flows": [
        {"from": "controller", "to": ["tiers", "gateway"], "allow": "ssh", "why": "administration"},
        {"from": "internet", "to": "web", "allow": ["http", "https"]},
        {"from": "web", "to": "db", "allow": "postgres"},
        {"from": "monitor", "to": ["tiers", "gateway"], "allow": "node_exporter"},
        {"from": "tiers", "to": "gateway", "allow": "ntp"},
    ],
}
#: The options that both modules have, by their names.
SHARED = ("rule", "direction", "proto", "from_ip", "from_port", "to_ip", "to_port", "comment", "route")
#: Takes a host back to where neither has been.
RESET = "ufw --force reset; rm -f /etc/ufw/*.20* /etc/rsyslog.d/30-bulkhead* /etc/sysctl.d/60-bulkhead* /etc/tmpfiles.d/bulkhead*"


def declared(name: str) -> str:
    """A default of the role firewall, which the peer needs as well."""
    return str(yaml.safe_load((hosts.ROOT / "roles/firewall/defaults/main.yml").read_text())[name])


#: What the role gateway has the kernel do.
SYSCTLS: dict[str, Any] = yaml.safe_load((hosts.ROOT / "roles/gateway/defaults/main.yml").read_text())[
    "gateway_sysctls"
]


def plans() -> dict[str, dict[str, Any]]:
    """{host: what the site means for it} of the hosts that get anything."""
    declared = declaration.declare(SITE)
    groups: dict[str, list[str]] = {"all": list(FLEET)}
    for name, (group, _address) in FLEET.items():
        groups.setdefault(group, []).append(name)
    places = declared.places(groups)
    return {name: declared.plan(name, places[name]) for name in FLEET if name not in groups["outside"]}


def peer(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The peer's playbook. What differs from host to host is a variable of the host."""
    ufw = "community.general.ufw"
    names = [*SHARED, "log"]
    each = {name: f"{{{{ item.{name} | default(omit) }}}}" for name in names}
    return [
        {
            "hosts": list(found),
            "become": True,
            "gather_facts": False,
            "tasks": [
                {"name": "Packages", "apt": {"name": ["ufw", "rsyslog", "logrotate"], "install_recommends": False}},
                {
                    "name": "Log",
                    "blockinfile": {
                        "path": "/etc/rsyslog.d/30-bulkhead-ufw.conf",
                        "block": "# The messages stay here.",
                        "create": True,
                        "mode": "0644",
                        "validate": declared("firewall_rsyslog_validate"),
                    },
                    "notify": "Restart rsyslog",
                },
                {"name": "Rules", ufw: each, "loop": "{{ peer_rules }}"},
                {
                    "name": "Policies",
                    ufw: {"direction": "{{ item.key }}", "default": "{{ item.value }}"},
                    "loop": "{{ peer_default | dict2items }}",
                },
                {"name": "Log", ufw: {"logging": "low"}},
                {"name": "Enable", ufw: {"state": "enabled"}},
                {
                    "name": "Route",
                    "blockinfile": {
                        "path": "/etc/sysctl.d/60-bulkhead-gateway.conf",
                        "block": "\n".join(f"{key} = {value}" for key, value in SYSCTLS.items()),
                        "create": True,
                        "mode": "0644",
                        "validate": "sysctl --quiet --load=%s",
                    },
                    "when": "'gateway' in group_names",
                },
            ],
            "handlers": [{"name": "Restart rsyslog", "systemd_service": {"name": "rsyslog", "state": "restarted"}}],
        }
    ]


def variables(plan: dict[str, Any]) -> dict[str, Any]:
    """The rules as the role firewall hands them to the module, in the peer's words."""
    rules = []
    for rule in plan["rules"]:
        wanted = {name: rule[name] for name in SHARED if name in rule}
        if rule["rule"] in ("deny", "reject"):
            wanted["log"] = True
        rules.append(wanted)
    return {"peer_rules": rules, "peer_default": plan["default"]}


def floor() -> list[dict[str, Any]]:
    """One task that does nothing on each host, tier by tier."""
    ping = {"name": "Nothing", "ansible.builtin.ping": {}}
    return [
        {"hosts": group, "become": True, "gather_facts": False, "tasks": [ping]} for group in ("gateway", "web", "db")
    ]


class Bench:
    """The inventory, and the commands."""

    def __init__(self, folder: Path, machines: dict[str, hosts.Host]) -> None:
        self.folder, self.machines = folder, machines
        found = plans()
        groups: dict[str, Any] = {}
        for name, (group, _address) in FLEET.items():
            own = {**machines[name].inventory(), **(variables(found[name]) if name in found else {})}
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = own
        (folder / "hosts.json").write_text(json.dumps({"all": {"children": groups, "vars": SITE}}))
        (folder / "peer.yml").write_text(yaml.safe_dump(peer(found)))
        (folder / "floor.yml").write_text(yaml.safe_dump(floor()))
        self.rules = {name: len(plan["rules"]) for name, plan in found.items()}

    def reset(self) -> None:
        for name in self.rules:
            self.machines[name].shell(RESET)

    def run(self, playbook: Path, pipelining: bool, *options: str) -> tuple[float, str]:
        """(seconds, output) of a playbook; it must end well."""
        began = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", self.folder / "hosts.json", playbook, *options],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(hosts.ROOT / "ansible.cfg"),
                "ANSIBLE_PIPELINING": str(pipelining),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.monotonic() - began
        if done.returncode:
            sys.exit(f"{playbook}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return took, done.stdout

    def measure(self, playbook: Path, pipelining: bool, *options: str) -> tuple[float, float, str]:
        """Seconds of the first run and of the one after it, and what the latter printed."""
        self.reset()
        first, output = self.run(playbook, pipelining, *options)
        if not re.search(r"changed=[1-9]", output):
            sys.exit(f"{playbook}: the first run changed nothing")
        same, output = self.run(playbook, pipelining, *options)
        return first, same, output


def slowest(output: str) -> list[str]:
    """profile_tasks' list, the longest first."""
    return re.findall(r"^(\S.* -+ +[0-9.]+s)$", output, re.MULTILINE)[:12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="of both, one after the other; the medians count")
    parser.add_argument("--pipelining", nargs="+", choices=["on", "off"], default=["on", "off"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-fleet-") as name:
        folder = Path(name)
        hosts.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        machines = {
            host: hosts.Host(number, hosts.RELEASES[number % 2], folder) for number, host in enumerate(FLEET, 1)
        }
        for host, (_group, address) in FLEET.items():
            machines[host].address = machines[host].addresses = {**machines[host].addresses, 4: address}
        with hosts.started(list(machines.values())):
            bench = Bench(folder, machines)
            slower = compare(bench, options)
    sys.exit(f"slower than it was: {'; '.join(slower)}" if slower else 0)


#: site.yml as it is, and without its gate: the options of each.
RUNS: dict[str, tuple[str, ...]] = {"site.yml": (), "no gate": ("-e", "change_gate=false")}


def compare(bench: Bench, options: argparse.Namespace) -> list[str]:
    """Print all figures and what misses the target; what has become worse than it was."""
    print("rules: " + ", ".join(f"{name} {number}" for name, number in bench.rules.items()))
    print(f"{'pipelining':<12}{'':<12}{'':<10}{'took':>8}{'ufw tasks':>12}{'times':>8}{'floor':>10}{'times it':>10}")
    missed, slower, shown = [], [], ""
    for word in options.pipelining:
        figures: dict[str, list[tuple[float, float]]] = {who: [] for who in (*RUNS, "peer")}
        least = []
        for _round in range(options.rounds):
            for who, more in RUNS.items():
                first, same, shown = bench.measure(hosts.ROOT / "playbooks" / "site.yml", word == "on", *more)
                figures[who].append((first, same))
            least.append(bench.run(bench.folder / "floor.yml", word == "on")[0])
            first, same, _output = bench.measure(bench.folder / "peer.yml", word == "on")
            figures["peer"].append((first, same))
        nothing = statistics.median(least)
        for index, when in enumerate(("first run", "no change")):
            theirs = statistics.median(took[index] for took in figures["peer"])
            for who in RUNS:
                ours = statistics.median(took[index] for took in figures[who])
                took = f"{word:<12}{when:<12}{who:<10}{ours:>6.1f} s{theirs:>10.1f} s{theirs / ours:>8.1f}"
                print(f"{took}{nothing:>8.1f} s{ours / nothing:>10.1f}", flush=True)
                found = f"{who}, {when}, pipelining {word}: {theirs / ours:.1f} times, not"
                if theirs / ours < TARGET[when]:
                    missed.append(f"{found} {TARGET[when]}")
                if theirs / ours < REACHED[who, when]:
                    slower.append(f"{found} {REACHED[who, when]}")
    print("where its time goes without the gate when nothing changes:", *slowest(shown), sep="\n  ")
    if missed:
        print("missed targets:", *missed, sep="\n  ")
    return slower


if __name__ == "__main__":
    main()
