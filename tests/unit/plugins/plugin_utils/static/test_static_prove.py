from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Answer, Kind, Severity


def found(static, kind):
    return [finding for finding in static.findings if finding.kind is kind]


def cells(static, source, destination):
    return {
        cell.service: cell.verdict for cell in static.cells if (cell.source, cell.destination) == (source, destination)
    }


def test_a_fleet_that_is_as_declared_has_every_cell_as_expected_and_no_finding(lab):
    static = lab.prove()
    assert static.findings == ()
    assert [cell for cell in static.cells if not cell.holds] == []
    assert cells(static, "office", "plant") == {
        "ssh": Answer.ALLOWED,
        "web": Answer.ALLOWED,
        "everything else": Answer.DENIED,
    }
    assert static.holds and static.hosts == 4 and static.groups == 3


def test_a_port_that_a_hand_opened_is_found_with_its_host_its_rule_and_a_packet(lab):
    lab.insert("pump1", "ufw-user-input", "-p tcp -m tcp --dport 5432 -j ACCEPT")
    static = lab.prove()
    (finding,) = found(static, Kind.OPEN)
    assert (finding.host, finding.severity) == ("pump1", Severity.ERROR)
    assert "--dport 5432 -j ACCEPT" in finding.what and finding.witness.endswith("10.0.2.11 5432/tcp")
    assert [hop.host for hop in finding.hops][-1] == "pump1"
    assert ("plant", "plant") in finding.cells and not static.holds
    assert cells(static, "plant", "plant")["everything else"] is Answer.PARTLY


def test_what_is_open_for_ipv6_alone_is_found(lab):
    lab.insert("pump2", "ufw6-user-input", "-p udp -m udp --dport 161 -j ACCEPT", 6)
    (finding,) = found(lab.prove(), Kind.OPEN)
    assert finding.host == "pump2" and "fd00:2::" in finding.witness


def test_a_rule_that_stops_a_declared_flow_is_named_on_the_router_it_stands_on(lab):
    lab.insert("router", "ufw-user-forward", "-s 10.0.1.0/24 -p tcp -m tcp --dport 8004 -j DROP")
    static = lab.prove()
    finding, other = found(static, Kind.BLOCKED)
    assert other.path == "bulkhead_tiers.office.internet"  # which it stops as well
    assert finding.host == "router" and finding.path == "bulkhead_flows[0]" and "--dport 8004 -j DROP" in finding.what
    assert finding.witness.endswith("8004/tcp")
    assert cells(static, "office", "plant")["web"] is Answer.PARTLY


def test_an_invariant_is_held_against_what_routers_and_hosts_let_through_together(lab):
    rule = "-p tcp -m tcp --dport 3389 -j ACCEPT"
    lab.insert("router", "ufw-user-forward", rule)
    assert found(lab.prove(), Kind.NEVER)[0].host == "router"  # whoever is there without a firewall
    lab.insert("desk", "ufw-user-input", rule)
    never = found(lab.prove(), Kind.NEVER)
    assert "desk" in {finding.host for finding in never}
    assert {finding.path for finding in never} == {"bulkhead_never[0]"}


def test_a_rule_on_a_host_alone_is_not_open_from_where_the_router_stops_it(lab):
    lab.insert("desk", "ufw-user-input", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    (finding,) = found(lab.prove(), Kind.OPEN)
    assert {cell[0] for cell in finding.cells} == {"gateway"}  # which is no host's router on the way there


def test_a_flipped_policy_is_found(lab):
    lab.edit("pump1", ":INPUT DROP", ":INPUT ACCEPT")
    assert {finding.host for finding in found(lab.prove(), Kind.OPEN)} == {"pump1"}


def test_a_published_port_is_found_where_it_never_meets_input(lab):
    lab.addresses["pump1"]["docker0"] = ["172.17.0.1/16"]
    lab.options["pump1"] = {"forward": "1", "bridges": ["docker0"]}
    nat = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n"
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n"
    )
    lab.rules["pump1"][0] = nat + lab.rules["pump1"][0]
    assert found(lab.prove(), Kind.OPEN) == []
    lab.insert("pump1", "FORWARD", "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT")
    (finding,) = found(lab.prove(), Kind.OPEN)
    assert finding.witness.endswith("10.0.2.11 8080/tcp") and finding.hops[-1].chain == "FORWARD eth0 → docker0"


def test_a_translation_on_the_router_that_takes_a_declared_flow_away_is_blocked_there_and_open_elsewhere(lab):
    lab.rules["router"][0] += (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -d 10.0.2.11/32 -p tcp -m tcp --dport 22 -j DNAT --to-destination 10.0.2.12\nCOMMIT\n"
    )
    static = lab.prove()
    assert cells(static, "office", "plant")["ssh"] is Answer.PARTLY
    assert "router nat PREROUTING" in found(static, Kind.BLOCKED)[0].what


