# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import (
    ALL,
    Ports,
    merge,
    parse_ports,
    port_arguments,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable


@pytest.mark.parametrize("text", ["22/tcp", "5240-5249/tcp", "1-65535/udp", "esp", "igmp", "vrrp"])
def test_ports_read_back_as_they_were_written(text):
    assert str(parse_ports(text)) == text


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("70000/tcp", "correct the port number"),
        ("0/tcp", "correct the port number"),
        ("9" * 5000 + "/tcp", "correct the port number"),
        ("٢٢/tcp", "write it like 22/tcp, 5240-5249/tcp or esp"),
        ("22", "add the protocol: 22/tcp or 22/udp"),
        ("22/tpc", "did you mean tcp?"),
        ("50/esp", "write esp alone: it has no ports"),
        ("5249-5240/tcp", "write 5240-5249/tcp"),
        ("5240:5249/tcp", "write 5240-5249/tcp"),
        ("80,443/tcp", "write a list: [80/tcp, 443/tcp]"),
        ("tcp", "say which port: 22/tcp, or 1-65535/tcp for all of them"),
        ("nonsense", "write it like 22/tcp, 5240-5249/tcp or esp"),
        ("igpm", "did you mean igmp?"),
        ("ssh/tcp", "write it like 22/tcp, 5240-5249/tcp or esp"),
        ("22-/tcp", "write it like 22/tcp, 5240-5249/tcp or esp"),
        ("-22/tcp", "write it like 22/tcp, 5240-5249/tcp or esp"),
    ],
)
def test_what_names_no_ports_says_what_to_write(text, remedy):
    with pytest.raises(Unreadable) as caught:
        parse_ports(text)
    assert caught.value.remedy == remedy


def test_ranges_that_touch_become_one_and_protocols_stay_apart():
    merged = merge([parse_ports(text) for text in ("81/tcp", "80/tcp", "443/tcp", "53/udp", "esp", "79-82/tcp")])
    assert merged == {"tcp": [(79, 82), (443, 443)], "udp": [(53, 53)], "esp": [(0, 65535)]}
    assert merge([ALL, Ports("tcp", 1, 2)]) == {"any": [(0, 65535)]}


def test_a_rule_holds_fifteen_ports_and_the_next_one_the_rest():
    texts = port_arguments([(port, port) for port in range(1, 60, 2)])
    assert [text.count(",") for text in texts] == [14, 14]
    assert port_arguments([(1, 2), (4, 5)]) == ["1:2,4:5"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 6)), min_size=1, max_size=40))
def test_the_arguments_name_the_same_ports_within_ufws_limit(shapes):
    ports = [Ports("tcp", first, first + length) for first, length in shapes]
    texts = port_arguments(merge(ports)["tcp"])
    named = set()
    for text in texts:
        assert text.count(",") + text.count(":") <= 14
        for part in text.split(","):
            first, dummy, last = part.partition(":")
            named.update(range(int(first), int(last or first) + 1))
    assert named == {port for item in ports for port in range(item.first, item.last + 1)}


def test_covering_and_meeting_know_any_and_protocols():
    ssh, low = Ports("tcp", 22, 22), Ports("tcp", 1, 1023)
    assert low.covers(ssh) and not ssh.covers(low) and ALL.covers(ssh) and not ssh.covers(ALL)
    assert (
        ssh.meets(low)
        and ssh.meets(ALL)
        and not ssh.meets(Ports("udp", 22, 22))
        and not ssh.meets(Ports("tcp", 23, 23))
    )
