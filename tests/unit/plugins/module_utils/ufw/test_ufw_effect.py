# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import effect, ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Edit, Repair, Section, applied
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import effect_of, find_flows, switched_off
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, parse_save, parse_tables
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Beside
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


def filter_table(rules="", policy="DROP"):
    text = "*filter\n:INPUT %s [0:0]\n:FORWARD %s [0:0]\n:OUTPUT ACCEPT [0:0]\n%sCOMMIT\n"
    return parse_save(text % (policy, policy, rules))


def beside(text="", *unseen):
    return Beside(4, parse_tables(text), unseen)


ALLOW_WEB = "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\n-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("table", "chain", "ways"),
    [
        ("raw", "PREROUTING", []),
        ("mangle", "PREROUTING", []),
        ("mangle", "INPUT", ["routed"]),
        ("mangle", "FORWARD", ["in"]),
        ("mangle", "POSTROUTING", ["in"]),
        ("security", "INPUT", ["routed"]),
        ("security", "FORWARD", ["in"]),
        ("raw", "OUTPUT", ["in", "routed"]),
    ],
)
def test_what_another_table_drops_is_neither_opened_nor_closed(table, chain, ways):
    text = f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n"
    now, then = {4: filter_table()}, {4: filter_table(ALLOW_WEB)}
    for before, after, kind in ((now, then, "opened"), (then, now, "closed")):
        found = effect.effect_of(before, after, {4: beside(text)})
        assert [entry["direction"] for entry in found.lists[kind]] == ways
        assert [len(found.lists[other]) for other in effect.KINDS if other != kind] == [0, 0]
        assert not found.unlisted


def test_a_change_of_another_table_opens_and_closes_as_one_of_the_filter():
    drop = parse_tables("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n")
    none = parse_tables("*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")
    now, then = ({4: filter_table(ALLOW_WEB)._replace(others=others)} for others in (none, drop))
    for before, after, kind in ((now, then, "closed"), (then, now, "opened")):
        found = effect.effect_of(before, after, {4: beside()})
        assert [(entry["direction"], entry["ports"]) for entry in found.lists[kind]] == [
            ("in", ["80"]),
            ("routed", ["80"]),
        ]


def test_what_is_in_force_and_not_shown_leaves_nothing_open_for_certain():
    found = effect.effect_of(
        {4: filter_table()}, {4: filter_table(ALLOW_WEB)}, {4: beside("", "Warning: iptables-legacy tables present")}
    )
    assert [entry["direction"] for entry in found.lists["opened"]] == ["in", "routed"]
    assert all(
        entry["text"].endswith("(depends on what is not modelled: Warning: iptables-legacy tables present)")
        for entry in found.lists["opened"]
    )


def test_a_comment_that_looks_like_a_jump_hides_no_change(host):
    """The first -j of a line may stand in a comment."""
    host.tables[4].step(":mine - [0:0]")
    host.tables[4].step("-A mine -j DROP")
    before = parse_save(host.tables[4].save())
    jump = '-m comment --comment "was -j LOG" -j mine'
    after = before._replace(chains={**before.chains, "INPUT": [jump, *before.chains["INPUT"]]})
    deeper = after._replace(chains={**after.chains, "mine": ["-j ACCEPT"]})
    assert effect.effect_of({4: before}, {4: after}, {}).lists["closed"]
    assert effect.effect_of({4: after}, {4: deeper}, {}).lists["opened"]


# -- tables by hand ----------------------------------------------------------------------------------------------------


def kernel(*rules, **policies):
    """A filter table of these rules (with their chain in front); everything is denied but where ``policies`` allow it."""
    chains = {"INPUT": [], "FORWARD": [], "OUTPUT": []}
    for line in rules:
        chain, _space, rule = line.partition(" ")
        chains.setdefault(chain, []).append(rule)
    return Kernel({name: policies.get(name, "DROP") for name in ("INPUT", "FORWARD", "OUTPUT")}, chains)


def change_of(before, after, family=4):
    """The lists, without those that are empty."""
    return {kind: entries for kind, entries in effect_of({family: before}, {family: after}).lists.items() if entries}


def opened_by(rule, family=4):
    """The only entry that a rule opens."""
    found = change_of(kernel(), kernel(rule), family)
    assert list(found) == ["opened"]
    (entry,) = found["opened"]
    return entry


