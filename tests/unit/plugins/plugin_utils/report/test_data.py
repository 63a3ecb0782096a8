from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Verdict
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import ContainersProof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import Probe as Inside
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import report_json
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import Probe as Over
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import TailnetProof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import RULED, changes, report_data
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.formats import markdown_text, sarif_json
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.page import page_html
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import (
    EVERYTHING_ELSE,
    Answer,
    Cell,
    Finding,
    Hop,
    Kind,
    Severity,
    Static,
)

DESK, PUMP1, PUMP2 = "10.0.1.11", "10.0.2.11", "10.0.2.12"


def data_of(lab, **others):
    return report_data(lab.site, "plant", "2026-11-29", **others)


def cell_of(data, start, end):
    return next(cell for cell in data["cells"] if (cell["from"], cell["to"]) == (start, end))


def live_of(data, start, end):
    return {one["name"]: one["live"] for one in cell_of(data, start, end)["services"]}


def test_a_plan_says_what_is_declared_and_nothing_of_what_was_found(lab):
    data = data_of(lab)
    assert data["verdict"] is None and data["findings"] == [] and data["hosts"] == {}
    assert live_of(data, "office", "plant") == {"ssh": None, "web": None}
    assert [one["ports"] for one in cell_of(data, "office", "plant")["services"]] == [
        ["22/tcp"],
        ["80/tcp", "8000-8009/tcp"],
    ]


def test_a_proof_marks_each_service_by_what_packets_found(lab):
    data = data_of(lab, proof=lab.proof())
    assert data["verdict"]["holds"]
    assert live_of(data, "office", "plant") == {"ssh": "holds", "web": "holds"}
    assert sum(cell["probes"] for cell in data["cells"]) == data["verdict"]["probes"]


def test_a_flow_of_every_port_is_one_service_with_all_its_probes(lab):
    data = data_of(lab, proof=lab.proof())
    (one,) = cell_of(data, "office", "internet")["services"]
    assert (one["name"], one["live"]) == ("any", "holds")
    assert one["count"] == cell_of(data, "office", "internet")["probes"] > 10


def test_no_cell_names_a_service_twice(lab):
    tiers = {
        "office": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1"},
        "plant": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    }
    flows = [{"from": "plant", "to": "self", "allow": "web"}]
    services = {"web": ["80/tcp", "8000-8009/tcp"]}
    other = type(lab)({"bulkhead_tiers": tiers, "bulkhead_services": services, "bulkhead_flows": flows})
    # The router's leg counts as the plant's: no flow of the matrix is from the gateway.
    (one,) = cell_of(data_of(other, proof=other.proof()), "gateway", "plant")["services"]
    assert (one["name"], one["live"]) == ("web", "holds") and one["count"] > 2


def test_a_declared_service_that_is_blocked_is_wrong_in_its_cell_alone(lab):
    lab.verdicts[DESK, PUMP2, "tcp", 22] = "DROPPED"
    data = data_of(lab, proof=lab.proof())
    assert live_of(data, "office", "plant") == {"ssh": "wrong", "web": "holds"}
    assert live_of(data, "plant", "plant") == {"dns": "holds"}
    shown = next(one for one in cell_of(data, "office", "plant")["services"] if one["name"] == "ssh")
    assert shown["probes"][0] == {
        "from": f"desk {DESK}",
        "to": f"pump2 {PUMP2}",
        "port": "22/tcp",
        "found": "DROPPED",
        "status": "blocked",
        "ended": shown["probes"][0]["ended"],
    }


def test_an_open_port_that_no_flow_declares_stands_in_its_cell_and_in_the_findings(lab):
    lab.live["pump1"].insert(0, {"rule": "allow", "proto": "tcp", "to_port": "9999"})
    lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    data = data_of(lab, proof=lab.proof())
    assert live_of(data, "plant", "plant")["9999/tcp"] == "wrong"
    (first, *_others) = data["findings"]
    assert (first["kind"], first["cells"], first["witness"]) == ("open", [["plant", "plant"]], "pump2 → pump1 9999/tcp")


def test_a_host_without_a_proof_is_a_finding(lab):
    lab.missing = {"pump2": "it was not reached"}
    found = [finding for finding in data_of(lab, proof=lab.proof())["findings"] if finding["kind"] == "missing"]
    assert [(finding["witness"], finding["cause"]) for finding in found] == [("pump2", "it was not reached")]


def test_what_changed_since_the_last_proof_is_said_as_flows_both_ways(lab):
    before = report_json(lab.proof())
    lab.verdicts[DESK, PUMP1, "tcp", 22] = lab.verdicts[DESK, PUMP2, "tcp", 22] = "DROPPED"
    lab.verdicts[PUMP1, DESK, "tcp", 80] = "ALLOWED"
    now = lab.proof()
    assert changes(before, now) == {"opened": ["plant → office: web"], "closed": ["office → plant: ssh"]}
    assert changes(report_json(now), now) == {"opened": [], "closed": []}


def test_the_page_can_answer_from_the_spans_of_every_flow(lab):
    ask = data_of(lab)["ask"]
    first = ask["flows"][0]
    start, end = first["pairs"][0]
    assert ask["ends"][start]["source"] == [["a000100", "a0001ff"]]
    # A router's own address in the tier is no part of it, as a destination.
    assert ask["ends"][end]["destination"] == [["a000200", "a000200"], ["a000202", "a0002ff"]]
    assert first["ports"] == [["tcp", 22, 22], ["tcp", 80, 80], ["tcp", 8000, 8009]]


# -- the static proof --------------------------------------------------------------------------------------------------


