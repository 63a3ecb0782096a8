# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site to the policy of its control server, and to what one of its nodes is.

A policy without the key `grants` allows everything, so that it is always there. What is emitted is understood by Headscale
0.29 and by Tailscale; where they differ, `dialect` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet_rules import INTERFACE
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    NETWORK,
    TIER,
    Endpoint,
    Flow,
    Site,
    SshRule,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, Ports, merge
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import point_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    TailnetPolicy,
    identity_of,
    known_identities,
    routed,
    stands_for,
)

#: What is probed where no flow over the tailnet names a port.
_PROBE = Ports("tcp", 22, 22)
#: What an exit node leads to, and every user of a host but root.
_AUTO_INTERNET, _NONROOT = "autogroup:internet", "autogroup:nonroot"

#: A policy, as JSON has it.
Document = dict[str, Any]


# -- a node ----------------------------------------------------------------------------------------------------------


def host_tailnet(site: Site, tiers: Collection[str], gateway: bool) -> Optional[dict[str, Any]]:
    """What a host is on the tailnet; None where it is no node of it.

    {control, tags, routes, exit_node, ssh, accept_routes, port, interface}: control is "" for Tailscale's own; ssh is
    whether a rule lets Tailscale SSH in; accept_routes whether a flow leads it behind another node's route.
    """
    tailnet, identity = site.tailnet, identity_of(site, tiers, gateway)
    if tailnet is None or identity is None:
        return None
    places = tailnet.places_of(tiers, gateway)
    routes = dict.fromkeys(net for place in places for net in tailnet.routes.get(place, ()))
    return {
        "control": tailnet.control,
        "tags": list(tailnet.tags_of(tiers, gateway)),
        "routes": [str(net) for net in routes],
        "exit_node": any(tailnet.exit_nodes.get(place) for place in places),
        "ssh": any(stands_for(tailnet, end, identity) for rule in tailnet.ssh for end in rule.destinations),
        "accept_routes": any(
            stands_for(tailnet, pair.source, identity)
            and any(not any(route.holds(net) for route in routes) for net in pair.destination.nets)
            for flow in tailnet.flows
            for pair in flow.pairs
            if routed(pair.destination)
        ),
        "port": tailnet.port,
        "interface": INTERFACE,
    }


# -- the policy ------------------------------------------------------------------------------------------------------


def policy_document(
    site: Site, present: Optional[Collection[str]] = None, hosts: Iterable[tuple[Collection[str], bool]] = ()
) -> Document:
    """The policy of a site's tailnet: what has no grant is denied. Without a tailnet, everything is.

    present: the tags, groups and users that have a node by now, as "tag:web"; tests are emitted for these alone. Headscale
    calls a test wrong whose ends resolve to no address. None: all tests. hosts: (tiers, whether it is a router) of each
    host of the inventory: one in several places has the tags of all of them, and what a tag reaches is what its nodes do.
    """
    tailnet = site.tailnet
    if tailnet is None:
        return {"grants": []}
    names, asked = _Names(tailnet), _Asked(site, tailnet, present, hosts)
    document: Document = {
        "groups": {f"group:{name}": list(users) for name, users in tailnet.groups.items()},
        "tagOwners": {tag: list(owners) for tag, owners in tailnet.tag_owners.items()},
        "hosts": names.hosts(),
        "grants": [grant for flow in tailnet.flows for grant in _grants(tailnet, names, flow)],
        "autoApprovers": _approvers(tailnet),
        "ssh": [_ssh(tailnet, names, rule) for rule in tailnet.ssh],
        "tests": asked.tests(),
        "sshTests": asked.ssh_tests(),
    }
    return {key: value for key, value in document.items() if value or key == "grants"}


