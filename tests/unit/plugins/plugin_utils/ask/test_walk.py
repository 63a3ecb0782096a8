from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer, Asked, walk

DESK, ROUTER, WEB, OUTSIDE = "10.0.1.11", "10.0.2.1", "10.0.2.11", "198.51.100.7"


def go(nodes, source, destination, port, proto="tcp"):
    return walk(nodes, Asked(source, destination, proto, port))


def places(found):
    return [f"{hop.host} {hop.at}" for hop in found.hops]


def blocking(chain, rule):
    head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    return f"{head}-A {chain} {rule}\nCOMMIT\n"


def test_a_packet_goes_out_through_the_router_and_in(nodes):
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.ALLOWED
    assert places(found) == ["desk OUTPUT eth0", "router FORWARD eth1 → eth2", "web INPUT eth0"]
    assert found.end == "web"


def test_the_rule_that_stops_it_is_named_with_its_host(nodes):
    found = go(nodes, DESK, WEB, 23)
    assert found.answer is Answer.DENIED
    assert (found.hops[-1].host, found.hops[-1].text) == ("web", "stopped by `-P INPUT DROP`")


def test_each_hop_can_stop_it(nodes, make):
    nodes["desk"] = make("desk", {"eth0": f"{DESK}/24"}, "10.0.1.1", blocking("OUTPUT", "-d 10.0.2.0/24 -j DROP"))
    assert places(go(nodes, DESK, WEB, 22)) == ["desk OUTPUT eth0"]
    nodes["desk"] = make("desk", {"eth0": f"{DESK}/24"}, "10.0.1.1")
    legs = {"eth1": "10.0.1.1/24", "eth2": "10.0.2.1/24"}
    nodes["router"] = make("router", legs, rules=blocking("FORWARD", "-p tcp --dport 22 -j DROP"), forward="1")
    assert places(go(nodes, DESK, WEB, 22))[-1] == "router FORWARD eth1 → eth2"
    nodes["router"] = make("router", legs, forward="0")
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.DENIED and "does not forward" in found.hops[-1].text


def test_a_published_port_goes_to_its_container_and_never_through_input(nodes):
    found = go(nodes, DESK, WEB, 8080)
    assert found.answer is Answer.ALLOWED
    assert places(found)[-2:] == ["web nat PREROUTING", "web FORWARD eth0 → docker0"]
    assert "172.17.0.2 port 80" in found.hops[-2].text
    assert "container 172.17.0.2" in found.end


def test_what_the_sender_s_own_nat_table_sends_elsewhere_goes_there(nodes, make):
    nat = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 10.0.2.99/32 -p tcp -m tcp --dport 23 -j DNAT --to-destination 10.0.2.11:22\nCOMMIT\n"
    nodes["desk"] = make("desk", {"eth0": f"{DESK}/24"}, "10.0.1.1", nat)
    found = go(nodes, DESK, "10.0.2.99", 23)
    assert (found.answer, found.end) == (Answer.ALLOWED, "web")
    assert places(found) == ["desk nat OUTPUT", "desk OUTPUT eth0", "router FORWARD eth1 → eth2", "web INPUT eth0"]


def test_answers_that_go_past_the_router_that_sent_the_packet_elsewhere_are_lost(nodes, make):
    nat = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -d 10.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.2.11:22\n{}COMMIT\n"
    )
    legs = {"eth1": "10.0.1.1/24", "eth2": "10.0.2.1/24"}
    nodes["near"] = make("near", {"eth0": "10.0.2.12/24"}, "10.0.2.1")
    nodes["router"] = make("router", legs, rules=nat.format(""), forward="1")
    found = go(nodes, "10.0.2.12", ROUTER, 80)
    assert found.answer is Answer.DENIED and "past router" in found.hops[-1].text
    assert go(nodes, DESK, ROUTER, 80).answer is Answer.ALLOWED
    nodes["router"] = make("router", legs, rules=nat.format("-A POSTROUTING -o eth2 -j MASQUERADE\n"), forward="1")
    assert go(nodes, "10.0.2.12", ROUTER, 80).answer is Answer.ALLOWED


