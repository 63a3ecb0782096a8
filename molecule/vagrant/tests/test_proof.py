"""The site as a whole, by real packets and by the rules: what is declared works, over the VLANs and the mesh too, and nothing else does."""

from __future__ import annotations

import json

import pytest
from vms import CHECKOUT

PROOF = CHECKOUT / "reports/vagrant.json"


@pytest.fixture(name="prove")
def fixture_prove(play):
    """prove() -> (whether it holds, the report)."""

    def prove():
        PROOF.unlink(missing_ok=True)
        done = play("playbooks/prove.yml", "-e", f"prove_report={PROOF.relative_to(CHECKOUT)}", check=False)
        assert PROOF.exists(), done.stdout[-6000:] + done.stderr[-2000:]
        return not done.returncode, json.loads(PROOF.read_text(encoding="utf-8")), done.stdout

    return prove


def host_of(probe):
    """The host of the container that a probe is from."""
    return probe["source"].split("/")[0]


def test_the_proof_finds_what_is_declared_and_nothing_else(prove):
    holds, proof, printed = prove()
    assert holds and proof["holds"] and proof["static"]["holds"] and proof["containers"]["holds"], printed[-6000:]
    # The published port, on the node that has a task of the service and on the one that has none, from the other one.
    at = {
        (one["source_host"], one["dest_host"], one["from"]): one["status"]
        for one in proof["probes"]
        if (one["proto"], one["port"], one["to"]) == ("tcp", 8080, one["from"])
    }
    for ends in (("vm1", "vm2"), ("vm2", "vm1")):
        assert [at[(*ends, tier)] for tier in ("control", "front", "workers")] == ["denied", "allowed", "denied"]
    # And from containers: as their host to the other one, and not at all to their own.
    inside = {
        (host_of(one), one["address"]): one["status"] for one in proof["containers"]["probes"] if one["port"] == 8080
    }
    for host, own, other in (("vm1", "10.20.0.11", "10.20.0.12"), ("vm2", "10.20.0.12", "10.20.0.11")):
        assert (inside[host, other], inside[host, own]) == ("allowed", "denied")


def test_the_proof_finds_a_published_port_that_answers_where_no_flow_says_so(prove, vm1):
    """What stops the containers of a node at what the Swarm publishes there, and others at the port without a flow, is one rule each."""
    vm1.run("iptables -I DOCKER-USER -j RETURN")
    try:
        holds, proof, printed = prove()
    finally:
        vm1.run("iptables -D DOCKER-USER -j RETURN")
    open_ = {(one["dest_host"], one["port"]) for one in proof["probes"] if one["status"] == "open"}
    inside = {(host_of(one), one["dest"]) for one in proof["containers"]["probes"] if one["status"] == "open"}
    assert not holds and open_ == {("vm1", 8080), ("vm1", 8081)}, printed[-6000:]
    assert inside == {("vm1", "vm1"), ("vm2", "vm1")}, printed[-6000:]
    assert vm1.out("iptables -S DOCKER-USER 1") != "-A DOCKER-USER -j RETURN"
