# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change does to the connection that its task came by.

Three answers. ENDS: no new connection would come through by the same way. RISKS: whether one does is decided elsewhere
(by the control server, by its policy for Tailscale SSH). MAY: it should live; what is known of it does not say so for sure.
The first two are refused unless they are accepted; the last two are confirmed over a new connection, or taken back.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Ask, Session, find_session
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import JOIN, Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import EXIT_NODE, ROUTES, UP
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import Status

ENDS, RISKS, MAY = "ends", "risks", "may"
#: The interface that tailscaled makes, unless it is told otherwise.
INTERFACE = "tailscale0"
#: Addresses of every tailnet; a node has one of each.
_TAILNET = tuple(ipaddress.ip_network(text) for text in ("100.64.0.0/10", "fd7a:115c:a1e0::/48"))
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Cut(NamedTuple):
    """One thing of a change. option: the one that asks for it. what: what becomes of the connection, a clause."""

    answer: str
    option: str
    what: str


class Way(NamedTuple):
    """How the connection comes: over the tailnet, or beside it. ``near``: the client is on a network of the host's."""

    session: Session
    tailnet: bool
    near: bool


def find_way(status: Status, ask: Ask, root: str = "") -> Optional[Way]:
    """The way of the connection that this process was started over; of an SSH session over the tailnet where that is not
    known (a task that runs on the host itself); None where there is neither."""
    session = find_session(ask, root) or _ssh_over_the_tailnet(status, root)
    if session is None:
        return None
    tailnet = session.interface == INTERFACE or session.server in status.ips
    if not session.interface and not tailnet:
        tailnet = _is_of_a_tailnet(session.client) and _is_of_a_tailnet(session.server)
    return Way(session, tailnet, not tailnet and _is_near(session, ask))


def cuts(plan: Plan, way: Way) -> list[Cut]:
    """What of a plan touches the way, the worst first."""
    found = [*_of_the_node(plan, way), *_of_options(plan, way)]
    return sorted(found, key=lambda cut: (ENDS, RISKS, MAY).index(cut.answer))


def refusals(found: Iterable[Cut], way: Way) -> list[Mistake]:
    """The mistakes of a change that is not accepted."""
    return [
        Mistake(
            cut.option,
            f"a change that {cut.what}",
            f"one that the connection of this task outlives ({way.session.text()}"
            f"{', over the tailnet' if way.tailnet else ''})",
            "run it over another way (another address of the host, its console), or say accept_cut: true",
            "cut",
        )
        for cut in found
        if cut.answer in (ENDS, RISKS)
    ]


def _of_the_node(plan: Plan, way: Way) -> list[Cut]:
    if not way.tailnet:
        # A node that joins brings rules of the firewall and routes with it.
        return [Cut(MAY, "state", "brings the node up")] if plan.login or UP in plan.changed else []
    if plan.logout:
        return [Cut(ENDS, "state", "logs the node out of the tailnet")]
    if UP in plan.changed and not plan.after[UP]:
        return [Cut(ENDS, "state", "takes the node down")]
    if plan.login and plan.login != JOIN:
        return [Cut(RISKS, "auth_key", "logs the node in anew, which may give it another address")]
    return []


def _of_options(plan: Plan, way: Way) -> list[Cut]:
    changed, after = set(plan.changed), plan.after
    found = [cut for option in plan.changed for cut in [_OVER[way.tailnet].get(option)] if cut]
    if EXIT_NODE in changed or plan.later or "exit_node_allow_lan_access" in changed:
        found += _exit_node(plan, way)
    if "shields_up" in changed and way.tailnet:
        found.append(
            Cut(ENDS, "shields_up", "blocks all that comes in over the tailnet")
            if after["shields_up"]
            else Cut(MAY, "shields_up", "lets in what comes over the tailnet")
        )
    if (
        "accept_routes" in changed
        and way.tailnet
        and not after["accept_routes"]
        and not _is_of_a_tailnet(way.session.client)
    ):
        found.append(Cut(ENDS, "accept_routes", "takes away the route back, which leads over another node's subnet"))
    if ROUTES in changed and way.tailnet:
        lost = set(plan.before[ROUTES]) - set(after[ROUTES])
        if _is_in(way.session.server, lost):
            found.append(Cut(ENDS, ROUTES, "takes away the route that the connection comes by"))
    return found


