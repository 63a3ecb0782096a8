# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variable bulkhead_tailnet, and the names that only flows over the tailnet can have: tags, groups, users.

What control servers accept is that of Headscale 0.29 (hscontrol/policy/v2/types.go) and of Tailscale's documentation of
the policy file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    AUTOGROUP,
    GATEWAY,
    GROUP,
    HEADSCALE,
    INTERNET,
    MEMBER,
    NETWORK,
    OWN,
    TAG,
    TAGGED,
    TAILSCALE,
    TIER,
    USER,
    Endpoint,
    Site,
    SshRule,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address, parse_net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import shared_space

_EXAMPLE = '{control: "https://headscale.example", tags: {web: [tag:web]}}'
_FIELDS = (
    "control",
    "dialect",
    "prefixes",
    "port",
    "direct",
    "tags",
    "tag_owners",
    "groups",
    "users",
    "exit_nodes",
    "routes",
    "ssh",
    "derp",
)
#: Where Tailscale and Headscale number their nodes, unless they are told otherwise.
_PREFIXES = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
#: tailscaled's own choice.
_PORT = 41641

#: The autogroups of people with a role, which only Tailscale has, and only it knows whom they hold.
ROLES = tuple(
    f"autogroup:{role}" for role in ("admin", "owner", "network-admin", "it-admin", "billing-admin", "auditor")
)
_SOURCES = {HEADSCALE: (MEMBER, TAGGED), TAILSCALE: (MEMBER, TAGGED, *ROLES)}
_DESTINATIONS = (MEMBER, TAGGED, OWN)
_AUTO_INTERNET, _AUTO_ALL, _AUTO_NONROOT = "autogroup:internet", "autogroup:danger-all", "autogroup:nonroot"

_TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*\Z")
_GROUP = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_USER = re.compile(r"[^\s@:,\"]+@[^\s@:,\"]*\Z")
#: A user of a host, as useradd takes it.
_LOGIN = re.compile(r"[a-z_][a-z0-9_-]*\$?\Z")


def is_tailnet_name(name: str) -> bool:
    """Whether a name of an endpoint is one that only the tailnet has."""
    return name.startswith(("tag:", "group:", "autogroup:")) or "@" in name


# -- the variable ----------------------------------------------------------------------------------------------------


def read_tailnet(reader: Reader, raw: object, site: Site) -> Optional[Tailnet]:
    """The tailnet without its flows; None where none is declared. Something of it is there wherever the variable is a
    mapping, so that flows over it are read all the same."""
    if raw is None:
        return None
    known = reader.fields("bulkhead_tailnet", raw, _FIELDS, _EXAMPLE)
    if not isinstance(raw, dict):
        return Tailnet("", TAILSCALE, (), _PORT)
    control = _read_control(reader, known.get("control"))
    dialect = _read_dialect(reader, known.get("dialect"), control)
    users = _read_users(reader, known.get("users"), dialect)
    groups = _read_groups(reader, known.get("groups"), users, dialect)
    port = reader.integer("bulkhead_tailnet.port", known.get("port"), "a port", 1, 65535)
    direct = reader.boolean("bulkhead_tailnet.direct", known.get("direct"), True)
    tailnet = Tailnet(
        control=control,
        dialect=dialect,
        prefixes=_read_prefixes(reader, known.get("prefixes")),
        port=port or _PORT,
        direct=direct is not False,
        tags=_read_tags(reader, known.get("tags"), site),
        groups=groups,
        users=users,
    )
    _check_own_tags(reader, tailnet)
    tailnet = replace(tailnet, tag_owners=_read_owners(reader, known.get("tag_owners"), tailnet))
    tailnet = replace(tailnet, routes=_read_routes(reader, known.get("routes"), tailnet, site))
    names = TailnetNames(replace(site, tailnet=tailnet), tailnet)
    return replace(
        tailnet,
        exit_nodes=_read_exit_nodes(reader, known.get("exit_nodes"), tailnet, names),
        ssh=_read_ssh(reader, known.get("ssh"), names),
    )


