"""Compose's realities: variables, anchors, merged, included and extended files, syntaxes, and files that are no stack."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.files import Files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.interpolate import interpolate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import Tree
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.read import read_stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import NotCompose
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS, lint, rules


@pytest.mark.parametrize(
    ("text", "expected", "unset"),
    [
        ("$A/${A}", "a/a", []),
        ("${X:-d}${X-d}${E:-d}${E-d}", "ddd", []),
        ("${A:+w}${X:+w}${E:+w}${E+w}", "ww", []),
        ("${X:-${Y:-z}}", "z", []),
        ("${X:-${Y}}", "", ["Y"]),
        ("$X and ${Z?needed}", " and ", ["X", "Z"]),
        ("$$A $${A} $1 ${ ${A", "$A ${A} $1 ${ ${A", []),
        ("${A!b}", "${A!b}", []),
    ],
)
def test_variables_follow_the_compose_specification(text, expected, unset):
    missing = set()
    assert interpolate(text, {"A": "a", "E": ""}, missing) == expected
    assert sorted(missing) == unset


def stack(tmp_path, *texts, kind="compose", environment=None):
    """The Stack of the texts, each a file that the next one is laid over."""
    files = []
    for index, text in enumerate(texts):
        path = tmp_path / f"{index}.yml"
        path.write_text(text)
        files.append(str(path))
    tree = Tree(files, environment or {}, Files(files).read)
    return read_stack("shop", kind, tree)


def only(found):
    assert len(found.services) == 1
    return found.services[0]


def test_real_names_are_those_that_docker_gives(tmp_path):
    text = """
services: {a: {networks: [one, two, three, four]}}
networks: {one: , two: {name: TWO}, three: {external: true}, four: {external: {name: FOUR}}}
"""
    assert list(only(stack(tmp_path, text)).networks) == ["shop_one", "TWO", "three", "FOUR"]
    assert list(only(stack(tmp_path, "name: other\n" + text)).networks)[0] == "other_one"
    assert list(only(stack(tmp_path, "name: other\n" + text, kind="swarm")).networks)[0] == "shop_one"


def test_a_service_without_networks_is_on_the_default_one(tmp_path):
    implicit = only(stack(tmp_path, "services: {a: {image: x}}"))
    assert (list(implicit.networks), implicit.implicit) == (["shop_default"], True)
    named = only(stack(tmp_path, "services: {a: {image: x}}\nnetworks: {default: {name: lan, external: true}}"))
    assert (list(named.networks), named.implicit) == (["lan"], False)
    empty = only(stack(tmp_path, "services: {a: {image: x, networks: }}"))
    assert empty.implicit


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ('"80"', [(80, 80, "")]),
        ('"8080:80"', [(80, 80, "")]),
        ("22:22", [(22, 22, "")]),
        ('"127.0.0.1:5432:5432/tcp"', [(5432, 5432, "127.0.0.1")]),
        ('"[::1]:5432:5432"', [(5432, 5432, "::1")]),
        ('"8000-8002:9000-9002/udp"', [(9000, 9002, "")]),
        ('"10.0.0.1::53/udp"', [(53, 53, "10.0.0.1")]),
        ("{target: 80, published: '8080', host_ip: 10.0.0.1, mode: host}", [(80, 80, "10.0.0.1")]),
        ("{target: 80}", [(80, 80, "")]),
        ('"nonsense"', []),
    ],
)
def test_ports_are_read_in_both_syntaxes(port, expected, tmp_path):
    ports = only(stack(tmp_path, f"services:\n  a:\n    ports:\n      - {port}\n")).ports
    assert [(found.first, found.last, found.address) for found in ports] == expected


def test_mounts_are_read_in_both_syntaxes_and_through_named_volumes(tmp_path):
    text = """
services:
  a:
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
      - {type: bind, source: /b, target: /b}
      - data:/data
      - sock:/sock
      - /anonymous
