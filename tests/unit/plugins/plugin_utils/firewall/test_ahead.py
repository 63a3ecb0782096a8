# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest
from ansible import constants

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead

SAME = {"changed": False, "same": True, "rules": []}
RULESET = {"state": "enabled", "rules": [{"rule": "allow", "to_port": 22}], "confirm": {"timeout": 30}}


@pytest.fixture(autouse=True)
def fixture_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def name(ruleset=None, host="web1", check=False, **more):
    task = SimpleNamespace(check_mode=check, **more)
    return ahead.question(task, {"inventory_hostname": host}, RULESET if ruleset is None else ruleset)


def test_an_answer_is_taken_once_and_is_this_user_s_alone(tmp_path):
    ahead.keep(name(), SAME)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert ahead.take(name()) == SAME and ahead.take(name()) is None


@pytest.mark.parametrize(
    "other",
    [
        {"host": "web2"},
        {"check": True},
        {"ruleset": {**RULESET, "rules": []}},
        {"ruleset": {**RULESET, "purge": True}},
        {"ruleset": {**RULESET, "ipv6": False}},
        {"delegate_to": "web2"},
        {"ruleset": "enabled"},
        {"host": ""},
    ],
    ids=str,
)
def test_an_answer_is_good_for_the_same_ruleset_of_the_same_host_alone(other):
    ahead.keep(name(), SAME)
    assert ahead.take(name(**other)) is None
    ahead.keep(name(**other), SAME)
    assert ahead.take(name()) == SAME


def test_what_is_left_out_and_how_a_change_is_confirmed_make_no_other_question():
    assert name({**RULESET, "keep": None, "ways": ["all"], "confirm": {"timeout": 31}}) == name()


@pytest.mark.parametrize("later", [ahead.SOON + 1, -1])
def test_an_answer_of_another_time_is_none(monkeypatch, later):
    ahead.keep(name(), SAME)
    now = ahead.time.time()
    monkeypatch.setattr(ahead.time, "time", lambda: now + later)
    assert ahead.take(name()) is None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"changed": False},
        {**SAME, "same": "yes"},
        {**SAME, "changed": True},
        {**SAME, "failed": True},
        {**SAME, "ansible_facts": {"bulkhead_flows": []}},
        {**SAME, "_ansible_delegated_vars": {}},
        {**SAME, "add_host": {"host_name": "x"}},
        {**SAME, "pending": {"token": "x"}},
    ],
    ids=str,
)
def test_what_a_host_says_beyond_the_module_s_answer_is_not_kept(answer):
    ahead.keep(name(), answer)
    assert ahead.take(name()) is None


def test_what_is_there_under_the_name_is_replaced_and_not_written_through(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    (tmp_path / name()).symlink_to(elsewhere)
    ahead.keep(name(), SAME)
    assert elsewhere.read_text() == "theirs" and ahead.take(name()) == SAME
