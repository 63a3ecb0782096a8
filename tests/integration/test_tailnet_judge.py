# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Headscale is the judge of what is said about a policy without one: what it means, and what is wrong with it.

Random documents get a test for every pair of endpoints, port and protocol. The server names the lines that do not hold,
and these must be exactly those that the evaluator finds.
"""

from __future__ import annotations

import copy
import json
import random
import re

import pytest
from tailnet.process import HeadscaleProcess
from tailnet_documents import WHOLE, WRONG

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import mistakes_of, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import Node, Policy

ALICE, BOB, CAROL, DORA = (f"{name}@example.com" for name in ("alice", "bob", "carol", "dora"))
TAGS = ("tag:web", "tag:db", "tag:gw")
DENIED = re.compile(r"^(\S+) -> (\S+?)(?: \((\w+)\))?: expected (ALLOWED|DENIED), got (ALLOWED|DENIED)$")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with HeadscaleProcess(tmp_path_factory.mktemp("headscale")) as found:
        yield found


@pytest.fixture(scope="module")
def nodes(server):
    """Users with one and two devices and with none, tagged devices with one tag and with two."""
    for email in (ALICE, BOB, CAROL, DORA):
        server.user(email.split("@")[0], email)
    server.user("plain")
    owners = {"tagOwners": {tag: [ALICE] for tag in TAGS}, "grants": []}
    server.set_policy(json.dumps(owners))
    found = [
        Node("alice1", ALICE, (), server.node("alice1", "alice")),
        Node("alice2", ALICE, (), server.node("alice2", "alice")),
        Node("bob1", BOB, (), server.node("bob1", "bob")),
        Node("carol1", CAROL, (), server.node("carol1", "carol")),
        Node("plain1", "plain@", (), server.node("plain1", "plain")),
        Node("web1", None, ("tag:web",), server.node("web1", "alice", ("tag:web",))),
        Node("db1", None, ("tag:db",), server.node("db1", "alice", ("tag:db",))),
        Node("both", None, ("tag:db", "tag:gw"), server.node("both", "alice", ("tag:db", "tag:gw"))),
    ]
    return found


def names(nodes):
    """The parts of a document that rules refer to: groups, tags and hosts, some of which are addresses of nodes."""
    return {
        "groups": {"group:admins": [ALICE, BOB], "group:ops": [BOB, "plain@"], "group:none": []},
        "tagOwners": {tag: ["group:admins"] for tag in TAGS},
        "hosts": {
            "portal": "10.0.3.4",
            "lan": "10.0.3.0/24",
            "web1": nodes[5].addresses[0],
            "v6": nodes[0].addresses[1],
        },
    }


def sources(nodes):
    return [
        ALICE,
        BOB,
        CAROL,
        "plain@",
        "group:admins",
        "group:ops",
        *TAGS,
        "autogroup:member",
        "autogroup:tagged",
        "portal",
        "web1",
        "v6",
        "10.0.3.5",
        "192.0.2.1",
        "100.115.92.7",
        nodes[3].addresses[0],
    ]


def some_rules(rng, nodes):
    """Rules of both kinds over everything that the grammar has."""
    ends = [*sources(nodes), "*", "lan", "10.0.0.0/8", "100.64.0.0/10", "group:none", "fd7a:115c:a1e0::/48", DORA]

    def pick(pool, most):
        return rng.sample(pool, rng.randint(1, most))

    ports = ["*", "22", "80-90", "22,443", "1-65535"]
    acls, grants = [], []
    for _number in range(rng.randint(0, 3)):
        proto = rng.choice([None, None, "tcp", "udp", "TCP", "6", "icmp", "sctp", "17"])
        every = ["*"] if proto == "icmp" else ports
        where = [*ends, "autogroup:internet"]
        acl = {
            "action": "accept",
            "src": pick([*ends, "autogroup:danger-all"], 2),
            "dst": [f"{end}:{rng.choice(every)}" for end in pick(where, 2)],
        }
        acls.append({**acl, **({"proto": proto} if proto else {})})
    for _number in range(rng.randint(0, 3)):
        caps = ["*", "22", "tcp:22", "tcp:80-90", "udp:*", "udp:443", "icmp:*", "sctp:22", "6:443", "443"]
        rule = {"src": pick(ends, 2), "dst": pick([*ends, "autogroup:internet"], 2), "ip": pick(caps, 2)}
        if rng.random() < 0.15:
            rule["via"] = [rng.choice(TAGS)]
        grants.append(rule)
    for _number in range(rng.randint(0, 1)):
        grants.append(
            {
                "src": pick([ALICE, "group:admins", "autogroup:member"], 2),
                "dst": ["autogroup:self", "tag:web"],
                "ip": ["*"],
            }
        )
    found = {"acls": acls, "grants": grants}
    if rng.random() < 0.3:
        found.pop(rng.choice(["acls", "grants"]))
    return found


def questions(rng, nodes):
    """Every pair of endpoints, each with some ports, for one protocol a source."""
    targets = [end for end in sources(nodes) if end != "v6"] + ["v6"]
    for source in sources(nodes):
        proto = rng.choice([None, "tcp", "udp", "sctp"])
        lines = [
            f"[{end}]:{port}" if end.count(":") > 1 else f"{end}:{port}"
            for end in targets
            for port in rng.sample((22, 80, 85, 91, 443), 2)
        ]
        yield {"src": source, "accept": lines, **({"proto": proto} if proto else {})}


def said_to_fail(complaint):
    """(source, destination, protocol) of each line that the server calls denied; nothing else may be wrong."""
    head, *lines = complaint.split("\n")
    assert head.endswith("test(s) failed:"), complaint[:500]
    found = set()
    for line in lines:
        match = DENIED.match(line)
        assert match, line
        found.add(match.groups()[:3])
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_evaluator_and_a_real_headscale_agree_on_every_pair(server, nodes, seed):
    rng = random.Random(seed)
    plain = {**names(nodes), **some_rules(rng, nodes), "tests": list(questions(rng, nodes))}
    document = read(plain)
    complaint = server.complaint(json.dumps(plain))
    theirs = said_to_fail(complaint) if complaint else set()
    protos = {f"policy.tests[{index}]": test.get("proto") for index, test in enumerate(plain["tests"])}
    mine = {
        (failure.source, failure.destination, protos[failure.path]) for failure in Policy(document, nodes).failures()
    }
    assert mine == theirs
    # And the other way around: what it denies, it must also deny when that is what a test asks for.
    flipped = copy.deepcopy(plain)
    for test in flipped["tests"]:
        lines = test.pop("accept")
        test["accept"] = [line for line in lines if (test["src"], line, test.get("proto")) not in theirs]
        test["deny"] = [line for line in lines if (test["src"], line, test.get("proto")) in theirs]
    assert server.complaint(json.dumps(flipped)) == ""
    assert Policy(read(flipped), nodes).failures() == []


def some_logins(rng):
    """Rules of Tailscale SSH, of the pairs that a server takes. Without localpart: a Headscale then lets every source log
    in on its own user's devices as well, whatever the rule's destinations."""
    tagged = rng.random() < 0.4
    people = [ALICE, BOB, CAROL, "group:admins", "group:ops", "autogroup:member"]
    from_tags = [*TAGS, "autogroup:tagged"]
    to = [*TAGS, "autogroup:tagged", *([] if tagged else ["autogroup:self"])]
    for _number in range(rng.randint(1, 4)):
        yield {
            "action": rng.choice(["accept", "check"]),
            "src": rng.sample(from_tags if tagged else people, rng.randint(1, 2)),
            "dst": rng.sample(to, rng.randint(1, 2)),
            "users": rng.sample(["ops", "root", "autogroup:nonroot", "www"], rng.randint(1, 2)),
        }


@pytest.mark.parametrize("seed", range(25))
def test_the_evaluator_and_a_real_headscale_agree_on_every_login(server, nodes, seed):
    rng = random.Random(seed)
    asked = [ALICE, BOB, CAROL, "group:admins", *TAGS]
    tests = [{"src": source, "dst": [*TAGS, "autogroup:member"], "accept": ["ops", "root", "dba"]} for source in asked]
    plain = {**names(nodes), "grants": [], "ssh": list(some_logins(rng)), "sshTests": tests}
    policy = Policy(read(plain), nodes)
    lines = set(server.complaint(json.dumps(plain)).split("\n")[1:])
    mine = {
        f"{source}/{user} -> {node.name}: expected ALLOWED, got DENIED"
        for source in asked
        for user in ("ops", "root", "dba")
        for node in nodes
        if not policy.ssh(source, node.addresses[0], user)
    }
    assert lines == mine


#: Without its tests, whose tags no device of this server has.
UNTESTED = {key: value for key, value in WHOLE.items() if key not in ("tests", "sshTests")}


def test_a_real_headscale_takes_the_whole_document_too(server):
    assert server.complaint(json.dumps(UNTESTED)) == ""


@pytest.mark.parametrize(("change", "path", "kind"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused_beforehand_a_real_headscale_refuses_too(server, change, path, kind):
    assert server.complaint(json.dumps({**UNTESTED, **change}))


def test_the_trap_is_real(server):
    """A Headscale takes a policy without rules, and everything is allowed then."""
    trap = {"tests": [{"src": "100.64.0.1", "accept": ["100.64.0.2:22"]}]}
    assert server.complaint(json.dumps(trap)) == ""
    assert [mistake.kind for mistake in mistakes_of(trap, "headscale")] == ["allow-all"]
    assert "got DENIED" in server.complaint(json.dumps({**trap, "grants": []}))
