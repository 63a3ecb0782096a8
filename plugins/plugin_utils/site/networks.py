# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker networks of a site, and the subnets that earlier runs have pinned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import RESERVED_POOLS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, version_of

_NETWORK = "{driver: overlay, size: 24}"
_NETWORK_FIELDS = (
    "driver",
    "subnet",
    "size",
    "pool",
    "gateway",
    "ip_range",
    "addresses",
    "on",
    "zone",
    "internal",
    "attachable",
    "encrypted",
    "enable_ipv4",
    "enable_ipv6",
    "public",
    "mtu",
    "options",
    "labels",
)


def read_networks(reader: Reader, raw: object, tiers: Collection[str], pools: Collection[str]) -> dict[str, Network]:
    result = {}
    for name, value in reader.mapping("bulkhead_networks", raw, "networks", f"private: {_NETWORK}").items():
        path = f"bulkhead_networks.{name}"
        result[name] = _read_network(reader, path, name, value, tiers, pools)
    return result


def _read_network(
    reader: Reader, path: str, name: str, value: object, tiers: Collection[str], pools: Collection[str]
) -> Network:
    if isinstance(value, dict) and True in value:
        # YAML 1.1, which Ansible reads, takes the bare key `on` for true.
        value = {"on" if key is True else key: item for key, item in value.items()}
    known = reader.fields(path, value, _NETWORK_FIELDS, _NETWORK)
    if not isinstance(value, dict):
        return Network(name, "")
    driver = _read_choice(reader, f"{path}.driver", known.get("driver"), ("overlay", "bridge"))
    if (known.get("subnet") is None) == (known.get("size") is None):
        reader.note(
            path,
            "both subnet and size" if known.get("size") is not None else "neither subnet nor size",
            "one of the two",
            "give a subnet, or a size to take one from a pool",
        )
    options = _read_strings(reader, f"{path}.options", known.get("options"))
    mtu = reader.integer(f"{path}.mtu", known.get("mtu"), "an MTU", 1, 65535)
    return Network(
        name=name,
        driver=driver,
        subnets=_some(reader.nets, f"{path}.subnet", known.get("subnet")),
        sizes=_read_sizes(reader, f"{path}.size", known.get("size")),
        pool=_read_pool_name(reader, f"{path}.pool", known, driver, pools),
        gateways=_some(reader.addresses, f"{path}.gateway", known.get("gateway")),
        ip_ranges=_some(reader.nets, f"{path}.ip_range", known.get("ip_range")),
        zone=reader.text(f"{path}.zone", known.get("zone")),
        internal=bool(reader.boolean(f"{path}.internal", known.get("internal"))),
        attachable=bool(reader.boolean(f"{path}.attachable", known.get("attachable"))),
        encrypted=bool(reader.boolean(f"{path}.encrypted", known.get("encrypted"))),
        ipv4=reader.boolean(f"{path}.enable_ipv4", known.get("enable_ipv4")),
        ipv6=reader.boolean(f"{path}.enable_ipv6", known.get("enable_ipv6")),
        public=bool(reader.boolean(f"{path}.public", known.get("public"))),
        mtu=mtu,
        options=options,
        labels=_read_strings(reader, f"{path}.labels", known.get("labels")),
        addresses=_read_containers(reader, f"{path}.addresses", known.get("addresses")),
        tiers=_read_on(reader, path, known, driver, tiers),
    )


def _some(read: Callable[[str, object], tuple[Net, ...]], path: str, value: object) -> tuple[Net, ...]:
    """What a key gives, one or a list; nothing where it is not there."""
    return () if value is None else read(path, value)


