# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may reach whom by a policy, from the document alone: what its grammar means, without any compiler.

An endpoint is taken apart into *atoms*, which no rule can tell further apart: a device of one user, a device with one
tag, a piece of an address range between the edges of all ranges in the document. Access of a device with several tags
is the sum of that of each tag, as rules only add.

With ``nodes``, the devices of a tailnet, atoms are their addresses, and a rule that names an address reaches the node
that has it. Without, a device has no address, and only rules that name identities or * reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import grammar
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import Document, Rule, Test, Traffic, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Endpoint, Kind, Net

#: Who stands for all users and all tags that a document does not mention.
OTHER_USER = "any other user"
OTHER_TAG = "any other tag"
#: What `*` is as a source, beside approved routes: the addresses of devices, without those of ChromeOS's own virtual
#: machines (tailscale.com/net/tsaddr: CGNATRange, TailscaleULARange, ChromeOSVMRange).
TAILNET = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
NOT_TAILNET = "100.115.92.0/23"
#: What `autogroup:internet` is not, of all IPv4 and of 2000::/3 (Headscale: hscontrol/util/net.go, TheInternet).
NOT_INTERNET = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10")
INTERNET = ("0.0.0.0/0", "2000::/3")
EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Node:
    """A device of the tailnet: its user (None where it has tags), its tags, its addresses, the routes approved for it."""

    name: str
    user: Optional[str] = None
    tags: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Atom:
    """One sender or receiver that no rule can tell apart: ``name`` is how it is written."""

    name: str
    user: Optional[str] = None
    tags: frozenset[str] = frozenset()
    role: str = ""
    net: Optional[Net] = None

    @property
    def device(self) -> bool:
        return self.user is not None or bool(self.tags)


@dataclass(frozen=True)
class Failure:
    """A line of the document's own tests that does not hold. ``expected`` and ``got``: accept, deny or check."""

    path: str
    source: str
    destination: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: {self.source} -> {self.destination}: expected {self.expected}, got {self.got}"


def _net(text: str) -> Net:
    found = grammar.network(text)
    if found is None:
        raise ValueError(f"{text} is no address and no CIDR")
    return found


_TAILNET = tuple(map(_net, TAILNET))
_NOT_TAILNET = _net(NOT_TAILNET)
_INTERNET = tuple(map(_net, INTERNET))
_NOT_INTERNET = tuple(map(_net, NOT_INTERNET))
_EVERYWHERE = tuple(map(_net, EVERYWHERE))


