"""Values of a wrong type at every key of the specification: one message with its line, and the others are checked."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.schema import SERVICE, TOP, _part, _referred
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import CHECKOUT, lint, rules

#: One value of each shape, and those that have broken readers.
VALUES = {
    "nothing": None,
    "a text": "x",
    "a number": 5,
    "a long number": "9" * 5000,
    "true": True,
    "an empty text": "",
    "an empty list": [],
    "an empty mapping": {},
    "a list of texts": ["a", "b=c", "d:e:f"],
    "a list of lists": [["a"]],
    "a list of mappings": [{"a": "b"}],
    "a list of nothing": [None],
    "a mapping of texts": {"a": "b"},
    "a mapping of lists": {"a": ["b"]},
    "a mapping of mappings": {"a": {"b": "c"}},
    "a mapping of nothing": {"a": None},
}
DEEPEST = 7


def paths(part, path=(), seen=()):
    """Every key of the schema as a path; [] is an item of a list, NAME any key."""
    if len(path) > DEEPEST or part in seen:
        return
    seen = (*seen, part)
    for choice in part.choices:
        yield from paths(choice, path, seen)
    if part.items is not None:
        yield (*path, [])
        yield from paths(part.items, (*path, []), seen)
    for key, member in part.properties.items():
        yield (*path, key)
        yield from paths(member, (*path, key), seen)
    for pattern, member in part._patterns:
        if pattern.pattern != "^x-":
            yield (*path, "NAME")
            yield from paths(member, (*path, "NAME"), seen)


GRAMMAR = sorted({json.dumps(path) for path in paths(_part(_referred("#/$defs/service")))})
SECTIONS = {"network": "networks", "volume": "volumes", "config": "configs", "secret": "secrets", "model": "models"}


def at(path, value):
    """The value below its path."""
    for key in reversed(path):
        value = [value] if key == [] else {key: value}
    return value


def files():
    """{name: (section, member)} of every key with every value, in three kinds of service."""
    for path in map(json.loads, GRAMMAR):
        for what, value in VALUES.items():
            yield "services", path, what, at(path, value)
    for name, section in SECTIONS.items():
        for path in {json.dumps(found) for found in paths(_part(_referred(f"#/$defs/{name}")))}:
            for what, value in VALUES.items():
                yield section, json.loads(path), what, at(json.loads(path), value)


CASES = list(files())


def whole(section, member):
    """A file with one odd member beside sound ones that refer to it."""
    root = {
        "services": {
            "sound": {
                "image": "redis:7",
                "networks": {"odd": None, "n": None},
                "depends_on": ["odd"],
                "volumes_from": ["odd"],
            },
            "lent": {"image": "x", "network_mode": "service:odd"},
        },
        "networks": {"n": {"name": "public"}, "odd": None},
        "volumes": {"odd": None},
    }
    root.setdefault(section, {})["odd"] = member
    return root


@pytest.mark.parametrize(
    ("part", "kind"), [*((part, "compose") for part in range(16)), *((part, "swarm") for part in (0, 5))]
)
def test_every_value_at_every_key_is_read_without_an_error_of_ours(part, kind, tmp_path):
    some = CASES[part::16]
    assert len(CASES) > 4824
    stacks = {
        f"s{index}.yml": json.dumps(whole(section, member))
        for index, (section, _path, _what, member) in enumerate(some)
    }
    items = lint(tmp_path, stacks, kind=kind)
    about = {item["stack"] for item in items if item["rule"] in ("BT000", "BT001", "BT025")}
    assert len(about) == len(some), "each stack is judged: by its database on a public network, or as none"
    assert all(item["line"] == 1 for item in items)


@pytest.mark.parametrize("what", ["a list of lists", "a mapping of mappings", "a text", "a number"])
@pytest.mark.parametrize("section", [*TOP, "services.a"])
def test_a_section_of_a_wrong_type_stops_no_other_stack(section, what, tmp_path):
    bad = {"services": {"a": {"image": "x", "network_mode": "none"}}}
    if section == "services.a":
        bad["services"]["a"] = VALUES[what]
    else:
        bad[section] = VALUES[what]
    items = lint(tmp_path, {"bad.yml": json.dumps(bad), "good.yml": "services: {g: {network_mode: host}}"})
    assert "BT015" in rules(items)
    if section not in ("version", "name") or what.startswith(("a list", "a map")):
        assert {"BT000", "BT025", "BT091"}.intersection(rules(items)) or section.startswith("x-")


@pytest.mark.parametrize(
    ("written", "line", "message"),
    [
        ("links: [{db: database}]", 4, "services.a.links[0] is a mapping; Compose takes a text there"),
        ("expose: [{a: b}]", 4, "services.a.expose[0] is a mapping; Compose takes a text there"),
        ("ports: [[80]]", 4, "services.a.ports[0] is a list; Compose takes a mapping or a text there"),
        ("image: [x]", 4, "services.a.image is a list; Compose takes a text there"),
        ("environment: {A: {b: c}}", 4, "services.a.environment.A is a mapping; Compose takes a text there"),
        ("depends_on: {b: x}", 4, "services.a.depends_on.b is a text; Compose takes a mapping there"),
        ("deploy: {labels: x}", 4, "services.a.deploy.labels is a text; Compose takes a list or a mapping there"),
        ("healthcheck: []", 4, "services.a.healthcheck is a list; Compose takes a mapping there"),
    ],
)
def test_a_wrong_type_is_said_with_its_path_its_line_and_what_belongs_there(written, line, message, tmp_path):
    items = lint(tmp_path, f"services:\n  a:\n    network_mode: none\n    {written}\n  b: {{network_mode: none}}\n")
    assert [(item["rule"], item["line"], item["message"], item["service"]) for item in items] == [
        ("BT000", line, message, "a")
    ]


@pytest.mark.parametrize(
    ("written", "message", "fix"),
    [
        ("netwoks: [n]", "services.a.netwoks", "write networks"),
        ("build: {contxt: .}", "services.a.build.contxt", "write context"),
        ("deploy: {resources: {limit: {cpus: 1}}}", "services.a.deploy.resources.limit", "write limits"),
        ("healthcheck: {tests: x}", "services.a.healthcheck.tests", "write test"),
        ("qqqqq: 1", "services.a.qqqqq", "remove it, or begin its name with x-"),
    ],
)
def test_an_unknown_key_is_found_at_every_depth(written, message, fix, tmp_path):
    items = lint(tmp_path, f"services:\n  a:\n    network_mode: none\n    {written}\n")
    assert [(item["rule"], item["line"], item["message"], item["fix"]) for item in items] == [
        ("BT025", 4, f"Compose knows no {message}", fix)
    ]


def test_unknown_keys_of_networks_volumes_and_names_that_compose_refuses_are_found(tmp_path):
    assert rules(lint(tmp_path, "services: {}\nnetworks: {n: {internl: true}}\n")) == ["BT025"]
    assert rules(lint(tmp_path, "services: {}\nvolumes: {v: {drivers: x}}\n")) == ["BT025"]
    assert rules(lint(tmp_path, "services: {'a b': {network_mode: none}}\n")) == ["BT025"]


def test_extensions_and_nothing_are_allowed_everywhere(tmp_path):
    text = (
        "services: {a: {network_mode: none, x-a: [{b: c}], ports: , deploy: {x-b: 1}, ulimits: , environment: {A: }}}\n"
    )
    assert lint(tmp_path, text) == []


def test_thousands_of_unknown_keys_end_in_a_hundred_findings(tmp_path):
    keys = "".join(f", netwoks{number}: x" for number in range(5000))
    assert len(lint(tmp_path, f"services: {{a: {{network_mode: none{keys}}}}}\n")) == 100


def test_the_specification_says_what_a_service_may_hold():
    assert {"provider", "use_api_socket", "develop", "models", "netwoks"} - set(SERVICE) == {"netwoks"}
    assert set(TOP) >= {"services", "networks", "include", "models"}


def test_the_licence_lies_beside_the_data():
    directory = CHECKOUT / "plugins/plugin_utils/lint"
    text = (directory / "compose-spec.LICENSE").read_text()
    assert "Apache License" in text and "The Compose Specification Authors" in text
    assert json.loads((directory / "compose-spec.json").read_text())["title"] == "Compose Specification"
