# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who reaches whom by a policy, said from the document alone."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import OTHER_TAG, OTHER_USER, Node, Policy
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Unusable

ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
NAMES = {
    "groups": {"group:admins": [ALICE, BOB], "group:none": []},
    "tagOwners": {"tag:web": [], "tag:db": [], "tag:gw": []},
    "hosts": {"portal": "10.0.3.4", "lan": "10.0.3.0/24"},
}


def policy(*grants, **more):
    return Policy({**NAMES, "grants": list(grants), **more})


def grant(src, dst, ip="*", **more):
    return {"src": src.split(), "dst": dst.split(), "ip": ip.split(), **more}


# A grant, who asks what, and the answer.
CASES = [
    (grant(ALICE, "tag:web", "tcp:22"), (ALICE, "tag:web", "tcp", 22), True),
    (grant(ALICE, "tag:web", "tcp:22"), (BOB, "tag:web", "tcp", 22), False),
    (grant(ALICE, "tag:web", "tcp:22"), (ALICE, "tag:db", "tcp", 22), False),
    (grant(ALICE, "tag:web", "tcp:22"), (ALICE, "tag:web", "tcp", 23), False),
    (grant(ALICE, "tag:web", "tcp:22"), (ALICE, "tag:web", "udp", 22), False),
    (grant(ALICE, "tag:web", "tcp:22"), ("tag:web", ALICE, "tcp", 22), False),
    (grant("group:admins", "tag:web", "22"), (BOB, "tag:web", "udp", 22), True),
    (grant("group:admins", "tag:web", "22"), ("group:admins", "tag:web", "tcp", 22), True),
    (grant(ALICE, "tag:web", "22"), ("group:admins", "tag:web", "tcp", 22), False),
    (grant("*", "tag:web", "22"), ("group:none", "tag:web", "tcp", 22), False),
    (grant("tag:web", "tag:db", "tcp:5432"), ("tag:web", "tag:db", "tcp", 5432), True),
    (grant("autogroup:member", "tag:web"), (CAROL, "tag:web", "tcp", 1), True),
    (grant("autogroup:member", "tag:web"), ("tag:db", "tag:web", "tcp", 1), False),
    (grant("autogroup:tagged", "tag:web"), ("tag:db", "tag:web", "tcp", 1), True),
    (grant("autogroup:tagged", "tag:web"), (ALICE, "tag:web", "tcp", 1), False),
    (grant("group:admins", "tag:web"), ("autogroup:member", "tag:web", "tcp", 1), False),
    (grant("*", "tag:web"), ("autogroup:member", "tag:web", "tcp", 1), True),
    (grant("*", "*"), ("*", "*", "tcp", 1), False),  # an address outside of the tailnet is not in * as a source
    (grant("autogroup:member autogroup:tagged", "*"), ("autogroup:member", "*", "tcp", 1), True),
    (grant("*", "*"), ("192.0.2.1", "tag:web", "tcp", 1), False),
    (grant("*", "*"), ("100.64.0.9", "tag:web", "tcp", 1), True),
    (grant("*", "*"), ("100.115.92.7", "tag:web", "tcp", 1), False),
    (grant("autogroup:danger-all", "*"), ("192.0.2.1", "tag:web", "tcp", 1), True),
    (grant("autogroup:member", "autogroup:self", "22"), (ALICE, ALICE, "tcp", 22), True),
    (grant("autogroup:member", "autogroup:self", "22"), (ALICE, BOB, "tcp", 22), False),
    (grant("autogroup:member", "autogroup:self", "22"), (ALICE, "autogroup:self", "tcp", 22), True),
    (grant("autogroup:member", "autogroup:self", "22"), ("tag:web", "tag:web", "tcp", 22), False),
    (grant("tag:web", "tag:web", "22"), ("tag:web", "tag:web", "tcp", 22), True),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "autogroup:internet", "tcp", 443), True),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "1.1.1.1", "tcp", 443), True),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "10.0.3.4", "tcp", 443), False),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "100.64.0.1", "tcp", 443), False),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "tag:web", "tcp", 443), False),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "2606:4700::1", "tcp", 443), True),
    (grant(ALICE, "autogroup:internet", "443"), (ALICE, "fd00::1", "tcp", 443), False),
    (grant(ALICE, "*", "443"), (ALICE, "autogroup:internet", "tcp", 443), True),
    (grant(ALICE, "lan", "443"), (ALICE, "portal", "tcp", 443), True),
    (grant(ALICE, "portal", "443"), (ALICE, "lan", "tcp", 443), False),
    (grant(ALICE, "10.0.3.0/25 10.0.3.128/25", "443"), (ALICE, "lan", "tcp", 443), True),
    (grant(ALICE, "10.0.3.0/25", "443"), (ALICE, "10.0.3.0/24", "tcp", 443), False),
    (grant("portal", "tag:web", "443"), ("10.0.3.4", "tag:web", "tcp", 443), True),
    (grant("portal", "tag:web", "443"), ("lan", "tag:web", "tcp", 443), False),
    (grant(ALICE, "lan", "443", via=["tag:gw"]), (ALICE, "portal", "tcp", 443), True),
    (grant(ALICE, "*", "443", via=["tag:gw"]), (ALICE, "tag:web", "tcp", 443), False),
    (grant(ALICE, "tag:web", "22"), (ALICE, "tag:web", "sctp", 22), False),
    (grant(ALICE, "tag:web", "sctp:22"), (ALICE, "tag:web", "sctp", 22), True),
    (grant(ALICE, "tag:web", "22"), (ALICE, "tag:web", "icmp", None), True),
    (grant(ALICE, "tag:web", "22"), (BOB, "tag:web", "icmp", None), False),
    (grant(ALICE, "tag:web", "gre:*"), (ALICE, "tag:web", 47, None), True),
    (grant(ALICE, "tag:web", "*"), (ALICE, "tag:web", "gre", None), False),
    (grant(ALICE, "tag:web", "tcp:80-90,443"), (ALICE, "tag:web", "tcp", 90), True),
    (grant(ALICE, "tag:web", "tcp:80-90,443"), (ALICE, "tag:web", "tcp", 91), False),
    (grant(ALICE, "group:admins", "22"), (ALICE, BOB, "tcp", 22), True),
    (grant("alice@", "tag:web", "22"), ("alice@", "tag:web", "tcp", 22), True),
    (grant(ALICE, "tag:web", app={"example.com/cap/x": [{}]}), (ALICE, "tag:web", "tcp", 22), True),
]


