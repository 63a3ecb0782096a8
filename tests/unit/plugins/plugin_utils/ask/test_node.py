from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import MOST_TEXT, NotRead, read_node


def test_a_host_is_read_with_addresses_routes_and_rules(nodes):
    web = nodes["web"]
    assert web.own == {"127.0.0.1": "lo", "10.0.2.11": "eth0", "172.17.0.1": "docker0"}
    assert web.outward == ["10.0.2.11"]
    assert web.forwards == {4: True, 6: True}
    assert web.bridges == {"docker0"}
    assert [str(route.net) for route in web.routes[4]["main"]] == ["10.0.2.0/24", "172.17.0.0/16", "0.0.0.0/0"]


def test_what_iptables_does_not_show_is_unseen(said):
    said["desk"]["printed"]["nft"] = [0, "table inet filter2\ntable ip nat\ntable ip6 mine\n", ""]
    said["desk"]["printed"]["rules4"][2] = (
        "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n"
    )
    ruleset = read_node("desk", said["desk"]).rulesets[4]
    assert any("filter2" in text for text in ruleset.unseen)
    assert any("legacy" in text for text in ruleset.unseen)
    assert not any("mine" in text for text in ruleset.unseen)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("addresses", [0, "{", ""]),
        ("addresses", [0, "{}", ""]),
        ("addresses", [0, '[{"ifname": "eth0", "addr_info": [{"local": "x", "prefixlen": 1}]}]', ""]),
        ("addresses", None),
        ("routes4", [0, '[{"dst": "10.0.0.0/99"}]', ""]),
        ("routes4", [0, "[" * 100000, ""]),
        ("policy4", [0, '[{"priority": "x"}]', ""]),
        ("rules4", [1, "", "Permission denied"]),
        ("rules4", [0, "nonsense", ""]),
        ("rules4", [0, "x" * (MOST_TEXT + 1), ""]),
        ("rules4", "text"),
        ("rules4", [0, 7, ""]),
    ],
)
def test_what_is_no_answer_of_the_module_is_refused(said, key, value):
    said["desk"]["printed"][key] = value
    with pytest.raises(NotRead):
        read_node("desk", said["desk"])


@pytest.mark.parametrize("value", [None, 3, {}, {"printed": 3, "settings": {}}, {"printed": {}, "settings": {}}])
def test_another_shape_is_refused(value):
    with pytest.raises(NotRead):
        read_node("desk", value)