volumes: {data: , sock: {driver_opts: {type: none, o: bind, device: /run/docker.sock}}}
"""
    mounts = only(stack(tmp_path, text)).mounts
    assert [(found.value, found.place.line) for found in mounts] == [
        ("/var/run/docker.sock", 5),
        ("/b", 6),
        ("/run/docker.sock", 8),
    ]


def test_labels_are_a_list_or_a_mapping_and_a_swarms_stand_under_deploy(tmp_path):
    text = "services: {a: {labels: [x=1, y], deploy: {labels: {z: true}}}}"
    compose, swarm = only(stack(tmp_path, text)), only(stack(tmp_path, text, kind="swarm"))
    assert {key: found.value for key, found in compose.labels.items()} == {"x": "1", "y": ""}
    assert {key: found.value for key, found in compose.unread_labels.items()} == {"z": "true"}
    assert (swarm.labels, swarm.unread_labels) == (compose.unread_labels, compose.labels)


def test_merge_keys_fill_in_what_a_mapping_does_not_say_itself(tmp_path):
    text = """
x-base: &base {image: base, networks: [n]}
x-more: &more {image: more, labels: {m: 1}}
services:
  a: {<<: [*base, *more], labels: {own: 1}}
networks: {n: }
"""
    service = only(stack(tmp_path, text))
    assert (service.image, list(service.networks), list(service.labels)) == ("base", ["shop_n"], ["own"])


def test_a_later_file_is_laid_over_the_earlier_ones(tmp_path):
    base = """
services:
  a: {image: one, ports: ["80:80"], labels: [x=1], networks: [n], volumes: ["/a:/data"], command: [one]}
networks: {n: {internal: true}}
"""
    over = """
services:
  a: {image: two, ports: ["81:81"], labels: {y: 2}, networks: {m: }, volumes: ["/b:/data"], command: [two]}
