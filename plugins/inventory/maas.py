# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Machines of a MAAS region; a group is the VLAN of their boot interface."""

from __future__ import annotations

DOCUMENTATION = r"""
name: maas
short_description: Machines of a MAAS region, grouped by the VLAN that they boot from
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Every VLAN of the region becomes a group, also an empty one, and every machine a host of the group that its boot
    interface is on. With VLANs that M(bulkhead.tiers.maas_vlan) made from C(bulkhead_tiers) the groups are the tiers.
  - A group is named after its VLAN, with what Ansible does not take in a name replaced by C(_). The untagged VLAN of a
    fabric, a VLAN without a name, and one whose name stands in several fabrics get the fabric's name in front.
  - Three requests read the region (one more for each further status); with a cache, none.
  - What MAAS shows is data of others. A machine that has the name of the controller, of C(localhost) or of a group, a
    machine that another source of the inventory has defined before, and one that has no other address than the
    controller's own are left out with a warning. A VLAN with the name of a group that means something else (C(all), C(ungrouped), C(gateway),
    C(outside), C(localhost)) gets the fabric's name in front. List this source after those whose hosts it must not touch.
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Tells that the file is for this plugin.
    type: str
    required: true
    choices: [bulkhead.tiers.maas]
  url:
    description: The address of the region, such as C(https://maas.example:5443/MAAS).
    type: str
    required: true
    env:
      - name: MAAS_URL
  api_key:
    description: The key as C(maas apikey) prints it, C(consumer:token:secret). It may be a template or a vaulted value.
    type: str
    required: true
    env:
      - name: MAAS_API_KEY
  ca_path:
    description: A file or a directory with the certificates of the authorities that may have signed the region's.
    type: path
  validate_certs:
    description: Whether an C(https) region must show a certificate that can be verified.
    type: bool
    default: true
  timeout:
    description:
      - Seconds to wait for one answer. A list is asked for once, and waited for as long as O(retries) further attempts
        would take, because MAAS works on a list to its end whether anybody waits or not.
    type: float
    default: 30.0
  retries:
    description: How many more times a request is sent where MAAS is busy or the connection is cut.
    type: int
    default: 4
  fabrics:
    description:
      - The fabrics whose VLANs become groups, all where it is not given. Machines elsewhere are left out.
    type: list
    elements: str
  statuses:
    description: The MAAS statuses of the machines to list, by which MAAS is asked; an empty list takes every machine.
    type: list
    elements: str
    default: [Deployed]
  hostnames:
    description: Whether hosts are named by their host name or with their domain.
    type: str
    choices: [hostname, fqdn]
    default: hostname
notes:
  - The file's name must end in C(maas.yml) or C(maas.yaml).
  - Host variables are C(ansible_host) (an address on the boot VLAN where there is one), C(maas_system_id),
    C(maas_status), C(maas_addresses), C(maas_tags), C(maas_pool), C(maas_zone), C(maas_power_state) and
    C(maas_boot_mac).
  - Each group has C(maas_tier) with the keys C(fabric), C(vlan), C(name), C(subnet), C(gateway), C(mtu), C(space) and
    C(dhcp); C(vlan), C(subnet) and C(gateway) are what an entry of C(bulkhead_tiers) would have.
"""

EXAMPLES = r"""
# inventories/site/maas.yml
plugin: bulkhead.tiers.maas
url: https://maas.example:5443/MAAS
api_key: "{{ lookup('ansible.builtin.env', 'MAAS_API_KEY') }}"
fabrics: [gough]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.ansible/cache/maas
cache_timeout: 600
keyed_groups:
  - key: maas_tags
    prefix: tag
"""

import contextlib
import functools
import ipaddress
import re
import socket
from collections import Counter
from typing import Any, Optional
from urllib.parse import quote

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable, to_safe_group_name

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import client
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.shapes import listed
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import Subnet, Vlan, subnet_of, vlan_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import Client, MaasError
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