def _read_sizes(reader: Reader, path: str, value: object) -> tuple[int, ...]:
    """One prefix length or a list of them, at most one for each IP version."""
    if isinstance(value, list) and not value:
        reader.refuse(path, value, "a prefix length, or a list of them", "name at least one")
    items = (
        [(f"{path}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else [(path, value)]
    )
    sizes: dict[int, int] = {}
    for where, item in items:
        if item is None and isinstance(value, list):
            reader.refuse(where, item, "a prefix length from 8 to 126", "write it like [24, 64]")
        size = reader.integer(where, item, "a prefix length", 8, 126)
        if size is not None and version_of(size) in sizes:
            version = version_of(size)
            expected = f"one size for IPv{version} (above 32 it is IPv6's)"
            reader.note(path, f"{sizes[version]} and {size}", expected, "leave one of them out")
        elif size is not None:
            sizes[version_of(size)] = size
    return tuple(sizes.values())


def _read_choice(reader: Reader, path: str, value: object, choices: Collection[str]) -> str:
    if isinstance(value, str) and value in choices:
        return str(value)
    reader.refuse(path, value, " or ".join(choices), suggestion(value, choices) or "choose one of them")
    return ""


def _read_strings(reader: Reader, path: str, value: object) -> dict[str, str]:
    """{key: text} as the engine keeps options and labels: numbers and booleans become text."""
    result = {}
    for key, item in reader.mapping(path, value, "texts", "{key: value}").items():
        if isinstance(item, bool):
            result[key] = "true" if item else "false"
        elif isinstance(item, (str, int, float)):
            result[key] = str(item)
        else:
            reader.refuse(f"{path}.{key}", item, "a text", "put it in quotes")
    return result


def _read_pool_name(
    reader: Reader, path: str, known: Mapping[str, Any], driver: str, pools: Collection[str]
) -> Optional[str]:
    """The pool that a network takes its subnet from, or may lie in: the driver's name unless another one is named."""
    name = reader.text(path, known.get("pool")) or driver
    if known.get("pool") is None and known.get("size") is None:
        return name
    if name in RESERVED_POOLS:
        reader.refuse(path, name, "a pool for networks", f"{name} is what the engines take for themselves")
        return None
    if name not in pools and name:
        reader.refuse(
            path,
            name,
            "a pool of bulkhead_pools",
            suggestion(name, pools) or f"declare bulkhead_pools.{name}, or name another pool",
        )
        return None
    return name


def _read_containers(reader: Reader, path: str, value: object) -> dict[str, tuple[Net, ...]]:
    found = reader.mapping(path, value, "addresses by container", "portal: 172.20.0.20")
    return {name: reader.addresses(f"{path}.{name}", item) for name, item in found.items()}


def _read_on(
    reader: Reader, path: str, known: Mapping[str, Any], driver: str, tiers: Collection[str]
) -> tuple[str, ...]:
    """The tiers whose hosts have a bridge network; an overlay is where the Swarm is."""
    if driver == "overlay":
        if known.get("on") is not None:
            reader.refuse(
                f"{path}.on",
                known["on"],
                "nothing for an overlay",
                "remove it: overlays live on the Swarm's managers",
            )
        return ()
    if driver != "bridge":
        return ()
    names = []
    for where, name in reader.items(
        f"{path}.on", known.get("on"), "the tiers whose hosts have this bridge", "management"
    ):
        if name in tiers:
            names.append(name)
        else:
            reader.refuse(where, name, "a tier", suggestion(name, tiers) or f"name one of {', '.join(tiers)}")
    return tuple(dict.fromkeys(names))


def pin_networks(reader: Reader, raw: object, networks: Mapping[str, Network]) -> dict[str, Network]:
    """The networks, with the subnets that earlier runs have allocated."""
    result = dict(networks)
    for name, value in reader.mapping("bulkhead_allocations", raw, "pinned subnets", "private: 172.30.0.0/24").items():
        path = f"bulkhead_allocations.{name}"
        pins = reader.nets(path, value)
        network = networks.get(name)
        if network is None:
            reader.refuse(
                path,
                name,
                "a network of bulkhead_networks",
                suggestion(name, networks) or "remove the pin with its network",
            )
        elif network.sizes:
            result[name] = replace(network, subnets=_pins_of(reader, path, network, pins))
        elif pins and network.subnets and set(network.subnets) != set(pins):
            got, subnets = (_texts(nets) for nets in (pins, network.subnets))
            expected = f"the subnet{'' if len(network.subnets) == 1 else 's'} {subnets} of bulkhead_networks.{name}"
            reader.note(path, got, expected, "remove the pin")
    return result


def _pins_of(reader: Reader, path: str, network: Network, pins: Collection[Net]) -> tuple[Net, ...]:
    """The pinned subnets of a network with sizes: one for each size at most."""
    sizes = {version_of(size): size for size in network.sizes}
    kept: dict[int, Net] = {}
    for pin in pins:
        size = sizes.get(pin.version)
        if pin.version in kept:
            got = f"{kept[pin.version]} and {pin}"
            reader.note(path, got, f"one subnet for the size {size} of bulkhead_networks.{network.name}", "remove one")
        elif size != pin.prefix:
            expected = f"the size {' and '.join(map(str, network.sizes))} of bulkhead_networks.{network.name}"
            reader.note(path, str(pin), expected, "a pinned subnet never changes: correct the size")
        kept.setdefault(pin.version, pin)
    return tuple(kept[version] for version in sizes if version in kept)


def _texts(nets: Collection[Net]) -> str:
    return " and ".join(map(str, nets))
