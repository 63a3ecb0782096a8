# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A declared site with address translation and limits, for real: a router between a tier and the outside, and packets."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from typing import Optional

import hosts
import pytest
from hosts.machine import Machine, run, started, wait

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import shared_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

INSIDE, OUTSIDE = f"10.{hosts.NET}.1", f"10.{hosts.NET}.2"
WEB, ROUTER = f"{INSIDE}.11", {"inside": f"{INSIDE}.12", "outside": f"{OUTSIDE}.12"}
CLIENT = f"{OUTSIDE}.11"
SITE = {
    "bulkhead_tiers": {
        "inside": {
            "vlan": 1,
            "subnet": [f"{INSIDE}.0/24", f"fd00:{hosts.NET}:1::/64"],
            "gateway": [ROUTER["inside"], f"fd00:{hosts.NET}:1::12"],
            "internet": True,
            "masquerade": True,
        }
    },
    "bulkhead_addresses": {"web": WEB},
    "bulkhead_services": {"http": "8080/tcp", "admin": "2222/tcp", "console": "2323/tcp"},
    "bulkhead_flows": [
        {"from": "internet", "to": "web", "allow": "http", "forward": {"port": 80}, "why": "shop"},
        {"from": "internet", "to": "inside", "allow": "admin", "limit": True},
        {"from": "internet", "to": "gateway", "allow": "console", "limit": True},
    ],
}
JUMPS = {"PREROUTING": "-j bulkhead-forward", "POSTROUTING": "-j bulkhead-masquerade"}

#: Tells every client its address, at the ports of the site and beside them.
SERVER = """
import socket, sys, threading
def serve(port):
    family = socket.AF_INET6
    listener = socket.create_server(("::", port), family=family, dualstack_ipv6=True, backlog=64)
    while True:
        client, peer = listener.accept()
        client.sendall(f"{socket.gethostname()} {port} {peer[0].removeprefix('::ffff:')}".encode())
        client.close()
for port in (80, 81, 8080, 8081, 2222, 2323):
    threading.Thread(target=serve, args=(port,)).start()
"""
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as stream:
        print(stream.recv(200).decode())
except OSError as error:
    print(type(error).__name__)
