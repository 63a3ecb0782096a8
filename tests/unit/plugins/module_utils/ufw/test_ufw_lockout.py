# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import change
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import (
    LONGEST_PAUSE,
    Finding,
    Session,
    candidate_text,
    find_session,
    pause_of,
    prove,
    read_beside,
    save_text,
)
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, FakeTable

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
CAME_BY = Session(4, "10.0.1.7", 50123, "10.0.0.5", 22, "eth0")
CAME_BY_6 = Session(6, "2001:db8::7", 50123, "2001:db8::5", 22, "eth0")


def params(**more):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": True, "rules": []}
    return {**wish, "confirm": {"timeout": 0}, **more}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    return FakeHost(tmp_path)


@pytest.fixture(name="over")
def fixture_over(monkeypatch):
    """Have the module come by a connection."""
    return lambda session: monkeypatch.setattr(change, "find_session", lambda host: session)


# -- the connection ----------------------------------------------------------------------------------------------------


def process(host, number, parent, environment, name="python3"):
    folder = host.file(f"/proc/{number}")
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{number} ({name}) S {parent} 1 1 0")
    (folder / "environ").write_bytes("\0".join(environment).encode())


def test_the_connection_is_found_past_sudo_in_the_environment_of_an_ancestor(host):
    process(host, 30, 20, ["PATH=/bin", "SUDO_USER=me"])
    process(host, 20, 10, ["PATH=/bin"], name="su (do) 1 2")
    process(host, 10, 1, ["SSH_CONNECTION=10.0.1.7 50123 10.0.0.5 22"])
    host.run = lambda argv, stdin="": Result(
        0, "10.0.1.7 from 10.0.0.5 via 10.0.0.1 dev tailscale0 table 52 \\ cache", ""
    )
    assert find_session(host, 30) == Session(4, "10.0.1.7", 50123, "10.0.0.5", 22, "tailscale0")


def test_a_mapped_address_is_its_ipv4_address_and_a_zone_is_the_interface(host):
    process(host, 30, 1, ["SSH_CONNECTION=::ffff:10.0.1.7 50123 ::ffff:10.0.0.5 22"])
    assert find_session(host, 30)[:5] == (4, "10.0.1.7", 50123, "10.0.0.5", 22)
    process(host, 31, 1, ["SSH_CONNECTION=fe80::7%eth1 50123 fe80::5%eth1 22"])
    assert find_session(host, 31) == Session(6, "fe80::7", 50123, "fe80::5", 22, "eth1")


def test_an_address_that_only_looks_mapped_is_itself(host):
    process(host, 30, 1, ["A=b=c=d", "SSH_CONNECTION=2001:db8::ffff:7 50123 2001:db8::ffff:0:5 22", "lines"])
    assert find_session(host, 30)[:5] == (6, "2001:db8::ffff:7", 50123, "2001:db8::ffff:0:5", 22)


def test_the_interface_is_that_of_the_way_back_where_the_host_knows_it(host):
    process(host, 30, 1, ["SSH_CONNECTION=10.0.1.7 50123 10.0.0.5 22"])
    asked = []

    def answer(status, text):
        def run(argv, stdin=""):
            asked.append(" ".join(argv))
            return Result(status, text, "")

        host.run = run
        return find_session(host, 30).interface

    assert answer(0, "10.0.1.7 from 10.0.0.5 dev wg0 src 10.0.0.5") == "wg0"
    assert answer(2, "RTNETLINK answers: dev no") == ""
    assert answer(0, "10.0.1.7 from 10.0.0.5 dev") == answer(0, "unreachable") == ""
    assert set(asked) == {"ip -o route get 10.0.1.7 from 10.0.0.5"}

    def missing(argv, stdin=""):
        raise RulesetError("the command ip is missing")

    host.run = missing
    assert find_session(host, 30).interface == ""


