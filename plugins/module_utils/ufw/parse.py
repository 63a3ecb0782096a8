# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's ``rules`` input -> Rule values for each family; every mistake is found at once and named by its key.

The words are those of the ufw command and of ``community.general.ufw``, so that a playbook's rules can be pasted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import (
    Profile,
    UnknownProfile,
    find_profile,
    name_problem,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.fields import (
    CONTRADICTION,
    PROFILE,
    SAME_RULE,
    SERVICE,
    Fields,
    names_service,
    parse_address,
    parse_comment,
    parse_families,
    parse_ports,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    ACTIONS,
    ANYWHERE,
    PROTOCOLS,
    Rule,
    describe,
)

LOGS = {"off": "", "new": "log", "all": "log-all"}
#: The word that puts a rule before all that are not listed.
FIRST = "first"

#: Option -> its aliases. The aliases are those of community.general.ufw.
OPTIONS: dict[str, tuple[str, ...]] = {
    "rule": (),
    "direction": (),
    "route": (),
    "interface": ("if",),
    "interface_in": ("if_in",),
    "interface_out": ("if_out",),
    "proto": ("protocol",),
    "from_ip": ("from", "src"),
    "from_port": (),
    "from_app": (),
    "to_ip": ("to", "dest"),
    "to_port": ("port",),
    "app": ("name",),
    "log": (),
    "comment": (),
    "position": (),
    "delete": (),
}

#: What stands for a profile: each of its (protocol, destination ports, source ports).
Ports = list[tuple[str, str, str]]
Profiles = Callable[[], dict[str, Profile]]


class WantedRules(NamedTuple):
    """The input, checked: the rules of each family in their order; ``first`` are those of them that go before whatever
    is not listed, ``gone`` those that are to be removed, ``profiles`` the matches that are listed with all the ports of
    their profile."""

    v4: list[Rule]
    v6: list[Rule]
    first: dict[int, list[Rule]]
    gone: dict[int, list[Rule]]
    profiles: frozenset[tuple[Any, ...]]
    warnings: list[str]


class RuleFields(Fields):
    """One rule's options."""

    options = tuple(OPTIONS)
    aliases = {alias: name for name, aliases in OPTIONS.items() for alias in aliases}
    subject = "a rule"
    example = "{rule: allow, to_port: 22, proto: tcp}"
    elsewhere = {
        "insert": "write position: first, which puts the rule before all that are not listed; the listed rules keep the "
        "order of the list",
        "insert_relative_to": "write position: first; the listed rules keep the order of the list",
        "state": "write delete: true to remove this rule, or leave it away; state is an option of the whole task",
        "policy": "write default: {incoming: deny} beside rules",
        "default": "write default: {incoming: deny} beside rules",
        "logging": "write logging: low beside rules, or log: new for this rule alone",
        "action": "write rule: allow",
    }


def parse_rules(raw: Any, use_ipv6: bool, profiles: Profiles) -> WantedRules:
    """Check the whole input; Refused holds every mistake. ``use_ipv6`` is whether this host's ufw filters IPv6,
    ``profiles`` reads the application profiles (called only where a rule names one)."""
    mistakes: list[Mistake] = []
    warnings: list[str] = []
    if not isinstance(raw, (list, tuple)):
        example = "rules: [{rule: allow, to_port: 22, proto: tcp}]"
        raise Refused([Mistake("rules", repr(raw), "a list of rules", f"write {example}")])
    listed: dict[int, list[_Item]] = {4: [], 6: []}
    for index, item in enumerate(raw):
        fields = RuleFields(f"rules[{index}]", mistakes, warnings)
        for family, rules in _parse_rule(fields, item, use_ipv6, profiles).items():
            whole = bool(rules[0].app_match) and fields.values.get("proto") is None
            place, gone = fields.values.get("position") == FIRST, fields.flag("delete")
            listed[family] += [_Item(index, rule, place, gone, whole) for rule in rules]
    # A rule of both families conflicts in both; one line says it.
    mistakes += dict.fromkeys(_conflicts(listed[4]) + _conflicts(listed[6]))
    if mistakes:
        raise Refused(mistakes)
    kept = {family: [item for item in items if not item.gone] for family, items in listed.items()}
    return WantedRules(
        [item.rule for item in kept[4]],
        [item.rule for item in kept[6]],
        {family: [item.rule for item in items if item.first] for family, items in kept.items()},
        {family: [item.rule for item in items if item.gone] for family, items in listed.items()},
        frozenset(
            item.rule.app_match for items in kept.values() for item in items if item.whole and item.rule.app_match
        ),
        warnings,
    )


