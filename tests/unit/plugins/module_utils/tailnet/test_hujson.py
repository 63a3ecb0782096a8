# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HuJSON is read with its comments, refused with line and column, and edited without losing what others wrote."""

from __future__ import annotations

import json
import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.hujson import DEEPEST, LARGEST, parse, tree_of

CONSOLE = """\
// The policy of example.com.
{
  // Who is who.
  "groups": {
    "group:admins": ["alice@example.com", "bob@example.com"], // on call
    /* left
       last year */
    "group:old": ["carol@example.com"],
  },
  "grants": [
    // administration
    {"src": ["group:admins"], "dst": ["tag:web"], "ip": ["tcp:22"]}, // ssh
    // the database
    {"src": ["tag:web"], "dst": ["tag:db"], "ip": ["tcp:5432"]},
  ],
  // Do not touch: the storage team's.
  "nodeAttrs": [{"target": ["*"], "attr": ["drive:share"]}], // see the wiki
}
// end
"""


def test_comments_and_trailing_commas_are_read():
    plain = parse(CONSOLE).plain()
    assert list(plain) == ["groups", "grants", "nodeAttrs"]
    assert plain["grants"][1]["ip"] == ["tcp:5432"]


@pytest.mark.parametrize(
    "text", [CONSOLE, "{}", " [ ] ", "[1,2 , /* x */ 3\n,]", '{"a" /* k */ : // v\n 1 // t\n , }', "null", "{//\n}"]
)
def test_a_document_that_is_not_edited_is_written_as_it_was_read(text):
    assert str(parse(text)) == text
    assert str(parse(text).edited(parse(text).plain())) == text


def edited(change):
    plain = parse(CONSOLE).plain()
    change(plain)
    text = str(parse(CONSOLE).edited(plain))
    assert parse(text).plain() == plain
    return text


def test_an_edit_leaves_every_comment_of_what_it_does_not_change():
    text = edited(lambda plain: plain["groups"]["group:admins"].append("dora@example.com"))
    assert text == CONSOLE.replace('"bob@example.com"]', '"bob@example.com", "dora@example.com"]')


def test_what_goes_takes_its_own_comments_along_and_no_others():
    text = edited(lambda plain: plain["grants"].pop(0))
    assert "administration" not in text
    assert "// ssh" not in text
    assert "    // the database\n    {" in text
    text = edited(lambda plain: plain["groups"].pop("group:old"))
    assert "last year" not in text
    assert '"bob@example.com"], // on call\n  },' in text
    assert edited(lambda plain: plain.pop("nodeAttrs")).endswith("  ],\n}\n// end\n")


def test_what_is_new_is_written_like_its_neighbours():
    rule = {"src": ["*"], "dst": ["tag:web"], "ip": ["443"]}
    text = edited(lambda plain: plain["grants"].append(rule))
    assert '"ip": ["tcp:5432"]},\n    {\n      "src": ["*"],\n' in text
    assert text.count("//") == CONSOLE.count("//")
    text = edited(lambda plain: plain["grants"].insert(0, rule))
    assert text.index('"443"') < text.index("// administration")
    assert '  "hosts": {\n    "portal": "10.0.3.4",\n  },\n}' in edited(
        lambda plain: plain.update(hosts={"portal": "10.0.3.4"})
    )


def test_a_change_inside_of_an_entry_keeps_the_comments_around_it():
    text = edited(lambda plain: plain["grants"][0].update(ip=["tcp:22", "tcp:443"]))
    assert (
        '    // administration\n    {"src": ["group:admins"], "dst": ["tag:web"], "ip": ["tcp:22", "tcp:443"]}, // ssh\n'
        in text
    )


def test_a_comment_to_the_end_of_a_line_never_swallows_what_follows():
    assert parse(str(parse("[1, // one\n2]").edited([1]))).plain() == [1]
    assert parse(str(parse("[1 // one\n]").edited([1, 2]))).plain() == [1, 2]
    assert parse(str(parse('{"a": 1, // x\n"b": 2}').edited({"a": 1}))).plain() == {"a": 1}
    assert parse(str(parse('["http://x", 2]').edited(["http://x"]))).plain() == ["http://x"]