def test_the_search_ends_with_the_first_process_and_where_there_is_a_circle(host):
    process(host, 3, 2, [])
    process(host, 2, 1, [])
    process(host, 1, 0, ["SSH_CONNECTION=10.0.1.7 50123 10.0.0.5 22"])
    assert find_session(host, 3).client == "10.0.1.7"
    process(host, 40, 41, [])
    process(host, 41, 40, [])
    assert find_session(host, 40) is None
    process(host, 50, "x", [])
    assert find_session(host, 50) is None
    process(host, 60, 1, ["SSH_CONNECTION=10.0.1.7 50123 10.0.0.5 port"])
    process(host, 61, 1, ["SSH_CONNECTION=10.0.1.7 port 10.0.0.5 22"])
    assert find_session(host, 60) is find_session(host, 61) is None


def test_this_process_is_the_first_that_is_asked(host, monkeypatch):
    process(host, os.getpid(), 1, ["SSH_CONNECTION=10.0.1.7 50123 10.0.0.5 2222"])
    assert find_session(host).text() == "10.0.1.7 -> 10.0.0.5 port 2222"
    assert find_session(host)._replace(interface="eth0").text() == "10.0.1.7 -> 10.0.0.5 port 2222 on eth0"


@pytest.mark.parametrize("value", ["", "SSH_CONNECTION=", "SSH_CONNECTION=a b c", "SSH_CONNECTION=a b c d"])
def test_without_a_connection_there_is_none(host, value):
    process(host, 30, 1, [value])
    assert find_session(host, 30) is None
    assert find_session(host, 999) is None


# -- the proof ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"rules": [{**SSH, "rule": "deny"}]}, "the rule `deny in proto tcp from any to any port 22`"),
        (
            {"rules": [{"rule": "reject", "from_ip": "10.0.0.0/16"}, SSH]},
            "the rule `reject in from 10.0.0.0/16 to any`",
        ),
        ({"rules": [{**SSH, "from_ip": "10.0.2.0/24"}]}, "the default policy of incoming packets"),
        ({"rules": [{**SSH, "interface": "eth1"}]}, "the default policy of incoming packets"),
        ({"rules": [{**SSH, "to_port": "2222"}]}, "the default policy of incoming packets"),
        ({"rules": []}, "the default policy of incoming packets"),
        ({"rules": [], "default": {"incoming": "reject"}}, "the default policy of incoming packets"),
    ],
)
def test_a_ruleset_that_cuts_the_connection_is_refused_with_what_does_it_in_every_mode(host, over, wish, named):
    over(CAME_BY)
    before = host.snapshot()
    for check_mode in (True, False):
        with pytest.raises(RulesetError) as error:
            converge(host, params(**wish), check_mode)
        assert "10.0.1.7 -> 10.0.0.5 port 22 on eth0: a new connection would be stopped by " + named in str(error.value)
        assert "set accept_lockout: true" in str(error.value)
    assert host.snapshot() == before and not host.spawned


@pytest.mark.parametrize(
    "rule",
    [
        SSH,
        {**SSH, "from_ip": "10.0.1.0/24"},
        {**SSH, "interface": "eth0"},
        {**SSH, "rule": "limit"},
        {"rule": "allow", "to_port": "22"},
    ],
)
def test_a_ruleset_that_lets_the_connection_in_is_not(host, over, rule):
    over(CAME_BY)
    result = converge(host, params(rules=[rule]), False)
    assert result["changed"] is True and result["warnings"] == []


def test_the_family_of_the_connection_is_what_counts(host, over):
    over(CAME_BY_6)
    with pytest.raises(RulesetError, match="would cut the connection"):
        converge(host, params(rules=[{**SSH, "from_ip": "0.0.0.0/0"}]), False)
    with pytest.raises(RulesetError, match=r"stopped by .*\(-P INPUT DROP\)"):
        converge(host, params(rules=[SSH], ipv6=False), False)
    assert converge(host, params(rules=[SSH]), False)["changed"] is True


def test_the_answers_must_get_out(host, over):
    over(CAME_BY)
    path = host.file("/etc/ufw/before.rules")
    line = "-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, ""))
    out = {"rule": "deny", "direction": "out", "to_ip": "10.0.0.0/16"}
    with pytest.raises(
        RulesetError, match="the answers would be stopped by the rule `deny out from any to 10.0.0.0/16`"
    ):
        converge(host, params(rules=[SSH, out]), False)