def _read_control(reader: Reader, value: object) -> str:
    """The login server; "" for Tailscale's own."""
    path = "bulkhead_tailnet.control"
    text = reader.text(path, value)
    if not text:
        return ""
    try:
        url = urlsplit(text)
        port_is_right = url.port is None or url.port > 0
    except ValueError:
        url, port_is_right = urlsplit(""), False
    expected = "the URL of the control server"
    if url.scheme not in ("https", "http") or not url.hostname or not port_is_right:
        reader.refuse(path, text, expected, "write it like https://headscale.example")
    elif url.username is not None or url.password is not None:
        reader.note(path, "a URL with a user or a password in it", expected, "leave them out")
    elif url.path not in ("", "/") or url.query or url.fragment:
        reader.refuse(path, text, f"{expected} alone", f"write {url.scheme}://{url.netloc}")
    return text.rstrip("/")


def _read_dialect(reader: Reader, value: object, control: str) -> str:
    """What the control server understands: Headscale, where it is none of Tailscale's, unless it is said."""
    expected = f"{TAILSCALE} or {HEADSCALE}"
    host = urlsplit(control).hostname or "" if control else "tailscale.com"
    guess = TAILSCALE if host == "tailscale.com" or host.endswith(".tailscale.com") else HEADSCALE
    if value is None:
        return guess
    if value not in (TAILSCALE, HEADSCALE):
        reader.refuse("bulkhead_tailnet.dialect", value, expected, suggestion(value, (TAILSCALE, HEADSCALE)) or guess)
        return guess
    if value == HEADSCALE and not control:
        reader.refuse(
            "bulkhead_tailnet.dialect",
            value,
            "tailscale, where no control is given",
            "declare bulkhead_tailnet.control",
        )
    return str(value)


def _read_prefixes(reader: Reader, value: object) -> tuple[Net, ...]:
    path = "bulkhead_tailnet.prefixes"
    nets = reader.nets(path, list(_PREFIXES) if value is None else value)
    for version in (4, 6):
        several = [str(net) for net in nets if net.version == version]
        if len(several) > 1:
            reader.note(path, ", ".join(several), f"one network of IPv{version}", "keep the one that control uses")
    for net in nets:
        if net.version == 4 and not any(space.holds(net) for space in shared_space()):
            reader.note(path, str(net), f"a part of {', '.join(map(str, shared_space()))}", "clients know no other one")
    return nets


def _read_users(reader: Reader, value: object, dialect: str) -> tuple[str, ...]:
    if value is None:
        return ()
    path = "bulkhead_tailnet.users"
    items = reader.items(path, value, "a user, or a list of them", "[alice@example.com]")
    return tuple(dict.fromkeys(name for where, name in items if _is_user(reader, where, name, (), dialect)))


def _is_user(reader: Reader, path: str, name: str, known: Collection[str], dialect: str) -> bool:
    """known: everyone that is, empty where that is not declared."""
    if not _USER.match(name) or (dialect == TAILSCALE and name.endswith("@")):
        remedy = "write it like alice@example.com" + (", or alice@ for one without" if dialect == HEADSCALE else "")
        reader.refuse(path, name, "a user of the tailnet", remedy)
        return False
    if known and name not in known:
        reader.refuse(path, name, "a user of bulkhead_tailnet.users", "add it there, or correct the name")
        return False
    return True


def _read_groups(reader: Reader, value: object, users: Collection[str], dialect: str) -> dict[str, tuple[str, ...]]:
    path, example = "bulkhead_tailnet.groups", "admins: [alice@example.com]"
    found: dict[str, tuple[str, ...]] = {}
    for name, members in reader.mapping(path, value, "groups", example).items():
        where = f"{path}.{name}"
        if not _GROUP.match(name):
            bare = name.removeprefix("group:")
            remedy = f"write {bare}" if _GROUP.match(bare) else "rename it"
            reader.refuse(where, name, "a name of letters, digits, ., _ and -, beginning with a letter", remedy)
        if isinstance(members, list) and not members:
            found[name] = ()  # without users yet: it is there to be named
            continue
        items = reader.items(where, members, "a user, or a list of them", "[alice@example.com]")
        found[name] = tuple(
            dict.fromkeys(user for place, user in items if _is_user(reader, place, user, users, dialect))
        )
    return found


def _read_tags(reader: Reader, value: object, site: Site) -> dict[str, tuple[str, ...]]:
    path = "bulkhead_tailnet.tags"
    found = {}
    for place, tags in reader.mapping(path, value, "the tags of each tier", "web: [tag:web]").items():
        where = f"{path}.{place}"
        if _is_place(reader, where, place, site):
            items = reader.items(where, tags, "a tag, or a list of them", "[tag:web]")
            found[place] = tuple(dict.fromkeys(tag for at, tag in items if _is_tag(reader, at, tag)))
    # The order of the declaration of the tiers, for it is that of a host's tags.
    order = [*site.tiers, GATEWAY]
    return {place: found[place] for place in sorted(found, key=order.index)}


