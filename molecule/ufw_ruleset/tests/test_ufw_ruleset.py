"""What ufw itself says of a ruleset that the module applied."""

from __future__ import annotations

import pytest
import yaml

testinfra_hosts = ["ansible://scratch"]


@pytest.fixture(name="arguments", scope="module")
def fixture_arguments():
    """The arguments of the task in converge.yml."""
    with open("converge.yml", encoding="utf-8") as file:
        return yaml.safe_load(file)[0]["tasks"][0]["bulkhead.tiers.ufw_ruleset"]


@pytest.fixture(name="apply")
def fixture_apply(host, run_module):
    """apply(arguments, check) -> the module's answer, by default of a run that changes nothing."""

    def apply(arguments, check=True):
        return run_module(host.backend.host, "bulkhead.tiers.ufw_ruleset", arguments, check)

    return apply


def test_ufw_lists_every_rule(host):
    status = host.check_output("ufw status verbose")
    assert "Status: active" in status
    assert "Default: deny (incoming), allow (outgoing), deny (routed)" in status
    for line in ("22/tcp", "80,443,8000:8010/tcp", "REJECT IN", "DENY OUT", "5353/udp on eth0", "ALLOW FWD", "Büro"):
        assert line in status, line


def test_the_kernel_filters_by_the_rules_in_both_families(host):
    v4, v6 = host.check_output("iptables-save"), host.check_output("ip6tables-save")
    assert "-A ufw-user-input -s 10.99.0.0/24 -p tcp -m multiport --dports 80,443,8000:8010 -j ACCEPT" in v4
    assert "-A ufw6-user-input -s 2001:db8::/32 -p udp -m udp --dport 53 -j ACCEPT" in v6
    assert "2001:db8" not in v4 and "10.99.0.0" not in v6


def test_a_reload_by_ufw_itself_leaves_nothing_to_change(host, apply, arguments):
    host.check_output("ufw reload")
    assert apply(arguments)["changed"] is False


def test_a_rule_that_somebody_added_is_found_and_removed(host, apply, arguments):
    host.check_output("ufw allow 9999/tcp")
    found = apply(arguments)
    assert found["changed"] is True
    assert any("9999" in rule for rule in found["removed"]) and found["added"] == []
    assert "9999" in found["diff"]["before"] and "9999" not in found["diff"]["after"]
    assert "9999" in host.check_output("iptables-save"), "check mode changed the host"

    assert apply(arguments, check=False)["removed"] == found["removed"]
    assert "9999" not in host.check_output("iptables-save") + host.check_output("ufw status")
    assert apply(arguments)["changed"] is False


def test_a_rule_that_is_gone_from_the_kernel_alone_is_mended(host, apply, arguments):
    host.check_output("iptables -D ufw-user-input -s 10.99.0.0/24 -p esp -j ACCEPT")
    assert "esp" in host.check_output("ufw status"), "ufw sees its own file only"
    assert apply(arguments, check=False)["changed"] is True
    assert "-p esp" in host.check_output("iptables-save")
    assert apply(arguments)["changed"] is False


def test_bad_input_names_every_bad_rule_and_touches_nothing(host, apply, arguments):
    before = host.check_output(
        "sha256sum /etc/ufw/user.rules /etc/ufw/user6.rules && iptables-save | grep -v '^#' | sed 's/ *\\[.*//'"
    )
    bad = dict(
        arguments,
        rules=[{"rule": "allow", "proto": "tcp", "to_port": "70000"}, {"rule": "allow", "from_ip": "10.0.0.300"}],
    )
    answer = apply(bad, check=False)
    assert answer["failed"] is True
    message = answer["msg"]
    assert "rules[0].to_port" in message and "70000" in message and "rules[1].from_ip" in message
    assert before == host.check_output(
        "sha256sum /etc/ufw/user.rules /etc/ufw/user6.rules && iptables-save | grep -v '^#' | sed 's/ *\\[.*//'"
    )