def test_each_field_reads_as_people_write_it():
    entry = opened_by("INPUT -s 10.0.0.0/8 -d 10.0.0.5/32 -i eth0 -p udp -m udp --dport 53 -j ACCEPT")
    assert {key: value for key, value in entry.items() if key not in ("text", "witness")} == {
        "family": 4,
        "direction": "in",
        "source": ["10.0.0.0/8"],
        "destination": ["10.0.0.5"],
        "protocol": ["udp"],
        "ports": ["53"],
        "interface": ["eth0"],
    }
    six = opened_by("OUTPUT -d 2001:db8::/32 -o wg+ -p tcp -m tcp --dport 1:1024 -j ACCEPT", 6)
    assert (six["family"], six["direction"], six["destination"], six["ports"], six["interface"]) == (
        6,
        "out",
        ["2001:db8::/32"],
        ["1:1024"],
        ["wg+"],
    )
    assert opened_by("FORWARD -i eth1 -o eth2 -j ACCEPT")["interface"] == ["eth1"]
    assert opened_by("FORWARD -i eth1 -o eth2 -j ACCEPT")["direction"] == "routed"


@pytest.mark.parametrize(
    ("match", "field", "text"),
    [
        ("! -s 10.0.0.0/8", "source", ["any but 10.0.0.0/8"]),
        ("-p tcp -m tcp ! --dport 22", "ports", ["any but 22"]),
        ("-p tcp -m tcp ! --dport 0", "ports", ["1:65535"]),
        ("-p tcp -m tcp ! --dport 65535", "ports", ["0:65534"]),
        ("-p tcp -m multiport ! --dports 22,80:90", "ports", ["any but 22, 80:90"]),
        ("! -i eth0", "interface", ["any but eth0"]),
        ("! -p tcp", "protocol", ["any but tcp"]),
        ("-p 99", "protocol", ["99"]),
        ("-m iprange --src-range 10.0.0.1-10.0.0.3", "source", ["10.0.0.1-10.0.0.3"]),
        ("-m iprange --src-range 10.0.0.4-10.0.0.7", "source", ["10.0.0.4/30"]),
        ("-p icmp -m icmp --icmp-type 8", "ports", ["any"]),
        ("-p tcp -m multiport --dports 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29", "ports", [*map(str, range(1, 30, 2))]),
        ("", "source", ["any"]),
    ],
)
def test_a_set_with_holes_is_told_by_its_holes_and_a_range_by_its_ends(match, field, text):
    assert opened_by(f"INPUT {match} -j ACCEPT".replace("  ", " "))[field] == text


@pytest.mark.parametrize(
    ("second", "last"), [([31], "31"), ([31, 33], "and 1 more"), (range(31, 60, 2), "and 14 more")]
)
def test_a_field_of_many_parts_is_cut_short_with_how_many_more(second, last):
    drops = [
        f"INPUT -p tcp -m multiport --dports {','.join(map(str, ports))} -j DROP" for ports in (range(1, 30, 2), second)
    ]
    (entry,) = change_of(kernel(), kernel(*drops, "INPUT -p tcp -j ACCEPT"))["opened"]
    (text,) = entry["ports"]
    assert text.startswith("any but 1, 3, 5, ") and ", 29, 31" in text and text.endswith(", " + last)


def test_what_an_answer_depends_on_is_in_its_text():
    assert opened_by("INPUT -m limit --limit 3/min -j ACCEPT")["text"].endswith(" (at a limited rate)")
    odd = opened_by("INPUT -m u32 --u32 0=1 -m geoip --source-country XX -j ACCEPT")["text"]
    assert " (depends on what is not modelled: " in odd and "; " in odd and odd.endswith(")")
    assert not opened_by("INPUT -j ACCEPT")["text"].endswith(")")


def test_a_hook_that_nothing_touches_is_not_asked_about_and_one_that_a_chain_reaches_is():
    deep = ["INPUT -g one", "one -j two", "two -p tcp -m tcp --dport 22 -j ACCEPT", "odd -j ACCEPT"]
    assert change_of(kernel(*deep), kernel(*deep[:3], "odd -j DROP")) == {}
    after = kernel(*deep[:2], "two -p tcp -m tcp --dport 23 -j ACCEPT", "odd -j ACCEPT")
    assert set(change_of(kernel(*deep), after)) == {"opened", "closed"}
    assert [each["direction"] for each in change_of(kernel(), kernel(OUTPUT="ACCEPT"))["opened"]] == ["out"]


def test_translated_packets_are_told_apart_where_rules_do():
    rule = "FORWARD -m conntrack --ctstate DNAT --ctorigdstport 8080 -j ACCEPT"
    assert list(change_of(kernel(), kernel(rule))) == ["opened"]
    assert list(change_of(kernel(), kernel("FORWARD -p tcp -m conntrack --ctorigdstport 8080 -j ACCEPT"))) == ["opened"]
    assert len(change_of(kernel(), kernel("FORWARD -j ACCEPT"))["opened"]) == 1
    assert len(change_of(kernel(rule), kernel(rule, FORWARD="ACCEPT"))["opened"]) > 1