networks: {m: }
"""
    found = stack(tmp_path, base, over)
    service = only(found)
    assert (service.image, [port.first for port in service.ports]) == ("two", [80, 81])
    assert sorted(service.labels) == ["x", "y"] and sorted(service.networks) == ["shop_m", "shop_n"]
    assert [mount.value for mount in service.mounts] == ["/b"] and [text.value for text in service.command] == ["two"]
    places = {name: place.file[-5:] for name, place in service.networks.items()}
    assert places == {"shop_n": "0.yml", "shop_m": "1.yml"}
    assert found.networks["shop_n"].internal is True


def test_reset_and_override_replace_what_would_be_merged(tmp_path):
    base = 'services: {a: {image: x, ports: ["80:80"], networks: [n]}}\nnetworks: {n: , m: }\n'
    reset = only(stack(tmp_path, base, "services: {a: {ports: !reset []}}"))
    assert reset.ports == () and list(reset.networks) == ["shop_n"]
    over = only(stack(tmp_path, base, "services: {a: {networks: !override [m]}}"))
    assert list(over.networks) == ["shop_m"]


def test_a_service_extends_one_of_its_file_or_of_another(tmp_path):
    (tmp_path / "base.yml").write_text(
        "services: {b: {extends: c, ports: ['1:1']}, c: {image: redis:7, networks: [n]}}"
    )
    text = "services: {a: {extends: {file: base.yml, service: b}, networks: [m]}}\nnetworks: {n: , m: }"
    service = only(stack(tmp_path, text))
    assert (service.image, list(service.networks)) == ("redis:7", ["shop_n", "shop_m"])
    assert service.ports[0].place.file.endswith("base.yml")


def test_included_files_belong_to_the_stack(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/db.yml").write_text("services: {db: {image: redis:7, networks: [n]}}\nnetworks: {n: }")
    (tmp_path / "more.yml").write_text("services: {db: {labels: [x=1]}}")
    found = stack(tmp_path, "include: [{path: [sub/db.yml, more.yml]}]\nservices: {a: {image: x, networks: [n]}}")
    assert {service.name: service.place.file.rpartition("/")[2] for service in found.services} == {
        "a": "0.yml",
        "db": "db.yml",
    }
    assert "x" in next(service for service in found.services if service.name == "db").labels


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "it is empty", 1),
        ("- hosts: all\n", "it holds a list (an Ansible playbook is one), not a mapping with the key services", 1),
        ("just text", "it holds a text, not a mapping with the key services", 1),
        (
            "apiVersion: v1\nkind: Pod\n",
            "it has no services, but apiVersion, kind (a Kubernetes manifest has those)",
            1,
        ),
        ("services: {}\nservice: {}\n", "Compose knows no 'service' at the top of a file", 2),
        ("services:\n  - a\n", "services is a list, not a mapping by name", 1),
        ("services:\n  a: x\n", "service a is a text, not a mapping", 2),
        ("services:\n  a: [\n", "it is no YAML (line 3, column 1: a list or mapping that is not complete", 3),
        ("services: {}\n---\nservices: {}\n", "it holds 2 YAML documents", 3),
        ("a: &a\n  b: *a\nservices: {}\n", "an anchor holds itself", 1),
        ("services:\n  a: {extends: b}\n", "service a extends b, which SHOP does not have", 2),
        ("services:\n  a: {extends: b}\n  b: {extends: a}\n", "service a extends itself", 2),
        ("include: shop.yml\n", "includes itself", 1),
        ("include: [other.yml]\n", "it cannot be read (No such file or directory)", 1),
    ],
)
def test_a_file_that_is_no_compose_file_gives_one_message(text, message, line, tmp_path):
    items = lint(tmp_path, text)
    assert rules(items) == ["BT000"]
    assert message.replace("SHOP", str(tmp_path / "shop.yml")) in items[0]["message"]
    assert items[0]["line"] == line


def test_a_file_in_another_encoding_or_without_a_reader_is_named(tmp_path):
    (tmp_path / "latin.yml").write_bytes(b"services: {a: {image: \xe9}}")
    stacks = [{"name": name, "kind": "compose", "files": [str(tmp_path / (name + ".yml"))]} for name in ("latin", "no")]
    items = lint_files({**DEFAULTS, "stacks": stacks})
    assert rules(items) == ["BT000", "BT000"]
    assert "it is no text in UTF-8" in items[0]["message"] and "No such file" in items[1]["message"]


def test_the_other_stacks_are_still_checked(tmp_path):
    bad = "services: {db: {image: redis:7, networks: [public]}}\nnetworks: {public: {external: true}}"
    assert sorted(rules(lint(tmp_path, {"a.yml": "- no", "b.yml": bad}))) == ["BT000", "BT001"]


def test_a_deep_alias_bomb_is_read_at_once(tmp_path):
    lines = ["x-0: &a0 [x, x]"] + [f"x-{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert lint(tmp_path, "\n".join(lines) + "\nservices: {a: {network_mode: none}}") == []


def test_a_variable_without_a_value_is_noted_where_it_stands_and_a_key_that_stands_twice(tmp_path):
    text = "services:\n  a:\n    image: ${IMAGE}\n    network_mode: none\n    image: x\n"
    items = lint(tmp_path, text)
    assert [(item["rule"], item["line"], item["severity"]) for item in items] == [
        ("BT021", 3, "note"),
        ("BT022", 5, "error"),
    ]
    assert rules(lint(tmp_path, text.replace("    image: x\n", ""), environment={"IMAGE": "x"})) == []


def test_merged_keys_are_no_duplicates(tmp_path):
    text = "x-a: &a {image: x}\nservices:\n  a:\n    <<: *a\n    image: y\n    network_mode: none\n"
    assert lint(tmp_path, text) == []


def test_wrong_arguments_are_named_all_at_once():
    with pytest.raises(Refused) as caught:
        lint_files({**DEFAULTS, "networks": {"a": "x", "b": {"zoned": 1, "internal": "no"}}, "require": {"*": 5}})
    assert [str(mistake).partition(":")[0] for mistake in caught.value.mistakes] == [
        "networks.a",
        "networks.b.zoned",
        "networks.b.internal",
        "require.*",
    ]


def test_what_is_no_compose_is_its_own_error():
    with pytest.raises(NotCompose) as caught:
        Tree(["/nowhere.yml"], {}, Files(["/nowhere.yml"]).read)
    assert caught.value.place == ("/nowhere.yml", 1)
