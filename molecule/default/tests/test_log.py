"""UFW's log: on the host that blocked the packet, and with the log collector of the monitoring tier."""

from __future__ import annotations

import pathlib
import random
import re
import time

import pytest
import testinfra

LOG = "/var/log/ufw.log"
COLLECTED = "/var/log/bulkhead"
SWITCH = pathlib.Path("/proc/sys/net/netfilter/nf_log_all_netns")

# Sends one SYN to an address and a port, and does not wait for the answer that a blocked one has not.
KNOCK = """
import socket, sys
probe = socket.socket()
probe.setblocking(False)
probe.connect_ex((sys.argv[1], int(sys.argv[2])))
"""


def lab(name):
    return testinfra.get_host("docker://bulkhead-lab-" + name)


@pytest.fixture(autouse=True, scope="module")
def fixture_kernel_log():
    assert SWITCH.read_text().strip() == "1", "the lab was not made by root: its hosts have no log of their firewalls"


def lines(name, path, port):
    """The lines of a host's file that are about a packet to a port."""
    return [line for line in read(name, path).splitlines() if " DPT=%d " % port in line]


def read(name, path):
    return lab(name).run("cat " + path).stdout


def waited_for(name, path, port, seconds=30):
    """The first line about a port that a host's file gets within some seconds; None if it gets none."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = lines(name, path, port)
        if found:
            return found[0]
        time.sleep(0.5)
    return None


def knock(source, address):
    """Knocks at ports that nobody has knocked at, until one is logged or the limit of the log would have let it through.

    UFW logs 3 packets a minute after a first 10, so that a run of the proof just before this one may have used them up.
    Returns a function that waits for the packet's line in a host's file: whichever of the ports it is about.
    """
    ports = []

    def logged(name, path):
        for dummy in range(6):
            ports.append(random.randint(20000, 29999))
            lab(source).check_output("python3 -c %s %s %s", KNOCK, address, str(ports[-1]))
            for port in ports:
                line = waited_for(name, path, port, 6 / len(ports))
                if line:
                    return port, line
        raise AssertionError("no packet from %s to %s is in %s of %s: %s" % (source, address, path, name, ports))

    return logged


# The host that sends, the address that it knocks at, the host whose filter stops it, and that host's address to the collector.
BLOCKED = [
    pytest.param("swarm1", "10.116.0.12", "swarm2", "10.116.0.12", id="within a tier"),
    pytest.param("swarm1", "10.0.3.11", "gw1", "10.0.3.1", id="between two tiers"),
    pytest.param("outside1", "10.116.0.13", "gw1", "10.0.3.1", id="from the internet"),
]


@pytest.mark.parametrize(("source", "address", "blocker", "sender"), BLOCKED)
def test_a_blocked_packet_is_in_the_log_of_its_host_and_with_the_collector(source, address, blocker, sender):
    port, line = knock(source, address)(blocker, LOG)
    assert "[UFW BLOCK] " in line
    origin = re.search(r"\bSRC=(\S+) DST=(\S+) ", line)
    assert origin.group(2) == address
    assert origin.group(1) in ("10.116.0.11", "203.0.113.10")
    collected = waited_for("mon1", "%s/%s/ufw.log" % (COLLECTED, sender), port)
    assert collected == line


def test_a_host_has_no_packet_in_its_log_that_another_host_has_blocked():
    port, dummy = knock("swarm1", "10.116.0.12")("swarm2", LOG)
    for name in ("gw1", "mgmt1", "prov1", "mon1", "swarm1", "swarm3"):
        assert lines(name, LOG, port) == []


def test_provisioning_keeps_its_log_and_sends_nothing():
    port, line = knock("gw1", "10.0.2.10")("prov1", LOG)
    assert "SRC=10.0.2.1 DST=10.0.2.10 " in line
    assert "action" not in read("prov1", "/etc/rsyslog.d/30-bulkhead-ufw.conf")
    assert not [name for name in lab("mon1").file(COLLECTED).listdir() if name.startswith("10.0.2.")]
    assert str(port) not in lab("mon1").run("cat %s/*/*" % COLLECTED).stdout
    # Nor does it try: its own firewall would not stop it, the gateway's would.
    assert "10.0.3." not in lab("prov1").check_output("ss -Htn")


def test_what_the_collector_blocks_stays_in_its_own_log():
    port, dummy = knock("gw1", "10.0.3.11")("mon1", LOG)
    assert not lab("mon1").file(COLLECTED + "/10.0.3.11/ufw.log").exists
    assert " DPT=%d " % port not in lab("mon1").run("cat %s/*/ufw.log" % COLLECTED).stdout


def test_no_message_is_lost_while_the_collector_is_away():
    collector, sender = lab("mon1"), lab("swarm2")
    collector.check_output("systemctl stop rsyslog.service syslog.socket")
    try:
        port, line = knock("swarm1", "10.116.0.12")("swarm2", LOG)
        assert sender.check_output("ls /var/spool/rsyslog") != ""
    finally:
        collector.check_output("systemctl start syslog.socket rsyslog.service")
    assert waited_for("mon1", COLLECTED + "/10.116.0.12/ufw.log", port, 90) == line


def test_the_log_is_for_administrators_only():
    for name, path in (("swarm2", LOG), ("mon1", COLLECTED + "/10.116.0.12/ufw.log")):
        log = lab(name).file(path)
        assert (log.user, log.group, log.mode) == ("root", "adm", 0o640)


def test_a_sender_cannot_choose_the_file_that_it_writes_to():
    mark = "mark%d" % random.randint(0, 10**9)
    message = "<4>Nov 21 00:00:00 ../../../tmp/evil kernel: [UFW BLOCK] " + mark
    lab("swarm1").check_output(
        "python3 -c %s %s",
        "import socket, sys; s = socket.create_connection(('10.0.3.11', 514)); s.sendall(sys.argv[1].encode() + b'\\n')",
        message,
    )
    end = time.monotonic() + 20
    while mark not in read("mon1", COLLECTED + "/10.116.0.11/ufw.log") and time.monotonic() < end:
        time.sleep(0.5)
    assert mark in read("mon1", COLLECTED + "/10.116.0.11/ufw.log")
    assert not lab("mon1").file("/tmp/evil").exists


def test_the_other_ports_of_the_service_are_heard_too():
    mark = "mark%d" % random.randint(0, 10**9)
    send = (
        "import socket, sys; text = sys.argv[1].encode();"
        "s = socket.create_connection(('10.0.3.11', 5514)); s.sendall(b'<13>app: tcp ' + text + b'\\n');"
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b'<13>app: udp ' + text, ('10.0.3.11', 514))"
    )
    lab("swarm1").check_output("python3 -c %s %s", send, mark)
    end = time.monotonic() + 20
    found = set()
    while len(found) < 2 and time.monotonic() < end:
        found = set(re.findall(r"app: (tcp|udp) %s" % mark, read("mon1", COLLECTED + "/10.116.0.11/syslog")))
        time.sleep(0.5)
    assert found == {"tcp", "udp"}


def test_a_collected_log_is_rotated_and_goes_on_in_a_new_file():
    collector, path = lab("mon1"), COLLECTED + "/10.116.0.12/ufw.log"
    before = read("mon1", path)
    assert before
    collector.check_output(
        "rm -f %s.1 && logrotate --force --state /run/logrotate.test /etc/logrotate.d/bulkhead", path
    )
    assert read("mon1", path + ".1").startswith(before)
    port, line = knock("swarm1", "10.116.0.12")("swarm2", LOG)
    assert waited_for("mon1", path, port) == line


def test_the_configuration_holds_on_both_releases():
    for name in ("swarm1", "swarm2", "mon1", "prov1"):
        assert lab(name).run("rsyslogd -N1").rc == 0