def test_what_the_security_table_stops_is_not_open():
    last = Kernel(
        dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), "ACCEPT"),
        {
            "INPUT": [],
            "OUTPUT": [],
            "FORWARD": ["-m conntrack --ctstate ESTABLISHED -j RETURN", "-j list"],
            "list": ["-p tcp -m tcp --dport 80 -j RETURN", "-s 2001:db8::/32 -j ACCEPT", "-g end"],
            "end": ["-j DROP"],
        },
    )
    nothing = last._replace(chains={**last.chains, "FORWARD": []})
    before = kernel("FORWARD -p tcp -m tcp --dport 80 -j ACCEPT", "list -j LOG")._replace(security=last)
    web = change_of(kernel("list -j LOG"), before, 6)["opened"]
    assert [each["ports"] for each in web] == [["80"]] and list(web[0]["source"]) == ["any"]
    everything = before._replace(policies={**before.policies, "FORWARD": "ACCEPT"})
    found = change_of(before, everything, 6)
    assert {tuple(each["source"]) for each in found["opened"]} == {("2001:db8::/32",)} and list(found) == ["opened"]
    assert change_of(everything, everything._replace(security=nothing), 6)["opened"]
    assert change_of(before._replace(security=None), before._replace(security=nothing), 6) == {}


def test_switched_off_is_open_but_for_the_rules_of_others():
    own = "INPUT -j ufw-before-input", "INPUT -s 10.0.0.0/8 -j DROP", "ufw-before-input -j ACCEPT"
    off = switched_off(kernel(*own), 4)
    assert set(off.policies.values()) == {"ACCEPT"}
    assert off.chains["INPUT"] == ["-s 10.0.0.0/8 -j DROP"] and off.chains["ufw-before-input"] == ["-j ACCEPT"]
    six = kernel("INPUT -j ufw6-before-input", "INPUT -j ufw-before-input")
    assert switched_off(six, 6).chains["INPUT"] == ["-j ufw-before-input"]
    assert effect.candidates({4: kernel(*own)}, {}, "disable") == {4: off}
    section = Section("filter", {"INPUT": "ACCEPT"}, [], {}, [])
    after = effect.candidates({4: kernel(), 6: kernel()}, {6: Repair((section,), [])}, "enable")
    assert after == {4: kernel(), 6: kernel(INPUT="ACCEPT")}


def test_each_kind_is_counted_and_what_is_stopped_is_known_by_family_and_hook(monkeypatch):
    monkeypatch.setattr(effect, "LISTED", 1)
    rules = [f"INPUT -p tcp -m tcp --dport {port} -j ACCEPT" for port in (10, 20)]
    six = "OUTPUT -p udp -j ACCEPT"
    found = effect_of({4: kernel(rules[0]), 6: kernel(six)}, {4: kernel(rules[1]), 6: kernel()})
    assert [(each["family"], each["ports"]) for each in found.lists["closed"]] == [(4, ["10"])]
    assert found.unlisted == ["closed: 1 more"]
    assert [(family, hook) for family, hook, _packets in found.stopped] == [(4, "INPUT"), (6, "OUTPUT")]


def test_what_cannot_be_read_or_takes_too_long_is_said_by_its_hook(monkeypatch):
    odd = kernel('INPUT -m comment --comment "no end -j ACCEPT', "OUTPUT -j ACCEPT")
    found = effect_of({4: kernel()}, {4: odd})
    assert [text.partition(": ")[0] for text in found.unlisted] == ["IPv4 INPUT", "IPv4 OUTPUT"]
    monkeypatch.setattr(effect, "SECONDS", 0.0)
    found = effect_of({6: kernel()}, {6: kernel("FORWARD -m conntrack --ctstate DNAT -j ACCEPT")})
    assert [text.partition(": ")[0] for text in found.unlisted] == [
        "IPv6 FORWARD"
    ] * 2 and found.lists == effect.NO_EFFECT.lists


# -- flows -------------------------------------------------------------------------------------------------------------


def flows_cut(flows, before, after, family=4):
    """The commands that cut what a change stops, of these lines of `conntrack -L`."""

    class Flows(Host):
        def run(self, argv, stdin=""):
            if argv == ["ip", "-o", f"-{family}", "address"]:
                addresses = {
                    4: "inet 10.0.0.4/24 x\n3: eth1 inet 10.0.0.5 y",
                    6: "inet6 fe80::1/64 x\n3: eth1 inet6 2001:db8::5/64 y",
                }
                return Result(0, f"2: eth0    {addresses[family]} scope global", "")
            assert argv == ["conntrack", "-L", "-f", f"ipv{family}"]
            return Result(0, flows, "")

    return [" ".join(command) for command in find_flows(Flows(), effect_of({family: before}, {family: after}))]