CONNECTION = ("url", "api_key", "ca_path", "validate_certs", "timeout", "retries")
#: Groups that mean something else than a VLAN: Ansible's own, and those that the playbooks treat in a way of their own.
RESERVED_GROUPS = ("all", "ungrouped", "gateway", "outside", "localhost")
#: First words of names that stand for the machine that asks; with localhost, and what begins so.
LOOPBACK = ("loopback", "ip6-localhost", "ip6-loopback")
#: Where a machine's own names are.
HOSTS = "/etc/hosts"
#: A host name as DNS has it, which no pattern, port or path can hide in.
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads (or takes from the cache) what `gather` answers, and fills the inventory from it."""

    NAME = "bulkhead.tiers.maas"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(("maas.yml", "maas.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self._fill(self._region(self.get_cache_key(path), cache))

    def _region(self, key: str, cache: bool) -> dict:
        """The region's data; it is stored without the API key, which is not part of it."""
        self.load_cache_plugin()
        asked = self.get_option("cache")
        if asked and cache:
            try:
                return self._cache[key]
            except KeyError:
                pass
        data = self._gather()
        if asked:
            self._cache[key] = data
        return data

    def _gather(self) -> dict:
        params = {name: self.get_option(name) for name in CONNECTION}
        params["api_key"] = str(self.templar.template(params["api_key"]))
        try:
            return gather(client(params), tuple(self.get_option("statuses")))
        except MaasError as error:
            raise AnsibleParserError(f"MAAS: {error}") from None

    def _fill(self, data: dict) -> None:
        only = self.get_option("fabrics")
        tiers = {
            (tier["fabric"], tier["vlan"]): tier for tier in data["tiers"] if only is None or tier["fabric"] in only
        }
        for name in sorted(set(only or ()) - {tier["fabric"] for tier in data["tiers"]}):
            self._warn(f"fabrics: MAAS has no fabric {name}")
        groups = group_names(list(tiers.values()))
        for key, tier in tiers.items():
            self.inventory.add_group(groups[key])
            self.inventory.set_variable(groups[key], "maas_tier", tier)
        self._machines(data["machines"], tiers, groups, only)

    def _machines(self, machines: list[dict], tiers: dict, groups: dict, only: Optional[list]) -> None:
        if not machines:
            asked = ", ".join(self.get_option("statuses")) or "any status"
            self._warn(
                f"got no machine ({asked}); an ordinary user's key sees only machines of its own: is it an administrator's?"
            )
        label = self.get_option("hostnames")
        counts = Counter(machine[label] for machine in machines)
        defined = set(self.inventory.hosts)
        elsewhere = []
        for machine in machines:
            key = tuple(machine["vlan"] or ())
            if key not in groups and only is not None:
                elsewhere.append(machine["fqdn"])
                continue
            why = self._refusal(machine[label], counts, defined)
            if why:
                self._warn(f"the machine {machine['fqdn']} ({machine['maas_system_id']}) is left out: {why}")
            else:
                self._add(machine, machine[label], groups.get(key), tiers.get(key), set(groups.values()))
        if elsewhere:
            self._warn(
                f"{len(elsewhere)} of MAAS's machines boot from no VLAN of {', '.join(only or ())}: {', '.join(elsewhere)}"
            )

    def _refusal(self, name: str, counts: Counter, defined: set) -> str:
        """Why a machine must not be a host under this name; "" where it may."""
        if not HOST_NAME.match(name):
            return "its name is no host name"
        if _means_this_machine(name.lower()) or _is_number(name) or name.lower() in own_names():
            return "its name is the controller's; rename it in MAAS"
        if name in self.inventory.groups:
            return f"{name} is a group; rename the machine in MAAS"
        if name in defined:
            return f"another source of the inventory has a host {name}; rename one of the two"
        if counts[name] > 1:
            return f"{counts[name]} machines have the name {name}; set hostnames: fqdn"
        return ""

    def _add(self, machine: dict, name: str, group: Optional[str], tier: Optional[dict], vlans: set) -> None:
        variables = {key: value for key, value in machine.items() if key.startswith("maas_")}
        address = connection_address(
            machine["maas_addresses"], machine["boot_addresses"], tier["subnet"] if tier else []
        )
        if address:
            variables["ansible_host"] = address
        elif machine["maas_addresses"] or machine["boot_addresses"]:
            # MAAS's own name server has the same addresses for its name.
            self._warn(f"the machine {machine['fqdn']} is left out: it has no address of its own to connect to")
            return
        self.inventory.add_host(name, group=group)
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        before = {found.name for found in self.inventory.hosts[name].get_groups()}
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
        self._leave({found.name for found in self.inventory.hosts[name].get_groups()} - before, name, vlans)

    def _leave(self, joined: set, name: str, vlans: set) -> None:
        """A tag or a pool of MAAS does not put a host into a group that stands for something else."""
        for group in sorted(joined & (vlans | set(RESERVED_GROUPS) - {"all", "ungrouped"})):
            self.inventory.groups[group].remove_host(self.inventory.hosts[name])
            self._warn(
                f"{name} is not put into the group {group} by keyed_groups: it stands for a VLAN or a role; set a prefix"
            )

    def _warn(self, text: str) -> None:
        self.display.warning(f"MAAS: {printable(text, 1000)}")


def gather(region: Client, statuses: tuple[str, ...] = ()) -> dict:
    """``{"tiers": [...], "machines": [...]}`` from three GETs, cut down to what is used; fit for a cache.

    statuses: as MAAS shows them, such as ``Deployed``; it is asked for one after the other. () takes every machine.
    """
    subnets = [subnet_of(shown) for shown in listed(region, "subnets/")]
    tiers = []
    for fabric in listed(region, "fabrics/"):
        lowest = min((vlan["id"] for vlan in fabric["vlans"]), default=None)
        tiers += [_tier(vlan_of(shown, shown["id"] == lowest), subnets) for shown in fabric["vlans"]]
    # MAAS's filter takes the status in this form (read off a 3.6.5: ?status=deployed).
    paths = [f"machines/?status={quote(status.lower().replace(' ', '_'))}" for status in statuses] or ["machines/"]
    machines = {shown["system_id"]: _machine(shown) for path in paths for shown in listed(region, path)}
    found = [machine for machine in machines.values() if not statuses or machine["maas_status"] in statuses]
    tiers.sort(key=lambda tier: (tier["fabric"], tier["vlan"]))
    return {"tiers": tiers, "machines": sorted(found, key=lambda machine: (machine["fqdn"], machine["maas_system_id"]))}