def _is_place(reader: Reader, path: str, name: str, site: Site) -> bool:
    if name in site.tiers or name == GATEWAY:
        return True
    reader.refuse(
        path,
        name,
        f"a tier, or {GATEWAY}",
        suggestion(name, [*site.tiers, GATEWAY]) or "declare it in bulkhead_tiers",
    )
    return False


def _is_tag(reader: Reader, path: str, name: str) -> bool:
    if _TAG.match(name):
        return True
    bare = re.sub(r"[^A-Za-z0-9-]+", "-", name.removeprefix("tag:")).strip("-").lstrip("0123456789-")
    remedy = f"write tag:{bare}" if bare else "write it like tag:web"
    reader.refuse(path, name, "tag: and a name of letters, digits and -, beginning with a letter", remedy)
    return False


def _check_own_tags(reader: Reader, tailnet: Tailnet) -> None:
    """A tier stands for its tags in flows: a tag that others have as well would take them along."""
    for place, tags in tailnet.tags.items():
        if tags and not tailnet.own_tags[place]:
            others = sorted(
                other for other, theirs in tailnet.tags.items() if other != place and not set(theirs).isdisjoint(tags)
            )
            reader.note(
                f"bulkhead_tailnet.tags.{place}",
                f"{', '.join(tags)}, which {', '.join(others)} {'has' if len(others) == 1 else 'have'} too",
                "a tag of its own, for flows that name the tier",
                f"add one, such as tag:{place.replace('_', '-')}",
                "no-own-tag",
            )


def _read_owners(reader: Reader, value: object, tailnet: Tailnet) -> dict[str, tuple[str, ...]]:
    """{tag: its owners} of every tag: of those in `tags`, and of those that are only declared here."""
    path = "bulkhead_tailnet.tag_owners"
    declared: dict[str, tuple[str, ...]] = {}
    raw = reader.mapping(path, value, "the owners of each tag", "tag:web: [group:admins]")
    every = list(dict.fromkeys([tag for tags in tailnet.tags.values() for tag in tags] + list(raw)))
    for tag, owners in raw.items():
        where = f"{path}.{tag}"
        if not _is_tag(reader, where, tag):
            continue
        if isinstance(owners, list) and not owners:
            declared[tag] = ()
            continue
        items = reader.items(where, owners, "an owner, or a list of them", "[group:admins]")
        declared[tag] = tuple(
            dict.fromkeys(owner for at, owner in items if _is_owner(reader, at, owner, tailnet, every))
        )
    default: tuple[str, ...] = tuple(f"group:{name}" for name in list(tailnet.groups)[:1])
    if tailnet.dialect == TAILSCALE:
        default = ("autogroup:admin",)
    return {tag: declared.get(tag, default) for tag in every if _TAG.match(tag)}


def _is_owner(reader: Reader, path: str, name: str, tailnet: Tailnet, tags: Collection[str]) -> bool:
    if name.startswith("tag:"):
        if name in tags:
            return True
        reader.refuse(path, name, "a tag that is declared", suggestion(name, tags) or "declare it in tag_owners")
        return False
    if name.startswith("group:"):
        return _is_group(reader, path, name, tailnet)
    allowed = (MEMBER, *ROLES) if tailnet.dialect == TAILSCALE else ()
    if name in allowed:
        return True
    if name.startswith("autogroup:") or "@" not in name:
        kinds = f"a user, a group: or a tag:{' or one of ' if allowed else ''}{', '.join(allowed)}"
        reader.refuse(path, name, kinds, suggestion(name, allowed) or "name a group of bulkhead_tailnet.groups")
        return False
    return _is_user(reader, path, name, tailnet.users, tailnet.dialect)


def _is_group(reader: Reader, path: str, name: str, tailnet: Tailnet) -> bool:
    if name.removeprefix("group:") in tailnet.groups:
        return True
    known = [f"group:{group}" for group in tailnet.groups]
    reader.refuse(
        path,
        name,
        "a group of bulkhead_tailnet.groups",
        suggestion(name, known) or f"declare bulkhead_tailnet.groups.{name.removeprefix('group:')}",
        "no-group",
    )
    return False


