# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.doc_fragments import ufw
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import task
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import FIRST, LOGS, OPTIONS
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PROTOCOLS
from ansible_collections.bulkhead.tiers.plugins.modules import ufw_ruleset, ufw_ruleset_info, ufw_ruleset_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import inform
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

SSH = {"rule": "allow", "proto": "tcp", "to_port": 22}


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    host = FakeHost(tmp_path)
    monkeypatch.setattr(task, "Host", lambda: host)
    monkeypatch.setattr(ufw_ruleset_info, "Host", lambda: host)
    return host


@pytest.fixture(name="run")
def fixture_run(host, capsys):
    def run(module=ufw_ruleset, **args):
        if module is not ufw_ruleset_info:
            # As the action plugin has it over a connection that cannot be cut.
            args.setdefault("confirm", {"timeout": 0})
        with patch_module_args(args), pytest.raises(SystemExit) as ended:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert bool(result.get("failed")) == bool(ended.value.code)
        return result

    return run


def test_the_return_values_have_the_same_keys_in_every_mode(run):
    def keys(**args):
        return set(run(**args)) - {"invocation", "warnings"}

    expected = {"changed", "added", "removed", "reordered", "settings", "drift", "dead", "conflicting", "diff"}
    expected |= {"opened", "closed", "unclear", "unlisted", "flushed"}
    assert keys(_ansible_check_mode=True, rules=[SSH]) == expected
    assert keys(rules=[SSH]) == expected
    assert keys(rules=[SSH]) == expected
    assert keys() == expected
    assert keys(rules=[{**SSH, "to_port": 23}], confirm={"timeout": 9}) == expected | {"pending"}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"rules": [SSH]},
        {"rules": [SSH], "purge": True, "default": {"incoming": "deny"}, "logging": "low"},
        {"docker": {"published": [{"proto": "tcp", "port": 80}]}},
        {"rules": [{"rule": "allow", "app": "WWW"}]},
        {"state": "disabled"},
    ],
)
def test_a_comparison_answers_what_the_whole_module_answers_where_nothing_changes(run, host, wish, check_mode):
    first = run(ufw_ruleset_plan, **wish, _ansible_check_mode=check_mode)
    assert first["same"] is not run(**wish)["changed"]
    before = host.snapshot()
    small = run(ufw_ruleset_plan, **wish, _ansible_check_mode=check_mode)
    whole = run(**wish, _ansible_check_mode=check_mode)
    assert whole["changed"] is False and small.pop("same") is True
    assert small == whole and host.snapshot() == before


def test_a_comparison_says_the_warnings_of_the_whole_module(run, monkeypatch):
    warnings = []
    monkeypatch.setattr(task.RulesetModule, "warn", lambda self, text: warnings.append(text))
    rules = [{**SSH, "to_port": 1343}]
    run(rules=rules)
    del warnings[:]
    run(ufw_ruleset_plan, rules=rules)
    run(rules=rules)
    assert len(warnings) == 2 and warnings[0] == warnings[1] and "22:23" in warnings[0]


def test_a_comparison_refuses_what_the_whole_module_refuses(run):
    rules = [{**SSH, "to_port": 70000}, {"rule": "permit"}]
    small, whole = run(ufw_ruleset_plan, rules=rules), run(rules=rules)
    assert small["failed"] and small["msg"] == whole["msg"] and len(small["msg"].splitlines()) == 2


@pytest.mark.parametrize("left", ["/run/bulkhead/ufw/change.json", "/etc/ufw/bulkhead-keep.sh"])
def test_a_comparison_leaves_a_change_that_is_not_settled_to_the_whole_module(run, host, left):
    run(rules=[SSH])
    assert run(ufw_ruleset_plan, rules=[SSH])["same"] is True
    host.file(left).parent.mkdir(parents=True, exist_ok=True)
    host.file(left).write_text("{}", encoding="utf-8")
    before = host.snapshot()
    answer = run(ufw_ruleset_plan, rules=[SSH])
    assert (answer["changed"], answer["same"]) == (False, False) and host.snapshot() == before


def test_a_host_without_ufw_is_left_to_the_whole_module_in_check_mode(run, host):
    host.file("/etc/default/ufw").unlink()
    assert run(ufw_ruleset_plan, rules=[SSH], _ansible_check_mode=True)["same"] is False
    assert "not installed" in run(ufw_ruleset_plan, rules=[SSH])["msg"]


