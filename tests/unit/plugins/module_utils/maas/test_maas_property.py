# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""500 random trees over random earlier states: reached by one run, kept by the second, foreseen by the check."""

from __future__ import annotations

import ipaddress
import random

import pytest
from maas_server import generate, harness
from maas_server.serve import Front

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import report

TREES = 500
BATCHES = 10

VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete"}
KINDS = {
    "spaces": "space",
    "fabrics": "fabric",
    "vlans": "vlan",
    "subnets": "subnet",
    "ipranges": "range",
    "static-routes": "route",
}


def written(front, since):
    """(verb, kind) of each write that the server saw; all of them must have been taken."""
    seen = []
    for method, path, _data, status in front.log[since:]:
        if method != "GET":
            assert status in (200, 204), (method, path, status)
            parts = path.split("/")
            kind = "vlan" if method == "POST" and "vlans" in parts else KINDS[parts[0]]
            seen.append((VERBS[method], kind))
    return seen


def planned(result):
    return [tuple(text.split(" ")[:2]) for text in result["operations"]]


class Live:
    """The region's own dicts by the keys that people use; knows nothing of the planner."""

    def __init__(self, region):
        self.region = region
        self.spaces = {space["name"]: space for space in region.spaces.values()}
        self.fabrics = {fabric["name"]: fabric for fabric in region.fabrics.values()}
        names = {fabric["id"]: fabric["name"] for fabric in region.fabrics.values()}
        self.vlans = {(names[vlan["fabric"]], vlan["vid"]): vlan for vlan in region.vlans.values()}
        self.subnets = {subnet["cidr"]: subnet for subnet in region.subnets.values()}
        self.ranges = {(item["subnet"], item["start"], item["end"]): item for item in region.ranges.values()}
        self.routes = {(r["source"], r["destination"], str(r["gateway_ip"])): r for r in region.routes.values()}
        self.racks = {node["hostname"]: node["system_id"] for node in region.nodes.values()}

    def assert_holds(self, tree):
        for item in tree["spaces"]:
            assert (item["name"] in self.spaces) == present(item)
            if "description" in item:
                assert self.spaces[item["name"]]["description"] == item["description"]
        if "spaces" in tree["purge"]:
            assert set(self.spaces) == {item["name"] for item in tree["spaces"] if present(item)}
        for fabric in tree["fabrics"]:
            assert (fabric["name"] in self.fabrics) == present(fabric)
            if "class_type" in fabric:
                assert self.fabrics[fabric["name"]]["class_type"] == fabric["class_type"]
            for vlan in fabric.get("vlans", ()):
                self.assert_vlan(fabric["name"], vlan, tree["purge"])
            if "vlans" in tree["purge"] and "vlans" in fabric:
                default = self.region.default_vlan(self.fabrics[fabric["name"]]["id"])["vid"]
                have = {vid for name, vid in self.vlans if name == fabric["name"]}
                assert have <= {vlan["vid"] for vlan in fabric["vlans"] if present(vlan)} | {default}
        if "fabrics" in tree["purge"]:
            assert set(self.fabrics) <= {fabric["name"] for fabric in tree["fabrics"]} | {"fabric-0"}

    def assert_vlan(self, fabric, wanted, purge):
        key = (fabric, wanted["vid"])
        assert (key in self.vlans) == present(wanted)
        if not present(wanted):
            return
        vlan = self.vlans[key]
        default = self.region.default_vlan(vlan["fabric"]) is vlan
        if "mtu" in wanted:
            assert vlan["mtu"] == wanted["mtu"]
        if "name" in wanted and not default:
            assert vlan["name"] == wanted["name"]
        if "space" in wanted:
            assert self.region.space_name(vlan) == (wanted["space"] or "undefined")
        if "dhcp_on" in wanted:
            assert vlan["dhcp_on"] == wanted["dhcp_on"]
        for option in ("primary_rack", "secondary_rack"):
            if option in wanted:
                assert vlan[option] == (self.racks[wanted[option]] if wanted[option] else None)
        if "relay_vlan" in wanted:
            relay = wanted["relay_vlan"]
            target = self.vlans[(relay["fabric"], relay["vid"])]["id"] if relay else None
            assert vlan["relay_vlan"] == target
        for subnet in wanted.get("subnets", ()):
            self.assert_subnet(vlan["id"], subnet, purge)
        if "subnets" in purge and "subnets" in wanted:
            here = {cidr for cidr, subnet in self.subnets.items() if subnet["vlan"] == vlan["id"]}
            listed = {item["cidr"] for item in wanted["subnets"] if present(item)}
            assert here == listed
        if vlan["dhcp_on"] and "dhcp_on" in wanted:
            assert self.region._has_pool(vlan) and vlan["primary_rack"]

    def assert_subnet(self, vlan, wanted, purge):
        assert (wanted["cidr"] in self.subnets) == present(wanted)
        if not present(wanted):
            return
        subnet = self.subnets[wanted["cidr"]]
        assert subnet["vlan"] == vlan
        for option in (
            "name",
            "description",
            "rdns_mode",
            "allow_dns",
            "allow_proxy",
            "managed",
            "active_discovery",
            "dns_servers",
        ):
            if option in wanted:
                assert subnet[option] == wanted[option]
        if "gateway_ip" in wanted:
            assert (subnet["gateway_ip"] or "") == wanted["gateway_ip"]
        keys = set()
        for item in wanted.get("ranges", ()):
            key = (subnet["id"], ipaddress.ip_address(item["start_ip"]), ipaddress.ip_address(item["end_ip"]))
            keys.add(key)
            assert self.ranges[key]["type"] == item["type"]
            if "comment" in item:
                assert self.ranges[key]["comment"] == item["comment"].strip()
        if "ranges" in purge and "ranges" in wanted:
            assert {key for key in self.ranges if key[0] == subnet["id"]} == keys
        keys = set()
        for item in wanted.get("static_routes", ()):
            key = (subnet["id"], self.subnets[item["destination"]]["id"], item["gateway_ip"])
            keys.add(key)
            if "metric" in item:
                assert self.routes[key]["metric"] == item["metric"]
            assert key in self.routes
        if "static_routes" in purge and "static_routes" in wanted:
            assert {key for key in self.routes if key[0] == subnet["id"]} == keys


