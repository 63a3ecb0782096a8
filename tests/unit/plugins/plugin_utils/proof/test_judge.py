from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status

DESK, PUMP1, PUMP2, WORLD = "10.0.1.11", "10.0.2.11", "10.0.2.12", "203.0.113.10"
OPENED = {"rule": "allow", "proto": "tcp", "to_port": "9999"}


def verdict_of(lab, source, dest, proto, port):
    found = [
        verdict
        for verdict in lab.proof().verdicts
        if (verdict.source.address, verdict.dest.address, verdict.proto, verdict.port) == (source, dest, proto, port)
    ]
    assert len(found) == 1
    return found[0]


def test_a_site_that_does_what_it_declares_holds(lab):
    proof = lab.proof()
    assert (
        set(proof.count) == {Status.ALLOWED, Status.DENIED}
        and proof.count[Status.DENIED] > proof.count[Status.ALLOWED] > 20
    )
    assert proof.holds


def test_a_port_opened_by_hand_is_named_with_its_host_and_rule(lab):
    lab.live["pump1"].insert(0, OPENED)
    lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 9999)
    assert verdict.status == Status.OPEN
    assert verdict.cause == (
        "let in by pump1's rule `allow in proto tcp from any to any port 9999`, which the site does not declare"
    )
    assert verdict.remedy == "run site.yml, which restores it, or declare a flow for it"


def test_a_routed_leak_names_the_router_s_rule_and_the_host_s(lab):
    lab.live["pump1"].insert(0, OPENED)
    lab.live["router"].insert(0, dict(OPENED, route=True))
    lab.verdicts[WORLD, PUMP1, "tcp", 9999] = "ALLOWED"
    cause = verdict_of(lab, WORLD, PUMP1, "tcp", 9999).cause
    assert "router's rule `route allow proto tcp from any to any port 9999`" in cause
    assert "pump1's rule `allow in proto tcp from any to any port 9999`" in cause


def test_a_firewall_that_is_off_and_an_open_policy_are_named(lab):
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    lab.default["pump1"]["incoming"] = "allow"
    assert (
        verdict_of(lab, PUMP2, PUMP1, "tcp", 80).cause
        == "let in by pump1's default policy, which allows incoming packets"
    )
    lab.active["pump1"] = False
    assert verdict_of(lab, PUMP2, PUMP1, "tcp", 80).cause == "pump1's firewall is off"


def test_a_leak_that_no_rule_explains_says_so(lab):
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 80)
    assert verdict.cause == "no UFW rule explains it: by pump1's rules it is denied"
    assert verdict.remedy == "see the whole filter of pump1 (iptables-save)"


# -- ports that Docker publishes ---------------------------------------------------------------------------------------

LISTED = {"from_ip": "10.0.1.0/24", "proto": "tcp", "port": "80"}
LEAK = {"from_ip": "10.0.2.0/24", "proto": "tcp", "port": "80", "comment": "by hand"}
SIX = {"from_ip": "2001:db8::/32", "proto": "tcp", "port": "80"}


def published(lab, live, compiled, process="dockerd"):
    lab.services["pump1"] = {("tcp", PUMP1, 80): process}
    lab.docker["pump1"] = live and {"published": live}, {"published": compiled}


@pytest.mark.parametrize("process", ["dockerd", "docker-proxy"])
def test_an_open_published_port_without_a_list_is_no_affair_of_a_ufw_rule(lab, process):
    published(lab, None, [LISTED], process)
    lab.live["pump1"].insert(0, {"rule": "allow", "proto": "tcp", "to_port": "80"})
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 80)
    assert verdict.cause.startswith("Docker publishes that port on pump1") and "bypass" in verdict.cause
    assert "ufw_ruleset's option docker" in verdict.remedy


def test_an_open_published_port_names_the_entry_that_lets_it_in(lab):
    published(lab, [SIX, dict(LISTED, rule="deny", port="81"), dict(LEAK, routed=True), LISTED, LEAK], [LISTED])
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 80)
    entry = "published allow proto tcp from 10.0.2.0/24 to any port 80"
    assert verdict.cause == f"let in by pump1's list of published ports, `{entry}`"
    assert verdict.remedy == "run site.yml, which restores it, or declare a flow for it"