class _Names:
    """What a policy calls the ends of flows."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    def hosts(self) -> dict[str, str]:
        """{name: network} of the named addresses that flows lead to. One with several addresses is written out: a name has
        one network in a policy."""
        ends = dict.fromkeys(pair.destination for flow in self._tailnet.flows for pair in flow.pairs)
        return {end.name: str(end.nets[0]) for end in ends if end.kind == ADDRESS and len(end.nets) == 1}

    def of(self, end: Endpoint) -> list[str]:
        """The names of an endpoint: one for each tag of its own, or for each of its networks."""
        if end.kind in (TIER, GATEWAY):
            return list(self._tailnet.own_tags.get(end.name, ()))
        if end.kind == INTERNET:
            return [_AUTO_INTERNET]
        if end.kind == NETWORK or len(end.nets) > 1:
            return [str(net) for net in end.nets]
        return [end.name]


def _grants(tailnet: Tailnet, names: _Names, flow: Flow) -> Iterator[dict[str, Any]]:
    """A grant for each destination of a flow: their sources may differ, as those of `self` do."""
    by_destination: dict[Endpoint, list[str]] = {}
    for source, destination in flow.pairs:
        by_destination.setdefault(destination, []).extend(names.of(source))
    # Destinations with the same sources share a grant.
    shared: dict[tuple[str, ...], list[str]] = {}
    for destination, sources in by_destination.items():
        shared.setdefault(tuple(dict.fromkeys(sources)), []).extend(names.of(destination))
    for users, targets in shared.items():
        grant: dict[str, Any] = {
            "src": list(users),
            "dst": list(dict.fromkeys(targets)),
            "ip": _protocols(flow),
        }
        if flow.exit:
            grant["via"] = list(tailnet.own_tags[flow.exit])
        yield grant


def _protocols(flow: Flow) -> list[str]:
    """What a grant allows: "*" is TCP, UDP and ICMP."""
    texts = []
    for proto, ranges in merge(flow.all_ports).items():
        if proto == ANY:
            return ["*"]
        texts += [f"{proto}:{first}" if first == last else f"{proto}:{first}-{last}" for first, last in ranges]
    return texts


def _approvers(tailnet: Tailnet) -> dict[str, Any]:
    """Whose routes need no hand on the control server: those that the site declares."""
    routes: dict[str, list[str]] = {}
    for place, nets in tailnet.routes.items():
        for net in nets:
            routes.setdefault(str(net), []).extend(tailnet.own_tags[place])
    exits = [tag for place, users in tailnet.exit_nodes.items() if users for tag in tailnet.own_tags[place]]
    found = {"routes": routes, "exitNode": exits}
    return {key: value for key, value in found.items() if value}


def _ssh(tailnet: Tailnet, names: _Names, rule: SshRule) -> dict[str, Any]:
    return {
        "action": "accept",
        "src": list(dict.fromkeys(name for end in rule.sources for name in names.of(end))),
        "dst": list(dict.fromkeys(name for end in rule.destinations for name in names.of(end))),
        "users": list(rule.users),
    }


# -- its tests -------------------------------------------------------------------------------------------------------


class _End(NamedTuple):
    """One end of a test: its name there, and who or which address it is. leg: whether it is a router's own address, which
    a network that control lets through may hold, and the router's rules close."""

    name: str
    identities: tuple[Identity, ...] = ()
    address: str = ""
    leg: bool = False

    @property
    def targets(self) -> tuple[Union[Identity, str], ...]:
        return (self.address,) if self.address else self.identities

    def meets_itself(self, other: _End) -> bool:
        """Whether both are devices of one user: what `autogroup:self` allows, no test can ask."""
        return self.name == other.name and any(one.user for one in self.identities)