# -- routers and exit nodes ------------------------------------------------------------------------------------------


def _has_tags(reader: Reader, path: str, place: str, tailnet: Tailnet, what: str) -> bool:
    if tailnet.tags.get(place):
        return True
    remedy = f"declare bulkhead_tailnet.tags.{place}: [tag:{place.replace('_', '-')}]"
    reader.note(path, f"{place}, which has no tags", f"{what} on the tailnet", remedy, "no-tags")
    return False


def _read_routes(reader: Reader, value: object, tailnet: Tailnet, site: Site) -> dict[str, tuple[Net, ...]]:
    path, example = "bulkhead_tailnet.routes", "gateway: [10.0.3.0/24]"
    found = {}
    for place, subnets in reader.mapping(path, value, "the routes of each tier", example).items():
        where = f"{path}.{place}"
        if not _is_place(reader, where, place, site) or not _has_tags(reader, where, place, tailnet, "a router"):
            continue
        nets: list[Net] = []
        for at, name in reader.items(where, subnets, "a subnet or a tier, or a list of them", "[10.0.3.0/24]"):
            tier = site.tiers.get(name)
            read = list(tier.subnets) if tier else [reader.net(at, name)]
            nets += [net for net in read if net and _is_near(reader, at, place, net, site, tailnet)]
        found[place] = tuple(dict.fromkeys(nets))
    return found


def _is_near(reader: Reader, path: str, place: str, net: Net, site: Site, tailnet: Tailnet) -> bool:
    """Whether a router has a leg where it would lead to. The routers between the tiers lead out of the site as well."""
    if net.prefix == 0:
        reader.note(path, str(net), "subnets", f"name {place} in bulkhead_tailnet.exit_nodes", "exit-route")
        return False
    if place == GATEWAY:
        homes = [subnet for tier in site.tiers.values() if tier.gateways for subnet in tier.subnets]
        own = [*site.own, *tailnet.prefixes]
        if any(home.holds(net) for home in homes) or not any(other.meets(net) for other in own):
            return True
        remedy = "name subnets of tiers that have a gateway"
    else:
        homes = site.subnets_of([place]) + [net for one in site.bridges_of([place]) for net in one.subnets]
        if any(home.holds(net) for home in homes):
            return True
        remedy = f"name a part of {', '.join(map(str, homes)) or 'its subnet'}, or let {GATEWAY} advertise it"
    reader.note(path, str(net), f"a subnet that {place} has a leg in", remedy, "no-leg")
    return False


def _read_exit_nodes(
    reader: Reader, value: object, tailnet: Tailnet, names: TailnetNames
) -> dict[str, tuple[Endpoint, ...]]:
    path, example = "bulkhead_tailnet.exit_nodes", "gateway: [group:admins]"
    found = {}
    for place, users in reader.mapping(path, value, "who may use each exit node", example).items():
        where = f"{path}.{place}"
        if not _is_place(reader, where, place, names.site):
            continue
        if not _has_tags(reader, where, place, tailnet, "an exit node"):
            continue
        items = reader.items(where, users, "who may use it, or a list of them", "[group:admins]")
        ends = [end for at, name in items for end in names.source(reader, at, name) or ()]
        found[place] = tuple(dict.fromkeys(ends))
    return found


# -- SSH -------------------------------------------------------------------------------------------------------------


def _read_ssh(reader: Reader, value: object, names: TailnetNames) -> tuple[SshRule, ...]:
    path, example = "bulkhead_tailnet.ssh", "{from: group:admins, to: management, users: [ops]}"
    if value is None:
        return ()
    if not isinstance(value, list):
        reader.refuse(path, value, "a list", f"write it like - {example}")
        return ()
    rules = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        known = reader.fields(where, item, ("from", "to", "users", "why"), example)
        if not isinstance(item, dict):
            continue
        reader.text(f"{where}.why", known.get("why"))
        sources = _ends(reader, f"{where}.from", known.get("from"), names.source)
        destinations = _ends(reader, f"{where}.to", known.get("to"), names.node)
        users = reader.items(f"{where}.users", known.get("users"), "a user of the hosts, or a list of them", "[ops]")
        rule = SshRule(
            where,
            sources,
            destinations,
            tuple(dict.fromkeys(login for at, login in users if _is_login(reader, at, login))),
        )
        _check_people(reader, where, rule.sources, rule.destinations)
        _check_devices(reader, where, rule)
        rules.append(rule)
    return tuple(rules)


