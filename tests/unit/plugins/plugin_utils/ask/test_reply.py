from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.reply import (
    by_declaration,
    by_live_rules,
    question_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = {
    "bulkhead_tiers": {
        "office": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "internet": False},
        "plant": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    },
    "bulkhead_addresses": {"printer": "10.0.1.9"},
    "bulkhead_services": {"ssh": "22/tcp", "telnet": "23/tcp", "web": "8000-8009/tcp"},
    "bulkhead_flows": [{"from": "office", "to": "plant", "allow": ["ssh", "web"]}],
    "bulkhead_never": [{"from": "plant", "to": "office", "deny": "any"}],
}
MEMBERS = {
    "desk": Member("desk", Part.TIER, ("office",)),
    "web": Member("web", Part.TIER, ("plant",)),
    "router": Member("router", Part.GATEWAY, (), True),
}


@pytest.fixture(scope="module")
def site():
    return parse_site(SITE, date(2026, 1, 1))


def declared(site, source, destination, port):
    return by_declaration(site, question_of(site, source, destination, port))


def live(site, nodes, source, destination, port):
    return by_live_rules(site, MEMBERS, nodes, question_of(site, source, destination, port))


@pytest.mark.parametrize(
    ("source", "destination", "port", "answer"),
    [
        ("office", "plant", "ssh", Answer.ALLOWED),
        ("printer", "10.0.2.5", "22/tcp", Answer.ALLOWED),
        ("10.0.1.0/25", "plant", "8003/tcp", Answer.ALLOWED),
        ("office", "plant", "8009-8010/tcp", Answer.UNKNOWN),
        ("10.0.0.0/16", "plant", "ssh", Answer.UNKNOWN),
        ("office", "plant", "telnet", Answer.DENIED),
        ("office", "10.0.2.1", "ssh", Answer.DENIED),
        ("office", "internet", "443/tcp", Answer.DENIED),
    ],
)
def test_the_declaration_alone_answers_for_all_of_both_ends(site, source, destination, port, answer):
    reply = declared(site, source, destination, port)
    assert reply.answer is answer
    assert reply.lines[0].startswith(f"{answer.value}: {source} → {destination} {port}")


def test_what_is_denied_names_the_smallest_flow_or_the_invariant(site):
    assert "{from: office, to: plant, allow: telnet}" in declared(site, "office", "plant", "telnet").lines[1]
    unnamed = declared(site, "office", "plant", "5432/tcp").lines
    assert unnamed[1:] == (
        "this flow would allow it: {from: office, to: plant, allow: 5432_tcp}",
        "with the service {5432_tcp: 5432/tcp} in bulkhead_services",
    )
    assert declared(site, "plant", "office", "ssh").lines[1].startswith("bulkhead_never[0] forbids it")


def test_the_live_rules_answer_with_each_hop_and_the_flow(site, nodes):
    reply = live(site, nodes, "office", "plant", "ssh")
    assert reply.answer is Answer.ALLOWED
    text = "\n".join(reply.lines)
    assert "declared: bulkhead_flows[0]" in text and "web INPUT eth0: let through by" in text
    assert "not as declared" not in text


def test_live_rules_that_are_not_as_declared_are_said(site, nodes):
    reply = live(site, nodes, "office", "plant", "web")
    assert reply.answer is Answer.DENIED
    assert "  not as declared: run site.yml, which restores it" in reply.lines
    open_by_hand = live(site, nodes, "web", "desk", "telnet")
    assert open_by_hand.answer is Answer.ALLOWED
    assert "  not as declared: run site.yml, which restores it" in open_by_hand.lines


def test_connections_that_differ_are_unknown_and_counted(site, nodes, make):
    members = {**MEMBERS, "other": Member("other", Part.TIER, ("plant",))}
    nodes["other"] = make("other", {"eth0": "10.0.2.12/24"}, "10.0.2.1")
    asked = question_of(site, "desk", "plant", "telnet")
    reply = by_live_rules(site, members, nodes, asked)
    assert reply.answer is Answer.UNKNOWN
    assert reply.lines[0].endswith("not all connections alike (1 allowed, 1 denied)")


def test_a_result_holds_every_connection_with_its_hops(site, nodes):
    found = live(site, nodes, "desk", "web", "web").to_dict()
    assert found["answer"] == "DENIED" and found["msg"].startswith("DENIED: ")
    assert [one["port"] for one in found["connections"]] == [8000, 8009]
    assert found["connections"][0]["hops"][-1]["answer"] == "DENIED"


@pytest.mark.parametrize(
    ("source", "port", "text"),
    [
        ("offices", "ssh", "from: got offices; expected a tier, a host"),
        ("10.0.1.300", "ssh", "from: got 10.0.1.300"),
        ("office", "shs", "port: got shs; expected a port such as 22/tcp"),
        ("10.0.1.0/24", "ssh", "from: got 10.0.1.0/24, a network"),
    ],
)
def test_bad_input_is_one_clear_error(site, nodes, source, port, text):
    with pytest.raises(Refused) as error:
        live(site, nodes, source, "plant", port)
    assert str(error.value).startswith(text)


def test_a_tier_of_which_no_host_was_read_has_a_remedy(site, nodes):
    del nodes["web"]
    with pytest.raises(Refused) as error:
        live(site, nodes, "office", "plant", "ssh")
    assert "none of whose hosts was read" in str(error.value) and "live=false" in str(error.value)
