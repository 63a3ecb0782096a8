# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import OUTSIDE, below


def test_a_path_that_is_not_there_yet_is_below_where_it_will_be(tmp_path):
    assert below(str(tmp_path), "reports/new.json", "report", "reports") == str(tmp_path / "reports" / "new.json")
    assert below(str(tmp_path), str(tmp_path / "a"), "report", "reports") == str(tmp_path / "a")


@pytest.mark.parametrize("path", ["..", "../x", "/etc/cron.d/x", "link/x", "a/../../x"])
def test_a_path_outside_is_refused_with_what_it_is(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(Refused) as refused:
        below(str(root), path, "report", "reports")
    (mistake,) = refused.value.mistakes
    assert mistake.kind == OUTSIDE and mistake.path == "report" and str(root) in mistake.expected


def test_a_folder_with_the_same_beginning_is_outside(tmp_path):
    (tmp_path / "stacks-old").mkdir()
    with pytest.raises(Refused):
        below(str(tmp_path / "stacks"), "../stacks-old/x", "file", "folder")
