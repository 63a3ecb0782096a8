# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A fleet as it is, beside its plan: what that opens and closes, in the site's own words."""

from __future__ import annotations

import copy

import pytest
from static_sites import SITE, Fixture

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import judge

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


@pytest.fixture
def lab():
    return Fixture()


def declared(**more):
    """A site with other flows; its hosts are as they were before."""
    return Fixture({**copy.deepcopy(SITE), **more})


def judged(now, lab, hosts=None, keeps=()):
    """now: the declaration; lab: the hosts, by another one perhaps; hosts: those that are read."""
    nodes = {name: node for name, node in lab.nodes.items() if hosts is None or name in hosts}
    plans = {name: {**now.plan(name), "keeps": name in keeps} for name in nodes}
    missing = {name: "no route" for name in lab.members if name not in nodes}
    return judge(now.site, now.members, nodes, plans, missing)


def texts(told):
    return [one.text() for one in told]


def test_hosts_that_are_as_declared_change_nothing(lab):
    found = judged(lab, lab)
    assert found.nothing and found.broken == () and found.read == 4 and found.missing == {}


def test_a_flow_that_is_new_opens_and_one_that_is_gone_closes(lab):
    flows = [*SITE["bulkhead_flows"][1:], {"from": "plant", "to": "office", "allow": "ssh"}]
    now = declared(bulkhead_flows=flows)
    found = judged(now, lab)
    assert f"plant -> office ssh, on 1 host: bulkhead_flows[{len(flows) - 1}] declares it" in texts(found.opened)
    assert any(one.source == "office" and one.destination == "plant" for one in found.closed)
    assert not any(one.never for one in found.opened) and set(found.touched) <= set(lab.members)


def test_both_ip_versions_are_one_line(lab):
    now = declared(bulkhead_flows=[*SITE["bulkhead_flows"], {"from": "plant", "to": "office", "allow": "ssh"}])
    opened = texts(judged(now, lab).opened)
    assert len([text for text in opened if text.startswith("plant -> office ssh")]) == 1


def test_what_a_hand_opened_is_closed_and_named_with_its_host(lab):
    lab.insert("pump1", "ufw-user-input", "-s 10.0.1.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")
    lab.insert("router", "ufw-user-forward", "-s 10.0.1.0/24 -d 10.0.2.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")
    found = judged(lab, lab)
    assert found.opened == () and texts(found.closed) == [
        # A router's leg lies in the office's subnet.
        "gateway -> plant tcp 9, on 2 hosts: no flow declares it",
        "office -> plant tcp 9, on 2 hosts: no flow declares it",
    ]
    assert set(found.touched) == {"pump1", "router"}


