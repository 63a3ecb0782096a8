# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-in for AWX answers as the real one did that was recorded."""

from __future__ import annotations

from awx_server.recording import exchanges
from awx_server.replay import replayed

#: Where the stand-in is known to answer otherwise, and why: {why: numbers of the exchanges}.
OTHERWISE = {
    "a sliced launch needs the hosts of the inventory, which the recording does not show one by one": (
        *(584, 597, 669, 741, 744, 913, 1196, 1213, 1214, 1225, 1242),
    ),
    "what a launch of a workflow and an update show of themselves is not made up": (
        *(336, 562, 641, 657, 661, 779, 788, 795, 1189),
    ),
    "the defaults in what a launch asks for are not made up; awx.awx does not read them": (896, 897, 898, 999, 1014),
    "something was changed, or named, that the recording does not show": (
        *(369, 399, 455, 579, 586, 618, 638, 738, 752, 757, 830, 851, 889, 909, 1140, 1141, 1142, 1178, 1219, 1228),
        *(1230, 1233, 1235, 1243, 1245),
    ),
    "of the installation itself: the nodes of the cluster, the demonstration's objects, the administrator's address": (
        *(802, 805, 819, 1201),
    ),
    "a member of a team sees its organization": (1032, 1046, 1051),
}


def test_the_recorded_exchanges_are_answered_as_they_were() -> None:
    known = {number for numbers in OTHERWISE.values() for number in numbers}
    found = {one.n: (one.note, wrong[:3]) for one, why, wrong, _new in replayed() if wrong and not why}
    assert {number: said for number, said in found.items() if number not in known} == {}
    assert known - set(found) == set(), "these agree by now: take them from the list"


def test_most_of_the_recording_is_compared() -> None:
    compared = [one for one, why, _wrong, _new in replayed() if not why]
    assert len(exchanges()) == 1287
    assert len(compared) == 1134


def test_the_recording_holds_no_secret() -> None:
    def texts(value: object, name: str = "") -> list[tuple[str, str]]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in texts(item, key)]
        if isinstance(value, list):
            return [found for item in value for found in texts(item, name)]
        return [(name, value)] if isinstance(value, str) else []

    held = [pair for one in exchanges() for pair in (*texts(one.body), *texts(one.response))]
    secret = {text for name, text in held if name in ("password", "token", "ssh_key_data", "refresh_token")}
    assert {text for text in secret if not text.startswith("Invalid certificate or key")} <= {
        "REDACTED",
        "$encrypted$",
        "",
    }
    assert not [text for _name, text in held if "PRIVATE KEY-----" in text]