@pytest.mark.parametrize(("rule", "question", "answer"), CASES)
def test_a_grant_allows_what_it_says_and_nothing_else(rule, question, answer):
    assert policy(rule).allows(*question) is answer
    assert not policy().allows(*question)


def test_an_acl_means_what_the_same_grant_means():
    acl = {"action": "accept", "proto": "tcp", "src": ["group:admins"], "dst": ["tag:web:22", "portal:443"]}
    found = Policy({**NAMES, "acls": [acl]})
    assert found.allows(ALICE, "tag:web", "tcp", 22)
    assert found.allows(ALICE, "portal", "tcp", 443)
    assert not found.allows(ALICE, "portal", "tcp", 22)
    assert not found.allows(ALICE, "tag:web", "udp", 22)


def test_rules_add_up_and_never_take_away():
    both = policy(grant(ALICE, "tag:web", "22"), grant(BOB, "tag:web", "22"))
    assert both.allows("group:admins", "tag:web", "tcp", 22)


def test_a_policy_without_rules_allows_everything():
    found = Policy(read({"groups": {}}, allow_all=True))
    assert found.allows("10.0.0.1", "tag:web", "tcp", 22)


def test_some_is_less_than_all():
    found = policy(grant(ALICE, "10.0.3.0/25", "443"))
    assert found.touches("group:admins", "lan", "tcp", 443)
    assert not found.allows("group:admins", "lan", "tcp", 443)
    assert not found.touches(BOB, "lan", "tcp", 443)


def test_others_than_those_mentioned_are_asked_for_by_name():
    found = policy(grant("autogroup:member", "tag:web", "22"), grant(ALICE, "tag:db", "22"))
    assert OTHER_USER in [atom.name for atom in found.people()]
    assert OTHER_TAG in [atom.name for atom in found.tagged()]
    assert {atom.name for atom in found.atoms("autogroup:member")} == {ALICE, BOB, OTHER_USER}


def test_a_rule_for_an_address_reaches_the_node_that_has_it():
    nodes = [
        Node("laptop", ALICE, (), ("100.64.0.1",)),
        Node("web1", None, ("tag:web", "tag:gw"), ("100.64.0.2", "fd7a:115c:a1e0::2")),
    ]
    plain = {**NAMES, "grants": [grant("100.64.0.1", "tag:gw", "22")]}
    found = Policy(plain, nodes)
    assert found.allows(ALICE, "tag:web", "tcp", 22)
    assert not found.allows("tag:web", ALICE, "tcp", 22)
    assert found.allows("100.64.0.1", "100.64.0.2", "tcp", 22)
    assert not Policy(plain).allows(ALICE, "tag:web", "tcp", 22)


def test_a_star_as_source_has_the_approved_routes():
    rule = grant("*", "tag:web", "22")
    assert policy(rule, autoApprovers={"routes": {"10.0.3.0/24": ["tag:gw"]}}).allows("10.0.3.9", "tag:web", "tcp", 22)
    assert not policy(rule).allows("10.0.3.9", "tag:web", "tcp", 22)


def test_the_documents_own_tests_are_run():
    tests = [
        {"src": "tag:web", "proto": "tcp", "accept": ["tag:db:5432", "tag:db:22"], "deny": ["portal:22"]},
        {"src": ALICE, "deny": ["tag:db:5432"]},
        {"src": "group:none", "deny": ["tag:db:5432"]},
        {"src": "tag:web", "proto": "udp", "accept": ["tag:db:5432"]},
    ]
    found = policy(grant("tag:web", "tag:db", "tcp:5432"), grant(ALICE, "tag:db", "*"), tests=tests)
    assert list(map(str, found.failures())) == [
        "policy.tests[0]: tag:web -> tag:db:22: expected accept, got deny",
        f"policy.tests[1]: {ALICE} -> tag:db:5432: expected deny, got accept",
        "policy.tests[2]: group:none -> tag:db:5432: expected deny, got no device",
        "policy.tests[3]: tag:web -> tag:db:5432: expected accept, got deny",
    ]


