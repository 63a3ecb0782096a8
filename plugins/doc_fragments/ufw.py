# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """A UFW ruleset, as it should be."""

    DOCUMENTATION = r"""
options:
  confirm:
    description:
      - How a change of the kernel's rules is confirmed. Nothing of it happens when nothing changes.
      - >-
        A connection that does not pass the host's firewall (local, docker, podman, chroot and the like) cannot be cut:
        there the change is written to the files at once, and RV(bulkhead.tiers.ufw_ruleset#module:confirmation) says so.
    type: dict
    suboptions:
      timeout:
        description:
          - Seconds from the beginning of the change until the host rolls it back by itself, 5-3600.
          - V(0) writes the change to the files without a confirmation.
        type: int
        default: 30
      over:
        description:
          - Another address or name of the host, such as the one in a tailnet or a management network.
          - A ruleset that would stop the connection of the task is then not refused. It is confirmed over a new connection to
            this address, and rolled back where none comes through; so the one way is closed only when the other is proven.
          - A ruleset that keeps the connection of the task is confirmed over that, as ever.
        type: str
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
            description:
              - Whether the packets pass. They are dropped otherwise.
              - >-
                V(limit) lets them pass, but for the sixth new connection of a source within 30 seconds and those after it,
                until 30 seconds pass without a try, as UFW's own limit does.
            type: str
            choices: [allow, deny, limit]
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
  nat:
    description:
      - >-
        What the host, a router, translates. Left alone if absent; V({}) translates nothing and removes every trace.
        It does not turn on forwarding, and O(rules) with V(route) still decide what passes.
      - >-
        It stands in marked blocks of C(/etc/ufw/before.rules) and C(/etc/ufw/before6.rules), with chains of its own in the
        table C(nat): rules of others there, such as Docker's, stay. C(/etc/ufw/before.init) gets a marked part and is made
        executable, by which UFW takes the jumps to these chains away before it starts or stops: they are there once after
        every reload, and not while UFW is off.
    type: raw
    suboptions:
      forward:
        description: Ports of this host that are forwarded, the first that matches wins. They precede Docker's published ports.
        type: list
        elements: dict
        default: []
        suboptions:
          rule:
            description: V(none) leaves what it matches as it is.
            type: str
            choices: [forward, none]
            default: forward
          proto:
            description: The protocol. V(any) is TCP and UDP.
            type: str
            choices: [any, tcp, udp]
            default: any
          from_ip:
            description: The source, V(any), an address or a network.
            type: str
            default: any
            aliases: [from, src]
          to_ip:
            description: The address of this host that the client asks for. V(any) is any that it has.
            type: str
            default: any
            aliases: [to, dest]
          port:
            description: The port that the client asks for, such as V(443), V(80,443) or V(8000:8100).
            type: raw
            aliases: [to_port]
          target:
            description: The address of the host that gets it.
            type: str
          target_port:
            description: Its port there, for one O(nat.forward[].port). The same port if absent.
            type: raw
          comment:
            description: One line of text, kept in the rules file.
            type: str
      masquerade:
        description: What leaves with this host's own address, the first that matches wins.
        type: list
        elements: dict
        default: []
        suboptions:
          rule:
            description: V(none) leaves what it matches as it is.
            type: str
            choices: [masquerade, none]
            default: masquerade
          from_ip:
            description: The network whose hosts get this host's address. With O(nat.masquerade[].rule=none) it may be V(any).
            type: str
            aliases: [from, src]
          to_ip:
            description: Where to, V(any), an address or a network.
            type: str
            default: any
            aliases: [to, dest]
          comment:
            description: One line of text, kept in the rules file.
            type: str
"""
