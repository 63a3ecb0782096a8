# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import gzip
import os
import time

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic import logs
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tally import Tally

DAY = 86400


def line(when, port):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime(when))
    words = (
        f"IN=eth0 OUT= SRC=10.0.1.5 DST=10.0.3.11 LEN=60 PROTO=TCP SPT=40000 DPT={port} WINDOW=1 RES=0x00 SYN URGP=0"
    )
    return f"{stamp} web1 kernel: [1.5] [UFW BLOCK] {words}\n"


class Folder:
    """A host's /var/log, and the time."""

    def __init__(self, path, monkeypatch):
        self.path, self.now = path, time.time()
        monkeypatch.setattr(logs, "LOGS", tuple(str(path / name) for name in ("ufw.log", "kern.log", "syslog")))
        monkeypatch.setattr(logs, "COLLECTED", str(path / "bulkhead"))
        monkeypatch.setattr(logs, "_read_journal", lambda tally, since: logs.Read("", tally, False, False, []))

    def put(self, name, age, *ports):
        """A file that was last written so long ago, with a packet to each port."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(line(self.now - age, port) for port in ports).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        os.utime(path, (self.now - age, self.now - age))
        return path

    def read(self, ago=7 * DAY):
        tally = Tally(self.now - ago, self.now, 0.0)
        found = logs.read_own(tally, self.now - ago)
        return found, sorted(packet[5] for packet in tally.most(100)[0])


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    return Folder(tmp_path, monkeypatch)


def test_rotated_and_packed_files_are_read_too(folder):
    for name, age, port in (("ufw.log", 10, 1), ("ufw.log.1", DAY, 2), ("ufw.log.2.gz", 2 * DAY, 3)):
        folder.put(name, age, port)
    folder.put("ufw.log-20261101.gz", 3 * DAY, 4)
    found, ports = folder.read()
    assert ports == [1, 2, 3, 4] and found.source.endswith("ufw.log") and not found.whole and not found.cut


def test_files_that_are_older_than_was_asked_are_not_read_and_show_that_the_log_goes_back_far_enough(folder):
    folder.put("ufw.log", 10, 1)
    folder.put("ufw.log.1", 9 * DAY, 2)
    found, ports = folder.read()
    assert ports == [1] and found.whole


def test_a_log_that_begins_too_late_is_not_whole(folder):
    folder.put("ufw.log", 10, 1)
    assert not folder.read()[0].whole
    folder.put("ufw.log", 10, 1)
    with open(folder.path / "ufw.log", "a", encoding="ascii") as file:
        file.write(line(folder.now - 8 * DAY, 9))
    assert folder.read()[0].whole


def test_of_a_log_that_is_too_long_the_newest_part_is_read(folder, monkeypatch):
    folder.put("ufw.log", 10, *range(1, 101))
    folder.put("ufw.log.1", DAY, 200)
    monkeypatch.setattr(logs, "MOST_BYTES", 2000)
    found, ports = folder.read()
    assert found.cut and not found.whole and ports[-1] == 100 and 1 not in ports and 200 not in ports


def test_a_packed_file_that_unpacks_to_more_than_is_read_is_left(folder, monkeypatch):
    folder.put("ufw.log", 10, 1)
    path = folder.put("ufw.log.2.gz", DAY)
    path.write_bytes(gzip.compress(b"\0" * (8 << 20)))
    os.utime(path, (folder.now - DAY, folder.now - DAY))
    monkeypatch.setattr(logs, "MOST_BYTES", 1 << 20)
    found, ports = folder.read()
    assert found.cut and ports == [1]


def test_a_file_that_is_broken_or_of_an_unknown_kind_is_named(folder):
    folder.put("ufw.log", 10, 1)
    (folder.path / "ufw.log.2.gz").write_bytes(b"no gzip")
    folder.put("ufw.log.3.zst", 20, 1)
    found, ports = folder.read()
    assert ports == [1] and sorted(text.partition(":")[0] for text in found.beside) == ["ufw.log.2.gz", "ufw.log.3.zst"]


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(folder):
    os.mkfifo(folder.path / "ufw.log.1")
    folder.put("ufw.log", 10, 1)
    assert folder.read()[1] == [1]


def test_without_ufws_own_file_the_kernels_is_read(folder):
    folder.put("kern.log", 10, 7)
    folder.put("syslog", 10, 7, 8)
    found, ports = folder.read()
    assert found.source.endswith("kern.log") and ports == [7]


def test_without_any_log_nothing_is_read_and_that_is_said(folder):
    found, ports = folder.read()
    assert found.source == "" and ports == []


def test_what_a_collector_has_is_read_by_sender(folder):
    folder.put("bulkhead/10.0.1.5/ufw.log", 10, 5)
    folder.put("bulkhead/10.0.1.6/ufw.log", 10, 6)
    found = []
    for place in logs.senders():
        tally = Tally(0.0, folder.now, 0.0)
        logs.read_collected(place, tally, 0.0, 2)
        found.append((place.rstrip("/").rpartition("/")[2], tally.most(9)[0][0][5]))
    assert found == [("10.0.1.5", 5), ("10.0.1.6", 6)]
