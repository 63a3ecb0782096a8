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
  - bulkhead.tiers.ufw
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
    description:
      - The action plugin of the same name asks M(bulkhead.tiers.ufw_ruleset_plan) first, which is all where nothing
        changes. The module applies; the action plugin opens the new connection and confirms.
    support: full
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
  - C(conntrack) on the host for O(flush_established)
notes:
  - >-
    O(docker) fails where it would do nothing: the Engine's nftables backend (C(firewall-backend)) has no
    C(DOCKER-USER). With C("iptables": false) in C(daemon.json) it warns, because Docker then makes no rules at all.
  - >-
    While a change waits for its confirmation every other run fails and says so; C(python3
    /run/bulkhead/ufw/guard.py back) on the host rolls it back at once.
  - C(MANAGE_BUILTINS=yes) in C(/etc/default/ufw) is refused, because UFW then flushes the rules of other programs.
  - >-
    The lock-out proof and RV(opened), RV(closed) read the tables raw, mangle, security and filter. What nat translates, and
    routes, are left to the confirmation; tables of nftables' own make the answers depend on what is not modelled.
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

- name: A router that gives a network its own address to the outside, and forwards a port to a host in it
  bulkhead.tiers.ufw_ruleset:
    rules:
      - {rule: allow, route: true, from_ip: 10.0.1.0/24}
      - {rule: allow, route: true, proto: tcp, to_ip: 10.0.1.10, to_port: 8443}
    nat:
      masquerade:
        - {rule: none, from_ip: 10.0.1.0/24, to_ip: 10.0.0.0/16}
        - {from_ip: 10.0.1.0/24}
      forward:
        - {proto: tcp, port: 443, target: 10.0.1.10, target_port: 8443}

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

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset


def main() -> None:
    """Entry point of the module."""
    run_ruleset(converge)


if __name__ == "__main__":
    main()
