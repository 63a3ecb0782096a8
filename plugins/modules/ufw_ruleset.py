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
    from the kernel by hand, an edited file, or an update that UFW itself lost is found, shown and repaired.
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
  ways:
    description:
      - Hosts and groups of the inventory whose way from the controller may lead through this host, a router.
      - Where this task would change something, each of them is first asked over a new connection what it sees as its
        client. A ruleset that would cut one of these ways is refused with the list of them, and the change is only
        confirmed when all that answered before answer again.
      - Hosts that are not reached over SSH are passed over.
    type: list
    elements: str
    default: []
  through:
    description:
      - What the hosts of O(ways) see. The task fills it in by itself; give it where there is no controller.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Its name, for messages.
        type: str
        required: true
      client:
        description: The address that a connection comes from.
        type: str
        required: true
      server:
        description: The address that it goes to.
        type: str
        required: true
      port:
        description: The TCP port that it goes to.
        type: int
        required: true
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
    description:
      - The policies for packets that no rule matches. One that is absent is left alone.
      - A single word is the policy of incoming packets.
    type: raw
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
    description:
      - UFW's log level; see C(man ufw). Left alone if absent.
      - V(on) is V(low) where it is off, and leaves any other level as it is, as C(ufw logging on) does.
    type: str
    choices: ['off', 'on', low, medium, high, full]
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
      - V(true) makes the ruleset exactly the list, in its order; what O(keep) names stays where it is.
    type: bool
    default: false
  keep:
    description:
      - Whose rules stay, because another program looks after them.
    type: raw
    suboptions:
      comments:
        description:
          - Patterns (C(*), C(?), C([...])) of comments. A UFW rule that has one is left alone by O(purge).
          - The default is what fail2ban's action C(ufw) writes.
        type: list
        elements: str
        default: [by Fail2Ban*]
      chains:
        description:
          - >-
            Patterns of chains and sets. A rule in the kernel that jumps to such a chain, or asks such a set, stays at the
            head of a chain that is UFW's or O(docker)'s otherwise.
          - >-
            C(ufw reload) and a boot load the files, which do not have such rules: the program that made them has to put
            them back then, as fail2ban and CrowdSec's bouncer do when they start.
        type: list
        elements: str
        default: [f2b-*, fail2ban-*, crowdsec*, CROWDSEC*]
  rules:
    description:
      - >-
        The rules, the first that matches wins. Left alone if absent; an empty list with O(purge=true) removes all.
      - >-
        Every mistake in the list is reported at once, with the rule's index, before anything is touched. Two rules of
        the same match are a mistake.
    type: list
    elements: raw
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
        type: raw
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
          - >-
            The destination port, such as V(22), V(80,443) or V(8000:8100), or a YAML list. A list or a range needs a
            protocol.
          - A service name is looked up in C(/etc/services) of the host, and may bring its protocol, as with C(ufw).
          - Quote a range. YAML reads V(22:23) without quotes as the number 1343.
        type: raw
        aliases: [port]
      app:
        description:
          - An application profile of C(/etc/ufw/applications.d) whose ports are the destination ports.
          - >-
            Together with O(rules[].proto) and O(rules[].to_port), that one of its ports alone; the profile itself is not
            looked up then. M(bulkhead.tiers.ufw_ruleset_info) exports so what is not a whole profile.
        type: str
        aliases: [name]
      log:
        description: Log V(new) connections that the rule matches, or V(all) packets. V(true) is V(new).
        type: str
        choices: ['off', new, all]
        default: 'off'
      comment:
        description: Text, shown by C(ufw status).
        type: str
      position:
        description:
          - V(first) puts the rule before all rules that are not listed. Several such rules keep the order of the list.
        type: str
        choices: [first]
      delete:
        description: V(true) removes the rule of this match and action, and leaves all others alone.
        type: bool
        default: false
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
    type: raw
    suboptions:
      state:
        description:
          - V(present) has the list decide. V(absent) removes every trace of it; published ports are open again.
          - V(auto) is V(present) on a host that has a Docker Engine, or rules of Docker in its kernel, and leaves Docker's
            chain alone on another one.
        type: str
        choices: [present, absent, auto]
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
            type: raw
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

- name: Remove one rule, put another one before all that are there
  bulkhead.tiers.ufw_ruleset:
    rules:
      - {rule: allow, to_port: 8080, proto: tcp, delete: true}
      - {rule: deny, from_ip: 203.0.113.0/24, position: first}

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
    - How the kernel and the files differed from each other before the run. The run repairs all of it.
    - Of the kernel nothing while UFW is off, because then nothing of it is there.
    - Lines that begin with V(boot:) are about what the next boot would do otherwise.
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
dead:
  description:
    - Rules that decide about no packet, because what stands before them takes all of theirs, with what that is.
    - V(null) where nothing changes, because it is examined with a change; M(bulkhead.tiers.ufw_ruleset_info) always does.
  type: list
  elements: str
  returned: success
conflicting:
  description: Pairs of rules with different answers for the same packets, so that their order matters. V(null) as RV(dead).
  type: list
  elements: str
  returned: success
"""

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset

WAY = {
    "host": {"type": "str", "required": True},
    "client": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
}


def main() -> None:
    """Entry point of the module."""
    run_ruleset(
        {
            "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
            "default": {"type": "raw"},
            "logging": {"type": "str", "choices": ["off", "on", "low", "medium", "high", "full"]},
            "ipv6": {"type": "bool"},
            "purge": {"type": "bool", "default": False},
            # Checked by module_utils/ufw/parse.py, which names every mistake by its index and converts nothing silently.
            "rules": {"type": "list", "elements": "raw"},
            "keep": {"type": "raw"},
            "docker": {"type": "raw"},
            "confirm": {"type": "dict", "options": {"timeout": {"type": "int", "default": 30}}, "apply_defaults": True},
            "accept_lockout": {"type": "bool", "default": False},
            "flush_established": {"type": "bool", "default": False},
            # The action plugin asks these hosts and hands over what they see, as `through`.
            "ways": {"type": "list", "elements": "str", "default": []},
            "through": {"type": "list", "elements": "dict", "default": [], "options": WAY},
        }
    )


if __name__ == "__main__":
    main()
