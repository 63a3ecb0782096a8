"""docs/stack_lint.md says of every rule what it is, and its examples do what they say."""

from __future__ import annotations

import re

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import DATA_IMAGES, DATA_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import CHECKOUT, lint, rules

TEXT = (CHECKOUT / "docs/stack_lint.md").read_text()
SITE = {
    "apps-public": {"zone": "public"},
    "apps-private": {"zone": "private", "internal": True},
    "apps-egress": {"zone": "egress"},
    "apps-socket": {"zone": "socket", "internal": True},
}


def section(rule):
    return TEXT.partition(f"### {rule} ")[2].partition("\n### ")[0]


def examples(text):
    return re.findall(r"```yaml\n(.*?)\n```", text, re.DOTALL)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_documented_with_a_bad_and_a_good_example(rule, tmp_path):
    said = section(rule)
    assert said.startswith(f"{RULES[rule].name} ({RULES[rule].severity})\n")
    assert RULES[rule].demand in said and RULES[rule].why in said
    bad, good = examples(said)
    swarm = "version:" in good
    kind = {"kind": "swarm" if swarm else "compose", "networks": SITE}
    assert rules(lint(tmp_path, bad, **kind)) == [rule]
    assert rules(lint(tmp_path, good, **kind)) == []


def test_the_example_of_a_waiver_waives(tmp_path):
    items = lint(tmp_path, examples(TEXT)[0], networks=SITE)
    assert rules(items) == [] and rules(items, waived=True) == ["BT003"]


def test_no_section_is_about_a_rule_that_is_not_there():
    assert re.findall(r"^### (\S+)", TEXT, re.MULTILINE) == list(RULES)


def test_the_images_and_ports_of_data_services_are_all_listed():
    words = set(re.findall(r"[a-z0-9]+", TEXT.partition("**Data services**")[2].partition("| Label")[0]))
    assert words >= DATA_IMAGES and words >= {str(port) for port in DATA_PORTS}
