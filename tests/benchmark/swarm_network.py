"""Measure swarm_network beside a loop of community.docker.docker_network and beside bare calls of the engine's API.

    tests/benchmark/swarm_network.py [--count 100] [--rounds 3] [--releases trixie,bookworm,trixie] [--host HOST]

Makes three hosts of its own (tests/support/hosts) and a Swarm of them, the first one its manager; or takes HOST, a manager that
the Docker connection reaches (see --connection). The networks are called ``bench-*``, lie in --pool, and are gone at the
end. The times are of whole tasks, so that each side pays for Ansible's transport, Python's start and the SDK's import;
the bare calls alone are printed beside them. The loop goes once over all networks; the others are the median of
--rounds. The exit status is 1 where the module misses what it promises: 1 s for no change, 3 times the time of a task
of bare calls, 10 times faster than the loop.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import statistics
import sys

from hosts import NET, PREFIX
from hosts.engine import Hosts
from hosts.machine import Play

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


def tasks(subnets, rounds):
    """The playbook's tasks in their order; each is timed under its name."""
    wanted = [{"name": f"bench-{number}", "subnet": subnet} for number, subnet in enumerate(subnets)]
    ours = {"networks": wanted}
    gone = {"networks": [{"name": network["name"], "state": "absent"} for network in wanted]}
    each = {"name": "{{ item.name }}", "driver": "overlay", "ipam_config": [{"subnet": "{{ item.subnet }}"}]}
    once = [
        {"name": "bare", "ansible.builtin.command": {"argv": ["python3", "-c", BARE, json.dumps(subnets)]}},
        {"name": "bare clean-up", "bulkhead.tiers.swarm_network": gone},
        {"name": "create", "bulkhead.tiers.swarm_network": ours},
        {"name": "no change", "bulkhead.tiers.swarm_network": ours},
        {"name": "remove", "bulkhead.tiers.swarm_network": gone},
    ]
    return [
        {"name": "warm-up", "bulkhead.tiers.swarm_network": gone},
        *(once * rounds),
        {"name": "loop create", "community.docker.docker_network": each, "loop": wanted},
        {"name": "loop no change", "community.docker.docker_network": each, "loop": wanted},
        {"name": "clean up", "bulkhead.tiers.swarm_network": gone},
    ]


def play(name, inventory, steps):
    """Run the steps on the host; {name: [(seconds, result)]}."""
    found = {}
    for task, result in Play(name, inventory, steps).results():
        start, end = (
            datetime.datetime.fromisoformat(task["duration"][key].replace("Z", "+00:00")) for key in ("start", "end")
        )
        if result.get("failed") or result.get("unreachable"):
            sys.exit(f"{task['name']}: {result.get('msg')}")
        found.setdefault(task["name"], []).append(((end - start).total_seconds(), result))
    return found


def measure(options, steps):
    """(what the hosts are, what ``play`` found)."""
    if options.host:
        inventory = {"ansible_connection": options.connection, "ansible_python_interpreter": options.python}
        return options.host, play(options.host, {"ansible_host": options.host, **inventory}, steps)
    releases = options.releases.split(",")
    with Hosts(f"{PREFIX}-bench", releases, f"10.{NET}.2") as hosts:
        hosts.swarm()
        versions = hosts[0].docker("node", "ls", "--format", "{{.EngineVersion}}").split()
        return f"a Swarm of {len(hosts)} hosts ({', '.join(versions)})", play(
            hosts[0].name, hosts[0].inventory(), steps
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", help="a manager that is there already")
    parser.add_argument("--connection", default="community.docker.docker")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--releases", default="trixie,bookworm,trixie", help="the hosts' Debian, the manager's first")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pool", type=ipaddress.ip_network, default=ipaddress.ip_network("10.200.0.0/16"))
    options = parser.parse_args()
    subnets = [str(subnet) for subnet, _unused in zip(options.pool.subnets(new_prefix=24), range(options.count))]

    where, found = measure(options, tasks(subnets, options.rounds))
    for step in ("create", "loop create"):
        if len([True for _took, result in found[step] if result["changed"]]) != len(found[step]):
            sys.exit(f"{step}: it changed nothing")
    took = {step: statistics.median(seconds for seconds, _result in times) for step, times in found.items()}
    calls = statistics.median(float(result["stdout"]) for _took, result in found["bare"])
    bare, create, same = (took[step] for step in ("bare", "create", "no change"))
    loop, loop_same = took["loop create"], took["loop no change"]

    print(f"{options.count} overlays on {where}")
    print(f"{'':34}{'create':>10}{'no change':>12}")
    print(f"{'bare API calls, in a task':34}{bare:>8.2f} s      (the calls alone {calls:.2f} s)")
    print(f"{'swarm_network, one call':34}{create:>8.2f} s{same:>10.2f} s")
    print(f"{'docker_network, loop':34}{loop:>8.2f} s{loop_same:>10.2f} s")
    print(
        f"swarm_network takes {create / bare:.1f} times as long as the task, {create / calls:.1f} times the calls alone;"
    )
    print(f"the loop takes {loop / create:.0f} times as long to create, {loop_same / same:.0f} times to change nothing")
    missed = [
        text
        for bad, text in (
            (same > 1, "no change takes more than 1 s"),
            (create > 3 * bare, "a creation takes more than 3 times the task of bare calls"),
            (loop < 10 * create, "the loop is not 10 times slower"),
        )
        if bad
    ]
    sys.exit("missed: " + "; ".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