def test_a_rule_of_others_before_ufws_own_decides_first(host, over):
    over(CAME_BY)
    host.tables[4].step("-I INPUT -s 10.0.0.0/16 -j ACCEPT")
    assert converge(host, params(rules=[]), False)["changed"] is True
    host.tables[4].step("-I INPUT -s 10.0.1.0/24 -j DROP")
    with pytest.raises(RulesetError, match="stopped by `-A INPUT -s 10.0.1.0/24 -j DROP`"):
        converge(host, params(rules=[SSH]), False)


def table(host, name, save, family=4):
    host.others[family, name] = FakeTable(f"*{name}\n{save}COMMIT\n", name)


RAW = ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
MANGLE = ":PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
STOPPED = {
    "raw": ("raw", RAW + "-A PREROUTING -s 10.0.1.0/24 -j DROP\n", "a new connection"),
    "raw, only what is no TCP with a source port of its own": (
        "raw",
        RAW + "-A PREROUTING -p tcp -m tcp --sport 50123 -j DROP\n",
        "a new connection",
    ),
    "raw, the answers": ("raw", RAW + "-A OUTPUT -d 10.0.1.7/32 -p tcp -m tcp --sport 22 -j DROP\n", "the answers"),
    "mangle, new ones": (
        "mangle",
        MANGLE + "-A PREROUTING -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j DROP\n",
        "a new connection",
    ),
    "mangle, before the filter": ("mangle", MANGLE + "-A INPUT -i eth0 -j DROP\n", "a new connection"),
    "mangle, a chain of its own": (
        "mangle",
        MANGLE + ":mine - [0:0]\n-A INPUT -j mine\n-A mine -p tcp -m tcp --dport 1:100 -j DROP\n",
        "a new connection",
    ),
    "mangle, by its policy": ("mangle", MANGLE.replace(":INPUT ACCEPT", ":INPUT DROP"), "a new connection"),
    "mangle, those that are there": (
        "mangle",
        MANGLE + "-A INPUT -m conntrack --ctstate ESTABLISHED -j DROP\n",
        "the connection's packets",
    ),
    "mangle, the answers": ("mangle", MANGLE + "-A POSTROUTING -o eth0 -p tcp -j DROP\n", "the answers"),
    "mangle, the answers of those that are there": (
        "mangle",
        MANGLE + "-A OUTPUT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j DROP\n",
        "the answers",
    ),
    "security": (
        "security",
        ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -j DROP\n",
        "a new connection",
    ),
}


@pytest.mark.parametrize("name", STOPPED)
def test_a_rule_of_another_table_that_stops_the_connection_is_seen(host, over, name):
    over(CAME_BY)
    which, save, what = STOPPED[name]
    table(host, which, save)
    with pytest.raises(RulesetError, match=f"{what} would be stopped by `-[AP] .*` of the table {which};"):
        converge(host, params(rules=[SSH]), False)


@pytest.mark.parametrize(
    ("which", "save"),
    [
        ("raw", RAW + "-A PREROUTING -s 10.0.1.8/32 -j DROP\n-A PREROUTING -p tcp -m tcp --sport 22 -j DROP\n"),
        ("raw", RAW + "-A OUTPUT -p tcp -m tcp --dport 22 -j DROP\n"),
        ("mangle", MANGLE + "-A PREROUTING -i eth1 -j DROP\n-A POSTROUTING -o eth1 -j DROP\n"),
        ("mangle", MANGLE + "-A OUTPUT -m conntrack --ctstate NEW -j DROP\n"),
        ("mangle", MANGLE + "-A INPUT -m conntrack --ctstate INVALID -j DROP\n"),
        ("nat", ":PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 22\n"),
    ],
)
def test_one_that_stops_other_packets_is_no_matter(host, over, which, save):
    over(CAME_BY)
    table(host, which, save)
    result = converge(host, params(rules=[SSH]), False)
    assert result["changed"] is True and result["warnings"] == []


