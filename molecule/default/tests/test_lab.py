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
probe = socket.socket()
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
    """The machine's own IPv4 addresses, loopback apart."""
    links = json.loads(command("ip", "-json", "-4", "address", "show", "scope", "global"))
    return {link["ifname"]: [a["local"] for a in link["addr_info"]] for link in links}


def test_systemd_started_every_unit_of_a_host(host):
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""


def test_the_engine_and_ufw_of_a_host_are_its_own(host):
    assert host.package("ufw").is_installed
    assert host.package("docker.io").is_installed


def test_the_machine_has_no_address_in_a_network_of_the_lab():
    ids = command("docker", "network", "ls", "--filter", "name=^bulkhead-lab-", "--format", "{{.ID}}").split()
    assert len(ids) >= 5
    assert not {"br-" + name for name in ids} & set(machine_addresses())


@pytest.mark.parametrize("name", ["mgmt1", "gw1", "outside1"])
def test_a_packet_to_an_address_outside_of_the_lab_ends_as_unreachable(name, request):
    import testinfra

    host = testinfra.get_host("docker://bulkhead-lab-" + name)
    uplink = [address for addresses in machine_addresses().values() for address in addresses]
    for address in ["198.51.100.77", "100.64.0.1", *uplink]:
        answer = host.check_output("python3 -c %s %s", CONNECT, address)
        assert answer in (str(errno.EHOSTUNREACH), str(errno.ENETUNREACH)), (name, address, answer)
