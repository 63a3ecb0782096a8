# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic import tally as module
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tally import Tally

NOW = 1796040000.0


def line(when, port=22, label="BLOCK", source="10.0.1.5"):
    words = f"IN=eth0 OUT= MAC=x SRC={source} DST=10.0.3.11 LEN=60 PROTO=TCP SPT=40000 DPT={port} WINDOW=1 RES=0x00 SYN URGP=0"
    return f"{when:.6f} web1 kernel: [UFW {label}] {words}"


def tally(lines, since=NOW - 3600):
    found = Tally(since, NOW, 0.0)
    found.add(lines)
    return found


def test_packets_of_one_kind_are_counted_with_their_first_and_last_time():
    found = tally([line(NOW - 60), line(NOW - 30), line(NOW - 45), line(NOW - 10, 443)])
    packets, left = found.most(10)
    assert [(packet[5], *packet[9:]) for packet in packets] == [
        (22, 3, NOW - 60, NOW - 30),
        (443, 1, NOW - 10, NOW - 10),
    ]
    assert left == 0


def test_what_is_older_than_was_asked_is_not_counted_and_shows_how_far_the_log_goes():
    found = tally([line(NOW - 7200), line(NOW - 60)])
    assert (found.lines, found.oldest) == (1, NOW - 7200)


def test_packets_that_passed_are_no_blocked_ones():
    found = tally(
        [line(NOW - 1, label="ALLOW"), line(NOW - 1, label="AUDIT INVALID"), line(NOW - 1, label="LIMIT BLOCK")]
    )
    assert (found.others, len(found.most(9)[0])) == (2, 1)


def test_a_line_of_the_future_counts_and_is_said():
    found = tally([line(NOW + 86400)])
    assert (found.future, found.most(9)[0][0][10:]) == (1, [NOW, NOW])


def test_lines_that_are_cut_off_too_long_or_without_a_time_are_counted():
    found = tally([line(NOW)[:80], "[UFW BLOCK] IN=eth0", line(NOW) + "x" * 5000])
    assert found.unread == 3 and found.most(9) == ([], 0)


def test_what_the_kernel_left_out_is_counted():
    assert tally([f"{NOW} web1 kernel: net_ratelimit: 43 callbacks suppressed"]).suppressed == 1


def test_only_so_many_kinds_are_told_apart_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(module, "MOST_KINDS", 3)
    found = tally([line(NOW, port) for port in (1, 2, 2, 3, 4, 5, 2)])
    packets, left = found.most(2)
    assert [packet[5] for packet in packets] == [2, 1] and left == 3
