# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ten of the rulesets of tests/fault/ufw_leak.py on one host of its own, under half of its knocks, without Ansible.
`make fault` has all of them, through Ansible over SSH, with the rate and the times that it must reach."""

from __future__ import annotations

import shutil

import hosts as fault_hosts
import pytest
import ufw_leak


@pytest.fixture(name="report", scope="module")
def fixture_report():
    # A test that cannot run has not passed.
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with fault_hosts.fleet(("trixie",)) as found:
        found[0].install()
        wishes = ufw_leak.rulesets(1, 10)
        return ufw_leak.measure(found[0], wishes, ufw_leak.directly, 3000, ufw_leak.PEERS[:1])


def test_nothing_gets_through_and_no_session_stalls_while_rulesets_change(report):
    # A machine that does other things as well knocks less often, and stalls by itself.
    machine = report.ours.stalls["no firewall"]
    assert ufw_leak.failures(report, target=300, stall=ufw_leak.STALL + machine) == []
    assert report.applied == 10


def test_the_same_watch_sees_what_a_reload_of_ufw_itself_lets_through(report):
    assert all(way.leaks() for way in report.peers[0].ways)
