# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change of the nat table does to the task's own connection, and what it lets through."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import Budget
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import change, nat_block, nat_input
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import effect_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save, parse_tables
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Session, read_ruleset, save_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.translations import difference, steals
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -d 10.0.1.0/24 -p tcp -m tcp --dport 8443 -j ACCEPT
COMMIT
"""
HEAD = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:mine - [0:0]\n-A PREROUTING -j mine\n"


def kernel(*lines):
    return parse_save(FILTER)._replace(others=parse_tables(HEAD + "\n".join(lines) + "\nCOMMIT\n"))


def block(*items):
    """The chain of what is forwarded, as the option ``nat`` makes it."""
    text = nat_block.render(nat_input.parse_nat({"forward": list(items)}, True).blocks[4])
    lines = [
        line.replace("bulkhead-forward", "mine") for line in text.split("\n") if line.startswith("-A bulkhead-forward")
    ]
    return kernel(*lines)


# -- the task's own connection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "client", "taken"),
    [
        ({"port": 22, "target": "10.0.1.10"}, "203.0.113.9", True),
        ({"port": "20:30", "target": "10.0.1.10", "proto": "tcp"}, "203.0.113.9", True),
        ({"port": 22, "target": "10.0.1.10", "proto": "udp"}, "203.0.113.9", False),
        ({"port": 22, "target": "10.0.1.10", "from_ip": "10.9.0.0/16"}, "203.0.113.9", False),
        ({"port": 22, "target": "10.0.1.10", "to_ip": "10.0.0.6"}, "203.0.113.9", False),
        ({"port": 443, "target": "10.0.1.10"}, "203.0.113.9", False),
        ({"port": 22, "target": "10.0.1.10"}, "10.0.0.9", False),
    ],
)
@pytest.mark.parametrize("interface", ["eth0", ""])
def test_a_port_that_would_take_the_tasks_own_connection_is_known(item, client, taken, interface):
    then = block({"rule": "none", "from_ip": "10.0.0.0/16"}, item)
    session = Session(4, client, 40000, "10.0.0.5", 22, interface)
    assert bool(steals(kernel(), then, session, ["eth0", "eth1"])) == taken
    assert not steals(then, then, session, ["eth0"]), "what is there already is none of the change"


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("-A mine -p tcp -m tcp --dport 22 -j REDIRECT --to-ports 2222", True),
        ("-A PREROUTING -i eth0 -j DNAT --to-destination 10.0.1.10", True),
        ("-A mine -s 203.0.113.0/24 -p tcp -j NETMAP --to 10.0.1.0/24", True),
        ("-A mine -i eth1 -p tcp -j DNAT --to-destination 10.0.1.10", False),
        ("-A mine -p tcp -m set --match-set x src -j DNAT --to-destination 10.0.1.10", False),
        ("-A POSTROUTING -j MASQUERADE", False),
    ],
)
def test_rules_of_other_chains_that_the_change_loads_are_asked_too(line, taken):
    session = Session(4, "203.0.113.9", 40000, "10.0.0.5", 22, "eth0")
    found = steals(kernel(), kernel(line), session, [])
    assert found == (line if taken else "")


def test_one_interface_by_which_the_connection_stays_is_enough():
    line = "-A mine -i eth1 -j DNAT --to-destination 10.0.1.10"
    session = Session(4, "203.0.113.9", 40000, "10.0.0.5", 22, "")
    assert steals(kernel(), kernel(line), session, ["eth1"]) == line
    assert steals(kernel(), kernel(line), session, ["eth1", "eth0"]) == ""


def test_hand_written_nat_that_the_module_would_load_does_not_cut_the_task_off(tmp_path, monkeypatch):
    """before.rules was edited, and its nat table is not in the kernel yet: the run would load it."""
    host = FakeHost(tmp_path)
    session = Session(4, "203.0.113.9", 40000, "10.0.0.5", 22, "eth0")
    monkeypatch.setattr(change, "find_session", lambda host: session)
    host.scratch = lambda family, text: Result(0, text, "")  # the kernel prints it as it is
    before = host.file("/etc/ufw/before.rules")
    before.write_text(
        before.read_text()
        + "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 22 -j DNAT --to-destination 10.0.1.10\nCOMMIT\n"
    )
    rules = [{"rule": "allow", "proto": "tcp", "to_port": "22"}]
    saved = host.snapshot()
    with pytest.raises(
        RulesetError, match="would be sent to another place by `-A PREROUTING -p tcp -m tcp --dport 22 -j DNAT"
    ):
        converge(host, params(rules=rules), False)
    assert host.snapshot() == saved
    assert any(
        "sent to another place" in text
        for text in converge(host, params(rules=rules, accept_lockout=True), False)["warnings"]
    )


# -- what gets through ---------------------------------------------------------------------------------------------------


def changes(now, then):
    rulesets = [read_ruleset(save_text(each), 4) for each in (now, then)]
    return [(kind, change.text()) for kind, change in difference(4, [now, then], rulesets, Budget())]


WEB = {"proto": "tcp", "port": 443, "target": "10.0.1.10", "target_port": 8443}


def test_a_port_that_is_forwarded_opens_what_the_filter_lets_on():
    (found,) = changes(kernel(), block(WEB))
    assert found[0] == "opened"
    assert found[1].startswith("tcp 8443 from any to 10.0.1.10 first sent to ")
    assert "first sent to port 443" in found[1] and found[1].endswith(": denied -> allowed")
    assert changes(block(WEB), kernel()) == [("closed", found[1].replace("denied -> allowed", "allowed -> denied"))]
    assert changes(block(WEB), block(WEB)) == []


def test_what_the_filter_stops_is_not_opened():
    assert changes(kernel(), block({**WEB, "target_port": 80})) == []
    assert changes(kernel(), block({**WEB, "target": "10.0.2.10"})) == []


def test_what_an_earlier_line_keeps_is_not_opened_and_its_removal_opens_it():
    kept = block({"rule": "none", "from_ip": "10.0.0.0/8"}, WEB)
    ((_kind, text),) = changes(kernel(), kept)
    assert "from any but 10.0.0.0/8 to" in text
    opened = dict(changes(kept, block(WEB)))
    assert "from any to" in opened["opened"]


def test_the_description_of_a_change_lists_what_nat_alone_opens_and_closes():
    done = effect_of({4: kernel()}, {4: block(WEB)})
    (entry,) = done.lists["opened"]
    assert (entry["direction"], entry["destination"], entry["ports"]) == ("routed", ["10.0.1.10"], ["8443"])
    assert not done.lists["closed"] and not done.unlisted
    back = effect_of({4: block(WEB)}, {4: kernel()})
    assert [(family, hook) for family, hook, _packets in back.stopped] == [(4, "FORWARD")]


def test_an_address_that_cannot_be_told_is_left_out():
    for words in ("--to-destination 10.0.1.10-10.0.1.20", "--to-destination 10.0.1.10:80-90"):
        assert changes(kernel(), kernel(f"-A mine -p tcp -j DNAT {words}")) == []
