# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """The options by which a module reaches a Docker Engine; the names are those of community.docker."""

    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - The URL of the Docker Engine's API; a Unix socket, C(tcp://) or C(ssh://).
      - Without it the environment variable E(DOCKER_HOST) counts.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  tls:
    description:
      - Use TLS without a check of the engine's certificate. O(validate_certs=true) wins over it.
      - Without it the environment variable E(DOCKER_TLS) counts.
    type: bool
    default: false
  validate_certs:
    description:
      - Use TLS and check the engine's certificate.
      - Without it the environment variable E(DOCKER_TLS_VERIFY) counts.
    type: bool
    default: false
    aliases: [tls_verify]
  ca_path:
    description:
      - The file with the certificate authority that the engine's certificate is checked against.
      - Without it C(ca.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description:
      - The client's certificate file.
      - Without it C(cert.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description:
      - The client's key file.
      - Without it C(key.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [tls_client_key, key_path]
  api_version:
    description:
      - The version of the engine's API. V(auto) asks the engine.
      - Without it the environment variable E(DOCKER_API_VERSION) counts.
    type: str
    default: auto
    aliases: [docker_api_version]
  timeout:
    description:
      - How many seconds one answer of the engine may take.
      - Without it the environment variable E(DOCKER_TIMEOUT) counts.
    type: int
    default: 60
  use_ssh_client:
    description:
      - For C(ssh://) run the C(ssh) command instead of paramiko.
    type: bool
    default: false
requirements:
  - Docker SDK for Python 5.0 or newer on the host that runs the module (Debian's C(python3-docker))
"""

    NETWORKS = r"""
options:
  networks:
    description:
      - The networks.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The name. Overlays take letters, digits, C(-) and C(_), at most 63; bridges take C(.) too.
          - The engine's own networks (C(bridge), C(host), C(none), C(ingress), C(docker_gwbridge)) are refused.
        type: str
        required: true
      state:
        description:
          - V(present) makes sure that the network is there and as stated.
          - V(absent) removes it, whether this collection created it or not. A network that a service or a container of any node uses is not
            removed, and neither is one that a stopped container of this node needs for its next start; the error names
            them.
        type: str
        choices: [present, absent]
        default: present
      driver:
        description:
          - V(overlay) for a network of the swarm, which only a manager can create, or V(bridge) for one of this host.
          - A present network is an V(overlay) unless it says V(bridge). With O(networks[].state=absent) any driver is
            meant, unless one is given.
        type: str
      subnet:
        description:
          - The subnets as CIDRs. A bridge has one IPv4 subnet and at most one IPv6 subnet; an overlay may have more.
          - The Swarm of Engine 28 and newer allocates no IPv6 subnet to an overlay, and a new one that has one is refused
            there.
          - Without it the engine takes one from its own pools, which know nothing of the site's VLANs.
        type: list
        elements: str
      gateway:
        description:
          - The gateway's address, one for each subnet at most. Subnets without one get their first address.
          - An empty list asks for the first address everywhere.
        type: list
        elements: str
      ip_range:
        description:
          - The part of a subnet that containers get their addresses from, as a CIDR, one for each subnet at most.
          - An empty list asks for the whole subnet.
        type: list
        elements: str
      enable_ipv4:
        description:
          - Whether the network has IPv4. V(false) makes a bridge with IPv6 alone, which Engine 28 and newer can.
          - With O(networks[].subnet) its subnets say it, but for V(false).
        type: bool
      enable_ipv6:
        description:
          - Whether the network has IPv6. With O(networks[].subnet) its subnets say it. Without it V(true) asks for an
            IPv6 subnet of the engine's own pool, which Engine 27 and newer have.
        type: bool
      internal:
        description:
          - Whether the network has no way out of the host.
        type: bool
      attachable:
        description:
          - Whether containers that are no service tasks may join the overlay.
        type: bool
      encrypted:
        description:
          - Whether the overlay's traffic between the hosts is encrypted (IPsec).
        type: bool
      mtu:
        description:
          - The MTU of the network's interfaces in bytes, 68 (1280 with IPv6) to 65535. An overlay needs 50 bytes less
            than its underlay for VXLAN, an encrypted one still less.
          - The same as C(com.docker.network.driver.mtu) in O(networks[].options).
        type: int
      labels:
        description:
          - The complete labels, but for the ownership label. An empty mapping asks for none.
        type: dict
      options:
        description:
          - The complete driver options, but for O(networks[].encrypted). An empty mapping asks for none.
          - Options that the daemon's C(default-network-opts) adds to every network must be stated here as well, or this
            option be left out.
        type: dict
  purge:
    description:
      - Whether to remove the networks that carry the ownership label and are not in O(networks). On a node that is no
        manager this concerns its own bridges alone.
    type: bool
    default: false
  recreate:
    description:
      - What to do with a network that is not as stated.
      - V(never) fails and says how it differs.
      - V(if_unused) removes it and makes it again, taking over what O(networks) leaves open; it fails where a service
        or a container uses the network. From then on the network carries the ownership label.
      - V(migrate) does the same where nothing uses the network. Otherwise everything on it moves to a temporary network
        and, once the network is made again, back. Each gets the next network before it leaves the last one, so that all
        can reach each other at every moment. Services are updated four times, each time at the pace of their own
        C(update_config), with their aliases; a service of more than one replica that has a health check serves on.
        Containers that are attached by hand are connected and disconnected with their aliases, links and addresses; they
        lose their MAC address, their address for the time between, and addresses outside of the new subnet.
      - Networks are migrated one at a time, in the order of O(networks). It refuses, before anything is touched, services
        that are jobs, that have a failed update or that lack running tasks, and containers of other nodes that are
        attached by hand.
      - A migration that was interrupted is finished by the next run with V(migrate); the error says where it stands. The
        temporary network, V(NAME-moving), carries the label C(bulkhead.tiers.migrates).
    type: str
    choices: [never, if_unused, migrate]
    default: never
  temporary_subnet:
    description:
      - The subnets of the temporary networks of O(recreate=migrate), as CIDRs. Networks that are migrated in one call use
        them one after the other.
      - Without it the swarm (for a bridge, the engine) takes one from its own pool.
    type: list
    elements: str
  wait_timeout:
    description:
      - How many seconds a removal may wait until the tasks of services that are just going away have ended.
      - In a migration also how many seconds each task of a rolling update may take, beside the update's own delay and
        monitoring time and the service's stop grace period.
    type: int
    default: 60
"""
