# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shape of a tailnet policy, as typed structures; what is read from a document is complete and consistent.

``read`` takes the plain mapping that stands in a policy file, for one of two control servers. Every mistake is said at
once, with its key path. What the two servers do alike, and where a Headscale 0.29.2 takes less than Tailscale's own, is
in ``dialect.py``.

The trap: a policy without ``acls`` and without ``grants`` (or with null for both) lets everybody reach everything. Such
a document is refused unless it is accepted by name; an empty list denies all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import grammar
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.dialect import DIALECTS, Dialect, Place
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Endpoint, Kind, Net, Ports
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.reader import Reader

#: Sections that say who reaches whom, and through whom.
RULES = ("acls", "grants")


@dataclass(frozen=True)
class Traffic:
    """Protocols by number (None: the client's own set, `grammar.DEFAULT`) and the ports of those that have some."""

    protocols: Optional[frozenset[int]]
    ports: Ports


@dataclass(frozen=True)
class Target:
    """One destination of a rule, and what may be sent to it."""

    endpoint: Endpoint
    traffic: tuple[Traffic, ...]


@dataclass(frozen=True)
class Rule:
    """One entry of `acls` or of `grants`: each source may send each target its traffic. Rules only add access.

    via: the tags of the routers that carry it, and no other router does. apps: capabilities by name. postures: the
    conditions on the source's device; they narrow the rule.
    """

    path: str
    sources: tuple[Endpoint, ...]
    targets: tuple[Target, ...]
    via: tuple[str, ...] = ()
    apps: Mapping[str, Any] = field(default_factory=dict)
    postures: tuple[str, ...] = ()


@dataclass(frozen=True)
class SshRule:
    """One entry of `ssh`: action is `accept` or `check`."""

    path: str
    action: str
    sources: tuple[Endpoint, ...]
    targets: tuple[Endpoint, ...]
    users: tuple[str, ...]


@dataclass(frozen=True)
class Expectation:
    """One line of a test: ``text`` as it stands in the document, a host and one port."""

    text: str
    endpoint: Endpoint
    port: int


@dataclass(frozen=True)
class Test:
    """One entry of `tests`: what ``source`` reaches (accept) and what it does not (deny)."""

    path: str
    source: Endpoint
    protocols: Optional[frozenset[int]]
    accept: tuple[Expectation, ...]
    deny: tuple[Expectation, ...]


