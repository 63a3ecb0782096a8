# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a run waits for the changes of others, and what it says of that."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils import patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.patience import LONGEST, Patience


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch):
    """What the time is, and passes by sleeping alone."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(patience, "now", lambda: clock.now)

    def sleep(seconds):
        clock.now += seconds

    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=sleep))
    return clock


def wait(clock, changes, state="back"):
    """A run that finds (token, deadline) by the time, None where there is none; its patience, and when it was over."""
    its = Patience(lambda change: change.deadline + 10 < clock.now, lambda token: state)

    def look():
        found = changes(clock.now - 1000)
        return found and SimpleNamespace(token=found[0], deadline=1000 + found[1])

    while its.waits_for(look()):
        its.pause()
    return its, clock.now - 1000


def test_where_no_change_waits_it_does_not_either(clock):
    its, ended = wait(clock, lambda at: None)
    assert ended == 0 and its.said() == []


@pytest.mark.parametrize(
    ("state", "words"),
    [("kept", "kept"), ("back", "rolled back"), ("waiting", "not settled in time"), ("?", "settled")],
)
def test_it_ends_when_the_change_does_and_says_what_became_of_it(clock, state, words):
    its, ended = wait(clock, lambda at: ("a", 30) if at < 12 else None, state)
    assert ended == 12 and its.said() == [f"waited 12 s for another change, which was {words}"]


def test_a_change_whose_timer_was_lost_is_waited_for_no_longer(clock):
    assert 40 <= wait(clock, lambda at: ("a", 30))[1] <= 41


def test_a_change_that_has_lost_its_timer_before_is_not_waited_for(clock):
    its, ended = wait(clock, lambda at: ("a", -20))
    assert ended == 0 and its.said() == []


def test_one_change_after_the_other_is_waited_for(clock):
    assert wait(clock, lambda at: ("b" if at > 20 else "a", 60) if at < 50 else None)[1] == 50


@pytest.mark.parametrize("deadline", [1e9, float("inf"), float("nan")])
def test_no_file_of_a_host_makes_it_wait_longer_than_the_longest_confirmation(clock, deadline):
    its, ended = wait(clock, lambda at: ("a", deadline))
    assert LONGEST <= ended <= LONGEST + 1 and its.waited == LONGEST


def test_nor_do_changes_one_after_the_other(clock):
    assert LONGEST <= wait(clock, lambda at: (str(at // 30), at + 30))[1] <= LONGEST + 1
