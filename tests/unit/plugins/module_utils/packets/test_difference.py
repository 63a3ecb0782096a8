# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Equality of rulesets, and the packet that stands for a change."""

from __future__ import annotations

import pytest
from asking import rules

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import (
    _compared,
    _largest_first,
    _Widened,
    accepted,
    difference,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import DPORT, FIELDS, PROTO, SRC
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    EVERY,
    UNKNOWN,
    Budget,
    Question,
    TooComplex,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import SERVICES_FIRST, Cells, Diagram
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold

INPUT = Question("INPUT", addresses=EVERY)


def test_what_a_ruleset_accepts_is_equal_to_the_same_and_to_nothing_else():
    one, same, other = (
        accepted(rules(f"-A INPUT -s {net} -j ACCEPT"), INPUT)
        for net in ("10.0.0.0/9", "10.0.0.0/255.128.0.0", "10.0.0.0/8")
    )
    six = accepted(rules("-A INPUT -s fd00::/8 -j ACCEPT", family=6), INPUT)
    assert one == same and hash(one) == hash(same)
    assert one != other and one != six and one != one.digest and one is not None
    assert [group.text() for group in one.sets(DENIED)] == ["any from any but 10.0.0.0/9 to any"]


@pytest.mark.parametrize(
    ("words", "family", "witness"),
    [
        ("", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("", 6, "tcp 9 from 2001:db8::1 port 40000 to 2001:db8::2 in on eth0"),
        ("-p udp", 4, "udp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-p icmp", 4, "icmp type 8/0 from 192.0.2.1 to 192.0.2.2 in on eth0"),
        ("-p ipv6-icmp", 6, "icmpv6 type 128/0 from 2001:db8::1 to 2001:db8::2 in on eth0"),
        ("-p icmp -m icmp --icmp-type 3", 4, "icmp type 3/0 from 192.0.2.1 to 192.0.2.2 in on eth0"),
        ("-p esp", 4, "esp from 192.0.2.1 to 192.0.2.2 in on eth0"),
        ("! -p tcp", 4, "udp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-s 10.0.0.0/8", 4, "tcp 9 from 10.0.0.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-s 10.0.0.7", 4, "tcp 9 from 10.0.0.7 port 40000 to 192.0.2.2 in on eth0"),
        ("-d 192.0.2.0/24", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-p tcp --dport 22:80", 4, "tcp 22 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-p tcp -m multiport --dports 7,9", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth0"),
        ("-p tcp --sport 22", 4, "tcp 9 from 192.0.2.1 port 22 to 192.0.2.2 in on eth0"),
        ("-i wg+", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on wg0"),
        ("-i tailscale0", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on tailscale0"),
        ("! -i eth0", 4, "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on eth1"),
    ],
)
def test_the_packet_that_stands_for_a_change_is_one_that_is_easy_to_send(words, family, witness):
    (change,) = difference(rules(family=family), rules(f"-A INPUT {words} -j ACCEPT", family=family), INPUT).opened
    assert change.witness.text(family) == witness
    assert (change.before.answer, change.after.answer) == (DENIED, ALLOWED)


def test_a_change_that_lies_in_a_wider_one_is_not_told_twice():
    before = rules("-A INPUT -s 10.0.0.0/8 -i eth0 -j ACCEPT")
    for port in ("20:30", "22"):
        after = rules(f"-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport {port} -j DROP")
        closed = difference(before, after, INPUT).closed
        assert [change.packets.text() for change in closed] == ["any from 10.0.0.0/8 to any in on eth0"]


def test_which_way_a_change_goes_is_told_by_how_much_may_pass():
    limited = rules("-A INPUT -p tcp -m limit --limit 1/sec -j ACCEPT")
    whole, none = rules("-A INPUT -p tcp -j ACCEPT"), rules()
    for before, after, kind in (
        (none, limited, "opened"),
        (limited, whole, "opened"),
        (whole, limited, "closed"),
        (limited, none, "closed"),
    ):
        found = difference(before, after, INPUT)
        assert [name for name in found._fields if getattr(found, name)] == [kind]
    other = rules("-A INPUT -p tcp -m limit --limit 2/sec -j ACCEPT")
    (change,) = difference(limited, other, INPUT).unclear
    assert (change.before.answer, change.after.answer) == (UNKNOWN, UNKNOWN)
    assert not difference(limited, limited, INPUT)


@pytest.mark.parametrize("ports", [(22, 23), (23, 22), (21, 23, 22), (22, 24, 23, 21)])
def test_ports_beside_each_other_are_each_decided_in_whatever_order_their_rules_stand(ports):
    ruleset = rules(*(f"-A INPUT -p tcp --dport {port} -j ACCEPT" for port in ports))
    allowed = [group.text() for group in accepted(ruleset, INPUT).sets(ALLOWED)]
    assert allowed == [f"tcp {min(ports)}:{max(ports)} from any to any"]


def test_two_families_cannot_be_compared():
    with pytest.raises(ValueError, match="got IPv4 and IPv6, expected one family"):
        difference(rules(), rules(family=6), INPUT)


def test_telling_a_change_ends_in_its_time_as_well():
    anything = (None,) * len(FIELDS)
    late = _Widened(Diagram(SERVICES_FIRST, [(0, 1)] * len(FIELDS), Budget(seconds=-1)), frozenset())
    with pytest.raises(TooComplex):
        late.add(anything, anything, frozenset(), None)


@pytest.mark.parametrize("port", [20, 22, 30])
def test_a_set_within_another_is_not_told_twice(port):
    old = [f"-A INPUT -p tcp --dport {port} -j DROP", "-A INPUT -p udp -j DROP"]
    new = ["-A INPUT -s 10.9.0.0/16 -p tcp --dport 20:30 -j ACCEPT", *old]
    found = difference(rules(*old), rules(*new), INPUT)
    assert [change.packets.text() for change in found.opened] == ["tcp 20:30 from 10.9.0.0/16 to any"]
    assert not found.closed


@pytest.mark.parametrize(("below", "ports"), [("5", "udp"), ("16", "tcp"), ("32", "udp")])
def test_ports_are_told_of_protocols_that_have_ports_alone(below, ports):
    """A rule on a protocol just below one with ports cuts off a range that begins with it and goes on to ones without."""
    base = [f"-A INPUT -p {below} -j DROP", f"-A INPUT -p {ports} -m {ports} --dport 53 -j DROP"]
    found = difference(rules(*base), rules(*base, "-A INPUT -s 192.0.2.1 -j ACCEPT"), INPUT)
    assert [change.packets.text() for change in found.opened if change.packets.sides[DPORT]] == [
        f"{ports} any but 53 from 192.0.2.1 to any"
    ]


def test_where_every_usual_interface_is_ruled_out_the_witness_has_another_name():
    taken = ["-A INPUT -i eth0 -j DROP", "-A INPUT -i eth1 -j DROP"]
    (change,) = difference(rules(*taken), rules(*taken, "-A INPUT -j ACCEPT"), INPUT).opened
    assert change.witness.text(4) == "tcp 9 from 192.0.2.1 port 40000 to 192.0.2.2 in on 0"


def test_segments_of_a_comparison_are_spent_and_end_it():
    """Two rulesets in the segments of both: more than either has."""
    ports = range(100, 4000, 100)
    programs = [
        unfold(rules(*(f"-A INPUT -p tcp --dport {port + add} -j ACCEPT" for port in ports)), INPUT, budget=Budget())
        for add in (0, 50)
    ]
    old, new = (Cells(program, SERVICES_FIRST) for program in programs)
    old.budget.spent = 0
    _compared(old, new)
    assert old.budget.spent > 4 * len(ports)
    old.budget.spent, old.budget.segments = 0, 3 * len(ports)
    with pytest.raises(TooComplex):
        _compared(old, new)


@pytest.mark.parametrize(("opened", "closed"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_difference_is_true_where_anything_changes(opened, closed):
    old = ["-A INPUT -p udp -j ACCEPT"] if closed else []
    new = ["-A INPUT -p tcp -j ACCEPT"] if opened else []
    found = difference(rules(*old), rules(*new), INPUT)
    assert (bool(found.opened), bool(found.closed)) == (opened, closed)
    assert bool(found) == (opened or closed)


def box(**sides):
    names = {"proto": PROTO, "src": SRC, "dport": DPORT}
    found = [None] * len(FIELDS)
    for name, side in sides.items():
        found[names[name]] = side
    return tuple(found)


def test_large_sets_come_first():
    universe = [(0, (1 << 16) - 1)] * len(FIELDS)
    one, two = ((7, 7),), ((7, 8),)
    boxes = [box(src=one, dport=one), box(src=two, dport=one), box(src=two, dport=two), box(dport=one), box()]
    for order in (boxes, boxes[::-1]):
        assert [part for _leaf, part in _largest_first(enumerate(order), universe)] == boxes[::-1]


@pytest.mark.parametrize("port", [((22, 22),), ((20, 30),), None])
def test_a_set_that_lies_in_a_wider_one_is_swallowed(port):
    sets = _Widened(Diagram(SERVICES_FIRST, [(0, 1)] * len(FIELDS), Budget()), frozenset())
    wide = box(src=((0, 9),), dport=port)
    (sets.single if port == ((22, 22),) else sets.wider).setdefault(port, []).append(wide)
    assert sets.swallowed(box(src=((1, 2),), dport=((22, 22),)))
    assert not sets.swallowed(wide) and not sets.swallowed(box(src=((1, 20),), dport=((22, 22),)))


def test_the_witness_of_what_is_translated_was_sent_to_the_same_port_where_the_port_is_free():
    question = INPUT._replace(translated=True)
    (change,) = difference(rules(), rules("-A INPUT -p tcp --dport 22 -j ACCEPT"), question).opened
    assert (change.witness.dport, change.witness.oport) == (22, 22)
    assert change.witness.odst == change.witness.dst
    words = "-p tcp --dport 22 -m conntrack --ctorigdstport 8022"
    (change,) = difference(rules(), rules(f"-A INPUT {words} -j ACCEPT"), question).opened
    assert (change.witness.dport, change.witness.oport) == (22, 8022)


def test_neighbours_that_are_equal_are_one_segment():
    diagram = Diagram(SERVICES_FIRST, [(0, 9)] * len(FIELDS), Budget())
    one, other = diagram.leaf("one"), diagram.leaf("other")
    assert diagram.make(3, [4, 9], [one, one]) == one
    assert diagram.nodes[diagram.make(3, [2, 4, 9], [one, one, other])] == (3, (4, 9), (one, other))
    assert diagram.make(3, [2, 4, 9], [one, one, other]) == diagram.make(3, [4, 9], [one, other])