@pytest.mark.parametrize(
    ("nft", "named"),
    [
        ("table inet f2b-table\n", "the inet table f2b-table of nft"),
        ("table bridge filter\ntable ip filter\n", "the bridge table filter of nft"),
        ("table ip filter\ntable ip nat\ntable ip6 filter\ntable ip6 own\n", ""),
        ("table arp filter\n", "the arp table filter of nft"),
        ("table ip own\n", "the ip table own of nft"),
    ],
)
def test_a_table_that_iptables_does_not_show_is_a_doubt_and_never_allowed(host, over, nft, named):
    over(CAME_BY)
    host.nft = nft
    warnings = converge(host, params(rules=[SSH]), False)["warnings"]
    assert [named in warning for warning in warnings] == [True] * bool(named)


@pytest.mark.parametrize("stream", ["out", "err"])
def test_what_iptables_save_says_that_it_leaves_out_is_a_doubt(host, over, stream):
    over(CAME_BY)
    run, note = host.run, "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n"

    def noted(argv, stdin=""):
        done = run(argv, stdin)
        if argv != ["iptables-save"]:
            return done
        return done._replace(out=note + done.out) if stream == "out" else done._replace(err=note)

    host.run = noted
    (warning,) = converge(host, params(rules=[SSH]), False)["warnings"]
    assert "iptables-legacy tables present" in warning


def test_a_filter_table_that_iptables_cannot_show_is_no_empty_one(host):
    start = host.start

    def hidden(argv, stdin=""):
        if argv[:3] == ["iptables-save", "-t", "filter"]:
            return lambda: Result(0, "# Table `filter' is incompatible, use 'nft' tool.\n", "")
        return start(argv, stdin)

    host.start = hidden
    with pytest.raises(RulesetError, match="Table `filter' is incompatible.* what is in force is not known"):
        converge(host, params(rules=[SSH]), True)


def test_the_tables_of_the_other_family_are_no_matter(host, over):
    over(CAME_BY)
    table(host, "raw", RAW + "-A PREROUTING -j DROP\n", family=6)
    assert converge(host, params(rules=[SSH]), False)["changed"] is True
    over(CAME_BY_6)
    with pytest.raises(RulesetError, match="a new connection would be stopped"):
        converge(host, params(rules=[]), False)


def without_answers(host, way):
    """ufw's rules that let in what belongs to a connection, taken out of before.rules."""
    path = host.file("/etc/ufw/before.rules")
    line = f"-A ufw-before-{way} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, ""))


def test_the_packets_of_a_connection_must_get_in_after_the_first(host, over):
    """With a limit alone, the second packet is one try more to nothing: it is no new connection."""
    over(CAME_BY)
    without_answers(host, "input")
    path = host.file("/etc/ufw/before.rules")
    new = "-A ufw-before-input -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT\n"
    path.write_text(path.read_text().replace("COMMIT\n", new + "COMMIT\n", 1))
    with pytest.raises(
        RulesetError, match="the connection's packets would be stopped by the default policy of incoming"
    ):
        converge(host, params(rules=[]), False)
    assert converge(host, params(rules=[SSH]), False)["changed"] is True


def test_the_answers_are_packets_of_a_connection_and_no_new_ones(host, over):
    over(CAME_BY)
    without_answers(host, "output")
    path = host.file("/etc/ufw/before.rules")
    new = "-A ufw-before-output -m conntrack --ctstate NEW -j ACCEPT\n"
    path.write_text(path.read_text().replace("COMMIT\n", new + "COMMIT\n", 1))
    with pytest.raises(RulesetError, match="the answers would be stopped by the default policy of outgoing"):
        converge(host, params(rules=[SSH], default={"outgoing": "deny"}), False)
    out = {"rule": "allow", "direction": "out", "proto": "tcp", "from_port": "22"}
    assert converge(host, params(rules=[SSH, out], default={"outgoing": "deny"}), False)["changed"] is True


# -- the question itself -----------------------------------------------------------------------------------------------

OPEN = Kernel({"INPUT": "ACCEPT", "OUTPUT": "ACCEPT"}, {"INPUT": [], "OUTPUT": []})


def ask(*rules, session=CAME_BY, names=()):
    """The finding on a filter table of these rules: of INPUT, or with their chain in front."""
    lines = [rule if rule.startswith(("-A", ":")) else "-A INPUT " + rule for rule in rules]
    text = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" + "".join(
        line + "\n" for line in sorted(lines, reverse=True)
    )
    return prove(session, text + "COMMIT\n", [], list(names))


