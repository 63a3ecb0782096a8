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
  - Three requests read the region; with a cache, none.
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
    description: Seconds to wait for one answer.
    type: float
    default: 30.0
  retries:
    description: How many more times a request is sent where MAAS is busy or does not answer.
    type: int
    default: 4
  fabrics:
    description:
      - The fabrics whose VLANs become groups, all where it is not given. Machines elsewhere are left out.
    type: list
    elements: str
  statuses:
    description: The MAAS statuses of the machines to list; an empty list takes every machine.
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

import ipaddress

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable, to_safe_group_name

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import client
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import subnet_of, vlan_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError

CONNECTION = ("url", "api_key", "ca_path", "validate_certs", "timeout", "retries")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads (or takes from the cache) what `gather` answers, and fills the inventory from it."""

    NAME = "bulkhead.tiers.maas"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith(("maas.yml", "maas.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self._fill(self._region(self.get_cache_key(path), cache))

    def _region(self, key, cache):
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

    def _gather(self):
        params = {name: self.get_option(name) for name in CONNECTION}
        params["api_key"] = str(self.templar.template(params["api_key"]))
        try:
            return gather(client(params))
        except MaasError as error:
            raise AnsibleParserError(f"MAAS: {error}") from None

    def _fill(self, data):
        only = self.get_option("fabrics")
        tiers = [tier for tier in data["tiers"] if only is None or tier["fabric"] in only]
        for name in sorted(set(only or ()) - {tier["fabric"] for tier in data["tiers"]}):
            self.display.warning(f"fabrics: MAAS has no fabric {name}")
        groups = group_names(tiers)
        for tier in tiers:
            name = groups[tier["fabric"], tier["vlan"]]
            self.inventory.add_group(name)
            self.inventory.set_variable(name, "maas_tier", tier)
        statuses = self.get_option("statuses")
        for machine in data["machines"]:
            if statuses and machine["maas_status"] not in statuses:
                continue
            group = groups.get(tuple(machine["vlan"] or ()))
            if group is None and only is not None:
                continue
            self._add(machine, group, {groups[tier["fabric"], tier["vlan"]]: tier for tier in tiers}.get(group))

    def _add(self, machine, group, tier):
        name = machine[self.get_option("hostnames")]
        self.inventory.add_host(name, group=group)
        variables = {key: value for key, value in machine.items() if key.startswith("maas_")}
        address = connection_address(
            machine["maas_addresses"], machine["boot_addresses"], tier["subnet"] if tier else []
        )
        if address:
            variables["ansible_host"] = address
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)


def gather(region):
    """``{"tiers": [...], "machines": [...]}`` from three GETs, cut down to what is used; fit for a cache."""
    subnets = [subnet_of(shown) for shown in region.get("subnets/")]
    tiers = []
    for fabric in region.get("fabrics/"):
        lowest = min((vlan["id"] for vlan in fabric["vlans"]), default=None)
        tiers += [_tier(vlan_of(shown, shown["id"] == lowest), subnets) for shown in fabric["vlans"]]
    machines = [_machine(shown) for shown in region.get("machines/")]
    tiers.sort(key=lambda tier: (tier["fabric"], tier["vlan"]))
    return {"tiers": tiers, "machines": sorted(machines, key=lambda machine: machine["fqdn"])}


def _tier(vlan, subnets):
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


def _machine(shown):
    boot = shown.get("boot_interface") or {}
    vlan = boot.get("vlan")
    return {
        "hostname": shown["hostname"],
        "fqdn": shown["fqdn"],
        "vlan": [vlan["fabric"], vlan["vid"]] if vlan else None,
        "boot_addresses": [link["ip_address"] for link in boot.get("links") or () if link.get("ip_address")],
        "maas_system_id": shown["system_id"],
        "maas_status": shown.get("status_name"),
        "maas_addresses": list(shown.get("ip_addresses") or ()),
        "maas_tags": sorted(shown.get("tag_names") or ()),
        "maas_pool": (shown.get("pool") or {}).get("name"),
        "maas_zone": (shown.get("zone") or {}).get("name"),
        "maas_power_state": shown.get("power_state"),
        "maas_boot_mac": boot.get("mac_address"),
    }


def group_names(tiers):
    """``{(fabric, vid): group}``, each group for one VLAN alone."""
    plain = {}
    for tier in tiers:
        # MAAS shows the vid as the name of a VLAN that has none.
        named = tier["name"] and tier["name"] != str(tier["vlan"])
        plain[tier["fabric"], tier["vlan"]] = _safe(tier["name"]) if named else None
    counts = {}
    for name in plain.values():
        counts[name] = counts.get(name, 0) + 1
    names = {}
    for key, name in plain.items():
        names[key] = (
            name if name is not None and counts[name] == 1 else _safe("{}_{}".format(key[0], name or f"vlan{key[1]}"))
        )
    # Two names can become one where characters were replaced: the vid keeps them apart.
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else f"{name}_vlan{key[1]}" for key, name in names.items()}


def _safe(name):
    return to_safe_group_name(name)


def connection_address(addresses, boot_addresses, subnets):
    """The address to connect to: of the boot interface, else on its VLAN, else any; IPv4 first."""
    nets = [ipaddress.ip_network(cidr) for cidr in subnets]
    ranked = sorted(
        ((text not in boot_addresses, not any(ip in net for net in nets), ip.version, order), text)
        for order, (text, ip) in enumerate((text, ipaddress.ip_address(text)) for text in boot_addresses + addresses)
    )
    return ranked[0][1] if ranked else None
