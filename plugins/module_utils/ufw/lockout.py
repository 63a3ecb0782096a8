# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock-out proof: whether a ruleset lets the connection in that this module came by, and its answers out.

The connection is known by SSH_CONNECTION in the environment of this process or, since sudo drops it, of the first of
its ancestors that has it. The packet engine is imported only where there is a change to prove.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, canonical
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule, describe, iptables_lines

_DEPTH = 64


class Session(NamedTuple):
    """A connection to this host: both ends, and the interface it comes in by (empty where that is not known)."""

    family: int
    client: str
    client_port: int
    server: str
    server_port: int
    interface: str

    def text(self) -> str:
        where = f" on {self.interface}" if self.interface else ""
        return f"{self.client} -> {self.server} port {self.server_port}{where}"


class Finding(NamedTuple):
    """``refused`` says which rule would cut the connection; ``doubt`` what the answer depends on; both may be empty."""

    refused: str
    doubt: str


def find_session(host: Host, process: Optional[int] = None) -> Optional[Session]:
    """The SSH connection that this process was started over, or None."""
    number = os.getpid() if process is None else process
    for _generation in range(_DEPTH):
        words = _environment(host, number).get("SSH_CONNECTION", "").split()
        if len(words) == 4:
            return _session(host, *words)
        number = _parent(host, number)
        if number < 1:
            return None
    return None


def _environment(host: Host, process: int) -> dict[str, str]:
    try:
        with open(host.path(f"/proc/{process}/environ"), "rb") as stream:
            items = stream.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in items if "=" in item)


def _parent(host: Host, process: int) -> int:
    try:
        with open(host.path(f"/proc/{process}/stat"), encoding="utf-8", errors="replace") as stream:
            # The name, in brackets, may hold anything, brackets too.
            return int(stream.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _session(host: Host, client: str, client_port: str, server: str, server_port: str) -> Optional[Session]:
    client, _percent, zone = client.replace("::ffff:", "", 1).partition("%")
    server = server.replace("::ffff:", "", 1).partition("%")[0]
    if not (client_port.isdigit() and server_port.isdigit()):
        return None
    interface = zone or _interface(host, client, server)
    return Session(6 if ":" in client else 4, client, int(client_port), server, int(server_port), interface)


def _interface(host: Host, client: str, server: str) -> str:
    """The interface of the way back, which is the way in on a host without asymmetric routes; policy routing, such as
    a tailnet's, is followed."""
    try:
        done = host.run(["ip", "-o", "route", "get", client, "from", server])
    except Exception:  # pylint: disable=broad-except  # without iproute2 every interface is tried
        return ""
    words = done.out.split()
    return words[words.index("dev") + 1] if not done.status and "dev" in words[:-1] else ""


def interfaces(host: Host) -> list[str]:
    """The names of the host's interfaces."""
    try:
        return sorted(os.listdir(host.path("/sys/class/net"))) or ["eth0"]
    except OSError:
        return ["eth0"]


def save_text(kernel: Kernel) -> str:
    """A filter table as iptables-save prints it."""
    lines = ["*filter"]
    lines += [f":{name} {kernel.policies.get(name, '-')} [0:0]" for name in kernel.chains]
    lines += [f"-A {name} {rule}" for name, rules in kernel.chains.items() for rule in rules]
    return "\n".join(lines + ["COMMIT", ""])


def prove(session: Session, candidate: Kernel, rules: list[Rule], names: list[str]) -> Finding:
    """Ask the candidate for a new connection from the same end, for its later packets, and for its answers.
    Refused only where the answer is no on every interface that it may come by."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse

    ruleset = parse(save_text(candidate), session.family)
    refused: list[str] = []
    doubts: list[str] = []
    for name in [session.interface] if session.interface else names:
        finding = _prove_on(session._replace(interface=name), ruleset, rules)
        if not finding.refused:
            return finding if not finding.doubt or not doubts else Finding("", doubts[0])
        refused.append(finding.refused)
        doubts += [finding.doubt] if finding.doubt else []
    return Finding(refused[0], "")


def _prove_on(session: Session, ruleset, rules: list[Rule]) -> Finding:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import DENIED, UNKNOWN, Question
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict

    ends = (session.client, session.server)
    ports = {"port": session.server_port, "source_port": session.client_port}
    back = {"port": session.client_port, "source_port": session.server_port}
    inward = packet(session.family, *ends, inside=session.interface, **ports)
    outward = packet(session.family, *ends[::-1], outside=session.interface, **back)
    doubt = ""
    for what, hook, state, one in (
        ("a new connection", "INPUT", "NEW", inward),
        ("the connection's packets", "INPUT", "ESTABLISHED", inward),
        ("the answers", "OUTPUT", "ESTABLISHED", outward),
    ):
        found = verdict(ruleset, one, Question(hook, state, (session.server,)))
        if found is None:
            continue
        if found.answer == DENIED:
            return Finding(f"{what} would be stopped by {_name(found.rule, rules, session.family)}", "")
        if found.answer == UNKNOWN and not found.rate_limited:
            conditions = "; ".join(condition.text for condition in found.conditions)
            doubt = doubt or f"whether {what} may pass depends on what is not modelled: {conditions}"
    return Finding("", doubt)


def _name(rule, rules: list[Rule], family: int) -> str:
    """A rule of the kernel in ufw's words where it is one of ufw's, else as iptables-save prints it."""
    chain, _space, specification = rule.text.partition("-A ")[2].partition(" ")
    if "-user-" in chain:
        form = canonical(specification)
        for one in rules:
            if any(where == chain and canonical(line) == form for where, line in iptables_lines(one, family)):
                return f"the rule `{describe(one)}`"
    if rule.text.startswith("-P ") or "-skip-to-policy-" in chain or "-reject-" in chain:
        way = (chain.rpartition("-")[2] or rule.chain).lower()
        return f"the default policy of {_POLICY.get(way, way)} packets ({rule.text})"
    return f"`{rule.text}`"


_POLICY = {"input": "incoming", "output": "outgoing", "forward": "routed"}
