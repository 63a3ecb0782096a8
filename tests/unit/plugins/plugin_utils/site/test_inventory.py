# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of tiers beside Ansible's and the site's own names, and the inventory's groups beside the tiers."""

from __future__ import annotations

from datetime import date

import pytest
from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import flows
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.inventory import (
    EMPTY_TIER,
    LOOKALIKE_GROUP,
    NO_GATEWAY,
    NO_HOST,
    RESERVED_GROUPS,
    TIERLESS_HOST,
    inventory_advice,
    managed_hosts,
    require_hosts,
    tierless_hosts,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 1, 1)


def declare(*names):
    """A site of tiers with these names."""
    tiers = {
        name: {"vlan": number, "subnet": f"10.0.{number}.0/24", "gateway": f"10.0.{number}.1"}
        for number, name in enumerate(names, 1)
    }
    return {"bulkhead_tiers": tiers}


def site(*names):
    return parse_site(declare(*names), TODAY)


def refused(*names):
    with pytest.raises(Refused) as caught:
        site(*names)
    return caught.value.mistakes


def groups(**members):
    """Ansible's `groups`: `all` and `ungrouped` are made as it makes them."""
    named = {host for hosts in members.values() for host in hosts}
    loose = members.pop("ungrouped", [])
    return {"all": sorted(named), "ungrouped": loose, **members}


def kinds(found):
    return [mistake.kind for mistake in found]


# Names


@pytest.mark.parametrize("name", sorted({*RESERVED_GROUPS, *flows.RESERVED}))
def test_a_name_that_ansible_or_a_flow_has_taken_is_no_tiers(name):
    (mistake,) = refused(name, "web")
    assert mistake.path == f"bulkhead_tiers.{name}" and mistake.kind == "taken-name"
    assert mistake.remedy.startswith(f"rename it: {name} is ")


def test_the_taken_names_are_those_of_both_languages():
    assert {"all", "ungrouped", "localhost", "outside", "gateway", "_meta"} <= set(RESERVED_GROUPS)
    assert {"tiers", "self", "gateway", "internet", "any"} <= set(flows.RESERVED)


@pytest.mark.parametrize("name", ["All", "GATEWAY", "Internet", "LocalHost"])
def test_capital_letters_make_no_other_name_of_it(name):
    (mistake,) = refused(name, "web")
    assert "but for capital letters" in mistake.remedy


@pytest.mark.parametrize("name", ["web", "db-front", "edge_1", "Web2", "a", "all_hosts", "gateways", "outside-dmz"])
def test_letters_digits_hyphens_and_underscores_make_a_name(name):
    assert list(site(name).tiers) == [name]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("db.front", "db_front"),
        ("web servers", "web_servers"),
        ("1st", "st"),
        ("web:1", "web_1"),
        ("é", ""),
        ("-x", "x"),
    ],
)
def test_another_name_is_refused_with_one_that_would_do(name, better):
    (mistake,) = refused(name)
    assert mistake.kind == "bad-name" and mistake.remedy == (f"rename it: {better}" if better else "rename it")


@pytest.mark.parametrize(("one", "other"), [("db-front", "db_front"), ("Web", "web"), ("a-b-c", "A_B-c")])
def test_two_tiers_that_could_become_one_group_are_refused(one, other):
    (mistake,) = refused(one, other)
    assert mistake.path == f"bulkhead_tiers.{other}" and one in mistake.remedy


def inventory(tmp_path, text):
    (tmp_path / "hosts.yml").write_text(text, encoding="utf-8")
    return InventoryManager(DataLoader(), sources=[str(tmp_path / "hosts.yml")]).get_groups_dict()


HYPHEN = "all: {children: {db-front: {hosts: {db1: }}, gateway: {hosts: {gw1: }}}}\n"


