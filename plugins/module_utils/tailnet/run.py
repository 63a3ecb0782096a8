# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the policy of a control server to the wanted one: read, merge, judge, put, read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import hujson
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.compare import Change, changes
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.control import Conflict, Control, Live
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import Document, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import Policy
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.standing import understood
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError

#: Sections that say nothing about who reaches whom: what others wrote there stays, unless the policy has its own.
KEPT = (
    "nodeAttrs",
    "postures",
    "ipsets",
    "defaultSrcPosture",
    "derpMap",
    "disableIPv4",
    "OneCGNATRoute",
    "randomizeClientPort",
)
#: Sections whose entries have keys of the server's own, whose case does not matter.
ENTRIES = ("acls", "grants", "ssh", "tests", "sshTests", "nodeAttrs")
#: What to do about a test that does not hold.
REMEDY = "change the rules or the test"
#: Lines of who gains and loses in a message.
LINES = 20


@dataclass(frozen=True)
class Wish:
    """What is asked for: ``policy`` or ``text``; the rest as the module's options are documented."""

    dialect: str
    policy: Optional[Mapping[str, Any]] = None
    text: Optional[str] = None
    merge: tuple[str, ...] = KEPT
    allow_all: bool = False
    force: bool = False
    if_match: str = ""


@dataclass(frozen=True)
class Plan:
    """A change that is not made yet. gains, loses: None where the policy on the server cannot be compared."""

    live: Live
    text: str
    changed: bool
    document: Document
    gains: Optional[list[Change]]
    loses: Optional[list[Change]]
    warnings: tuple[str, ...]


def ensure(
    control: Control, wish: Wish, check_mode: bool, warn: Callable[[str], None] = lambda _text: None
) -> dict[str, Any]:
    """The result of the module. ``Refused`` for the input, ``ControlError`` for the server."""
    given = _given(wish)
    live = control.read()
    made = _plan(wish, given, live)
    for warning in made.warnings:
        warn(warning)
    if made.changed:
        _undisturbed(wish, made)
        control.check(made.text)
    etag = live.etag
    if made.changed and not check_mode:
        etag = _put(control, wish, made)
    return {
        "changed": made.changed,
        "etag": etag,
        "gains": _plain(made.gains),
        "loses": _plain(made.loses),
        "tests": _tests(made.document),
        "requests": control.server.sent,
        "diff": _difference(made),
    }


def _given(wish: Wish) -> hujson.Tree:
    """The wanted document by itself; every mistake in it before the first request."""
    tree = hujson.parse(wish.text, "text") if wish.text is not None else hujson.tree_of(dict(wish.policy or {}))
    if set(wish.merge) <= set(KEPT):  # otherwise it may refer to what only stands on the server
        read(tree.plain(), wish.dialect, wish.allow_all)
    return tree


def _plan(wish: Wish, given: hujson.Tree, live: Live) -> Plan:
    there = _standing(wish, live)
    tree = _merged(wish, given, there)
    wanted = tree.plain()
    document = read(wanted, wish.dialect, wish.allow_all)
    if there is not None and canonical(wanted) == canonical(there.plain()):
        return Plan(live, live.text, False, document, [], [], ())
    _hold_to_its_tests(document)
    _plain_value, before, trouble = understood(live, wish.dialect)
    if before is None:
        warning = f"what stands on the server cannot be compared: {trouble[0]}"
        return Plan(live, str(tree), True, document, None, None, (warning,))
    return Plan(live, str(tree), True, document, *changes(before, document), ())


def _standing(wish: Wish, live: Live) -> Optional[hujson.Tree]:
    """The tree of what stands on the server; None where there is no mapping to merge with."""
    if not live.text.strip():
        return None
    try:
        found = hujson.parse(live.text, "the server's policy")
    except Refused as refused:
        if wish.force:
            return None
        head = "what stands on the server cannot be read, so that the sections of others would be lost; correct it there; force overwrites it"
        raise ControlError("\n".join([head, *(f"  {line}" for line in refused.errors)]), "conflict") from None
    return found if found.node.bracket == "{" else None


def _merged(wish: Wish, given: hujson.Tree, there: Optional[hujson.Tree]) -> hujson.Tree:
    """The wanted document with the sections of others. A given text keeps its own comments, a mapping those of the server's text."""
    if there is None:
        return given
    own = {item.name.lower() for item in given.node.items}
    left = {name.lower() for name in wish.merge} - own
    kept = [item for item in there.node.items if item.name.lower() in left]
    if wish.text is not None:
        for item in kept:
            given = given.with_member(item)
        return given
    spelled = {item.name.lower(): item.name for item in there.node.items}
    wanted = {spelled.get(name.lower(), name): value for name, value in given.plain().items()}
    return there.edited({**wanted, **{item.name: item.node.plain() for item in kept}})


