# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A playbook that finds no host to do anything on does not end well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
SITE = {
    "bulkhead_tiers": {"web": {"vlan": 10, "subnet": "10.0.1.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "self", "allow": "ssh"}],
}
#: Those that ask hosts, whatever their tier.
ASKING = sorted(
    path.stem
    for path in (CHECKOUT / "playbooks").glob("*.yml")
    if any(play.get("hosts") == "all" for play in yaml.safe_load(path.read_text(encoding="utf-8")))
)


@pytest.fixture(name="play")
def fixture_play(tmp_path):
    """A playbook on an inventory of these groups, with or without the site's variables."""

    def play(name, groups, variables=None, arguments=(), inventory="inventory.json"):
        hosts = {group: {"hosts": {host: {"ansible_connection": "local"}}} for group, host in groups.items()}
        tree = {"all": {"vars": SITE if variables is None else variables, "children": hosts}}
        (tmp_path / "inventory.json").write_text(json.dumps(tree), encoding="utf-8")
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                *("-i", inventory, CHECKOUT / "playbooks" / f"{name}.yml", "--check", *arguments),
            ],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return play


def test_the_playbooks_that_ask_hosts_are_found():
    assert {"site", "prove", "networks"} <= set(ASKING)


@pytest.mark.parametrize("name", ASKING)
def test_an_inventory_without_a_host_is_an_error(play, name):
    status, said = play(name, {})
    assert status != 0 and "inventory: got no host; expected the hosts of the site" in said


def test_an_inventory_that_is_not_there_is_an_error(play):
    status, said = play("site", {"web": "web1"}, inventory="inventori.json")
    assert status != 0 and "inventory: got no host" in said
    status, said = play("plan", {"web": "web1"}, inventory="inventori.json")
    assert status != 0 and "bulkhead_tiers" in said


@pytest.mark.parametrize("name", ["site", "plan", "prove", "networks"])
def test_an_inventory_without_the_sites_variables_is_an_error(play, name):
    status, said = play(name, {"web": "web1"}, {})
    assert status != 0 and "bulkhead_tiers" in said


def test_an_inventory_none_of_whose_hosts_is_in_a_tier_is_an_error_that_names_its_groups(play):
    status, said = play("site", {"wbe": "web1", "outside": "o1"})
    assert status != 0 and "inventory: got 1 host, none in a tier" in said and "its groups: wbe" in said


@pytest.mark.parametrize("name", ["site", "prove"])
def test_a_limit_that_matches_no_host_is_an_error(play, name):
    assert play(name, {"web": "web1"}, arguments=["--limit", "web2"])[0] != 0
    assert play(name, {"web": "web1"}, arguments=["--limit", "web:!web1"])[0] != 0


def test_a_site_without_a_router_is_no_reason_for_a_warning(play):
    status, said = play("gateway", {"web": "web1"}, arguments=["--list-hosts"])
    assert status == 0 and "Could not match" not in said and "hosts (0)" in said
    status, said = play("gateway", {"web": "web1", "gateway": "gw1"}, arguments=["--list-hosts"])
    assert status == 0 and "hosts (1)" in said and "gw1" in said


def test_a_plan_hands_its_summary_on_to_the_jobs_after_it(play, monkeypatch):
    monkeypatch.setenv("ANSIBLE_SHOW_CUSTOM_STATS", "true")
    status, said = play("plan", {"web": "web1"}, arguments=["-e", "plan_page="])
    assert status == 0, said
    found = said.split("CUSTOM STATS:")[1]
    assert "site_plan: declaration:" in found
    assert "flows: 1" in found and "hosts: 1" in found and "never: 0" in found and "tiers: web: 1" in found