def test_a_hyphen_is_kept_by_ansible_as_it_comes_so_that_the_tier_has_its_hosts(tmp_path):
    found = inventory(tmp_path, HYPHEN)
    assert found["db-front"] == ["db1"] and inventory_advice(site("db-front"), found) == []


def test_where_ansible_is_told_to_replace_hyphens_the_group_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "TRANSFORM_INVALID_GROUP_CHARS", "always")
    found = inventory_advice(site("db-front"), inventory(tmp_path, HYPHEN))
    assert kinds(found) == [TIERLESS_HOST, LOOKALIKE_GROUP, EMPTY_TIER]
    assert found[1].path == "inventory group db_front" and "rename the group to db-front" in found[1].remedy


# Groups


FLEET = groups(gateway=["gw1"], web=["web1", "web2"], db=["db1"], outside=["out1"])


def test_an_inventory_that_fits_gives_no_advice():
    assert inventory_advice(site("web", "db"), FLEET) == []
    assert "WARNINGS  none" in plan_text(site("web", "db"), FLEET)


def test_every_host_in_no_tier_is_named_but_for_the_controller_and_those_outside():
    found = groups(gateway=["gw1"], web=["web1"], other=["x1"], outside=["out1"], ungrouped=["y1", "localhost"])
    assert tierless_hosts(site("web"), found) == ["x1", "y1"]
    assert managed_hosts(found) == ["gw1", "web1", "x1", "y1"]
    (advice,) = inventory_advice(site("web"), found)
    assert advice.kind == TIERLESS_HOST and advice.got == "2 hosts in no tier (x1, y1)"


def test_the_group_of_those_outside_may_have_another_name():
    found = groups(gateway=["gw1"], web=["web1"], world=["out1"])
    assert kinds(inventory_advice(site("web"), found, "world")) == []
    assert kinds(inventory_advice(site("web"), found)) == [TIERLESS_HOST]


def test_of_many_hosts_ten_are_named_and_the_others_counted():
    found = groups(gateway=["gw1"], web=["web1"], other=[f"x{number:02}" for number in range(25)])
    (advice,) = inventory_advice(site("web"), found)
    assert advice.got.startswith("25 hosts in no tier (x00, x01,") and advice.got.endswith("x09 and 15 more)")


@pytest.mark.parametrize(
    ("group", "tier"),
    [
        ("monitorng", "monitoring"),
        ("Monitoring", "monitoring"),
        ("swarm_worker", "swarm_workers"),
        ("swarm-workers", "swarm_workers"),
        ("databse", "database"),
        ("wbe", "web"),
        ("bd", "db"),
    ],
)
def test_a_group_whose_name_is_nearly_a_tiers_is_named(group, tier):
    found = groups(gateway=["gw1"], **{tier: ["a1"], group: ["b1"]})
    advice = inventory_advice(site(tier), found)
    assert kinds(advice) == [TIERLESS_HOST, LOOKALIKE_GROUP]
    assert advice[1].path == f"inventory group {group}" and f"rename the group to {tier}" in advice[1].remedy


@pytest.mark.parametrize(
    ("group", "flagged"),
    [("we", True), ("eb", True), ("webb", True), ("xweb", True), ("wexb", True), ("wxb", True), ("xeb", True)]
    + [("wex", True), ("ewb", True), ("wbe", True), ("wxy", False), ("bew", False), ("w", False), ("webxy", True)]
    + [("xyweb", True), ("wxeyb", True), ("web-front", False), ("ebw", False), ("weba12", False)],
)
def test_of_a_short_name_one_letter_may_be_wrong(group, flagged):
    """A letter too many, too few, wrong, or two swapped; two letters more are three quarters of the same."""
    advice = inventory_advice(site("web"), groups(gateway=["gw1"], web=["a1"], **{group: ["b1"]}))
    assert (LOOKALIKE_GROUP in kinds(advice)) == flagged