class Policy:
    """What a document allows. ``also``: a second document whose names and ranges cut the atoms as well, for a comparison."""

    def __init__(
        self, document: Union[Document, Mapping[str, Any]], nodes: Iterable[Node] = (), also: Optional[Document] = None
    ) -> None:
        self.document = document if isinstance(document, Document) else read(document)
        self.nodes = tuple(nodes)
        self._documents = (self.document, *((also,) if also is not None else ()))
        self._members = {name: frozenset(map(_bare, users)) for name, users in self.document.groups.items()}
        routes = [route for node in self.nodes for route in node.routes] if self.nodes else list(self.document.routes)
        self._routes = tuple(net for net in map(grammar.network, routes) if net is not None)
        self._edges = self._cuts()
        self._known: dict[str, tuple[Atom, ...]] = {}

    # the questions

    def allows(self, source: str, destination: str, proto: Union[str, int], port: Optional[int] = None) -> bool:
        """Whether all of ``source`` may open a connection to all of ``destination``.

        source, destination: a user, group, tag, autogroup, a name of `hosts`, an address, a CIDR or ``*``; a destination
        ``autogroup:self`` is each source's own devices. proto: a name or a number; port: None where it has no ports. An
        ICMP packet passes where anything does, as clients let it (wgengine/filter, `matchIPsOnly`). False where an
        endpoint names no one, such as an empty group. ``grammar.Unusable`` for what is no endpoint.
        """
        pairs = list(self._pairs(source, destination))
        return bool(pairs) and all(self.passes(one, other, _number(proto), port) for one, other in pairs)

    def touches(self, source: str, destination: str, proto: Union[str, int], port: Optional[int] = None) -> bool:
        """Whether some of ``source`` may open a connection to some of ``destination``."""
        return any(self.passes(one, other, _number(proto), port) for one, other in self._pairs(source, destination))

    def ssh(self, source: str, destination: str, user: str) -> str:
        """How all of ``source`` get in by Tailscale SSH as ``user`` on all of ``destination``: `accept`, `check` or "".

        Where both kinds of rule match, the check comes first. Such a login also needs the port (`allows`).
        """
        return self._way(self._pairs(source, destination), user)

    def _way(self, pairs: Iterable[tuple[Atom, Atom]], user: str) -> str:
        ways = {self._login(one, other, user) for one, other in pairs}
        if not ways or "" in ways:
            return ""
        return "check" if "check" in ways else "accept"

    def failures(self) -> list[Failure]:
        """The lines of the document's own `tests` and `sshTests` that do not hold, judged as the control server does.

        Without nodes, a device with a tag may have any other one as well: what must be let through fails only where no further tag
        brings that about, and the server, which knows the devices, judges the rest.
        """
        found = [failure for test in self.document.tests for failure in self._judged(test)]
        for test in self.document.ssh_tests:
            for target in test.targets:
                for expected in ("accept", "deny", "check"):
                    sources = self._asked(test.source.text, expected)
                    targets = None if target.text == "autogroup:self" else self._asked(target.text, expected)
                    for user in getattr(test, expected):
                        got = self._way(_pairs(sources, targets), user) or "deny"
                        if got != expected and not (expected == "accept" and got == "check"):
                            where = f"{user} on {target.text}"
                            found.append(Failure(test.path, test.source.text, where, expected, got))
        return found

    @property
    def decidable(self) -> bool:
        """Whether the document's own tests can be judged without the server: no rule and no test depends on which device
        has which address, which user which role, or what an `ipset:` or `svc:` stands for."""
        ends = [*self._mentioned(), *self._tested()]
        nets = [
            self.document.hosts[end.text] if end.kind is Kind.HOST else end.net
            for end in ends
            if end.kind in (Kind.HOST, Kind.NETWORK)
        ]
        if any(net is not None and net.overlaps(inside) for net in nets for inside in _TAILNET) and not self.nodes:
            return False
        return not any(end.kind is Kind.OPAQUE or (end.kind is Kind.AUTOGROUP and _is_role(end.text)) for end in ends)

    def _tested(self) -> Iterator[Endpoint]:
        for test in self.document.tests:
            yield test.source
            yield from (line.endpoint for line in (*test.accept, *test.deny))
        for login in self.document.ssh_tests:
            yield login.source
            yield from login.targets

    # one packet

    def passes(self, source: Atom, destination: Atom, proto: int, port: Optional[int]) -> bool:
        """Whether a packet between two atoms passes. A rule's postures are taken as met."""
        if self.document.rules is None:
            return True
        return any(
            _carries(traffic, proto, port)
            for rule in self.document.rules
            for traffic in self.traffic(rule, source, destination)
        )

    def traffic(self, rule: Rule, source: Atom, destination: Atom) -> Iterator[Traffic]:
        """What one rule lets through between two atoms."""
        if rule.via and destination.device:
            return  # routers carry it to what lies behind them, never to a device itself
        if not any(self.names(end, source, True) for end in rule.sources):
            return
        for target in rule.targets:
            if self._is_target(target.endpoint, source, destination):
                yield from target.traffic

    def names(self, end: Endpoint, atom: Atom, sends: bool) -> bool:
        """Whether an endpoint of a rule stands for the atom; ``sends``: as a source."""
        if end.kind is Kind.ANY:
            return not sends or atom.device or self._from_tailnet(atom)
        if end.kind is Kind.USER:
            return not atom.tags and atom.user is not None and _bare(end.text) == atom.user
        if end.kind is Kind.GROUP:
            return not atom.tags and atom.user in self._members.get(end.text, frozenset())
        if end.kind is Kind.TAG:
            return end.text in atom.tags
        if end.kind is Kind.AUTOGROUP:
            return _in_autogroup(end.text, atom)
        if end.kind is Kind.OPAQUE:
            return end.text == atom.name
        net = self.document.hosts.get(end.text) if end.kind is Kind.HOST else end.net
        return net is not None and atom.net is not None and net.covers(atom.net)

    def _is_target(self, end: Endpoint, source: Atom, destination: Atom) -> bool:
        if end.text == "autogroup:self":
            return (
                source.user is not None and source.user == destination.user and not source.tags and not destination.tags
            )
        return self.names(end, destination, False)

    def _from_tailnet(self, atom: Atom) -> bool:
        if atom.net is None:
            return False
        if any(net.covers(atom.net) for net in self._routes):
            return True
        return any(net.covers(atom.net) for net in _TAILNET) and not _NOT_TAILNET.covers(atom.net)

    def _login(self, source: Atom, destination: Atom, user: str) -> str:
        ways = {
            rule.action
            for rule in self.document.ssh
            if any(self.names(end, source, True) for end in rule.sources)
            and any(self._is_target(end, source, destination) for end in rule.targets)
            and any(_logs_in(entry, user, source) for entry in rule.users)
        }
        return "check" if "check" in ways else "accept" if ways else ""

    # the document's own tests

    def _judged(self, test: Test) -> Iterator[Failure]:
        for expected, lines in (("accept", test.accept), ("deny", test.deny)):
            sources = self._asked(test.source.text, expected)
            for line in lines:
                targets = self._asked(line.endpoint.text, expected)
                allowed = bool(sources) and all(
                    any(self._counts(one, other, test.protocols, line.port) for other in targets) for one in sources
                )
                got = "accept" if allowed else "deny"
                if not sources or not targets:
                    got = "no device"
                if got != expected:
                    yield Failure(test.path, test.source.text, line.text, expected, got)

    def _counts(self, source: Atom, destination: Atom, protocols: Optional[frozenset[int]], port: int) -> bool:
        """What a server's test calls reachable: any of the test's protocols, to any device of the destination.

        A Headscale 0.29.2 takes a rule without a protocol to be of every protocol here, and leaves out what it works out
        for each device by itself: `via`, and `autogroup:self` (hscontrol/policy/v2/test.go).
        """
        if self.document.rules is None:
            return True
        asked = grammar.DEFAULT if protocols is None else protocols
        for rule in self.document.rules:
            if rule.via or not any(self.names(end, source, True) for end in rule.sources):
                continue
            for target in rule.targets:
                if not self.names(target.endpoint, destination, False):
                    continue
                for traffic in target.traffic:
                    if traffic.protocols is not None and not traffic.protocols & asked:
                        continue
                    if _in_ports(traffic, port):
                        return True
        return False

    # atoms

    def atoms(self, text: str) -> tuple[Atom, ...]:
        """What a text of an endpoint stands for; ``grammar.Unusable`` where it is none."""
        if text not in self._known:
            self._known[text] = tuple(self._atoms(grammar.endpoint(text)))
        return self._known[text]

    def _asked(self, text: str, expected: str) -> tuple[Atom, ...]:
        """What an end of a test stands for: where nothing is known of the devices and something must be let through, each with a tag is taken to
        have all of them, as rules only add."""
        atoms = self.atoms(text)
        if self.nodes or expected == "deny":
            return atoms
        every = frozenset(tag for atom in self.tagged() for tag in atom.tags if tag != OTHER_TAG)
        return tuple(replace(atom, tags=atom.tags | every) if atom.tags else atom for atom in atoms)

    def _pairs(self, source: str, destination: str) -> Iterator[tuple[Atom, Atom]]:
        own = destination == "autogroup:self"
        return _pairs(self.atoms(source), None if own else self.atoms(destination))

    def _atoms(self, end: Endpoint) -> Iterator[Atom]:
        if end.kind is Kind.NETWORK and end.net is not None:
            yield from self._pieces((end.net,))
        elif end.kind is Kind.HOST:
            nets = [document.hosts[end.text] for document in self._documents if end.text in document.hosts]
            yield from self._pieces(nets[:1])
        elif end.kind is Kind.OPAQUE:
            yield Atom(end.text)
        elif end.text in ("autogroup:internet", "autogroup:danger-all"):
            ranges = _INTERNET if end.text == "autogroup:internet" else _EVERYWHERE
            yield from (atom for atom in self._pieces(ranges) if _in_autogroup(end.text, atom))
        else:
            found = [atom for atom in self._of_nodes() if self.names(end, atom, True)]
            yield from found or self._devices(end)
            if end.kind is Kind.ANY:
                yield from self._pieces(_EVERYWHERE)

    def _devices(self, end: Endpoint) -> Iterator[Atom]:
        """Devices that no one has seen yet: one for each identity."""
        if end.kind is Kind.USER:
            yield Atom(end.text, _bare(end.text))
        elif end.kind is Kind.TAG:
            yield Atom(end.text, None, frozenset((end.text,)))
        elif end.kind is Kind.GROUP:
            yield from (Atom(user, user) for user in sorted(self._members.get(end.text, ())))
        elif end.kind is Kind.ANY:
            yield from self.people()
            yield from self.tagged()
        elif end.text == "autogroup:tagged":
            yield from self.tagged()
        elif end.text in ("autogroup:member", "autogroup:members"):
            yield from self.people()
        elif end.text.startswith("autogroup:") and end.text != "autogroup:self":
            yield Atom(end.text, OTHER_USER, role=end.text)

    def people(self) -> list[Atom]:
        """A device of each user that the documents mention, and of one that they do not."""
        users = {
            _bare(user) for document in self._documents for members in document.groups.values() for user in members
        }
        users |= {_bare(end.text) for end in self._mentioned() if end.kind is Kind.USER}
        roles = {end.text for end in self._mentioned() if end.kind is Kind.AUTOGROUP and _is_role(end.text)}
        found = [Atom(user, user) for user in sorted(users)]
        return [*found, *(Atom(role, OTHER_USER, role=role) for role in sorted(roles)), Atom(OTHER_USER, OTHER_USER)]

    def tagged(self) -> list[Atom]:
        """A device with each tag that the documents mention, and with one that they do not."""
        tags = {tag for document in self._documents for tag in document.tag_owners}
        tags |= {end.text for end in self._mentioned() if end.kind is Kind.TAG}
        return [
            *(Atom(tag, None, frozenset((tag,))) for tag in sorted(tags)),
            Atom(OTHER_TAG, None, frozenset((OTHER_TAG,))),
        ]

    def addresses(self) -> list[Atom]:
        """The pieces of all addresses, between the edges of every range of the documents."""
        return list(self._pieces(_EVERYWHERE))

    def opaque(self) -> list[Atom]:
        """What is named by `ipset:` or `svc:`, which only the hosted server can resolve."""
        return [Atom(text) for text in sorted({end.text for end in self._mentioned() if end.kind is Kind.OPAQUE})]

    def _of_nodes(self) -> Iterator[Atom]:
        for node in self.nodes:
            user = None if node.tags else _bare(node.user or "")
            for address in node.addresses:
                yield Atom(node.name, user, frozenset(node.tags), net=_net(address))

    def _pieces(self, nets: Iterable[Net]) -> Iterator[Atom]:
        owners = {atom.net: atom for atom in self._of_nodes()}
        for net in nets:
            edges = [edge for edge in self._edges[net.version] if net.first < edge <= net.last]
            for first, after in zip([net.first, *edges], [*edges, net.last + 1]):
                piece = Net(net.version, first, after - 1)
                yield owners.get(piece, Atom(str(piece), net=piece))

    def _cuts(self) -> dict[int, list[int]]:
        nets = {*_TAILNET, _NOT_TAILNET, *_INTERNET, *_NOT_INTERNET, *self._routes}
        nets |= {net for document in self._documents for net in document.hosts.values()}
        nets |= {end.net for end in self._mentioned() if end.net is not None}
        nets |= {atom.net for atom in self._of_nodes() if atom.net is not None}
        nets |= {
            net for document in self._documents for net in map(grammar.network, document.routes) if net is not None
        }
        edges: dict[int, set[int]] = {4: set(), 6: set()}
        for net in nets:
            edges[net.version] |= {net.first, net.last + 1}
        return {version: sorted(found) for version, found in edges.items()}

    def _mentioned(self) -> Iterator[Endpoint]:
        for document in self._documents:
            for rule in document.rules or ():
                yield from rule.sources
                yield from (target.endpoint for target in rule.targets)
            for login in document.ssh:
                yield from login.sources
                yield from login.targets


