# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import NotHeard, read_heard

PACKET = ["in", "eth0", "10.0.1.5", "10.0.3.11", "tcp", 22, 0, True, False, 3, 1.0, 2.0]
SAID = {
    "now": 5.0,
    "logs": [
        {
            "sender": "",
            "source": "/var/log/ufw.log",
            "whole": True,
            "cut": False,
            "beside": [],
            "packets": [PACKET],
            "left": 0,
            "lines": 3,
            "others": 0,
            "unread": 0,
            "future": 0,
            "suppressed": 0,
            "oldest": None,
        }
    ],
    "tracked": {
        "source": "/proc/net/nf_conntrack",
        "connections": [["tcp", "10.0.1.5", "10.0.3.11", 22, "10.0.3.11", 22, True, 1]],
        "total": 1,
        "left": 0,
    },
    "addresses": {"eth0": ["10.0.3.11/24"]},
    "ufw": {"enabled": "yes", "level": "low"},
}


def test_what_the_module_returns_is_read():
    found = read_heard(SAID)
    assert found.logs[0].packets[0].number == 3 and found.connections[0].client == "10.0.1.5"


def test_texts_are_made_printable():
    said = copy.deepcopy(SAID)
    said["logs"][0]["packets"][0][1] = "\x1b[2Jeth0"
    said["logs"][0]["packets"][0][4] = "\u202etcp"
    packet = read_heard(said).logs[0].packets[0]
    assert packet.interface.isprintable() and packet.proto.isprintable()


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("logs"),
        lambda said: said.update(now="soon"),
        lambda said: said.update(now=float("inf")),
        lambda said: said.update(logs={}),
        lambda said: said["logs"][0].update(packets=[PACKET] * 20001),
        lambda said: said["logs"][0]["packets"][0].append(1),
        lambda said: said["logs"][0]["packets"][0].__setitem__(9, -1),
        lambda said: said["logs"][0]["packets"][0].__setitem__(9, True),
        lambda said: said["logs"][0]["packets"][0].__setitem__(2, "10.0.1.5; rm -rf /"),
        lambda said: said["logs"][0]["packets"][0].__setitem__(0, "\x1b[2J"),
        lambda said: said["logs"][0]["packets"][0].__setitem__(5, 70000),
        lambda said: said["logs"][0].update(sender="../../etc"),
        lambda said: said["tracked"].update(left="many"),
        lambda said: said["addresses"].update(eth1=["x"]),
        lambda said: said.update(ufw=None),
    ],
)
def test_what_the_module_does_not_return_is_refused_whole(change):
    said = copy.deepcopy(SAID)
    change(said)
    with pytest.raises(NotHeard):
        read_heard(said)


@pytest.mark.parametrize("said", [None, [], "text", {}, {"now": 1}])
def test_something_else_altogether_is_refused(said):
    with pytest.raises(NotHeard):
        read_heard(said)