def test_a_member_of_another_document_comes_with_its_comments():
    tree = tree_of({"grants": []}).with_member(parse(CONSOLE).member("nodeAttrs"))
    assert parse(str(tree)).plain() == {"grants": [], "nodeAttrs": parse(CONSOLE).plain()["nodeAttrs"]}
    assert "// Do not touch: the storage team's.\n" in str(tree)
    assert "// see the wiki" in str(tree)


@pytest.mark.parametrize(
    ("text", "where", "kind"),
    [
        ('{"a": 1, "a": 2}', "line 1, column 10", "duplicate"),
        ('{"a": 1,\n  "\\u0061": 2}', "line 2, column 3", "duplicate"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3", "hujson"),
        ("{,}", "line 1, column 2", "hujson"),
        ("[1,,2]", "line 1, column 4", "hujson"),
        ("{a: 1}", "line 1, column 2", "hujson"),
        ("{'a': 1}", "line 1, column 2", "hujson"),
        ('{"a" 1}', "line 1, column 6", "hujson"),
        ('{"a": }', "line 1, column 7", "hujson"),
        ('{"a": "b\n"}', "line 1, column 9", "hujson"),
        ('"\\x"', "line 1, column 1", "hujson"),
        ('"\\ud800"', "line 1, column 1", "hujson"),
        ('"a', "line 1, column 1", "hujson"),
        ("/* x", "line 1, column 1", "hujson"),
        ("# x", "line 1, column 1", "hujson"),
        ("[1] 2", "line 1, column 5", "hujson"),
        ("[01]", "line 1, column 2", "hujson"),
        ("[1e999]", "line 1, column 2", "hujson"),
        ("[-Infinity]", "line 1, column 2", "hujson"),
        ("[NaN]", "line 1, column 2", "hujson"),
        ("[True]", "line 1, column 2", "hujson"),
        ("[" + "1" * 5000 + "]", "line 1, column 2", "hujson"),
        ("", "line 1, column 1", "hujson"),
        ("\ufeff{}", "line 1, column 1", "hujson"),
        ("[" * (DEEPEST + 1), f"line 1, column {DEEPEST + 1}", "hujson"),
        ("[\n" * 100_000, f"line {DEEPEST + 1}, column 1", "hujson"),
        (" " * (LARGEST + 1), "line 1, column 1", "hujson"),
    ],
)
def test_what_is_no_hujson_is_refused_with_line_and_column(text, where, kind):
    with pytest.raises(Refused) as refused:
        parse(text, "policy")
    (mistake,) = refused.value.mistakes
    assert (mistake.path, mistake.kind) == (f"policy {where}", kind)
    assert str(mistake).isprintable()


def some(rng, depth=3):
    kind = rng.randrange(6 if depth else 3)
    if kind >= 4:
        return {rng.choice("abcdefgh"): some(rng, depth - 1) for _number in range(rng.randrange(4))}
    if kind == 3:
        return [some(rng, depth - 1) for _number in range(rng.randrange(5))]
    return rng.choice([0, 1.5, -3, True, None, "", 'q"\\', "// no comment", "/*", "\u00e4\n"])


def noisy(rng, value):
    """A value as somebody could have written it, with blanks and comments wherever they may stand."""

    def gap():
        return rng.choice(["", "", " ", "\n  ", " // x\n", "/* y */", "/*\n*/ ", '\n// z // "\n\t'])

    def write(item):
        if isinstance(item, dict):
            inside = [f"{gap()}{json.dumps(key)}{gap()}:{gap()}{write(one)}{gap()}" for key, one in item.items()]
        elif isinstance(item, list):
            inside = [f"{gap()}{write(one)}{gap()}" for one in item]
        else:
            return json.dumps(item)
        comma = "," if inside and rng.random() < 0.5 else ""
        left, right = "{}" if isinstance(item, dict) else "[]"
        return left + ",".join(inside) + comma + gap() + right

    return gap() + write(value) + gap()


@pytest.mark.parametrize("seed", range(400))
def test_random_documents_are_read_written_and_edited_truly(seed):
    rng = random.Random(seed)
    before, after = some(rng), some(rng)
    text = noisy(rng, before)
    tree = parse(text)
    assert tree.plain() == before
    assert str(tree) == text
    assert json.dumps(parse(str(tree.edited(after))).plain(), sort_keys=True) == json.dumps(after, sort_keys=True)
    assert parse(str(tree_of(after))).plain() == after