def test_an_open_published_port_that_the_list_denies_points_to_docker_user(lab):
    published(lab, [dict(LEAK, rule="deny"), {"proto": "tcp", "port": "80"}], [LISTED])
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 80)
    assert verdict.cause == "Docker publishes that port, and pump1's list of published ports denies it"
    assert "iptables -S DOCKER-USER" in verdict.remedy


def test_a_router_that_lets_a_published_port_through_is_named_as_well(lab):
    published(lab, [LISTED, {"proto": "tcp", "port": "80"}], [LISTED])
    lab.live["router"].insert(0, {"rule": "allow", "route": True, "proto": "tcp", "to_port": "80"})
    lab.verdicts[WORLD, PUMP1, "tcp", 80] = "ALLOWED"
    cause = verdict_of(lab, WORLD, PUMP1, "tcp", 80).cause
    assert "router's rule `route allow proto tcp from any to any port 80`" in cause
    assert "pump1's list of published ports" in cause


def test_a_declared_flow_that_the_list_lacks_names_the_entry_and_the_chain(lab):
    published(lab, [LEAK], [LISTED])
    lab.verdicts[DESK, PUMP1, "tcp", 80] = "DROPPED"
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 80)
    entry = "published allow proto tcp from 10.0.1.0/24 to any port 80"
    assert verdict.status == Status.BLOCKED
    assert verdict.cause.startswith(f"pump1's list of published ports lacks `{entry}`: its chain bulkhead-docker")
    published(lab, [LEAK], [])
    assert "DOCKER-USER drops it" in verdict_of(lab, DESK, PUMP1, "tcp", 80).cause
    published(lab, [LISTED], [LISTED])
    assert verdict_of(lab, DESK, PUMP1, "tcp", 80).cause.startswith("no UFW rule explains it")


def test_a_port_of_the_engine_itself_is_an_ordinary_one(lab):
    lab.services["pump1"] = {("tcp", PUMP1, 2377): "dockerd"}
    lab.docker["pump1"] = {"published": []}, {"published": []}
    lab.live["pump1"].insert(0, dict(OPENED, to_port="2377"))
    lab.verdicts[PUMP2, PUMP1, "tcp", 2377] = "ALLOWED"
    assert "rule `allow in proto tcp from any to any port 2377`" in verdict_of(lab, PUMP2, PUMP1, "tcp", 2377).cause


def test_with_the_firewall_off_the_list_says_nothing(lab):
    published(lab, [LISTED], [LISTED])
    lab.active["pump1"] = False
    lab.verdicts[PUMP2, PUMP1, "tcp", 80] = "ALLOWED"
    assert verdict_of(lab, PUMP2, PUMP1, "tcp", 80).cause == "pump1's firewall is off"


def test_a_leak_that_the_compiled_rules_let_in_is_a_defect_of_the_compiler(lab):
    lab.policy.flow_for = lambda *packet: None
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "ALLOWED"
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 22)
    assert verdict.status == Status.OPEN
    assert "which the site compiles though no flow declares it" in verdict.cause and "report it" in verdict.remedy


def test_a_packet_that_got_in_is_a_leak_even_if_its_answer_was_lost(lab):
    lab.passes[PUMP2, PUMP1, "tcp", 80] = True
    verdict = verdict_of(lab, PUMP2, PUMP1, "tcp", 80)
    assert (verdict.status, verdict.found) == (Status.OPEN, "ONE_WAY")


def test_a_declared_flow_whose_answer_is_lost_is_blocked_one_way(lab):
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "DROPPED"
    lab.passes[DESK, PUMP1, "tcp", 22] = True
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 22)
    assert (verdict.status, verdict.found) == (Status.BLOCKED, "ONE_WAY")
    assert "answer is lost" in verdict.cause


