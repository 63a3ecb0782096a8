"""What a change does to the connection that its task came by."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Session
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import cut
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import options_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import parse_status
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import NEEDS_LOGIN, answer_of

OPTIONS = {**options_of(json.loads(answer_of(NEEDS_LOGIN, "GET", "prefs")["answer"])), "up": True}
TAILNET = Session(4, "100.64.0.9", 50000, "100.64.0.7", 22, "tailscale0")
LAN = Session(4, "10.0.0.9", 50000, "10.0.0.7", 22, "eth0")
STATUS = dataclasses.replace(parse_status({}), ips=("100.64.0.7", "fd7a:115c:a1e0::7"))


def plan(before=None, **after):
    was = {**OPTIONS, **(before or {})}
    now = {**was, **after}
    return Plan(was, now, tuple(name for name in now if now[name] != was[name]))


def over(session, one, near=False):
    way = cut.Way(session, session is not LAN, near)
    return [(found.answer, found.option) for found in cut.cuts(one, way)], cut.refusals(cut.cuts(one, way), way)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (plan(up=False), ("ends", "state")),
        (Plan(OPTIONS, OPTIONS, logout=True), ("ends", "state")),
        (plan(shields_up=True), ("ends", "shields_up")),
        (plan(advertise_tags=["tag:web"]), ("risks", "advertise_tags")),
        (plan(ssh=True), ("risks", "ssh")),
        (plan({"ssh": True}, ssh=False), ("risks", "ssh")),
        (Plan(OPTIONS, OPTIONS, login="renew"), ("risks", "auth_key")),
        (Plan(OPTIONS, OPTIONS, login="move"), ("risks", "auth_key")),
        (Plan(OPTIONS, OPTIONS, login="retag"), ("risks", "auth_key")),
    ],
)
def test_what_would_cut_a_connection_over_the_tailnet_is_refused_with_its_way(change, answer):
    found, refused = over(TAILNET, change)
    assert found == [answer]
    (mistake,) = refused
    assert "100.64.0.9 -> 100.64.0.7 port 22 on tailscale0, over the tailnet" in str(mistake)
    assert "accept_cut" in mistake.remedy and mistake.kind == "cut"


@pytest.mark.parametrize(
    "change",
    [
        plan(exit_node="n1"),
        plan(netfilter_mode="nodivert"),
        plan(hostname="new"),
        plan(accept_routes=True),
        plan({"shields_up": True}, shields_up=False),
    ],
)
def test_what_may_cut_it_is_confirmed_and_not_refused(change):
    found, refused = over(TAILNET, change)
    assert [answer for answer, _option in found] == ["may"] and refused == []


@pytest.mark.parametrize(
    "change",
    [plan(accept_dns=False), plan(operator="ops"), plan(advertise_routes=["10.0.3.0/24"]), plan(update_check=False)],
)
@pytest.mark.parametrize("session", [TAILNET, LAN])
def test_what_touches_no_packet_of_it_is_neither(session, change):
    assert over(session, change) == ([], [])


@pytest.mark.parametrize("change", [plan(ssh=True), plan(shields_up=True), plan(advertise_tags=["tag:web"])])
def test_a_connection_beside_the_tailnet_outlives_what_is_the_tailnet_s(change):
    assert over(LAN, change) == ([], [])


def test_a_connection_beside_the_tailnet_does_not_outlive_an_exit_node():
    change = plan(exit_node="n1")
    assert over(LAN, change)[0] == [("ends", "exit_node")]
    assert over(LAN, change, near=True)[0] == [("ends", "exit_node")], (
        "the host's own networks go to the exit node, too"
    )
    lan_access = plan({"exit_node_allow_lan_access": True}, exit_node="n1")
    assert over(LAN, lan_access, near=True)[0] == [("may", "exit_node")]
    assert over(LAN, lan_access, near=False)[0] == [("ends", "exit_node")]
    assert over(LAN, plan({"exit_node": "n1"}, exit_node=""))[0] == [("may", "exit_node")]


def test_an_exit_node_that_is_looked_for_after_the_login_counts_as_well():
    assert ("ends", "exit_node") in over(LAN, Plan(OPTIONS, OPTIONS, login="join", later="gw"))[0]


def test_a_client_behind_another_node_s_subnet_needs_the_route_back():
    behind = TAILNET._replace(client="10.9.0.5")
    change = plan({"accept_routes": True}, accept_routes=False)
    assert ("ends", "accept_routes") in over(behind, change)[0]
    assert over(TAILNET, change)[0] == [("may", "accept_routes")]


def test_a_route_that_the_connection_comes_by_is_not_taken_away():
    through = TAILNET._replace(server="10.0.3.1")
    before = {"advertise_routes": ["10.0.3.0/24", "10.0.4.0/24"]}
    assert over(through, plan(before, advertise_routes=["10.0.4.0/24"]))[0] == [("ends", "advertise_routes")]
    assert over(through, plan(before, advertise_routes=["10.0.3.0/24"]))[0] == []


# -- the way ---------------------------------------------------------------------------------------------------------


def proc(root, connection="", process=0):
    """A /proc in which this process has an environment, and a parent that is the first one."""
    import os

    folder = root / "proc" / str(process or os.getpid())
    folder.mkdir(parents=True)
    (folder / "environ").write_bytes(f"A=1\0SSH_CONNECTION={connection}\0".encode() if connection else b"A=1\0")
    (folder / "stat").write_text("7 (python) S 0")
    return str(root)


def routed(interface):
    return lambda argv: (0, f"100.64.0.9 dev {interface} src 10.0.0.7")


def test_a_connection_to_an_address_of_the_node_is_over_the_tailnet(tmp_path):
    way = cut.find_way(STATUS, routed("tailscale0"), proc(tmp_path, "100.64.0.9 50000 100.64.0.7 22"))
    assert way is not None and way.tailnet and way.session == TAILNET


def test_one_by_the_interface_is_whatever_its_address(tmp_path):
    way = cut.find_way(STATUS, routed("tailscale0"), proc(tmp_path, "10.9.0.5 50000 10.0.3.1 22"))
    assert way is not None and way.tailnet


def test_one_to_another_interface_is_not(tmp_path):
    way = cut.find_way(STATUS, routed("eth0"), proc(tmp_path, "10.0.0.9 50000 10.0.0.7 22"))
    assert way is not None and not way.tailnet and way.near
    far = cut.find_way(STATUS, lambda argv: (0, "10.0.0.9 via 10.0.0.1 dev eth0"), str(tmp_path))
    assert far is not None and not far.near


def test_without_a_connection_there_is_no_way(tmp_path):
    assert cut.find_way(STATUS, routed("eth0"), proc(tmp_path)) is None


def test_a_task_without_a_connection_spares_the_ssh_of_others_over_the_tailnet(tmp_path):
    root = proc(tmp_path)
    net = tmp_path / "proc" / "net"
    net.mkdir()
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    # 100.64.0.7:22 from 100.64.0.9:50000, established; the same to port 5432, by a database.
    rows = "   0: 07004064:0016 09004064:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
    rows += "   1: 07004064:1538 09004064:C351 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n"
    (net / "tcp").write_text(head + rows)
    (net / "tcp6").write_text(head)
    server = tmp_path / "proc" / "300"
    (server / "fd").mkdir(parents=True)
    (server / "comm").write_text("sshd-session\n")
    (server / "fd" / "4").symlink_to("socket:[4711]")
    database = tmp_path / "proc" / "301"
    (database / "fd").mkdir(parents=True)
    (database / "comm").write_text("postgres\n")
    (database / "fd" / "4").symlink_to("socket:[4712]")
    way = cut.find_way(STATUS, routed("tailscale0"), root)
    assert way is not None and way.tailnet and way.session.text() == "100.64.0.9 -> 100.64.0.7 port 22"
    (server / "comm").write_text("nc\n")
    assert cut.find_way(STATUS, routed("tailscale0"), root) is None