#: By whether the connection comes over the tailnet: what a change of an option does to it, whatever its value.
_OVER: Mapping[bool, Mapping[str, Cut]] = {
    True: {
        "advertise_tags": Cut(
            RISKS, "advertise_tags", "has control check the node anew, which may log it out and gives it other rights"
        ),
        "ssh": Cut(RISKS, "ssh", "hands the tailnet's port 22 to another SSH server"),
        "netfilter_mode": Cut(MAY, "netfilter_mode", "changes what the host's firewall lets in from the tailnet"),
        "accept_routes": Cut(MAY, "accept_routes", "changes the host's routes"),
        "hostname": Cut(MAY, "hostname", "changes the name that the node has in the tailnet"),
    },
    False: {
        "accept_routes": Cut(MAY, "accept_routes", "changes the host's routes"),
        "netfilter_mode": Cut(MAY, "netfilter_mode", "changes the host's firewall"),
    },
}


def _exit_node(plan: Plan, way: Way) -> list[Cut]:
    used = plan.after[EXIT_NODE] or plan.later
    if way.tailnet or not used:
        # What goes to a peer has a route of its own, which an exit node's is no match for.
        return [Cut(MAY, EXIT_NODE, "changes the way of all that goes to the internet")]
    if way.near and plan.after["exit_node_allow_lan_access"]:
        return [Cut(MAY, EXIT_NODE, "changes the way of all but what goes to the host's own networks")]
    return [Cut(ENDS, EXIT_NODE, "sends the answers to this connection to the exit node")]


# -- addresses -------------------------------------------------------------------------------------------------------


def _address(text: str) -> Optional[_Address]:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_in(text: str, networks: Iterable[str]) -> bool:
    address = _address(text)
    return address is not None and any(address in ipaddress.ip_network(network) for network in networks)


def _is_of_a_tailnet(text: str) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in _TAILNET)


def _is_near(session: Session, ask: Ask) -> bool:
    """Whether the client is on one of the host's own networks: its route has no next hop."""
    try:
        status, out = ask(["ip", "-o", "route", "get", session.client])
    except Exception:  # pylint: disable=broad-except  # without iproute2 nothing is known
        return False
    return not status and bool(out.strip()) and " via " not in out


# -- without a connection of the task's own --------------------------------------------------------------------------

#: /proc/net/tcp: the number of an established connection.
_ESTABLISHED = "01"


def _ssh_over_the_tailnet(status: Status, root: str) -> Optional[Session]:
    """An established connection of the host's SSH server to one of the node's addresses."""
    open_ones: dict[str, Session] = {}
    for family, name in ((4, "tcp"), (6, "tcp6")):
        for words in _rows(f"{root}/proc/net/{name}"):
            if len(words) > 9 and words[3] == _ESTABLISHED:
                server, client = _end(words[1]), _end(words[2])
                if server[0] in status.ips:
                    open_ones[words[9]] = Session(4 if "." in server[0] else family, *client, *server, "")
    if not open_ones:
        return None
    for socket in _sockets_of("sshd", root):
        if socket in open_ones:
            return open_ones[socket]
    return None


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as stream:
            return [line.split() for line in stream][1:]
    except OSError:
        return []


def _end(text: str) -> tuple[str, int]:
    """`0100007F:0016` -> ("127.0.0.1", 22): each four bytes are a number of the machine's byte order."""
    digits, _colon, port = text.partition(":")
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def _sockets_of(name: str, root: str) -> Iterable[str]:
    """The numbers of the sockets of all processes of a name."""
    for process in os.listdir(f"{root}/proc"):
        folder = f"{root}/proc/{process}"
        if not process.isdigit() or not _is_called(folder, name):
            continue
        try:
            handles = os.listdir(f"{folder}/fd")
        except OSError:
            continue
        for handle in handles:
            try:
                target = os.readlink(f"{folder}/fd/{handle}")
            except OSError:
                continue
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]


def _is_called(folder: str, name: str) -> bool:
    try:
        with open(f"{folder}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().startswith(name)
    except OSError:
        return False


def as_options(found: Iterable[Cut]) -> list[dict[str, Any]]:
    """For a result."""
    return [{"option": cut.option, "effect": cut.answer, "what": cut.what} for cut in found]