def _tier(vlan: Vlan, subnets: list[Subnet]) -> dict:
    here = sorted((subnet for subnet in subnets if subnet.vlan == vlan.key), key=lambda subnet: subnet.cidr)
    return {
        "fabric": vlan.fabric,
        "vlan": vlan.vid,
        "name": None if vlan.default else vlan.name,
        "subnet": [subnet.cidr for subnet in here],
        "gateway": [subnet.gateway_ip for subnet in here if subnet.gateway_ip],
        "mtu": vlan.mtu,
        "space": vlan.space,
        "dhcp": vlan.dhcp_on,
    }


def _machine(shown: dict) -> dict:
    boot = shown["boot_interface"] or {}
    vlan = boot.get("vlan")
    return {
        "hostname": shown["hostname"],
        "fqdn": shown["fqdn"],
        "vlan": [vlan["fabric"], vlan["vid"]] if vlan else None,
        "boot_addresses": [link["ip_address"] for link in boot.get("links") or () if link.get("ip_address")],
        "maas_system_id": shown["system_id"],
        "maas_status": shown["status_name"],
        "maas_addresses": list(shown["ip_addresses"] or ()),
        "maas_tags": sorted(shown["tag_names"]),
        "maas_pool": (shown["pool"] or {}).get("name"),
        "maas_zone": (shown["zone"] or {}).get("name"),
        "maas_power_state": shown["power_state"],
        "maas_boot_mac": boot.get("mac_address"),
    }


def group_names(tiers: list[dict]) -> dict[tuple, str]:
    """``{(fabric, vid): group}``, each group for one VLAN alone, none of them a group that means something else."""
    plain: dict[tuple, Optional[str]] = {}
    for tier in tiers:
        # MAAS shows the vid as the name of a VLAN that has none.
        named = tier["name"] and tier["name"] != str(tier["vlan"])
        plain[tier["fabric"], tier["vlan"]] = to_safe_group_name(tier["name"]) if named else None
    counts = Counter(plain.values())
    names = {}
    for key, name in plain.items():
        if name is not None and counts[name] == 1 and name.lower() not in RESERVED_GROUPS:
            names[key] = name
        else:
            names[key] = to_safe_group_name(f"{key[0]}_{name or f'vlan{key[1]}'}")
    # Two names can become one where characters were replaced: the vid keeps them apart.
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else f"{name}_vlan{key[1]}" for key, name in names.items()}


def connection_address(addresses: list[str], boot_addresses: list[str], subnets: list[str]) -> Optional[str]:
    """The address to connect to: of the boot interface, else on its VLAN, else any; IPv4 first.

    Never one that leads to the controller itself, or to no host at all.
    """
    nets = [ipaddress.ip_network(cidr) for cidr in subnets]
    parsed = [(text, _parsed(text)) for text in boot_addresses + addresses]
    ranked = sorted(
        ((text not in boot_addresses, not any(ip in net for net in nets), ip.version, order), text)
        for order, (text, ip) in enumerate(parsed)
        if ip is not None and _leads_away(ip)
    )
    return ranked[0][1] if ranked else None


def _parsed(text: str) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _leads_away(ip: Any) -> bool:
    mapped = getattr(ip, "ipv4_mapped", None)
    if mapped is not None:
        return _leads_away(mapped)
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip.is_reserved:
        return False
    return not _is_own(str(ip), ip.version)


def _is_own(address: str, version: int) -> bool:
    """Whether an address is this machine's: what goes there leaves from there. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == ipaddress.ip_address(address)
    except OSError:
        return False


def _means_this_machine(name: str) -> bool:
    """Whether a name stands for the machine that asks, whatever is in its files (RFC 6761; Debian's and Fedora's hosts)."""
    return any(label.startswith("localhost") or label in LOOPBACK for label in name.split("."))


def _is_number(name: str) -> bool:
    """``127.1``, ``0x7f.1`` and ``2130706433`` are addresses to a resolver."""
    try:
        socket.inet_aton(name)
    except OSError:
        return bool(re.fullmatch(r"[0-9.]+|0[xX][0-9a-fA-F]+", name))
    return True


def own_names() -> set[str]:
    """The names of this machine, those of its own addresses in /etc/hosts among them, in lower case."""
    name = socket.gethostname().lower()
    return {name, name.partition(".")[0], socket.getfqdn().lower(), *names_in_hosts(HOSTS)}


@functools.lru_cache(maxsize=4)
def names_in_hosts(path: str) -> frozenset[str]:
    """The names that a file like /etc/hosts has for addresses of this machine, in lower case."""
    names: set[str] = set()
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        for line in file:
            address, *found = line.partition("#")[0].split() or [""]
            ip = _parsed(address)
            if ip is not None and not _leads_away(ip):
                names.update(name.lower() for name in found)
    return frozenset(names)
