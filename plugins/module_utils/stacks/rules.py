# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules, each a function Fleet -> findings. What they demand and why: ``catalogue``; with examples: the docs."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import (
    DOCKER_NETWORK,
    ENABLE,
    SOCKET,
    SWARM_NETWORK,
    Fleet,
    is_published,
    zone_text,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import (
    COMPOSE,
    NOWHERE,
    SWARM,
    Finding,
    Mount,
    Place,
    Service,
    Stack,
    Text,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import (
    EGRESS_LABEL,
    SOCKET_PROXY_LABEL,
    ZONES_LABEL,
    data_by,
    data_ports,
    is_edge,
    is_proxy_image,
    is_socket_proxy,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.references import (
    docker_endpoints,
    outside_addresses,
    references,
    traefik_default,
)

#: The names of engines' sockets; the last one is Windows' pipe.
_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "docker.sock.raw", "docker_engine")
#: Directories in which the socket lies.
_SOCKET_HOMES = ("/", "/run", "/var", "/var/run", "/run/podman", "/run/containerd", "/var/run/podman")

#: Names that a message lists.
_MOST_NAMES = 10
#: Names of other services that are looked at, of one service.
_MOST_REFERENCES = 1_000
#: Overlaps that are looked at: a thousand networks of one subnet overlap in half a million ways.
_MOST_OVERLAPS = 1_000

_Net = Union[IPv4Network, IPv6Network]

#: What has a subnet: a network of a stack or of the engine, one of the site, a reserved one, a pool.
_NETWORK, _SITE, _RESERVED, _POOL = "network", "site", "reserved", "pool"


class _Claim(NamedTuple):
    """What has a subnet; text is what a message calls it."""

    kind: str
    name: str
    text: str
    place: Place = NOWHERE
    stack: str = ""


def check(fleet: Fleet) -> list[Finding]:
    """Every finding of every rule about a Fleet."""
    return [finding for rule in _RULES for finding in rule(fleet)]


def _found(rule: str, service: Service, place: Place, message: str, fix: str) -> Finding:
    return Finding(rule, message, fix, place, service.stack, service.name)


def _and(items: Iterable[str]) -> str:
    """Names as a sentence has them."""
    names = list(items)
    if len(names) > _MOST_NAMES:
        names = [*names[:_MOST_NAMES], f"{len(names) - _MOST_NAMES} more"]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


# ── Data ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _data_on_public(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        reason = data_by(service)
        for name, place in service.networks.items() if reason else ():
            if fleet.is_public(name):
                yield _found(
                    "BT001",
                    service,
                    place,
                    f"{service.where} keeps data (by {reason}) and is on {zone_text(fleet, name)}",
                    "leave it on a private network alone, and put what needs it there too",
                )


def _data_port_published(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        reason = data_by(service)
        if reason and service.mode.value == "host":
            yield _found(
                "BT002",
                service,
                service.mode.place,
                f"{service.where} keeps data (by {reason}) and uses the host's network: all its ports are the host's",
                "join it to a private network, and put what needs it there too",
            )
        for port in data_ports(service) if reason else ():
            if not port.local:
                yield _found(
                    "BT002",
                    service,
                    port.place,
                    f"{service.where} keeps data (by {reason}) and publishes {port.text}",
                    "remove the port: what shares a network with it reaches it without",
                )


def _proxy_beside_data(fleet: Fleet) -> Iterator[Finding]:
    for proxy in filter(is_edge, fleet.services):
        for name, place in proxy.networks.items():
            # A data service on a public zone is a finding of its own.
            if fleet.is_public(name):
                continue
            beside = [service.where for service in fleet.data[name] if service is not proxy]
            if beside:
                yield _found(
                    "BT020",
                    proxy,
                    place,
                    f"the proxy {proxy.where} is on {zone_text(fleet, name)} together with {_and(beside)}",
                    f"take it off {name}: it needs the networks of what it publishes, not those of the data",
                )


# ── The Docker socket ─────────────────────────────────────────────────────────────────────────────────────────────


def _holds_socket(mount: Mount) -> bool:
    """Whether a mount brings the engine's socket along; one by a variable without a value by where it goes."""
    if mount.unset and posixpath.basename(mount.target) in _SOCKETS:
        return True
    path = posixpath.normpath(mount.value.replace("\\", "/"))
    # Two slashes at the beginning stay with normpath.
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path
    return posixpath.basename(path) in _SOCKETS or (path in _SOCKET_HOMES and not mount.unset)


def _docker_socket_mounted(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        for mount in service.mounts:
            if _holds_socket(mount) and not is_socket_proxy(service):
                yield _found(
                    "BT003",
                    service,
                    mount.place,
                    f"{service.where} mounts {mount.target if mount.unset else mount.value}, and with it the engine's socket",
                    "ask a socket proxy on the socket zone instead (DOCKER_HOST=tcp://NAME:2375); if this is one, "
                    f"label it {SOCKET_PROXY_LABEL}=true",
                )


def _socket_proxy_exposed(fleet: Fleet) -> Iterator[Finding]:
    for service in filter(is_socket_proxy, fleet.services):
        for name, place in service.networks.items():
            if not fleet.is_socket(name):
                yield _found(
                    "BT004",
                    service,
                    place,
                    f"the socket proxy {service.where} is on {zone_text(fleet, name)}",
                    f"leave it on networks of zone {SOCKET} alone; where this is one, label it bulkhead.zone={SOCKET}",
                )
        for port in service.ports:
            yield _found(
                "BT004",
                service,
                port.place,
                f"the socket proxy {service.where} publishes {port.text}",
                "remove the port: its clients share the socket zone with it",
            )


def _joined(service: Service) -> list[str]:
    """The networks that a service joins, those that its file does not declare among them."""
    return [*service.networks, *(key.value for key in service.undeclared)]


def _docker_api_off_zone(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        if is_socket_proxy(service) or any(fleet.is_socket(name) for name in _joined(service)):
            continue
        if service.mode.value and not service.networks:
            continue
        for endpoint in docker_endpoints(service, fleet):
            yield _found(
                "BT005",
                service,
                endpoint.place,
                f"{service.where} asks the Docker API over TCP (by {endpoint.value}) and is on no network of zone {SOCKET}",
                "join it to the network of the socket proxy",
            )


# ── Traefik ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _network_label(service: Service) -> tuple[str, Optional[Text]]:
    """(label, Text) of the network that Traefik is told to use, or (label to write, None)."""
    # In a Swarm, Traefik 3 reads its own spelling first and still takes the old one; elsewhere it knows only this one.
    spellings = (SWARM_NETWORK, DOCKER_NETWORK) if service.kind == SWARM else (DOCKER_NETWORK,)
    for label in spellings:
        if label in service.labels:
            return label, service.labels[label]
    return DOCKER_NETWORK, None


def _traefik_place(service: Service) -> Place:
    """The line of the label that makes Traefik publish a service."""
    labels = [text for label, text in service.labels.items() if label.startswith("traefik.")]
    return service.labels.get(ENABLE, labels[0]).place


def _best_network(fleet: Fleet, service: Service) -> str:
    return next((name for name in service.networks if name in fleet.proxy_networks), next(iter(service.networks)))


def _traefik_network_missing(fleet: Fleet) -> Iterator[Finding]:
    default = traefik_default(fleet)
    for service in filter(is_published, fleet.services):
        label, named = _network_label(service)
        if len(service.networks) < 2 or named or default.unknown or default.network in service.networks:
            continue
        hint = f" ({SWARM_NETWORK} counts in a Swarm only)" if SWARM_NETWORK in service.labels else ""
        where = "deploy.labels" if service.kind == SWARM else "labels"
        yield _found(
            "BT006",
            service,
            _traefik_place(service),
            f"{service.where} is on {_and(service.networks)}, and no label says which one Traefik shall use{hint}",
            f"add {label}={_best_network(fleet, service)} to its {where}",
        )


def _traefik_network_wrong(fleet: Fleet) -> Iterator[Finding]:
    for service in filter(is_published, fleet.services):
        label, named = _network_label(service)
        if not named or named.unset or named.value in service.networks or not service.networks:
            continue
        close = [name for name in service.networks if name.endswith(f"_{named.value}")]
        hint = f"; its real name is {close[0]}" if close else ""
        yield _found(
            "BT007",
            service,
            named.place,
            f"{label} of {service.where} names {named.value or 'nothing'}, and the service is on "
            f"{_and(service.networks)}{hint}",
            f"write {label}={close[0] if close else _best_network(fleet, service)}",
        )


def _off_the_proxy(fleet: Fleet) -> Iterator[Finding]:
    proxies = fleet.proxy_networks
    for service in filter(is_published, fleet.services):
        if not proxies or not service.networks:
            continue
        _label, named = _network_label(service)
        if named and named.unset:
            continue
        used = [named.value] if named and named.value in service.networks else list(service.networks)
        if not set(used) & set(proxies):
            yield _found(
                "BT008",
                service,
                _traefik_place(service),
                f"Traefik shall publish {service.where} over {_and(used)}, and is itself on {_and(proxies)}",
                f"join {service.name} to {proxies[0]}, or take traefik.enable away",
            )


def _traefik_labels_unread(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        unread = [text for label, text in service.unread_labels.items() if label.startswith("traefik.")]
        if unread and not any(label.startswith("traefik.") for label in service.labels):
            here, there = ("labels", "deploy.labels") if service.kind == SWARM else ("deploy.labels", "labels")
            yield _found(
                "BT009",
                service,
                unread[0].place,
                f"Traefik's labels of {service.where} stand under {here}, where it does not read them",
                f"move them to {there}",
            )


# ── Networks ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_egress(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        if not service.flag(EGRESS_LABEL) or not all(fleet.is_internal(name) for name in service.networks):
            continue
        if service.networks or service.mode.value == "none":
            yield _found(
                "BT010",
                service,
                (service.label(EGRESS_LABEL) or Text("", service.place)).place,
                f"{service.where} needs to reach outside and is on internal networks only: "
                f"{_and(service.networks) or 'none'}",
                "join it to a second network that is not internal",
            )


def _egress_doubtful(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        if service.flag(EGRESS_LABEL) is not None or not service.networks:
            continue
        if all(fleet.is_internal(name) for name in service.networks):
            for address in outside_addresses(service, fleet):
                yield _found(
                    "BT011",
                    service,
                    address.place,
                    f"{service.where} names an outside address in {address.value} and is on internal networks only: "
                    f"{_and(service.networks)}",
                    f"join it to a network that is not internal and label it {EGRESS_LABEL}=true; if nothing calls "
                    f"there, label it {EGRESS_LABEL}=false",
                )


def _network_undeclared(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        for key in service.undeclared:
            yield _found(
                "BT012",
                service,
                key.place,
                f"{service.where} joins {key.value}, which its file does not declare",
                f"declare {key.value} under networks, as external where the site or another stack makes it",
            )
    if fleet.site.networks is None:
        return
    for network in fleet.networks:
        if network.external and not network.unsure and not fleet.knows(network.name):
            yield Finding(
                "BT012",
                f"{network.name} is external, and neither the site nor another stack declares it",
                f"declare bulkhead_networks.{network.name}, or name one of {_and(sorted(fleet.site.networks))}",
                network.place,
                network.stack,
            )


def _network_wrong_kind(fleet: Fleet) -> Iterator[Finding]:
    for stack in fleet.stacks:
        used = {name for service in stack.services for name in service.networks}
        for network in stack.networks.values():
            # What runs has come up.
            if network.name not in used or network.unsure or network.place == NOWHERE:
                continue
            problem, fix = _wrong_kind(fleet, stack, network.name)
            if problem:
                yield Finding("BT028", f"{network.name} is {problem}", fix, network.place, stack.name)


def _wrong_kind(fleet: Fleet, stack: Stack, name: str) -> tuple[str, str]:
    """(why a stack cannot join a network, what to do), ("", "") where it can."""
    driver, attachable = fleet.kind(name)
    declared = fleet.declared(name)
    if stack.kind == SWARM and driver not in ("", "overlay"):
        return f"a {driver} of one host, and {stack.name} is a Swarm stack", "give it an overlay network"
    if stack.kind == COMPOSE and driver == "overlay" and not attachable:
        return f"an overlay that is not attachable, and {stack.name} is a Compose stack", "make it attachable: true"
    # An overlay is wherever the Swarm is.
    missing = (
        sorted(set(stack.tiers) - set(declared.tiers)) if declared and declared.tiers and driver != "overlay" else []
    )
    if missing:
        return f"on no host of {_and(missing)}, where {stack.name} runs", "add the tier to `on` of the network"
    return "", ""


def _network_not_external(fleet: Fleet) -> Iterator[Finding]:
    for network in fleet.networks:
        if not network.external and not network.unsure and network.name in (fleet.site.networks or ()):
            yield Finding(
                "BT013",
                f"{network.name} is a network of the site, and stack {network.stack} would make it",
                "write external: true, and leave driver, ipam and options to the site",
                network.place,
                network.stack,
            )


def _default_network(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        if service.implicit or service.mode.value in ("bridge", "default"):
            yield _found(
                "BT014",
                service,
                service.mode.place if service.mode.value else service.place,
                f"{service.where} names no network, and lands on {_and(service.networks) or 'the default bridge'}",
                "name the networks that it needs; network_mode: none, if it needs none",
            )


def _host_network(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        if service.mode.value == "host":
            yield _found(
                "BT015",
                service,
                service.mode.place,
                f"{service.where} uses the host's network",
                "join it to the networks that it needs, and publish what must be reached from outside",
            )


def _subnet_overlap(fleet: Fleet) -> Iterator[Finding]:
    owned: list[tuple[_Net, _Claim]] = []
    for network in fleet.networks:
        for text in network.subnets:
            cidr, problem = _cidr(text.value)
            if cidr is None:
                yield Finding("BT016", f"{network.name}: {problem}", "correct the subnet", text.place, network.stack)
            else:
                owned.append((cidr, _Claim(_NETWORK, network.name, network.name, text.place, network.stack)))
    for pair in islice(overlaps(owned + list(_claims(fleet))), _MOST_OVERLAPS):
        # What the files say comes last: it is what can be changed here.
        (other, theirs), (cidr, ours) = sorted(pair, key=lambda item: (item[1].kind == _NETWORK, item[1].place))
        if ours.kind != _NETWORK or (theirs.kind in (_NETWORK, _SITE) and theirs.name == ours.name):
            continue
        if theirs.kind == _POOL and (ours.place == NOWHERE or ours.name in (fleet.site.networks or ())):
            continue  # what runs has got its subnet from there
        message = f"{ours.text} has {cidr}, and {theirs.text} {other}"
        yield Finding("BT016", message, "choose a subnet that overlaps neither", ours.place, ours.stack)


def _claims(fleet: Fleet) -> Iterator[tuple[_Net, _Claim]]:
    """The subnets that the site declares; whether they overlap each other is checked there."""
    said = [
        (_SITE, name, f"the site's {name}", network.subnets) for name, network in (fleet.site.networks or {}).items()
    ]
    said += [(_RESERVED, what, what, subnets) for what, subnets in fleet.site.reserved.items()]
    said += [(_POOL, name, f"pool {name}", subnets) for name, subnets in fleet.site.pools.items()]
    for kind, name, text, subnets in said:
        for subnet in subnets:
            cidr, _problem = _cidr(subnet)
            if cidr is not None:
                yield cidr, _Claim(kind, name, text)


def _cidr(text: str) -> tuple[Optional[_Net], str]:
    """(network, "") or (None, what is wrong)."""
    try:
        return ip_network(text), ""
    except ValueError:
        pass
    try:
        return None, f"{text} has host bits; the network is {ip_network(text, strict=False)}"
    except ValueError:
        return None, f"{text or 'nothing'} is no network in CIDR notation"


# ── Who reaches whom ──────────────────────────────────────────────────────────────────────────────────────────────


def _zone_missing(fleet: Fleet) -> Iterator[Finding]:
    for service in fleet.services:
        label = service.label(ZONES_LABEL)
        demanded = dict.fromkeys(label.value.replace(",", " ").split(), f"its label {ZONES_LABEL}") if label else {}
        for pattern, zones in fleet.site.demands:
            if fnmatchcase(service.name, pattern) or fnmatchcase(service.where, pattern):
                demanded.update((zone, f"the architecture ({pattern})") for zone in zones)
        has = {fleet.zone(name) for name in service.networks}
        missing = {zone: why for zone, why in demanded.items() if zone not in has}
        if missing:
            absent = f"{'zone' if len(missing) == 1 else 'zones'} {_and(missing)}"
            yield _found(
                "BT017",
                service,
                service.place,
                f"{service.where} is on {_and(zone_text(fleet, name) for name in service.networks) or 'no network'}; "
                f"{_and(dict.fromkeys(missing.values()))} demands {absent}",
                f"join it to a network of {absent}",
            )


def _peer_unreachable(fleet: Fleet) -> Iterator[Finding]:
    for service, name, near, far in _talks(fleet):
        if near is None and far is not None:
            yield _found(
                "BT018",
                service,
                name.place,
                f"{service.where} names {name.value} and shares no network with it: it is on {_and(service.networks)}, "
                f"{far.where} on {_and(far.networks)}",
                f"join {service.name} to {min(far.networks)}",
            )


def _ingress_shortcut(fleet: Fleet) -> Iterator[Finding]:
    for service, name, near, _far in _talks(fleet):
        if near is None or data_by(near) or is_proxy_image(near):
            continue
        shared = [network for network in service.networks if network in near.networks]
        if all(map(fleet.is_public, shared)):
            yield _found(
                "BT019",
                service,
                name.place,
                f"{service.where} talks to {near.where} over {_and(zone_text(fleet, item) for item in shared)}",
                "join both to a private network of their own",
            )


def _talks(fleet: Fleet) -> Iterator[tuple[Service, Text, Optional[Service], Optional[Service]]]:
    """(service, name, who that is on a shared network, who it is anywhere) of who opens connections to whom.

    Proxies may do so. What only has to be started before is not talked to, but for data services: one waits for those.
    """
    for service in fleet.services:
        if is_proxy_image(service) or not service.networks:
            continue
        named = references(service)[:_MOST_REFERENCES]
        known = {name.value for name in named}
        awaited = [name for name in service.awaits if name.value not in known][:_MOST_REFERENCES]
        for name in [*named, *awaited]:
            near, far = fleet.near(name.value, service), fleet.far(name.value, service)
            other = near or far
            if other is not None and (name.value in known or data_by(other)):
                yield service, name, near, far


_RULES = (
    _data_on_public,
    _data_port_published,
    _docker_socket_mounted,
    _socket_proxy_exposed,
    _docker_api_off_zone,
    _traefik_network_missing,
    _traefik_network_wrong,
    _off_the_proxy,
    _traefik_labels_unread,
    _no_egress,
    _egress_doubtful,
    _network_undeclared,
    _network_not_external,
    _network_wrong_kind,
    _default_network,
    _host_network,
    _subnet_overlap,
    _zone_missing,
    _peer_unreachable,
    _ingress_shortcut,
    _proxy_beside_data,
)
