# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The walk of a question against the kernel: random rules, translations and routes in four network namespaces of our own, and
connections that are really made.

    ak-a (10.81.1.2) ---.
                         ak-r (10.81.x.1) --- ak-c (10.81.3.2)
    ak-b (10.81.2.2) ---'

BULKHEAD_ASK_SITES: how many sets of rules (default 8). BULKHEAD_ASK_SEED: the first of their seeds (default 1).
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import random
import socket
import subprocess
import sys

import pytest
from namespaces import connects, inside, run
from random_rules import ADDRESSES, PORTS, rules_of

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer, Asked, walk

SITES = int(os.environ.get("BULKHEAD_ASK_SITES", "8"))
SEED = int(os.environ.get("BULKHEAD_ASK_SEED", "1"))
ROOT = pathlib.Path(__file__).parents[2]
NAMES = ("ak-a", "ak-b", "ak-r", "ak-c")
LINKS = {"ak-a": 1, "ak-b": 2, "ak-c": 3}
#: Seconds that a connection is waited for, and how often it is tried again where the answer is not the expected one.
PATIENCE, AGAIN = 2.0, 3


def listener(port):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("", port))
    one.listen(64)
    return one


@pytest.fixture(scope="module")
def namespaces():
    assert os.geteuid() == 0, "this test makes network namespaces and loads rules into them: it needs root"
    clear()
    sockets = []
    try:
        for name in NAMES:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for name, number in LINKS.items():
            run(
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                name,
                "type",
                "veth",
                "peer",
                "name",
                f"leg{number}",
                "netns",
                "ak-r",
            )
            for end, link, host in ((name, "eth0", 2), ("ak-r", f"leg{number}", 1)):
                run("ip", "-n", end, "address", "add", f"10.81.{number}.{host}/24", "dev", link)
                run("ip", "-n", end, "link", "set", link, "up")
            run("ip", "-n", name, "route", "add", "default", "via", f"10.81.{number}.1")
        run("ip", "netns", "exec", "ak-r", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for name in NAMES:
            sockets += [inside(name, lambda port=port: listener(port)) for port in PORTS]
        yield
    finally:
        for one in sockets:
            one.close()
        clear()


def clear():
    for name in NAMES:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def node(name):
    """The namespace as the module reads it there."""
    module = ROOT / "plugins/modules/netfilter_info.py"
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {}})
    out = run(
        "ip",
        "netns",
        "exec",
        name,
        sys.executable,
        str(module),
        input=arguments,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return read_node(name, json.loads(out))


def comes_about(asked):
    """Which of the connections come about."""
    names = {address: name for name, address in reversed(ADDRESSES.items())}
    return connects({one: (names[one.source], one.source, one.destination, one.port) for one in asked}, PATIENCE)


def asked_of(ends):
    return [Asked(start, end, "tcp", port) for start, end in ends for port in PORTS]


@pytest.mark.parametrize("seed", range(SEED, SEED + SITES))
def test_a_connection_comes_about_where_the_walk_says_so(namespaces, seed):
    draw = random.Random(seed)
    for name in NAMES:
        run("ip", "netns", "exec", name, "iptables-restore", input=rules_of(draw, name))
    nodes = {name: node(name) for name in NAMES}
    ends = [(a, b) for a, b in itertools.permutations(ADDRESSES.values(), 2) if a != "10.81.3.1"]
    walks = {one: walk(nodes, one) for one in asked_of(ends)}
    unknown = [one for one in walks.values() if one.answer is Answer.UNKNOWN]
    assert unknown == [], unknown[0]
    expected = {one: found.answer is Answer.ALLOWED for one, found in walks.items()}
    wrong = list(expected)
    for _try in range(1 + AGAIN):
        seen = comes_about(wrong)
        wrong = [one for one in wrong if seen[one] != expected[one]]
    assert wrong == [], f"{wrong[0].text()}: the kernel says {not expected[wrong[0]]}: {walks[wrong[0]]}"