def test_check_mode_says_changed_and_touches_nothing(run, host):
    before = host.snapshot()
    assert run(rules=[SSH], _ansible_check_mode=True)["changed"] is True
    assert host.snapshot() == before
    assert run(rules=[SSH])["changed"] is True
    assert run(rules=[SSH])["changed"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "permit"}, "rules[1].rule: got 'permit'; expected one of allow, deny, reject, limit"),
        ({"to_port": 70000}, "rules[1].to_port: got 70000; expected a port 1-65535"),
        ({"route": "maybe"}, "rules[1].route: got 'maybe'; expected true or false"),
        (
            {"prot": "tcp"},
            "rules[1].prot: got 'prot', which is not an option of a rule; expected one of rule, direction",
        ),
        ({"proto": "sctp"}, "rules[1].proto: got 'sctp'; expected one of any, tcp"),
        ({"direction": "up"}, "rules[1].direction: got 'up'; expected one of in, out"),
        ({"log": "loud"}, "rules[1].log: got 'loud'; expected one of off, new, all"),
        ({"rule": None}, "rules[1].rule: got nothing; expected one of"),
    ],
)
def test_a_mistake_names_the_rule_even_where_ansible_itself_would_refuse_it_without(run, host, change, message):
    before = host.snapshot()
    result = run(rules=[{**SSH, "to_port": 23}, {**SSH, **change}])
    assert result["failed"] is True
    assert result["msg"].startswith(message)
    assert "\n" not in result["msg"]
    assert host.snapshot() == before


def test_the_index_is_right_beside_rules_that_ansible_drops(run):
    assert run(rules=[7, {"rule": "deny", "to_port": 0}])["msg"].splitlines() == [
        "rules[0]: got 7; expected a mapping such as {rule: allow, to_port: 22, proto: tcp}; write its options by name",
        "rules[1].to_port: got 0; expected a port 1-65535, a list such as 80,443 or a range such as 8000:8100; "
        "write numbers from 1 to 65535, a range from its lower to its higher end",
    ]


def test_what_only_the_host_can_tell_is_reported_together_with_the_other_mistakes(run, host):
    path = host.file("/etc/default/ufw")
    path.write_text(path.read_text().replace("IPV6=yes", "IPV6=no"))
    message = run(rules=[{**SSH, "to_port": 70000}, {**SSH, "from_ip": "2001:db8::1"}])["msg"]
    assert [line.partition(":")[0] for line in message.splitlines()] == ["rules[0].to_port", "rules[1].from_ip"]


def test_a_mistake_outside_of_the_rules_is_ansibles_own_message(run):
    assert "value of state must be one of" in run(state="on", rules=[SSH])["msg"]
    assert "Unsupported parameters" in run(stat="enabled")["msg"]


def test_a_failure_of_the_host_is_reported_as_it_is(run, host):
    host.fail = {"iptables-save": "no netfilter"}
    result = run(rules=[SSH])
    assert result["failed"] is True
    assert "no netfilter" in result["msg"]


def test_mistakes_of_the_rules_stand_beside_those_of_the_other_options(run):
    result = run(state="on", rules=[SSH, {**SSH, "to_port": 0}])
    lines = result["msg"].splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("value of state must be one of: enabled, disabled")
    assert lines[1].startswith("rules[1].to_port: got 0;")


def test_a_mistake_in_the_published_ports_names_the_item_even_where_ansible_itself_would_refuse_it_without(run):
    published = [{"from_ip": "10.0.0.0/8", "port": "80"}, {"rule": "permit", "proto": "tcp", "port": "81"}]
    result = run(docker={"published": published}, rules=[{**SSH, "log": "loud"}])
    assert [line.partition(":")[0] for line in result["msg"].splitlines()] == [
        "rules[0].log",
        "docker.published[1].rule",
    ]


def word(rng, letters=string.ascii_lowercase, least=4, most=9):
    return "".join(rng.choice(letters) for dummy in range(rng.randint(least, most)))


def bad_port(rng):
    high, low = rng.randint(65536, 10**6), rng.randint(2, 60000)
    kinds = (
        str(high),
        "0",
        "-%d" % low,
        "%d-%d" % (low, low + 1),
        "%d:%d" % (low, rng.randint(1, low)),
        "%d/tcp" % low,
    )
    return rng.choice(
        (
            *kinds,
            word(rng),
            "%d," % low,
            "%d:%d:%d" % (low, low + 1, low + 2),
            low + 0.5,
            [low + 0.5],
            "%d %d" % (low, low),
            "0%d" % low,
            {"a": low},
        )
    )


def bad_address(rng):
    four = [rng.randrange(256) for dummy in range(4)]
    large = [*four[:3], rng.randint(256, 999)]
    kinds = (
        "%d.%d.%d.%d" % tuple(large),
        "%d.%d.%d" % tuple(four[:3]),
        "%d.%d.%d.%d/%d" % (*four, rng.randint(33, 99)),
    )
    six = "2001:db8:%x::%x" % (rng.randrange(65536), rng.randrange(65536))
    return rng.choice(
        (*kinds, six + "/129", six + "::1", word(rng) + ".example", "%d.%d.%d.%d:80" % tuple(four), True, [six])
    )


