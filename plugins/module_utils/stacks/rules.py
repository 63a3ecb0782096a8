# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules, each a function Fleet -> findings. What they demand and why: ``catalogue``; with examples: the docs."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from ipaddress import ip_network

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import SOCKET, zone_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import NOWHERE, SWARM, Finding
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import (
    EGRESS_LABEL,
    SOCKET_PROXY_LABEL,
    ZONES_LABEL,
    data_by,
    is_edge,
    is_proxy_image,
    is_socket_proxy,
    is_traefik,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.references import (
    docker_endpoints,
    outside_addresses,
    references,
    traefik_default_network,
)

_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")
#: Directories in which the socket lies.
_SOCKET_HOMES = ("/", "/run", "/var", "/var/run")

_ENABLE = "traefik.enable"
_DOCKER_NETWORK, _SWARM_NETWORK = "traefik.docker.network", "traefik.swarm.network"
_ROUTING = ("traefik.http.", "traefik.tcp.", "traefik.udp.")


def check(fleet):
    """Every finding of every rule about a Fleet."""
    return [finding for rule in _RULES for finding in rule(fleet)]


def _found(rule, service, place, message, fix):
    return Finding(rule, message, fix, place, service.stack, service.name)


def _and(names):
    """Names as a sentence has them."""
    names = list(names)
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


# ── Data ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _data_on_public(fleet):
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


def _data_port_published(fleet):
    for service in fleet.services:
        reason = data_by(service)
        for port in service.ports if reason else ():
            if not port.local:
                yield _found(
                    "BT002",
                    service,
                    port.place,
                    f"{service.where} keeps data (by {reason}) and publishes {port.text}",
                    "remove the port: whoever shares a network with it reaches it without",
                )


def _proxy_beside_data(fleet):
    data = [service for service in fleet.services if data_by(service)]
    for proxy in filter(is_edge, fleet.services):
        for name, place in proxy.networks.items():
            beside = sorted(service.where for service in data if name in service.networks and service is not proxy)
            # A data service on a public zone is a finding of its own.
            if beside and not fleet.is_public(name):
                yield _found(
                    "BT020",
                    proxy,
                    place,
                    f"the proxy {proxy.where} is on {zone_text(fleet, name)} together with {_and(beside)}",
                    f"take it off {name}: it needs the networks of what it publishes, not those of the data",
                )


# ── The Docker socket ─────────────────────────────────────────────────────────────────────────────────────────────


def _holds_socket(path):
    path = posixpath.normpath(path)
    return path in _SOCKET_HOMES or posixpath.basename(path) in _SOCKETS


def _docker_socket_mounted(fleet):
    for service in fleet.services:
        for mount in service.mounts:
            if _holds_socket(mount.value) and not is_socket_proxy(service):
                yield _found(
                    "BT003",
                    service,
                    mount.place,
                    f"{service.where} mounts {mount.value}, and with it the engine's socket",
                    "ask a socket proxy on the socket zone instead (DOCKER_HOST=tcp://NAME:2375); if this is one, "
                    f"label it {SOCKET_PROXY_LABEL}=true",
                )


def _socket_proxy_exposed(fleet):
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


def _docker_api_off_zone(fleet):
    for service in fleet.services:
        if is_socket_proxy(service) or any(fleet.is_socket(name) for name in service.networks):
            continue
        for endpoint in docker_endpoints(service, fleet):
            yield _found(
                "BT005",
                service,
                endpoint.place,
                f"{service.where} asks the Docker API at {endpoint.value} and is on no network of zone {SOCKET}",
                "join it to the network of the socket proxy",
            )


# ── Traefik ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _enabled(service):
    """Whether Traefik is told to publish a service; Traefik itself serves its dashboard without a network."""
    if is_traefik(service) or service.mode.value:
        return False
    enabled = service.labels.get(_ENABLE)
    if enabled:
        return enabled.value.strip().lower() in ("true", "1")
    return any(label.startswith(_ROUTING) for label in service.labels)


def _network_label(service):
    """(label, Text) of the network that Traefik is told to use, or (label to write, None)."""
    # In a Swarm, Traefik 3 reads its own spelling first and still takes the old one; elsewhere it knows only this one.
    spellings = (_SWARM_NETWORK, _DOCKER_NETWORK) if service.kind == SWARM else (_DOCKER_NETWORK,)
    for label in spellings:
        if label in service.labels:
            return label, service.labels[label]
    return _DOCKER_NETWORK, None


def _traefik_place(service):
    """The line of the label that makes Traefik publish a service."""
    first = next((text for label, text in service.labels.items() if label.startswith("traefik.")), None)
    return service.labels.get(_ENABLE, first).place


def _best_network(fleet, service):
    return next((name for name in service.networks if name in fleet.proxy_networks), next(iter(service.networks)))


def _traefik_network_missing(fleet):
    default = traefik_default_network(fleet)
    for service in filter(_enabled, fleet.services):
        label, named = _network_label(service)
        if len(service.networks) < 2 or named or default in service.networks:
            continue
        hint = f" ({_SWARM_NETWORK} counts in a Swarm only)" if _SWARM_NETWORK in service.labels else ""
        where = "deploy.labels" if service.kind == SWARM else "labels"
        yield _found(
            "BT006",
            service,
            _traefik_place(service),
            f"{service.where} is on {_and(service.networks)}, and no label says which one Traefik shall use{hint}",
            f"add {label}={_best_network(fleet, service)} to its {where}",
        )


def _traefik_network_wrong(fleet):
    for service in filter(_enabled, fleet.services):
        label, named = _network_label(service)
        if not named or named.value in service.networks or not service.networks:
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


def _off_the_proxy(fleet):
    proxies = fleet.proxy_networks
    for service in filter(_enabled, fleet.services):
        if not proxies or not service.networks:
            continue
        _label, named = _network_label(service)
        used = [named.value] if named and named.value in service.networks else list(service.networks)
        if not set(used) & set(proxies):
            yield _found(
                "BT008",
                service,
                _traefik_place(service),
                f"Traefik shall publish {service.where} over {_and(used)}, and is itself on {_and(proxies)}",
                f"join {service.name} to {proxies[0]}, or take traefik.enable away",
            )


def _traefik_labels_unread(fleet):
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


def _no_egress(fleet):
    for service in fleet.services:
        if not service.flag(EGRESS_LABEL) or not all(fleet.is_internal(name) for name in service.networks):
            continue
        if service.networks or service.mode.value == "none":
            yield _found(
                "BT010",
                service,
                service.label(EGRESS_LABEL).place or service.place,
                f"{service.where} needs to reach outside and is on internal networks only: "
                f"{_and(service.networks) or 'none'}",
                "join it to a second network that is not internal",
            )


def _egress_doubtful(fleet):
    for service in fleet.services:
        if service.flag(EGRESS_LABEL) is not None or not service.networks:
            continue
        if all(fleet.is_internal(name) for name in service.networks):
            for address in outside_addresses(service, fleet):
                yield _found(
                    "BT011",
                    service,
                    address.place,
                    f"{service.where} names {address.value} and is on internal networks only: {_and(service.networks)}",
                    f"join it to a network that is not internal and label it {EGRESS_LABEL}=true; if nothing calls "
                    f"there, label it {EGRESS_LABEL}=false",
                )


def _network_undeclared(fleet):
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
        if network.external and not fleet.knows(network.name):
            yield Finding(
                "BT012",
                f"{network.name} is external, and neither the site nor another stack declares it",
                f"declare bulkhead_networks.{network.name}, or name one of {_and(sorted(fleet.site.networks))}",
                network.place,
                network.stack,
            )


def _network_not_external(fleet):
    for network in fleet.networks:
        if not network.external and network.name in (fleet.site.networks or ()):
            yield Finding(
                "BT013",
                f"{network.name} is a network of the site, and stack {network.stack} would make it",
                "write external: true, and leave driver, ipam and options to the site",
                network.place,
                network.stack,
            )


def _default_network(fleet):
    for service in fleet.services:
        if service.implicit or service.mode.value in ("bridge", "default"):
            yield _found(
                "BT014",
                service,
                service.mode.place if service.mode.value else service.place,
                f"{service.where} names no network, and lands on {_and(service.networks) or 'the default bridge'}",
                "name the networks that it needs; network_mode: none, if it needs none",
            )


def _host_network(fleet):
    for service in fleet.services:
        if service.mode.value == "host":
            yield _found(
                "BT015",
                service,
                service.mode.place,
                f"{service.where} uses the host's network",
                "join it to the networks that it needs, and publish what must be reached from outside",
            )


def _subnet_overlap(fleet):
    owned = []
    for network in fleet.networks:
        for text in network.subnets:
            cidr, problem = _cidr(text.value)
            if problem:
                yield Finding("BT016", f"{network.name}: {problem}", "mend the subnet", text.place, network.stack)
            else:
                owned.append((cidr, (network.name, network.name, text.place, network.stack)))
    claimed = list(_claims(fleet))
    for pair in overlaps(owned + claimed):
        # What the files say comes last: it is what can be mended here.
        (other, theirs), (cidr, ours) = sorted(pair, key=lambda item: (item[1][2] is not None, item[1][2] or NOWHERE))
        if ours[2] is None or ours[1] == theirs[1]:
            continue
        if theirs[0].startswith("pool ") and (ours[2] == NOWHERE or ours[1] in (fleet.site.networks or ())):
            continue  # what runs has got its subnet from there
        yield Finding(
            "BT016",
            f"{ours[0]} has {cidr}, and {theirs[0]} {other}",
            "choose a subnet beside it",
            ours[2],
            ours[3],
        )


def _claims(fleet):
    """(network, (text, name, None, "")) of what the site declares; what it declares itself is checked elsewhere."""
    for name, network in (fleet.site.networks or {}).items():
        for subnet in network.subnets:
            cidr, problem = _cidr(subnet)
            if not problem:
                yield cidr, (f"the site's {name}", name, None, "")
    for what, subnets in fleet.site.reserved.items():
        for subnet in subnets:
            cidr, problem = _cidr(subnet)
            if not problem:
                yield cidr, (what, f"reserved {what}", None, "")


def _cidr(text):
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


def _zone_missing(fleet):
    for service in fleet.services:
        label = service.label(ZONES_LABEL)
        demanded = dict.fromkeys(label.value.replace(",", " ").split(), f"its label {ZONES_LABEL}") if label else {}
        for pattern, zones in fleet.site.demands:
            if fnmatchcase(service.name, pattern) or fnmatchcase(service.where, pattern):
                demanded.update((zone, f"the architecture ({pattern})") for zone in zones)
        has = {fleet.zone(name) for name in service.networks}
        missing = {zone: why for zone, why in demanded.items() if zone not in has}
        if missing:
            zones = "zone" if len(missing) == 1 else "zones"
            yield _found(
                "BT017",
                service,
                service.place,
                f"{service.where} is on {_and(zone_text(fleet, name) for name in service.networks) or 'no network'}; "
                f"{_and(dict.fromkeys(missing.values()))} demands {zones} {_and(missing)}",
                f"join it to a network of {zones} {_and(missing)}",
            )


def _peer_unreachable(fleet):
    for service, name, others in _talks(fleet):
        meant = [other for other in others if other.stack == service.stack or _is_shared(fleet, other)]
        if meant and not any(_common(service, other) for other in others):
            other = meant[0]
            yield _found(
                "BT018",
                service,
                name.place,
                f"{service.where} names {name.value} and shares no network with it: it is on {_and(service.networks)}, "
                f"{other.where} on {_and(other.networks)}",
                f"join {service.name} to {list(other.networks)[0]}",
            )


def _ingress_shortcut(fleet):
    for service, name, others in _talks(fleet):
        near = [other for other in others if _common(service, other)]
        for other in near[:1]:
            shared = _common(service, other)
            if not all(map(fleet.is_public, shared)) or data_by(other) or is_proxy_image(other):
                continue
            yield _found(
                "BT019",
                service,
                name.place,
                f"{service.where} talks to {other.where} over {_and(zone_text(fleet, item) for item in shared)}",
                "join both to a private network of their own",
            )


def _talks(fleet):
    """(service, name, services that it can mean) of who opens connections to whom; proxies may do so."""
    for service in fleet.services:
        if is_proxy_image(service) or not service.networks:
            continue
        for name in references(service):
            others = [
                other for other in fleet.named(name.value, service) if other.networks and not is_socket_proxy(other)
            ]
            if others:
                yield service, name, others


def _common(one, other):
    return [name for name in one.networks if name in other.networks]


def _is_shared(fleet, service):
    """Whether other stacks are meant to reach a service: it is on a network of the site."""
    return any(name in (fleet.site.networks or ()) for name in service.networks)


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
    _default_network,
    _host_network,
    _subnet_overlap,
    _zone_missing,
    _peer_unreachable,
    _ingress_shortcut,
    _proxy_beside_data,
)
