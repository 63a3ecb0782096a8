from __future__ import annotations

import json
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.action.prove import (
    LISTENING,
    PROBED,
    STOPPED,
    Fleet,
    make_proof,
    write_report,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import declare
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

DECLARED = {
    "bulkhead_tiers": {"plant": {"vlan": 2, "subnet": "10.0.2.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "plant", "to": "self", "allow": "ssh"}],
}
SITE = parse_site(DECLARED, date(2026, 1, 1))


class HostVars(dict):
    raw_get = dict.__getitem__


def a_host(address, peer, **results):
    """A tier's host that probed its peer at one port, and was answered."""
    ssh = {
        "id": address,
        "proto": "tcp",
        "source": address,
        "dest": peer[1],
        "port": 22,
        "host": peer[0],
        "service": False,
    }
    return {
        "group_names": ["plant"],
        LISTENING: {
            "addresses": [{"address": address, "prefix": 24, "interface": "eth0", "bridge": False}],
            "ports": [["tcp", 22, "declared"]],
            "hears": {"wire": True},
        },
        PROBED: {"jobs": [ssh], "results": [{"id": address, "verdict": "ALLOWED", "ms": 1}]},
        STOPPED: {"running": True, "passed": {"%s %s tcp" % (peer[1], address): [22]}},
        **results,
    }


@pytest.fixture
def hosts():
    return {
        "a": a_host("10.0.2.1", ("b", "10.0.2.2")),
        "b": a_host("10.0.2.2", ("a", "10.0.2.1")),
        "elsewhere": {"group_names": ["databases"]},
    }


def fleet_of(hosts):
    groups = {"all": list(hosts)}
    for name, variables in hosts.items():
        for group in variables["group_names"]:
            groups.setdefault(group, []).append(name)
    task_vars = {"ansible_play_hosts_all": list(hosts), "hostvars": HostVars(hosts), "groups": groups}
    return Fleet(task_vars, "outside", declare(DECLARED))


def proof_of(hosts):
    return make_proof(SITE, fleet_of(hosts), "1", 2.0)


def test_what_the_hosts_registered_becomes_the_proof(hosts):
    proof = proof_of(hosts)
    assert proof.holds and dict(proof.count) == {"allowed": 2}
    assert proof.hosts["a"].passed == {("10.0.2.2", "10.0.2.1", "tcp"): {22}}
    assert "elsewhere" not in proof.hosts


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"failed": True, "msg": "no\n  Python"}, "no Python"),
        ({"unreachable": True, "msg": "gone"}, "gone"),
        (None, "it was not reached"),
    ],
)
def test_a_host_whose_step_failed_is_missing_with_the_reason(hosts, result, reason):
    hosts["b"][PROBED] = result
    proof = proof_of(hosts)
    assert proof.missing == {"b": reason} and not proof.holds


def test_a_host_without_an_address_in_its_tier_is_missing(hosts):
    hosts["b"][LISTENING]["addresses"][0]["address"] = "192.168.1.5"
    hosts["a"][PROBED] = {"jobs": [], "results": []}
    assert proof_of(hosts).missing["b"] == "it has no address in its tier"


def test_groups_say_what_a_host_is():
    hosts = {"r": {"group_names": ["gateway", "outside"]}, "o": {"group_names": ["outside"]}, "x": {"group_names": []}}
    fleet = fleet_of(hosts)
    assert [fleet.part(name) for name in hosts] == ["gateway", "internet", ""]


def test_the_report_is_written_whole_where_there_was_no_folder(tmp_path):
    path = write_report(str(tmp_path / "reports" / "proof.json"), {"holds": True})
    assert json.loads((tmp_path / "reports" / "proof.json").read_text()) == {"holds": True}
    assert path == str(tmp_path / "reports" / "proof.json")
    assert [file.name for file in (tmp_path / "reports").iterdir()] == ["proof.json"]