@pytest.mark.parametrize("found", ["DROPPED", "REJECTED"])
def test_a_declared_flow_whose_rule_was_deleted_names_the_host_and_the_rule(lab, found):
    lab.live["pump1"] = [rule for rule in lab.live["pump1"] if "22" not in rule.get("to_port", "")]
    lab.verdicts[DESK, PUMP1, "tcp", 22] = found
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 22)
    assert (verdict.status, verdict.ended) == (Status.BLOCKED, "pump1")
    assert (
        verdict.cause
        == "pump1 lacks the rule `allow in proto tcp from 10.0.1.0/24 to 10.0.2.0/24 port 22,80,8000:8009`"
    )
    assert verdict.flow.why == "administration"


def test_a_rule_that_is_missing_on_the_router_is_told_from_one_on_the_host(lab):
    lab.live["router"] = [rule for rule in lab.live["router"] if not rule.get("route")]
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "DROPPED"
    lab.held.add((DESK, PUMP1, "tcp", 22))
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).cause.startswith("router lacks the rule `route allow")


def test_where_the_packet_ended_counts_more_than_what_the_rules_say_there(lab):
    lab.live["router"] = [{"rule": "allow", "route": True, "app": "OpenSSH"}]  # nobody here knows what it lets through
    lab.live["pump1"] = []
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "DROPPED"
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).cause.startswith("pump1 lacks the rule `allow in")


def test_a_rule_in_the_way_is_named(lab):
    lab.live["pump1"].insert(0, {"rule": "deny", "proto": "tcp", "to_port": "22"})
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "DROPPED"
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 22)
    assert verdict.cause == "pump1's rule `deny in proto tcp from any to any port 22` stands before what lets it in"


def test_a_block_that_no_rule_explains_says_where_the_packet_ended(lab):
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "DROPPED"
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).cause == "no UFW rule explains it: it was last seen at pump1"


def test_silence_proves_nothing_where_the_packet_met_no_filter(lab):
    lab.silent.add("world")
    verdict = verdict_of(lab, WORLD, PUMP1, "tcp", 22)
    assert verdict.status == Status.INCONCLUSIVE
    assert "it was seen at no gateway and not at pump1" in verdict.cause
    assert not lab.proof().holds


def test_without_ears_another_answer_between_the_same_addresses_is_the_control(lab):
    lab.hears = dict.fromkeys(lab.hears, False)
    lab.silent.add("desk")
    assert verdict_of(lab, DESK, PUMP1, "tcp", 23).status == Status.DENIED  # its ssh was answered
    lab.silent.add("world")
    assert verdict_of(lab, WORLD, PUMP1, "tcp", 23).status == Status.INCONCLUSIVE


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_silence_of_a_port_that_nobody_can_listen_on_proves_nothing(lab, proto):
    lab.unusable["pump1"] = {(proto, PUMP1, 23 if proto == "tcp" else 22): "Permission denied"}
    verdict = verdict_of(lab, DESK, PUMP1, proto, 23 if proto == "tcp" else 22)
    assert verdict.status == Status.INCONCLUSIVE and "Permission denied" in verdict.cause


def test_silence_after_the_listener_was_gone_proves_nothing(lab):
    lab.running["pump1"] = False
    statuses = Counter(verdict.status for verdict in lab.proof().verdicts if verdict.dest.host == "pump1")
    assert set(statuses) == {Status.ALLOWED, Status.INCONCLUSIVE}


def test_a_declared_flow_that_was_refused_past_the_firewall_is_not_called_blocked(lab):
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "REJECTED"
    lab.passes[DESK, PUMP1, "tcp", 22] = True
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).status == Status.INCONCLUSIVE


@pytest.mark.parametrize("port", [22, 23])
def test_an_answer_from_the_wrong_host_fails_whether_declared_or_not(lab, port):
    lab.verdicts[DESK, PUMP1, "tcp", port] = "MISDIRECTED"
    lab.details[DESK, PUMP1, "tcp", port] = "pump2 answered, at 10.0.2.12"
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", port)
    assert (verdict.status, verdict.cause) == (Status.MISDIRECTED, "pump2 answered, at 10.0.2.12")


