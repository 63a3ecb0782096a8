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
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
options:
  state:
    description:
      - V(enabled) has UFW filter now and after a reboot. V(disabled) switches it off; rules and settings are stored.
      - >-
        From inactive to active C(ufw --force enable) is run once, when the rules are in the files already. Make sure
        that they let the connection of Ansible in.
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
notes:
  - C(MANAGE_BUILTINS=yes) in C(/etc/default/ufw) is refused, because UFW then flushes the rules of other programs.
  - >-
    Connections that are established stay open when the rule that let them in is removed; that is what UFW's own
    before.rules say.
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

- name: See what a run would change
  bulkhead.tiers.ufw_ruleset:
    purge: true
    rules: "{{ ufw_rules }}"
  check_mode: true
  diff: true
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
        }
    )


if __name__ == "__main__":
    main()
