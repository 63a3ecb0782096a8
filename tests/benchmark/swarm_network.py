"""Measure swarm_network beside a loop of community.docker.docker_network and beside bare calls of the engine's API.

    tests/benchmark/swarm_network.py --host bulkhead-lab-manager [--count 100] [--loop 20]

HOST is a swarm manager with the Docker SDK for Python, reached through the Docker connection (see --connection). The
networks are called ``bench-*``, lie in --pool, and are gone at the end. The loop makes only --loop networks, because it
is slow; its figure is for all. All times are of whole tasks, so that each side pays for Ansible's transport, Python's
start and the SDK's import; the bare calls alone are printed beside them. The exit status is 1 where the module misses
what it promises: 1 s for no change, 3 times the time of a task of bare calls, 10 times faster than the loop.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import os
import subprocess
import sys
import tempfile

# Prints the time of the calls and nothing else.
BARE = """
import json, sys, time
from docker import APIClient
client = APIClient(version="auto")
start = time.monotonic()
for number, subnet in enumerate(json.loads(sys.argv[1])):
    client.create_network("bench-%d" % number, driver="overlay", check_duplicate=True,
                          ipam={"Driver": "default", "Config": [{"Subnet": subnet}]})
print(time.monotonic() - start)
"""


def tasks(subnets, loop):
    """The playbook's tasks in their order; each is timed under its name."""
    wanted = [{"name": f"bench-{number}", "subnet": subnet} for number, subnet in enumerate(subnets)]
    ours = {"networks": wanted}
    gone = {"networks": [{"name": network["name"], "state": "absent"} for network in wanted]}
    theirs = [{"name": network["name"], "subnet": network["subnet"]} for network in wanted[:loop]]
    return [
        {"name": "warm-up", "bulkhead.tiers.swarm_network": gone},
        {"name": "bare", "ansible.builtin.command": {"argv": ["python3", "-c", BARE, json.dumps(subnets)]}},
        {"name": "bare clean-up", "bulkhead.tiers.swarm_network": gone},
        {"name": "create", "bulkhead.tiers.swarm_network": ours},
        {"name": "no change", "bulkhead.tiers.swarm_network": ours},
        {"name": "remove", "bulkhead.tiers.swarm_network": gone},
        {
            "name": "loop create",
            "community.docker.docker_network": {
                "name": "{{ item.name }}",
                "driver": "overlay",
                "ipam_config": [{"subnet": "{{ item.subnet }}"}],
            },
            "loop": theirs,
        },
        {
            "name": "loop no change",
            "community.docker.docker_network": {
                "name": "{{ item.name }}",
                "driver": "overlay",
                "ipam_config": [{"subnet": "{{ item.subnet }}"}],
            },
            "loop": theirs,
        },
        {"name": "clean up", "bulkhead.tiers.swarm_network": gone},
    ]


def play(host, connection, python, steps):
    """Run the steps on the host; {name: (seconds, result)}."""
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump([{"hosts": "all", "gather_facts": False, "tasks": steps}], file)
        file.flush()
        command = ["ansible-playbook", "-i", f"{host},", "-c", connection, "-e", f"ansible_python_interpreter={python}"]
        done = subprocess.run([*command, file.name], env=environment, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        sys.exit(done.stdout + done.stderr)
    found = {}
    # Callbacks that the configuration enables may print more behind the JSON.
    report, _end = json.JSONDecoder().raw_decode(done.stdout)
    for task in report["plays"][0]["tasks"]:
        start, end = (
            datetime.datetime.fromisoformat(task["task"]["duration"][key].replace("Z", "+00:00"))
            for key in ("start", "end")
        )
        result = task["hosts"][host]
        if result.get("failed") or result.get("unreachable"):
            sys.exit(f"{task['task']['name']}: {result.get('msg')}")
        found[task["task"]["name"]] = ((end - start).total_seconds(), result)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True)
    parser.add_argument("--connection", default="community.docker.docker")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--loop", type=int, default=20)
    parser.add_argument("--pool", type=ipaddress.ip_network, default=ipaddress.ip_network("10.200.0.0/16"))
    options = parser.parse_args()
    subnets = [str(subnet) for subnet, _unused in zip(options.pool.subnets(new_prefix=24), range(options.count))]

    found = play(options.host, options.connection, options.python, tasks(subnets, options.loop))
    count, loop = options.count, min(options.loop, options.count)
    bare, calls = found["bare"][0], float(found["bare"][1]["stdout"])
    create, same = found["create"][0], found["no change"][0]
    each, each_same = found["loop create"][0] / loop, found["loop no change"][0] / loop

    print(f"{count} overlays on {options.host}{'create':>{32 - len(options.host)}}{'no change':>12}")
    print(f"{'bare API calls, in a task':34}{bare:>8.2f} s      (the calls alone {calls:.2f} s)")
    print(f"{'swarm_network, one call':34}{create:>8.2f} s{same:>10.2f} s")
    print(f"{f'docker_network, loop ({loop} measured)':34}{each * count:>8.2f} s{each_same * count:>10.2f} s")
    print(
        f"swarm_network takes {create / bare:.1f} times as long as the task, {create / calls:.1f} times the calls alone"
    )
    print(f"the loop takes {each * count / create:.0f} times as long to create,")
    print(f"and {each_same * count / same:.0f} times as long to see that nothing changes")
    missed = [
        text
        for bad, text in (
            (same > 1, "no change takes more than 1 s"),
            (create > 3 * bare, "a creation takes more than 3 times the bare calls"),
            (each * count < 10 * create, "the loop is not 10 times slower"),
        )
        if bad
    ]
    sys.exit("missed: " + "; ".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
