"""A tailnet whose packets go through a TUN device of the kernel, at the port of the flow for WireGuard, with a real control server."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
from tailnet.node import LAB, UNIT
from tailnet.peers import binaries
from tailnet.process import HeadscaleProcess
from vms import wait_for

#: This machine's address in Vagrant's network.
CONTROLLER = "192.168.121.1"
ALL: dict[str, object] = {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}
NOTHING: dict[str, object] = {"grants": []}
DROPIN = "/etc/systemd/system/tailscaled.service.d"


def put(vm, path, content):
    subprocess.run(vm.ssh(f"cat >{path}"), input=content, check=True, timeout=300)


def joined(vm, control, key):
    """Bring up tailscaled on a machine, and have it join; its address in the tailnet."""
    put(vm, "/usr/sbin/tailscaled", (binaries() / "tailscaled").read_bytes())
    vm.run(f"chmod 755 /usr/sbin/tailscaled; ln -sf tailscaled /usr/sbin/tailscale; mkdir -p {DROPIN}")
    put(vm, "/etc/systemd/system/tailscaled.service", pathlib.Path(UNIT).read_bytes())
    put(vm, f"{DROPIN}/lab.conf", LAB.encode())
    # The port of the site's flow, so that UFW lets a new packet in.
    put(vm, "/etc/default/tailscaled", b'PORT="51820"\nFLAGS=""\n')
    vm.run("systemctl daemon-reload; systemctl start tailscaled")
    options = f"--login-server {control.url} --auth-key {key} --accept-dns=false --netfilter-mode=off --timeout=170s"
    vm.run(f"tailscale up {options} --hostname {vm.name}")
    return vm.out("tailscale ip -4")


@pytest.fixture(name="tailnet", scope="module")
def fixture_tailnet(vm1, vm2, tmp_path_factory):
    """(the control server, the address of vm1 in the tailnet, that of vm2)."""
    with HeadscaleProcess(tmp_path_factory.mktemp("headscale"), CONTROLLER) as control:
        control.user("lab")
        control.set_policy(json.dumps(ALL))
        said = control.run("preauthkeys", "create", "--user", "1", "--reusable", "-o", "json")
        assert said.returncode == 0, said.stderr
        try:
            yield control, *(joined(vm, control, json.loads(said.stdout)["key"]) for vm in (vm1, vm2))
        finally:
            for vm in (vm1, vm2):
                files = f"/usr/sbin/tailscaled /usr/sbin/tailscale {DROPIN} /etc/systemd/system/tailscaled.service"
                vm.run(
                    f"systemctl stop tailscaled; rm -rf {files} /etc/default/tailscaled /var/lib/tailscale", check=False
                )


def test_packets_of_a_tailnet_go_through_the_kernel_and_directly_at_the_flows_port(vm1, tailnet):
    _control, _own, other = tailnet
    assert "tun type tun" in vm1.out("ip -details link show tailscale0")
    assert "dev tailscale0" in vm1.out(f"ip route get {other}")
    # The first ones go by the relay.
    assert wait_for(lambda: ":51820" in vm1.run(f"tailscale ping --c 5 --timeout 10s {other}", check=False).stdout)
    assert not vm1.run(f"ping -c 2 -W 8 {other}").returncode


def test_what_the_policy_does_not_grant_does_not_come_through(vm1, tailnet):
    control, _own, other = tailnet
    said = []

    def silent():
        said.append(vm1.run(f"ping -c 2 -W 3 {other}", check=False))
        return said[-1].returncode == 1

    control.set_policy(json.dumps(NOTHING))
    try:
        assert wait_for(silent), (
            said[-1],
            vm1.run("tailscale status; ip route get " + other, check=False),
            control.log()[-3000:],
        )
    finally:
        control.set_policy(json.dumps(ALL))
    assert wait_for(lambda: not vm1.run(f"ping -c 2 -W 8 {other}", check=False).returncode)
