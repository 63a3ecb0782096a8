# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A few of the random rule lists of ufw_differential.py, on both releases. `make bench` has a thousand of each."""

from __future__ import annotations

import shutil

import pytest
import ufw_differential
from ufw_differential import RELEASES, Plan

QUICK = Plan(count=12, commands=6, settings=10, most=8)


@pytest.fixture(name="reports", scope="module")
def fixture_reports():
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    return ufw_differential.run_releases(RELEASES, QUICK)


@pytest.mark.parametrize("release", RELEASES)
def test_ufw_itself_and_the_module_make_the_same_files_and_the_same_kernel(reports, release):
    report = reports[release]
    assert report.difference == ""
    assert report.lists == QUICK.count
    assert report.lists_by_command == 2 and report.rules_by_command
