from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import Choice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import (
    WIDTH,
    coverage,
    failures,
    notes,
    report_json,
    report_lines,
    service_name,
    stray_rules,
    summary,
)

DESK, PUMP1, PUMP2 = "10.0.1.11", "10.0.2.11", "10.0.2.12"


def text(proof):
    return "\n".join(line for line, _dummy in report_lines(proof))


def broken(lab):
    """A port opened by hand on one host, and a rule deleted on another."""
    lab.live["pump1"].insert(0, {"rule": "allow", "proto": "tcp", "to_port": "9999"})
    lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    lab.live["pump2"] = [rule for rule in lab.live["pump2"] if "22" not in rule.get("to_port", "")]
    for port in (22, 80):
        lab.verdicts[DESK, PUMP2, "tcp", port] = "DROPPED"
    return lab.proof()


def test_a_proof_that_holds_reads_like_this(lab):
    proof = lab.proof()
    lines = text(proof).splitlines()
    assert lines[1].split() == ["from", "\u2193", "to", "\u2192", "office", "plant", "gateway", "internet"]
    assert lines[2].split()[:2] == ["office", "\u2013"]
    assert "office   \u2192 plant     ssh, web" in lines
    assert any(line.startswith("office   \u2192 internet  every port that was probed") for line in lines)
    assert any("0 wrong, 0 inconclusive." in line for line in lines)
    flat = " ".join(text(proof).split())
    assert "drawn by chance (seed 1), and not one got through: with 95 % confidence at most" in flat
    assert "Covered: 3 of 4 declared services" in text(proof)
    assert "note: not probed, as they have no ports: esp" in lines
    assert "\u2717" not in text(proof)
    assert summary(proof) == f"The isolation holds: all {len(proof.verdicts):,} probes found what the site declares."


def test_cells_add_up_to_the_probes(lab):
    proof = lab.proof()
    shown = [word for line in text(proof).split("\n\n", maxsplit=1)[0].splitlines() for word in line.split()]
    numbers = [int(before.replace(",", "")) for before, word in zip(shown, shown[1:]) if word in ("open", "shut")]
    assert sum(numbers) == len(proof.verdicts)


def test_failures_are_named_one_by_one_with_host_flow_and_rule(lab):
    proof = broken(lab)
    shown = text(proof)
    assert not proof.holds
    assert "\u2717 open, undeclared: pump2 \u2192 pump1  9999/tcp" in shown
    assert "let in by pump1's rule `allow in proto tcp from any to any port 9999`" in shown
    assert "\u2717 blocked, though declared: desk \u2192 pump2  22/tcp (ssh), 80/tcp (web)" in shown
    assert "declared by bulkhead_flows[0]: office -> plant ssh, web (administration)" in shown
    assert "DROPPED: pump2 lacks the rule `allow in proto tcp from 10.0.1.0/24 to 10.0.2.0/24 port" in shown
    assert summary(proof).endswith("probes failed (1 open, undeclared; 2 blocked, though declared).")


def test_a_failing_cell_is_marked_and_red(lab):
    marked = [
        (line, color)
        for line, color in report_lines(broken(lab))
        if "\u2717 1 failed" in line or "\u2717 2 failed" in line
    ]
    assert len(marked) == 2 and all(color == "red" for _dummy, color in marked)


def test_probes_that_failed_for_one_reason_are_one_failure(lab):
    assert [(found.status, found.probes, found.ports) for found in failures(broken(lab))] == [
        ("open", 1, ("9999/tcp",)),
        ("blocked", 2, ("22/tcp (ssh)", "80/tcp (web)")),
    ]


def test_a_rule_that_no_probe_shows_fails_the_proof_as_well(lab):
    lab.live["pump1"].append({"rule": "allow", "from_ip": "192.0.2.7"})
    lab.live["desk"].append({"rule": "allow", "app": "OpenSSH"})
    removed = lab.live["pump2"].pop()
    proof = lab.proof()
    assert not proof.holds and not failures(proof)
    assert [(stray.host, stray.rule) for stray in stray_rules(proof)] == [
        ("desk", "allow app OpenSSH"),
        ("pump1", "allow in from 192.0.2.7 to any"),
        ("pump2", "allow in proto {proto} from {from_ip} to {to_ip} port {to_port}".format(**removed)),
    ]
    assert "\u2717 rule not as declared: pump1's `allow in from 192.0.2.7 to any`" in text(proof)
    assert "3 rules not as declared" in summary(proof)


def test_a_rule_that_a_failed_probe_tells_of_is_not_told_twice(lab):
    assert stray_rules(broken(lab)) == []


def test_a_host_that_could_not_be_probed_fails_the_proof(lab):
    lab.missing["pump3"] = "Connection refused"
    proof = lab.proof()
    assert not proof.holds
    assert "\u2717 inconclusive: host pump3: Connection refused" in text(proof)
    assert "nothing is proven about pump3" in summary(proof)


def test_what_is_alike_of_hundreds_of_hosts_is_said_once(lab):
    proof = lab.proof()
    few = len(report_lines(proof))
    deaf = {
        f"w{number:03}": replace(host, hears=False, lost=2) for number in range(400) for host in [proof.hosts["pump1"]]
    }
    missing = {f"h{number:03}": "Connection refused" for number in range(500)}
    missing.update({f"k{number:03}": f"got {number} keys" for number in range(100)})
    many = replace(proof, hosts={**proof.hosts, **deaf}, missing=missing)
    lines = [line for line, _color in report_lines(many)]
    flat = " ".join(" ".join(lines).split())
    assert "inconclusive: hosts h000, h001, h002, h003, h004 and 495 more: Connection refused" in flat
    assert "the listener of w000, w001, w002, w003, w004 and 395 more may not see packets" in flat
    assert "could not keep up and lost 800 packets" in flat
    assert "and 76 more such hosts; the JSON report has them all" in lines and len(lines) < few + 60
    assert set(report_json(many)["missing"]) == set(missing)


