# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """The connection to a MAAS region, and the tree of its networks."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - The address of the region, such as C(https://maas.example:5443/MAAS).
      - V(/MAAS) is assumed where no path is given; C(/api/2.0/) at the end is taken too.
      - The environment variable E(MAAS_URL) stands in for it.
      - Proxy variables of the environment are not followed.
    type: str
    required: true
  api_key:
    description:
      - The key of a MAAS administrator as C(maas apikey) prints it, three parts joined by colons
        (C(consumer:token:secret)). In the terms of the collection maas.maas these are C(customer_key),
        C(token_key) and C(token_secret).
      - The environment variable E(MAAS_API_KEY) stands in for it.
      - No part of it is shown or logged.
    type: str
    required: true
  ca_path:
    description:
      - A file or a directory with the certificates of the authorities that may have signed the region's.
      - Without it, those of the system are used.
    type: path
  validate_certs:
    description:
      - Whether an C(https) region must show a certificate that can be verified.
    type: bool
    default: true
  timeout:
    description:
      - Seconds to wait for one answer. Listing the subnets of a large region can take several.
    type: float
    default: 30.0
  retries:
    description:
      - How many more times a request is sent where MAAS is busy (409, 503), where a proxy lost the answer (502, 504),
        or where no answer came.
      - A C(Retry-After) header is obeyed up to 30 seconds; otherwise the pauses are 0.5, 1, 2, 4... seconds.
      - Something that was being created when the answer was lost is looked for first and not created twice.
    type: int
    default: 4
"""

    TREE = r"""
options:
  spaces:
    description: The spaces.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name; letters, digits, C(_) and C(-). C(space-N) and C(undefined) belong to MAAS.
        type: str
        required: true
      description:
        description: Free text; an empty string clears it.
        type: str
      state:
        description: Whether the space shall exist. One that VLANs still use is not deleted.
        type: str
        choices: [present, absent]
        default: present
  fabrics:
    description: The fabrics, each with its VLANs.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name; letters, digits, C(_) and C(-).
          - C(fabric-N) can be used where MAAS made it, and not be created.
        type: str
        required: true
      description:
        description: Free text. MAAS never shows it again, so it is set where the fabric is created and not compared.
        type: str
      class_type:
        description: The class of the fabric. MAAS cannot clear it.
        type: str
      state:
        description: Whether the fabric shall exist. One that holds subnets or interfaces is not deleted.
        type: str
        choices: [present, absent]
        default: present
      vlans:
        description:
          - The VLANs of the fabric.
          - The untagged one that MAAS makes with every fabric is O(fabrics[].vlans[].vid=0).
        type: list
        elements: dict
        suboptions:
          vid:
            description: The VLAN id, 0 to 4094; with the fabric it is the VLAN's key.
            type: int
            required: true
          name:
            description: Name. That of a fabric's default VLAN always reads C(untagged) and cannot be set.
            type: str
          description:
            description: Free text. MAAS never shows it again, so it is set where the VLAN is created and not compared.
            type: str
          mtu:
            description: MTU, 552 to 65535.
            type: int
          space:
            description: Name of the space; an empty string takes the VLAN out of its space.
            type: str
          dhcp_on:
            description:
              - Whether MAAS serves DHCP on this VLAN.
              - It needs a rack and a dynamic range in one of the VLAN's subnets.
            type: bool
          primary_rack:
            description:
              - Hostname (or system id) of the rack controller that serves DHCP; it needs an interface with this vid.
              - An empty string clears both racks.
            type: str
          secondary_rack:
            description: The rack controller that stands in; an empty string clears it.
            type: str
          relay_vlan:
            description:
              - The VLAN whose rack answers what is relayed from here. An empty dictionary ends the relay.
              - DHCP must be off here, and that VLAN must not be relayed itself.
            type: dict
            suboptions:
              fabric:
                description: Name of its fabric; this one where it is not given.
                type: str
              vid:
                description: Its vid.
                type: int
          orphans_to:
            description:
              - With O(fabrics[].vlans[].state=absent), the VLAN that takes the subnets which are still here.
              - MAAS itself would move them to the fabric's default VLAN unasked. Interfaces can go nowhere else; tagged
                ones, such as C(eth0.30), it deletes, which needs C(delete_in_use).
            type: dict
            suboptions:
              fabric:
                description: Name of its fabric; this one where it is not given.
                type: str
              vid:
                description: Its vid.
                type: int
          state:
            description: Whether the VLAN shall exist.
            type: str
            choices: [present, absent]
            default: present
          subnets:
            description: The subnets on this VLAN. One that stands on another VLAN is moved here.
            type: list
            elements: dict
            suboptions:
              cidr:
                description: The network; it is the subnet's key, with host bits cut off and IPv6 compressed.
                type: str
                required: true
              name:
                description: Name; MAAS uses the CIDR where none is given.
                type: str
              description:
                description: Free text; an empty string clears it.
                type: str
              gateway_ip:
                description: The gateway; an empty string clears it.
                type: str
              dns_servers:
                description: Addresses of the name servers, in order; an empty list clears them.
                type: list
                elements: str
              rdns_mode:
                description:
                  - Reverse zones - 0 none, 1 for this subnet, 2 also for its parent where it is small (RFC 2317).
                type: int
              allow_dns:
                description: Whether MAAS answers DNS for this subnet.
                type: bool
              allow_proxy:
                description: Whether MAAS lets this subnet use its proxy.
                type: bool
              managed:
                description: Whether MAAS assigns addresses here by itself.
                type: bool
              active_discovery:
                description: Whether MAAS scans this subnet.
                type: bool
              state:
                description:
                  - Whether the subnet shall exist.
                  - With V(absent) it is deleted on whatever VLAN it stands.
                type: str
                choices: [present, absent]
                default: present
              ranges:
                description:
                  - The IP ranges.
                  - A range that overlaps a listed one is that one before it grew or shrank, and is changed in place.
                type: list
                elements: dict
                suboptions:
                  type:
                    description: Given away by DHCP (V(dynamic)), or kept from MAAS's own assignments (V(reserved)).
                    type: str
                    choices: [dynamic, reserved]
                  start_ip:
                    description: First address.
                    type: str
                    required: true
                  end_ip:
                    description: Last address.
                    type: str
                    required: true
                  comment:
                    description: Free text; an empty string clears it.
                    type: str
                  state:
                    description: Whether a range with these two addresses shall exist.
                    type: str
                    choices: [present, absent]
                    default: present
              static_routes:
                description: Routes that MAAS gives to machines in this subnet.
                type: list
                elements: dict
                suboptions:
                  destination:
                    description: The CIDR of another subnet that MAAS knows.
                    type: str
                    required: true
                  gateway_ip:
                    description: The next hop, inside this subnet.
                    type: str
                    required: true
                  metric:
                    description: The metric; 0 for a new route where it is not given.
                    type: int
                  state:
                    description: Whether the route with this destination and gateway shall exist.
                    type: str
                    choices: [present, absent]
                    default: present
"""
