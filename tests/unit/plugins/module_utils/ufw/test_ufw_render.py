# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import repair
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import read_file
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import Settings, kernel_plan, rules_file
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import read_rules
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import RECORDED

LEVELS = sorted((RECORDED / "levels").glob("*.rules"))
LOW = Settings("deny", "allow", "deny", "low", True)


def settings_of(path):
    level, *policies = path.stem.split("-")
    return Settings(*policies, level, True)


def sections(release, family):
    names = ("before.rules", "after.rules") if family == 4 else ("before6.rules", "after6.rules")
    return [read_file(name, (RECORDED / release / "etc/ufw" / name).read_text()) for name in names]


@pytest.mark.parametrize("release", ["debian12", "debian13"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_rules_file_is_the_one_that_ufw_wrote(release, family):
    text = (RECORDED / release / "etc/ufw" / ("user.rules" if family == 4 else "user6.rules")).read_text()
    rules, malformed = read_rules("user.rules", text)
    assert not malformed
    assert rules_file(rules, LOW, family) == text


@pytest.mark.parametrize("path", LEVELS, ids=lambda path: path.stem)
def test_the_rules_file_is_the_one_that_ufw_wrote_for_every_log_level_and_policy(path):
    assert len(LEVELS) == 15
    rules, _malformed = read_rules("user.rules", path.read_text())
    assert rules_file(rules, settings_of(path), 4) == path.read_text()


@pytest.mark.parametrize("release", ["debian12", "debian13"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_that_ufw_loaded_is_the_one_that_is_wanted(release, family):
    text = (RECORDED / release / "etc/ufw" / ("user.rules" if family == 4 else "user6.rules")).read_text()
    save = (RECORDED / release / ("iptables-save" if family == 4 else "ip6tables-save")).read_text()
    rules, _malformed = read_rules("user.rules", text)
    fix = repair(kernel_plan(rules, LOW, family, sections(release, family)), parse_save(save))
    assert fix.drift == []
    assert fix.payload == ""


@pytest.mark.parametrize("path", LEVELS, ids=lambda path: path.stem)
def test_the_kernel_that_ufw_loaded_is_the_one_that_is_wanted_for_every_log_level_and_policy(path):
    rules, _malformed = read_rules("user.rules", path.read_text())
    kernel = parse_save(path.with_suffix(".save").read_text())
    fix = repair(kernel_plan(rules, settings_of(path), 4, sections("debian12", 4)), kernel)
    assert fix.drift == []