ROUTED = "tcp 6 9 ESTABLISHED src=10.1.0.7 dst=10.0.0.5 sport=5000 dport=8080 src=172.17.0.2 dst=10.1.0.7 sport=80 dport=5000\n"
OUTGOING = "udp 17 9 src=10.0.0.5 dst=10.9.0.1 sport=5353 dport=53 src=10.9.0.1 dst=10.0.0.5 sport=53 dport=5353\n"
PING = "icmp 1 29 src=10.0.1.7 dst=10.0.0.5 type=8 code=0 id=1 src=10.0.0.5 dst=10.0.1.7 type=0 code=0 id=1\n"
SIX = (
    "tcp 6 9 src=2001:db8::7 dst=2001:db8::5 sport=5000 dport=22 src=2001:db8::5 dst=2001:db8::7 sport=22 dport=5000\n"
)


@pytest.mark.parametrize(
    ("flow", "rule", "command"),
    [
        (
            ROUTED,
            "FORWARD -d 172.17.0.2/32 -p tcp -m tcp --dport 80",
            "-p tcp -s 10.1.0.7 -d 10.0.0.5 --sport 5000 --dport 8080",
        ),
        (
            ROUTED,
            "FORWARD -p tcp -m conntrack --ctstate DNAT --ctorigdst 10.0.0.5/32 --ctorigdstport 8080",
            "-p tcp -s 10.1.0.7 -d 10.0.0.5 --sport 5000 --dport 8080",
        ),
        (ROUTED, "FORWARD -p tcp -m conntrack --ctstate DNAT --ctorigdstport 80", ""),
        (ROUTED, "FORWARD -d 10.0.0.5/32", ""),
        (ROUTED, "FORWARD -p udp", ""),
        (ROUTED, "INPUT -p tcp", ""),
        (
            OUTGOING,
            "OUTPUT -p udp -m udp --sport 5353 --dport 53",
            "-p udp -s 10.0.0.5 -d 10.9.0.1 --sport 5353 --dport 53",
        ),
        (OUTGOING, "OUTPUT -p udp -m udp --sport 53", ""),
        (OUTGOING, "FORWARD -p udp", ""),
        (PING, "INPUT -p icmp", "-p icmp -s 10.0.1.7 -d 10.0.0.5"),
        (PING, "INPUT -p tcp", ""),
        ("tcp x ESTABLISHED " + ROUTED[7:], "FORWARD -p tcp", ""),
        ("tcp", "FORWARD -p tcp", ""),
        (ROUTED.partition(" src=172")[0], "FORWARD -p tcp", ""),
    ],
)
def test_a_flow_is_cut_by_both_its_ends_as_they_are_translated(flow, rule, command):
    cut = flows_cut(flow, kernel(rule + " -j ACCEPT"), kernel())
    assert cut == ([f"conntrack -D -f ipv4 {command}"] if command else [])


def test_a_flow_of_ipv6_is_cut_as_one():
    cut = flows_cut(SIX + OUTGOING[:3], kernel("INPUT -p tcp -j ACCEPT"), kernel(), 6)
    assert cut == ["conntrack -D -f ipv6 -p tcp -s 2001:db8::7 -d 2001:db8::5 --sport 5000 --dport 22"]


def test_a_table_of_flows_that_cannot_be_read_is_an_error(host):
    stops = effect_of({4: kernel("INPUT -j ACCEPT")}, {4: kernel()})
    host.run = lambda argv, stdin="": Result(1, "", "no such file\n")
    with pytest.raises(RulesetError, match=r"^`conntrack -L` failed \(status 1\): no such file$"):
        find_flows(host, stops)
    assert find_flows(host, effect.NO_EFFECT) == []


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


def test_flows_that_cannot_be_looked_at_in_time_are_said_and_hold_the_lock_no_longer(host, monkeypatch):
    converge(host, params([SSH, WEB]), False)
    host.flows = FLOW * 5000
    monkeypatch.setattr(effect, "LOOKING", 0.0)
    result = converge(host, params([SSH], flush_established=True), False)
    assert result["flushed"] < 5000
    (text,) = [text for text in result["unlisted"] if "flushed" in text]
    assert f"{5000 - result['flushed']} more connections" in text and "`conntrack -D` cuts them" in text


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
