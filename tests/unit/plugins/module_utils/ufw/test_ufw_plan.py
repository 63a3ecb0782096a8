# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import merge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import merge_families
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import export_rules


def rule(name, action="allow", **more):
    """A rule that is told from others by its port."""
    return Rule(action, "tcp", str(ord(name)), "0.0.0.0/0", "any", "0.0.0.0/0", **more)


def merged(current, listed):
    result = merge([rule(name) for name in current], [rule(name) for name in listed])
    return "".join(chr(int(one.dport)) for one in result)


@pytest.mark.parametrize(
    ("current", "listed", "result"),
    [
        ("", "ab", "ab"),
        ("xy", "ab", "xyab"),
        ("ab", "ab", "ab"),
        ("axb", "ab", "axb"),
        ("axb", "ba", "bxa"),
        ("axbyc", "cab", "cxayb"),
        ("axb", "anb", "axnb"),
        ("axb", "nab", "naxb"),
        ("axb", "abn", "axbn"),
        ("xa", "mna", "xmna"),
        ("xab", "bna", "xbna"),
        ("xyz", "", "xyz"),
        ("aax", "a", "ax"),
    ],
)
def test_listed_rules_go_into_the_current_ones_in_their_order_and_others_stay(current, listed, result):
    assert merged(current, listed) == result
    assert merged(result, listed) == result, "a second run must change nothing"


def test_a_rule_of_the_same_match_is_replaced_where_it_stands():
    assert merge([rule("a"), rule("b"), rule("c")], [rule("b", "deny", comment="x")]) == [
        rule("a"),
        rule("b", "deny", comment="x"),
        rule("c"),
    ]


def test_the_old_ports_of_a_listed_profile_are_replaced_by_its_new_ones():
    old = [rule("a", dapp="Web"), rule("b", dapp="Web"), rule("c")]
    new, other = rule("d", dapp="Web"), rule("a", dapp="Other")
    assert merge(old, [new], {new.app_match}) == [new, rule("c")]
    assert merge(old, [other], {other.app_match}) == [*old, other]


def test_a_single_port_of_a_profile_leaves_the_profiles_other_ports_alone():
    old = [rule("a", dapp="Web"), rule("b", dapp="Web")]
    assert merge(old, [rule("b", "deny", dapp="Web")]) == [old[0], rule("b", "deny", dapp="Web")]


def test_first_goes_before_what_is_not_listed_and_comes_from_wherever_it_is():
    x, a, b, n = (rule(name) for name in "xabn")
    assert merge([x, a, b], [b, n], (), [b]) == [b, x, a, n]
    assert merge([x, a, b], [n, b], (), [n, b]) == [n, b, x, a]
    assert merge([b, x, a, n], [b, n], (), [b]) == [b, x, a, n], "a second run must change nothing"


def v6(one):
    return one._replace(src="::/0", dst="::/0")


def pairs(first, second):
    """Both families' rules by name -> the merged list, an upper-case letter for a rule of both."""
    four, six = [rule(name) for name in first], [v6(rule(name)) for name in second]
    names = []
    for a, b in merge_families(four, six, {one: one._replace(src="0.0.0.0/0", dst="0.0.0.0/0") for one in six}):
        letter = chr(int((a or b).dport))
        names.append(letter.upper() if a and b else letter + ("4" if a else "6"))
    return " ".join(names)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("ab", "ab", "A B"),
        ("axb", "ab", "A x4 B"),
        ("ab", "ayb", "A y6 B"),
        ("ab", "ba", "b6 A b4"),
        ("", "ab", "a6 b6"),
        ("ab", "", "a4 b4"),
        ("abc", "cab", "c6 A B c4"),
    ],
)
def test_both_families_are_shown_as_one_list_that_keeps_the_order_of_each(first, second, result):
    assert pairs(first, second) == result


def test_the_export_writes_the_family_only_where_a_rule_without_an_address_is_in_one_alone():
    def items(*args):
        return [exported.item for exported in export_rules(*args, dict)]

    assert items([rule("a"), rule("b")], [v6(rule("a")), v6(rule("c"))], True) == [
        {"rule": "allow", "proto": "tcp", "to_port": "97"},
        {"rule": "allow", "proto": "tcp", "from_ip": "0.0.0.0/0", "to_port": "98"},
        {"rule": "allow", "proto": "tcp", "from_ip": "::/0", "to_port": "99"},
    ]
    assert items([rule("a")], [], False) == [{"rule": "allow", "proto": "tcp", "to_port": "97"}]
    igmp = rule("a")._replace(proto="igmp", dport="any")
    assert items([igmp], [], True) == [{"rule": "allow", "proto": "igmp"}]