def test_both_ends_with_their_ports_and_the_interface_are_asked_about():
    way = "-s 10.0.1.7/32 -d 10.0.0.5/32 -i eth0 -p tcp -m tcp --sport 50123 --dport 22"
    assert "a new connection would be stopped by `-A INPUT -s" in ask(way + " -j DROP").refused
    back = "-A OUTPUT -s 10.0.0.5/32 -d 10.0.1.7/32 -o eth0 -p tcp -m tcp --sport 22 --dport 50123"
    assert "the answers would be stopped by `-A OUTPUT" in ask(back + " -j DROP").refused
    for other in (
        "-s 10.0.1.8/32",
        "-d 10.0.0.6/32",
        "-i eth1",
        "-p udp",
        "-p tcp -m tcp --sport 22",
        "-p tcp -m tcp --dport 23",
    ):
        assert ask(other + " -j DROP") == Finding("", "")
    for other in ("-s 10.0.1.7/32", "-d 10.0.0.5/32", "-o eth1", "-p udp", "-p tcp -m tcp --sport 50123"):
        assert ask(f"-A OUTPUT {other} -j DROP") == Finding("", "")
    assert ask("-m conntrack --ctstate NEW -j ACCEPT", "-j DROP").refused.startswith(
        "the connection's packets would be"
    )


def test_the_first_doubt_is_told_and_a_refusal_goes_before_it():
    odd = "-m geoip --source-country XX -j DROP"
    found = ask(odd, "-m conntrack --ctstate NEW -m u32 --u32 0=1 -j DROP")
    assert found.doubt.startswith("whether a new connection may pass depends on what is not modelled: ")
    assert "u32" in found.doubt and "; " in found.doubt and "geoip" in found.doubt and found.pause == 0
    assert ask("-A OUTPUT " + odd).doubt.startswith("whether the answers may pass depends")
    assert ask("-m conntrack --ctstate ESTABLISHED " + odd).doubt.startswith(
        "whether the connection's packets may pass"
    )
    assert ask(odd, "-A OUTPUT -j DROP").refused and not ask(odd, "-A OUTPUT -j DROP").doubt


def test_of_several_interfaces_the_answer_is_the_best_one_with_the_doubts_of_those_before():
    anywhere = CAME_BY._replace(interface="")
    names = ("eth0", "eth1", "eth2")
    assert ask("-i eth0 -j DROP", "-i eth1 -j DROP", session=anywhere, names=names) == Finding("", "")
    shut = ask("-i eth+ -j DROP", session=anywhere, names=names)
    assert shut == Finding("a new connection would be stopped by `-A INPUT -i eth+ -j DROP`", "")
    doubt = ask("-i eth1 -m geoip --source-country XX -j DROP", "-i eth0 -j DROP", session=anywhere, names=names)
    assert "geoip" in doubt.doubt and not doubt.refused
    two = [
        f"-i {name} -m {match} -j DROP"
        for name, match in (("eth0", "geoip --source-country XX"), ("eth0", "mark --mark 1"))
    ]
    odd = ask(*two[:1], "-A OUTPUT -o eth0 -j DROP", "-i eth1 -m u32 --u32 0=1 -j DROP", session=anywhere, names=names)
    assert "u32" in odd.doubt and "geoip" not in odd.doubt
    # The interface that is known is the only one.
    assert ask("-i eth0 -j DROP", names=names).refused


def test_the_longest_pause_of_all_limits_counts():
    limits = [
        "-p tcp -m conntrack --ctstate NEW -m recent --update --seconds 60 --hitcount 4 --name a -j DROP",
        "-p tcp -m hashlimit --hashlimit-above 15/hour --hashlimit-name b -j DROP",
    ]
    assert ask(limits[0]) == Finding("", "", 61)
    assert ask(*limits).pause == 241
    assert ask("-m limit --limit 2/day -j ACCEPT", "-s 10.0.2.0/24 -j DROP").pause == 0


