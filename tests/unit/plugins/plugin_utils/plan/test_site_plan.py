# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import pathlib
import re
from datetime import date

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.matrix import matrix, places
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import WIDTH, plan_json, plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

LAB = pathlib.Path(__file__).parents[5] / "inventories/lab/group_vars/all"
TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def site():
    return parse_site(
        {name: value for file in LAB.glob("*.yml") for name, value in yaml.safe_load(file.read_text()).items()}, TODAY
    )


def many_tiers(count):
    return parse_site(
        {
            "bulkhead_tiers": {
                f"tier{index}": {"vlan": index + 1, "subnet": f"10.0.{index}.0/24"} for index in range(count)
            },
            "bulkhead_services": {"a_rather_long_name": "1/tcp"},
            "bulkhead_flows": [{"from": "tiers", "to": "self", "allow": "a_rather_long_name"}],
        },
        TODAY,
    )


def test_the_plan_of_the_lab_fits_into_a_hundred_columns(site):
    lines = plan_text(site, {"management": ["mgmt1"]}).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(line == line.rstrip() for line in lines)


def test_the_plan_names_every_tier_with_its_vlan_subnet_gateway_and_room(site):
    text = plan_text(site)
    assert "    20  provisioning   10.0.2.0/24    10.0.2.1       253  10.0.2.100-200  never     100/1000" in text
    assert "    40  swarm_workers  10.116.0.0/16  10.116.0.1   65533  -               by flow   1000/10000" in text
    assert "  overlay  apps-private  172.30.0.0/24  on swarm1, internal, attachable, zone private" in text
    assert "  pool     overlay       172.30.0.0/16  2 networks in it, 0.8 % taken" in text


def test_the_matrix_has_a_row_and_a_column_for_every_place(site):
    text = plan_text(site).partition("FLOWS")[2].partition("NEVER")[0]
    header, *rows = text.splitlines()[1:]
    assert header.split() == ["management", "provisioning", "monitoring", "swarm_workers", "gateway", "internet"]
    assert [row.split()[0] for row in rows if row[2:3] not in ("", " ")] == header.split()
    assert next(row for row in rows if row.startswith("  internet ")).split() == [
        "internet",
        "never",
        "never",
        "never",
        "http",
        "https",
        ".",
        ".",
    ]
    assert "(to maas)" in text


def test_the_plan_prints_the_rules_of_each_group_with_its_hosts(site):
    text = plan_text(site, {"management": ["mgmt1", "mgmt2"]})
    assert (
        "RULES OF management  4 rules, then incoming deny, outgoing allow, routed deny; hosts: mgmt1, mgmt2\n" in text
    )
    assert "\n  route deny from any to 10.0.2.0/24  # not the internet: provisioning\n" in text
    for name in list(site.tiers) + ["gateway"]:
        assert "RULES OF %s  " % name in text


def test_the_plan_prints_warnings_and_says_so_where_there_are_none(site):
    assert "\nWARNINGS\n  bulkhead_networks.maas-network.ip_range: " in plan_text(site)
    assert "\nWARNINGS  none\n" in plan_text(many_tiers(2))


def test_a_flow_from_everywhere_stands_in_every_row():
    declaration = {
        name: value for file in LAB.glob("*.yml") for name, value in yaml.safe_load(file.read_text()).items()
    }
    declaration["bulkhead_flows"] = [{"from": "0.0.0.0/0", "to": "swarm_workers", "allow": "grafana"}]
    declaration["bulkhead_never"] = []
    cells = plan_json(parse_site(declaration, TODAY))["matrix"]
    assert {cell["from"] for cell in cells if cell["to"] == "swarm_workers"} == {
        "management",
        "provisioning",
        "monitoring",
        "swarm_workers",
        "maas-network",
        "apps-private",
        "apps-public",
        "internet",
    }


def test_a_matrix_too_wide_for_the_terminal_becomes_a_list():
    text = plan_text(many_tiers(12))
    assert "  tier3 -> tier3: a_rather_long_name" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def crowded(tiers, flows):
    """A site with as many rules as its tiers times its flows."""
    return parse_site(
        {
            "bulkhead_tiers": {
                f"tier{number}": {"vlan": number + 1, "subnet": f"10.0.{number}.0/24"} for number in range(tiers)
            },
            "bulkhead_services": {f"s{port}": f"{port}/tcp" for port in range(1, flows + 1)},
            "bulkhead_flows": [
                {"from": "tiers", "to": "self", "allow": f"s{port}", "why": "w"} for port in range(1, flows + 1)
            ],
        },
        TODAY,
    )