def test_a_real_service_that_answers_elsewhere_is_found_by_the_packet_that_never_came(lab):
    lab.services["pump1"] = {("tcp", PUMP1, 22): "sshd"}
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).status == Status.ALLOWED
    lab.verdicts[DESK, PUMP1, "tcp", 22] = "ALLOWED"
    lab.silent.add("desk")
    lab.passes[DESK, PUMP1, "tcp", 22] = False
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 22)
    assert (verdict.status, verdict.cause) == (
        Status.MISDIRECTED,
        "a service answered, but no packet ever came to pump1",
    )


def test_the_outer_address_of_a_router_is_not_the_internet(lab):
    assert verdict_of(lab, DESK, "203.0.113.10", "tcp", 80).status == Status.ALLOWED
    assert verdict_of(lab, DESK, "203.0.113.1", "tcp", 80).status == Status.DENIED
    lab.verdicts[DESK, "203.0.113.1", "tcp", 80] = "ALLOWED"
    assert verdict_of(lab, DESK, "203.0.113.1", "tcp", 80).status == Status.OPEN


# -- what no host decides about others ---------------------------------------------------------------------------------

KEY = b"k" * 32


def test_an_answer_without_the_listener_s_code_is_another_host_s():
    job = Job("1/2", "tcp", PUMP1, 22, DESK, host="pump1", listening=True)
    right = code_of(KEY, "run", "tcp", "1/2", "pump1", DESK, PUMP1, 22)
    said = Result("1/2", Verdict.ALLOWED, mac=right)
    assert checked(job, said, KEY, "run") == said
    for wrong in ("", "0" * 32, code_of(b"x" * 32, "run", "tcp", "1/2", "pump1", DESK, PUMP1, 22)):
        assert checked(job, said._replace(mac=wrong), KEY, "run").verdict is Verdict.MISDIRECTED
    # The code of another port, protocol, job or run does not serve.
    for other in (job._replace(port=23), job._replace(proto="udp"), job._replace(id="1/3"), job._replace(host="pump2")):
        assert checked(other, said, KEY, "run").verdict is Verdict.MISDIRECTED
    assert checked(job, said, KEY, "another run").verdict is Verdict.MISDIRECTED
    # Nor does a source that the listener did not see.
    assert checked(job, said._replace(peer=PUMP2), KEY, "run").verdict is Verdict.MISDIRECTED


def test_a_service_has_no_key_and_a_wrong_code_is_no_service():
    job = Job("1/2", "tcp", PUMP1, 22, DESK, host="pump1", listening=True, service=True)
    said = Result("1/2", Verdict.ALLOWED)
    assert checked(job, said, KEY, "run") == said
    assert checked(job, said._replace(mac="0" * 32), KEY, "run").verdict is Verdict.MISDIRECTED


def test_a_silence_that_no_host_but_the_sender_vouches_for_proves_nothing(lab):
    """It sent what is declared, and was answered; the rest it only claims to have sent."""
    lab.silent.add("desk")
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).status == Status.ALLOWED
    assert verdict_of(lab, DESK, PUMP1, "tcp", 23).status == Status.INCONCLUSIVE


def test_a_gateway_is_no_witness_of_packets_that_do_not_cross_it(lab):
    beside, across = (PUMP2, PUMP1, "tcp", 23), (DESK, PUMP1, "tcp", 23)
    lab.silent.update(("pump2", "desk"))
    lab.claimed["router"] = [beside, across]
    assert verdict_of(lab, *beside).status == Status.INCONCLUSIVE
    assert verdict_of(lab, *across).status == Status.DENIED


def test_packets_that_a_listener_lost_make_its_silence_worthless(lab):
    lab.lost["pump1"] = 1
    verdict = verdict_of(lab, DESK, PUMP1, "tcp", 23)
    assert verdict.status == Status.INCONCLUSIVE and "lost 1 packets" in verdict.cause
    assert verdict_of(lab, DESK, PUMP1, "tcp", 22).status == Status.ALLOWED