"""


class Site:
    """The router, a host behind it and one outside."""

    def __init__(self, web: Machine, router: hosts.Host, client: Machine) -> None:
        self.web, self.router, self.client = web, router, client

    def serve(self) -> None:
        """Start what a boot has ended."""
        self.web.shell(f"ip route replace default via {ROUTER['inside']}")
        self.web.shell(f"ip -6 route replace default via fd00:{hosts.NET}:1::12")
        self.client.shell(f"ip route replace {INSIDE}.0/24 via {ROUTER['outside']}")
        self.client.shell(f"ip -6 route replace fd00:{hosts.NET}:1::/64 via fd00:{hosts.NET}:2::12")
        self.router.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for machine in (self.web, self.router, self.client):
            machine.put("/opt/serve.py", SERVER)
            machine.put("/opt/ask.py", ASK)
            machine.shell("systemd-run --quiet --unit serve python3 /opt/serve.py 2>/dev/null || true")
            wait(lambda one=machine: "8080" in self.ask(one, "127.0.0.1", 8080), 60, what=f"{machine.name} serves")

    @staticmethod
    def ask(machine: Machine, address: str, port: int) -> str:
        """ "HOST PORT ADDRESS-OF-THE-CLIENT", or the name of the error."""
        return machine.shell(f"python3 /opt/ask.py {address} {port}").strip()

    def apply(self, site: Optional[dict] = None, **more: object) -> dict:
        """The plan of a router, applied."""
        plan = shared_plan(parse_site(site or SITE, date(2026, 1, 1)), (), True)
        wish = {"rules": plan["rules"], "default": plan["default"], "nat": plan["nat"], "purge": True}
        return self.router.driver({"state": "enabled", "confirm": {"timeout": 0}, **wish, **more})

    def jumps(self) -> dict[str, int]:
        """How often each jump to our chains is there."""
        rules = self.router.shell("iptables -t nat -S").splitlines()
        return {chain: rules.count(f"-A {chain} {jump}") for chain, jump in JUMPS.items()}

    def holds(self) -> None:
        """What is declared works, and nothing else."""
        assert self.jumps() == dict.fromkeys(JUMPS, 1)
        assert self.ask(self.web, CLIENT, 8081) == f"{self.client.name} 8081 {ROUTER['outside']}"
        assert self.ask(self.client, ROUTER["outside"], 80) == f"{self.web.name} 8080 {CLIENT}"
        closed = [(ROUTER["outside"], 81), (ROUTER["outside"], 8080), (ROUTER["outside"], 8081), (WEB, 80), (WEB, 8081)]
        with ThreadPoolExecutor() as pool:
            said = list(pool.map(lambda target: self.ask(self.client, *target), closed))
        assert said == ["TimeoutError"] * len(closed), list(zip(closed, said))


@pytest.fixture(name="site", scope="module", params=[pytest.param("bookworm", marks=pytest.mark.whole), "trixie"])
def fixture_site(request):
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with ExitStack() as stack:
        web = Machine(f"{hosts.PREFIX}-in", INSIDE, 1, request.param)
        client = Machine(f"{hosts.PREFIX}-out", OUTSIDE, 1, request.param)
        router = hosts.Host(2, request.param, None)
        router.prefix, router.net = f"{hosts.PREFIX}-in", INSIDE
        router.name = f"{hosts.PREFIX}-in-2"
        router.addresses = {4: ROUTER["inside"], 6: f"fd00:{hosts.NET}:1::12"}
        router.ready = router.wait
        stack.enter_context(started([client]))
        stack.enter_context(started([web, router]))
        other = f"{hosts.PREFIX}-out"
        run(
            "docker",
            "network",
            "connect",
            f"--ip={ROUTER['outside']}",
            f"--ip6=fd00:{hosts.NET}:2::12",
            other,
            router.name,
        )
        stack.callback(run, "docker", "network", "disconnect", "--force", other, router.name, check=False)
        router.install()
        site = Site(web, router, client)
        site.serve()
        site.own = router.shell("cat /etc/ufw/before.rules /etc/ufw/before6.rules /etc/ufw/before.init")
        router.shell("iptables -t nat -A POSTROUTING -s 10.99.0.0/16 -j RETURN")  # another program's
        yield site


def test_what_is_declared_works_and_everything_else_is_blocked(site):
    done = site.apply()
    assert done["changed"] and not done.get("failed"), done
    site.holds()
    again = site.apply()
    assert not again["changed"] and not again["drift"], again


def test_the_reloads_restarts_and_a_boot_load_it_exactly_once(site):
    for command in ("ufw reload", "ufw reload", "ufw disable && ufw --force enable", "systemctl restart ufw"):
        site.router.shell(command)
        site.holds()
    assert "-s 10.99.0.0/16 -j RETURN" in site.router.shell("iptables -t nat -S POSTROUTING")
    site.router.shell("ufw disable")
    assert site.jumps() == dict.fromkeys(JUMPS, 0)
    site.router.shell("ufw --force enable")
    site.router.kill()
    site.serve()
    site.holds()
    assert not site.apply()["changed"]


def test_what_somebody_changed_is_found_and_repaired(site):
    site.router.shell(
        "iptables -t nat -A POSTROUTING -j bulkhead-masquerade; "
        "iptables -t nat -I bulkhead-forward -p tcp --dport 81 -j DNAT --to-destination " + WEB
    )
    done = site.apply()
    assert done["changed"] and len(done["drift"]) == 2, done["drift"]
    site.holds()


def test_a_change_that_is_not_confirmed_is_taken_back_with_its_translations(site):
    other = {**SITE, "bulkhead_flows": [{"from": "internet", "to": "web", "allow": "http", "forward": {"port": 81}}]}
    done = site.apply(other, confirm={"timeout": 600})
    assert done["changed"]
    assert site.ask(site.client, ROUTER["outside"], 81) == f"{site.web.name} 8080 {CLIENT}"
    site.router.roll_back(done["pending"]["token"])
    site.holds()


def test_a_forward_that_would_take_the_task_s_own_connection_is_refused(site):
    other = {
        **SITE,
        "bulkhead_flows": [{"from": "internet", "to": "web", "allow": "http", "forward": {"port": 22}}],
    }
    plan = shared_plan(parse_site(other, date(2026, 1, 1)), (), True)
    wish = {"state": "enabled", "rules": [{"rule": "allow", "proto": "tcp", "to_port": "22"}], "nat": plan["nat"]}
    command = f"SSH_CONNECTION='{CLIENT} 40000 {ROUTER['outside']} 22' python3 /opt/bulkhead-fault/driver.py"
    said = site.router.shell(f"{command} '{json.dumps(wish)}'", check=False)
    assert "would be sent to another place by" in said and f"--to-destination {WEB}" in said, said
    assert "nothing was changed" in said, said
    site.holds()


@pytest.mark.parametrize(
    ("address", "port", "host"),
    [
        (WEB, 2222, "web"),
        (f"fd00:{hosts.NET}:1::11", 2222, "web"),
        (ROUTER["inside"], 2323, "router"),
        (f"fd00:{hosts.NET}:1::12", 2323, "router"),
    ],
    # Without the addresses: each of pytest's workers has its own.
    ids=["through, IPv4", "through, IPv6", "to it, IPv4", "to it, IPv6"],
)
def test_the_kernel_limits_a_flow_through_the_router_and_to_it_for_both_ip_versions(site, address, port, host):
    site.router.shell("for file in /proc/net/xt_recent/*; do echo / > $file; done")
    found = [site.ask(site.client, address, port) for _number in range(7)]
    assert [getattr(site, host).name in text for text in found] == [True] * 5 + [False] * 2, found
    assert found[-1] == "ConnectionRefusedError"


def test_without_the_declaration_nothing_is_left(site):
    plain = {**SITE, "bulkhead_tiers": {"inside": {**SITE["bulkhead_tiers"]["inside"], "masquerade": False}}}
    plain["bulkhead_flows"] = []
    done = site.apply(plain)
    assert done["changed"], done
    assert "bulkhead" not in site.router.shell("iptables -t nat -S; ip6tables -t nat -S")
    assert site.router.shell("cat /etc/ufw/before.rules /etc/ufw/before6.rules /etc/ufw/before.init") == site.own
    assert "rw-r-----" in site.router.shell("ls -l /etc/ufw/before.init")
    assert site.ask(site.client, ROUTER["outside"], 80) == "TimeoutError"
    site.router.shell("ufw reload")
    assert site.jumps() == dict.fromkeys(JUMPS, 0)
