"""The proof from inside containers, on two hosts of a Swarm with engines of their own: bridges, an internal bridge and an
overlay, and what is wrong with them. Needs an engine and the lab's images; leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hosts.engine import SERVICE_IMAGE, Hosts
from playbook import playbook

ROOT = Path(__file__).parents[2]
PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-inside")
NET = f"10.{os.environ.get('BULKHEAD_FAULT_NET', '217')}.1"
FRONT, BACK, MESH = (f"172.26.{number}.0/24" for number in (10, 11, 12))
FIRST, SECOND = f"{PREFIX}-1", f"{PREFIX}-2"
SITE = {
    "bulkhead_tiers": {"apps": {"vlan": 1, "subnet": f"{NET}.0/24"}},
    "bulkhead_services": {
        "web": "8080/tcp",
        "dns": "53/udp",
        "swarm": ["2377/tcp", "7946/tcp", "7946/udp", "4789/udp"],
    },
    "bulkhead_flows": [{"from": "apps", "to": "self", "allow": ["web", "swarm"]}],
    "bulkhead_swarm": {"tier": "apps", "managers": {FIRST: f"{NET}.11"}},
    "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16"},
    "bulkhead_networks": {
        "front": {"driver": "bridge", "on": "apps", "subnet": FRONT},
        "back": {"driver": "bridge", "on": "apps", "subnet": BACK, "internal": True},
        "mesh": {"driver": "overlay", "subnet": MESH, "attachable": True, "internal": True},
        "empty": {"driver": "bridge", "on": "apps", "subnet": "172.26.13.0/24"},
    },
}
#: (host, container, network).
CONTAINERS = [(0, "f1", "front"), (0, "f2", "front"), (0, "b1", "back"), (0, "m1", "mesh"), (1, "m2", "mesh")]
#: The filter of a host, as the site's flows say.
FILTER = f"""
set -e
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A INPUT -s {NET}.0/24 -p tcp -m multiport --dports 8080,2377,7946 -j ACCEPT
iptables -A INPUT -s {NET}.0/24 -p udp -m multiport --dports 7946,4789 -j ACCEPT
iptables -P INPUT DROP
"""


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts():
    with Hosts(PREFIX, ["bookworm", "trixie"], NET) as hosts:
        hosts.swarm(pool="172.29.0.0/16")
        hosts[0].docker("network", "create", "--subnet", FRONT, "front")
        hosts[0].docker("network", "create", "--subnet", BACK, "--internal", "back")
        hosts[0].docker("network", "create", "-d", "overlay", "--attachable", "--internal", "--subnet", MESH, "mesh")
        for number, name, network in CONTAINERS:
            run = ["run", "-d", "--name", name, "--network", network, "--cap-add", "NET_ADMIN", "--entrypoint"]
            hosts[number].docker(*run, "/bin/sleep", SERVICE_IMAGE, "86400")
        for host in hosts.hosts:
            host.shell(FILTER)
        yield hosts


def prove(hosts, folder):
    """The part of the report that is about containers, by (source, dest): the statuses of its probes."""
    inventory = {
        "all": {
            "vars": {"ansible_become": False, **SITE},
            "children": {"apps": {"hosts": {host.name: host.inventory() for host in hosts.hosts}}},
        }
    }
    (folder / "hosts.json").write_text(json.dumps(inventory))
    words = ("-e", f"prove_report={folder}/proof.json", "-e", f"prove_report_directory={folder}")
    done = playbook("prove", folder / "hosts.json", *words, folder=folder)
    report = folder / "proof.json"
    assert report.exists(), done.stdout + done.stderr
    said = json.loads(report.read_text())["containers"]
    found: dict[tuple[str, str], set[str]] = {}
    for probe in said["probes"]:
        found.setdefault((probe["source"], probe["dest"]), set()).add(probe["status"])
    return said, found, done.stdout


def processes(hosts):
    """What runs on the hosts besides what always does."""
    return [host("sh", "-c", "pgrep -fc 'Ansiball[Z]' || true") for host in hosts.hosts]


def test_members_reach_each_other_others_do_not_and_the_way_out_is_their_host_s(hosts, tmp_path):
    said, found, output = prove(hosts, tmp_path)
    f1, f2, b1, m1 = (f"{FIRST}/{name}" for name in ("f1", "f2", "b1", "m1"))
    m2 = f"{SECOND}/m2"
    assert said["holds"] is True, output
    # On one host, and over the overlay from host to host.
    assert found[f1, f2] == found[f2, f1] == found[m1, m2] == found[m2, m1] == {"allowed"}
    assert found[f1, b1] == found[b1, f1] == found[f1, m1] == found[m1, b1] == {"denied"}
    # To the other host as its own host may; to its own host as itself, which no flow lets in.
    assert found[f1, SECOND] == {"allowed", "denied"}
    assert {p["port"] for p in said["probes"] if (p["source"], p["dest"], p["status"]) == (f1, SECOND, "allowed")} >= {
        8080
    }
    assert found[f1, FIRST] == found[b1, SECOND] == found[m2, FIRST] == {"denied"}
    assert said["uncovered"] == {
        "back": "one container is on it, so its members' reach is not proven",
        "empty": "no container is on it",
    }
    assert "not covered: empty: no container is on it" in output
    assert processes(hosts) == ["0", "0"]


def test_a_container_on_a_second_network_and_a_hole_to_the_host_are_found(hosts, tmp_path):
    """f2 is joined to `back` behind the declaration's back, through an undeclared network; b1's host lets it in."""
    host = hosts[0]
    host.docker("network", "create", "--subnet", "172.26.20.0/24", "stray")
    host.docker("network", "connect", "stray", "b1")
    host.docker("exec", "b1", "/usr/bin/python3", "-c", "pass")
    host.shell("iptables -I INPUT -s 172.26.10.0/24 -p tcp --dport 8080 -j ACCEPT")
    host.shell("iptables -I DOCKER-USER -s 172.26.10.0/24 -d 172.26.11.0/24 -j ACCEPT")
    host.shell("iptables -I DOCKER-USER -s 172.26.11.0/24 -d 172.26.10.0/24 -j ACCEPT")
    try:
        said, found, output = prove(hosts, tmp_path)
    finally:
        host.docker("network", "disconnect", "-f", "stray", "b1")
        host.docker("network", "rm", "stray")
        host.shell("iptables -D INPUT -s 172.26.10.0/24 -p tcp --dport 8080 -j ACCEPT")
        host.shell("iptables -D DOCKER-USER -s 172.26.10.0/24 -d 172.26.11.0/24 -j ACCEPT")
        host.shell("iptables -D DOCKER-USER -s 172.26.11.0/24 -d 172.26.10.0/24 -j ACCEPT")
    assert said["holds"] is False
    opened = {(p["source"], p["dest"], p["port"]) for p in said["probes"] if p["status"] == "open"}
    assert (f"{FIRST}/f1", FIRST, 8080) in opened, output
    assert "open" in found[f"{FIRST}/f1", f"{FIRST}/b1"], output
    # Through the stray network it has a way out, which its own does not give it.
    assert (f"{FIRST}/b1", SECOND, 8080) in opened


def test_a_hostile_container_hides_nothing_and_proves_nothing(hosts, tmp_path):
    """m2 drops what comes in, b1 what goes out: the first is found where it came, the second proves nothing."""
    for host, name, rule in ((hosts[1], "m2", "INPUT"), (hosts[0], "f2", "OUTPUT")):
        pid = host.docker("inspect", "-f", "{{.State.Pid}}", name)
        host.shell(
            f"nsenter -t {pid} -n iptables -A {rule} ! -o lo -j DROP"
            if rule == "OUTPUT"
            else f"nsenter -t {pid} -n iptables -A {rule} ! -i lo -j DROP"
        )
    try:
        said, found, output = prove(hosts, tmp_path)
    finally:
        for host, name in ((hosts[1], "m2"), (hosts[0], "f2")):
            pid = host.docker("inspect", "-f", "{{.State.Pid}}", name)
            host.shell(f"nsenter -t {pid} -n iptables -F")
    assert said["holds"] is False
    assert found[f"{FIRST}/m1", f"{SECOND}/m2"] == {"blocked"}, output
    assert "its own filter or way back stops it" in output
    assert found[f"{FIRST}/f2", f"{FIRST}/b1"] == {"inconclusive"}
    # The others are judged as before.
    assert found[f"{FIRST}/f1", f"{FIRST}/b1"] == {"denied"}
