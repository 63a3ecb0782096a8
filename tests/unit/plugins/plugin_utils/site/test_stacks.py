# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import host_stacks, lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import plan_json, plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = """
bulkhead_tiers:
  admin: {vlan: 1, subnet: 10.0.1.0/24}
  apps: {vlan: 2, subnet: [10.0.2.0/24, "fd00:2::/64"]}
bulkhead_pools: {engine: 10.20.0.0/16, swarm: 10.21.0.0/16, overlay: 10.30.0.0/22}
bulkhead_swarm: {tier: apps, managers: {m1: 10.0.2.11, m2: 10.0.2.12}}
bulkhead_networks:
  front: {driver: overlay, subnet: 10.30.0.0/24, zone: public, pool: overlay}
  back: {driver: overlay, subnet: 10.30.1.0/24, zone: private, internal: true, pool: overlay}
"""
STACKS = """
bulkhead_stacks:
  shop: {file: stacks/shop.yml, kind: swarm, require: {"*-backend": [public, private]}}
  tools: {file: [a.yml, /b.yml], kind: compose, on: [admin, admin], require: {web: public}}
"""


def site_of(stacks, base=SITE):
    return parse_site(yaml.safe_load(base + stacks), date(2026, 11, 21))


def problems(stack, base=SITE):
    with pytest.raises(Refused) as caught:
        site_of("bulkhead_stacks: %s" % stack, base)
    return [str(problem) for problem in caught.value.mistakes]


def test_stacks_are_read_as_they_are_declared_and_a_bare_on_is_understood():
    shop, tools = site_of(STACKS).stacks.values()
    assert (shop.name, shop.kind, shop.files, shop.tiers) == ("shop", "swarm", ("stacks/shop.yml",), ())
    assert shop.demands == {"*-backend": ("public", "private")}
    assert (tools.kind, tools.files, tools.tiers) == ("compose", ("a.yml", "/b.yml"), ("admin",))
    assert tools.demands == {"web": ("public",)}


P = "bulkhead_stacks"
BAD = [
    ("[x]", P + ": got a list of 1; expected a mapping of stacks; write it like shop: {file: stacks/shop.yml,"),
    ("{shop: x}", P + '.shop: got "x"; expected a mapping of its settings; write it like {file: stacks/shop.yml,'),
    (
        "{Shop: {file: x, kind: swarm}}",
        P + '.Shop: got "Shop"; expected a name of small letters, digits, _ and -; rename',
    ),
    ("{a: {file: x, kind: swrm}}", P + '.a.kind: got "swrm"; expected swarm or compose; did you mean swarm?'),
    ("{a: {file: x}}", P + ".a.kind: got nothing; expected swarm or compose; choose one of them"),
    (
        "{a: {kind: swarm}}",
        P + ".a.file: got nothing; expected the path of a Compose file, or a list of them; write it",
    ),
    ("{a: {file: [], kind: swarm}}", P + ".a.file: got an empty list; expected the path of a Compose file"),
    (
        "{a: {file: [x, ' '], kind: swarm}}",
        P + '.a.file[1]: got " "; expected the path of a Compose file; write it like',
    ),
    ("{a: {file: x, kind: swarm, on: apps}}", P + '.a.on: got "apps"; expected nothing for a Swarm stack; remove it: '),
    (
        "{a: {file: x, kind: compose}}",
        P + ".a.on: got nothing; expected the tiers whose hosts run this stack; write it",
    ),
    ("{a: {file: x, kind: compose, on: app}}", P + '.a.on: got "app"; expected a tier; did you mean apps?'),
    (
        "{a: {file: x, kind: swarm, file_: y}}",
        P + ".a.file_: got an unknown key; expected one of file, kind, on, require;",
    ),
    (
        "{a: {file: x, kind: swarm, require: {w: privat}}}",
        P
        + '.a.require.w: got "privat"; expected a zone of the site\'s networks (private, public); did you mean private?',
    ),
    (
        "{a: {file: x, kind: swarm, require: [w]}}",
        P + ".a.require: got a list of 1; expected a mapping of zones by service;",
    ),
]


@pytest.mark.parametrize(("stack", "message"), BAD)
def test_a_mistake_gives_one_problem_with_its_key_path(stack, message):
    found = problems(stack)
    assert len(found) == 1 and found[0].startswith(message), found


def test_a_swarm_stack_needs_a_swarm():
    base = "bulkhead_tiers: {apps: {vlan: 2, subnet: 10.0.2.0/24}}\n"
    assert problems("{a: {file: x, kind: swarm}}", base) == [
        P + ".a.kind: got swarm; expected a Swarm that can run it; declare bulkhead_swarm: {managers: {...}, tier: ...}"
    ]


def test_all_problems_come_at_once():
    assert len(problems("{a: {file: x, kind: y}, b: {kind: compose, on: nowhere}}")) == 3


def test_the_first_manager_deploys_the_swarms_stacks_and_a_tiers_hosts_their_own():
    site = site_of(STACKS)
    shop = {"name": "shop", "kind": "swarm", "files": ["stacks/shop.yml"]}
    tools = {"name": "tools", "kind": "compose", "files": ["a.yml", "/b.yml"]}
    assert host_stacks(site, ["apps"], "m1") == [shop]
    assert host_stacks(site, ["apps"], "m2") == host_stacks(site, ["apps"], "w1") == []
    assert host_stacks(site, ["admin"], "h1") == [tools]
    assert host_stacks(site, ["apps", "admin"], "m1") == [shop, tools]


def test_the_check_holds_all_stacks_against_the_whole_site():
    asked = lint_arguments(site_of(STACKS))
    assert [stack["name"] for stack in asked["stacks"]] == ["shop", "tools"]
    assert [stack["tiers"] for stack in asked["stacks"]] == [[], ["admin"]]
    overlay = {"driver": "overlay", "attachable": False, "tiers": []}
    assert asked["networks"] == {
        "front": {"zone": "public", "internal": False, "subnet": "10.30.0.0/24", **overlay},
        "back": {"zone": "private", "internal": True, "subnet": "10.30.1.0/24", **overlay},
    }
    assert asked["reserved"]["tier apps"] == ["10.0.2.0/24", "fd00:2::/64"]
    assert asked["pools"]["overlay"] == ["10.30.0.0/22"]
    assert asked["require"] == {"shop/*-backend": ["public", "private"], "tools/web": ["public"]}
    assert lint_arguments(site_of("")) == {}


def test_the_plan_shows_the_stacks():
    site = site_of(STACKS)
    assert "  swarm    shop   stacks/shop.yml  on m1; *-backend in zones public, private\n" in plan_text(site)
    assert plan_json(site)["stacks"]["tools"] == {
        "kind": "compose",
        "files": ["a.yml", "/b.yml"],
        "on": ["admin"],
        "require": {"web": ["public"]},
    }
    assert "STACKS" not in plan_text(site_of(""))