def static_of(*cells, findings=()):
    return Static(tuple(cells), tuple(findings), hosts=4, groups=3)


def ruled(service, verdict, flow="bulkhead_flows[0]", end="plant", expected=Answer.ALLOWED):
    return Cell("office", end, service, flow, expected, verdict)


def static_marks(data, start="office", end="plant"):
    return {one["name"]: one["static"] for one in cell_of(data, start, end)["services"]}


def test_a_cell_says_what_the_rules_let_through_beside_what_packets_found(lab):
    static = static_of(ruled("ssh", Answer.ALLOWED), ruled("web", Answer.PARTLY))
    data = data_of(lab, proof=lab.proof(), static=static)
    assert static_marks(data) == {"ssh": "holds", "web": "wrong"} and live_of(data, "office", "plant")["web"] == "holds"
    assert data["static"]["holds"] is True and "4 hosts" in data["static"]["text"]


def test_where_the_static_proof_did_not_run_nothing_is_said_of_rules(lab):
    data = data_of(lab, proof=lab.proof())
    assert data["static"] is None and set(static_marks(data).values()) == {None} and not data["findings"]
    assert "The static proof was not run" in page_html(data)


def test_what_the_rules_do_not_tell_is_neither(lab):
    static = static_of(ruled("ssh", Answer.UNKNOWN), ruled("web", Answer.DENIED))
    assert static_marks(data_of(lab, proof=lab.proof(), static=static)) == {"ssh": "unknown", "web": "wrong"}


def test_everything_else_that_the_rules_let_through_is_shown_in_its_cell_and_in_one_that_had_none(lab):
    rest = [
        ruled(EVERYTHING_ELSE, Answer.PARTLY, "", end, expected=Answer.DENIED)
        for end in ("plant", "a place of no flow")
    ]
    data = data_of(lab, proof=lab.proof(), static=static_of(*rest))
    assert (
        static_marks(data)[EVERYTHING_ELSE] == static_marks(data, end="a place of no flow")[EVERYTHING_ELSE] == "wrong"
    )
    assert "a place of no flow" in data["places"]
    holds = ruled(EVERYTHING_ELSE, Answer.DENIED, "", expected=Answer.DENIED)
    data = data_of(lab, proof=lab.proof(), static=static_of(holds))
    assert EVERYTHING_ELSE not in static_marks(data) and cell_of(data, "office", "plant")["rest"] == "holds"


def test_an_end_that_is_no_place_of_the_matrix_has_a_column_only_where_it_is_not_as_declared(lab):
    for answer in (Answer.ALLOWED, Answer.UNKNOWN):
        static = static_of(ruled("ssh", answer, end="printer"), ruled("ssh", Answer.ALLOWED))
        assert "printer" not in data_of(lab, proof=lab.proof(), static=static)["places"]
    static = static_of(ruled("ssh", Answer.DENIED, end="printer"))
    assert "printer" in data_of(lab, proof=lab.proof(), static=static)["places"]


def test_static_findings_stand_among_the_others_errors_first_with_their_hops(lab):
    hop = Hop("pump1", "ufw-user-input", "allowed", "-p tcp --dport 9999 -j ACCEPT\x1b[2J")
    findings = [
        Finding(Kind.DEAD, Severity.NOTE, "pump1", "a rule decides nothing", "remove it"),
        Finding(
            Kind.OPEN, Severity.ERROR, "pump1", "9999/tcp is open", "run site.yml", "10.0.1.5 -> 10.0.2.11", (hop,),
            cells=(("office", "plant"),), times=3,
        ),
    ]  # fmt: skip
    data = data_of(lab, proof=lab.proof(), static=static_of(findings=findings))
    assert [one["kind"] for one in data["findings"]] == ["static-open", "static-dead"]
    first = data["findings"][0]
    assert first["cells"] == [["office", "plant"]] and first["times"] == 3 and first["severity"] == "error"
    assert first["hops"][0].startswith("pump1 ufw-user-input: -p tcp") and "\x1b" not in first["hops"][0]
    assert data["static"]["holds"] is False
    page = page_html(data)
    assert "the isolation is not proven" in page and "9999/tcp is open (3 times alike)" in page
    levels = [one["level"] for one in json.loads(sarif_json(data))["runs"][0]["results"]]
    assert levels == ["error", "note"] and "Static proof" in sarif_json(data)
    assert "9999/tcp is open" in markdown_text(data)


def test_failures_over_the_tailnet_and_from_containers_are_findings(lab):
    from_container = Inside(
        Status.OPEN, "a1/web", "a1", "10.0.1.1", "tcp", 22, Verdict.ALLOWED, cause="no flow lets it"
    )
    over = Over(Status.BLOCKED, "web1", "db1", "tcp", 5432, Verdict.DROPPED, "bulkhead_flows[0]", "the policy lacks it")
    proof = replace(
        lab.proof(),
        containers=ContainersProof((), (from_container, from_container._replace(port=80)), {}, {}),
        tailnet=TailnetProof((), (over,), {}, {"web2": "it has no address"}),
    )
    found = [(one["kind"], one["title"], one["witness"]) for one in data_of(lab, proof=proof)["findings"]]
    assert found == [
        ("blocked", "blocked, though declared, over the tailnet", "web1 → db1 5432/tcp"),
        ("missing", "not proven", "web2"),
        ("open", "open, undeclared, from a container", "a1/web → a1 22/tcp, 80/tcp"),
    ]


def test_every_kind_of_a_static_finding_has_a_title_of_its_own():
    assert {kind.value for kind in Kind} <= set(RULED) and len(set(RULED.values())) == len(RULED)