def canonical(plain: Any) -> str:
    """A text that is equal for documents that mean the same to a server: order, case of its keys, empty sections."""
    sections = {str(name).lower(): value for name, value in plain.items()} if isinstance(plain, dict) else {"": plain}
    rules = any(sections.get(name) is not None for name in ("acls", "grants"))
    found = {name: value for name, value in sections.items() if value not in (None, [], {})}
    for name in (section.lower() for section in ENTRIES):
        entries = found.get(name)
        if isinstance(entries, list):
            found[name] = [_lowered(entry) for entry in entries]
    return json.dumps([rules, _sorted(found)], sort_keys=True)


def _lowered(entry: Any) -> Any:
    return {str(key).lower(): value for key, value in entry.items()} if isinstance(entry, dict) else entry


def _sorted(value: Any, key: str = "") -> Any:
    """The value with its lists in one order; what an app is given stays as it is."""
    if key == "app":
        return value
    if isinstance(value, dict):
        return {name: _sorted(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _hold_to_its_tests(document: Document) -> None:
    """The document's own tests, before the server runs them; those that only it can judge are left to it."""
    policy = Policy(document)
    if not policy.decidable:
        return
    mistakes = [
        Mistake(
            failure.path,
            printable(f"{failure.source} -> {failure.destination}: {failure.got}", 300),
            failure.expected,
            REMEDY,
            "test",
        )
        for failure in policy.failures()
    ]
    if mistakes:
        raise Refused(mistakes, "a test of the policy does not hold")


def _undisturbed(wish: Wish, made: Plan) -> None:
    if not wish.if_match or wish.force or wish.if_match.strip('"') == made.live.etag:
        return
    got = printable(wish.if_match, 100)
    head = f"if_match: got {got}; expected {made.live.etag}, which stands on the server; look at what others changed, then give this one"
    raise ControlError("\n".join([head, *_lines(made.gains, made.loses, "this policy would")]), "conflict")


def _put(control: Control, wish: Wish, made: Plan) -> str:
    """Puts the policy and reads it back; the new version."""
    lost: Optional[ControlError] = None
    try:
        control.write(made.text, None if wish.force else made.live)
    except Conflict as conflict:
        raise _disturbed(wish, made, conflict.live) from None
    except ControlError as error:
        if error.kind != "lost":
            raise
        lost = error
    now = control.read()
    if now.text == made.text:
        return now.etag
    if lost is not None and now.text == made.live.text:
        raise ControlError(f"{lost}; the policy on the server is as it was; run this again", "lost")
    raise _disturbed(wish, made, now, after=True)


def _disturbed(wish: Wish, made: Plan, now: Live, after: bool = False) -> ControlError:
    """Another one's edit in between: what it means, in access."""
    _plain_value, between, trouble = understood(now, wish.dialect)
    _plain_value, before, _trouble = understood(Live(made.text, "") if after else made.live, wish.dialect)
    head = "the policy on the server was changed while this task ran, and was left as it is"
    if after:
        head = "the policy on the server is not the one that was put there just now"
    head += "; look at it and run this again; force overwrites it"
    if between is None or before is None:
        return ControlError("\n".join([head, *(f"  {line}" for line in trouble[:LINES])]), "conflict")
    return ControlError("\n".join([head, *_lines(*changes(before, between), "by that change")]), "conflict")


def _lines(gains: Optional[list[Change]], loses: Optional[list[Change]], who: str) -> list[str]:
    found = [f"  {who} gain: {change}" for change in gains or ()] + [
        f"  {who} lose: {change}" for change in loses or ()
    ]
    shown = [printable(line, 500) for line in found[:LINES]]
    return shown + ([f"  and {len(found) - LINES} more lines"] if len(found) > LINES else [])


def _plain(found: Optional[list[Change]]) -> Optional[list[dict[str, list[str]]]]:
    return None if found is None else [change.plain() for change in found]


def _tests(document: Document) -> dict[str, int]:
    return {
        "accept": sum(len(test.accept) for test in document.tests),
        "deny": sum(len(test.deny) for test in document.tests),
        "ssh": len(document.ssh_tests),
    }


def _difference(made: Plan) -> dict[str, str]:
    """Both texts, and who gains and loses in words below them."""
    found: dict[str, str] = {
        "before_header": "policy on the server",
        "after_header": "policy",
        "before": made.live.text,
        "after": made.text,
    }
    lines = [f"+ {change}" for change in made.gains or ()] + [f"- {change}" for change in made.loses or ()]
    if lines:
        found["prepared"] = (
            "\n".join(["who gains (+) and who loses (-):", *(printable(line, 2000) for line in lines)]) + "\n"
        )
    return found
