# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof over the tailnet: the same listeners and probers, at the nodes' addresses there.

On the LAN a router shows where a packet ended. In a tailnet the control server's policy ends it inside of tailscaled, on
either side, and no host sees it; so a silence counts where both ends are known to be in the tailnet and alive. A node's
preferences are held against the site as well, for they can open what no packet of today's probes shows.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Listening, Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import tailnet_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import DECLARED, LIVE, Target
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import flag, mapping, sequence, text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import FAILURES, Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    TailnetPolicy,
    identity_of,
)

#: The interface that tailscaled makes.
INTERFACE = "tailscale0"
#: The most tags and routes that a node is believed to have.
_MOST = 256


class Node(NamedTuple):
    """A host of the proof in the tailnet: its addresses there, one of each IP version at most, and who it is to the control
    server."""

    host: str
    addresses: tuple[str, ...]
    identity: Identity


class Probe(NamedTuple):
    """One judged probe over the tailnet. flow: the path of the flow that declares it, "" for none. version: of IP."""

    status: Status
    source: str
    dest: str
    proto: str
    port: int
    found: Verdict
    flow: str
    cause: str = ""
    version: int = 4

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "status": self.status.value, "found": self.found.value}


class TailnetProof(NamedTuple):
    """What was found over the tailnet. drift: {host: how its node is not as the site says}; trouble: {host: why nothing is
    proven about it}."""

    nodes: tuple[Node, ...]
    probes: tuple[Probe, ...]
    drift: Mapping[str, Sequence[str]]
    trouble: Mapping[str, str]

    @property
    def failures(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.status in FAILURES]

    @property
    def holds(self) -> bool:
        return not (self.failures or self.drift or self.trouble)

    def to_dict(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "nodes": {
                node.host: {"addresses": list(node.addresses), "tags": sorted(node.identity.tags)}
                for node in self.nodes
            },
            "probes": [probe.to_dict() for probe in self.probes],
            "drift": {host: list(lines) for host, lines in self.drift.items()},
            "missing": dict(self.trouble),
        }

    def lines(self) -> list[str]:
        """The report of this plane, a line each."""
        found = Counter(probe.status for probe in self.probes)
        wrong = sum(found[status] for status in FAILURES)
        lines = [
            f"{len(self.probes):,} probes between {len(self.nodes)} nodes: {found[Status.ALLOWED]:,} allowed as declared, "
            f"{found[Status.DENIED]:,} denied as declared, {wrong:,} not."
        ]
        lines += [
            f"{probe.source} -> {probe.dest} {probe.port}/{probe.proto}{' over IPv6' if probe.version == 6 else ''}: "
            f"{probe.status.value}: {probe.cause}"
            for probe in self.failures
        ]
        lines += [line for each in self.drift.values() for line in each]
        return [*lines, *(f"{host}: {why}" for host, why in self.trouble.items())]


# -- who is probed ---------------------------------------------------------------------------------------------------


def nodes_of(
    site: Site, members: Mapping[str, Member], said: Mapping[str, Listening]
) -> tuple[dict[str, Node], dict[str, str]]:
    """({host: its node}, {host: why it has none}) of all hosts that should be nodes.

    said: of the hosts that listen. A host says which address it has; the listener's key tells at every answer whether it
    is that host's, and an address that two of them claim is no one's.
    """
    nodes: dict[str, Node] = {}
    trouble: dict[str, str] = {}
    for name, member in members.items():
        identity = identity_of(site, member.tiers, member.gateway)
        if identity is None or name not in said:
            continue
        nets = [ipaddress.ip_network(net) for net in tailnet_networks(site, member)]
        own = [
            one.address
            for one in said[name].addresses
            if one.interface == INTERFACE and any(ipaddress.ip_address(one.address) in net for net in nets)
        ]
        if own and len({_version(address) for address in own}) == len(own):
            nodes[name] = Node(name, tuple(own), identity)
        else:
            trouble[name] = (
                f"it has {'no address' if not own else 'several addresses'} on {INTERFACE}, and should have one of each "
                "IP version"
            )
    claimed = Counter(address for node in nodes.values() for address in node.addresses)
    for name in [name for name, node in nodes.items() if any(claimed[address] > 1 for address in node.addresses)]:
        twice = next(address for address in nodes.pop(name).addresses if claimed[address] > 1)
        trouble[name] = f"another host claims its address in the tailnet, {twice}, as well"
    return nodes, trouble


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def jobs_between(
    name: str, number: int, nodes: Mapping[str, Node], targets: Mapping[str, Target], policy: TailnetPolicy
) -> list[Job]:
    """The jobs of one host over the tailnet: every port of each other node that the site or a live rule names."""
    source = nodes.get(name)
    jobs: list[Job] = []
    for dest in nodes.values() if source else ():
        if source is None or dest.host == name:
            continue
        target = targets[dest.host]
        ways = [(own, at) for own in source.addresses for at in dest.addresses if _version(own) == _version(at)]
        for proto, port in sorted(key for key, why in target.ports.items() if why in (DECLARED, LIVE)):
            flow = policy.flow_for(source.identity, dest.identity, proto, port)
            jobs += [
                Job(
                    id=f"{number}/tailnet/{len(jobs) + offset}",
                    proto=proto,
                    source=own,
                    dest=at,
                    port=port,
                    host=dest.host,
                    listening=True,
                    service=Socket(proto, at, port) in target.services,
                    again=bool(flow),
                )
                for offset, (own, at) in enumerate(ways)
            ]
    return jobs


