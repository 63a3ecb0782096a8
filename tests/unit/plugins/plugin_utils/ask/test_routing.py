from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.routing import way


def test_the_longest_prefix_wins_and_then_the_least_metric(make):
    routes = [
        {"dst": "10.0.2.0/24", "gateway": "10.0.1.9", "dev": "eth0", "metric": 100},
        {"dst": "10.0.2.0/24", "gateway": "10.0.1.8", "dev": "eth0", "metric": 50},
        {"dst": "10.0.0.0/16", "gateway": "10.0.1.7", "dev": "eth0"},
    ]
    node = make("a", {"eth0": "10.0.1.11/24"}, "10.0.1.1", routes=routes)
    assert way(node, "10.0.2.5").neighbour == "10.0.1.8"
    assert way(node, "10.0.9.5").neighbour == "10.0.1.7"
    assert way(node, "10.0.1.5").neighbour == "10.0.1.5"
    assert way(node, "8.8.8.8").neighbour == "10.0.1.1"


def test_its_own_address_is_local(make):
    found = way(make("a", {"eth0": "10.0.1.11/24"}), "10.0.1.11")
    assert found.local


def test_no_route_and_a_blackhole_are_troubles(make):
    node = make("a", {"eth0": "10.0.1.11/24"}, routes=[{"dst": "10.9.0.0/16", "type": "blackhole"}])
    assert "no route" in way(node, "10.0.2.1").trouble
    assert "blackhole" in way(node, "10.9.0.1").trouble


def test_routing_rules_choose_the_table_by_source_and_interface(make):
    routes = [
        {"dst": "default", "gateway": "10.0.1.2", "dev": "eth0", "table": "7"},
        {"dst": "default", "gateway": "10.0.1.3", "dev": "eth0", "table": "8"},
    ]
    policy = [
        {"priority": 10, "src": "10.0.1.128", "srclen": 25, "table": "7"},
        {"priority": 20, "src": "all", "iif": "eth1", "table": "8"},
        {"priority": 30, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", "table": "9"},
    ]
    node = make("a", {"eth0": "10.0.1.11/24"}, "10.0.1.1", routes=routes, policy=policy)
    assert way(node, "8.8.8.8", "10.0.1.200").neighbour == "10.0.1.2"
    assert way(node, "8.8.8.8", "10.0.1.11").neighbour == "10.0.1.1"
    assert way(node, "8.8.8.8", "10.0.1.11", "eth1").neighbour == "10.0.1.3"


def test_a_selector_that_is_not_modelled_is_a_doubt(make):
    node = make(
        "a",
        {"eth0": "10.0.1.11/24"},
        "10.0.1.1",
        policy=[{"priority": 5, "src": "all", "ipproto": "tcp", "table": "7"}],
    )
    assert "ipproto" in way(node, "8.8.8.8").doubt


def test_a_throw_and_a_suppressed_prefix_go_on_with_the_next_rule(make):
    routes = [
        {"dst": "8.8.8.0/24", "type": "throw", "table": "7"},
        {"dst": "default", "gateway": "10.0.1.2", "dev": "eth0", "table": "7"},
    ]
    policy = [{"priority": 5, "src": "all", "table": "7", "suppress_prefixlen": 0}]
    node = make("a", {"eth0": "10.0.1.11/24"}, "10.0.1.1", routes=routes, policy=policy)
    assert way(node, "8.8.8.8").neighbour == "10.0.1.1"
    assert way(node, "9.9.9.9").neighbour == "10.0.1.1"


def test_several_routes_of_one_weight_are_a_doubt(make):
    hops = [{"gateway": "10.0.1.2", "dev": "eth0"}, {"gateway": "10.0.1.3", "dev": "eth0"}]
    several = make("a", {"eth0": "10.0.1.11/24"}, routes=[{"dst": "default", "nexthops": hops}])
    assert "several routes" in way(several, "8.8.8.8").doubt
    weighed = [{"dst": "default", "metric": 10 * place, **hop} for place, hop in enumerate(hops)]
    assert way(make("a", {"eth0": "10.0.1.11/24"}, routes=weighed), "8.8.8.8").doubt == ""


def test_a_rule_by_mark_is_a_doubt_only_where_a_rule_may_set_one(make):
    policy = [{"priority": 30, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", "table": "9"}]
    marking = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j MARK --set-xmark 0x80000/0xff0000\nCOMMIT\n"
    address = {"eth0": "10.0.1.11/24"}
    assert "by a mark" in way(make("a", address, "10.0.1.1", marking, policy=policy), "8.8.8.8").doubt
    assert way(make("a", address, "10.0.1.1", policy=policy), "8.8.8.8").doubt == ""
    assert way(make("a", address, "10.0.1.1", marking), "8.8.8.8").doubt == ""
