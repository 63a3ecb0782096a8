"""site.yml on a site that is wrong: one clear message, and no host is touched."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

CHECKOUT = pathlib.Path(__file__).parents[3]

TIERS = {
    "management": {"vlan": 10, "subnet": "10.0.1.0/24"},
    "swarm_workers": {"vlan": 40, "subnet": "10.116.0.0/16"},
}
SSH = {"from": "management", "to": "swarm_workers", "allow": "ssh"}

# What is declared instead of the lab's own: (variables, what the message says).
BAD = {
    "an unknown tier": (
        {"bulkhead_flows": [{**SSH, "to": "swarm_worker"}]},
        ["bulkhead_flows[0].to", "did you mean swarm_workers"],
    ),
    "overlapping subnets": (
        {"bulkhead_tiers": {**TIERS, "management": {"vlan": 10, "subnet": "10.116.4.0/24"}}},
        ["bulkhead_tiers.", ".subnet", "overlaps no other one"],
    ),
    "VLAN 4095": (
        {"bulkhead_tiers": {**TIERS, "management": {"vlan": 4095, "subnet": "10.0.1.0/24"}}},
        ["bulkhead_tiers.management.vlan: got 4095; expected a VLAN id from 1 to 4094"],
    ),
    "a port 70000": ({"bulkhead_services": {"ssh": "70000/tcp"}}, ["bulkhead_services.ssh", "70000", "expected"]),
    "an empty flow": ({"bulkhead_flows": [{}]}, ["bulkhead_flows[0]: got an empty flow"]),
    "a service that is not defined": (
        {"bulkhead_flows": [{**SSH, "allow": "telnet"}]},
        ["bulkhead_flows[0].allow", "telnet"],
    ),
    "a typo in a key": (
        {"bulkhead_flows": [{**SSH, "alow": "ssh"}]},
        ["bulkhead_flows[0]", "alow", "did you mean allow"],
    ),
    "YAML of the wrong type": ({"bulkhead_tiers": ["management"]}, ["bulkhead_tiers: got a list", "mapping"]),
}


def state(name):
    """What a run could change on a host."""
    script = "cat /etc/ufw/*.rules /etc/default/ufw /etc/docker/daemon.json 2>/dev/null; iptables-save | grep -v '^[:#]'; ip route"
    return subprocess.run(
        ["docker", "exec", "bulkhead-lab-" + name, "sh", "-c", script], capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_in_the_site_is_one_clear_message_and_no_host_is_touched(mistake):
    variables, expected = BAD[mistake]
    before = [state(name) for name in ("gw1", "mgmt1", "swarm1")]
    run = subprocess.run(
        ["ansible-playbook", "playbooks/site.yml", "--extra-vars", json.dumps(variables)],
        cwd=CHECKOUT,
        env=dict(os.environ, ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg"), ANSIBLE_NOCOLOR="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    # The callback wraps long lines.
    message = " ".join(run.stdout.split())
    for words in expected:
        assert words in message, run.stdout[-3000:]
    assert before == [state(name) for name in ("gw1", "mgmt1", "swarm1")]
    assert "changed=0" in run.stdout and not any("changed=%d" % count in run.stdout for count in range(1, 10))