class _Asked:
    """What the tests of a site's policy ask."""

    def __init__(
        self,
        site: Site,
        tailnet: Tailnet,
        present: Optional[Collection[str]],
        hosts: Iterable[tuple[Collection[str], bool]],
    ) -> None:
        self._site, self._tailnet = site, tailnet
        self._policy, self._most = TailnetPolicy(site), TailnetPolicy(site, roles=True)
        self.nodes = [end for end in _nodes(site, tailnet, hosts) if present is None or end.name in present]
        self.ports = _probes(tailnet.flows)

    def tests(self) -> list[dict[str, Any]]:
        """For each source and protocol, what it must reach and what it must not: every pair, at every port of a flow."""
        destinations = [*self.nodes, *self._addresses()]
        tests = []
        for source in self.nodes:
            for proto in dict.fromkeys(port.proto for port in self.ports):
                ports = [port.first for port in self.ports if port.proto == proto]
                tests.append(self._test(source, destinations, proto, ports))
        return [test for test in tests if test]

    def _test(self, source: _End, destinations: Iterable[_End], proto: str, ports: Iterable[int]) -> dict[str, Any]:
        found: dict[str, list[str]] = {}
        for end in destinations:
            for port in () if source.meets_itself(end) else ports:
                if self._reaches(source, end, proto, port):
                    found.setdefault("accept", []).append(f"{end.name}:{port}")
                elif not end.leg and not self._may(source, end, proto, port):
                    found.setdefault("deny", []).append(f"{end.name}:{port}")
        return {"src": source.name, "proto": proto, **found} if found else {}

    def _reaches(self, source: _End, end: _End, proto: str, port: int) -> bool:
        """Whether every node of the source surely reaches some of the destination, and not by an exit node: by which node
        a packet leaves, no test can ask."""
        return all(
            any(
                flow is not None and not flow.exit
                for target in end.targets
                for flow in [self._policy.flow_for(start, target, proto, port)]
            )
            for start in source.identities
        )

    def _may(self, source: _End, end: _End, proto: str, port: int) -> bool:
        """Whether any node of the source may reach any of the destination, by whatever way."""
        return any(
            self._most.flow_for(start, target, proto, port) for start in source.identities for target in end.targets
        )

    def _addresses(self) -> Iterator[_End]:
        """One address of each network that flows lead to: a test names one host."""
        ends = dict.fromkeys(pair.destination for flow in self._tailnet.flows for pair in flow.pairs)
        for span in dict.fromkeys(span for end in ends if routed(end) for span in destination_spans(self._site, end)):
            text = point_text(span.first if span.single else span.first + 1)
            yield _End(f"[{text}]" if span.version == 6 else text, (), text, span in self._site.legs)

    def ssh_tests(self) -> list[dict[str, Any]]:
        """For each source, the nodes with tags: the users of a host that it may be there, and those that it may not."""
        rules = self._tailnet.ssh
        logins = list(dict.fromkeys(user for rule in rules for user in rule.users if user != _NONROOT))
        tests = []
        for source in self.nodes if logins else ():
            # Nodes with the same answers share a test.
            shared: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
            for target in self.nodes:
                if any(one.tags for one in target.identities):
                    surely = self._logins(source, target, logins, False)
                    maybe = self._logins(source, target, logins, True)
                    never = tuple(login for login in logins if login not in maybe)
                    shared.setdefault((tuple(surely), never), []).append(target.name)
            for answers, names in shared.items():
                lists = {key: list(items) for key, items in zip(("accept", "deny"), answers, strict=True) if items}
                tests += [{"src": source.name, "dst": names, **lists}] if lists else []
        return tests

    def _logins(self, source: _End, target: _End, logins: Iterable[str], maybe: bool) -> list[str]:
        """The users of a host that every node of the source may be at every node of the target; maybe: any, at any."""
        each = any if maybe else all
        return [
            login
            for login in logins
            if each(self._logs_in(start, end, login, maybe) for start in source.identities for end in target.identities)
        ]

    def _logs_in(self, start: Identity, end: Identity, login: str, maybe: bool) -> bool:
        return any(
            (login in rule.users or (login != "root" and _NONROOT in rule.users))
            and any(stands_for(self._tailnet, one, start, maybe) for one in rule.sources)
            and any(stands_for(self._tailnet, one, end) for one in rule.destinations)
            for rule in self._tailnet.ssh
        )


def _nodes(site: Site, tailnet: Tailnet, hosts: Iterable[tuple[Collection[str], bool]]) -> Iterator[_End]:
    """The nodes that a test can be about. A place goes by a tag that only it has, and is all hosts that are in it."""
    known = {one for tiers, gateway in hosts for one in [identity_of(site, tiers, gateway)] if one}
    names = {frozenset(tags): tailnet.own_tags[place][0] for place, tags in tailnet.tags.items()}
    for identity in known_identities(tailnet):
        name = identity.user or names.get(identity.tags) or str(identity)
        having = tuple(sorted((one for one in known if name in one.tags), key=str))
        yield _End(name, having or (identity,))


def _probes(flows: Iterable[Flow]) -> list[Ports]:
    """The first and the last port of each range that a flow names, each as a range of one."""
    found = dict.fromkeys(
        Ports(ports.proto, number, number)
        for flow in flows
        for ports in flow.all_ports
        if ports.proto != ANY
        for number in (ports.first, ports.last)
    )
    return sorted(found) or [_PROBE]