def test_a_gateway_that_lost_packets_cannot_say_that_one_ended_there(lab):
    key = DESK, PUMP1, "tcp", 23
    lab.held.add(key)
    assert verdict_of(lab, *key).ended == "router"
    lab.lost_wire["router"] = 1
    assert verdict_of(lab, *key).status == Status.INCONCLUSIVE


def test_a_service_s_answer_is_no_answer_between_the_hosts_without_a_witness(lab):
    lab.hears = dict.fromkeys(lab.hears, False)
    lab.silent.add("desk")
    for port in (22, 80, *range(8000, 8010)):
        lab.services["pump1"]["tcp", PUMP1, port] = "sshd"
    assert verdict_of(lab, DESK, PUMP1, "tcp", 23).status == Status.INCONCLUSIVE


def limited_jobs(lab):
    """The probes of the desk to ports with a limit, as (source, dest, proto, port)."""
    keys = [(job.source, job.dest, job.proto, job.port) for job in lab.jobs("desk")]
    return [key for key in keys if (flow := lab.policy.flow_for(*key)) and flow.limit]


def test_a_limited_flow_that_is_let_in_is_allowed_like_any_other(limited_lab):
    proof = limited_lab.proof()
    assert proof.holds and set(proof.count) == {Status.ALLOWED, Status.DENIED}


def test_what_a_limit_refused_is_not_blocked_where_another_probe_was_let_in(limited_lab):
    first, *others = limited_jobs(limited_lab)
    for key in others:
        limited_lab.verdicts[key] = "REJECTED"
    proof = limited_lab.proof()
    assert proof.count[Status.LIMITED] == len(others) > 1 and proof.holds
    assert verdict_of(limited_lab, *first).status == Status.ALLOWED


def test_where_a_limit_let_nothing_in_nothing_is_proven_and_the_remedy_is_to_wait(limited_lab):
    for key in limited_jobs(limited_lab):
        limited_lab.verdicts[key] = "DROPPED"
    proof = limited_lab.proof()
    assert Status.BLOCKED not in proof.count and Status.LIMITED not in proof.count and not proof.holds
    verdict = verdict_of(limited_lab, *limited_jobs(limited_lab)[0])
    assert verdict.status == Status.INCONCLUSIVE
    assert verdict.remedy == "run it again when desk has opened none for 30 s"


def test_a_limited_flow_whose_rule_is_missing_is_blocked_whatever_else_was_let_in(limited_lab):
    key = limited_jobs(limited_lab)[0]
    pump = {PUMP1: "pump1", PUMP2: "pump2"}[key[1]]
    limited_lab.verdicts[key] = "DROPPED"
    limited_lab.live[pump] = [rule for rule in limited_lab.live[pump] if rule["rule"] != "limit"]
    verdict = verdict_of(limited_lab, *key)
    assert verdict.status == Status.BLOCKED and f"{pump} lacks the rule `limit in proto tcp" in verdict.cause


def test_a_rule_that_lets_in_without_the_declared_limit_is_a_stray(limited_lab):
    limited_lab.live["pump1"] = [
        {**rule, "rule": "allow"} if rule["rule"] == "limit" else rule for rule in limited_lab.live["pump1"]
    ]
    assert not limited_lab.proof().holds


def test_what_runs_over_the_tailnet_alone_is_blocked_on_the_lan(tailnet_lab):
    assert tailnet_lab.proof().holds
    assert verdict_of(tailnet_lab, DESK, PUMP1, "udp", 53).status == Status.DENIED
    assert verdict_of(tailnet_lab, WORLD, PUMP1, "udp", 41641).status == Status.ALLOWED
    tailnet_lab.verdicts[DESK, PUMP1, "udp", 53] = "ALLOWED"
    assert verdict_of(tailnet_lab, DESK, PUMP1, "udp", 53).status == Status.OPEN


