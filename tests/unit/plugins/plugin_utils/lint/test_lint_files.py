"""What a stack's files may name, and what is read of it: no file outside, no device, nothing without an end."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.files import MOST_BYTES, MOST_FILES, Files, Unreadable
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import lint, rules

SECRETS = ("hunter2", "$6$salt", "TOPSECRET")
#: What lies outside: a shadow file, a vault in YAML, a file of another project, one that is no YAML.
OUTSIDE = {
    "shadow": "root:$6$salt$TOPSECRET:19000:0:99999:7:::\nbin:*:19000:0\n",
    "vault.yml": "TOPSECRET_hunter2: value\nother: hunter2\n",
    "compose.yml": "services: {TOPSECRET: {image: hunter2}}\n",
    "broken.yml": "TOPSECRET: [hunter2\n\tx: $6$salt\n",
}
#: How a file asks for another one; %s is its path.
WAYS = {
    "include": "include: %s\n",
    "include in a list": "include: ['%s']\n",
    "include by path": "include: [{path: '%s'}]\n",
    "include by paths": "include: [{path: [shop2.yml, '%s']}]\n",
    "extends": "services: {a: {extends: {file: '%s', service: TOPSECRET}}}\n",
    "a variable": "include: ${X:-%s}\n",
}


@pytest.fixture(name="home")
def fixture_home(tmp_path):
    (tmp_path / "outside").mkdir()
    for name, text in OUTSIDE.items():
        (tmp_path / "outside" / name).write_text(text)
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/shop2.yml").write_text("services: {}\n")
    return tmp_path / "stack"


def silent(items):
    said = "\n".join(str(item) for item in items)
    return not any(secret in said.replace("compose.yml", "") for secret in SECRETS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("how", ["absolute", "relative", "link", "linked directory"])
def test_a_file_outside_is_not_read_and_not_quoted(way, name, how, home):
    os.symlink(home.parent / "outside" / name, home / "link.yml")
    os.symlink(home.parent / "outside", home / "linked")
    paths = {
        "absolute": home.parent / "outside" / name,
        "relative": f"../outside/{name}",
        "link": "link.yml",
        "linked directory": f"linked/{name}",
    }
    items = lint(home, WAYS[way] % paths[how])
    assert rules(items) == ["BT000"]
    assert "lies outside of the stack's directory" in items[0]["message"] and silent(items)
    assert "allowed_directories" in items[0]["fix"]


@pytest.mark.parametrize("name", ["shadow", "vault.yml", "broken.yml"])
def test_what_is_no_compose_is_not_quoted_where_it_may_be_read_either(name, home):
    items = lint(home, f"include: ../outside/{name}\n", allowed_directories=[str(home.parent / "outside")])
    assert rules(items) == ["BT000"] and silent(items)
    (home / "shop3.yml").write_text(OUTSIDE[name])
    assert silent(lint(home, "include: shop3.yml\n"))


def test_a_file_that_is_a_link_out_is_not_read_though_it_is_named(home):
    os.symlink(home.parent / "outside/compose.yml", home / "shop.yml")
    stacks = [{"name": "shop", "kind": "compose", "files": [str(home / "shop.yml")]}]
    with pytest.raises(Unreadable):
        Files([str(home / "shop.yml")]).read(str(home / "shop.yml"))
    assert Files([str(home / "shop.yml")], [str(home.parent / "outside")]).read(stacks[0]["files"][0])


def test_whether_a_file_outside_exists_is_not_told(home):
    there, not_there = (lint(home, f"include: ../outside/{name}\n") for name in ("shadow", "nothing"))
    assert there[0]["message"].replace("shadow", "") == not_there[0]["message"].replace("nothing", "")


def test_what_lies_below_the_stack_or_is_allowed_is_read(home):
    (home / "sub").mkdir()
    (home / "sub/db.yml").write_text("include: [../shop2.yml]\nservices: {db: {network_mode: none}}\n")
    assert lint(home, "include: [sub/db.yml]\n") == []
    text = "include: [../outside/compose.yml]\n"
    assert rules(lint(home, text, allowed_directories=[str(home.parent / "outside")])) == ["BT014"]


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "../secret.env", "~/.ssh/id_rsa", "linked/shadow", "/proc/self/environ", "./x/../../y"]
)
@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {network_mode: none, env_file: '%s'}}",
        "services: {a: {network_mode: none, env_file: [{path: '%s', required: false}]}}",
        "services: {a: {network_mode: none, label_file: ['%s']}}",
        "services: {a: {network_mode: none}}\nconfigs: {c: {file: '%s'}}",
        "services: {a: {network_mode: none}}\nsecrets: {c: {file: '%s'}}",
    ],
)
def test_a_deployment_takes_no_env_file_config_or_secret_from_outside(text, path, home):
    os.symlink(home.parent / "outside", home / "linked")
    assert rules(lint(home, text % path)) == ["BT026"]
    assert rules(lint(home, text % "own/file")) == []


def test_a_file_of_a_variable_without_a_value_is_not_judged(home):
    assert rules(lint(home, "services: {a: {network_mode: none, env_file: '$HERE/x.env'}}")) == ["BT021"]


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "zero", "null", "large", "sparse", "many", "loop"])
def test_only_regular_files_of_a_bounded_size_are_read(kind, home):
    path = home / "odd.yml"
    expected = {
        "fifo": "it is a FIFO and no regular file",
        "socket": "it is a socket and no regular file",
        "directory": "it is a directory and no regular file",
        "zero": "it is a device and no regular file",
        "null": "it is a device and no regular file",
        "large": f"it has more than {MOST_BYTES:,} bytes",
        "sparse": f"it has more than {MOST_BYTES:,} bytes",
        "many": f"the stack has more than {MOST_FILES} files",
        "loop": "Too many levels of symbolic links",
    }
    allowed = []
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            os.chdir(home)
            listening.bind("odd.yml")
    elif kind == "directory":
        path.mkdir()
    elif kind in ("zero", "null"):
        os.symlink(f"/dev/{kind}", path)
        allowed = ["/dev"]
    elif kind == "large":
        path.write_text("#" * (MOST_BYTES + 1))
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "loop":
        os.symlink("odd.yml", path)
    else:
        path.write_text(f"include: [{', '.join(f'm{number}.yml' for number in range(MOST_FILES))}]\n")
        for number in range(MOST_FILES):
            (home / f"m{number}.yml").write_text("services: {}\n")
    items = lint(home, "include: odd.yml\n", allowed_directories=allowed)
    assert rules(items) == ["BT000"] and expected[kind] in items[0]["message"]


@pytest.mark.parametrize("name", ["a\\0b", "\\udcff", "x" * 5000, "-"])
def test_a_name_that_no_file_has_is_an_error_like_another(name, home):
    assert rules(lint(home, f'include: "{name}"\n')) == ["BT000"]
