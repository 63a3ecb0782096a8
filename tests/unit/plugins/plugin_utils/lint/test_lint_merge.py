"""Files that include and extend each other without an end, or double with every step."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import MOST_CHAINED
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS, lint, rules


def only(tmp_path, files):
    """The findings of the first file; the others lie beside it."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    first = next(iter(files))
    return lint_files({**DEFAULTS, "stacks": [{"name": "shop", "kind": "compose", "files": [str(tmp_path / first)]}]})


def test_files_that_include_two_twice_each_end_in_one_message(tmp_path):
    body = "".join(f"  a{number}: {{network_mode: none}}\n" for number in range(20))
    files = {
        f"f{number}.yml": f"include: [f{number + 1}.yml, {{path: ./f{number + 1}.yml}}]\nservices:\n{body}"
        for number in range(40)
    }
    files["f40.yml"] = f"services:\n{body}"
    items = only(tmp_path, files)
    assert rules(items) == ["BT000"] and "more than can be read" in items[0]["message"]


def test_a_chain_of_files_and_one_of_services_end_in_one_message(tmp_path):
    files = {f"f{number}.yml": f"include: f{number + 1}.yml\n" for number in range(MOST_CHAINED + 10)}
    items = only(tmp_path, files)
    assert rules(items) == ["BT000"] and f"more than {MOST_CHAINED} files include each other" in items[0]["message"]
    services = "".join(f"  s{number}: {{extends: s{number + 1}}}\n" for number in range(5000))
    items = lint(tmp_path, f"services:\n{services}  s5000: {{network_mode: none}}\n")
    assert rules(items) == ["BT000"] and f"more than {MOST_CHAINED} services extend" in items[0]["message"]


def test_lists_that_grow_with_every_service_end_in_one_message(tmp_path):
    long = ", ".join(f"c{number}" for number in range(3000))
    services = "".join(f"  s{number}: {{extends: base, dns: [a]}}\n" for number in range(2000))
    items = lint(tmp_path, f"services:\n  base: {{network_mode: none, dns: [{long}]}}\n{services}")
    assert rules(items) == ["BT000"] and "more than can be read" in items[0]["message"]


def test_an_alias_bomb_that_two_files_lay_over_each_other_is_refused(tmp_path):
    lines = ["x-0: &a0 {a: x, b: x}"]
    lines += [f"x-{number}: &a{number} {{a: *a{number - 1}, b: *a{number - 1}}}" for number in range(1, 25)]
    text = "\n".join(lines) + "\nservices: {s: {image: x, deploy: *a24}}\n"
    items = only(tmp_path, {"a.yml": f"include: b.yml\n{text}", "b.yml": text})
    assert rules(items) == ["BT000"] and "the aliases in services" in items[0]["message"]


def test_a_service_that_extends_one_of_a_file_is_read_once_for_all(tmp_path):
    (tmp_path / "base.yml").write_text(
        "services:\n" + "".join(f"  b{number}: {{network_mode: none}}\n" for number in range(1000))
    )
    services = "".join(f"  s{number}: {{extends: {{file: base.yml, service: b{number}}}}}\n" for number in range(1000))
    assert lint(tmp_path, f"services:\n{services}") == []


@pytest.mark.parametrize("link", ["{file: shop.yml, service: a}", "{service: a}", "a"])
def test_a_service_that_extends_itself_by_whatever_way_is_named(link, tmp_path):
    items = lint(tmp_path, f"services: {{a: {{extends: {link}}}}}\n")
    assert rules(items) == ["BT000"] and "extends itself" in items[0]["message"]


@pytest.mark.parametrize("link", ["[]", "[a]", "{}", "{service: [a]}", "{service: {a: b}}", "{file: [x], service: b}"])
def test_a_service_that_extends_nothing_that_can_be_named_stops_no_other(link, tmp_path):
    bad = f"services: {{a: {{network_mode: none, extends: {link}}}, b: {{network_mode: none}}}}\n"
    items = lint(tmp_path, {"bad.yml": bad, "good.yml": "services: {g: {network_mode: host}}"})
    assert sorted(set(rules(items))) == ["BT000", "BT015"]
