"""No result of ours uses one of Ansible's own words for something else: a list under `failed` makes a task fail."""

from __future__ import annotations

import ast
import pathlib

import pytest
import yaml

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
#: Words that Ansible reads in any result. Those with a type may be returned as what Ansible takes them for.
WORDS = {
    "failed": None,
    "skipped": None,
    "unreachable": None,
    "exception": None,
    "invocation": None,
    "warnings": None,
    "deprecations": None,
    "ansible_facts": "dict",
    "changed": "bool",
    "msg": "str",
    "diff": "dict",
}
#: Words whose value is true or false wherever a result is put together.
FLAGS = ("failed", "skipped", "unreachable", "changed")
MODULES = sorted((PLUGINS / "modules").glob("*.py"))
#: What returns results: modules, action plugins, and what they call.
SOURCES = sorted(path for folder in ("modules", "action", "module_utils") for path in (PLUGINS / folder).rglob("*.py"))


def documented(path):
    """RETURN of a module: in the file beside it, or, where nothing of it is sent to a host, in itself."""
    beside = path.with_suffix(".yml")
    if beside.exists():
        return yaml.safe_load(beside.read_text(encoding="utf-8")).get("RETURN") or {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "RETURN":
            return yaml.safe_load(node.value.value) or {}
    return {}


def misused(fields):
    """The documented result keys that are Ansible's words for something else."""
    return [word for word, field in fields.items() if word in WORDS and field.get("type") != WORDS[word]]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_documented_result_has_one_of_ansible_s_words(module):
    assert misused(documented(module)) == []


def test_the_documentation_of_every_module_is_found():
    assert [module.stem for module in MODULES if not documented(module)] == []


def test_a_list_of_failed_sockets_would_be_found():
    assert misused({"failed": {"type": "list"}, "changed": {"type": "list"}, "msg": {"type": "str"}}) == [
        "failed",
        "changed",
    ]


def no_flags(path):
    """["LINE: WORD"] of values under Ansible's flags that are a list, a mapping, a text or a number."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        pairs = []
        if isinstance(node, ast.Dict):
            pairs = [(key.value, value) for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.Call):
            pairs = [(word.arg, word.value) for word in node.keywords]
        for name, value in pairs:
            plain = isinstance(value, ast.Constant) and not isinstance(value.value, bool)
            made = isinstance(
                value, (ast.List, ast.Dict, ast.Set, ast.Tuple, ast.ListComp, ast.DictComp, ast.JoinedStr)
            )
            summed = isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Mod))
            if name in FLAGS and (plain or made or summed):
                found.append(f"{node.lineno}: {name}")
    return found


def test_no_list_or_text_is_put_under_a_flag_of_ansible_s():
    # An argument spec may have an option of that name.
    wrong = {path.relative_to(PLUGINS): no_flags(path) for path in SOURCES}
    assert {path: lines for path, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    ['{"failed": said["failed"] + [1]}', "dict(failed=[])", 'r.update(skipped="no")', '{"changed": [x for x in y]}'],
)
def test_a_list_or_text_under_a_flag_would_be_found(tmp_path, code):
    path = tmp_path / "plugin.py"
    path.write_text(code)
    assert no_flags(path)
