# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every row of docs/from_community_general_ufw.md, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.peer import OWN, check_peer
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

PAGE = Path(__file__).parents[5] / "docs/from_community_general_ufw.md"
_ROW = re.compile(r"^\| (`.*) \| `(\{.*\})` \| `(\{.*\})` \| (?:`(.*)` )?\|$")
ROWS = [found.groups() for found in map(_ROW.match, PAGE.read_text(encoding="utf-8").split("\n")) if found]
#: The options of community.general.ufw 10.
THEIRS = (
    "state default policy direction logging insert insert_relative_to rule log from_ip from src from_port to_ip dest to "
    "to_port port proto protocol name app delete interface if interface_in if_in interface_out if_out route comment"
).split()
FILES = ("/etc/ufw/user.rules", "/etc/ufw/ufw.conf", "/etc/default/ufw")


def params(args):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": False, "rules": None}
    return {**wish, "confirm": {"timeout": 0}, **yaml.safe_load(args)}


def test_the_page_has_every_option_of_the_peer():
    assert len(ROWS) >= 30
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
    used = {key for row in ROWS for key in yaml.safe_load(row[1])}
    assert set(THEIRS) <= named | used
    assert used <= set(THEIRS), "an option that the peer does not have"


@pytest.mark.parametrize(("option", "theirs", "ours", "stored"), ROWS, ids=[row[1] for row in ROWS])
def test_what_the_page_says_is_what_is_stored_and_a_second_run_changes_nothing(tmp_path, option, theirs, ours, stored):
    host = FakeHost(tmp_path)
    converge(host, params(ours), False)
    text = "\n".join(host.file(name).read_text() for name in FILES)
    assert stored is None or stored in text, text
    assert converge(host, params(ours), False)["changed"] is False
    if "delete" in theirs:
        assert "8080" not in text


@pytest.mark.parametrize("args", sorted({row[1] for row in ROWS if "rule:" in row[1]}))
def test_a_rule_that_is_pasted_as_it_is_is_taken_or_answered_with_the_line_that_does_it(tmp_path, args):
    host = FakeHost(tmp_path)
    pasted = "{rules: [" + args + "]}"
    if "insert" not in args:
        converge(host, params(pasted), False)
        return
    with pytest.raises(Refused, match="position: first"):
        converge(host, params(pasted), False)


@pytest.mark.parametrize("args", sorted({row[1] for row in ROWS}))
def test_a_task_that_is_pasted_whole_is_answered_with_the_line_that_does_it(tmp_path, args):
    task = yaml.safe_load(args)
    lines = [
        mistake.remedy.partition("write ")[2] for mistake in check_peer(task) if mistake.path in ("default", "rules")
    ]
    if not lines:
        assert set(task) <= {"state", "logging", "default"} and "rule" not in task
        assert bool(check_peer(task)) == (task.get("state") in ("reloaded", "reset"))
        return
    (line,) = lines
    said = yaml.safe_load("{" + line + "}")
    host = FakeHost(tmp_path)
    assert not check_peer(said)
    converge(host, params("{" + line + "}"), False)
    assert converge(host, params("{" + line + "}"), False)["changed"] is False


def test_values_of_a_pasted_task_are_written_as_yaml_reads_them():
    task = {
        "rule": "allow",
        "port": "22:23",
        "from": "2001:db8::/32",
        "comment": 'a: "b" #c',
        "log": True,
        "name": None,
    }
    (mistake,) = check_peer(task)
    line = mistake.remedy.partition("write ")[2]
    assert yaml.safe_load("{" + line + "}") == {
        "rules": [{key: value for key, value in task.items() if value is not None}]
    }
    assert check_peer({"rules": [{"rule": "allow"}], "default": "deny", "state": "enabled"}) == []
    (mistake,) = check_peer({"default": "reject", "direction": "out"})
    assert mistake.remedy == "write default: {outgoing: reject}"


def test_the_options_that_are_not_looked_at_any_further_are_the_module_s():
    assert set(ARGUMENTS) == OWN


def test_a_task_in_the_module_s_own_words_imports_no_parser_of_rules():
    code = """
import sys
from ansible_collections.bulkhead.tiers.plugins.action import ufw_ruleset
parser = "ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse"
assert ufw_ruleset.check_peer({"state": "enabled", "default": {"incoming": "deny"}, "rules": []}) == []
assert parser not in sys.modules
assert ufw_ruleset.check_peer({"rule": "allow", "port": 22}) != [] and parser in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
