# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A subnet router of a declared site, with real packets: what comes off the tailnet reaches behind it what a flow says, and
nothing else, with the policy and with the host's own rules, each by itself.

The hosts share one network; only the router and the printer have an address in the subnet behind it, so that the other
nodes know no way there but the tailnet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hosts import NET, PREFIX
from hosts.machine import ROOT, Machine, Play, started, wait
from tailnet import Headscale, Node

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import policy_document
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, Place, declare

ROUTER, PRINTER = "192.168.77.1", "192.168.77.9"
PLACE = f"10.{NET}.6"
SERVICES = ROOT / "tests" / "support" / "tailnet" / "services.py"
ANSWER = (
    "import json, socket, sys\n"
    "try: print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).makefile().readline())\n"
    "except OSError as error: print(json.dumps({'error': str(error)}))"
)


def site(control: str) -> Declaration:
    return declare(
        {
            "bulkhead_tiers": {
                "lan": {"vlan": 1, "subnet": "192.168.77.0/24", "gateway": ROUTER, "internet": False},
                "web": {"vlan": 2, "subnet": f"{PLACE}.0/24", "gateway": f"{PLACE}.12"},
            },
            "bulkhead_addresses": {"printer": PRINTER},
            "bulkhead_services": {"https": "443/tcp"},
            "bulkhead_tailnet": {
                "control": control,
                "tags": {"gateway": "tag:router", "web": "tag:web"},
                "tag_owners": {"tag:other": ["group:admins"]},
                "groups": {"admins": ["alice@example.com"]},
                "routes": {"gateway": ["lan"]},
            },
            "bulkhead_flows": [{"from": "web", "to": "printer", "allow": "https", "via": "tailnet"}],
        }
    )


class Lab(NamedTuple):
    control: Headscale
    router: Node
    web: Node
    other: Node
    declared: Declaration

    def policy(self, **more: Any) -> None:
        """The compiled policy, without its tests: they ask for nodes by their tags alone. more: keys in the place of its own."""
        self.control.set_policy({**policy_document(self.declared.site, present=[]), **more})

    def ask(self, node: Node, port: int, address: str = PRINTER) -> dict[str, Any]:
        """What a service behind the router says to a node: {service, client}, or {error}."""
        return dict(json.loads(node.shell(f"python3 - {address} {port}", stdin=ANSWER)))

    def firewall(self, **more: Any) -> dict[str, Any]:
        """The router's rules, as its role applies them."""
        plan = self.declared.plan("router", Place((), True))
        task = {key: plan[key] for key in ("rules", "default", "nat")}
        ((_task, said),) = Play(
            self.router.name,
            self.router.inventory(),
            [{"bulkhead.tiers.ufw_ruleset": {"state": "enabled", **task, **more}}],
        ).results()
        return said


@pytest.fixture(name="lab", scope="module")
def fixture_lab() -> Iterator[Lab]:
    prefix = f"{PREFIX}-tr"
    control = Headscale(prefix, PLACE, 1, "bookworm")
    nodes = [
        Node(prefix, PLACE, 2 + place, release, control.url)
        for place, release in enumerate(("bookworm", "trixie", "trixie"))
    ]
    printer = Machine(prefix, PLACE, 5, "bookworm")
    with started([control, *nodes, printer]):
        control.user("alice@example.com")
        lab = Lab(control, *nodes, site(control.url))
        lab.policy()
        for host, address in ((lab.router, ROUTER), (printer, PRINTER)):
            host.shell(f"ip address add {address}/24 dev eth0")
        printer.put("/root/services.py", SERVICES.read_text())
        printer.shell("systemd-run --quiet --unit printer python3 /root/services.py printer 443,80")
        lab.router.shell("sysctl --quiet --write net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for node, tag in ((lab.router, "router"), (lab.web, "web"), (lab.other, "other")):
            task = {
                "login_server": node.control,
                "auth_key": control.key(tags=[f"tag:{tag}"]),
                "netfilter_mode": "nodivert",
            }
            task |= {"advertise_routes": ["192.168.77.0/24"]} if node is lab.router else {"accept_routes": True}
            ((_task, said),) = Play(node.name, node.inventory(), [{"bulkhead.tiers.tailscale_node": task}]).results()
            assert said.get("state") == "Running", said
        said = lab.firewall()
        assert said["changed"] and not said.get("failed"), said
        yield lab


def test_what_a_flow_says_reaches_behind_the_router_with_the_router_s_address(lab: Lab) -> None:
    wait(lambda: "service" in lab.ask(lab.web, 443), 90, what="the route is approved by the policy, and used")
    assert lab.ask(lab.web, 443) == {"service": "printer", "client": ROUTER}


def test_another_port_another_node_and_the_router_itself_are_not_reached(lab: Lab) -> None:
    wait(lambda: "service" in lab.ask(lab.web, 443), 90, what="the route is there")
    assert "error" in lab.ask(lab.web, 80)
    assert "error" in lab.ask(lab.other, 443)
    assert "error" in lab.ask(lab.web, 22, ROUTER)


def test_the_router_s_own_rules_hold_where_the_policy_lets_everything_through(lab: Lab) -> None:
    everything = {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}
    lab.policy(**everything)
    try:
        # The control: the policy lets the other node through now, to the port that a flow is for.
        wait(lambda: "service" in lab.ask(lab.other, 443), 90, what="the open policy is in force")
        assert "error" in lab.ask(lab.web, 80)
        assert "error" in lab.ask(lab.web, 22, ROUTER)
    finally:
        lab.policy()
        wait(lambda: "error" in lab.ask(lab.other, 443), 90, what="the policy is in force again")


def test_without_the_rules_the_same_port_is_open_so_that_it_is_they_that_close_it(lab: Lab) -> None:
    lab.policy(grants=[{"src": ["*"], "dst": ["*"], "ip": ["*"]}])
    lab.router.shell("ufw --force disable")
    try:
        # Without ufw there is no masquerade either: the printer is told the way back.
        back = f"ip route replace 100.64.0.0/10 via {ROUTER}"
        _printer(lab).shell(back)
        wait(lambda: "service" in lab.ask(lab.web, 80), 90, what="nothing closes port 80")
    finally:
        lab.firewall()
        lab.policy()
    wait(lambda: "error" in lab.ask(lab.web, 80), 90, what="the rules close it again")


def _printer(lab: Lab) -> Machine:
    return Machine(lab.router.prefix, PLACE, 5, "bookworm")
