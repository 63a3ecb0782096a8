from __future__ import annotations

import os
import time

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext

from ansible_collections.bulkhead.tiers.plugins.plugin_utils import ways
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ways import Way

#: In place of ssh: it knows a host by its name, among its arguments.
SSH = """\
#!/bin/sh
case "$*" in
  *hangs*) exec sleep 300 ;;
  *floods*) exec yes ;;
  *refuses*) exit 255 ;;
  *lies*) echo "way 10.0.0.1 1 10.0.0.2 $(head -c 5000 /dev/zero | tr '\\0' 9)" ;;
  *babbles*) head -c 1000000 /dev/zero | tr '\\0' x; echo; echo "way 10.0.0.1 1 10.0.0.2 22" ;;
  *) printf 'Welcome\\nway 10.0.0.1 50000 10.0.0.2 22\\n' ;;
esac
"""


@pytest.fixture(name="ask")
def fixture_ask(tmp_path, monkeypatch):
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setattr(ways, "HARD", 8)
    monkeypatch.setattr(ways, "WORKERS", 3)

    def ask(*names, **more):
        variables = {
            name: {"ansible_ssh_executable": str(ssh), "ansible_host": name, "ansible_ssh_retries": 0} for name in names
        }
        context = PlayContext(play=None, passwords=None)
        return ways.ways(names, {"hostvars": variables}, context, DataLoader(), **more)

    return ask


def test_each_host_tells_its_own_way(ask):
    assert ask("one", "two") == ([Way("one", "10.0.0.1", "10.0.0.2", 22), Way("two", "10.0.0.1", "10.0.0.2", 22)], [])


def test_hosts_that_take_the_connection_and_never_end_the_command_hold_nothing_up(ask):
    began = set(ways._children())
    names = [*(f"hangs{number}" for number in range(2)), "floods", "good", "refuses"]
    found, silent = ask(*names)
    assert found == [Way("good", "10.0.0.1", "10.0.0.2", 22)] and silent == [name for name in names if name != "good"]
    end = time.monotonic() + 30
    while ways._children() - began and time.monotonic() < end:
        time.sleep(0.05)
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
    assert ways._children() - began == set()


def test_all_of_them_together_have_a_bound_as_well(ask, monkeypatch):
    monkeypatch.setattr(ways, "HARD", 300)
    names = [f"hangs{number}" for number in range(3)]
    assert ask(*names, within=1.0) == ([], names)


def test_what_a_host_says_is_an_address_and_a_port_or_nothing(ask):
    assert ask("lies") == ([Way("lies", "", "", 0)], [])
    assert ask("babbles") == ([Way("babbles", "", "", 0)], [])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a", "b", "c", "d"],
        ["10.0.0.1", "1", "10.0.0.2", "65536"],
        ["10.0.0.1", "1", "10.0.0.2", "-1"],
        ["10.0.0.1; reboot", "1", "10.0.0.2", "22"],
    ],
)
def test_other_words_are_no_way(words):
    assert ways._way("x", words) == Way("x", "", "", 0)


def test_an_address_with_a_zone_or_mapped_is_the_address():
    assert ways._way("x", ["::ffff:10.0.0.1", "1", "fe80::1%eth0", "22"]) == Way("x", "10.0.0.1", "fe80::1", 22)
