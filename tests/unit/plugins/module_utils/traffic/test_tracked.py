# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic import tracked
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tracked import Connection, connection_of

OPEN = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.1.5 dst=10.0.3.11 sport=50412 dport=22 src=10.0.3.11 dst=10.0.1.5 sport=22 "
    "dport=50412 [ASSURED] mark=0 zone=0 use=2"
)
ASKED = (
    "ipv4     2 tcp      6 117 SYN_SENT src=10.0.1.5 dst=10.0.3.11 sport=40000 dport=9100 [UNREPLIED] src=10.0.3.11 dst=10.0.1.5 "
    "sport=9100 dport=40000 mark=0 zone=0 use=2"
)
PUBLISHED = (
    "ipv4     2 tcp      6 300 ESTABLISHED src=10.0.1.5 dst=10.0.3.11 sport=40000 dport=8080 src=172.17.0.2 dst=10.0.1.5 sport=80 "
    "dport=40000 [ASSURED] mark=0 zone=0 use=2"
)
UDP6 = (
    "ipv6     10 udp      17 29 src=fd00:0001:0000:0000:0000:0000:0000:0005 dst=fd00:0001:0000:0000:0000:0000:0000:0011 sport=5000 "
    "dport=53 src=fd00:0001:0000:0000:0000:0000:0000:0011 dst=fd00:0001:0000:0000:0000:0000:0000:0005 sport=53 dport=5000 mark=0 use=2"
)
PING = "ipv4     2 icmp     1 29 src=10.0.1.5 dst=10.0.3.11 type=8 code=0 id=5 src=10.0.3.11 dst=10.0.1.5 type=0 code=0 id=5 mark=0 use=2"
GRE = "ipv4     2 unknown  47 599 src=10.0.1.5 dst=10.0.3.11 [UNREPLIED] src=10.0.3.11 dst=10.0.1.5 mark=0 zone=0 use=2"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (OPEN, Connection("tcp", "10.0.1.5", "10.0.3.11", 22, "10.0.3.11", 22, True)),
        (ASKED, Connection("tcp", "10.0.1.5", "10.0.3.11", 9100, "10.0.3.11", 9100, False)),
        (PUBLISHED, Connection("tcp", "10.0.1.5", "172.17.0.2", 80, "10.0.3.11", 8080, True)),
        (UDP6, Connection("udp", "fd00:1::5", "fd00:1::11", 53, "fd00:1::11", 53, True)),
        (PING, Connection("icmp", "10.0.1.5", "10.0.3.11", 8, "10.0.3.11", 8, True)),
        (GRE, Connection("47", "10.0.1.5", "10.0.3.11", -1, "10.0.3.11", -1, False)),
        (OPEN.replace("src=10.0.1.5 dst=10.0.3.11", "src=127.0.0.1 dst=127.0.0.1", 1), None),
        (OPEN[:70], None),
        ("conntrack v1.4.7 (conntrack-tools): 12 flow entries have been shown.", None),
        (OPEN.replace("sport=22 ", "sport=x "), None),
    ],
)
def test_a_line_is_the_connection_between_a_client_and_who_answers(line, expected):
    assert connection_of(line) == expected


def test_connections_of_one_kind_are_counted_and_the_most_come_first(tmp_path, monkeypatch):
    table = tmp_path / "nf_conntrack"
    table.write_text("\n".join([OPEN, ASKED, OPEN.replace("50412", "50413"), PING]) + "\n", encoding="ascii")
    monkeypatch.setattr(tracked, "TABLE", str(table))
    found = tracked.read_tracked(2)
    assert found.connections[0] == ["tcp", "10.0.1.5", "10.0.3.11", 22, "10.0.3.11", 22, True, 2]
    assert (found.total, found.left, len(found.connections)) == (4, 1, 2)


def test_without_the_kernels_file_the_program_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(tracked, "TABLE", str(tmp_path / "none"))
    said = {"ipv4": Result(0, OPEN, "1 flow"), "ipv6": Result(0, UDP6, "")}
    monkeypatch.setattr(tracked, "run_command", lambda argv: said[argv[-1]])
    found = tracked.read_tracked(9)
    assert (found.source, found.total) == ("conntrack -L", 2)


def test_a_host_that_has_neither_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tracked, "TABLE", str(tmp_path / "none"))

    def missing(argv):
        raise FileNotFoundError(argv[0])

    monkeypatch.setattr(tracked, "run_command", missing)
    assert tracked.read_tracked(9) == ("", [], 0, 0)