# -- the node as it is -----------------------------------------------------------------------------------------------


class Live(NamedTuple):
    """What tailscale_node_info said of a host, parsed: the state, whether it is connected, and its options by name. uses: the exit
    node that the inventory has it use, "" for none."""

    state: str
    online: bool
    expired: bool
    tags: tuple[str, ...]
    options: Mapping[str, Any]
    uses: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "online": self.online,
            "expired": self.expired,
            "tags": list(self.tags),
            "node": dict(self.options),
            "uses": self.uses,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Live:
        """Believes no type and no length."""
        found = mapping(value, "node")
        node = mapping(found.get("node") or {}, "node")
        options: dict[str, Any] = {
            key: _texts(node, key) if key == "advertise_routes" else node.get(key) for key in _COMPARED if key in node
        }
        return cls(
            text(found, "state", 40),
            flag(found, "online"),
            flag(found, "expired"),
            _texts(found, "tags"),
            {
                key: value if isinstance(value, (bool, tuple)) else printable(value, 200)
                for key, value in options.items()
            },
            text(found, "uses", 200) if "uses" in found else "",
        )

    @property
    def is_up(self) -> bool:
        return self.state == "Running" and self.online and not self.expired


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(printable(item, 200) for item in sequence(found.get(key), key, _MOST))


#: The options of tailscale_node that the site decides.
_COMPARED = (
    "login_server",
    "netfilter_mode",
    "advertise_routes",
    "advertise_exit_node",
    "ssh",
    "accept_routes",
    "shields_up",
    "exit_node",
)


def drift_of(host: str, live: Live, plan: Mapping[str, Any]) -> list[str]:
    """How a node is not as the site says, a line each. plan: the key `tailnet` of the host's plan."""
    wanted: dict[str, Any] = {
        "netfilter_mode": "nodivert",
        "advertise_routes": tuple(sorted(plan["routes"])),
        "advertise_exit_node": plan["exit_node"],
        "ssh": plan["ssh"],
        "accept_routes": plan["accept_routes"],
        "shields_up": False,
    }
    if plan["control"]:
        wanted["login_server"] = plan["control"]
    got: dict[str, Any] = {**live.options}
    got["advertise_routes"] = tuple(sorted(got.get("advertise_routes") or ()))
    got["login_server"] = str(got.get("login_server") or "").rstrip("/")
    lines = []
    if not live.is_up:
        state = "expired" if live.expired else live.state if live.state != "Running" else "Running, and not connected"
        lines.append(
            f"{host}: state: got {state}; expected Running and connected to the control server; see docs/tailnet.md"
        )
    if sorted(live.tags) != sorted(plan["tags"]):
        lines.append(_line(host, "advertise_tags", live.tags, plan["tags"]))
    lines += [
        _line(host, key, got.get(key, False), value) for key, value in wanted.items() if got.get(key, False) != value
    ]
    used = str(got.get("exit_node") or "")
    if not _is_same_exit_node(used, live.uses):
        lines.append(_line(host, "exit_node", used or "none", live.uses or "none"))
    return lines


def _is_same_exit_node(used: str, wanted: str) -> bool:
    """Whether a node sends its traffic to the internet where it is to. tailscaled's name of the other node may be longer than the one that was
    asked for; of an address, only the control server knows whose it is."""
    if not used or not wanted or any(_is_address(name) for name in (used, wanted)):
        return bool(used) == bool(wanted)
    return used.partition(".")[0].lower() == wanted.partition(".")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _line(host: str, key: str, got: Any, expected: Any) -> str:
    shown = [
        ", ".join(map(str, value)) or "none" if isinstance(value, (tuple, list)) else str(value)
        for value in (got, expected)
    ]
    return f"{host}: {key}: got {shown[0]}; expected {shown[1]}; run site.yml, which restores it"


# -- the judge -------------------------------------------------------------------------------------------------------


