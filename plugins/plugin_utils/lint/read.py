# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the merged tree of a stack's files to its services and networks.

A value of a wrong shape counts as absent: schema.py says that it is one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import (
    COMPOSE,
    ENGINE_NETWORKS,
    SWARM,
    ZONE_LABEL,
    Mount,
    Network,
    Place,
    Published,
    Service,
    Stack,
    Text,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.merge import Tree
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import Node

#: Network modes that lend a service the networks of another one.
_BORROWED = "service:"
#: Where use_api_socket mounts the engine's socket.
_API_SOCKET = "/var/run/docker.sock"
#: Services that lend each other networks or volumes.
_MOST_LENDERS = 100
#: Ports of a range that are looked at one by one.
_MOST_PORTS = 100
_PORT = re.compile(r"[0-9]{1,5}")
#: What Compose leaves out of a project's name.
_NO_NAME = re.compile(r"[^a-z0-9_-]")


def read_stack(name: str, kind: str, tree: Tree, tiers: tuple[str, ...] = ()) -> Stack:
    """The Stack of a merged Tree. name: the project's, unless a Compose file names itself; tiers: where it runs."""
    root = tree.root
    if kind == COMPOSE:
        name = _project(root.text("name")) or name
    networks = _read_networks(root, name)
    volumes = _read_volumes(root)
    # What a provider runs is no container.
    members = [member for member in root.members("services") if member[1].get("provider") is None]
    services = {key: _read_service(name, kind, key, node, place, networks, volumes) for key, node, place in members}
    nodes = {key: node for key, node, _place in members}
    services = {key: _with_volumes_from(service, services, nodes) for key, service in services.items()}
    lent = [_lent(service, services) for service in services.values()]
    used = {network for service in lent for network in service.networks}
    found = {
        network.name: network
        for key, network in networks.items()
        if network.name not in ENGINE_NETWORKS and (key != "default" or network.name in used)
    }
    return Stack(name, kind, tuple(lent), found, tiers)


def _project(name: str) -> str:
    """A project's name as Compose makes it of `name`."""
    return _NO_NAME.sub("", name.lower()).lstrip("_-")


def _read_networks(root: Node, stack: str) -> dict[str, Network]:
    """{key: Network}, the default one that every stack has among them."""
    networks = {key: _read_network(stack, key, node, place) for key, node, place in root.members("networks")}
    networks.setdefault("default", Network(f"{stack}_default", stack, root.place, internal=False, implicit=True))
    return networks


def _read_network(stack: str, key: str, node: Node, place: Place) -> Network:
    outside = node.get("external")
    # The old spelling is external: {name: X}.
    external = node.flag("external") is True or (outside is not None and isinstance(outside.value, dict))
    named = node.placed("name")
    if not named.value and not named.unset and outside is not None:
        named = outside.placed("name")
    labels = _texts(node, "labels")
    ipam = node.get("ipam")
    pools = ipam.get("config") if ipam is not None else None
    subnets = [
        pool.placed("subnet")
        for pool in (pools.value if pools is not None and isinstance(pools.value, list) else ())
        if pool.get("subnet") is not None
    ]
    return Network(
        name=named.value or (key if external else f"{stack}_{key}"),
        stack=stack,
        place=place,
        external=external,
        # Whether a network that this stack does not make is internal, its file cannot say.
        internal=None if external else bool(node.flag("internal")),
        zone=labels[ZONE_LABEL].value if ZONE_LABEL in labels else "",
        subnets=() if external else tuple(text for text in subnets if not text.unset),
        unsure=named.unset,
        driver=node.text("driver"),
        attachable=bool(node.flag("attachable")),
    )


def _texts(node: Node, key: str) -> dict[str, Text]:
    """{name: Text} of a mapping of texts, such as labels and the environment."""
    return {
        name: Text(item.string, place, item.unset)
        for name, item, place in node.members(key)
        if not isinstance(item.value, (dict, list))
    }


def _read_volumes(root: Node) -> dict[str, str]:
    """{volume: path on the host} of the named volumes that are bind mounts in disguise."""
    found = {}
    for name, node, _place in root.members("volumes"):
        options = node.get("driver_opts")
        device = options.text("device") if options is not None else ""
        if device.startswith("/"):
            found[name] = device
    return found


def _read_service(
    stack: str,
    kind: str,
    name: str,
    node: Node,
    place: Place,
    networks: Mapping[str, Network],
    volumes: Mapping[str, str],
) -> Service:
    deploy = node.get("deploy")
    own, deployed = _texts(node, "labels"), _texts(deploy, "labels") if deploy is not None else {}
    # The Swarm ignores network_mode, the address of a published port, and container_name.
    mode = node.placed("network_mode") if kind == COMPOSE else Text("")
    joined = node.get("networks")
    if mode.value:
        keys = {}
    elif joined is not None and isinstance(joined.value, dict) and joined.value:
        keys = {key: joined.at(key) for key in joined.value}
    else:
        keys = {"default": place}
    for key, where in keys.items():
        # A network of the engine's own under a name of the file: it is a mode, written as a network.
        if key in networks and networks[key].external and networks[key].name in ENGINE_NETWORKS:
            mode = Text(networks[key].name, where)
    return Service(
        stack=stack,
        name=name,
        kind=kind,
        place=place,
        image=node.text("image"),
        networks={
            networks[key].name: where
            for key, where in keys.items()
            if key in networks and networks[key].name not in ENGINE_NETWORKS
        },
        undeclared=tuple(Text(key, where) for key, where in keys.items() if key not in networks),
        implicit="default" in keys and networks["default"].implicit,
        mode=mode,
        ports=tuple(port._replace(address="") if kind == SWARM else port for port in _ports(node)),
        exposed=frozenset(_exposed(node)),
        labels=deployed if kind == SWARM else own,
        unread_labels=own if kind == SWARM else deployed,
        mounts=tuple(_mounts(node, volumes)),
        environment=_texts(node, "environment"),
        command=tuple(_command(node)),
        peers=tuple(_links(node)),
        awaits=tuple(_awaits(node)),
        names=frozenset(_names(stack, kind, name, node)),
    )


def _lent(service: Service, services: Mapping[str, Service]) -> Service:
    """The service with the networks of the one whose network stack it shares (network_mode: service:X)."""
    owner, names = service, set(service.names)
    seen: set[str] = set()
    while owner.mode.value.startswith(_BORROWED) and owner.name not in seen and len(seen) < _MOST_LENDERS:
        seen.add(owner.name)
        lender = services.get(owner.mode.value[len(_BORROWED) :])
        if lender is None:
            break
        owner = lender
        names |= owner.names
    if owner is service:
        return service
    return replace(
        service,
        networks=dict.fromkeys(owner.networks, service.mode.place),
        names=frozenset(names),
        mode=Text(owner.mode.value, service.mode.place) if owner.mode.value else service.mode,
    )


def _with_volumes_from(service: Service, services: Mapping[str, Service], nodes: Mapping[str, Node]) -> Service:
    """The service with the mounts of those that it takes its volumes from, directly or not."""
    found = list(service.mounts)
    queue = [(item.string.partition(":")[0], item.place) for item in nodes[service.name].each("volumes_from")]
    places = dict(reversed(queue))
    waiting = list(places)
    while waiting and len(places) < _MOST_LENDERS:
        name = waiting.pop()
        other = services.get(name)
        if other is None:
            continue
        found += (mount._replace(place=places[name]) for mount in other.mounts)
        for item in nodes[name].each("volumes_from"):
            further = item.string.partition(":")[0]
            if further not in places:
                places[further] = places[name]
                waiting.append(further)
    return replace(service, mounts=tuple(dict.fromkeys(found))) if len(found) > len(service.mounts) else service


def _names(stack: str, kind: str, name: str, node: Node) -> Iterator[str]:
    yield name
    if kind == SWARM:
        yield f"{stack}_{name}"
    elif node.text("container_name"):
        yield node.text("container_name")
    for _key, end, _place in node.members("networks"):
        for alias in end.each("aliases"):
            if alias.string:
                yield alias.string


def _links(node: Node) -> Iterator[Text]:
    for item in node.each("links"):
        name = item.string.partition(":")[0]
        if name:
            yield Text(name, item.place, item.unset)


def _awaits(node: Node) -> Iterator[Text]:
    """The services that must have been started before; one that must have ended is not talked to."""
    for name, how, place in node.members("depends_on"):
        if how.text("condition") != "service_completed_successfully":
            yield Text(name, place)


def _command(node: Node) -> Iterator[Text]:
    """The words of the command and the entrypoint; a text is split as Compose does, like a shell."""
    for key in ("command", "entrypoint"):
        found = node.get(key)
        if found is None:
            continue
        for item in node.each(key):
            if found.value is item.value:
                yield from (Text(word, item.place, item.unset) for word in _words(item.string))
            elif item.string:
                yield Text(item.string, item.place, item.unset)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quote
        return text.split()


def _exposed(node: Node) -> Iterator[int]:
    for item in node.each("expose"):
        span = _span(item.string.partition("/")[0])
        if span:
            yield from range(span[0], min(span[1], span[0] + _MOST_PORTS) + 1)


def _ports(node: Node) -> Iterator[Published]:
    """The published ports of the short ("127.0.0.1:8080-8081:80-81/tcp") and the long syntax."""
    for item in node.each("ports"):
        if isinstance(item.value, dict):
            parts = (item.text("host_ip"), item.text("published"), item.text("target"))
            written = ":".join(part for part in parts if part)
            target, address = item.text("target"), item.text("host_ip")
        else:
            written = item.string
            address, target = _short_port(written)
        span = _span(target)
        if span:
            yield Published(span[0], span[1], address, written, item.place)


def _short_port(text: str) -> tuple[str, str]:
    """(address, container's ports) of the short syntax."""
    rest, _colon, target = text.partition("/")[0].rpartition(":")
    address = rest.rpartition(":")[0] if ":" in rest else ("" if rest.replace("-", "").isdecimal() else rest)
    return address.strip("[]"), target


def _span(text: str) -> Optional[tuple[int, int]]:
    """(first, last) of "80" or "8000-8010"; None for what is no port."""
    low, _dash, high = text.strip().partition("-")
    if not _PORT.fullmatch(low) or (high and not _PORT.fullmatch(high)):
        return None
    return int(low), int(high or low)


def _mounts(node: Node, volumes: Mapping[str, str]) -> Iterator[Mount]:
    """The bind mounts: their sources are paths of the host, as far as variables let them be known."""
    for item in node.each("volumes"):
        if isinstance(item.value, dict):
            source = item.placed("source") if item.get("source") is not None else item.placed("src")
            target = item.text("target")
            bound = item.text("type") in ("bind", "npipe")
        else:
            before, colon, after = item.string.partition(":")
            # A path alone is a volume without a name.
            source = Text(before if colon else "", item.place, item.unset)
            target = after.partition(":")[0]
            bound = bool(colon)
        path = volumes.get(source.value, source.value)
        place = source.place if source.place.line else item.place
        if source.unset or path.startswith(("/", "~", ".", "\\")) or (bound and "/" in path):
            yield Mount(path, target, place, source.unset)
    if node.flag("use_api_socket"):
        yield Mount(_API_SOCKET, "", node.at("use_api_socket"))


def files_named(root: Node) -> Iterator[tuple[str, Text, str]]:
    """(what it is, path, service or "") of the files that a deployment reads beside the stack's own."""
    for name, node, _place in root.members("services"):
        for key in ("env_file", "label_file"):
            for item in node.each(key):
                found = (
                    item.placed("path") if isinstance(item.value, dict) else Text(item.string, item.place, item.unset)
                )
                yield key, found, name
            only = node.get(key)
            if only is not None and isinstance(only.value, dict):
                yield key, only.placed("path"), name
        credentials = node.get("credential_spec")
        if credentials is not None:
            yield "credential_spec", credentials.placed("file"), name
    for section, what in (("configs", "config"), ("secrets", "secret")):
        for name, node, _place in root.members(section):
            yield f"{what} {name}", node.placed("file"), ""