def check_rules(raw: Any) -> list[Mistake]:
    """What is wrong with the input on any host; what only the host can judge is left to it."""
    try:
        parse_rules(raw, True, dict)
    except Refused as error:
        return [mistake for mistake in error.mistakes if mistake.kind not in (PROFILE, SERVICE)]
    return []


class _Item(NamedTuple):
    """A rule of the input, with its place in the list; ``whole`` is whether it is one of all ports of a profile."""

    number: int
    rule: Rule
    first: bool
    gone: bool
    whole: bool


# -- one rule --------------------------------------------------------------------------------------------------------


def _parse_rule(fields: Fields, raw: Any, use_ipv6: bool, profiles: Profiles) -> dict[int, list[Rule]]:
    """The rules that one item of the input stands for, by family (several where a profile has several ports)."""
    before = len(fields.mistakes)
    if not fields.load(raw):
        return {}
    if "rule" not in fields.values:
        fields.fail("rule", "nothing", "one of {}".format(", ".join(ACTIONS)), "say what becomes of the packets")
    action = fields.choice("rule", ACTIONS, "allow")
    proto = fields.choice("proto", PROTOCOLS, "any")
    direction, interface_in, interface_out, route = _parse_path(fields)
    src, src_family = parse_address(fields, "from_ip")
    dst, dst_family = parse_address(fields, "to_ip")
    dapp, sapp, ports = _parse_ends(fields, proto, profiles)
    families = parse_families(fields, proto, src_family, dst_family, use_ipv6)
    log = LOGS[_parse_log(fields)]
    comment = parse_comment(fields)
    fields.choice("position", (FIRST,), "")
    fields.flag("delete")
    if len(fields.mistakes) > before:
        return {}
    return {
        family: [
            Rule(
                action,
                port_proto,
                dport,
                dst or ANYWHERE[family],
                sport,
                src or ANYWHERE[family],
                direction,
                interface_in,
                interface_out,
                route,
                log,
                dapp,
                sapp,
                comment,
            )
            for port_proto, dport, sport in ports
        ]
        for family in families
    }


def _parse_log(fields: Fields) -> str:
    """``log``; true is community.general's word for new connections."""
    value = fields.values.get("log")
    if value is True or str(value).lower() in ("yes", "true", "on"):
        return "new"
    if str(value).lower() in ("no", "false"):
        return "off"
    return fields.choice("log", tuple(LOGS), "off")


def _parse_path(fields: Fields) -> tuple[str, str, str, bool]:
    """Direction, interfaces and whether the rule is for routed packets."""
    route = fields.flag("route")
    direction = fields.choice("direction", ("in", "out"), "in")
    names = {"in": fields.interface("interface_in"), "out": fields.interface("interface_out")}
    interface = fields.interface("interface")
    if interface and names[direction]:
        fields.fail(
            "interface", f"the same as interface_{direction}, which is set too", "one of them", "keep one of them"
        )
    names[direction] = names[direction] or interface
    other = "out" if direction == "in" else "in"
    if route:
        if direction == "out" and not names["out"]:
            fields.fail(
                "direction",
                "out for a routed rule without interface_out",
                "interface_out, for a routed packet goes both ways",
                "name interface_out, or leave direction away",
            )
        _check_pair(fields, names)
        # ufw stores no direction of its own for a routed rule: it follows from the interfaces.
        direction = "out" if names["out"] and not names["in"] else "in"
    elif names[other]:
        fields.fail(
            "interface_" + other,
            f"{names[other]!r} for a rule of direction {direction}",
            f"interface_{direction}",
            f"set direction: {other} if the rule is for packets that {_WAYS[other]}, route: true if it is for those "
            "that this host forwards",
        )
    return direction, names["in"], names["out"], route


def _check_pair(fields: Fields, names: Mapping[str, str]) -> None:
    """ufw writes a rule of two interfaces and skips it as malformed when it reads it again, and loses it with the next command,
    where a name begins with neither a letter, a digit nor _ (seen with ufw 0.36.1 and 0.36.2)."""
    stored = "!".join(f"{way}_{name}" for way, name in names.items())
    for way, name in names.items() if all(names.values()) else ():
        if not re.search(rf"{way}_\w", stored):
            fields.fail(
                f"interface_{way}",
                f"{name!r} beside another interface, which ufw reads back as no rule",
                "a name that begins with a letter, a digit or _",
                f"leave interface_{way} away where it is meant to be every interface",
            )


_WAYS = {"in": "come to this host", "out": "leave this host"}


# -- ports and profiles ----------------------------------------------------------------------------------------------


