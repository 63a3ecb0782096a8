#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole UFW ruleset of a host in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_ruleset
short_description: The whole UFW ruleset of a host in one task
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Makes the rules, default policies and log level of a host's UFW what the task says, IPv4 and IPv6, in one call.
  - >-
    Compares three things: what is wanted, UFW's files, and the rules in the kernel. A rule that was added to or removed
    from the kernel by hand, an edited file, or an update that UFW itself lost is found, shown and mended.
  - >-
    Never opens the firewall while it works: the kernel gets one C(iptables-restore) transaction a family, tested first,
    which names only the chains that differ; C(ufw reload), which lets everything through for more than a second, is
    never run. UFW's own lock is taken before anything is read. The files are replaced last, in one step each.
  - >-
    Cannot lock its operator out. A ruleset that would stop the connection of the task is refused, with the rule that
    does it. One that is applied is confirmed over a B(new) connection, and only then written to the files; until then a
    timer of the host itself rolls it back, and so does a reboot.
  - Says what a change lets through and what it stops, as sets of packets, in check mode too.
  - When nothing changes, nothing is written and no C(ufw) process is started.
  - >-
    UFW's own command works on the result as if it had written it itself: C(ufw status numbered), C(ufw delete NUM),
    C(ufw reload), a reboot.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.debian
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  async:
    description: The confirmation needs a connection of its own.
    support: none
  action:
    description: The module applies; the action plugin of the same name opens the new connection and confirms.
    support: full
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
  - C(conntrack) on the host for O(flush_established)
