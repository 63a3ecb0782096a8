"""What the roles promise as a whole: their variables, and that no host decides by a fact what is done elsewhere."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import ROLE_VARIABLES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import VARIABLES

CHECKOUT = pathlib.Path(__file__).parents[2]
ROLES = sorted(path for path in (CHECKOUT / "roles").iterdir() if path.name != "lab")
FILES = sorted(
    path
    for folder in (*ROLES, CHECKOUT / "playbooks")
    for path in folder.rglob("*")
    if path.suffix in (".yml", ".j2") and path.name != "lab.yml"
)


def mappings(value: object) -> Iterator[dict]:
    """Every mapping in a YAML document."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from mappings(item)
    elif isinstance(value, list):
        for item in value:
            yield from mappings(item)


def documents(folder: pathlib.Path, pattern: str) -> Iterator[tuple[pathlib.Path, object]]:
    for path in sorted(folder.rglob(pattern)):
        yield path, yaml.safe_load(path.read_text(encoding="utf-8"))


def role_variables() -> set[str]:
    """Every variable that the roles and playbooks have: options, defaults, internal ones, registered ones."""
    found: set[str] = set()
    for role in ROLES:
        for name in ("defaults", "vars"):
            for _path, content in documents(role / name, "*.yml"):
                found.update(content or {})
        for _path, content in documents(role / "meta", "argument_specs.yml"):
            found.update(content["argument_specs"]["main"]["options"])
    for path in FILES:
        if path.suffix != ".yml" or "meta" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        # Also those that stand in a template alone, such as a switch that has no default.
        found.update(re.findall(r"(?<![\w.'/-])(?:__|cleanup_|stacks_with_)[a-z][a-z0-9_]+\b", text))
        for mapping in mappings(yaml.safe_load(text)):
            if isinstance(mapping.get("register"), str):
                found.add(mapping["register"])
            for key in ("vars", "ansible.builtin.set_fact"):
                found.update(mapping.get(key) or {})
            loop_var = (mapping.get("loop_control") or {}).get("loop_var")
            found.update([loop_var] if loop_var else [])
    return {name for name in found if not name.startswith("ansible_")}


def test_an_answer_of_a_survey_that_was_left_empty_accepts_nothing():
    [(_path, content)] = documents(CHECKOUT / "roles/change/meta", "argument_specs.yml")
    options = content["argument_specs"]["main"]["options"]
    validator = ArgumentSpecValidator({"change_accept": options["change_accept"]})
    assert validator.validate({"change_accept": ""}).error_messages == []
    assert validator.validate({"change_accept": "all"}).error_messages


def test_every_variable_of_the_roles_is_one_that_no_fact_may_set():
    found = role_variables()
    assert found - ROLE_VARIABLES == set(), "add them to ROLE_VARIABLES in plugin_utils/declaration.py"
    assert ROLE_VARIABLES - found == set(), "no role has them any more: remove them from plugin_utils/declaration.py"


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_default_of_a_role_is_in_its_argument_specification(role):
    specified = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = set(specified["argument_specs"]["main"]["options"])
    defaults = {name for _path, content in documents(role / "defaults", "*.yml") for name in content or {}}
    assert defaults - options == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_a_role_reads_no_internal_variable_of_another_one(role):
    foreign = {
        found
        for path in role.rglob("*")
        if path.suffix in (".yml", ".j2")
        for found in re.findall(r"\b__([a-z_]+)", path.read_text(encoding="utf-8"))
        if not found.startswith(f"{role.name}_") and found != role.name
    }
    assert foreign == set()


def test_no_role_and_no_playbook_reads_the_declaration_past_its_reader_or_a_plan_from_facts():
    wrong = [
        f"{path.relative_to(CHECKOUT)}: {found}"
        for path in FILES
        for found in re.findall(rf"\b(?:{'|'.join((*VARIABLES, 'bulkhead_host'))})\b|hostvars\[", code(path))
    ]
    assert wrong == []


def code(path: pathlib.Path) -> str:
    """A file without its comments and descriptions."""
    if "meta" in path.parts:
        return ""
    return "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("#"))


def test_apt_installs_what_is_named_and_nothing_that_is_only_recommended():
    """On Debian 11 a mail server came along with UFW's log."""
    tasks = [
        (path, task)
        for role in [*ROLES, CHECKOUT / "roles" / "lab"]
        for path, content in documents(role / "tasks", "*.yml")
        for task in mappings(content)
    ]
    named = {"apt", "ansible.builtin.apt", "package", "ansible.builtin.package"}
    calls = [(path, task[name]) for path, task in tasks for name in named & set(task)]
    # Its action plugin asks apt; tests/unit/plugins/action/test_host_setup_packages.py.
    setups = ("bulkhead.tiers.host_setup", "bulkhead.tiers.firewall_setup")
    asked = [path for path, task in tasks for name in setups if "packages" in (task.get(name) or {})]
    assert calls or asked, "no role installs a package: look for the module that does"
    assert [str(path) for path, options in calls if options.get("install_recommends") is not False] == []
    scripts = [*(CHECKOUT / "roles").rglob("files/*"), *(CHECKOUT / "roles").rglob("templates/*")]
    for path in scripts:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = [line for line in text.splitlines() if re.search(r"apt(?:-get)?\s.*\binstall\b", line)]
        assert [line for line in lines if "--no-install-recommends" not in line] == [], path


def test_no_default_is_undefined_for_the_check_of_a_roles_arguments_templates_every_one():
    for file in (CHECKOUT / "roles").glob("*/defaults/main.yml"):
        for name, value in (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).items():
            assert "undef(" not in str(value), f"{file}: {name}"


#: The tasks of the role firewall.
GIVEN = ("bulkhead.tiers.firewall_setup", "bulkhead.tiers.ufw_ruleset")


def test_the_gate_is_given_what_the_firewall_is_given():
    """Word for word: a host's answer is good for a task with the very same options."""
    tasks = {
        name: yaml.safe_load((CHECKOUT / "roles/firewall/tasks" / f"{name}.yml").read_text())
        for name in ("main", "gate")
    }
    (read,) = (task["bulkhead.tiers.change"] for task in tasks["gate"])
    setup, ruleset = (next(iter(task[name] for task in tasks["main"] if name in task)) for name in GIVEN)
    assert read["setup"] == setup
    assert {**setup["ruleset"], "ways": ruleset["ways"]} == ruleset


def test_a_false_that_is_a_text_is_false():
    """`-e name=false`, and `name=no` in an INI inventory, are texts, which are true to a template and an error to `when`."""
    for role in ROLES:
        specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
        options = {name: spec for entry in specs.values() for name, spec in (entry.get("options") or {}).items()}
        for name in (name for name, spec in options.items() if spec.get("type") == "bool"):
            decides = re.compile(
                rf"\b(if|elif|not|and|or|when:) {name}\b(?! \| (default\(\w+\) \| )?bool)|\b{name} (if|and|or|else|==)|\b{name} \| ternary"
            )
            for path in FILES:
                for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                    found = not line.lstrip().startswith("#") and decides.search(line)
                    assert not found, f"{path}:{number}: {name} without `| bool`"
