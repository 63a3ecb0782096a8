# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the merged tree of a stack's files to its services and networks."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import (
    COMPOSE,
    SWARM,
    ZONE_LABEL,
    Network,
    Published,
    Service,
    Stack,
    Text,
)

#: Network modes that lend a service the networks of another one.
_BORROWED = "service:"


def read_stack(name, kind, tree):
    """The Stack of a merged Tree. name: the project's, unless a Compose file names itself."""
    root = tree.root
    if kind == COMPOSE:
        name = root.text("name") or name
    networks = _read_networks(root, name)
    volumes = _read_volumes(root)
    section = root.get("services")
    services = {
        key: _read_service(name, kind, key, node, section.at(key), networks, volumes)
        for key, node in (section.items() if section else ())
    }
    services = [_lent(service, services, set()) for service in services.values()]
    used = {network for service in services for network in service.networks}
    found = {network.name: network for key, network in networks.items() if key != "default" or network.name in used}
    return Stack(name, kind, tuple(services), found)


def _read_networks(root, stack):
    """{key: Network}, the default one that every stack has among them."""
    section = root.get("networks")
    networks = {
        key: _read_network(stack, key, node, section.at(key)) for key, node in (section.items() if section else ())
    }
    networks.setdefault("default", Network(f"{stack}_default", stack, root.place, internal=False, implicit=True))
    return networks


def _read_network(stack, key, node, place):
    outside = node.get("external")
    # The old spelling is external: {name: X}.
    external = node.flag("external") is True or (outside is not None and isinstance(outside.value, dict))
    name = node.text("name") or (outside.text("name") if outside is not None else "")
    if not name:
        name = key if external else f"{stack}_{key}"
    labels = _labels(node)
    pools = node.get("ipam").get("config") if node.get("ipam") else None
    subnets = [
        Text(pool.text("subnet"), pool.at("subnet")) for pool in (pools.each() if pools else ()) if pool.get("subnet")
    ]
    return Network(
        name=name,
        stack=stack,
        place=place,
        external=external,
        # Whether a network of somebody else is internal, this file cannot say.
        internal=None if external else bool(node.flag("internal")),
        zone=labels[ZONE_LABEL].value if ZONE_LABEL in labels else "",
        subnets=() if external else tuple(subnets),
    )


def _labels(node):
    return _texts(node, "labels")


def _texts(node, key):
    """{name: Text} of a mapping of texts, such as labels and the environment."""
    section = node.get(key)
    return {
        name: Text(item.value or "", section.at(name))
        for name, item in (section.items() if section else ())
        if not isinstance(item.value, (dict, list))
    }


def _read_volumes(root):
    """{volume: path on the host} of the named volumes that are bind mounts in disguise."""
    section = root.get("volumes")
    found = {}
    for name, node in section.items() if section else ():
        device = node.get("driver_opts").text("device") if node.get("driver_opts") else ""
        if device.startswith("/"):
            found[name] = device
    return found


def _read_service(stack, kind, name, node, place, networks, volumes):
    deploy = node.get("deploy")
    own, deployed = _labels(node), _labels(deploy) if deploy else {}
    # The Swarm ignores network_mode, the address of a published port, and container_name.
    mode = Text(node.text("network_mode") if kind == COMPOSE else "", node.at("network_mode"))
    joined = node.get("networks")
    if mode.value:
        keys = {}
    elif joined is not None and joined.value:
        keys = {key: joined.at(key) for key in joined.value}
    else:
        keys = {"default": place}
    return Service(
        stack=stack,
        name=name,
        kind=kind,
        place=place,
        image=node.text("image"),
        networks={networks[key].name: where for key, where in keys.items() if key in networks},
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
        peers=tuple(_peers(node)),
        names=frozenset(_names(stack, kind, name, node, joined)),
    )


def _lent(service, services, seen):
    """The service with the networks of the one whose network stack it shares (network_mode: service:X)."""
    owner = services.get(service.mode.value[len(_BORROWED) :]) if service.mode.value.startswith(_BORROWED) else None
    if owner is None or service.name in seen:
        return service
    owner = _lent(owner, services, seen | {service.name})
    return replace(
        service,
        networks=dict.fromkeys(owner.networks, service.mode.place),
        names=service.names | owner.names,
        mode=owner.mode if owner.mode.value else service.mode,
    )


def _names(stack, kind, name, node, joined):
    yield name
    if kind == SWARM:
        yield f"{stack}_{name}"
    elif node.text("container_name"):
        yield node.text("container_name")
    for _key, end in joined.items() if joined else ():
        for alias in end.get("aliases").each() if end.get("aliases") else ():
            yield alias.value


def _peers(node):
    depends = node.get("depends_on")
    for name, how in depends.items() if depends else ():
        # What has ended before is talked to by nobody.
        if how.text("condition") != "service_completed_successfully":
            yield Text(name, depends.at(name))
    for item in node.get("links").each() if node.get("links") else ():
        yield Text((item.value or "").partition(":")[0], item.place)


def _command(node):
    for key in ("command", "entrypoint"):
        for item in node.get(key).each() if node.get(key) else ():
            if isinstance(item.value, str):
                yield Text(item.value, item.place)


def _exposed(node):
    for item in node.get("expose").each() if node.get("expose") else ():
        span = _span((item.value or "").partition("/")[0])
        if span:
            yield from range(span[0], min(span[1], span[0] + 100) + 1)


def _ports(node):
    """The published ports of the short ("127.0.0.1:8080-8081:80-81/tcp") and the long syntax."""
    for item in node.get("ports").each() if node.get("ports") else ():
        if isinstance(item.value, dict):
            written = ":".join(
                part for part in (item.text("host_ip"), item.text("published"), item.text("target")) if part
            )
            target, address = item.text("target"), item.text("host_ip")
        else:
            written = item.value or ""
            address, target = _short_port(written)
        span = _span(target)
        if span:
            yield Published(span[0], span[1], address, written, item.place)


def _short_port(text):
    """(address, container's ports) of the short syntax."""
    rest, _colon, target = text.partition("/")[0].rpartition(":")
    address = rest.rpartition(":")[0] if ":" in rest else ("" if rest.replace("-", "").isdecimal() else rest)
    return address.strip("[]"), target


def _span(text):
    """(first, last) of "80" or "8000-8010"; None for what is no port."""
    low, _dash, high = text.strip().partition("-")
    if not low.isdecimal() or (high and not high.isdecimal()):
        return None
    return int(low), int(high or low)


def _mounts(node, volumes):
    """The sources of bind mounts, as paths of the host."""
    for item in node.get("volumes").each() if node.get("volumes") else ():
        if isinstance(item.value, dict):
            source, place = item.text("source") or item.text("src"), item.at("source")
        else:
            source, colon, _rest = (item.value or "").partition(":")
            place = item.place
            # A path alone is a volume without a name.
            source = source if colon else ""
        source = volumes.get(source, source)
        if source.startswith("/"):
            yield Text(source, place)