def _ends(reader: Reader, path: str, value: object, resolve: Any) -> tuple[Endpoint, ...]:
    items = reader.items(path, value, "an endpoint, or a list of them", "group:admins or [group:admins, tag:ci]")
    return tuple(dict.fromkeys(end for at, name in items for end in resolve(reader, at, name) or ()))


def _is_login(reader: Reader, path: str, name: str) -> bool:
    if _LOGIN.match(name) or name == _AUTO_NONROOT:
        return True
    reader.refuse(path, name, "the name of a user on the hosts", f"write it like ops, or {_AUTO_NONROOT}")
    return False


def _check_people(reader: Reader, path: str, sources: Collection[Endpoint], destinations: Collection[Endpoint]) -> None:
    """Control refuses what leads from nodes with tags to people's own devices in SSH, and to `self` in any rule."""
    tagged = [end.name for end in sources if end.kind in (TIER, GATEWAY, TAG) or end.name == TAGGED]
    people = [end.name for end in destinations if end.name in (OWN, MEMBER)]
    if tagged and people:
        reader.note(
            f"{path}.to",
            ", ".join(people),
            f"nodes with tags, from {', '.join(tagged)}",
            "name people or their groups in from",
            "tagged-to-people",
        )


def _check_devices(reader: Reader, path: str, rule: SshRule) -> None:
    """Control lets no one log in on the devices of a group, and on a user's none but that user."""
    others = [
        end.name
        for end in rule.destinations
        if end.kind == GROUP or (end.kind == USER and any(source.name != end.name for source in rule.sources))
    ]
    if others:
        reader.note(
            f"{path}.to",
            f"{', '.join(others)}, from {', '.join(end.name for end in rule.sources)}",
            f"nodes with tags, or {OWN} for people's own devices",
            f"name a tier, a tag or {OWN}",
            "ssh-to-people",
        )


def check_self(reader: Reader, path: str, sources: Collection[Endpoint], destinations: Collection[Endpoint]) -> None:
    """A node with tags belongs to no user, so that it has no `autogroup:self`."""
    _check_people(reader, path, sources, [end for end in destinations if end.name == OWN])


# -- names -----------------------------------------------------------------------------------------------------------