def test_the_rules_of_the_tailnet_explain_nothing_that_the_lan_lets_in(tailnet_lab):
    tailnet_lab.live["pump1"].append(OPENED)
    tailnet_lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    cause = verdict_of(tailnet_lab, PUMP2, PUMP1, "tcp", 9999).cause
    assert cause.startswith("let in by pump1's rule `allow in proto tcp from any to any port 9999`")


# -- IPv6 --------------------------------------------------------------------------------------------------------------

DESK6, PUMP6 = "fd00:1::11", "fd00:2::11"


def test_a_site_of_both_ip_versions_holds_where_both_do_what_it_declares(dual_lab):
    proof = dual_lab.proof()
    found = Counter((verdict.dest.version, verdict.status) for verdict in proof.verdicts)
    assert proof.holds and {status for _version, status in found} == {Status.ALLOWED, Status.DENIED}
    assert found[6, Status.ALLOWED] > 10 < found[6, Status.DENIED]


def test_what_is_open_over_ipv6_alone_is_found_and_named_with_its_rule(dual_lab):
    dual_lab.live["pump1"].insert(0, {"rule": "allow", "from_ip": "fd00:1::/64", "to_port": "8443", "proto": "tcp"})
    dual_lab.live["router"].insert(0, {"rule": "allow", "route": True, "to_ip": "fd00:2::/64", "to_port": "8443"})
    dual_lab.verdicts[DESK6, PUMP6, "tcp", 8443] = "ALLOWED"
    proof = dual_lab.proof()
    assert [(one.source.address, one.dest.address) for one in proof.verdicts if one.status is Status.OPEN] == [
        (DESK6, PUMP6)
    ]
    verdict = verdict_of(dual_lab, DESK6, PUMP6, "tcp", 8443)
    assert "router's rule `route allow" in verdict.cause
    assert "pump1's rule `allow in proto tcp from fd00:1::/64 to any port 8443`" in verdict.cause


def test_what_is_blocked_over_ipv6_alone_names_the_rule_that_is_missing(dual_lab):
    dual_lab.live["pump1"] = [rule for rule in dual_lab.live["pump1"] if ":" not in rule.get("from_ip", "")]
    dual_lab.verdicts[DESK6, PUMP6, "tcp", 22] = "DROPPED"
    verdict = verdict_of(dual_lab, DESK6, PUMP6, "tcp", 22)
    assert verdict.status is Status.BLOCKED
    assert verdict.cause.startswith("pump1 lacks the rule `allow in proto tcp from fd00:1::/64")
    assert verdict_of(dual_lab, DESK, PUMP1, "tcp", 22).status is Status.ALLOWED


def test_a_firewall_that_leaves_ipv6_alone_is_found(dual_lab):
    """Every packet of IPv6 passes, none of IPv4 does: what IPV6=no in /etc/default/ufw comes to."""
    for job in dual_lab.jobs("desk"):
        if job.dest == PUMP6:
            dual_lab.verdicts[DESK6, PUMP6, job.proto, job.port] = "ALLOWED"
    found = {one.dest.version for one in dual_lab.proof().verdicts if one.status is Status.OPEN}
    assert found == {6}


def test_silence_over_ipv6_is_no_proof_where_no_filter_met_the_packet(dual_lab):
    dual_lab.held.add((DESK6, PUMP6, "tcp", 25))
    dual_lab.silent.add("desk")
    proof = dual_lab.proof()
    doubtful = [one for one in proof.verdicts if one.status is Status.INCONCLUSIVE and one.dest.version == 6]
    assert doubtful and all("no filter is known to have met it" in one.cause for one in doubtful)


def test_no_way_to_a_neighbour_over_ipv6_points_to_neighbour_discovery(dual_lab):
    key = "fd00:1::1", DESK6, "tcp", 8000
    dual_lab.verdicts[key] = "NO_ROUTE"
    dual_lab.silent.add("router")
    verdict = verdict_of(dual_lab, *key)
    assert verdict.status is Status.INCONCLUSIVE
    assert "neighbour discovery" in verdict.remedy and "ICMPv6" in verdict.remedy
