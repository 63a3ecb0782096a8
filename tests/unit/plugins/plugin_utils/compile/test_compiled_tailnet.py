"""The policy of a tailnet, held against the site's own intent by an evaluator that knows nothing of the compiler."""

from __future__ import annotations

import pytest
from tailnet_site import DESTINATIONS, by_chance, parsed

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import mistakes_of, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import Node, Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import host_tailnet, policy_document
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import tailnet_policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    TailnetPolicy,
    known_identities,
)

#: Behind a route and not, a leg of the routers and the host beside it, the internet, what no control server takes for it.
ADDRESSES = ["10.0.5.9", "10.0.5.77", "10.0.5.200", "10.0.3.9", "198.51.100.7", "198.51.100.70", "8.8.8.8", "10.99.0.1"]
PORTS = [("tcp", port) for port in (22, 53, 443, 5432, 8005, 8011)] + [("udp", 53)]


def nodes_of(site):
    """[(Identity, Node)]: a node for everyone whom the site tells apart, for someone else, and with a tag of nobody."""
    found = [*known_identities(site.tailnet), Identity(user="eve@example.com")]
    routes = {tags: place for place, tags in site.tailnet.tags.items()}
    return [
        (
            one,
            Node(
                str(one),
                one.user or None,
                tuple(sorted(one.tags)),
                (f"100.64.0.{number}",),
                tuple(
                    str(net)
                    for tags, place in routes.items()
                    if one.tags == frozenset(tags)
                    for net in site.tailnet.routes.get(place, ())
                ),
            ),
        )
        for number, one in enumerate(found, 1)
    ]


def disagreements(site):
    """[(source, destination, proto, port, what the site says)] of pairs on which policy and site do not agree."""
    intent = TailnetPolicy(site)
    nodes = nodes_of(site)
    policy = Policy(policy_document(site), [node for _one, node in nodes])
    found = []
    for source, sender in nodes:
        ends = [(other, node.addresses[0]) for other, node in nodes if other is not source]
        for target, address in [*ends, *((text, text) for text in ADDRESSES)]:
            for proto, port in PORTS:
                wanted = intent.flow_for(source, target, proto, port) is not None
                if policy.allows(sender.addresses[0], address, proto, port) != wanted:
                    found.append((str(source), str(target), proto, port, wanted))
    return found


def test_the_policy_and_the_site_agree_on_every_pair_of_ends():
    assert disagreements(parsed()) == []


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_the_policies_of_random_sites_agree_with_them(first):
    for seed in range(first, first + 50):
        assert disagreements(by_chance(seed)) == [], seed


def test_the_tests_of_random_policies_hold():
    for seed in range(60):
        site = by_chance(seed)
        nodes = [node for _one, node in nodes_of(site)]
        assert Policy(policy_document(site), nodes).failures() == [], seed


@pytest.mark.parametrize("dialect", ["headscale", "tailscale"])
@pytest.mark.parametrize("source", ["apps", "tag:server", "group:admins", "alice@example.com", "autogroup:tagged"])
def test_what_a_site_takes_its_policy_s_server_takes_with_its_own_tests(source, dialect):
    """Whatever the ends of a flow and of a login: the declaration is refused, or the module finds no mistake in the policy before it sends
    it. It knows no devices then: that those of `apps` have tag:server as well, and what that lets in, is for the server to see."""
    taken = 0
    for end in (*DESTINATIONS, "self"):
        login = [{"from": source, "to": end, "users": ["ops", "autogroup:nonroot"]}]
        flow = [{"from": source, "to": end, "allow": ["ssh", "range"], "via": "tailnet"}]
        for values in ({"ssh": login}, {"flows": flow}):
            try:
                site = parsed(dialect=dialect, **values)
            except Refused:
                continue
            document = policy_document(site)
            assert mistakes_of(document, dialect) == (), (end, values)
            policy = Policy(read(document, dialect))
            assert not policy.decidable or policy.failures() == [], (end, values)
            taken += 1
    assert taken > 10


def test_the_tests_of_random_policies_hold_where_no_device_is_known():
    for seed in range(60):
        policy = Policy(policy_document(by_chance(seed)))
        assert not policy.decidable or policy.failures() == [], seed


