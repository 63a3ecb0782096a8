"""SSH on the public side closes only when the tailnet is proven from the controller: over real SSH, Headscale and tailscaled.

The controller is this machine. It is in the tailnet by one of the nodes: what goes to an address there goes through it.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hosts import NET, PREFIX
from hosts.machine import Play, run, wait
from tailnet import Headscale, Node, tailnet

#: Rules that leave SSH to the tailnet; the transport of WireGuard stays open.
RULES = [
    {"rule": "allow", "interface_in": "tailscale0", "proto": "tcp", "to_port": "22"},
    {"rule": "allow", "proto": "udp", "to_port": "41641"},
]
#: An SSH client's way to an address: through the node where it is one of the tailnet's, else as it comes.
RELAY = """
import select, socket, sys
stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
stream.setblocking(True)
while True:
    for ready in select.select([0, stream], [], [])[0]:
        data = __import__("os").read(0, 65536) if ready == 0 else stream.recv(65536)
        if not data:
            sys.exit()
        if ready == 0:
            stream.sendall(data)
        else:
            __import__("os").write(1, data)
"""


class Place(NamedTuple):
    control: Headscale
    server: Node
    desk: Node
    inventory: dict[str, Any]

    def let_in(self, controller: bool) -> None:
        """Whether the policy lets the controller's node reach the server's SSH, once both have heard of it."""
        grant = {"src": ["tag:desk"], "dst": ["tag:web"], "ip": ["tcp:22"]}
        self.control.set_policy({"tagOwners": {"tag:web": [], "tag:desk": []}, "grants": [grant] if controller else []})
        wanted = "open" if controller else "blocked"
        wait(
            lambda: self.desk.reaches(self.server.address(), 22) == wanted, 60, what=f"SSH over the tailnet is {wanted}"
        )

    def apply(self, **confirm: Any) -> dict[str, Any]:
        """What the module said of the rules that leave SSH to the tailnet."""
        arguments = {"rules": RULES, "purge": True, "default": {"incoming": "deny"}, "confirm": confirm}
        ((_task, said),) = Play(self.server.name, self.inventory, [{"bulkhead.tiers.ufw_ruleset": arguments}]).results()
        return said

    def is_public(self) -> bool:
        """Whether sshd greets a new connection to the server's public address."""
        try:
            with socket.create_connection((self.server.addresses[4], 22), 3) as stream:
                return stream.recv(4) == b"SSH-"
        except OSError:
            return False


@pytest.fixture(name="place", scope="module")
def fixture_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("ssh")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    with tailnet(f"{PREFIX}-ts", f"10.{NET}.3", ["bookworm", "bookworm"]) as (control, (server, desk)):
        key = (folder / "key.pub").read_text()
        server.shell("mkdir -p -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys; systemctl restart ssh", stdin=key)
        for node, tag in ((server, "tag:web"), (desk, "tag:desk")):
            node.join(control.key(tags=[tag]), "--netfilter-mode=nodivert", "--accept-dns=false")
        desk.put("/opt/relay.py", RELAY)
        way = folder / "way"
        there = f"docker exec -i {desk.name} python3 /opt/relay.py"
        way.write_text(
            f'#!/bin/sh\ncase $1 in 100.*) exec {there} "$@" ;; *) exec {sys.executable} {folder}/relay.py "$@" ;; esac\n'
        )
        (folder / "relay.py").write_text(RELAY)
        way.chmod(0o755)
        options = f"-o ProxyCommand='{way} %h %p' -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        inventory = {
            "ansible_host": server.addresses[4],
            "ansible_user": "root",
            "ansible_connection": "ssh",
            "ansible_ssh_private_key_file": str(folder / "key"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": options,
        }
        yield Place(control, server, desk, inventory)


@pytest.fixture(autouse=True)
def fixture_open_again(place: Place) -> Iterator[None]:
    yield
    place.server.shell("ufw --force disable; ufw --force reset", check=False)


def test_the_way_of_the_task_is_not_closed_where_no_other_one_is_named(place: Place) -> None:
    place.let_in(True)
    said = place.apply(timeout=20)
    assert said["failed"] and "would cut the connection of this task" in said["msg"]
    assert place.is_public()


def test_public_ssh_closes_once_a_new_connection_has_come_over_the_tailnet(place: Place) -> None:
    place.let_in(True)
    address = place.server.address()
    assert place.is_public()
    said = place.apply(timeout=60, over=address)
    assert said["confirmation"] == f"confirmed over a new connection to {address}", said
    assert not place.is_public()
    assert place.desk.reaches(address, 22) == "open"
    # From now on the host is reached at its address in the tailnet, and is as it should be.
    over = Place(place.control, place.server, place.desk, {**place.inventory, "ansible_host": address})
    assert over.apply(timeout=60, over=address)["changed"] is False


def test_the_role_firewall_takes_the_way_that_the_role_tailnet_has_made(place: Place) -> None:
    """As the role tier calls them: what the first registers is all that the second knows of the tailnet."""
    place.let_in(True)
    site = {
        "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}},
        "firewall_rules": RULES,
        "firewall_default": {"incoming": "deny"},
        "firewall_docker": {},
        "firewall_nat": {},
        "firewall_confirm_timeout": 60,
    }
    tasks = [
        {"bulkhead.tiers.tailscale_node": {"netfilter_mode": "nodivert"}, "register": "tailnet_joined"},
        {"ansible.builtin.include_role": {"name": "bulkhead.tiers.firewall"}},
    ]
    results = Play(place.server.name, {**place.inventory, **site}, tasks).results()
    (said,) = [said for task, said in results if "Apply the ruleset" in task["name"]]
    assert said["confirmation"] == f"confirmed over a new connection to {place.server.address()}", said
    assert not place.is_public()


def test_public_ssh_stays_open_where_the_tailnet_does_not_let_the_controller_in(place: Place) -> None:
    place.let_in(False)
    said = place.apply(timeout=15, over=place.server.address())
    assert said["failed"] and said["confirmation"] == "rolled back"
    assert place.is_public()


def test_public_ssh_stays_open_where_the_server_is_in_no_tailnet_any_more(place: Place) -> None:
    place.let_in(True)
    address = place.server.address()
    place.server.daemon("stop")
    try:
        said = place.apply(timeout=15, over=address)
        assert said["failed"] and said["confirmation"] == "rolled back"
        assert place.is_public()
    finally:
        place.server.daemon("start")
        place.server.until("Running")
