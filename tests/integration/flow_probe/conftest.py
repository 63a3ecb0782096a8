from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from probe_network import HOSTS, HOSTS6, Driver, pythons, remove, run


@pytest.fixture(autouse=True, scope="module")
def fixture_means():
    """A test that cannot run has not passed."""
    assert os.getuid() == 0 and shutil.which("iptables") and shutil.which("ip"), "needs root, iproute2 and iptables"
    # The files of this folder share the names of their namespaces: of two sessions of pytest, one waits for the other.
    with open(Path(tempfile.gettempdir()) / "bulkhead-flow-probe.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def network():
    """The three hosts and their router, without any firewall rule."""
    remove()
    # ICMP errors are limited to one a second and peer: the tests ask for more of them.
    run(
        "ip netns add fp-r; ip -n fp-r link set lo up;"
        "ip netns exec fp-r sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0 net.ipv6.conf.all.forwarding=1"
        " net.ipv6.icmp.ratelimit=0"
    )
    for name, address in HOSTS.items():
        router = address.rsplit(".", 1)[0] + ".1"
        address6 = HOSTS6[name]
        router6 = address6.rsplit("::", 1)[0] + "::1"
        run(
            f"ip netns add fp-{name}; ip -n fp-{name} link set lo up;"
            f"ip link add fp-r-{name} netns fp-r type veth peer name eth0 netns fp-{name};"
            f"ip -n fp-r address add {router}/24 dev fp-r-{name}; ip -n fp-r link set fp-r-{name} up;"
            f"ip -n fp-{name} address add {address}/24 dev eth0; ip -n fp-{name} link set eth0 up;"
            f"ip -n fp-{name} route add default via {router};"
            # An address that is being looked for twice in the network cannot be bound yet.
            f"ip -n fp-r address add {router6}/64 dev fp-r-{name} nodad;"
            f"ip -n fp-{name} address add {address6}/64 dev eth0 nodad; ip -n fp-{name} route add default via {router6};"
            f"ip netns exec fp-{name} sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0"
        )
    yield
    remove()


@pytest.fixture
def rules(network):
    """Call it with a host and iptables arguments; all its rules go at the end of the test."""
    used = set()

    def add(name, arguments, program="iptables"):
        used.add(name)
        run(f"ip netns exec fp-{name} {program} {arguments}")

    yield add
    for name in used:
        for program in ("iptables", "ip6tables"):
            run(f"ip netns exec fp-{name} {program} -F; ip netns exec fp-{name} {program} -t nat -F")


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).name)
def prober(request, network):
    """Runs steps with one Python; every listener that it started is stopped at the end."""
    driver = Driver(request.param)
    yield driver
    for name in [*HOSTS, "r"]:
        driver.stop(name)


@pytest.fixture
def service(network):
    """Start a command in a host's namespace; it ends with the test."""
    started = []

    def start(name, code):
        process = subprocess.Popen(
            ["ip", "netns", "exec", f"fp-{name}", "python3", "-c", code], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        process.stdout.readline()  # it is ready

    yield start
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait()
