# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests and seconds of maas_vlan for 20 VLANs with a subnet and a range each, beside maas.maas on the same stand-in.

    PYTHONPATH=.venv/collections:tests/support python tests/benchmark/maas_vlan.py [--peer PATH]

First the module's own code alone, in this process. Then both collections through ansible-playbook, each on a stand-in
of its own that starts empty, over HTTP on loopback: the requests are those that the server saw, the seconds those of
the whole ansible-playbook. The peer gets the form of its own documentation that takes the fewest requests: a task for
the fabric, a loop over the VLANs, a loop over the subnets with their ranges in them (its subnet_ip_range is no
alternative: its subnet requires ``ip_ranges`` all the same, and an empty list there is the order to delete them).

PATH holds ``ansible_collections/maas/maas``; without it the installed collections are searched. The stand-in answers at
once; ``--as-measured`` has it wait as long as a MAAS 3.6.5 with 100 VLANs took for each request that was timed there.
The seconds are those of the client and the waiting, not of a MAAS. The exit status is 1 where a run without a change
writes, where a tree is not the wanted one, or where maas_vlan, with 20 VLANs or more, does not need 10 times fewer
requests than the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

from maas_server import harness
from maas_server.serve import MEASURED, Front, Server

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure

PEER = "maas.maas"
PROMISED = 10
RUNS = ("first run", "no change")
BIN = Path(sys.executable).parent
# Not resolved: below the link, the checkout is a collection.
OWN = Path(__file__).absolute().parents[2] / ".venv" / "collections"
INSTALLED = "~/.ansible/collections:/usr/share/ansible/collections"


def tree(count: int) -> dict:
    """``count`` VLANs in one fabric, a /24 and a pool in each."""
    vlans = []
    for number in range(count):
        prefix = "10.%d.%d" % (1 + number // 250, number % 250)
        pool = {"type": "dynamic", "start_ip": prefix + ".100", "end_ip": prefix + ".200"}
        subnet = {"cidr": prefix + ".0/24", "gateway_ip": prefix + ".1", "ranges": [pool]}
        vlans.append({"vid": 100 + number, "name": "tier%d" % number, "subnets": [subnet]})
    return {"fabrics": [{"name": "bench", "vlans": vlans}]}


def our_tasks(wanted: dict, url: str, key: str) -> list[dict]:
    """The tree in one task."""
    return [{"bulkhead.tiers.maas_vlan": {"url": url, "api_key": key, **wanted}}]


def peer_tasks(wanted: dict, url: str, key: str) -> list[dict]:
    """The same tree as the peer's users write it; a subnet is called by its CIDR, as MAAS does where it has no name."""
    consumer, token, secret = key.split(":")
    common = {
        "cluster_instance": {"host": url, "customer_key": consumer, "token_key": token, "token_secret": secret},
        "state": "present",
    }
    fabric = wanted["fabrics"][0]
    vlans = [{"vid": vlan["vid"], "name": vlan["name"]} for vlan in fabric["vlans"]]
    subnets = [{**subnet, "vlan": vlan["name"]} for vlan in fabric["vlans"] for subnet in vlan["subnets"]]
    vlan_task = {"fabric_name": fabric["name"], "vid": "{{ item.vid }}", "vlan_name": "{{ item.name }}"}
    subnet_task = {
        "name": "{{ item.cidr }}",
        "cidr": "{{ item.cidr }}",
        "fabric": fabric["name"],
        "vlan": "{{ item.vlan }}",
        "gateway_ip": "{{ item.gateway_ip }}",
        "ip_ranges": "{{ item.ranges }}",
    }
    return [
        {PEER + ".fabric": {**common, "name": fabric["name"]}},
        {PEER + ".vlan": {**common, **vlan_task}, "loop": vlans},
        {PEER + ".subnet": {**common, **subnet_task}, "loop": subnets},
    ]


def environment(peer: Optional[Path], folder: Path) -> dict:
    """That of Ansible's programs: they find this checkout and the peer, and have no settings of whoever runs this.

    Pipelining, which halves a task's seconds and is off by default, is on for both sides; a proxy stays out of the way.
    """
    settings = folder / "ansible.cfg"
    settings.touch()
    paths = [str(peer)] if peer else []
    paths += [str(OWN), os.environ.get("ANSIBLE_COLLECTIONS_PATH", INSTALLED)]
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": ":".join(paths),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_PIPELINING": "true",
        "no_proxy": "127.0.0.1",
    }