def test_the_tests_of_a_policy_notice_what_is_opened_and_what_is_missing():
    site = parsed()
    nodes = [node for _one, node in nodes_of(site)]
    document = policy_document(site)
    opened = {**document, "grants": [*document["grants"], {"src": ["tag:ci"], "dst": ["tag:apps"], "ip": ["tcp:5432"]}]}
    assert [(one.source, one.destination) for one in Policy(opened, nodes).failures()] == [("tag:ci", "tag:apps:5432")]
    missing = {**document, "grants": [grant for grant in document["grants"] if "tag:apps" not in grant["dst"]]}
    assert [(one.source, one.destination) for one in Policy(missing, nodes).failures()] == [
        ("tag:web", "tag:apps:5432")
    ]


def test_every_pair_without_a_flow_has_a_deny_test():
    document = policy_document(parsed())
    denied = {(test["src"], end) for test in document["tests"] for end in test.get("deny", ())}
    accepted = {(test["src"], end) for test in document["tests"] for end in test.get("accept", ())}
    nodes = [
        "tag:edge",
        "tag:web",
        "tag:apps",
        "tag:mgmt",
        "tag:router",
        "tag:ci",
        "alice@example.com",
        "bob@example.com",
    ]
    pairs = {(source, f"{end}:{port}") for source in nodes for end in nodes for port in (22, 443, 5432)}
    own = {(user, f"{user}:{port}") for user in nodes[-2:] for port in (22, 443, 5432)}
    assert pairs - own <= denied | accepted
    assert {pair for pair in accepted if pair[0] in nodes} == {
        ("alice@example.com", "tag:mgmt:22"),
        ("tag:web", "tag:apps:5432"),
        ("bob@example.com", "10.0.5.9:443"),
        ("tag:ci", "10.0.5.9:443"),
    }


def test_a_policy_without_flows_has_an_empty_list_of_grants_and_denies_everything():
    document = policy_document(parsed(flows=[], exit_nodes=None, ssh=None, routes=None))
    assert document["grants"] == []
    assert [test for test in document["tests"] if "accept" in test] == []
    assert policy_document(parsed(tailnet=None, flows=[])) == {"grants": []}


def test_an_exit_node_is_granted_by_the_tags_of_its_tier_alone():
    document = policy_document(parsed(exit_nodes={"edge": ["group:admins"], "web": ["apps"]}))
    assert [grant for grant in document["grants"] if "via" in grant] == [
        {"src": ["group:admins"], "dst": ["autogroup:internet"], "ip": ["*"], "via": ["tag:edge"]},
        {"src": ["tag:apps", "tag:metabase"], "dst": ["autogroup:internet"], "ip": ["*"], "via": ["tag:web"]},
    ]
    assert document["autoApprovers"] == {
        "routes": {
            "10.0.5.0/24": ["tag:router"],
            "198.51.100.0/24": ["tag:router"],
            "10.0.3.0/24": ["tag:apps", "tag:metabase"],
        },
        "exitNode": ["tag:edge", "tag:web"],
    }


def test_ssh_is_a_rule_and_its_tests_say_who_may_not():
    document = policy_document(parsed())
    assert document["ssh"] == [{"action": "accept", "src": ["group:admins"], "dst": ["tag:mgmt"], "users": ["ops"]}]
    by_source = {}
    for test in document["sshTests"]:
        by_source.setdefault(test["src"], []).append(test)
    assert {"src": "alice@example.com", "dst": ["tag:mgmt"], "accept": ["ops"]} in by_source["alice@example.com"]
    assert all(
        "accept" not in test for name, tests in by_source.items() for test in tests if name != "alice@example.com"
    )


def test_the_tests_are_about_the_nodes_that_are_there():
    site = parsed()
    assert "tests" not in policy_document(site, present=[])
    tests = policy_document(site, present=["tag:web", "tag:apps"])["tests"]
    assert {test["src"] for test in tests} == {"tag:web", "tag:apps"}
    named = {end.rpartition(":")[0] for test in tests for key in ("accept", "deny") for end in test.get(key, ())}
    assert {name for name in named if name.startswith("tag:")} == {"tag:web", "tag:apps"}


def test_people_with_a_role_have_no_deny_test_for_only_control_knows_them():
    flows = [{"from": "autogroup:admin", "to": "apps", "allow": "ssh", "via": "tailnet"}]
    document = policy_document(parsed(control=None, flows=flows, exit_nodes=None, ssh=None))
    denied = {(test["src"], end) for test in document["tests"] for end in test.get("deny", ())}
    assert ("alice@example.com", "tag:apps:22") not in denied and ("tag:web", "tag:apps:22") in denied