options:
  confirm:
    description:
      - How a change of the kernel's rules is confirmed. Nothing of it happens when nothing changes.
      - >-
        A connection that does not pass the host's firewall (local, docker, podman, chroot and the like) cannot be cut:
        there the change is written to the files at once, and RV(confirmation) says so.
    type: dict
    suboptions:
      timeout:
        description:
          - Seconds from the beginning of the change until the host rolls it back by itself, 5-3600.
          - V(0) writes the change to the files without a confirmation.
        type: int
        default: 30
  accept_lockout:
    description:
      - >-
        V(true) turns the refusal of a ruleset that would stop the connection of the task into a warning. The
        confirmation still rolls it back if no new connection comes through.
    type: bool
    default: false
  flush_established:
    description:
      - Cut connections that are established and that the change would not let in any more, when it is confirmed.
      - >-
        Without it they stay open until they end, because UFW's before.rules accept every packet of an established
        connection.
    type: bool
    default: false
  state:
    description:
      - V(enabled) has UFW filter now and after a reboot. V(disabled) switches it off; rules and settings are stored.
      - >-
        From inactive to active UFW's own start is run once, on copies of its files with the new rules. That is
        confirmed like any other change; a rollback switches UFW off again.
    type: str
    choices: [enabled, disabled]
    default: enabled
  default:
    description: The policies for packets that no rule matches. One that is absent is left alone.
    type: dict
    suboptions:
      incoming:
        description: For packets to this host.
        type: str
        choices: [allow, deny, reject]
      outgoing:
        description: For packets from this host.
        type: str
        choices: [allow, deny, reject]
      routed:
        description: For packets that this host forwards.
        type: str
        choices: [allow, deny, reject]
  logging:
    description: UFW's log level; see C(man ufw). Left alone if absent.
    type: str
    choices: ['off', low, medium, high, full]
  ipv6:
    description:
      - Whether UFW filters IPv6 (C(IPV6) in C(/etc/default/ufw)). Left alone if absent.
      - V(false) makes UFW drop all of IPv6 but the loopback; stored IPv6 rules are kept for the day it is on again.
    type: bool
  purge:
    description:
      - >-
        V(false) makes sure of the rules that are listed, and leaves other ones alone. A rule of the same match with
        another action is replaced where it stands. The listed rules are put into the listed order among each other; a
        new one goes right before the next listed one that is there already, or to the end.
      - V(true) makes the ruleset exactly the list, in its order.
    type: bool
    default: false
  rules:
    description:
      - >-
        The rules, the first that matches wins. Left alone if absent; an empty list with O(purge=true) removes all.
      - >-
        Every mistake in the list is reported at once, with the rule's index, before anything is touched. Two rules of
        the same match are a mistake.
    type: list
    elements: dict
    suboptions:
      rule:
        description: What becomes of the packets. V(limit) allows, but denies a source with 6 new connections in 30 s.
        type: str
        choices: [allow, deny, reject, limit]
        required: true
      direction:
        description: Whether the rule is for packets to or from this host. Not for a routed rule.
        type: str
        choices: [in, out]
        default: in
      route:
        description: Whether the rule is for packets that this host forwards.
        type: bool
        default: false
      interface:
        description: The interface of the rule's direction.
        type: str
        aliases: ['if']
      interface_in:
        description: The interface that packets come in by.
        type: str
        aliases: [if_in]
      interface_out:
        description: The interface that packets leave by.
        type: str
        aliases: [if_out]
      proto:
        description:
          - The protocol. V(any) with a port is TCP and UDP.
          - V(ipv6) and V(igmp) exist for IPv4 only.
        type: str
        choices: [any, tcp, udp, ipv6, esp, ah, igmp, gre, vrrp]
        default: any
        aliases: [protocol]
      from_ip:
        description:
          - The source, V(any), an address or a network. An address decides the rule's family.
          - >-
            A rule without any address goes to IPv4 and IPv6. V(0.0.0.0/0) stands for any IPv4 address, V(::/0) for any
            IPv6 address.
        type: str
        default: any
        aliases: [from, src]
      from_port:
        description: The source port, as in O(rules[].to_port).
        type: str
      from_app:
        description: An application profile whose ports are the source ports.
        type: str
      to_ip:
        description: The destination, as in O(rules[].from_ip).
        type: str
        default: any
        aliases: [to, dest]
      to_port:
        description:
          - The destination port, such as V(22), V(80,443) or V(8000:8100). A list or a range needs a protocol.
        type: str
        aliases: [port]
      app:
        description: An application profile of C(/etc/ufw/applications.d) whose ports are the destination ports.
        type: str
        aliases: [name]
      log:
        description: Log V(new) connections that the rule matches, or V(all) packets.
        type: str
        choices: ['off', new, all]
        default: 'off'
      comment:
        description: One line of text, shown by C(ufw status).
        type: str
  docker:
    description:
      - Which sources may reach which published port of Docker. Left alone if absent.
      - >-
        A published port bypasses UFW's rules, because it is translated before they see it. With this option the chain
        C(DOCKER-USER) decides on it, from marked blocks of C(/etc/ufw/after.rules) and C(/etc/ufw/after6.rules): from
        boot on, before and after a start of Docker, and through C(ufw reload).
      - >-
        It holds for ports of bridge networks, of C(mode=host) and of Swarm's ingress network alike. Whatever else was
        translated, or goes straight to a container's address, is dropped. What containers send out, and what stays
        between them, is left to Docker.
      - C(DOCKER-USER) is taken over as a whole; rules of others in it are removed, and shown.
      - >-
        For IPv6 the table C(security) says the same again: Engine 20.10 has no C(DOCKER-USER) there. Its chain C(FORWARD) is
        taken over too; rules of others in it are an error.
    type: dict
    suboptions:
      state:
        description: V(present) has the list decide. V(absent) removes every trace of it; published ports are open again.
        type: str
        choices: [present, absent]
        default: present
      bridges:
        description:
          - >-
            The interfaces of Docker's networks; a trailing V(+) stands for any ending. What comes in by any other
            interface comes from outside, and needs an entry of O(docker.published).
          - >-
            A network whose bridge has a name of its own (C(com.docker.network.bridge.name)) must be listed. An interface
            that a pattern takes for Docker's although it is not named like one is an error, until a list names it.
        type: list
        elements: str
        default: [docker0, docker_gwbridge, br-+]
      interfaces:
        description: Interfaces from outside whose names look like those of O(docker.bridges), such as V(br-lan).
        type: list
        elements: str
        default: []
      published:
        description: The list, the first that matches wins. What is not in it is dropped.
        type: list
        elements: dict
        default: []
        suboptions:
          rule:
            description: Whether the packets pass. They are dropped otherwise.
            type: str
            choices: [allow, deny]
            default: allow
          routed:
            description:
              - >-
                Whether the entry is for packets that others route straight to a container's address, with no
                published port in between. O(docker.published[].to_ip) and O(docker.published[].port) are the
                container's own then. What passes is still subject to Docker's rules and to UFW's routed ones.
            type: bool
            default: false
          proto:
            description: The protocol. V(any) with a port is TCP and UDP.
            type: str
            choices: [any, tcp, udp, sctp, esp, ah, gre, vrrp, igmp, ipv6]
            default: any
          from_ip:
            description: The source, V(any), an address or a network, as in O(rules[].from_ip).
            type: str
            default: any
            aliases: [from, src]
          to_ip:
            description: The address of the host that the client asks for, not that of a container.
            type: str
            default: any
            aliases: [to, dest]
          port:
            description:
              - >-
                The port as published on the host, such as V(8080), V(80,443) or V(8000:8100), whatever the container's
                own port is. All published ports if absent.
            type: str
            aliases: [to_port]
          comment:
            description: One line of text, kept in the rules file.
            type: str
