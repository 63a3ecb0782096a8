"""The two machines of the Vagrantfile, and what is run against them."""

from __future__ import annotations

import subprocess

import pytest
from vms import CHECKOUT, INVENTORY, Machine


@pytest.fixture(name="vm1", scope="session")
def fixture_vm1():
    return Machine("vm1")


@pytest.fixture(name="vm2", scope="session")
def fixture_vm2():
    return Machine("vm2")


@pytest.fixture(name="play", scope="session")
def fixture_play():
    """play(words of ansible-playbook or of ansible) -> what is printed."""

    def play(*words, check=True):
        program = "ansible-playbook" if words[0].endswith(".yml") else "ansible"
        done = subprocess.run(
            [program, "-i", str(INVENTORY), *words],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert not check or not done.returncode, done.stdout[-6000:] + done.stderr[-2000:]
        return done

    return play