class TailnetNames:
    """What the ends of a flow over the tailnet can be called. Each method returns None after noting a mistake."""

    def __init__(self, site: Site, tailnet: Tailnet) -> None:
        self.site = site
        self.tailnet = tailnet
        #: A tier's endpoint is the one that it has on the LAN.
        self.places = {
            **{name: Endpoint(TIER, name, tier.subnets) for name, tier in site.tiers.items()},
            GATEWAY: Endpoint(GATEWAY, GATEWAY, tuple(site.legs)),
        }
        self.known = [
            *tailnet.tags,
            *tailnet.tag_owners,
            *(f"group:{name}" for name in tailnet.groups),
            *_SOURCES[tailnet.dialect],
            OWN,
        ]

    def source(self, reader: Reader, path: str, name: str) -> Optional[list[Endpoint]]:
        """Who opens connections: a tier with tags, a tag, a group, an autogroup, a user."""
        if name in (INTERNET, _AUTO_INTERNET, _AUTO_ALL):
            reader.refuse(path, name, "a node of the tailnet", "name a tier, tag: or group:", "not-on-tailnet")
            return None
        if name in self.site.addresses or _is_address(name):
            reader.refuse(
                path,
                name,
                "a node of the tailnet: over it, a source is known by its tag or its user",
                "name the tier, a tag: or a group:",
                "not-on-tailnet",
            )
            return None
        return self.node(reader, path, name, _SOURCES[self.tailnet.dialect])

    def destination(self, reader: Reader, path: str, name: str) -> Optional[list[Endpoint]]:
        """What is reached: what a source can be, `autogroup:self`, and addresses behind a route."""
        if name in (INTERNET, _AUTO_INTERNET):
            remedy = "say in bulkhead_tailnet.exit_nodes who may use which exit node"
            reader.refuse(path, name, "a destination inside of the tailnet or behind its routes", remedy, "exit-flow")
            return None
        if name in self.site.addresses:
            return self._routed(reader, path, Endpoint(ADDRESS, name, self.site.addresses[name]))
        if _is_address(name):
            try:
                net = parse_net(name) if "/" in name else parse_address(name)
            except Unreadable as error:
                reader.refuse(path, name, error.expected, error.remedy)
                return None
            return self._routed(reader, path, Endpoint(NETWORK, name, (net,)))
        return self.node(reader, path, name)

    def anyone(self, reader: Reader, path: str, name: str) -> Optional[list[Endpoint]]:
        """An end of an invariant."""
        return self.node(reader, path, name, dict.fromkeys((*_SOURCES[self.tailnet.dialect], *_DESTINATIONS)))

    def node(
        self, reader: Reader, path: str, name: str, autogroups: Collection[str] = _DESTINATIONS
    ) -> Optional[list[Endpoint]]:
        """What has a node of the tailnet."""
        if name == "tiers":
            found = [end for place, end in self.places.items() if place != GATEWAY and self.tailnet.tags.get(place)]
            if not found:
                reader.refuse(path, name, "tiers with tags", "declare bulkhead_tailnet.tags", "no-tags")
            return found or None
        if name in self.places:
            kind = "the routers" if name == GATEWAY else "a tier"
            return [self.places[name]] if _has_tags(reader, path, name, self.tailnet, kind) else None
        if name.startswith("group:"):
            return [Endpoint(GROUP, name)] if _is_group(reader, path, name, self.tailnet) else None
        if name.startswith("tag:"):
            return self._tag(reader, path, name)
        if name.startswith("autogroup:"):
            return self._autogroup(reader, path, name, autogroups)
        if "@" in name:
            is_user = _is_user(reader, path, name, self.tailnet.users, self.tailnet.dialect)
            return [Endpoint(USER, name)] if is_user else None
        expected = "a tier with tags, tag:, group:, autogroup: or a user"
        reader.refuse(path, name, expected, suggestion(name, self.known) or "declare it in bulkhead_tailnet")
        return None

    def _tag(self, reader: Reader, path: str, name: str) -> Optional[list[Endpoint]]:
        if name in self.tailnet.tag_owners:
            return [Endpoint(TAG, name)]
        if _is_tag(reader, path, name):
            remedy = suggestion(name, self.tailnet.tag_owners) or f"declare bulkhead_tailnet.tag_owners.{name}"
            reader.refuse(path, name, "a tag of bulkhead_tailnet.tags or tag_owners", remedy, "no-tag")
        return None

    def _autogroup(self, reader: Reader, path: str, name: str, known: Collection[str]) -> Optional[list[Endpoint]]:
        if name in known:
            return [Endpoint(AUTOGROUP, name)]
        remedy = suggestion(name, known) or f"name one of {', '.join(known)}"
        if name in ROLES and self.tailnet.dialect == HEADSCALE:
            remedy = "Headscale knows no roles: declare a group in bulkhead_tailnet.groups"
        reader.refuse(path, name, f"an autogroup that can stand here in the dialect {self.tailnet.dialect}", remedy)
        return None

    def _routed(self, reader: Reader, path: str, end: Endpoint) -> Optional[list[Endpoint]]:
        """An endpoint whose addresses lie behind routes."""
        routes = [net for nets in self.tailnet.routes.values() for net in nets]
        apart = [net for net in end.nets if not any(route.holds(net) for route in routes)]
        if not apart:
            return [end]
        shown = f"{end.name} ({', '.join(map(str, apart))})" if end.kind == ADDRESS else end.name
        if any(prefix.meets(net) for prefix in self.tailnet.prefixes for net in apart):
            remedy = "control gives nodes their addresses: name the node's tier, tag: or user"
        else:
            home = next((tier.name for tier in self.site.tiers.values() if tier.holds(apart)), None)
            node = f"name the tier {home}, whose hosts are nodes, or " if home and self.tailnet.tags.get(home) else ""
            remedy = f"{node}add a route to it to bulkhead_tailnet.routes"
        reader.note(path, shown, "addresses behind a route of bulkhead_tailnet.routes", remedy, "no-route")
        return None


def _is_address(name: str) -> bool:
    return (
        name[:1].isdecimal()
        or ("/" in name and not is_tailnet_name(name))
        or (":" in name and not is_tailnet_name(name))
    )