notes:
  - >-
    O(docker) fails where it would do nothing: the Engine's nftables backend (C(firewall-backend)) has no
    C(DOCKER-USER). With C("iptables": false) in C(daemon.json) it warns, because Docker then makes no rules at all.
  - >-
    While a change waits for its confirmation every other run fails and says so; C(python3
    /run/bulkhead/ufw/guard.py back) on the host rolls it back at once.
  - C(MANAGE_BUILTINS=yes) in C(/etc/default/ufw) is refused, because UFW then flushes the rules of other programs.
  - >-
    The lock-out proof reads the filter table. Rules in other tables, or in nftables' own ones, are left to the
    confirmation.
seealso:
  - module: bulkhead.tiers.ufw_ruleset_info
  - module: community.general.ufw
"""

EXAMPLES = r"""
- name: Exactly these rules
  bulkhead.tiers.ufw_ruleset:
    default: {incoming: deny, outgoing: allow, routed: deny}
    logging: low
    purge: true
    rules:
      - {rule: limit, proto: tcp, from_ip: 10.0.1.0/24, to_port: 22, comment: administration}
      - {rule: allow, proto: tcp, to_port: "80,443"}
      - {rule: allow, route: true, interface_in: eth0, interface_out: eth1, proto: tcp, to_ip: 10.0.2.10, to_port: 5240}
      - {rule: deny, direction: out, proto: tcp, to_port: 25, log: new}

- name: Make sure of one rule, leave the others alone
  bulkhead.tiers.ufw_ruleset:
    rules:
      - {rule: allow, app: OpenSSH}

- name: A web server's container for everybody, a database's for the applications; no other published port
  bulkhead.tiers.ufw_ruleset:
    docker:
      published:
        - {proto: tcp, port: "80,443", comment: web}
        - {proto: tcp, from_ip: 10.0.3.0/24, port: "5432", comment: applications}

- name: See what a run would change
  bulkhead.tiers.ufw_ruleset:
    purge: true
    rules: "{{ ufw_rules }}"
  check_mode: true
  diff: true

- name: Close a port, and cut who is connected to it
  bulkhead.tiers.ufw_ruleset:
    rules:
      - {rule: deny, proto: tcp, to_port: 8080}
    flush_established: true
    confirm:
      timeout: 60
"""

RETURN = r"""
added:
  description: The rules that were not there, in the words of the ufw command.
  type: list
  elements: str
  returned: success
  sample: [allow in proto tcp from 10.0.1.0/24 to any port 22]
removed:
  description: The rules that are no longer there, in the words of the ufw command.
  type: list
  elements: str
  returned: success
reordered:
  description: Whether rules that stay were put into another order.
  type: bool
  returned: success
settings:
  description: The settings that changed, with their new values.
  type: dict
  returned: success
  sample: {incoming: deny, logging: low, state: enabled}
drift:
  description:
    - How the kernel and the files differed from each other before the run. All of it is mended.
    - Empty while UFW is off, because then nothing of it is in the kernel.
  type: list
  elements: str
  returned: success
  sample: ["IPv4 kernel: ufw-user-input has -p tcp -m tcp --dport 9999 -j ACCEPT"]
confirmation:
  description: >-
    V(confirmed over a new connection), or why that was not needed: V(nothing to confirm), V(check mode),
    V(switched off), or a connection that cannot be cut.
  type: str
  returned: success
