# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.pins import HEADER, add_pins

PATH = "group_vars/all/allocations.yml"

FILE = """---
# ours
bulkhead_allocations:  # pins
    # the first
    web: 172.30.0.0/24  # by hand

    "on": 172.30.1.0/24

# what follows
other: 1
"""


def test_new_pins_go_behind_the_old_ones_and_all_else_stays():
    after = add_pins(FILE, {"zoo": "172.30.3.0/24", "api": "fd00::/64"}, PATH)
    assert after == FILE.replace(
        '"on": 172.30.1.0/24\n', '"on": 172.30.1.0/24\n    api: "fd00::/64"\n    zoo: 172.30.3.0/24\n'
    )


def test_a_network_that_gets_a_second_subnet_keeps_its_line():
    after = add_pins(FILE, {"web": ["172.30.0.0/24", "fd00::/64"], "on": ["fd01::/64"], "a": ["10.0.0.0/24"]}, PATH)
    assert after == FILE.replace("web: 172.30.0.0/24", 'web: [172.30.0.0/24, "fd00::/64"]').replace(
        '"on": 172.30.1.0/24\n', '"on": ["fd01::/64"]\n    a: [10.0.0.0/24]\n'
    )
    assert yaml.safe_load(after)["bulkhead_allocations"]["web"] == ["172.30.0.0/24", "fd00::/64"]


def test_without_new_pins_not_a_character_changes():
    assert add_pins(FILE.rstrip(), {}, PATH) == FILE.rstrip()


def test_a_file_that_is_not_there_begins_with_what_it_is():
    assert add_pins(None, {"web": "172.30.0.0/24"}, PATH) == HEADER + "bulkhead_allocations:\n  web: 172.30.0.0/24\n"


@pytest.mark.parametrize("empty", ["", " {}", " null", "  # none yet", " {}  # none yet"])
def test_an_empty_variable_is_filled(empty):
    after = add_pins(f"bulkhead_allocations:{empty}\nother: 1\n", {"web": "172.30.0.0/24"}, PATH)
    assert yaml.safe_load(after) == {"bulkhead_allocations": {"web": "172.30.0.0/24"}, "other": 1}
    assert ("none yet" in after) == ("none yet" in empty)


def test_a_file_without_the_variable_gets_it_at_its_end():
    assert add_pins("other: 1\n", {"web": "172.30.0.0/24"}, PATH).startswith("other: 1\nbulkhead_allocations:\n  web:")


def test_a_mapping_in_braces_is_not_guessed_at():
    with pytest.raises(Refused, match="without braces"):
        add_pins("bulkhead_allocations: {web: 172.30.0.0/24}\n", {"api": "172.30.1.0/24"}, PATH)


@pytest.mark.parametrize("name", ["on", "no", "null", "1e3", "10", "a.b"])
def test_names_that_yaml_would_read_otherwise_are_quoted(name):
    assert yaml.safe_load(add_pins(None, {name: "172.30.0.0/24"}, PATH)) == {
        "bulkhead_allocations": {name: "172.30.0.0/24"}
    }