def test_a_port_that_the_router_is_to_forward_and_does_not_is_found_where_it_is_asked_for():
    from static_sites import SITE, Fixture

    forward = {"from": "internet", "to": "10.0.2.11", "allow": "ssh", "forward": {"port": 2222}}
    lab = Fixture({**SITE, "bulkhead_flows": [*SITE["bulkhead_flows"], forward]})
    assert lab.prove().findings == ()
    lab.edit("router", "--to-destination 10.0.2.11", "--to-destination 10.0.2.12")
    (finding,) = found(lab.prove(), Kind.BLOCKED)
    assert finding.host == "router" and finding.witness.endswith("2222/tcp")


def test_a_masquerade_that_is_missing_is_found_on_the_router():
    from static_sites import SITE, Fixture

    tiers = {**SITE["bulkhead_tiers"], "office": {**SITE["bulkhead_tiers"]["office"], "masquerade": True}}
    lab = Fixture({**SITE, "bulkhead_tiers": tiers})
    assert lab.prove().findings == ()
    lab.edit("router", "-j MASQUERADE", "-j RETURN")
    (finding,) = found(lab.prove(), Kind.BLOCKED)
    assert finding.host == "router" and "own address" in finding.what


def test_a_condition_that_is_not_modelled_makes_the_cell_unknown_and_never_passes_silently(lab):
    lab.insert("pump1", "ufw-user-input", "-p tcp -m tcp --dport 22 -m time --timestart 08:00 -j DROP")
    static = lab.prove()
    assert cells(static, "office", "plant")["ssh"] is Answer.UNKNOWN
    (finding,) = found(static, Kind.UNKNOWN)
    assert "time" in finding.what and finding.severity is Severity.WARNING


def test_what_no_unknown_condition_can_change_stays_exact(lab):
    lab.insert("pump1", "ufw-user-input", "-p tcp -m tcp --dport 9999 -m time --timestart 08:00 -j DROP")
    assert lab.prove().findings == ()


def test_a_flow_whose_answers_do_not_come_back_is_blocked(lab):
    lab.insert("pump1", "OUTPUT", "-p tcp -m tcp --sport 22 -j DROP")
    (finding,) = found(lab.prove(), Kind.BLOCKED)
    assert finding.host == "pump1" and "answers" in finding.what


def test_a_way_past_a_router_of_others_is_unknown(lab):
    lab.HOSTS = {name: value for name, value in type(lab).HOSTS.items() if name != "router"}
    static = lab.prove()
    assert cells(static, "office", "plant")["ssh"] is Answer.UNKNOWN
    assert found(static, Kind.MISSING)[0].host == "router"


def test_a_host_that_was_not_read_fails_the_proof(lab):
    lab.HOSTS = {name: value for name, value in type(lab).HOSTS.items() if name != "pump2"}
    (finding,) = lab.prove().findings
    assert (finding.kind, finding.host) == (Kind.MISSING, "pump2") and not lab.prove().holds


def test_equal_hosts_are_one_group_and_a_rule_more_makes_two(lab):
    assert lab.prove().groups == 3
    lab.insert("pump1", "ufw-user-input", "-p tcp -m tcp --dport 9 -j DROP")
    assert lab.prove().groups == 4


def test_the_result_is_plain_values(lab):
    import json

    lab.insert("pump1", "ufw-user-input", "-p tcp -m tcp --dport 5432 -j ACCEPT")
    found = json.loads(json.dumps(lab.prove().to_dict()))
    assert found["holds"] is False and found["findings"][0]["hops"][-1]["host"] == "pump1"
    assert {
        "from": "office",
        "to": "plant",
        "service": "ssh",
        "flow": "bulkhead_flows[0]",
        "expected": "allowed",
        "verdict": "allowed",
    } in found["cells"]


def test_a_host_with_more_routes_than_are_followed_is_unknown_and_hides_nothing(lab):
    lab.routes["pump1"] = [
        {"dst": f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}", "gateway": "10.0.2.1", "dev": "eth0"}
        for n in range(3000)
    ]
    static = lab.prove()
    assert {finding.host for finding in found(static, Kind.UNKNOWN)} == {"pump1"}
    assert cells(static, "plant", "plant")["dns"] is Answer.UNKNOWN


def test_rules_that_are_more_work_than_is_done_are_unknown(lab, monkeypatch):
    from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static import hooks

    monkeypatch.setattr(hooks, "SEGMENTS", 1)
    static = lab.prove()
    assert {cell.verdict for cell in static.cells} <= {Answer.UNKNOWN, Answer.DENIED}
    assert not [cell for cell in static.cells if cell.flow and cell.verdict is not Answer.UNKNOWN]


def test_sets_that_are_too_many_make_the_cells_unknown(lab, monkeypatch):
    from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static import prove, spread

    monkeypatch.setattr(spread, "MOST_SETS", 3)
    assert {cell.verdict for cell in lab.prove().cells} == {Answer.UNKNOWN}
    monkeypatch.setattr(spread, "MOST_SETS", 1000)
    monkeypatch.setattr(prove, "MOST_ARRIVALS", 0)
    assert cells(lab.prove(), "office", "plant")["ssh"] is Answer.UNKNOWN
