# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's ways to other hosts through this one, on the whole way through the tables."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save, parse_tables
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Beside
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ways import Change, cut

CLIENT, SERVER = "10.0.0.7", "10.0.9.9"
NAME, NOTHING = "db1 (10.0.0.7 -> 10.0.9.9 port 22)", Change([], [])
WAY = {"host": "db1", "client": CLIENT, "server": SERVER, "port": 22}


class Router:
    """A host that sends what is for 10.0.9.9 out by eth1, and all else by eth0."""

    def run(self, argv):
        return Result(0, f"{argv[-1]} dev {'eth1' if argv[-1] == SERVER else 'eth0'} src 10.0.0.1\n", "")


def kernel(rule=""):
    lines = [
        "*filter",
        ":INPUT DROP [0:0]",
        ":FORWARD DROP [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        *filter(None, [rule]),
        "COMMIT",
        "",
    ]
    return parse_save("\n".join(lines))


SSH = "-A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT"


@pytest.mark.parametrize(
    ("table", "chain", "words", "closed"),
    [
        ("raw", "PREROUTING", "-s 10.0.0.0/24 -j DROP", False),
        ("mangle", "FORWARD", "-p tcp -m tcp --dport 22 -j DROP", False),
        ("security", "FORWARD", "-i eth0 -j DROP", False),
        ("mangle", "FORWARD", "-p udp -j DROP", True),
        ("mangle", "INPUT", "-j DROP", True),
    ],
)
def test_a_way_that_another_table_closes_is_not_open_before(table, chain, words, closed):
    text = f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} {words}\nCOMMIT\n"
    found = cut(Router(), [WAY], {4: kernel(SSH)}, {4: kernel()}, {4: Beside(4, parse_tables(text), ())})
    assert found == Change([NAME] if closed else [], [])


def test_a_change_of_another_table_can_cut_a_way():
    drop = parse_tables("*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n")
    now = kernel(SSH)
    found = cut(Router(), [WAY], {4: now}, {4: now._replace(others=drop)}, {4: Beside(4, {}, ())})
    assert found == Change([NAME], [])
    assert cut(Router(), [WAY], {4: now}, {4: now}, {4: Beside(4, {}, ())}) == NOTHING


@pytest.mark.parametrize(
    "way",
    [
        {**WAY, "client": "fd00::7"}, {**WAY, "client": "here"}, {**WAY, "port": 0}, {**WAY, "port": 65536},
        {**WAY, "client": "fd00::7", "server": "fd00::9"}, {**WAY, "server": "10.0.0.9"},
    ],
)  # fmt: skip
def test_a_way_that_cannot_be_told_or_does_not_lead_through_is_passed_over(way):
    assert cut(Router(), [way], {4: kernel(SSH)}, {4: kernel()}, {4: Beside(4, {}, ())}) == NOTHING
    assert cut(Router(), [{**WAY, "port": 1}], {4: kernel(SSH)}, {4: kernel()}, {4: Beside(4, {}, ())}) == NOTHING


# -- nat ---------------------------------------------------------------------------------------------------------------


def nat(*lines):
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:mine - [0:0]\n"
        + "\n".join(lines)
    )
    return kernel(SSH)._replace(others=parse_tables(text + "\nCOMMIT\n"))


JUMP = "-A PREROUTING -j mine", "-A POSTROUTING -j mine"


@pytest.mark.parametrize(
    ("lines", "closed", "masked"),
    [
        (["-A PREROUTING -p tcp -m tcp --dport 22 -j DNAT --to-destination 10.0.9.8"], 1, 0),
        ([*JUMP, "-A mine -p tcp -m tcp --dport 20:30 -j REDIRECT --to-ports 2222"], 1, 0),
        (["-A PREROUTING -s 10.0.0.0/24 -j NETMAP --to 10.0.8.0/24"], 1, 0),
        (["-A PREROUTING -p tcp -m tcp --dport 23 -j DNAT --to-destination 10.0.9.8"], 0, 0),
        (["-A PREROUTING -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.0.9.8"], 0, 0),
        ([*JUMP, "-A mine -s 10.0.0.0/24 -j RETURN", "-A PREROUTING -i eth1 -j DNAT --to-destination 10.0.9.8"], 0, 0),
        (["-A OUTPUT -p tcp -j DNAT --to-destination 10.0.9.8"], 0, 0),
        (["-A POSTROUTING -o eth1 -j MASQUERADE"], 0, 1),
        ([*JUMP, "-A mine -s 10.0.0.0/24 -j SNAT --to-source 10.0.9.1"], 0, 1),
        (["-A POSTROUTING -o eth0 -j MASQUERADE"], 0, 0),
        (["-A POSTROUTING -d 10.0.9.0/24 -j ACCEPT", "-A POSTROUTING -j MASQUERADE"], 0, 0),
    ],
)  # fmt: skip
def test_a_way_that_nat_sends_to_another_place_is_cut_and_one_that_it_masquerades_is_said(lines, closed, masked):
    arguments = Router(), [WAY]
    besides = {4: Beside(4, {}, ())}
    wanted = Change([NAME] * closed, [NAME] * masked)
    assert cut(*arguments, {4: nat()}, {4: nat(*lines)}, besides) == wanted
    assert cut(*arguments, {4: kernel(SSH)}, {4: nat(*lines)}, besides) == wanted
    assert cut(*arguments, {4: nat(*lines)}, {4: nat(*lines)}, besides) == NOTHING, "nothing of the change"
    assert cut(*arguments, {4: nat(*lines)}, {4: nat()}, besides) == NOTHING


def test_a_way_of_the_hosts_own_passes_the_chain_of_what_it_sends():
    class Own(Router):
        def run(self, argv):
            return Result(0, f"local {CLIENT} dev lo\n" if argv[-1] == CLIENT else f"{argv[-1]} dev eth1\n", "")

    for chain, closed in (("OUTPUT", [NAME]), ("PREROUTING", [])):
        then = nat(f"-A {chain} -p tcp -j DNAT --to-destination 10.0.9.8")
        assert cut(Own(), [WAY], {4: nat()}, {4: then}, {4: Beside(4, {}, ())}).closed == closed
