# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import effect, ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Edit, Section, applied
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import make_plan
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, FakeTable

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
WEB = {"rule": "allow", "proto": "tcp", "from_ip": "10.0.1.0/24", "to_port": "80"}
FLOW = (
    "tcp      6 431999 ESTABLISHED src=10.0.1.7 dst=10.0.0.5 sport=50123 dport=80 src=10.0.0.5 dst=10.0.1.7 sport=80 "
    "dport=50123 [ASSURED] mark=0 use=1\n"
)


def params(rules, **more):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": True, "rules": rules}
    return {**wish, "confirm": {"timeout": 0}, **more}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    host = FakeHost(tmp_path)
    converge(host, params([SSH]), False)
    host.ran.clear()
    return host


def texts(entries):
    return [(entry["family"], entry["direction"], entry["text"]) for entry in entries]


# -- opened and closed -------------------------------------------------------------------------------------------------


def test_a_rule_that_is_added_opens_and_one_that_is_removed_closes(host):
    result = converge(host, params([SSH, WEB]), False)
    assert result["closed"] == []
    (entry,) = result["opened"]
    assert {key: entry[key] for key in ("source", "destination", "protocol", "ports", "direction", "family")} == {
        "source": ["10.0.1.0/24"],
        "destination": ["any"],
        "protocol": ["tcp"],
        "ports": ["80"],
        "direction": "in",
        "family": 4,
    }
    assert "10.0.1." in entry["witness"]
    result = converge(host, params([SSH]), False)
    assert result["opened"] == [] and len(result["closed"]) == 1
    assert result["closed"][0]["source"] == ["10.0.1.0/24"]


def test_a_rule_without_an_address_counts_in_both_families(host):
    result = converge(host, params([SSH, {"rule": "allow", "proto": "udp", "to_port": "53"}]), False)
    assert [(family, way) for family, way, _text in texts(result["opened"])] == [(4, "in"), (6, "in")]
    assert all(entry["protocol"] == ["udp"] and entry["ports"] == ["53"] for entry in result["opened"])


def test_a_rule_that_changes_nothing_for_any_packet_is_no_change_of_flows(host):
    result = converge(host, params([SSH, {**SSH, "from_ip": "10.0.1.0/24"}]), False)
    assert result["changed"] is True
    assert (result["opened"], result["closed"], result["unclear"], result["unlisted"]) == ([], [], [], [])


def test_outgoing_and_routed_packets_are_told_apart(host):
    route = {"rule": "allow", "route": True, "interface_in": "eth0", "interface_out": "eth1", "from_ip": "10.0.1.0/24"}
    out = {"rule": "deny", "direction": "out", "proto": "tcp", "to_ip": "10.9.0.0/16", "to_port": "25"}
    result = converge(host, params([SSH, route, out]), False)
    assert [entry["direction"] for entry in result["opened"]] == ["routed"]
    assert result["opened"][0]["interface"] == ["eth0"]
    assert [(entry["direction"], entry["destination"]) for entry in result["closed"]] == [("out", ["10.9.0.0/16"])]


def test_a_limit_is_said_to_be_one(host):
    result = converge(host, params([{**SSH, "rule": "limit"}]), False)
    found = result["opened"] + result["closed"] + result["unclear"]
    assert found and all("limited rate" in entry["text"] for entry in found)


def test_switching_on_closes_and_switching_off_opens(host):
    opened = converge(host, params(None, purge=False, state="disabled"), True)["opened"]
    assert opened and {entry["family"] for entry in opened} == {4, 6}
    host.inactive()
    result = converge(host, params([SSH]), True)
    assert result["closed"] and not result["opened"]


def test_a_run_says_what_check_mode_said(host):
    wish = params([WEB], default={"incoming": None, "outgoing": "deny", "routed": "allow"})
    assert converge(host, wish, True) == converge(host, wish, False)


def test_more_than_fits_is_counted(host, monkeypatch):
    monkeypatch.setattr(effect, "LISTED", 3)
    rules = [{"rule": "allow", "proto": "tcp", "to_port": str(port)} for port in range(100, 120, 2)]
    result = converge(host, params([SSH, *rules]), True)
    assert len(result["opened"]) == 3
    assert result["unlisted"] == ["opened: 17 more"]


def test_what_is_too_complex_is_said_and_the_change_is_made_all_the_same(host, monkeypatch):
    monkeypatch.setattr(effect, "SEGMENTS", 5)
    result = converge(host, params([WEB]), False)
    assert any(text.startswith("IPv4 INPUT: ") for text in result["unlisted"])
    assert result["changed"] is True


