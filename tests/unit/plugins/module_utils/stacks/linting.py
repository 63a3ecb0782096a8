"""Lint files that a test writes, and the reference stacks of inventories/."""

from __future__ import annotations

import pathlib
from datetime import date

import yaml

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

CHECKOUT = pathlib.Path(__file__).parents[5]
REFERENCES = ("maple", "omakase", "glasck")
DEFAULTS = {
    "stacks": [],
    "directory": None,
    "networks": None,
    "reserved": {},
    "pools": {},
    "allowed_directories": [],
    "proxy_networks": [],
    "require": {},
    "environment": {},
    "sarif": None,
    "sarif_directory": "reports",
    "fail_on": "error",
}


def lint(directory, text, kind="compose", **options):
    """The findings of one Compose file that is called shop.yml, or of {name: text}, each of them a stack."""
    files = {"shop.yml": text} if isinstance(text, str) else text
    stacks = []
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        stacks.append({"name": path.stem, "kind": kind, "files": [str(path)]})
    return lint_files({**DEFAULTS, "stacks": stacks, **options})


def rules(items, waived=False):
    """The ids of the findings that are not waived."""
    return [item["rule"] for item in items if waived or item["waived"] is None]


def reference(name, directory=None, edits=()):
    """The findings of a reference architecture; edits: (file, old text, new text) that a copy in `directory` gets."""
    inventory = CHECKOUT / "inventories" / name
    site = parse_site(yaml.safe_load((inventory / "group_vars/all/site.yml").read_text()), date(2026, 11, 21))
    options = {**DEFAULTS, **lint_arguments(site)}
    edited = {}
    for stack in options["stacks"]:
        stack["files"] = [str(CHECKOUT / "inventories/stacks" / file) for file in stack["files"]]
        for index, file in enumerate(stack["files"]):
            text = pathlib.Path(file).read_text()
            for where, old, new in edits:
                if pathlib.Path(file).name == where:
                    assert text.count(old) == 1, f"{where} has {text.count(old)} times {old!r}"
                    text = text.replace(old, new)
                    copy = directory / where
                    copy.write_text(text)
                    stack["files"][index] = str(copy)
                    edited[where] = text
    assert {where for where, _old, _new in edits} == set(edited)
    return lint_files(options), edited