opened:
  description:
    - Sets of packets that open new connections and are let through after the change but were not before.
    - At most 200; RV(unlisted) says how many more there are.
  type: list
  elements: dict
  returned: success
  contains: &changes
    family:
      description: V(4) or V(6).
      type: int
    direction:
      description: V(in), V(out) or V(routed).
      type: str
    source:
      description: V(any), or addresses, networks and ranges.
      type: list
      elements: str
    destination:
      description: As RV(opened[].source).
      type: list
      elements: str
    protocol:
      description: V(any), or names and numbers.
      type: list
      elements: str
    ports:
      description: Destination ports and ranges, or V(any).
      type: list
      elements: str
    interface:
      description: The interface they come in by (direction V(out) leave by), or V(any).
      type: list
      elements: str
    text:
      description: The set in words, with what it depends on where that is not certain.
      type: str
    witness:
      description: One packet of the set.
      type: str
  sample:
    - family: 4
      direction: in
      source: [10.0.1.0/24]
      destination: [any]
      protocol: [tcp]
      ports: ["22"]
      interface: [any]
      text: tcp 22 from 10.0.1.0/24 to any
      witness: tcp 22 from 10.0.1.1 port 40000 to 192.0.2.2 in on eth0
closed:
  description: As RV(opened), for what was let through before and is not after the change.
  type: list
  elements: dict
  returned: success
  contains: *changes
unclear:
  description: As RV(opened), for packets of which before and after the change other things decide that are not modelled.
  type: list
  elements: dict
  returned: success
  contains: *changes
unlisted:
  description: What RV(opened), RV(closed) and RV(unclear) leave out, and why.
  type: list
  elements: str
  returned: success
  sample: ["opened: 800 more"]
flushed:
  description: How many established connections O(flush_established) cuts.
  type: int
  returned: success
shadowed:
  description: Rules of the input that can never match, because an earlier one takes all of their packets.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset

_ADDRESS = {"type": "str", "default": "any"}
_POLICY = {"type": "str", "choices": ["allow", "deny", "reject"]}
_RULE = {
    "rule": {"type": "str", "choices": ["allow", "deny", "reject", "limit"], "required": True},
    "direction": {"type": "str", "choices": ["in", "out"], "default": "in"},
    "route": {"type": "bool", "default": False},
    "interface": {"type": "str", "aliases": ["if"]},
    "interface_in": {"type": "str", "aliases": ["if_in"]},
    "interface_out": {"type": "str", "aliases": ["if_out"]},
    "proto": {
        "type": "str",
        "choices": ["any", "tcp", "udp", "ipv6", "esp", "ah", "igmp", "gre", "vrrp"],
        "default": "any",
        "aliases": ["protocol"],
    },
    "from_ip": {**_ADDRESS, "aliases": ["from", "src"]},
    "from_port": {"type": "str"},
    "from_app": {"type": "str"},
    "to_ip": {**_ADDRESS, "aliases": ["to", "dest"]},
    "to_port": {"type": "str", "aliases": ["port"]},
    "app": {"type": "str", "aliases": ["name"]},
    "log": {"type": "str", "choices": ["off", "new", "all"], "default": "off"},
    "comment": {"type": "str"},
}

_PUBLISHED = {
    "rule": {"type": "str", "choices": ["allow", "deny"], "default": "allow"},
    "routed": {"type": "bool", "default": False},
    "proto": {
        "type": "str",
        "choices": ["any", "tcp", "udp", "sctp", "esp", "ah", "gre", "vrrp", "igmp", "ipv6"],
        "default": "any",
    },
    "from_ip": {**_ADDRESS, "aliases": ["from", "src"]},
    "to_ip": {**_ADDRESS, "aliases": ["to", "dest"]},
    "port": {"type": "str", "aliases": ["to_port"]},
    "comment": {"type": "str"},
}
_DOCKER = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bridges": {"type": "list", "elements": "str", "default": ["docker0", "docker_gwbridge", "br-+"]},
    "interfaces": {"type": "list", "elements": "str", "default": []},
    "published": {"type": "list", "elements": "dict", "options": _PUBLISHED, "default": []},
}


def main() -> None:
    """Entry point of the module."""
    run_ruleset(
        {
            "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
            "default": {"type": "dict", "options": {"incoming": _POLICY, "outgoing": _POLICY, "routed": _POLICY}},
            "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"]},
            "ipv6": {"type": "bool"},
            "purge": {"type": "bool", "default": False},
            "rules": {"type": "list", "elements": "dict", "options": _RULE},
            "docker": {"type": "dict", "options": _DOCKER},
            "confirm": {"type": "dict", "options": {"timeout": {"type": "int", "default": 30}}, "apply_defaults": True},
            "accept_lockout": {"type": "bool", "default": False},
            "flush_established": {"type": "bool", "default": False},
        }
    )


if __name__ == "__main__":
    main()