@dataclass(frozen=True)
class SshTest:
    """One entry of `sshTests`: as which users ``source`` gets in, and as which not."""

    path: str
    source: Endpoint
    targets: tuple[Endpoint, ...]
    accept: tuple[str, ...]
    deny: tuple[str, ...]
    check: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A whole policy. ``rules`` is None where the document has none, which means that everything is allowed."""

    dialect: str
    groups: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, Net]
    tag_owners: Mapping[str, tuple[Endpoint, ...]]
    rules: Optional[tuple[Rule, ...]]
    ssh: tuple[SshRule, ...]
    tests: tuple[Test, ...]
    ssh_tests: tuple[SshTest, ...]
    routes: Mapping[str, tuple[Endpoint, ...]]
    exit_node: tuple[Endpoint, ...]
    #: Sections that are only carried along, such as `nodeAttrs`.
    others: Mapping[str, Any]

    @property
    def allows_all(self) -> bool:
        """Whether it has no rules at all: the trap."""
        return self.rules is None


def read(plain: object, dialect: str = "headscale", allow_all: bool = False, root: str = "policy") -> Document:
    """The document; ``Refused`` with every mistake in it. ``root`` is what key paths begin with.

    allow_all accepts a document without `acls` and `grants`, which lets everybody reach everything.
    """
    words = DIALECTS[dialect]
    reader = Reader(root, words.lacks)
    found = _Sections(reader, words, plain).document()
    if found.allows_all and not allow_all:
        reader.wrong(
            root, "neither acls nor grants", "one of them; a policy without both allows everything", TRAP, "allow-all"
        )
    if reader.mistakes:
        raise Refused(reader.mistakes)
    return found


TRAP = "write `grants: []` to deny all, or accept it with allow_all"


class _Sections:
    """Reads the sections of one document; the names first, since the rules refer to them."""

    def __init__(self, reader: Reader, dialect: Dialect, plain: object) -> None:
        self.reader = reader
        self.dialect = dialect
        self.root = reader.root
        self.plain = reader.keyed(plain, self.root, dialect.sections, dialect.open)
        self.groups: dict[str, tuple[str, ...]] = {}
        self.hosts: dict[str, Net] = {}
        self.owned: set[str] = set()

    def document(self) -> Document:
        self.groups = self._groups()
        self.hosts = self._hosts()
        owners = self._mapping("tagOwners")
        self.owned = set(owners)
        rules = None
        if any(self.plain.get(name) is not None for name in RULES):
            rules = (*self._acls(), *self._grants())
        approvers = self._mapping(
            "autoApprovers", ("routes", "exitNode", *(("services",) if self.dialect.open else ()))
        )
        known = {*RULES, "groups", "hosts", "tagOwners", "ssh", "tests", "sshTests", "autoApprovers"}
        self._node_attributes()
        return Document(
            dialect=self.dialect.name,
            groups=self.groups,
            hosts=self.hosts,
            tag_owners=self._owners(owners),
            rules=rules,
            ssh=tuple(self._ssh()),
            tests=tuple(self._tests()),
            ssh_tests=tuple(self._ssh_tests()),
            routes=self._routes(approvers.get("routes")),
            exit_node=self._endpoints(approvers.get("exitNode"), self._at("autoApprovers.exitNode"), Place.APPROVER),
            others={key: value for key, value in self.plain.items() if key not in known},
        )

    # the names

    def _groups(self) -> dict[str, tuple[str, ...]]:
        found = {}
        for name, members in self._mapping("groups").items():
            path = self._at(f"groups.{name}")
            if not name.startswith("group:") or name == "group:":
                self.reader.wrong(path, name, "a name that begins with group:", f"call it group:{name}")
            found[name] = self.reader.texts(members, path)
            for index, member in enumerate(found[name]):
                if "@" not in member or member.startswith(("group:", "tag:", "autogroup:")):
                    remedy = "name the users; a group holds no groups, tags or hosts" + self.dialect.user_hint
                    self.reader.wrong(f"{path}[{index}]", member, "a user, such as alice@example.com", remedy)
        return found

    def _hosts(self) -> dict[str, Net]:
        found = {}
        for name, value in self._mapping("hosts").items():
            path = self._at(f"hosts.{name}")
            if not name or any(char in name for char in "@:/*") or grammar.network(name):
                self.reader.wrong(path, name, "a name without @, :, / and *", "choose another name")
            net = grammar.network(value) if isinstance(value, str) else None
            if net is None:
                self.reader.wrong(path, value, "an address or a CIDR", "write one")
            else:
                found[name] = net
        return found

    def _owners(self, owners: Mapping[str, Any]) -> dict[str, tuple[Endpoint, ...]]:
        found = {}
        for name, value in owners.items():
            path = self._at(f"tagOwners.{name}")
            if not name.startswith("tag:") or not (name[4:5].isascii() and name[4:5].isalpha()):
                self.reader.wrong(path, name, "tag: and a name that begins with a letter", "rename the tag")
            found[name] = self._endpoints(value, path, Place.OWNER)
        return found

    def _routes(self, plain: object) -> dict[str, tuple[Endpoint, ...]]:
        found = {}
        for name, value in self.reader.mapping(plain, self._at("autoApprovers.routes")).items():
            path = self._at(f"autoApprovers.routes.{name}")
            if grammar.network(name) is None or "/" not in name:
                self.reader.wrong(path, name, "a CIDR", "write the route as a network, such as 10.0.3.0/24")
            found[name] = self._endpoints(value, path, Place.APPROVER)
        return found

    # who reaches whom

    def _acls(self) -> list[Rule]:
        found = []
        for path, entry in self.reader.entries(
            self.plain.get("acls"), self._at("acls"), self.dialect.acl, self.dialect.comments
        ):
            if entry.get("action") != "accept":
                self.reader.wrong(
                    f"{path}.action", entry.get("action"), "accept", "leave out what is denied; rules only add access"
                )
            protocols = self._protocol(entry.get("proto"), f"{path}.proto", fold=True)
            targets = []
            for index, text in enumerate(self.reader.texts(entry.get("dst"), f"{path}.dst", needed=True)):
                where = f"{path}.dst[{index}]"
                given = self.reader.word(grammar.destination, text, where)
                if given is None or not self._usable(given[0], where, Place.DESTINATION):
                    continue
                self._no_ports(protocols, given[1], text, where)
                targets.append(Target(given[0], (Traffic(protocols, given[1]),)))
            sources = self._endpoints(entry.get("src"), f"{path}.src", Place.SOURCE, needed=True)
            self._self_only_of_users(sources, targets, path, wild=True)
            found.append(Rule(path, sources, tuple(targets), postures=self._postures(entry, path)))
        return found

    def _grants(self) -> list[Rule]:
        found = []
        for path, entry in self.reader.entries(self.plain.get("grants"), self._at("grants"), self.dialect.grant):
            traffic = []
            for index, text in enumerate(self.reader.texts(entry.get("ip"), f"{path}.ip")):
                given = self.reader.word(grammar.capability, text, f"{path}.ip[{index}]")
                if given is not None:
                    self._no_ports(*given, text, f"{path}.ip[{index}]")
                    traffic.append(Traffic(*given))
            apps = self.reader.mapping(entry.get("app"), f"{path}.app")
            if not entry.get("ip") and not apps:
                self.reader.wrong(path, "neither ip nor app", "what may be sent", 'add `ip`, such as ["tcp:443"]')
            sources = self._endpoints(entry.get("src"), f"{path}.src", Place.SOURCE, needed=True)
            ends = self._endpoints(entry.get("dst"), f"{path}.dst", Place.DESTINATION, needed=True)
            self._whole_internet(ends, f"{path}.dst")
            targets = [Target(end, tuple(traffic)) for end in ends]
            self._self_only_of_users(sources, targets, path, wild=False)
            via = self._via(entry.get("via"), f"{path}.via")
            found.append(Rule(path, sources, tuple(targets), via, apps, self._postures(entry, path)))
        return found

    def _via(self, plain: object, path: str) -> tuple[str, ...]:
        ends = self._endpoints(plain, path, Place.VIA)
        return tuple(end.text for end in ends)

    def _postures(self, entry: Mapping[str, Any], path: str) -> tuple[str, ...]:
        return self.reader.texts(entry.get("srcPosture"), f"{path}.srcPosture")

    def _protocol(self, plain: object, path: str, fold: bool = False) -> Optional[frozenset[int]]:
        if plain is None:
            return None
        if isinstance(plain, bool) or not isinstance(plain, (str, int)):
            self.reader.wrong(path, plain, "a protocol's name or number", "write one, such as tcp")
            return None
        text = str(plain)
        return self.reader.word(grammar.protocol, text.lower() if fold else text, path)

    def _no_ports(self, protocols: Optional[frozenset[int]], ports: Ports, text: str, path: str) -> None:
        if grammar.without_ports(protocols, ports):
            self.reader.wrong(
                path, text, "* for the ports of a protocol that has none", "write * or choose tcp, udp or sctp", "port"
            )

    def _whole_internet(self, ends: tuple[Endpoint, ...], path: str) -> None:
        for index, end in enumerate(ends):
            if end.net is not None and "/" in end.text and end.net.first == 0 and end.text.endswith("/0"):
                self.reader.wrong(
                    f"{path}[{index}]",
                    end.text,
                    "* or autogroup:internet",
                    "write what is meant: any device, or the internet",
                )

    def _self_only_of_users(self, sources: tuple[Endpoint, ...], targets: list[Target], path: str, wild: bool) -> None:
        """`autogroup:self` is the devices of the source's own user, so the source must be users."""
        if not any(target.endpoint.text == "autogroup:self" for target in targets):
            return
        for index, source in enumerate(sources):
            users = source.kind in (Kind.USER, Kind.GROUP) or source.text in self.dialect.people
            if not users and not (wild and source.kind is Kind.ANY):
                remedy = "name users, groups or autogroup:member, or take autogroup:self out of dst"
                self.reader.wrong(f"{path}.src[{index}]", source.text, "users, as dst has autogroup:self", remedy)

    # Tailscale SSH

    def _ssh(self) -> list[SshRule]:
        found = []
        for path, entry in self.reader.entries(self.plain.get("ssh"), self._at("ssh"), self.dialect.ssh):
            action = entry.get("action")
            if action not in ("accept", "check"):
                self.reader.wrong(f"{path}.action", action, "accept or check", "write one")
            if entry.get("checkPeriod") is not None and action != "check":
                self.reader.wrong(
                    f"{path}.checkPeriod",
                    entry["checkPeriod"],
                    "none where the action is accept",
                    "leave it out or write action: check",
                )
            sources = self._endpoints(entry.get("src"), f"{path}.src", Place.SSH_SOURCE, needed=True)
            targets = self._endpoints(entry.get("dst"), f"{path}.dst", Place.SSH_DESTINATION, needed=True)
            users = self.reader.texts(entry.get("users"), f"{path}.users", needed=True)
            for index, user in enumerate(users):
                if user.strip() in ("", "*"):
                    self.reader.wrong(
                        f"{path}.users[{index}]", user, "a login name, root or autogroup:nonroot", "name the users"
                    )
            self._ssh_pairs(sources, targets, path)
            found.append(SshRule(path, str(action), sources, targets, users))
        return found

    def _ssh_pairs(self, sources: tuple[Endpoint, ...], targets: tuple[Endpoint, ...], path: str) -> None:
        """A tagged device never logs in on a user's, and a user only on the user's own (both servers refuse the rest)."""
        tagged = any(source.kind is Kind.TAG or source.text == "autogroup:tagged" for source in sources)
        for index, target in enumerate(targets):
            where = f"{path}.dst[{index}]"
            if target.text in ("autogroup:self", "autogroup:member", "autogroup:members") and tagged:
                self.reader.wrong(where, target.text, "tags, as src has tags", "name tags or autogroup:tagged")
            if target.kind is Kind.USER and {source.text for source in sources} != {target.text}:
                self.reader.wrong(
                    where, target.text, "the same user alone in src", "use autogroup:self for a user's own devices"
                )

    # the document's own tests

    def _tests(self) -> list[Test]:
        found = []
        for path, entry in self.reader.entries(self.plain.get("tests"), self._at("tests"), self.dialect.test):
            source = self._one(entry.get("src"), f"{path}.src", Place.TEST_SOURCE)
            protocols = self._protocol(entry.get("proto"), f"{path}.proto", fold=True)
            if protocols is not None and not protocols <= grammar.PORTED:
                self.reader.wrong(
                    f"{path}.proto", entry.get("proto"), "tcp, udp or sctp", "leave it out or write one of them", "test"
                )
            if not entry.get("accept") and not entry.get("deny"):
                self.reader.wrong(
                    path,
                    "neither accept nor deny",
                    "one of them",
                    "say what the source reaches or does not reach",
                    "test",
                )
            accept, deny = (self._expectations(entry.get(key), f"{path}.{key}") for key in ("accept", "deny"))
            if source is not None:
                found.append(Test(path, source, protocols, accept, deny))
        return found

    def _expectations(self, plain: object, path: str) -> tuple[Expectation, ...]:
        found = []
        for index, text in enumerate(self.reader.texts(plain, path)):
            where = f"{path}[{index}]"
            given = self.reader.word(grammar.destination, text, where)
            if given is None or not self._usable(given[0], where, Place.TEST_DESTINATION):
                continue
            end, ports = given
            if len(ports) != 1 or ports[0][0] != ports[0][1]:
                self.reader.wrong(where, text, "one port", "write one line for each port", "test")
                continue
            net = self.hosts.get(end.text) if end.kind is Kind.HOST else end.net
            if net is not None and (not net.single or "/" in end.text):
                self.reader.wrong(where, text, "one host", "name one address, without /", "test")
                continue
            found.append(Expectation(text, end, ports[0][0]))
        return tuple(found)

    def _ssh_tests(self) -> list[SshTest]:
        found = []
        for path, entry in self.reader.entries(self.plain.get("sshTests"), self._at("sshTests"), self.dialect.ssh_test):
            source = self._one(entry.get("src"), f"{path}.src", Place.SSH_TEST)
            targets = self._endpoints(entry.get("dst"), f"{path}.dst", Place.SSH_TEST, needed=True)
            users = {key: self.reader.texts(entry.get(key), f"{path}.{key}") for key in ("accept", "deny", "check")}
            if not targets:
                self.reader.wrong(f"{path}.dst", entry.get("dst"), "at least one destination", "name one", "test")
            if not any(users.values()):
                self.reader.wrong(
                    path, "neither accept, deny nor check", "one of them", "say which users get in", "test"
                )
            if source is not None:
                found.append(SshTest(path, source, targets, **users))
        return found

    # endpoints, and what they refer to

    def _endpoints(self, plain: object, path: str, place: Place, needed: bool = False) -> tuple[Endpoint, ...]:
        found = []
        for index, text in enumerate(self.reader.texts(plain, path, needed)):
            where = f"{path}[{index}]"
            end = self.reader.word(grammar.endpoint, text.strip(), where)
            if end is not None and self._usable(end, where, place):
                found.append(end)
        return tuple(found)

    def _one(self, plain: object, path: str, place: Place) -> Optional[Endpoint]:
        if not isinstance(plain, str):
            self.reader.wrong(path, plain, "one source as a text", "name a user, group, tag or address", "test")
            return None
        end = self.reader.word(grammar.endpoint, plain.strip(), path)
        return end if end is not None and self._usable(end, path, place) else None

    def _usable(self, end: Endpoint, path: str, place: Place) -> bool:
        """Whether the endpoint may stand at this place and what it names is defined; otherwise said."""
        allowed = self.dialect.places[place]
        if end.kind not in allowed.kinds:
            kind = "unsupported" if end.kind is Kind.OPAQUE and not self.dialect.open else "place"
            self.reader.wrong(path, end.text, allowed.expected, self.dialect.remedy(end, place), kind)
            return False
        if end.kind is Kind.AUTOGROUP and end.text not in allowed.autogroups:
            names = ", ".join(sorted(allowed.autogroups)) or "no autogroup"
            self.reader.wrong(path, end.text, f"{names} here", self.dialect.remedy(end, place), "unsupported")
            return False
        return self._defined(end, path)

    def _defined(self, end: Endpoint, path: str) -> bool:
        missing = {
            Kind.GROUP: (
                self.groups,
                "a group of `groups`",
                f"add {end.text} to groups, or correct the name",
                "undefined",
            ),
            Kind.TAG: (self.owned, "a tag of `tagOwners`", f"add {end.text} to tagOwners with its owners", "owner"),
            Kind.HOST: (self.hosts, "a name of `hosts`", f"add {end.text} to hosts, or correct the name", "undefined"),
        }
        names, expected, remedy, kind = missing.get(end.kind, ({end.text}, "", "", ""))
        if end.text in names:
            return True
        self.reader.wrong(path, end.text, expected, remedy, kind)
        return False

    # what one server has and the other has not

    def _node_attributes(self) -> None:
        """Headscale takes `nodeAttrs` but neither funnel nor address pools; the hosted server judges its own."""
        if self.dialect.open:
            return
        for path, entry in self.reader.entries(
            self.plain.get("nodeAttrs"), self._at("nodeAttrs"), ("target", "attr", "ipPool")
        ):
            self._endpoints(entry.get("target"), f"{path}.target", Place.ATTRIBUTE)
            for index, name in enumerate(self.reader.texts(entry.get("attr"), f"{path}.attr")):
                if name == "funnel":
                    self.reader.wrong(
                        f"{path}.attr[{index}]",
                        name,
                        "an attribute that Headscale acts on",
                        "leave it out",
                        "unsupported",
                    )
            if entry.get("ipPool"):
                self.reader.wrong(
                    f"{path}.ipPool", entry["ipPool"], "no address pool with Headscale", "leave it out", "unsupported"
                )

    def _mapping(self, name: str, keys: Optional[tuple[str, ...]] = None) -> Mapping[str, Any]:
        value = self.plain.get(name)
        if keys is None:
            return self.reader.mapping(value, self._at(name))
        return self.reader.keyed({} if value is None else value, self._at(name), keys, ())

    def _at(self, path: str) -> str:
        return f"{self.root}.{path}"


def mistakes_of(plain: object, dialect: str, root: str = "policy") -> tuple[Mistake, ...]:
    """What ``read`` would refuse the document for; () where it would not."""
    try:
        read(plain, dialect, root=root)
    except Refused as refused:
        return refused.mistakes
    return ()
