# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hosts return of their networks: foreign data, checked and bounded before it is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import MOST, Answer, Silence, hear
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_net


def returned(**changes):
    """What swarm_network_info returns of a manager with one overlay."""
    return {
        "changed": False,
        "node": {"name": "m1", "role": "manager", "detail": "", "engine": "26.1"},
        "networks": [
            {
                "name": "web",
                "id": "1",
                "driver": "overlay",
                "scope": "swarm",
                "subnets": ["172.30.0.0/24", "fd00::/64"],
                "labels": {"bulkhead.zone": "public"},
                "users": ["service shop"],
                "used": 5,
                "usable": 253,
                "stack": None,
                "pending": False,
                "managed": True,
                "orphan": False,
            }
        ],
        "pools": {"engine": [{"base": "172.28.0.0/16", "size": 24}], "swarm": [{"base": "10.0.0.0/8", "size": 24}]},
        **changes,
    }


def test_a_result_is_read_whole():
    answer = Answer.from_dict(returned())
    (web,) = answer.networks
    assert answer.is_manager and web.is_swarms and str(web) == "network web"
    assert (web.zone, web.users, web.used, web.stack, web.managed) == ("public", ("service shop",), 5, "", True)
    assert web.subnets == (parse_net("172.30.0.0/24"), parse_net("fd00::/64"))
    assert (answer.engine, answer.swarm) == ((parse_net("172.28.0.0/16"),), (parse_net("10.0.0.0/8"),))


def test_what_a_result_leaves_out_is_nothing():
    (network,) = Answer.from_dict({"networks": [{"name": "web"}]}).networks
    assert (network.subnets, network.used, network.users, network.zone) == ((), None, (), "")


@pytest.mark.parametrize(
    ("result", "path"),
    [
        (returned(networks="web"), "networks"),
        (returned(networks=[["web"]]), "networks[0]"),
        (returned(networks=[{"name": 7}]), "networks[0].name"),
        (returned(networks=[{}, {"subnets": ["10.0.0.0/24", "10.0.0.0/33"]}]), "networks[1].subnets[1]"),
        (returned(networks=[{"subnets": [None]}]), "networks[0].subnets[0]"),
        (returned(networks=[{"subnets": "10.0.0.0/24"}]), "networks[0].subnets"),
        (returned(networks=[{"used": True}]), "networks[0].used"),
        (returned(networks=[{"used": "5"}]), "networks[0].used"),
        (returned(networks=[{"orphan": "no"}]), "networks[0].orphan"),
        (returned(networks=[{"labels": ["a"]}]), "networks[0].labels"),
        (returned(networks=[{"users": [["x"]]}]), "networks[0].users[0]"),
        (returned(networks=[{}] * (MOST + 1)), "networks"),
        (returned(node="m1"), "node"),
        (returned(pools={"engine": [{"base": "10.0.0.1/8"}]}), "pools.engine[0].base"),
        (returned(pools={"swarm": [{}]}), "pools.swarm[0].base"),
    ],
)
def test_another_form_is_refused_with_its_path(result, path):
    with pytest.raises(Refused) as caught:
        Answer.from_dict(result)
    (mistake,) = caught.value.mistakes
    assert (mistake.path, mistake.kind) == (path, "foreign-data")
    answers, silent = hear({"m1": result})
    assert not answers and silent["m1"].kind is Silence.UNREADABLE and path in silent["m1"].text


def test_no_escape_sequence_and_no_endless_text_of_a_host_reaches_the_report():
    named = {"name": "a\x1b[2J\nb", "users": ["\u202e" + "x" * 10000]}
    (network,) = Answer.from_dict(returned(networks=[named])).networks
    assert network.name == "a\\x1b[2J\\nb"
    assert network.users[0].startswith("\\u202e") and len(network.users[0]) < 600
    said = {"failed": True, "msg": "dead\x1b[31m\n" + "y" * 10000}
    assert "\x1b" not in hear({"m1": said}).silent["m1"].text and len(hear({"m1": said}).silent["m1"].text) < 600


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ({"skipped": True}, Silence.NO_ENGINE, "no Docker Engine runs here"),
        ({"failed": True, "msg": "no  such\nfile"}, Silence.FAILED, "no such file"),
        ({"failed": True, "msg": ["odd"]}, Silence.FAILED, "its engine could not be asked"),
        ({"unreachable": True, "msg": "timed out"}, Silence.FAILED, "timed out"),
        ({"failed": True, "msg": "half", "networks": []}, Silence.FAILED, "half"),
        ({}, Silence.UNREACHED, "it was not reached"),
    ],
)
def test_a_host_without_networks_says_why(said, kind, text):
    assert hear({"h": said}).silent["h"] == (kind, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("10.0.0.0/24"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "subnets", "used", "labels", "base", "engine", "users"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({"networks": JSON, "node": JSON, "pools": JSON}))
def test_whatever_a_host_returns_is_read_or_refused(result):
    answers, silent = hear({"h": result})
    assert ("h" in answers) != ("h" in silent)
