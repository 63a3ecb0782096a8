"""Fixtures of all scenarios' tests."""

from __future__ import annotations

import json
import os
import subprocess

import pytest


@pytest.fixture(name="run_module", scope="session")
def fixture_run_module(request):
    """run_module(host name, module, arguments, check) -> the module's whole answer, `failed` and `diff` included.

    testinfra's own host.ansible() reads what ansible-core keeps of an answer, and that is neither.
    """
    inventory = request.config.getoption("ansible_inventory")

    def run(host, module, arguments, check):
        command = ["ansible", host, "-i", inventory, "-m", module, "-a", json.dumps(arguments), "--diff"]
        done = subprocess.run(
            command + ["--check"] * check,
            env=dict(os.environ, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", ANSIBLE_LOAD_CALLBACK_PLUGINS="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        # Callbacks that the configuration enables may print more behind the JSON.
        assert "{" in done.stdout, done.stdout + done.stderr
        report, _end = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("{"))
        return report["plays"][0]["tasks"][0]["hosts"][host]

    return run