def version_of_peer(variables: dict) -> Optional[str]:
    """The peer's version where ansible-galaxy finds it; the first path counts, as it does for a playbook."""
    argv = [BIN / "ansible-galaxy", "collection", "list", PEER, "--format", "json"]
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return next((names[PEER]["version"] for names in json.loads(done.stdout).values() if PEER in names), None)


def play(tasks: list[dict], variables: dict) -> float:
    """Run the tasks on this machine; the seconds from the start of ansible-playbook to its end."""
    hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    hosts["vars"] = {"ansible_python_interpreter": sys.executable}
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder, "play.json")
        playbook.write_text(json.dumps([hosts]))
        start = time.perf_counter()
        argv = [BIN / "ansible-playbook", "-i", "localhost,", playbook]
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return seconds


def played(front: Front, tasks_of, wanted: dict, variables: dict) -> tuple[dict, bool]:
    """Both runs on an empty stand-in: {run: (requests, writes, seconds)}, and whether maas_vlan then finds its tree."""
    figures = {}
    with Server(front) as server:
        tasks = tasks_of(wanted, server.url, front.key)
        for name in RUNS:
            requests, writes = len(front.log), len(front.writes)
            seconds = play(tasks, variables)
            figures[name] = (len(front.log) - requests, len(front.writes) - writes, seconds)
    return figures, not harness.run(front, wanted, check=True)["changed"]


def alone(front: Front, wanted: dict) -> None:
    """The module's own code in this process: both runs, printed."""
    with Server(front) as server:
        for name in RUNS:
            client = harness.socket_client(server.url, front)
            start = time.perf_counter()
            result, _warnings = ensure(client, wanted, False)
            seconds = time.perf_counter() - start
            client.close()
            requests = result["requests"]
            print(
                "  %-10s %3d requests (%d reads, %d writes)  %6.2f s"
                % (name, sum(requests.values()), *requests.values(), seconds)
            )
        print("  connections: %d" % server.connections)


def beside(ours: dict, peer: dict, version: str) -> None:
    """Print both sides of both runs, and how many times as much the peer takes."""
    print("\n%-26s  %35s  %35s" % ("through ansible-playbook", *RUNS))
    for name, figures in (("maas_vlan, one task", ours), (f"{PEER} {version}, in loops", peer)):
        texts = ["%4d requests (%3d writes) %8.2f s" % figures[run] for run in RUNS]
        print("  %-26s%s  %s" % (name, *texts))
    for run in RUNS:
        few, _writes, short = ours[run]
        many, _writes, long = peer[run]
        print("  %-10s %s: %5.1f times the requests, %5.1f times the seconds" % (run, PEER, many / few, long / short))


def missed(ours: tuple[dict, bool], peer: tuple[dict, bool], count: int) -> list[str]:
    """What the module, or the comparison, does not keep.  The promise is for 20 VLANs and more."""
    same = RUNS[1]
    faults = []
    for name, (figures, equal) in (("maas_vlan", ours), (PEER, peer)):
        if figures[same][1]:
            faults.append(f"{name} writes where nothing changes")
        if not equal:
            faults.append(f"{name} does not end at the wanted tree")
    if count >= 20 and peer[0][same][0] < PROMISED * ours[0][same][0]:
        faults.append("not %d times fewer requests when nothing changes" % PROMISED)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlans", type=int, default=20)
    parser.add_argument("--as-measured", action="store_true", help="wait as long as a real region took")
    parser.add_argument("--peer", type=Path, metavar="PATH", help="a collections path that holds " + PEER)
    options = parser.parse_args()
    wanted = tree(options.vlans)
    latency = MEASURED if options.as_measured else {}
    print(
        "maas_vlan, %d VLANs + subnets + ranges, stand-in server%s"
        % (options.vlans, " with MAAS's own times" * options.as_measured)
    )
    alone(harness.front(latency=latency), wanted)
    with tempfile.TemporaryDirectory() as folder:
        variables = environment(options.peer.absolute() if options.peer else None, Path(folder))
        version = version_of_peer(variables)
        if version is None:
            print("  {} is not in {}: no comparison".format(PEER, variables["ANSIBLE_COLLECTIONS_PATH"]))
            return
        ours = played(harness.front(latency=latency), our_tasks, wanted, variables)
        peer = played(harness.front(latency=latency), peer_tasks, wanted, variables)
    beside(ours[0], peer[0], version)
    faults = missed(ours, peer, options.vlans)
    sys.exit("missed: " + "; ".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
