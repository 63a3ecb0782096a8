# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A router between the controller and a server, for real: no change of its rules takes the way to the server away."""

from __future__ import annotations

import shutil

import hosts
import pytest
from hosts.machine import Machine, Play, run, wait

BEHIND = f"{hosts.PREFIX}-behind"
NET = f"10.{hosts.NET}.1"
SERVER = f"{NET}.20"


class Server(Machine):
    """A host on the network behind the router alone."""

    def __init__(self, release: str) -> None:
        super().__init__(BEHIND, NET, 1, release)
        self.addresses = {4: SERVER, 6: f"fd00:{hosts.NET}:1::20"}


class Site:
    """The router, the server behind it, and this machine as the controller."""

    def __init__(self, router: hosts.Host, server: Server) -> None:
        self.router, self.server = router, server

    def behind(self, **settings: str) -> dict:
        """How Ansible reaches the server: over the router, which forwards; or jumping from it."""
        return {**self.router.inventory(), "ansible_host": SERVER, **settings}

    def task(self, server: dict, **arguments: object) -> dict:
        """ufw_ruleset on the router, with the server in the inventory."""
        wish = {"state": "enabled", "purge": True, "ways": ["all"], "confirm": {"timeout": 12}, **arguments}
        play = Play(
            self.router.name,
            self.router.inventory(),
            [{"bulkhead.tiers.ufw_ruleset": wish}],
            {self.server.name: server},
            ANSIBLE_SSH_CONTROL_PATH_DIR=str(self.router.folder / "cp"),
        )
        ((_task, result),) = play.results()
        return result

    def reachable(self) -> bool:
        return "SSH-" in run(
            "timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{SERVER}/22 && head -c 4 <&3", check=False
        )


@pytest.fixture(name="site", scope="module")
def fixture_site():
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    server = Server("trixie")
    with hosts.fleet(("trixie",)) as (router,):
        try:
            options = [
                "-o",
                "com.docker.network.bridge.inhibit_ipv4=true",
                "-o",
                "com.docker.network.bridge.enable_ip_masquerade=false",
            ]
            subnets = [f"--subnet={NET}.0/24", f"--gateway={NET}.254", "--ipv6", f"--subnet=fd00:{hosts.NET}:1::/64"]
            run("docker", "network", "create", *subnets, *options, BEHIND)
            run("docker", "network", "connect", f"--ip={NET}.1", BEHIND, router.name)
            server.start()
            server.wait()
            server.shell(f"ip route replace default via {NET}.1")
            router.shell("sysctl -qw net.ipv4.ip_forward=1")
            server.shell(
                "mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys", stdin=(router.folder / "key.pub").read_text()
            )
            run("ip", "route", "replace", f"{NET}.0/24", "via", router.address[4])
            found = Site(router, server)
            wait(found.reachable, 60, what="the server behind the router")
            yield found
        finally:
            run("ip", "route", "del", f"{NET}.0/24", check=False)
            server.remove()
            run("docker", "network", "disconnect", "--force", BEHIND, router.name, check=False)
            run("docker", "network", "rm", BEHIND, check=False)


SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
THROUGH = {
    "rule": "allow",
    "route": True,
    "proto": "tcp",
    "from_ip": f"10.{hosts.NET}.0.1",
    "to_ip": f"{NET}.0/24",
    "to_port": "22",
}
DENY = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}


def test_a_ruleset_that_would_cut_the_way_to_a_host_behind_is_refused_with_that_host(site):
    result = site.task(site.behind(), default=DENY, rules=[SSH])
    assert result["failed"] and not result["changed"]
    assert (
        f"would cut the controller's way to {site.server.name} (10.{hosts.NET}.0.1 -> {SERVER} port 22)"
        in result["msg"]
    )
    assert site.reachable() and "inactive" in site.router.shell("ufw status")


def test_one_that_is_applied_all_the_same_is_not_confirmed_and_rolled_back(site):
    result = site.task(site.behind(), default=DENY, rules=[SSH], accept_lockout=True)
    assert result["failed"] and result["confirmation"] == "rolled back"
    assert f"no new connection comes through this host to {site.server.name}" in result["msg"]
    wait(site.reachable, 30, what="the way after the rollback")


def test_a_way_by_a_jump_from_the_router_itself_is_seen_too(site):
    key = site.router.folder / "key"
    jump = f"ssh -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -W %h:%p root@{site.router.address[4]}"
    behind = site.behind(
        ansible_ssh_common_args=f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ProxyCommand='{jump}'"
    )
    result = site.task(behind, default={**DENY, "outgoing": "deny"}, rules=[SSH, THROUGH])
    assert result["failed"] and f"way to {site.server.name} ({NET}.1 -> {SERVER} port 22)" in result["msg"]


def test_one_that_lets_the_way_through_is_confirmed_and_the_next_run_asks_no_host(site):
    result = site.task(site.behind(), default=DENY, rules=[SSH, THROUGH])
    assert result["changed"] and result["confirmation"] == "confirmed over a new connection"
    assert site.reachable()
    # An address that nothing answers at would cost its time.
    again = site.task(site.behind(ansible_host="192.0.2.1"), default=DENY, rules=[SSH, THROUGH])
    assert (again["changed"], again["confirmation"]) == (False, "nothing to confirm")


def test_a_host_that_did_not_answer_before_does_not_hold_a_change_back(site):
    result = site.task(
        site.behind(ansible_host=f"{NET}.99"), default=DENY, rules=[SSH, THROUGH, {**SSH, "to_port": "8080"}]
    )
    assert result["changed"] and result["confirmation"] == "confirmed over a new connection"