def test_a_default_policy_and_a_chain_of_ufw_are_called_by_their_names():
    closed = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    assert prove(CAME_BY, closed, [], []).refused == (
        "a new connection would be stopped by the default policy of incoming packets (-P INPUT DROP)"
    )
    for chain in ("ufw-skip-to-policy-input", "ufw-reject-input"):
        text = f":{chain} - [0:0]", f"-A {chain} -j DROP", f"-j {chain}"
        assert f"the default policy of incoming packets (-A {chain} -j DROP)" in ask(*text).refused
    mine = ":ufw-user-input - [0:0]", "-A ufw-user-input -s 10.0.1.0/24 -j DROP", "-j ufw-user-input"
    assert "by `-A ufw-user-input -s 10.0.1.0/24 -j DROP`" in ask(*mine).refused


def test_what_is_proven_are_all_tables_that_can_stop_a_packet(host):
    table(host, "nat", ":PREROUTING ACCEPT [0:0]\n")
    table(host, "raw", RAW + "-A OUTPUT -j A\n")
    table(host, "mangle", MANGLE + "-A OUTPUT -j B\n")
    loaded = Kernel({"OUTPUT": "ACCEPT"}, {"OUTPUT": ["-j C"], "x": ["-j D"]})
    text = candidate_text(read_beside(host, 4), OPEN)
    assert [line for line in text.split("\n") if line[:1] == "*"] == ["*filter", "*raw", "*mangle"]
    assert "-A OUTPUT -j A\n" in text and "-A OUTPUT -j B\n" in text
    text = candidate_text(read_beside(host, 4), OPEN._replace(others={"mangle": loaded}, security=loaded))
    assert [line for line in text.split("\n") if line[:1] == "*"] == ["*filter", "*raw", "*mangle", "*security"]
    assert text.count("-A OUTPUT -j C\n-A x -j D\nCOMMIT\n") == 2 and ":x - [0:0]\n" in text and "-j B" not in text
    host.fail = {"iptables-save": "no"}
    text = candidate_text(read_beside(host, 4), OPEN)
    assert text == "# Warning: tables that iptables-save cannot read are present\n" + save_text(OPEN)
    found = prove(CAME_BY, text, [], [])
    assert not found.refused and "cannot read are present" in found.doubt


def test_without_nft_none_of_its_tables_is_expected(host):
    def missing(argv, stdin=""):
        if argv[0] == "nft":
            raise RulesetError("the command nft is missing")
        return Result(0, "", "")

    host.run = missing
    assert candidate_text(read_beside(host, 4), OPEN) == save_text(OPEN)
    host.run = lambda argv, stdin="": Result(argv[0] == "nft", "table inet x\n", "")
    assert candidate_text(read_beside(host, 4), OPEN) == save_text(OPEN)


@pytest.mark.parametrize("name", ["filter", "nat", "mangle", "raw", "security"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_tables_of_nft_that_iptables_shows_are_no_doubt(host, name, family):
    host.nft = f"table ip {name}\ntable ip6 {name}\ntable netdev {name}\ntable arp x\ntable inet\n"
    notes = [line for line in candidate_text(read_beside(host, family), OPEN).split("\n") if line.startswith("#")]
    arp = ["# Warning: the arp table x of nft is present"] if family == 4 else []
    assert notes == [f"# Warning: the netdev table {name} of nft is present", *arp]
    host.nft = "table ip mine\ntable ip6 mine\n"
    notes = [line for line in candidate_text(read_beside(host, family), OPEN).split("\n") if line.startswith("#")]
    assert notes == [f"# Warning: the {'ip' if family == 4 else 'ip6'} table mine of nft is present"]


@pytest.mark.parametrize("family", [4, 6])
def test_what_iptables_legacy_does_not_show_is_a_doubt_also_where_it_is_iptables_own(host, family):
    (pathlib.Path(host.root) / "usr/sbin").mkdir(parents=True, exist_ok=True)
    (pathlib.Path(host.root) / "usr/sbin/xtables-legacy-multi").touch()
    (pathlib.Path(host.root) / "usr/sbin/iptables-restore").symlink_to("xtables-legacy-multi")
    host.nft = "table ip filter\ntable ip6 filter\n"
    notes = [line for line in candidate_text(read_beside(host, family), OPEN).split("\n") if line.startswith("#")]
    assert notes == [f"# Warning: the {'ip' if family == 4 else 'ip6'} table filter of nft is present"]


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "pause"),
    [
        ("-A x -m recent --update --seconds 30 --hitcount 6 --name DEFAULT -j DROP", 31),
        ("-A x -m limit --limit 3/min -j ACCEPT", 21),
        ("-A x -m limit --limit 7/hour -j ACCEPT", 516),
        ("-A x -m hashlimit --hashlimit-upto 1/sec --hashlimit-name a -j ACCEPT", 2),
        ("-A x -m hashlimit --hashlimit-above 10/minute --hashlimit-name a -j DROP", 7),
        ("-A x -m hashlimit --hashlimit 1/day --hashlimit-mode srcip --hashlimit-name a -j ACCEPT", LONGEST_PAUSE),
        ("-A x -m hashlimit --hashlimit-above 200/day --hashlimit-name a -j DROP", 433),
        ("-A x -m recent --update --seconds 86400 --hitcount 6 --name a -j DROP", LONGEST_PAUSE),
        ("-A x -m limit --limit 0/min -j ACCEPT", 0),
        ("-A x -p tcp -j ACCEPT", 0),
    ],
)
def test_a_limit_is_over_after_its_window_or_the_time_for_one_more(rule, pause):
    assert pause_of(rule) == pause


