# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gains and who loses between two policies: held against the evaluator, which knows nothing of the comparison."""

from __future__ import annotations

import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.compare import OWN, REST, changes
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import OTHER_TAG, OTHER_USER, Policy
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import network

ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
NAMES = {
    "groups": {"group:admins": [ALICE, BOB]},
    "tagOwners": {"tag:web": [], "tag:db": []},
    "hosts": {"portal": "10.0.3.4", "lan": "10.0.3.0/24"},
}


def grant(src, dst, ip="*", **more):
    return {"src": src.split(), "dst": dst.split(), "ip": ip.split(), **more}


def compared(before, after, dialect="headscale"):
    """The lines of gains and losses between two lists of grants, or two whole documents."""
    one, other = ({**NAMES, **({"grants": each} if isinstance(each, list) else each)} for each in (before, after))
    gains, losses = changes(read(one, dialect, allow_all=True), read(other, dialect, allow_all=True))
    return [str(change) for change in gains], [str(change) for change in losses]


@pytest.mark.parametrize(
    ("before", "after", "gains", "losses"),
    [
        ([], [grant(ALICE, "tag:web", "tcp:22")], [f"{ALICE} -> tag:web: tcp:22"], []),
        ([grant(ALICE, "tag:web", "tcp:22")], [], [], [f"{ALICE} -> tag:web: tcp:22"]),
        ([grant(ALICE, "tag:web", "22")], [grant(ALICE, "tag:web", "tcp:22 udp:22")], [], []),
        ([grant(f"{ALICE} {BOB}", "tag:web", "22")], [grant("group:admins", "tag:web", "22")], [], []),
        ([grant(ALICE, "lan", "22")], [grant(ALICE, "10.0.3.0/25 10.0.3.128/25", "22")], [], []),
        (
            [grant(ALICE, "tag:web", "tcp:20-30")],
            [grant(ALICE, "tag:web", "tcp:22-40")],
            [f"{ALICE} -> tag:web: tcp:31-40"],
            [f"{ALICE} -> tag:web: tcp:20-21"],
        ),
        (
            [grant("group:admins", "tag:web")],
            [grant("group:admins", "tag:web tag:db")],
            [f"{ALICE}, {BOB} -> tag:db: *"],
            [],
        ),
        (
            [grant(ALICE, "portal", "443")],
            [grant(ALICE, "lan", "443")],
            [f"{ALICE} -> 10.0.3.0/30, 10.0.3.5-10.0.3.255: 443"],
            [],
        ),
        (
            [grant(ALICE, "tag:web", "tcp:*")],
            [grant(ALICE, "tag:web", "*")],
            [f"{ALICE} -> tag:web: udp:* icmp:* ipv6-icmp:*"],
            [],
        ),
        (
            [grant(ALICE, "lan", "22")],
            [grant(ALICE, "lan", "22", via=["tag:web"])],
            [],
            [f"{ALICE} -> 10.0.3.0/30, 10.0.3.4, 10.0.3.5-10.0.3.255: 22 except via tag:web"],
        ),
    ],
)
def test_a_change_is_who_gains_and_who_loses(before, after, gains, losses):
    found = compared(before, after)
    assert found == (gains, losses)
    assert compared(after, before) == (found[1], found[0])


def test_the_same_policy_in_other_words_is_no_change():
    acl = {"acls": [{"action": "accept", "proto": "tcp", "src": ["group:admins"], "dst": ["tag:web:22", "portal:443"]}]}
    assert compared(
        acl, [grant("group:admins", "tag:web", "tcp:22"), grant(f"{BOB} {ALICE}", "10.0.3.4", "tcp:443")]
    ) == ([], [])


def test_everybody_is_said_to_lose_what_a_policy_without_rules_had_allowed():
    gains, losses = compared({}, [grant(ALICE, "tag:web", "tcp:22")])
    assert gains == []
    text = "\n".join(losses)
    assert OTHER_USER in text and OTHER_TAG in text and REST["internet"] in text and "any protocol" in text
    gains, losses = compared([], {})
    assert losses == [] and "any protocol" in "\n".join(gains)


def test_others_than_those_mentioned_are_named_as_such():
    gains, _losses = compared([], [grant("autogroup:member", "tag:web", "443")])
    assert gains == [f"{ALICE}, {OTHER_USER}, {BOB} -> tag:web: 443"]
    gains, _losses = compared(
        [grant("autogroup:member", "autogroup:member")], [grant("autogroup:member", "autogroup:self autogroup:member")]
    )
    assert gains == []
    gains, losses = compared(
        [grant("autogroup:member", "autogroup:self")], [grant("autogroup:member", "autogroup:member")]
    )
    assert losses == [] and OWN not in "\n".join(gains)