def test_a_long_plan_fits_into_what_awx_shows_and_says_how_much_more_there_is():
    site = crowded(50, 200)
    text = plan_text(site, {f"tier{number}": [f"h{each}" for each in range(1000)] for number in range(50)})
    assert len(text.encode()) < 1 << 20 and text.count("\n") < 7000
    for name in site.tiers:
        block = text.partition(f"RULES OF {name}  ")[2].split("\n\n")[0]
        assert block.startswith("200 rules") and re.search(
            r"\n  and 1\d\d more lines: the page of the plan has them all$", block.rstrip()
        )
        assert " and 980 more" in " ".join(block.split())


def test_a_plan_of_usual_length_is_printed_whole():
    text = plan_text(crowded(10, 20))
    assert "more line" not in text and text.count("tcp") >= 200


def test_the_plan_as_data_is_plain_json_and_holds_the_same(site):
    plan = json.loads(json.dumps(plan_json(site)))
    assert plan["tiers"]["provisioning"]["dhcp"] == ["10.0.2.100", "10.0.2.200"]
    assert plan["networks"]["apps-public"]["subnet"] == "172.30.1.0/24"
    assert set(plan["rules"]) == set(site.tiers) | {"gateway"}
    cell = next(cell for cell in plan["matrix"] if (cell["from"], cell["to"]) == ("monitoring", "management"))
    assert [entry["service"] for entry in cell["services"]] == ["fleetdm", "prometheus"]
    assert plan["flows"][0]["ports"] == ["22/tcp", "443/tcp", "5240/tcp", "8443/tcp", "3000/tcp", "9090/tcp"]


def test_a_network_with_the_name_of_a_tier_has_a_place_of_its_own():
    found = parse_site(
        {
            "bulkhead_tiers": {
                "web": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1"},
                "db": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
            },
            "bulkhead_services": {"ssh": "22/tcp", "sql": "5432/tcp"},
            "bulkhead_addresses": {"store": "10.40.0.9", "edge": "10.41.0.9"},
            "bulkhead_networks": {
                "web": {"driver": "bridge", "subnet": "10.40.0.0/24", "on": "db"},
                "gateway": {"driver": "bridge", "subnet": "10.41.0.0/24", "on": "db"},
            },
            "bulkhead_flows": [
                {"from": "db", "to": "web", "allow": "ssh"},
                {"from": "web", "to": ["store", "edge"], "allow": "sql"},
            ],
        },
        TODAY,
    )
    assert places(found) == ["web", "db", "network web", "network gateway", "gateway", "internet"]
    cells = {ends: [entry.service for entry in cell] for ends, cell in matrix(found).items()}
    assert cells == {("db", "web"): ["ssh"], ("web", "network web"): ["sql"], ("web", "network gateway"): ["sql"]}


def test_a_limit_stands_in_the_matrix_the_rules_and_the_data():
    site = many_tiers(2)
    assert "*" not in plan_text(site).partition("FLOWS")[2].partition("RULES")[0]
    site = parse_site(
        {
            "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}},
            "bulkhead_services": {"ssh": "22/tcp", "http": "80/tcp"},
            "bulkhead_flows": [
                {"from": "internet", "to": "web", "allow": "ssh", "limit": True},
                {"from": "internet", "to": "web", "allow": "http"},
            ],
        },
        TODAY,
    )
    text = plan_text(site)
    assert "; * is limited" in text and " ssh* " in text and " http* " not in text
    assert "limit in proto tcp from any to 10.0.1.0/24 port 22" in text
    data = plan_json(site)
    assert [flow["limit"] for flow in data["flows"]] == [True, False]
    assert {cell["service"]: cell["limit"] for row in data["matrix"] for cell in row["services"]} == {
        "ssh": True,
        "http": False,
    }
    assert [rule["rule"] for rule in data["rules"]["web"] if rule["rule"] != "deny"] == ["allow", "limit"]


def test_what_the_routers_translate_stands_in_the_plan_and_the_data():
    assert "\nNAT\n" not in plan_text(many_tiers(2))
    site = parse_site(
        {
            "bulkhead_tiers": {
                "web": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "internet": True, "masquerade": True}
            },
            "bulkhead_addresses": {"web1": "10.0.1.9"},
            "bulkhead_services": {"https": "8443/tcp"},
            "bulkhead_flows": [{"from": "internet", "to": "web1", "allow": "https", "forward": {"port": 443}}],
        },
        TODAY,
    )
    text = plan_text(site).partition("\nNAT\n")[2].split("\n\n")[0]
    assert [line.split("  ")[1].strip() for line in text.splitlines() if line.strip()] == [
        "masquerade web",
        "forward 443/tcp",
    ]
    data = plan_json(site)
    assert data["nat"]["forward"][-1]["target_port"] == "8443"
    assert data["tiers"]["web"]["masquerade"] == ["ipv4"]
    assert data["flows"][0]["forward"] == {"address": None, "port": 443} and data["flows"][1]["forward"] is None