def test_the_confirmation_is_told_of_a_limit_on_new_connections(host, over):
    over(CAME_BY)
    waits = {"confirm": {"timeout": 30}}
    assert converge(host, params(rules=[{**SSH, "rule": "limit"}], **waits), False)["pending"]["pause"] == 31
    Guard(host.root, host.run).settle("test")
    assert converge(host, params(rules=[SSH], **waits), False)["pending"]["pause"] == 0


def test_rules_that_are_not_understood_are_a_doubt(host, over):
    over(CAME_BY)
    table(host, "raw", RAW)
    host.others[4, "raw"].chains["PREROUTING"].append('-m comment --comment "no end -j DROP')
    warnings = converge(host, params(rules=[SSH]), False)["warnings"]
    assert any("not understood" in text for text in warnings)


def test_where_the_interface_is_not_known_one_that_lets_it_in_is_enough(host, over):
    over(CAME_BY._replace(interface=""))
    for name in ("eth0", "eth1"):
        host.file("/sys/class/net/" + name).mkdir(parents=True)
    assert converge(host, params(rules=[{**SSH, "interface": "eth1"}]), True)["changed"] is True
    with pytest.raises(RulesetError, match="would cut"):
        converge(host, params(rules=[{**SSH, "interface": "eth2"}]), True)


def test_what_is_not_modelled_is_a_warning_and_no_verdict(host, over):
    over(CAME_BY)
    host.tables[4].step("-I INPUT -m geoip --source-country XX -j ACCEPT")
    warnings = converge(host, params(rules=[]), True)["warnings"]
    assert len(warnings) == 1 and "depends on what is not modelled: geoip" in warnings[0]


def test_accept_lockout_makes_it_a_warning(host, over):
    over(CAME_BY)
    result = converge(host, params(accept_lockout=True), False)
    assert result["changed"] is True
    assert "would cut the connection" in result["warnings"][0]


def test_a_connection_that_is_not_found_is_said_where_the_change_waits_for_a_confirmation(host, over):
    over(None)
    assert "SSH_CONNECTION" in converge(host, params(confirm={"timeout": 30}), True)["warnings"][0]
    assert converge(host, params(), True)["warnings"] == []


def test_switching_on_is_proven_too_and_switching_off_is_not(host, over):
    over(CAME_BY)
    assert converge(host, params(state="disabled", purge=False, rules=None), True)["changed"] is True
    host.inactive()
    with pytest.raises(RulesetError, match="would cut the connection"):
        converge(host, params(), False)


def test_nothing_to_change_asks_for_no_connection(host, monkeypatch):
    converge(host, params(), False)
    monkeypatch.setattr(change, "find_session", lambda host: 1 / 0)
    assert converge(host, params(), False)["changed"] is False