def test_rights_that_are_no_packets_are_compared_too():
    before = {"grants": [], "ssh": [{"action": "check", "src": [ALICE], "dst": ["tag:web"], "users": ["ops"]}]}
    after = {
        "grants": [grant(ALICE, "tag:web", "22", app={"example.com/cap/x": [{"may": "all"}]})],
        "ssh": [{"action": "accept", "src": [ALICE], "dst": ["tag:web", "autogroup:self"], "users": ["ops"]}],
        "tagOwners": {"tag:web": ["group:admins"], "tag:db": ["tag:web"]},
        "autoApprovers": {"routes": {"10.0.3.0/24": ["tag:web"]}, "exitNode": [BOB]},
    }
    gains, losses = compared(before, after)
    assert losses == [f"{ALICE} -> tag:web: ssh as ops after a check"]
    assert gains == [
        f"{ALICE} -> {ALICE}: ssh as ops",
        f"{ALICE} -> tag:web: 22 app example.com/cap/x [{{'may': 'all'}}] give a device the tag ssh as ops",
        f"{BOB} -> autogroup:internet: be an exit node without approval",
        f"{BOB} -> tag:web: give a device the tag",
        "tag:web -> 10.0.3.0/24: route without approval",
        "tag:web -> tag:db: give a device the tag",
    ]


def test_a_posture_narrows_what_it_is_put_on():
    gains, losses = compared(
        [grant(ALICE, "tag:web", "22")], [grant(ALICE, "tag:web", "22", srcPosture=["posture:safe"])], "tailscale"
    )
    assert losses == [f"{ALICE} -> tag:web: 22 except with posture:safe"]
    assert gains == []


WHO = [
    ALICE,
    BOB,
    CAROL,
    "group:admins",
    "tag:web",
    "tag:db",
    "autogroup:member",
    "autogroup:tagged",
    "*",
    "portal",
    "10.0.3.0/24",
]
WHERE = [*WHO, "10.0.0.0/8", "autogroup:internet"]
PORTS = ["*", "22", "tcp:22", "udp:53", "tcp:80-90", "tcp:85-443", "443", "gre:*"]
# What is asked about: identities, others, and addresses at the edges of what is named.
ASKED = [
    ALICE,
    BOB,
    CAROL,
    "dora@example.com",
    "tag:web",
    "tag:db",
    "10.0.3.4",
    "10.0.3.5",
    "10.0.4.1",
    "1.1.1.1",
    "172.16.0.1",
]
PACKETS = [
    ("tcp", 22),
    ("udp", 22),
    ("udp", 53),
    ("tcp", 84),
    ("tcp", 85),
    ("tcp", 91),
    ("tcp", 443),
    ("tcp", 444),
    ("gre", None),
]
# What stands for one that no rule names.
SHOWN = {
    CAROL: OTHER_USER,
    "dora@example.com": OTHER_USER,
    "10.0.4.1": REST["private"],
    "1.1.1.1": REST["internet"],
    "172.16.0.1": REST["private"],
}


def some_grants(rng):
    return [
        grant(
            " ".join(rng.sample(WHO, rng.randint(1, 2))),
            " ".join(rng.sample(WHERE, rng.randint(1, 2))),
            " ".join(rng.sample(PORTS, rng.randint(1, 2))),
        )
        for _number in range(rng.randint(0, 4))
    ]


def holds(change, source, destination, proto, port, text):
    """Whether a line of a comparison is about this packet, read in the line's own words."""
    if not (_among(source, change.sources, text) and _among(destination, change.destinations, text)):
        return False
    for word in change.allow:
        name, colon, ports = word.rpartition(":")
        if word == "any protocol" or (name == proto if colon else proto in ("tcp", "udp")):
            if word == "any protocol" or port is None or ports == "*":
                return True
            if any(int(part.split("-")[0]) <= port <= int(part.split("-")[-1]) for part in ports.split(",")):
                return True
    return False


def _among(asked, names, text):
    named = asked in text or (asked == "10.0.4.1" and "10.0.0.0/8" in text)
    for name in names:
        if name == asked or (name == SHOWN.get(asked) and not named):
            return True
        if asked[0].isdigit() and name[0].isdigit():
            first, _dash, last = name.partition("-")
            low, high, one = network(first), network(last or first), network(asked)
            if low.first <= one.first <= high.last:
                return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_gains_and_losses_are_exactly_what_the_evaluator_answers_differently(seed):
    rng = random.Random(seed)
    one, other = ({**NAMES, "grants": some_grants(rng)} for _number in range(2))
    gains, losses = changes(read(one), read(other))
    before, after = Policy(one), Policy(other)
    for source in ASKED:
        for destination in ASKED:
            for proto, port in PACKETS:
                was, is_now = (each.allows(source, destination, proto, port) for each in (before, after))
                question = (source, destination, proto, port, str([one, other]))
                assert any(holds(change, *question) for change in gains) == (is_now and not was), question
                assert any(holds(change, *question) for change in losses) == (was and not is_now), question