class TailnetJudge:
    """Judges probes over the tailnet under the site's flows."""

    def __init__(
        self, policy: TailnetPolicy, nodes: Mapping[str, Node], hosts: Mapping[str, Host], up: Collection[str]
    ) -> None:
        """up: the hosts whose tailscaled says that they are connected."""
        self.policy, self.hosts = policy, hosts
        self.nodes = {address: node for node in nodes.values() for address in node.addresses}
        self.up = set(up)

    def judge(self, probed: Iterable[tuple[Job, Result]]) -> list[Probe]:
        known = [(job, result) for job, result in probed if job.source in self.nodes and job.dest in self.nodes]
        for job, result in known:
            if result.verdict is Verdict.ALLOWED and result.mac:
                # A listener's key has signed it: both ends are in the tailnet.
                self.up.update((self.nodes[job.source or ""].host, self.nodes[job.dest].host))
        return [self._judged(job, result) for job, result in known]

    def _judged(self, job: Job, result: Result) -> Probe:
        source, dest = self.nodes[job.source or ""], self.nodes[job.dest]
        flow = self.policy.flow_for(source.identity, dest.identity, job.proto, job.port)
        path = flow.path if flow else ""
        probe = Probe(
            Status.INCONCLUSIVE,
            source.host,
            dest.host,
            job.proto,
            job.port,
            result.verdict,
            path,
            version=_version(job.dest),
        )
        passed = self._has(self.hosts[dest.host].passed, job)
        if result.verdict is Verdict.MISDIRECTED:
            return probe._replace(status=Status.MISDIRECTED, cause=result.detail)
        if result.verdict is Verdict.ALLOWED or (passed and not flow):
            if flow:
                return probe._replace(status=Status.ALLOWED)
            cause = "no flow via tailnet allows it; run site.yml, which restores the policy and the rules, or declare a flow"
            return probe._replace(status=Status.OPEN, cause=cause)
        doubt = self._doubt(source, dest, job, result)
        if doubt:
            return probe._replace(cause=doubt)
        if not flow:
            return probe._replace(status=Status.DENIED)
        return probe._replace(status=Status.BLOCKED, cause=self._why_blocked(dest, job, passed))

    def _doubt(self, source: Node, dest: Node, job: Job, result: Result) -> str:
        """Why a silence proves nothing; "" where it does."""
        host = self.hosts[dest.host]
        if result.verdict is Verdict.INCONCLUSIVE:
            return result.detail or "the probe failed; run it again"
        if not host.running:
            return f"{dest.host}'s listener was gone before the end; run it again, with a longer prove_ttl"
        if host.lost:
            return f"{dest.host}'s listener lost {host.lost} packets, and this may be among them; run it again"
        error = host.unusable.get(Socket(job.proto, job.dest, job.port))
        if error:
            return f"no listener can answer there: {error}; see what holds that port on {dest.host}"
        if self._has(host.arrived, job):
            return ""
        away = [node.host for node in (source, dest) if node.host not in self.up]
        if away:
            return f"{' and '.join(away)} may not be in the tailnet, and then nothing is proven; see tailscale status there"
        return ""

    def _why_blocked(self, dest: Node, job: Job, passed: bool) -> str:
        if passed:
            return f"{dest.host} let it in, but its answer is lost on the way back"
        if self._has(self.hosts[dest.host].arrived, job):
            return f"it came to {dest.host}, whose firewall does not let it in from {INTERFACE}; run site.yml, which restores it"
        return f"it did not come to {dest.host}: the control server's policy lacks the flow; run site.yml, which restores it"

    @staticmethod
    def _has(heard: Mapping[tuple[str, str, str], frozenset[int]], job: Job) -> bool:
        return job.port in heard.get((job.source or "", job.dest, job.proto), ())


def prove(
    site: Site,
    nodes: Mapping[str, Node],
    trouble: Mapping[str, str],
    hosts: Mapping[str, Host],
    pairs: Sequence[tuple[Job, Result]],
    live: Mapping[str, Optional[Live]],
    plans: Mapping[str, Mapping[str, Any]],
) -> TailnetProof:
    """Judge this plane. live: of each host that should be a node, None where it did not say; plans: what the site says."""
    up = [host for host, one in live.items() if one and one.is_up]
    drift = {host: drift_of(host, one, plans[host]) for host, one in live.items() if one}
    missing = {host: "it did not say what its node is" for host, one in live.items() if one is None}
    judged = TailnetJudge(TailnetPolicy(site), nodes, hosts, up).judge(pairs)
    found = {host: lines for host, lines in drift.items() if lines}
    return TailnetProof(tuple(nodes.values()), tuple(judged), found, {**missing, **trouble})