def test_a_foreign_rule_that_the_run_leaves_alone_and_an_invariant_forbids_is_found(lab):
    never = {"bulkhead_never": [{"from": "plant", "to": "office", "deny": "any"}]}
    now = declared(**never)
    lab.insert("desk", "INPUT", "-s 10.0.2.11/32 -p tcp -m tcp --dport 3389 -j ACCEPT")
    assert judged(now, lab).broken == ()  # the router does not let it through
    lab.insert("router", "FORWARD", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    (text,) = judged(now, lab).broken
    assert "plant -> office" in text
    assert "3389" in text and "desk INPUT" in text


def test_a_run_that_leaves_hosts_out_says_nothing_of_their_addresses(lab):
    never = {"bulkhead_never": [{"from": "office", "to": "plant", "deny": "any"}], "bulkhead_flows": []}
    now = declared(**never)
    found = judged(now, lab, hosts={"desk"})
    assert found.broken == () and found.read == 1 and found.missing["router"] == "no route"


@pytest.mark.parametrize("forward", ["0", "1"])
@pytest.mark.parametrize("hosts", [{"desk"}, {"desk", "pump1"}])
def test_a_run_without_the_router_says_nothing_of_what_goes_out_or_comes_in_by_it(hosts, forward):
    tiers = copy.deepcopy(SITE["bulkhead_tiers"])
    for tier in tiers.values():
        tier["internet"] = False
    never = [{"from": "internet", "to": "office", "deny": "any"}]
    lab = declared(bulkhead_tiers=tiers, bulkhead_flows=SITE["bulkhead_flows"][:3], bulkhead_never=never)
    for name in hosts:
        lab.options[name] = {"forward": forward}
    lab.insert("desk", "INPUT", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    assert judged(lab, lab, hosts=hosts).broken == ()
    lab.insert("router", "FORWARD", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    assert judged(lab, lab).broken != ()


def test_a_slice_whose_routers_may_be_in_another_one_says_nothing_of_the_internet(lab):
    lab.insert("desk", "INPUT", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    nodes = {name: lab.nodes[name] for name in ("desk", "pump1")}
    plans = {name: {**lab.plan(name), "keeps": False} for name in nodes}
    members = {name: lab.members[name] for name in nodes}
    assert judge(lab.site, members, nodes, plans, {}, routers_elsewhere=True).broken == ()
    # The same two hosts as the whole of a site: no router of theirs can hold it.
    assert judge(lab.site, members, nodes, plans, {}).broken != ()


def test_what_a_router_lets_out_of_a_tier_without_the_internet_is_found():
    tiers = copy.deepcopy(SITE["bulkhead_tiers"])
    tiers["plant"]["internet"] = False
    lab = declared(bulkhead_tiers=tiers)
    assert judged(lab, lab).broken == ()
    lab.insert("router", "FORWARD", "-p tcp -m tcp --dport 25 -j ACCEPT")
    assert any("plant -> internet" in text for text in judged(lab, lab).broken)


def test_in_a_site_without_routers_what_the_internet_may_reach_is_told():
    tiers = {"web": {"vlan": 1, "subnet": "10.0.1.0/24", "internet": False}}
    site = {
        "bulkhead_tiers": tiers,
        "bulkhead_services": SITE["bulkhead_services"],
        "bulkhead_flows": [],
        "bulkhead_never": [],
    }

    class Flat(Fixture):
        HOSTS = {"desk": (("web",), False, {"eth0": ["10.0.1.11/24"]})}

    lab = Flat(site)
    assert judged(lab, lab).nothing and judged(lab, lab).broken == ()
    lab.insert("desk", "ufw-user-input", "-p tcp -m tcp --dport 25 -j ACCEPT")
    assert "internet -> web tcp 25, on 1 host: no flow declares it" in texts(judged(lab, lab).closed)


def test_rules_that_are_kept_are_not_closed(lab):
    lab.insert("pump1", "ufw-user-input", "-s 10.0.2.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")
    assert texts(judged(lab, lab).closed) and judged(lab, lab, keeps={"pump1"}).nothing


def test_a_fresh_host_closes_all_that_no_flow_declares_in_few_lines(lab):
    for name in lab.members:
        lab.rules[name] = [EMPTY, EMPTY]
    found = judged(lab, lab)
    assert not any(one.path == "" for one in found.opened)
    lines = [text for text in texts(found.closed) if text.startswith("office -> plant") and "no flow" in text]
    assert len(lines) == 1 and len(found.closed) < 40
    assert set(found.touched) == set(lab.members)


def test_rules_that_only_log_are_no_change(lab):
    lab.insert("pump1", "ufw-user-input", '-s 10.0.1.0/24 -j LOG --log-prefix "[UFW BLOCK] "')
    rules = lab.rules["pump1"][0].replace("*filter\n", "*filter\n:ufw-user-logging-input - [0:0]\n", 1)
    lab.rules["pump1"][0] = rules
    lab.insert("pump1", "ufw-user-input", "-s 10.0.1.0/24 -j ufw-user-logging-input")
    assert judged(lab, lab).nothing
