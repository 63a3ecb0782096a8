# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chains that a packet passes: which tables, in which state, jumps, policies."""

from __future__ import annotations

import pytest
from asking import ask, rules, table

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOW,
    ALLOWED,
    DENIED,
    DENY,
    EVERY,
    SKIP,
    UNKNOWN,
    Budget,
    Question,
    TooComplex,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import (
    PASSES,
    reachable_targets,
    unfold,
    verdict,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import NO_VERDICT

OPEN = table(
    "filter", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", "-A INPUT -m conntrack --ctstate INVALID -j DROP"
)


def chains_of(name, *lines, drops=""):
    """A table with all of its chains, of which one may have the policy DROP."""
    known = {
        "raw": ("PREROUTING", "OUTPUT"),
        "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
        "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
        "security": ("INPUT", "FORWARD", "OUTPUT"),
    }[name]
    return table(name, *(f":{chain} {'DROP' if chain == drops else 'ACCEPT'}" for chain in known), *lines)


# -- which chains ----------------------------------------------------------------------------------------------------

#: What the kernel passes (netfilter's own figure of the packet flow), by hook.
WAY = {
    "INPUT": {"raw PREROUTING", "mangle PREROUTING", "nat PREROUTING", "mangle INPUT", "nat INPUT", "security INPUT"},
    "FORWARD": {
        "raw PREROUTING", "mangle PREROUTING", "nat PREROUTING", "mangle FORWARD", "security FORWARD", "mangle POSTROUTING",
        "nat POSTROUTING",
    },
    "OUTPUT": {"raw OUTPUT", "mangle OUTPUT", "nat OUTPUT", "security OUTPUT", "mangle POSTROUTING", "nat POSTROUTING"},
}  # fmt: skip
PLACES = sorted(set().union(*WAY.values()))


@pytest.mark.parametrize("chain,hook", [("PREROUTING", "OUTPUT"), ("OUTPUT", "INPUT"), ("PREROUTING", "FORWARD")])
@pytest.mark.parametrize("state", ["ESTABLISHED", "RELATED"])
def test_later_packets_may_be_answers_to_what_the_other_chain_translated(chain, hook, state):
    rule = f"-A {hook} -m conntrack --ctstate DNAT -j ACCEPT"
    translating = chains_of("nat", f"-A {chain} -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1")
    filters = table("filter", ":INPUT DROP", ":FORWARD DROP", ":OUTPUT DROP", rule)
    one = packet(4, "10.0.0.1", "10.0.0.2", "tcp", 40000, 80)
    for text, answer in ((filters, DENIED), (translating + filters, UNKNOWN)):
        assert verdict(parse(text, 4), one, Question(hook, state, EVERY)).answer == answer


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hook", WAY)
def test_a_drop_in_any_table_stops_just_the_packets_that_pass_its_chain(hook, place):
    name, chain = place.split()
    ruleset = parse(OPEN + chains_of(name, f"-A {chain} -p tcp --dport 22 -j DROP"), 4)
    found = ask(ruleset, hook=hook)
    assert found.answer == (DENIED if place in WAY[hook] else ALLOWED)
    assert ask(ruleset, port=23, hook=hook).answer == ALLOWED
    if place in WAY[hook]:
        assert (found.rule.table, found.rule.chain, found.rule.number) == (name, chain, 1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hook", WAY)
def test_a_policy_of_another_table_stops_what_no_rule_of_it_accepts(hook, place):
    name, chain = place.split()
    lines = [f"-A {chain} -p tcp --dport 22 -j ACCEPT", f"-A {chain} -p tcp --dport 23 -j RETURN"]
    ruleset = parse(OPEN + chains_of(name, *lines, drops=chain), 4)
    on_the_way = place in WAY[hook]
    assert ask(ruleset, port=22, hook=hook).answer == ALLOWED
    for port in (23, 24):
        found = ask(ruleset, port=port, hook=hook)
        assert found.answer == (DENIED if on_the_way else ALLOWED), "RETURN in a built-in chain leads to its policy"
        assert not on_the_way or found.rule.text == f"-P {chain} DROP"


@pytest.mark.parametrize("state,met", [("NEW", True), ("RELATED", True), ("ESTABLISHED", False), ("UNTRACKED", False)])
def test_the_nat_table_sees_only_packets_that_may_begin_a_connection(state, met):
    ruleset = parse(OPEN + chains_of("nat", drops="PREROUTING"), 4)
    assert ask(ruleset, state=state).answer == (DENIED if met else ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-A INPUT -s 10.9.9.9 -m conntrack --ctdir REPLY -j DROP",
        "-A INPUT -s 10.9.9.9 -m conntrack --ctorigsrc 10.9.9.8 -j DROP",
    ],
)
def test_the_nat_table_sees_nothing_where_nothing_tracks_connections(line):
    ruleset = parse(table("filter", ":INPUT ACCEPT", *filter(None, [line])) + chains_of("nat", drops="PREROUTING"), 4)
    found = ask(ruleset)
    assert found.answer == (DENIED if line else UNKNOWN)
    assert [condition.text for condition in found.conditions] == [] if line else ["whether connections are tracked"]


def test_a_translation_is_an_accept_of_its_table():
    lines = ["-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080", "-A POSTROUTING -j MASQUERADE"]
    ruleset = parse(OPEN + chains_of("nat", *lines, drops="PREROUTING"), 4)
    assert ask(ruleset, port=80, translated=True).answer == ALLOWED
    assert ask(ruleset, port=81, translated=True).answer == DENIED
    assert ask(ruleset, port=80, hook="OUTPUT").answer == ALLOWED


@pytest.mark.parametrize("hook", WAY)
def test_an_accept_elsewhere_is_no_accept_of_the_filter(hook):
    first = [stage for stage in PASSES[hook] if stage.table == "mangle"][0]
    mangle = chains_of("mangle", f"-A {first.chain} -s 10.0.0.0/8 -j ACCEPT", f"-A {first.chain} -j DROP")
    ruleset = parse(table("filter", f":{hook} DROP", f"-A {hook} -p tcp --dport 22 -j ACCEPT") + mangle, 4)
    assert ask(ruleset, hook=hook).answer == ALLOWED
    assert ask(ruleset, hook=hook, port=23).answer == DENIED
    assert ask(ruleset, hook=hook, source="172.16.0.1").rule.table == "mangle"


def test_an_accept_in_a_chain_of_another_table_leaves_that_table_whole():
    lines = [
        "-A INPUT -j one",
        "-A INPUT -j DROP",
        "-A one -p tcp --dport 22 -j ACCEPT",
        "-A one -p tcp --dport 23 -j RETURN",
    ]
    text = table("mangle", ":INPUT ACCEPT", ":one -", *lines)
    ruleset = parse(OPEN + text, 4)
    assert [ask(ruleset, port=port).answer for port in (22, 23, 24)] == [ALLOWED, DENIED, DENIED]


def test_a_chain_of_another_table_that_is_jumped_to_twice_is_asked_twice():
    lines = [
        "-A INPUT -s 10.0.0.0/8 -j one",
        "-A INPUT -p udp -j one",
        "-A one -p udp --dport 9 -j DROP",
        "-A one -p tcp --dport 22 -j DROP",
    ]
    ruleset = parse(OPEN + table("mangle", ":INPUT ACCEPT", ":one -", *lines), 4)
    assert ask(ruleset, port=22).answer == DENIED
    assert ask(ruleset, port=22, source="172.16.0.1").answer == ALLOWED
    assert ask(ruleset, "udp", 9, source="172.16.0.1").answer == DENIED


def test_without_a_filter_table_everything_is_accepted_unless_something_else_is_in_force():
    assert ask(parse("", 4)).answer == ALLOWED
    assert ask(parse("", 4)).rule.text == "no filter table"
    assert ask(parse(chains_of("mangle", drops="INPUT"), 4)).answer == DENIED
    assert ask(parse(chains_of("mangle", drops="FORWARD"), 4)).rule.text == "no filter table"


@pytest.mark.parametrize("hook", ["PREROUTING", "input", ""])
def test_a_hook_that_is_none_is_refused(hook):
    with pytest.raises(ValueError, match="expected one of INPUT, FORWARD, OUTPUT"):
        unfold(rules(), Question(hook))


# -- what is in force beside the text --------------------------------------------------------------------------------

UNSEEN = [
    "# Table `filter' is incompatible, use 'nft' tool.",
    "# Table `nat' is incompatible, use 'nft' tool.",
    "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them",
]


@pytest.mark.parametrize("note", UNSEEN)
@pytest.mark.parametrize("hook", WAY)
def test_what_is_in_force_and_not_in_the_text_leaves_nothing_allowed(hook, note):
    text = table("filter", f":{hook} ACCEPT", f"-A {hook} -p tcp --dport 23 -j DROP") if "filter" not in note else ""
    ruleset = parse(note + "\n" + text, 4)
    found = ask(ruleset, hook=hook)
    assert (found.answer, found.rate_limited) == (UNKNOWN, False)
    assert [condition.text for condition in found.conditions] == [note[2:]]
    assert not text or ask(ruleset, hook=hook, port=23).answer == DENIED, "what one of them drops is dropped"
    assert not text or ask(ruleset, hook=hook, port=23).rule.number == 1


def test_what_the_caller_knows_to_be_in_force_beside_it_counts_as_well():
    assert ask(parse(OPEN, 4, unseen=("nft table inet filter",))).answer == UNKNOWN
    assert ask(parse(OPEN, 4)).answer == ALLOWED


# -- jumps -----------------------------------------------------------------------------------------------------------

BORROWED = sorted(
    NO_VERDICT | {"DNAT", "SNAT", "MASQUERADE", "NFQUEUE", "REJECT", "NOTRACK", "CT", "TPROXY", "REDIRECT"}
)


@pytest.mark.parametrize("name", BORROWED)
@pytest.mark.parametrize("how", ["-j", "-g"])
def test_a_chain_with_a_targets_name_is_a_chain(name, how):
    ruleset = rules(f"-A INPUT {how} {name}", f"-A {name} -p tcp --dport 22 -j DROP", policy="ACCEPT", chains=(name,))
    found = ask(ruleset)
    assert (found.answer, found.rule.chain) == (DENIED, name)
    assert ask(ruleset, port=23).answer == ALLOWED


@pytest.mark.parametrize("name", ["LOG", "MARK", "SET"])
def test_a_chain_with_a_targets_name_counts_in_other_tables(name):
    lines = [f"-A PREROUTING -j {name}", f"-A {name} -p tcp --dport 22 -j DROP"]
    assert ask(parse(OPEN + table("raw", ":PREROUTING ACCEPT", f":{name} -", *lines), 4)).answer == DENIED


@pytest.mark.parametrize("name,answer", [("ACCEPT", ALLOWED), ("DROP", DENIED), ("RETURN", DENIED)])
def test_a_verdict_stays_a_verdict_whatever_a_chain_is_called(name, answer):
    other = "ACCEPT" if name == "DROP" else "DROP"
    lines = [f"-A INPUT -j {name}", f"-A {name} -j {other}"]
    assert ask(rules(*lines, policy="DROP", chains=(name,))).answer == answer


@pytest.mark.parametrize("depth", [16, 70, 500])
def test_chains_may_be_nested_deep_without_being_a_loop(depth):
    names = tuple(f"c{number}" for number in range(depth))
    lines = [f"-A {name} -j {inner}" for name, inner in zip(("INPUT", *names), names)]
    ruleset = rules(*lines, f"-A {names[-1]} -p tcp --dport 22 -j ACCEPT", chains=names)
    found = ask(ruleset)
    assert (found.answer, len(found.path)) == (ALLOWED, depth + 1)
    assert ask(ruleset, port=23).answer == DENIED


@pytest.mark.parametrize("lines", [["-A INPUT -j a", "-A a -j a"], ["-A INPUT -j a", "-A a -j b", "-A b -p tcp -g a"]])
def test_a_loop_is_refused_and_named(lines):
    with pytest.raises(ValueError, match="^chain a: jumps form a loop$"):
        ask(rules(*lines, chains=("a", "b")))


def test_a_chain_that_several_chains_lead_to_is_no_loop():
    lines = [
        "-A INPUT -j a",
        "-A INPUT -j b",
        "-A INPUT -j c",
        "-A a -p udp -j c",
        "-A b -j c",
        "-A c -p tcp --dport 22 -j ACCEPT",
    ]
    assert ask(rules(*lines, chains=("a", "b", "c"))).answer == ALLOWED


def nested(depth, jumps):
    names = tuple(f"c{number}" for number in range(depth))
    lines = [f"-A {name} {jump} -j {inner}" for name, inner in zip(("INPUT", *names), names) for jump in jumps]
    return rules(*lines, f"-A {names[-1]} -p tcp --dport 22 -j ACCEPT", chains=names)


@pytest.mark.parametrize(
    "jumps", [("", ""), ("", "-p tcp"), ("-s 10.0.0.0/8", "-s 10.0.0.0/9"), ("", "-m limit --limit 1/sec")]
)
def test_jumps_that_repeat_one_that_packets_came_back_from_cost_nothing(jumps):
    program = unfold(nested(21, jumps), Question(addresses=EVERY), budget=Budget(instances=100))
    assert program.decide(packet(4, "10.0.0.1", "10.0.9.9", port=22, inside="eth0")).answer == ALLOWED
    assert program.decide(packet(4, "10.0.0.1", "10.0.9.9", port=23, inside="eth0")).answer == DENIED


def test_one_packet_goes_through_nested_chains_once_whatever_is_not_known():
    found = ask(nested(40, ("-p tcp", "-m mark --mark 1")))
    assert (found.answer, found.rule.chain) == (ALLOWED, "c39")
    assert ask(nested(40, ("-m mark --mark 1", "-m mark --mark 2")), "udp", 9).answer == DENIED


@pytest.mark.parametrize("how", ["-j", "-g"])
def test_a_second_way_that_is_taken_at_times_decides_as_the_first(how):
    lines = [
        "-A INPUT -m mark --mark 1 -j one",
        f"-A INPUT -m mark --mark 2 {how} one",
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A one -p tcp --dport 23 -j DROP",
    ]
    ruleset = rules(*lines, policy="DROP" if how == "-g" else "ACCEPT", chains=("one",))
    assert ask(ruleset, port=22).answer == (UNKNOWN if how == "-g" else ALLOWED)
    assert ask(ruleset, port=23).answer == (DENIED if how == "-g" else UNKNOWN)


def test_one_packet_gets_a_bounded_answer_where_the_budget_is_spent():
    one = packet(4, "10.0.0.1", "10.0.9.9", port=22, inside="eth0")
    found = verdict(nested(5, ("-p tcp",)), one, Question(addresses=EVERY), Budget(seconds=-1))
    assert (found.answer, found.rate_limited, found.rule.number) == (UNKNOWN, False, 0)
    assert "not done in -1 s" in found.conditions[0].text


def test_a_jump_that_is_taken_at_times_does_not_stand_in_for_one_that_is_taken():
    lines = ["-A INPUT -m limit --limit 1/sec -j one", "-A INPUT -j one", "-A one -p tcp --dport 22 -j DROP"]
    assert ask(rules(*lines, policy="ACCEPT", chains=("one",))).answer == DENIED
    lines = ["-A INPUT -s 10.0.0.0/24 -j one", "-A INPUT -j one", "-A one -p tcp --dport 22 -j DROP"]
    assert ask(rules(*lines, policy="ACCEPT", chains=("one",)), source="10.0.1.1").answer == DENIED


def test_a_second_way_through_a_chain_of_uncertain_rules_is_kept():
    lines = ["-A INPUT -j one", "-A INPUT -j one", "-A one -m limit --limit 1/sec -j ACCEPT"]
    once, twice = (unfold(rules(*lines[at:], chains=("one",)), Question()) for at in (1, 0))
    assert (len(once), len(twice)) == (1, 2)


# -- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["NFQUEUE --queue-num 1", "TARPIT --tarpit", "XUNHEARD --of it", "CLUSTERIP --new"])
def test_a_target_that_is_not_modelled_may_do_anything(target):
    found = ask(rules(f"-A INPUT -p tcp -j {target}", policy="DROP"))
    assert (found.answer, found.rate_limited) == (UNKNOWN, False)
    assert [condition.text for condition in found.conditions] == [target.split()[0]]
    assert ask(rules(f"-A INPUT -p tcp -j {target}"), "udp").answer == DENIED


def test_a_target_that_is_not_known_may_let_a_packet_go_on():
    found = ask(rules("-A INPUT -j XUNHEARD", "-A INPUT -p tcp --dport 22 -j ACCEPT"))
    assert [rule.number for rule in found.rules] == [1, 2]
    assert [rule.number for rule in ask(rules("-A INPUT -j NFQUEUE", "-A INPUT -j ACCEPT")).rules] == [1]


@pytest.mark.parametrize("target", ["NOTRACK", "CT --notrack"])
def test_what_is_not_tracked_is_not_new(target):
    raw = table("raw", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT", f"-A PREROUTING -p tcp --dport 22 -j {target}")
    text = table(
        "filter",
        ":INPUT DROP",
        "-A INPUT -m conntrack --ctstate NEW -j ACCEPT",
        "-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT",
    )
    ruleset = parse(raw + text, 4)
    assert ask(ruleset).answer == UNKNOWN
    assert ask(ruleset, port=23).answer == ALLOWED
    assert ask(ruleset, state="UNTRACKED").answer == ALLOWED


def test_a_helper_of_ct_changes_no_state():
    raw = table("raw", ":PREROUTING ACCEPT", "-A PREROUTING -p tcp --dport 21 -j CT --helper ftp")
    assert ask(parse(raw + OPEN, 4), port=21).answer == ALLOWED
    both = table(
        "raw", ":PREROUTING ACCEPT", "-A PREROUTING -p tcp --dport 21 -j CT --helper ftp", "-A PREROUTING -j DROP"
    )
    assert ask(parse(both + OPEN, 4), port=21).answer == DENIED


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_the_time_is_bounded_as_well_as_the_count():
    now = iter(range(1000))
    names = tuple(f"c{number}" for number in range(12))
    lines = [
        line
        for name, inner in zip(("INPUT", *names), names)
        for line in [f"-A {name} -s 10.0.0.0/8 -j {inner}", f"-A {name} -p tcp -j {inner}"]
    ]
    with pytest.raises(TooComplex, match="not done in 2 s"):
        unfold(
            rules(*lines, "-A c11 -j ACCEPT", chains=names),
            Question(),
            whole=True,
            budget=Budget(seconds=2, clock=lambda: next(now)),
        )


@pytest.mark.parametrize("proto", [0, 1, 6, 42, 43, 44, 45, 51, 59, 60, 61, 135, 255])
def test_an_extension_header_of_ipv6_is_no_protocol(proto):
    one = packet(6, "fd00::1", "fd00::9", str(proto), inside="eth0")
    found = verdict(rules(policy="ACCEPT", family=6), one, Question(addresses=EVERY))
    assert (found is None) == (proto in (0, 43, 44, 60))
    assert verdict(
        rules(policy="ACCEPT"), packet(4, "10.0.0.1", "10.0.0.2", str(proto), inside="eth0"), Question(addresses=EVERY)
    )


@pytest.mark.parametrize(
    "target",
    (
        "LOG NFLOG ULOG AUDIT MARK CONNMARK TOS DSCP TTL TCPMSS CHECKSUM CLASSIFY SET SECMARK CONNSECMARK TRACE TEE "
        "IDLETIMER RATEEST TCPOPTSTRIP ECN HMARK LED"
    ).split(),
)
def test_a_target_without_a_verdict_lets_a_packet_go_on(target):
    ruleset = rules(f"-A INPUT -j {target}", "-A INPUT -p tcp --dport 22 -j ACCEPT")
    assert [ask(ruleset, port=port).answer for port in (22, 23)] == [ALLOWED, DENIED]
    assert ask(parse(OPEN + table("mangle", ":INPUT ACCEPT", f"-A INPUT -j {target}"), 4)).answer == ALLOWED


# -- how many instances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hook", WAY)
def test_a_chain_that_can_stop_no_packet_adds_nothing(hook, place):
    name, chain = place.split()
    harmless = sorted((NO_VERDICT | {"ACCEPT", "RETURN"}) - {"HL"}) + ["CT --helper ftp"]
    harmless += ["DNAT --to-destination 10.0.0.1", "SNAT --to-source 10.0.0.1", "MASQUERADE", "REDIRECT", "NETMAP"] * (
        name == "nat"
    )
    alone = len(unfold(parse(OPEN, 4), Question(hook, addresses=EVERY)))
    for target in harmless:
        text = OPEN + chains_of(name, f"-A {chain} -p tcp -j {target}", f"-A {chain} -j {target}")
        assert len(unfold(parse(text, 4), Question(hook, addresses=EVERY))) == alone, target
        mixed = OPEN + chains_of(name, f"-A {chain} -p tcp -j {target}", f"-A {chain} -p udp -j DROP")
        assert (len(unfold(parse(mixed, 4), Question(hook, addresses=EVERY))) > alone) == (place in WAY[hook])


def test_a_skip_that_leads_to_where_a_packet_goes_anyway_is_left_out():
    lines = ["-A INPUT -p tcp -j one", "-A INPUT -p udp -j DROP", "-A one -s 10.0.0.0/8 -j RETURN", "-A one -j RETURN"]
    program = unfold(rules(*lines, chains=("one",)), Question(addresses=EVERY))
    assert (len(program), program.action, program.target) == (1, [DENY], [0])
    lines += ["-A INPUT -j ACCEPT"]
    lines[2:4] = ["-A one -s 10.0.0.0/8 -j RETURN", "-A one -p tcp --dport 9 -j RETURN", "-A one -j DROP"]
    program = unfold(rules(*lines, chains=("one",)), Question(addresses=EVERY))
    assert (program.action, program.target) == ([SKIP, SKIP, DENY, DENY, ALLOW], [3, 3, 0, 0, 0])
    assert [len(side) for side in program.sets] == [5] * 9


@pytest.mark.parametrize(
    ("words", "left"),
    [("", 1), ("-p tcp", 2), ("-d 10.0.0.0/8", 2), ("-m limit --limit 1/sec", 2), ("-s 0.0.0.0/0", 1), ("-i lo", 2)],
)
def test_what_stands_behind_a_rule_for_every_packet_is_left_out(words, left):
    ruleset = rules(f"-A INPUT {words} -j ACCEPT", "-A INPUT -p udp -j DROP")
    assert len(unfold(ruleset, Question(addresses=EVERY))) == left
    assert len(unfold(ruleset, Question(addresses=EVERY), whole=True)) == 2


def test_destinations_that_are_done_one_after_the_other_are_all_done_in_the_end():
    halves = ["-A INPUT -d 0.0.0.0/1 -j ACCEPT", "-A INPUT -d 128.0.0.0/1 -j ACCEPT", "-A INPUT -j DROP"]
    assert len(unfold(rules(*halves), Question())) == 2
    assert len(unfold(rules(halves[0], halves[2]), Question())) == 2
    inner = ["-A INPUT -d 10.0.0.0/8 -j one", "-A INPUT -j ACCEPT"]
    inner += ["-A one -d 10.0.0.0/9 -j ACCEPT", "-A one -d 10.128.0.0/9 -j DROP", "-A one -p tcp -j DROP"]
    assert len(unfold(rules(*inner, chains=("one",)), Question())) == 3
    assert len(unfold(rules(*inner[:3], *inner[4:], chains=("one",)), Question())) == 3


def test_a_policy_is_as_good_as_a_last_rule():
    for hook, words in (
        ("INPUT", "-m limit --limit 1/sec -j DROP"),
        ("INPUT", "-m mark --mark 1 -j ACCEPT"),
        ("INPUT", "-j XUNHEARD"),
    ):
        for policy in ("ACCEPT", "DROP"):
            one = rules(f"-A {hook} {words}", policy=policy)
            other = rules(
                f"-A {hook} {words}", f"-A {hook} -j {policy}", policy="DROP" if policy == "ACCEPT" else "ACCEPT"
            )
            assert accepted(one, Question(hook)) == accepted(other, Question(hook))


def test_ipv6s_untracked_messages_are_a_protocol_like_any_other_in_ipv4():
    ruleset = rules("-A INPUT -m conntrack --ctstate NEW -j ACCEPT")
    assert ask(ruleset, "58", 135 * 256).answer == ALLOWED


@pytest.mark.parametrize("hook", ["INPUT", "OUTPUT"])
@pytest.mark.parametrize("chain", ["PREROUTING", "OUTPUT"])
def test_only_the_nat_chain_that_packets_of_the_hook_pass_can_have_translated_them(hook, chain):
    nat = chains_of("nat", f"-A {chain} -p tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8080")
    only = [f"-A {name} -m conntrack --ctstate DNAT -j DROP" for name in ("INPUT", "OUTPUT")]
    ruleset = parse(nat + table("filter", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", *only), 4)
    passes = (hook == "OUTPUT") == (chain == "OUTPUT")
    assert ask(ruleset, port=8080, hook=hook).answer == (UNKNOWN if passes else ALLOWED)


def test_a_chain_that_is_led_to_more_than_once_is_read_once():
    class Counted(dict):
        reads = 0

        def __getitem__(self, name):
            Counted.reads += 1
            return super().__getitem__(name)

    names = [f"n{number}" for number in range(10)]
    lines = [f"-A {a} -j {b}" for a, b in zip(["PREROUTING", *names], names) for _twice in range(2)]
    text = table("mangle", ":PREROUTING ACCEPT", *(f":{name} -" for name in names), *lines, "-A n9 -j DROP")
    chains = Counted(parse(text, 4).tables["mangle"])
    assert reachable_targets(chains, "PREROUTING") == {"DROP"} and Counted.reads <= 2 * len(names)