def _parse_ends(fields: Fields, proto: str, profiles: Profiles) -> tuple[str, str, Ports]:
    """Ports and application profiles -> (dapp, sapp, [(protocol, destination ports, source ports)]), as ufw expands
    them. A profile together with its port and protocol stands for that one of its ports alone, whatever the profile
    says now: so ufw stores each of them, and so it is exported where the rest of the profile is not there."""
    names = {"app": fields.text("app"), "from_app": fields.text("from_app")}
    profiled = bool(names["app"] or names["from_app"])
    # One protocol for both ends: a service name at either of them decides it, and so comes first.
    found, kind = {}, proto
    for key in sorted(("from_port", "to_port"), key=lambda key: not names_service(fields, key)):
        found[key], kind = parse_ports(fields, key, kind, profiled)
    sport, dport = found["from_port"], found["to_port"]
    if not profiled:
        return "", "", [(kind, dport, sport)]
    if all(not name or port != "any" for name, port in ((names["app"], dport), (names["from_app"], sport))):
        return _labelled(fields, names, kind, dport, sport)
    if proto != "any":
        fields.fail(
            "proto", f"{proto} together with an application profile", "no proto", "the profile has its own: drop it"
        )
    elif kind != "any":
        got = f"a service of {kind} alone together with an application profile, which has its own protocol"
        fields.fail("from_port" if names["app"] else "to_port", got, "a port", "write the number")
    chosen: dict[str, Profile | None] = {}
    for key, port_key in (("app", "to_port"), ("from_app", "from_port")):
        if names[key] and fields.values.get(port_key) not in (None, "any"):
            fields.fail(
                port_key, f"set together with {key}, which brings its own ports", "one of them", "keep one of them"
            )
        chosen[key] = _find(fields, key, names[key], profiles) if names[key] else None
    app, from_app = chosen["app"], chosen["from_app"]
    expanded = _expand(app, from_app, kind, dport, sport)
    if any(one == "any" and set(",:") & set(to_port + from_port) for one, to_port, from_port in expanded):
        key = "from_port" if names["app"] else "to_port"
        got = "a list or a range together with a profile that has a port of any protocol"
        fields.fail(
            key, got, "single ports", "make a rule of each of them, or of each of the profile's ports with its proto"
        )
    return app.name if app else "", from_app.name if from_app else "", expanded


def _labelled(fields: Fields, names: dict[str, str], proto: str, dport: str, sport: str) -> tuple[str, str, Ports]:
    """Ports that are named beside their profile."""
    for key, name in names.items():
        problem = name_problem(name) if name else ""
        if problem:
            fields.fail(key, repr(name), "the name of an application profile", problem)
    if "proto" not in fields.values:
        key = "to_port" if names["app"] else "from_port"
        fields.fail(
            key,
            "set together with app, which brings its own ports" if names["app"] else "set together with from_app",
            "one of them",
            "keep one of them; or name proto too, for this port of the profile alone",
        )
    return names["app"], names["from_app"], [(proto, dport, sport)]


def _find(fields: Fields, key: str, name: str, profiles: Profiles) -> Profile | None:
    try:
        return find_profile(name, profiles())
    except UnknownProfile as error:
        fields.fail(key, repr(name), error.expected, error.remedy, PROFILE)
    return None


def _expand(app: Profile | None, from_app: Profile | None, proto: str, dport: str, sport: str) -> Ports:
    """Each port of the profiles; a port that a profile names twice is one: ufw takes the second for the first."""
    if app and app == from_app:
        # One profile at both ends: each of its ports with itself, as ufw does it.
        return list(dict.fromkeys((kind, port, port) for port, kind in app.ports))
    targets = app.ports if app else ((dport, proto),)
    sources = from_app.ports if from_app else ((sport, proto),)
    pairs = [
        (from_proto if from_proto != "any" else to_proto, to_port, from_port)
        for to_port, to_proto in targets
        for from_port, from_proto in sources
    ]
    return list(dict.fromkeys(pairs))


# -- rules against each other ----------------------------------------------------------------------------------------


def _conflicts(items: list[_Item]) -> list[Mistake]:
    """Rules with the same match: ufw holds only one of them, so that the input cannot be meant as it stands."""
    first: dict[tuple[Any, ...], _Item] = {}
    mistakes = []
    for item in items:
        other = first.setdefault(item.rule.match, item)
        if other is item:
            continue
        path, got = f"rules[{item.number}]", describe(item.rule)
        where = f"rules[{other.number}] ({describe(other.rule)})"
        if (other.rule.action, other.rule.log, other.gone) == (item.rule.action, item.rule.log, item.gone):
            mistakes.append(Mistake(path, f"{got}, the same rule as {where}", "one", "remove one of them", SAME_RULE))
        else:
            got += f", which contradicts {where}: the same match with another action"
            mistakes.append(Mistake(path, got, "one action for a match", "keep one of them", CONTRADICTION))
    return mistakes
