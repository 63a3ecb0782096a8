# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tailnet policy is read whole, and every mistake is said at once with its key path."""

from __future__ import annotations

import copy

import pytest
from tailnet_documents import WHOLE, WRONG

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.compare import changes
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import mistakes_of, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import Policy


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
def test_a_whole_policy_is_read_in_both_dialects(dialect):
    found = read(WHOLE, dialect)
    assert found.groups == {"group:admins": ("alice@example.com", "bob@example.com")}
    assert str(found.hosts["lan"]) == "10.0.3.0/24"
    assert [rule.path for rule in found.rules] == [
        "policy.acls[0]",
        "policy.grants[0]",
        "policy.grants[1]",
        "policy.grants[2]",
    ]
    assert found.rules[0].targets[0].traffic[0].ports == ((22, 22), (80, 90))
    assert found.rules[2].via == ("tag:gw",)
    assert found.others == {"nodeAttrs": WHOLE["nodeAttrs"]}


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
@pytest.mark.parametrize(("change", "path", "kind"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_each_mistake_is_named_by_its_key_path(change, path, kind, dialect):
    found = mistakes_of({**copy.deepcopy(WHOLE), **change}, dialect)
    assert (path, kind) in [(mistake.path, mistake.kind) for mistake in found]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"postures": {"posture:x": []}}, "policy.postures"),
        ({"ipsets": {}}, "policy.ipsets"),
        (
            {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:x"]}]},
            "policy.grants[0].srcPosture",
        ),
        ({"grants": [{"src": ["*"], "dst": ["ipset:x"], "ip": ["*"]}]}, "policy.grants[0].dst[0]"),
        ({"grants": [{"src": ["*"], "dst": ["svc:x"], "ip": ["*"]}]}, "policy.grants[0].dst[0]"),
        ({"grants": [{"src": ["autogroup:admin"], "dst": ["*"], "ip": ["*"]}]}, "policy.grants[0].src[0]"),
        ({"nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}]}, "policy.nodeAttrs[0].attr[0]"),
        ({"nodeAttrs": [{"target": ["*"], "ipPool": ["100.81.0.0/16"]}]}, "policy.nodeAttrs[0].ipPool"),
    ],
)
def test_what_headscale_has_not_is_said_before_it_refuses(change, path):
    plain = {**copy.deepcopy(WHOLE), **change}
    assert (path, "unsupported") in [(mistake.path, mistake.kind) for mistake in mistakes_of(plain, "headscale")]
    assert mistakes_of(plain, "tailscale") == ()


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
@pytest.mark.parametrize(
    "rules", [{}, {"acls": None}, {"grants": None}, {"acls": None, "grants": None}, {"ACLs": None}]
)
def test_a_policy_without_rules_allows_everything_and_is_refused(rules, dialect):
    (mistake,) = mistakes_of({"groups": {}, **rules}, dialect)
    assert (mistake.path, mistake.kind) == ("policy", "allow-all")
    assert read({"groups": {}, **rules}, dialect, allow_all=True).allows_all


@pytest.mark.parametrize("rules", [{"acls": []}, {"grants": []}, {"acls": None, "grants": []}, {"ACLS": []}])
def test_an_empty_list_of_rules_denies_all_and_is_taken(rules):
    found = read(rules)
    assert found.rules == ()
    assert not found.allows_all


def test_all_mistakes_of_a_document_come_at_once():
    plain = {
        "acls": [{"action": "no", "src": ["group:a", "tag:b"], "dst": ["host:99999"]}],
        "hosts": {"a": 1},
        "grant": [],
    }
    with pytest.raises(Refused) as refused:
        read(plain)
    assert {mistake.path for mistake in refused.value.mistakes} == {
        "policy.grant",
        "policy.hosts.a",
        "policy.acls[0].action",
        "policy.acls[0].src[0]",
        "policy.acls[0].src[1]",
        "policy.acls[0].dst[0]",
    }


@pytest.mark.parametrize("plain", [None, [], "text", 5, {"acls": {"a": 1}}, {"groups": []}, {1: 2}, {"tests": [None]}])
def test_a_document_of_another_shape_is_refused_without_a_crash(plain):
    assert mistakes_of(plain, "headscale")


def test_what_a_document_says_is_made_visible_in_a_message():
    (mistake, *_rest) = mistakes_of({"acls": [], "hosts": {"a\x1b[2J": "\x1b]0;x\x07" * 200}}, "headscale")
    assert str(mistake).isprintable()
    assert len(str(mistake)) < 600


def test_the_old_names_of_an_acl_are_read_in_the_hosted_dialect_alone():
    plain = {"ACLs": [{"Action": "accept", "Users": ["*"], "Ports": ["*:22"]}]}
    assert read(plain, "tailscale").rules[0].targets[0].endpoint.text == "*"
    assert {mistake.kind for mistake in mistakes_of(plain, "headscale")} >= {"unknown"}


JUNK = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "*",
    "x",
    "tag:",
    "tag:web",
    "a@b",
    "[",
    "[::1]:",
    "1.2.3.4/33",
    "\x00",
    "9" * 30,
    [],
    {},
    [[]],
    [{}],
    [None],
    {"a": []},
    {"": 1},
]


def places(value, path=()):
    """Every place of a plain value, as a path of keys."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def with_junk(value, path, junk):
    if not path:
        return junk
    found = dict(value) if isinstance(value, dict) else list(value)
    found[path[0]] = with_junk(value[path[0]], path[1:], junk)
    return found


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
def test_junk_at_any_place_is_refused_or_read_and_never_a_crash(dialect):
    before = read(WHOLE, dialect)
    for path in places(WHOLE):
        for junk in JUNK:
            try:
                found = read(with_junk(WHOLE, path, junk), dialect, allow_all=True)
            except Refused as refused:
                assert all(str(mistake).isprintable() for mistake in refused.mistakes)
                continue
            Policy(found).failures()
            if len(path) == 1:
                changes(before, found)


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
def test_junk_as_a_key_at_any_place_is_refused_or_read_and_never_a_crash(dialect):
    for path in places(WHOLE):
        plain = copy.deepcopy(WHOLE)
        place = plain
        for key in path:
            place = place[key]
        if isinstance(place, dict):
            place["\x1b[2J"] = ["x"]
            for mistake in mistakes_of(plain, dialect):
                assert str(mistake).isprintable()