def test_who_comes_from_outside_comes_in_by_the_host_whose_way_leads_there(nodes):
    found = go(nodes, OUTSIDE, WEB, 22)
    assert places(found) == ["router FORWARD eth0 → eth2", "web INPUT eth0"]


def test_a_masquerade_changes_who_the_next_host_sees(nodes, make):
    nat = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth2 -j MASQUERADE\nCOMMIT\n"
    open_ = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    nodes["router"] = make("router", {"eth1": "10.0.1.1/24", "eth2": "10.0.2.1/24"}, rules=nat + open_, forward="1")
    nodes["web"] = make("web", {"eth0": f"{WEB}/24"}, "10.0.2.1", blocking("INPUT", f"-s {ROUTER} -j DROP"))
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.DENIED
    assert any(hop.text.startswith(f"from {ROUTER} by") for hop in found.hops)


def test_a_way_back_by_another_interface_is_what_rp_filter_drops(nodes, make):
    addresses = {"eth0": f"{WEB}/24", "eth9": "10.0.1.50/24"}
    nodes["web"] = make("web", addresses, strict="1")
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.DENIED and "rp_filter" in found.hops[-1].text
    nodes["web"] = make("web", addresses, strict="2")
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.UNKNOWN and "leave by eth9" in found.hops[-1].text


def test_answers_that_are_stopped_deny_the_connection(nodes, make):
    nodes["desk"] = make(
        "desk", {"eth0": f"{DESK}/24"}, "10.0.1.1", blocking("INPUT", "-p tcp -m tcp --sport 22 -j DROP")
    )
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.DENIED
    assert (found.hops[-1].host, found.hops[-1].at) == ("desk", "the answers: INPUT")


def test_answers_of_a_translated_connection_are_in_the_state_dnat_on_their_way_out(nodes, make):
    """The connection's, whichever chain they pass (xt_conntrack)."""
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8022 -j REDIRECT --to-ports 22\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n"
        "-A OUTPUT -m conntrack {}--ctstate DNAT -j ACCEPT\nCOMMIT\n"
    )
    for no, port, expected in (
        ("", 8022, Answer.ALLOWED),
        ("", 22, Answer.DENIED),
        ("! ", 8022, Answer.DENIED),
        ("! ", 22, Answer.ALLOWED),
    ):
        nodes["web"] = make("web", {"eth0": f"{WEB}/24"}, "10.0.2.1", text.format(no))
        assert go(nodes, DESK, WEB, port).answer is expected, (no, port)


def test_a_host_that_is_not_known_leaves_the_answer_open(nodes):
    found = go(nodes, DESK, "10.0.2.99", 22)
    assert found.answer is Answer.UNKNOWN
    assert "no host of the inventory has 10.0.2.99" in found.end


def test_what_the_engine_does_not_model_leaves_it_open(nodes, make):
    rule = "-m set --match-set bad src -j DROP"
    nodes["web"] = make("web", {"eth0": f"{WEB}/24"}, "10.0.2.1", blocking("INPUT", rule))
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.UNKNOWN and "--match-set bad src" in found.hops[-1].text


def test_a_limit_lets_the_first_packet_through(nodes, make):
    rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m limit --limit 3/min -j ACCEPT\nCOMMIT\n"
    nodes["web"] = make("web", {"eth0": f"{WEB}/24"}, "10.0.2.1", rules)
    found = go(nodes, DESK, WEB, 22)
    assert "within a limit" in found.hops[2].text


def test_a_host_asks_itself_over_lo(nodes):
    found = go(nodes, WEB, WEB, 22)
    assert places(found) == ["web OUTPUT lo", "web INPUT lo"]


def test_no_route_denies(nodes, make):
    nodes["desk"] = make("desk", {"eth0": f"{DESK}/24"})
    found = go(nodes, DESK, WEB, 22)
    assert found.answer is Answer.DENIED and "no route" in found.hops[0].text


def test_routers_that_send_it_round_are_a_loop(nodes, make):
    nodes["router"] = make("router", {"eth1": "10.0.1.1/24"}, "10.0.1.2", forward="1")
    nodes["other"] = make("other", {"eth1": "10.0.1.2/24"}, "10.0.1.1", forward="1")
    found = go(nodes, DESK, "10.0.7.7", 22)
    assert found.answer is Answer.UNKNOWN and "loop" in found.hops[-1].text