def present(item):
    return item.get("state") != "absent"


def one(seed):
    """Plays one tree; answers "reached", "nothing to do" or "refused"."""
    rng = random.Random(seed)
    front = Front(harness.region(shuffle=random.Random(seed)))
    generate.earlier(front.region, rng)
    exported = report(harness.asking(harness.client(front)), {})["tree"]
    assert harness.run(front, exported)["operations"] == []
    tree = generate.target(rng)
    assert front.writes == []
    try:
        check = harness.run(front, tree, check=True)
    except Refused:
        assert front.writes == []
        return "refused"
    other_order = harness.run(front, generate.permuted(tree, rng), check=True)
    assert other_order["operations"] == check["operations"]
    assert front.writes == []
    since = len(front.log)
    first = harness.run(front, tree)
    assert first["operations"] == check["operations"]
    assert written(front, since) == planned(check)
    Live(front.region).assert_holds(tree)
    since = len(front.log)
    second = harness.run(front, generate.permuted(tree, rng))
    assert second["operations"] == [] and not second["changed"]
    assert written(front, since) == []
    return "reached" if first["operations"] else "nothing to do"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_one_run_reaches_any_tree_from_any_state_and_the_second_changes_nothing(batch):
    outcomes = []
    seed = batch * 100000
    while outcomes.count("reached") < TREES // BATCHES:
        seed += 1
        try:
            outcomes.append(one(seed))
        except Exception as error:
            raise AssertionError("seed %d: %s: %s" % (seed, type(error).__name__, error)) from error
    assert outcomes.count("refused") < 3 * outcomes.count("reached"), "the generator makes too few sound trees"