def malformed(rng):
    """What is wrong with one rule, and the key that the error is to name."""
    key = rng.choice(("to_port", "from_port", "from_ip", "to_ip", "interface", "rule", "direction", "proto", "log"))
    key = rng.choice((key, "comment", "route", "app", "unknown", "mapping", "families", "no ports"))
    if key in ("to_port", "from_port"):
        return {key: bad_port(rng)}, key
    if key in ("from_ip", "to_ip"):
        return {key: bad_address(rng)}, key
    if key == "interface":
        return {
            key: rng.choice((word(rng, least=16, most=30), word(rng) + ":1", word(rng) + "!", word(rng) + " 0"))
        }, key
    if key == "comment":
        return {key: rng.choice((word(rng) + rng.choice("'\0") + word(rng), [word(rng)], False))}, key
    if key == "unknown":
        name = word(rng, least=14, most=20)
        return {name: word(rng)}, name
    if key == "mapping":
        return rng.choice((word(rng), rng.randrange(99), [word(rng)])), ""
    if key == "families":
        return {"from_ip": "10.0.0.%d" % rng.randrange(256), "to_ip": "2001:db8::%x" % rng.randrange(65536)}, "to_ip"
    if key == "no ports":
        return {"proto": rng.choice(("esp", "ah", "gre", "vrrp", "igmp", "ipv6"))}, "to_port"
    if key == "app":
        return {key: word(rng, least=12, most=20), "proto": "any", "to_port": None}, key
    return {key: word(rng, least=8)}, key  # a choice, or true and false


def test_500_malformed_rules_each_give_one_clear_error_with_the_index_and_nothing_changes(run, host):
    rng = random.Random(500)
    run(rules=[SSH])
    before, commands = host.snapshot(), len(host.ran)
    for dummy in range(500):
        rules = [{**SSH, "to_port": 1000 + number} for number in range(rng.randint(1, 30))]
        index = rng.randrange(len(rules))
        change, key = malformed(rng)
        rules[index] = {**rules[index], **change} if isinstance(change, dict) else change
        result = run(rules=rules, purge=True)
        where = "rules[%d].%s: " % (index, key) if key else "rules[%d]: " % index
        assert result["failed"] is True
        assert result["errors"] == [result["msg"]], rules[index]
        assert result["msg"].startswith(where), rules[index]
        assert "\n" not in result["msg"] and len(result["msg"]) < 600
        assert not any("-restore" in line or line.startswith("ufw") for line in host.ran[commands:])
    assert host.snapshot() == before


def test_a_shadowed_rule_is_a_warning(run, monkeypatch):
    # Where a warning of a module in this process ends up depends on what of ansible-core is loaded.
    warnings = []
    monkeypatch.setattr(task.RulesetModule, "warn", lambda self, text: warnings.append(text))
    run(rules=[SSH, {**SSH, "rule": "deny", "from_ip": "10.0.0.1"}], _ansible_check_mode=True)
    assert len(warnings) == 1 and "decides about no packet" in warnings[0]


def test_a_bare_off_in_yaml_is_understood(run):
    assert run(logging=False)["settings"] == {"logging": "off"}
    assert run(rules=[{**SSH, "log": False}])["changed"] is True


CHOICES = {
    "rule": ["allow", "deny", "reject", "limit"],
    "direction": ["in", "out"],
    "proto": list(PROTOCOLS),
    "log": list(LOGS),
    "position": [FIRST],
}


def test_the_parser_and_the_documentation_know_the_same_options():
    documented = yaml.safe_load(ufw.ModuleDocFragment.DOCUMENTATION)["options"]["rules"]["suboptions"]
    assert {name: tuple(option.get("aliases", ())) for name, option in documented.items()} == OPTIONS
    for name, option in documented.items():
        assert option.get("choices") == CHOICES.get(name), name


def test_the_info_module_returns_the_input_of_the_other_one(run):
    info = inform(lambda depth: run(ufw_ruleset_info, depth=depth)["snapshot"])
    assert (info["active"], info["enabled"], info["drift"]) == (True, True, [])
    assert (
        info.keys() - {"notes"}
        == yaml.safe_load(Path(ufw_ruleset_info.__file__).with_suffix(".yml").read_text())["RETURN"].keys()
    )
    assert (
        run(
            purge=True,
            rules=info["rules"],
            default=info["default"],
            logging=info["logging"],
            ipv6=info["ipv6"],
            _ansible_check_mode=True,
        )["changed"]
        is False
    )


def test_the_info_module_reports_a_failure_as_it_is(run, host):
    host.file("/etc/ufw/ufw.conf").unlink()
    assert "install the package ufw" in run(ufw_ruleset_info)["msg"]
