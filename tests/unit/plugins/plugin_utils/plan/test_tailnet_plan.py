"""The tailnet in the plan of a site."""

from __future__ import annotations

import pytest
from tailnet_site import parsed

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import WIDTH, plan_json, plan_text

SECTION = """\
TAILNET  https://headscale.example (headscale); from -> to, all else is blocked on it
  node        tags                                routes                        exit node for
  edge        tag:edge                            -                             group:admins
  web         tag:web, tag:server                 -                             -
  apps        tag:apps, tag:metabase, tag:server  10.0.3.0/24                   -
  management  tag:mgmt                            -                             -
  gateway     tag:router                          10.0.5.0/24, 198.51.100.0/24  -
  over the tailnet
    group:admins -> management: ssh
    web -> apps: postgres
    group:devs -> printer (10.0.5.9): https
    tag:ci -> printer (10.0.5.9): https
    group:admins -> internet by edge: any
  SSH
    group:admins -> management: as ops
  on the LAN for it
    gateway -> printer (10.0.5.9): https

NAT

  masquerade the tailnet  by gateway, to 10.0.5.0/24, 198.51.100.0/24
  masquerade the tailnet  by apps, to 10.0.3.0/24
  masquerade the tailnet  by edge, to the internet
"""


def test_the_plan_shows_who_reaches_whom_over_the_tailnet_and_what_stays_on_the_lan():
    text = plan_text(parsed(direct=False))
    assert SECTION in text
    assert text.startswith("SITE  5 tiers, 6 services, 3 flows, 4 tailnet flows, 1 invariant,")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_the_matrix_is_the_lans():
    over = plan_json(parsed(direct=False))
    cells = {(cell["from"], cell["to"]): [item["service"] for item in cell["services"]] for cell in over["matrix"]}
    assert cells[("web", "apps")] == ["https"] and ("edge", "management") not in cells
    open_to_all = plan_json(parsed())
    narrowed = {
        item["only"] for cell in open_to_all["matrix"] for item in cell["services"] if item["service"] == "WireGuard"
    }
    assert narrowed == {""}


def test_the_plan_as_data_has_the_tailnet():
    found = plan_json(parsed())["tailnet"]
    assert found["tags"]["web"] == ["tag:web", "tag:server"] and found["exit_nodes"] == {"edge": ["group:admins"]}
    assert [(flow["path"], flow["exit"]) for flow in found["flows"]] == [
        ("bulkhead_flows[0]", ""),
        ("bulkhead_flows[1]", ""),
        ("bulkhead_flows[2]", ""),
        ("bulkhead_tailnet.exit_nodes.edge", "edge"),
    ]


def test_a_site_without_a_tailnet_has_no_such_section():
    site = parsed(tailnet=None, flows=[])
    assert "TAILNET" not in plan_text(site) and "tailnet" not in plan_json(site)


def test_the_plan_warns_of_what_leads_nowhere():
    never_used = parsed(flows=[], exit_nodes={"management": ["group:admins"]})
    warned = [text.partition(": ")[0] for text in never_used.warnings if text.startswith("bulkhead_tailnet")]
    assert warned == [
        "bulkhead_tailnet.tags.apps",
        "bulkhead_tailnet.tags.management",
        "bulkhead_tailnet.exit_nodes.management",
        "bulkhead_tailnet.routes.gateway",
        "bulkhead_tailnet.routes.gateway",
        "bulkhead_tailnet.routes.apps",
        "bulkhead_tailnet.ssh[0]",
    ]
    whole = parsed(routes={"gateway": ["printers"]}, derp=[{"to": "headscale", "ports": ["443/tcp"]}])
    assert [text for text in whole.warnings if text.startswith("bulkhead_tailnet")] == []


@pytest.mark.parametrize(
    ("control", "flow", "warned"),
    [
        ("https://headscale.example", None, True),
        ("https://headscale.example", {"from": "apps", "to": "internet", "allow": "https"}, False),
        ("https://headscale.example", {"from": "apps", "to": "headscale", "allow": "https"}, False),
        ("https://headscale.example", {"from": "apps", "to": "headscale", "allow": "ssh"}, True),
        ("https://headscale.example", {"from": "apps", "to": "apps", "allow": "https"}, True),
        ("https://10.0.4.5", {"from": "apps", "to": "internet", "allow": "https"}, True),
        ("https://10.0.4.5", {"from": "apps", "to": "db", "allow": "https"}, True),
        ("https://10.0.4.5", {"from": "apps", "to": "management", "allow": "https"}, False),
        ("https://10.0.4.5:8080", {"from": "apps", "to": "management", "allow": "https"}, True),
        ("https://198.51.100.9", {"from": "apps", "to": "internet", "allow": "https"}, False),
        ("https://10.0.3.200:8080", None, False),
        (None, None, True),
        (None, {"from": "apps", "to": "internet", "allow": "https"}, False),
    ],
)
def test_a_tier_whose_hosts_cannot_join_is_a_warning(control, flow, warned):
    site = parsed(control=control, flows=[flow] if flow else [], ssh=None, routes=None)
    found = [text for text in site.warnings if text.startswith("bulkhead_tailnet.tags.apps: ")]
    assert len(found) == warned and all((control or "of Tailscale") in text and ".derp" in text for text in found)
    # A tier that reaches the internet reaches a server that is there, and none inside of the site.
    inside = any(text.startswith("bulkhead_tailnet.tags.web: ") for text in site.warnings)
    assert inside == bool(control and control.startswith("https://10."))


def test_a_flow_over_the_tailnet_that_ends_soon_is_a_warning():
    flow = {"from": "web", "to": "apps", "allow": "postgres", "via": "tailnet"}
    site = parsed(flows=[{**flow, "until": "2026-01-11"}], ssh=None, routes=None)
    assert "bulkhead_flows[0]: ends on 2026-01-11, in 10 days" in site.warnings