def test_the_engine_is_not_imported_where_nothing_changes():
    script = (
        "import sys\n"
        "from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import task\n"
        "print([name for name in sys.modules if '.packets.' in name and not name.endswith('.vocabulary') or '.review' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(name="plans")
def fixture_plans(monkeypatch):
    """The plans that runs make."""
    plans = []

    def remember(state, wish):
        plans.append(make_plan(state, wish))
        return plans[-1]

    monkeypatch.setattr(ruleset, "make_plan", remember)
    return plans


def test_the_candidate_is_what_the_kernel_has_afterwards(host, plans):
    before = parse_save(host.tables[4].save())
    converge(host, params([WEB], default={"incoming": "reject", "outgoing": None, "routed": "allow"}), False)
    assert applied(before, plans[-1].repairs[4].sections) == parse_save(host.tables[4].save())


def test_every_edit_is_rendered_as_it_is_applied():
    """The text that iptables-restore gets and the candidate that is proven are the same edits."""
    section = Section(
        "filter",
        {"INPUT": "DROP"},
        [
            Edit("-I", "OUTPUT", "-o lo -j ACCEPT"),
            Edit("-D", "FORWARD", "-j x"),
            Edit("-A", "FORWARD", "-j y"),
            Edit("-I", "FORWARD", "-j z", 2),
        ],
        {"x": ["-j DROP"], "INPUT": ["-j x"]},
        ["gone"],
    )
    table = FakeTable(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:x - [0:0]\n:y - [0:0]\n:z - [0:0]\n:gone - [0:0]\n"
        "-A INPUT -j y\n-A FORWARD -j x\n-A OUTPUT -j y\nCOMMIT\n"
    )
    before = parse_save(table.save())
    table.restore(section.render())
    assert applied(before, [section]) == parse_save(table.save())


def test_the_candidate_without_ipv6_is_what_the_kernel_has_afterwards(host, plans):
    host.tables[6].step("-A INPUT -j LOG")
    before = parse_save(host.tables[6].save())
    result = converge(host, params([SSH], ipv6=False), False)
    after = parse_save(host.tables[6].save())
    assert after.chains["INPUT"][0] == "-i lo -j ACCEPT"
    assert applied(before, plans[-1].repairs[6].sections) == after
    assert result["closed"]


def test_a_comment_that_looks_like_a_jump_hides_no_change(host):
    """The first -j of a line may stand in a comment."""
    host.tables[4].step(":mine - [0:0]")
    host.tables[4].step("-A mine -j DROP")
    before = parse_save(host.tables[4].save())
    jump = '-m comment --comment "was -j LOG" -j mine'
    after = before._replace(chains={**before.chains, "INPUT": [jump, *before.chains["INPUT"]]})
    deeper = after._replace(chains={**after.chains, "mine": ["-j ACCEPT"]})
    assert effect.effect_of({4: before}, {4: after}).lists["closed"]
    assert effect.effect_of({4: after}, {4: deeper}).lists["opened"]


# -- flows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "cut"),
    [
        (FLOW, True),
        (
            FLOW.replace("sport=50123 dport=80 ", "sport=50123 dport=22 ").replace("sport=80 dport", "sport=22 dport"),
            False,
        ),
        (FLOW.replace("10.0.1.7", "10.0.2.7"), False),
        (FLOW.replace("10.0.0.5", "10.0.0.6"), False),  # forwarded, not to this host
        # Sent to another address and port, and translated to this host's.
        (FLOW.replace("dst=10.0.0.5 sport=50123 dport=80", "dst=192.0.2.9 sport=50123 dport=8080"), True),
        (
            "udp 17 29 src=10.0.1.7 dst=10.0.0.5 sport=5 dport=80 src=10.0.0.5 dst=10.0.1.7 sport=80 dport=5 use=1\n",
            False,
        ),
        (
            "icmp 1 29 src=10.0.1.7 dst=10.0.0.5 type=8 code=0 id=1 src=10.0.0.5 dst=10.0.1.7 type=0 code=0 id=1\n",
            False,
        ),
        ("what is this\n", False),
    ],
)
def test_only_flows_are_cut_that_the_change_does_not_let_in_any_more(host, flow, cut):
    converge(host, params([SSH, WEB]), False)
    host.flows, host.addresses = flow, "2: eth0    inet 10.0.0.5/24 scope global eth0\n"
    host.ran.clear()
    result = converge(host, params([SSH], flush_established=True), False)
    commands = [line for line in host.ran if line.startswith("conntrack -D")]
    assert result["flushed"] == len(commands) == int(cut)
    if cut:
        assert commands[0].startswith("conntrack -D -f ipv4 -p tcp -s 10.0.1.7 -d ")
        assert " --sport 50123 --dport 80" in commands[0]


def test_flows_are_cut_when_the_change_is_kept_and_not_before(host):
    converge(host, params([SSH, WEB]), False)
    host.flows = FLOW
    host.ran.clear()
    converge(host, params([SSH], flush_established=True, confirm={"timeout": 30}), False)
    assert not [line for line in host.ran if "conntrack -D" in line]
    guard = Guard(host.root, host.run)
    guard.keep(guard.change())
    assert [line for line in host.ran if "conntrack -D" in line]


def test_check_mode_counts_the_flows_and_cuts_none(host):
    converge(host, params([SSH, WEB]), False)
    host.flows = FLOW
    assert converge(host, params([SSH], flush_established=True), True)["flushed"] == 1
    assert not [line for line in host.ran if "conntrack -D" in line]


def test_without_the_option_no_flow_is_looked_at(host):
    converge(host, params([SSH, WEB]), False)
    host.flows = FLOW
    assert converge(host, params([SSH]), False)["flushed"] == 0
    assert not [line for line in host.ran if "conntrack" in line]


def test_a_missing_conntrack_is_an_error_before_anything_is_touched(host):
    converge(host, params([SSH, WEB]), False)
    before, run = host.snapshot(), host.run

    def without(argv, stdin=""):
        if argv[0] == "conntrack":
            raise RulesetError("the command conntrack is missing; install the package conntrack")
        return run(argv, stdin)

    host.run = without
    with pytest.raises(RulesetError, match="install the package conntrack"):
        converge(host, params([SSH], flush_established=True), False)
    assert host.snapshot() == before
