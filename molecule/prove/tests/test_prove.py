"""The proof finds what somebody changed by hand, and the next run of site.yml mends it."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest
import testinfra

CHECKOUT = pathlib.Path(__file__).parents[3]


def playbook(name):
    """(exit status, output) of a playbook on the lab."""
    run = subprocess.run(
        ["ansible-playbook", "playbooks/%s.yml" % name],
        cwd=CHECKOUT,
        env=dict(
            os.environ, ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg"), ANSIBLE_FORCE_COLOR="0", ANSIBLE_NOCOLOR="1"
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout


def tail(run):
    """The end of what a playbook printed, as an assertion's message."""
    return f"exit status {run[0]}\n{run[1][-6000:]}"


def require_success(run):
    assert run[0] == 0, tail(run)


def lab(name):
    return testinfra.get_host("docker://bulkhead-lab-" + name)


@pytest.fixture(name="tampered", scope="module")
def fixture_tampered():
    """An allow rule too many on mon1, one too few on mgmt1."""
    lab("mon1").check_output("ufw allow 9999/tcp")
    numbered = lab("mgmt1").check_output("ufw status numbered")
    (rule,) = (line for line in numbered.splitlines() if "8443" in line and "10.0.3.0/24" in line)
    lab("mgmt1").check_output("ufw --force delete " + re.match(r"\[ *(\d+)\]", rule)[1])
    yield
    require_success(playbook("site"))


@pytest.fixture(name="proof", scope="module")
def fixture_proof(tampered):
    return playbook("prove")


def test_the_proof_fails(proof):
    assert proof[0] != 0, tail(proof)


def test_a_port_that_somebody_opened_is_named_with_its_host_and_rule(proof):
    failures = [line for line in proof[1].splitlines() if "9999" in line]
    assert any("mon1" in line and "outside" not in line for line in failures), tail(proof)


def test_a_flow_that_somebody_closed_is_named_with_its_host_and_rule(proof):
    failures = [line for line in proof[1].splitlines() if "8443" in line and "mgmt1" in line]
    assert failures, tail(proof)


def test_the_next_run_of_the_site_mends_it_and_touches_only_what_was_broken(proof):
    run = playbook("site")
    require_success(run)
    changed = {m[1] for m in re.finditer(r"^(\w+) +: ok=\d+ +changed=([1-9])", run[1], re.MULTILINE)}
    assert changed == {"mon1", "mgmt1"}, tail(run)
    require_success(playbook("prove"))