def test_a_host_is_what_its_places_are():
    site = parsed()
    assert host_tailnet(site, ["apps", "web"], False) == {
        "control": "https://headscale.example",
        "tags": ["tag:web", "tag:server", "tag:apps", "tag:metabase"],
        "routes": ["10.0.3.0/24"],
        "exit_node": False,
        "ssh": False,
        "accept_routes": False,
        "port": 41641,
        "interface": "tailscale0",
    }
    edge, management, gateway = (
        host_tailnet(site, *at) for at in ((["edge"], False), (["management"], False), ([], True))
    )
    assert edge["exit_node"] and management["ssh"] and not edge["ssh"]
    assert gateway["routes"] == ["10.0.5.0/24", "198.51.100.0/24"]
    assert host_plan(site, "p1", ["printers"], False)["tailnet"] is None


def test_a_node_accepts_routes_where_a_flow_leads_it_behind_another_nodes_route():
    flows = [{"from": "web", "to": "printer", "allow": "https", "via": "tailnet"}]
    site = parsed(flows=flows, ssh=None, exit_nodes=None)
    accepts = {name: host_tailnet(site, [name], False)["accept_routes"] for name in ("web", "apps")}
    assert accepts == {"web": True, "apps": False}


def test_a_host_in_two_tiers_is_both_to_the_tests():
    flows = [{"from": "apps", "to": "management", "allow": "ssh", "via": "tailnet"}]
    site = parsed(flows=flows, ssh=None, exit_nodes=None, routes=None)

    def asked(hosts, key):
        tests = policy_document(site, hosts=hosts)["tests"]
        return {(test["src"], end) for test in tests for end in test.get(key, ())}

    assert ("tag:web", "tag:mgmt:22") in asked([], "deny")
    # Its node has the tags of both, so that no node with tag:web is known that may not.
    both = [(("web", "apps"), False)]
    assert ("tag:web", "tag:mgmt:22") in asked(both, "accept") and ("tag:web", "tag:mgmt:22") not in asked(both, "deny")
    # Another host is web alone: some may, some may not, and no test says either.
    mixed = [*both, (("web",), False)]
    assert not {("tag:web", "tag:mgmt:22")} & (asked(mixed, "accept") | asked(mixed, "deny"))
    assert ("tag:edge", "tag:mgmt:22") in asked(mixed, "deny")


def test_a_policy_of_fifty_tiers_is_compiled_without_looking_at_each_flow_for_each_pair(monkeypatch):
    tiers = {f"t{number}": {"vlan": number, "subnet": f"10.1.{number}.0/24"} for number in range(1, 51)}
    flows = [
        {"from": f"t{number}", "to": f"t{number % 50 + 1}", "allow": ["ssh", "dns", "range"], "via": "tailnet"}
        for number in range(1, 51)
    ]
    tags = {name: f"tag:{name}" for name in tiers}
    site = parsed(tiers=tiers, flows=flows, addresses={}, tags=tags, exit_nodes=None, routes=None, ssh=None)
    asked = []
    known = tailnet_policy.stands_for
    monkeypatch.setattr(tailnet_policy, "stands_for", lambda *all: asked.append(1) or known(*all))
    document = policy_document(site)
    assert sum(len(test["deny"]) for test in document["tests"] if "deny" in test) > 10000
    assert len(asked) < 50 * 60 * 8


def test_a_named_address_is_a_host_of_the_policy_and_one_with_several_is_written_out():
    addresses = {"printer": "10.0.5.9", "both": ["10.0.5.9", "10.0.5.10"], "both-1": "10.0.5.77"}
    flows = [
        {"from": "web", "to": [name], "allow": service, "via": "tailnet"}
        for name, service in (("printer", "ssh"), ("both", "https"), ("both-1", "postgres"))
    ]
    document = policy_document(parsed(addresses=addresses, flows=flows, ssh=None, exit_nodes=None))
    assert document["hosts"] == {"printer": "10.0.5.9", "both-1": "10.0.5.77"}
    assert [grant["dst"] for grant in document["grants"]] == [["printer"], ["10.0.5.9", "10.0.5.10"], ["both-1"]]