@pytest.mark.parametrize(("group", "flagged"), [("d", False), ("b", False), ("dx", True), ("xb", True), ("dbs", True)])
def test_of_a_name_of_two_letters_one_letter_alone_is_not_it(group, flagged):
    advice = inventory_advice(site("db"), groups(gateway=["gw1"], db=["a1"], **{group: ["b1"]}))
    assert (LOOKALIKE_GROUP in kinds(advice)) == flagged


def test_a_misspelled_group_of_hosts_that_are_in_another_tier_is_named_too():
    found = groups(gateway=["gw1"], monitoring=["a1"], web=["b1"], monitorng=["b1"])
    assert kinds(inventory_advice(site("monitoring", "web"), found)) == [LOOKALIKE_GROUP]


@pytest.mark.parametrize("group", ["gatway", "gateways", "Gateway"])
def test_a_group_that_is_nearly_the_gateways_is_named(group):
    found = groups(**{group: ["gw1"], "web": ["web1"]})
    advice = inventory_advice(site("web"), found)
    assert kinds(advice) == [TIERLESS_HOST, LOOKALIKE_GROUP, NO_GATEWAY]
    assert "rename the group to gateway" in advice[1].remedy


@pytest.mark.parametrize(
    "extra",
    [
        {"webs": ["web1"]},  # a part of the tier
        {"swarm_managers": ["web1"]},
        {"db1": ["web1"]},  # another number, and its hosts have their tier
        {"debian": ["web1", "db1"]},
        {"wep": []},
    ],
)
def test_groups_that_are_meant_as_they_are_are_left_alone(extra):
    assert inventory_advice(site("web", "db", "db2"), {**FLEET, "db2": ["db2"], **extra}) == []


def test_a_tier_without_a_host_is_named():
    (advice,) = inventory_advice(site("web", "db", "idle", "empty"), {**FLEET, "empty": []})
    assert (advice.kind, advice.got) == (EMPTY_TIER, "2 tiers without a host (idle, empty)")


def test_gateway_addresses_without_a_gateway_are_named():
    (advice,) = inventory_advice(site("web", "db"), {**FLEET, "gateway": [], "all": ["web1", "web2", "db1"]})
    assert advice.kind == NO_GATEWAY and "web, db" in advice.expected


def test_a_site_without_gateway_addresses_needs_no_gateway():
    declaration = declare("web")
    del declaration["bulkhead_tiers"]["web"]["gateway"]
    assert inventory_advice(parse_site(declaration, TODAY), groups(web=["web1"])) == []


@pytest.mark.parametrize(
    "found", [{}, {"all": [], "ungrouped": []}, groups(ungrouped=["localhost"]), groups(outside=["o"])]
)
def test_an_inventory_without_a_host_is_said_once(found):
    (advice,) = inventory_advice(site("web"), found)
    assert advice.kind == NO_HOST and str(advice).startswith("inventory: got no host; expected hosts in groups named")


def test_advice_is_one_line_that_says_what_to_do_and_is_in_the_plan():
    found = groups(gateway=["gw1"], web=["web1"], wbe=["\x1b[31mred"])
    for advice in inventory_advice(site("web"), found):
        assert "\x1b" not in str(advice) and "\n" not in str(advice) and "; expected " in str(advice)
    shown = plan_text(site("web"), found)
    assert "inventory group wbe: got 1 host" in shown and "1 host in no tier" in shown
    assert "in no tier" not in plan_text(site("web"))


@pytest.mark.parametrize("found", [groups(wbe=["web1"]), groups(outside=["o"]), {}])
def test_a_run_that_would_touch_no_host_is_refused(found):
    with pytest.raises(Refused) as refused:
        require_hosts(site("web"), found)
    assert [mistake.kind for mistake in refused.value.mistakes] == [NO_HOST]


@pytest.mark.parametrize("found", [groups(web=["web1"], wbe=["web2"]), groups(gateway=["gw1"])])
def test_one_host_in_a_tier_or_a_router_is_enough(found):
    require_hosts(site("web"), found)