def test_a_proof_of_nothing_does_not_hold(lab):
    proof = lab.proof()
    proof.verdicts.clear()
    assert not proof.holds and "nothing was probed" in summary(proof)
    assert text(proof)


def test_no_line_is_wider_than_the_terminal(lab):
    assert max(len(line) for line, _dummy in report_lines(broken(lab))) <= WIDTH


def test_the_json_report_holds_every_probe(lab):
    proof = broken(lab)
    content = json.loads(json.dumps(report_json(proof)))
    assert content["holds"] is False
    assert len(content["probes"]) == content["totals"]["probes"] == len(proof.verdicts)
    probe = next(probe for probe in content["probes"] if probe["port"] == 9999 and probe["status"] == "open")
    assert probe == {
        "from": "plant",
        "source_host": "pump2",
        "source": PUMP2,
        "to": "plant",
        "dest_host": "pump1",
        "dest": PUMP1,
        "proto": "tcp",
        "port": 9999,
        "why": "live rule",
        "declared": None,
        "found": "ALLOWED",
        "status": "open",
        "ended": "pump1",
        "detail": "",
    }


def test_a_port_is_named_by_its_service(lab):
    assert service_name(lab.site, "tcp", 8005) == "web"
    assert service_name(lab.site, "udp", 80) == "80/udp"


def test_a_proof_without_some_hosts_is_partial_and_says_which(lab):
    lab.left_out, lab.limit = ("pump9", "pump8"), "pump1,pump2"
    proof = lab.proof()
    assert proof.holds
    assert summary(proof).endswith("Partial: 2 hosts of the inventory left out by --limit pump1,pump2 (pump8, pump9).")
    assert summary(proof).startswith("The isolation holds between the 5 hosts of this run: all ")
    flat = " ".join(text(proof).split())
    assert "Partial: 2 hosts of the inventory left out by --limit pump1,pump2 (pump8, pump9); nothing is proven" in flat
    content = report_json(proof)
    assert content["partial"] is True and content["left_out"] == ["pump8", "pump9"]
    lab.left_out = ()
    assert report_json(lab.proof())["partial"] is False and "artial" not in text(lab.proof())


def test_what_a_limit_refused_is_counted_apart_and_the_report_says_what_was_not_probed(limited_lab):
    keys = [(job.source, job.dest, job.proto, job.port) for job in limited_lab.jobs("desk")]
    keys = [key for key in keys if (flow := limited_lab.policy.flow_for(*key)) and flow.limit]
    for key in keys[1:]:
        limited_lab.verdicts[key] = "REJECTED"
    proof = limited_lab.proof()
    text = "\n".join(line for line, _color in report_lines(proof))
    assert f"{len(keys) - 1} limited" in text
    assert f"{len(keys) - 1} refused by a declared limit" in " ".join(text.split())
    assert any(note.startswith("bulkhead_flows[0]: of ports with a limit") for note in notes(proof))
    assert report_json(proof)["totals"]["limited"] == len(keys) - 1


def test_the_probes_of_each_ip_version_are_counted(dual_lab, lab):
    proof = dual_lab.proof()
    counts = [sum(one.dest.version == version for one in proof.verdicts) for version in (4, 6)]
    flat = " ".join(text(proof).split())
    assert f"IPv4 ({counts[0]:,} probes) and IPv6 ({counts[1]:,} probes)." in flat
    assert "5 hosts, IPv4." in " ".join(text(lab.proof()).split())


def test_a_failure_over_ipv6_names_the_addresses(dual_lab):
    dual_lab.verdicts["fd00:1::11", "fd00:2::11", "tcp", 8443] = "ALLOWED"
    dual_lab.live["pump1"].insert(0, {"rule": "allow", "to_port": "8443", "proto": "tcp"})
    assert "desk (fd00:1::11) \u2192 pump1 (fd00:2::11)  8443/tcp" in " ".join(text(dual_lab.proof()).split("\n"))


def test_what_was_covered_is_said_beside_its_total(lab):
    proof = lab.proof()
    found = coverage(proof)
    assert found["pairs"] == found["pairs_total"] == 19 and found["flows"] == found["flows_total"] == len(
        proof.verdicts
    )
    assert "Covered: 3 of 4 declared services, 19 of 19 pairs of 5 hosts" in " ".join(text(proof).split())
    assert "kinds of hosts" not in text(proof)


def test_a_sample_of_the_pairs_is_said_with_its_bound_and_how_to_have_them_all(lab):
    """pump1 and pump2 are alike; desk -> pump2 and what goes between them was not probed."""
    whole = lab.proof()
    kept = [
        one for one in whole.verdicts if "pump2" not in (one.source.host, one.dest.host) or one.source.host == "router"
    ]
    few = frozenset({("router", "pump2")})
    choice = Choice(frozenset({("desk", "pump1")}), few, 4, 20)
    kinds = {"router": "r", "desk": "d", "pump1": "p", "pump2": "p", "world": "w"}
    proof = replace(whole, verdicts=kept, choice=choice, kinds=kinds)
    found = coverage(proof)
    assert found["kinds"] == 4 and found["pairs"] < found["pairs_total"] and found["flows"] < found["flows_total"]
    sampled = sum((one.source.host, one.dest.host) in few for one in kept)
    flat = " ".join(text(proof).split())
    assert f"none of {sampled:,} drawn by chance between them is wrong, so at most {300 / sampled:.2g}" in flat
    assert "prove_coverage=full" in flat
    assert report_json(proof)["coverage"] == found