#: What a device with tag:gw as well may do and be reached at, in packets and in logins.
FURTHER = {
    "grants": [grant("tag:gw", "tag:db", "tcp:5432"), grant(ALICE, "tag:gw", "tcp:80"), grant(BOB, "tag:db")],
    "ssh": [{"action": "check", "src": ["tag:gw"], "dst": ["tag:db"], "users": ["ops"]}],
    "tests": [
        {"src": "tag:web", "proto": "tcp", "accept": ["tag:db:5432", "tag:db:22"], "deny": ["tag:db:5432"]},
        {"src": ALICE, "proto": "tcp", "accept": ["tag:db:80", f"{ALICE}:80"]},
        {"src": "tag:gw", "proto": "tcp", "deny": ["tag:db:5432"]},
        {"src": BOB, "proto": "tcp", "deny": ["tag:db:22"]},
    ],
    "sshTests": [
        {"src": "tag:web", "dst": ["tag:db"], "accept": ["ops", "root"], "check": ["ops"], "deny": ["ops"]},
        {"src": "tag:gw", "dst": ["tag:db"], "deny": ["ops"]},
    ],
}
SURE = [
    "policy.tests[0]: tag:web -> tag:db:22: expected accept, got deny",
    f"policy.tests[1]: {ALICE} -> {ALICE}:80: expected accept, got deny",
    "policy.tests[2]: tag:gw -> tag:db:5432: expected deny, got accept",
    f"policy.tests[3]: {BOB} -> tag:db:22: expected deny, got accept",
    "policy.sshTests[0]: tag:web -> root on tag:db: expected accept, got deny",
    "policy.sshTests[1]: tag:gw -> ops on tag:db: expected deny, got check",
]


def test_what_a_further_tag_of_a_device_may_let_through_is_left_to_the_server_that_knows_the_devices():
    """Rules only add: a test for a denial fails whatever else a device has, one for access where nothing that it may have helps."""
    assert list(map(str, policy(**FURTHER).failures())) == SURE


def test_where_the_devices_are_known_their_tags_are_those_that_they_have():
    nodes = [
        Node(name, None, (f"tag:{name}",), (f"100.64.0.{number}",))
        for number, name in enumerate(["web", "db", "gw"], 1)
    ]
    nodes += [Node("alice1", ALICE, (), ("100.64.0.4",)), Node("bob1", BOB, (), ("100.64.0.5",))]
    found = list(map(str, Policy({**NAMES, **FURTHER}, nodes).failures()))
    assert set(SURE) < set(found)
    assert set(found) - set(SURE) == {
        "policy.tests[0]: tag:web -> tag:db:5432: expected accept, got deny",
        f"policy.tests[1]: {ALICE} -> tag:db:80: expected accept, got deny",
        "policy.sshTests[0]: tag:web -> ops on tag:db: expected accept, got deny",
        "policy.sshTests[0]: tag:web -> ops on tag:db: expected check, got deny",
    }


SSH = [
    {"action": "accept", "src": ["group:admins"], "dst": ["tag:web"], "users": ["ops", "autogroup:nonroot"]},
    {"action": "check", "src": [ALICE], "dst": ["tag:web", "tag:db"], "users": ["root"]},
    {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["localpart:*@example.com"]},
]


@pytest.mark.parametrize(
    ("source", "destination", "user", "way"),
    [
        (ALICE, "tag:web", "ops", "accept"),
        (BOB, "tag:web", "www", "accept"),
        (BOB, "tag:web", "root", ""),
        (ALICE, "tag:web", "root", "check"),
        ("group:admins", "tag:web", "root", ""),
        (CAROL, "tag:web", "ops", ""),
        (ALICE, "tag:db", "ops", ""),
        (CAROL, CAROL, "carol", "accept"),
        (CAROL, CAROL, "root", ""),
        (CAROL, ALICE, "carol", ""),
    ],
)
def test_who_logs_in_where_as_whom(source, destination, user, way):
    assert policy(ssh=SSH).ssh(source, destination, user) == way


def test_the_tests_of_logins_are_run():
    tests = [{"src": ALICE, "dst": ["tag:web"], "accept": ["ops", "root"], "check": ["ops"], "deny": ["root"]}]
    assert list(map(str, policy(ssh=SSH, sshTests=tests).failures())) == [
        f"policy.sshTests[0]: {ALICE} -> root on tag:web: expected deny, got check",
        f"policy.sshTests[0]: {ALICE} -> ops on tag:web: expected check, got accept",
    ]


@pytest.mark.parametrize("text", ["", "tag:", "fd7a::1%eth0", "host/24", "x:y"])
def test_a_question_about_no_endpoint_is_an_error_and_no_answer(text):
    with pytest.raises(Unusable):
        policy().allows(text, "tag:web", "tcp", 22)
