# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contradictions of the Gough document: inventories/gough_literal shows each, inventories/gough has none of them."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import checks, engines, parse
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 21)


def declared(inventory):
    found = {}
    for file in (ROOT / "inventories" / inventory / "group_vars" / "all").glob("*.yml"):
        found.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if name.startswith("bulkhead_")}


def contradictions(variables):
    """{(kind, path, the other path)}."""
    try:
        parse_site(variables, TODAY)
    except Refused as error:
        return {(one.kind, one.path, getattr(one, "against", "")) for one in error.mistakes}
    return set()


def without_address_rules(site):
    """The denial between the VLANs wins: a server enrols once it has left the tier."""
    del site["bulkhead_flows"][6]


def with_rules_of_docker(site):
    del site["bulkhead_engines"]["management"]["iptables"]


def with_a_bridge_elsewhere(site):
    site["bulkhead_engines"]["management"].update({"bip": "172.28.255.1/24", "fixed-cidr": "172.28.255.0/24"})


def with_nginx_before_the_portal(site):
    site["bulkhead_addresses"]["nginx"] = {"address": "172.20.0.50", "serves": ["http", "https"]}
    site["bulkhead_flows"][5]["to"] = "nginx"


def with_one_rate(site):
    for tier in site["bulkhead_tiers"].values():
        tier["bandwidth"]["minimum"] = tier["bandwidth"]["minimum"][0]


def without_the_last_rule(site):
    del site["bulkhead_never"][2]


TIERS = ("management", "provisioning", "monitoring")
#: Number of the contradiction in the document: what the plan reports, and its resolution.
SIX = {
    1: ({(checks.FORBIDDEN, "bulkhead_flows[6]", "bulkhead_never[0]")}, without_address_rules),
    2: (
        {(engines.WITHOUT_RULES, "bulkhead_engines.management.iptables", "bulkhead_networks.maas-network")},
        with_rules_of_docker,
    ),
    3: (
        {(checks.OVERLAP, "bulkhead_engines.management.bip", "bulkhead_networks.maas-network.subnet")},
        with_a_bridge_elsewhere,
    ),
    4: (
        {(checks.NOT_SERVED, "bulkhead_flows[5].allow", "bulkhead_addresses.portal.serves")},
        with_nginx_before_the_portal,
    ),
    5: (
        {
            (
                parse.TWO_RATES,
                f"bulkhead_tiers.{tier}.bandwidth.minimum[1]",
                f"bulkhead_tiers.{tier}.bandwidth.minimum[0]",
            )
            for tier in TIERS
        },
        with_one_rate,
    ),
    6: (
        {
            (checks.DENIES_ALL, path, "bulkhead_never[2]")
            for path in ("bulkhead_flows[0]", "bulkhead_flows[5]", "bulkhead_tiers.management.internet")
        },
        without_the_last_rule,
    ),
}


def test_the_literal_rules_have_these_contradictions_and_no_other():
    assert contradictions(declared("gough_literal")) == {one for found, _resolved in SIX.values() for one in found}


@pytest.mark.parametrize("number", SIX)
def test_the_resolution_of_a_contradiction_ends_it_and_no_other(number):
    site = copy.deepcopy(declared("gough_literal"))
    before = contradictions(site)
    expected, resolve = SIX[number]
    resolve(site)
    assert {(kind, against) for kind, _path, against in before - contradictions(site)} == {
        (kind, against) for kind, _path, against in expected
    }
    assert {kind for kind, *_paths in contradictions(site)} == {
        kind for other, (found, _resolved) in SIX.items() if other != number for kind, *_paths in found
    }


def test_all_resolutions_together_leave_a_sound_site():
    site = copy.deepcopy(declared("gough_literal"))
    for number in (6, 5, 4, 3, 2, 1):
        SIX[number][1](site)
    assert contradictions(site) == set()


@pytest.mark.parametrize("number", SIX)
def test_each_contradiction_is_told_with_both_of_its_lines(number):
    with pytest.raises(Refused) as caught:
        parse_site(declared("gough_literal"), TODAY)
    for mistake in caught.value.mistakes:
        against = getattr(mistake, "against", "")
        if (mistake.kind, mistake.path, against) in SIX[number][0]:
            assert mistake.path in str(mistake) and against in str(mistake)
