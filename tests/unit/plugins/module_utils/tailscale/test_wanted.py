"""What a task asks for: read, and every mistake at once."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse


def test_an_option_that_is_left_out_is_not_wanted_and_an_empty_one_is():
    wanted = parse({"hostname": "", "advertise_tags": [], "ssh": None})
    assert wanted.options == {"hostname": "", "advertise_tags": []}
    assert wanted.state == "present" and not wanted.at_hand


def test_values_are_read_into_the_form_that_is_compared():
    wanted = parse(
        {
            "advertise_routes": ["10.1.0.0/16", "fd00:1::/64", " 10.0.0.0/24"],
            "advertise_tags": ["web", "tag:apps"],
            "login_server": "https://headscale.example/",
            "relay_server_port": "040",
            "relay_server_static_endpoints": ["[2001:DB8::1]:40000", "192.0.2.1:40000"],
            "renew_before": "14d",
        }
    )
    assert wanted.options == {
        "advertise_routes": ["10.0.0.0/24", "10.1.0.0/16", "fd00:1::/64"],
        "advertise_tags": ["tag:apps", "tag:web"],
        "login_server": "https://headscale.example",
        "relay_server_port": "40",
        "relay_server_static_endpoints": ["192.0.2.1:40000", "[2001:db8::1]:40000"],
    }
    assert wanted.renew_before == 14 * 86400


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"advertise_routes": ["10.0.0.1/24"]}, "advertise_routes[0]"),
        ({"advertise_routes": ["10.0.0.0/24", "0.0.0.0/0"]}, "advertise_routes[1]"),
        ({"advertise_routes": ["::/0"]}, "advertise_routes[0]"),
        ({"advertise_routes": ["ten"]}, "advertise_routes[0]"),
        ({"advertise_tags": ["tag:1x"]}, "advertise_tags[0]"),
        ({"advertise_tags": ["tag:"]}, "advertise_tags[0]"),
        ({"advertise_tags": ["tag:a b"]}, "advertise_tags[0]"),
        ({"login_server": "headscale.example"}, "login_server"),
        ({"login_server": "https://user@headscale.example"}, "login_server"),
        ({"login_server": "https://h:99999"}, "login_server"),
        ({"hostname": "x" * 257}, "hostname"),
        ({"hostname": "a\x1b[2J"}, "hostname"),
        ({"exit_node": "auto:best"}, "exit_node"),
        ({"exit_node": "gw", "advertise_exit_node": True}, "exit_node"),
        ({"relay_server_port": "70000"}, "relay_server_port"),
        ({"relay_server_port": "-1"}, "relay_server_port"),
        ({"relay_server_static_endpoints": ["192.0.2.1"]}, "relay_server_static_endpoints[0]"),
        ({"relay_server_static_endpoints": ["2001:db8::1:4000"]}, "relay_server_static_endpoints[0]"),
        ({"renew_before": "soon"}, "renew_before"),
        ({"timeout": 0}, "timeout"),
        ({"confirm": {"timeout": -1}}, "confirm.timeout"),
        ({"client_secret": "tskey-client-x"}, "client_secret"),
    ],
)
def test_a_mistake_names_its_option(params, path):
    with pytest.raises(Refused) as refused:
        parse(params)
    (mistake,) = refused.value.mistakes
    assert mistake.path == path and mistake.remedy and "\x1b" not in str(mistake)


def test_a_network_with_bits_of_a_host_is_told_what_it_should_be():
    with pytest.raises(Refused, match=r"say 10\.0\.0\.0/24"):
        parse({"advertise_routes": ["10.0.0.1/24"]})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(Refused) as refused:
        parse({"advertise_routes": ["x", "y"], "advertise_tags": ["1"], "timeout": 0})
    assert [mistake.path for mistake in refused.value.mistakes] == [
        "advertise_tags[0]",
        "advertise_routes[0]",
        "advertise_routes[1]",
        "timeout",
    ]


def test_a_key_is_in_no_text_of_what_is_wanted():
    assert "hskey" not in repr(parse({"auth_key": "hskey-auth-secret"}))
