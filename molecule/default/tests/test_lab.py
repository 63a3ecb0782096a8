"""The lab itself: real hosts, and nothing gets out of it."""

from __future__ import annotations

import errno
import json
import subprocess

import pytest

testinfra_hosts = ["ansible://all"]

# Prints the errno of a TCP connect to an address, 0 if somebody accepted it.
CONNECT = """
import socket, sys
probe = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
probe.settimeout(4)
try:
    probe.connect((sys.argv[1], 9))
    print(0)
except OSError as error:
    print(error.errno or "timeout")
"""


def command(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def machine_addresses():
    """The machine's own addresses, loopback apart; of IPv6 also those that are good on one link alone."""
    links = json.loads(command("ip", "-json", "address", "show"))
    return {
        link["ifname"]: [a["local"] for a in link["addr_info"] if a["scope"] == "global" or a["family"] == "inet6"]
        for link in links
        if link["ifname"] != "lo"
    }


def test_systemd_started_every_unit_of_a_host(host):
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""


def test_the_engine_and_ufw_of_a_host_are_its_own(host):
    assert host.package("ufw").is_installed
    assert host.package("docker.io").is_installed


def test_the_machine_has_no_address_in_a_network_of_the_lab():
    ids = command("docker", "network", "ls", "--filter", "name=^bulkhead-lab-", "--format", "{{.ID}}").split()
    assert len(ids) >= 5
    machine = machine_addresses()
    assert not [machine["br-" + name] for name in ids if machine.get("br-" + name)]


@pytest.mark.parametrize("name", ["mgmt1", "gw1", "outside1"])
def test_a_packet_to_an_address_outside_of_the_lab_ends_as_unreachable(name, request):
    import testinfra

    host = testinfra.get_host("docker://bulkhead-lab-" + name)
    uplink = [one for own in machine_addresses().values() for one in own if not one.startswith("fe80:")]
    for address in ["198.51.100.77", "100.64.0.1", "2001:db8:77::1", "2606:4700::1", *uplink]:
        answer = host.check_output("python3 -c %s %s", CONNECT, address)
        assert answer in (str(errno.EHOSTUNREACH), str(errno.ENETUNREACH)), (name, address, answer)


def test_every_host_has_an_address_of_both_ip_versions_in_each_of_its_networks(host):
    links = json.loads(host.check_output("ip -json address show scope global"))
    legs = [{one["family"] for one in link["addr_info"] if one} for link in links if link["ifname"].startswith("eth")]
    assert legs and all(leg == {"inet", "inet6"} for leg in legs)