def _pairs(sources: Iterable[Atom], targets: Optional[Iterable[Atom]]) -> Iterator[tuple[Atom, Atom]]:
    """Each sender with each receiver; targets: None for each one's own devices, which a device with tags has none of."""
    for one in sources:
        if targets is not None:
            yield from ((one, other) for other in targets)
        elif one.user is not None and not one.tags:
            yield one, Atom(f"{one.user}'s own", one.user)


def _bare(user: str) -> str:
    """A user's name; Headscale's users without a domain are written with an @ behind them."""
    return user[:-1] if user.endswith("@") else user


def _is_role(text: str) -> bool:
    return text not in (
        "autogroup:" + name for name in ("member", "members", "tagged", "self", "internet", "danger-all", "nonroot")
    )


def _in_autogroup(text: str, atom: Atom) -> bool:
    if text in ("autogroup:member", "autogroup:members"):
        return atom.user is not None and not atom.tags and atom.role != "autogroup:shared"
    if text == "autogroup:tagged":
        return bool(atom.tags)
    if text == "autogroup:danger-all":
        return True
    if text == "autogroup:internet":
        net = atom.net
        if net is None or atom.device:
            return False
        return any(inside.covers(net) for inside in _INTERNET) and not any(other.covers(net) for other in _NOT_INTERNET)
    return atom.role == text


def _logs_in(entry: str, user: str, source: Atom) -> bool:
    entry = entry.strip()
    if entry == "autogroup:nonroot":
        return user != "root"
    if entry.startswith("localpart:*@"):
        name, at, domain = (source.user or "").rpartition("@")
        return bool(at) and not source.tags and name == user and domain.lower() == entry[len("localpart:*@") :].lower()
    return entry == user


def _number(proto: Union[str, int]) -> int:
    if isinstance(proto, int):
        return proto
    found = grammar.protocol(proto.lower())
    if found is None:
        raise grammar.Unusable("a protocol's name or number", "name one, such as tcp", "protocol")
    return next(iter(found))


def _carries(traffic: Traffic, proto: int, port: Optional[int]) -> bool:
    if proto in grammar.ICMP:
        return True
    if proto not in (grammar.DEFAULT if traffic.protocols is None else traffic.protocols):
        return False
    if proto not in grammar.PORTED or port is None:
        return traffic.ports == grammar.EVERY_PORT
    return _in_ports(traffic, port)


def _in_ports(traffic: Traffic, port: int) -> bool:
    return any(first <= port <= last for first, last in traffic.ports)
