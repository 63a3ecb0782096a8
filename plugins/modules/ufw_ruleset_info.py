#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live UFW ruleset of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_ruleset_info
short_description: The live UFW ruleset of a host
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - >-
    Reads UFW's rules and settings as the input of M(bulkhead.tiers.ufw_ruleset), which changes nothing when it gets
    them back together with O(bulkhead.tiers.ufw_ruleset#module:purge=true).
  - Says how the kernel's rules and UFW's files differ, how many packets each rule decided, and whether a change waits
    for its confirmation.
  - Starts no C(ufw) process and changes nothing.
  - >-
    The module reads; its action plugin of the same name works out on the controller what that means.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.debian
attributes:
  action:
    description: The answer is worked out on the controller.
    support: full
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
options:
  findings:
    description: Whether RV(dead) and RV(conflicting) are worked out, which takes most of the time with many rules.
    type: bool
    default: true
  depth:
    description:
      - How much is read. The action plugin chooses it, and reads V(files) where hand-written files of UFW may differ from
        the kernel.
    type: str
    choices: [rules, kernel, files]
    default: kernel
seealso:
  - module: bulkhead.tiers.ufw_ruleset
"""

EXAMPLES = r"""
- name: Read the ruleset
  bulkhead.tiers.ufw_ruleset_info:
  register: ufw

- name: Fail where somebody changed the kernel's rules or the files by hand
  ansible.builtin.assert:
    that: not ufw.drift
    fail_msg: "{{ ufw.drift | join('\n') }}"

- name: Show the rules that no packet has met since they were loaded
  ansible.builtin.debug:
    msg: "{{ ufw.counters | selectattr('packets', 'eq', 0) | map(attribute='rule') }}"

- name: Apply what is there; this changes nothing
  bulkhead.tiers.ufw_ruleset:
    default: "{{ ufw.default }}"
    logging: "{{ ufw.logging }}"
    purge: true
    rules: "{{ ufw.rules }}"
"""

RETURN = r"""
active:
  description: Whether UFW is switched on and its rules are in the kernel.
  type: bool
  returned: success
enabled:
  description: Whether UFW is switched on, so that it starts at the next boot.
  type: bool
  returned: success
default:
  description: The default policies, V(allow), V(deny) or V(reject).
  type: dict
  returned: success
  sample: {incoming: deny, outgoing: allow, routed: deny}
logging:
  description: The log level.
  type: str
  returned: success
  sample: low
ipv6:
  description: Whether UFW filters IPv6.
  type: bool
  returned: success
rules:
  description: The rules of UFW's files, in the shape of the O(bulkhead.tiers.ufw_ruleset#module:rules) input.
  type: list
  elements: dict
  returned: success
  sample: [{rule: allow, proto: tcp, from_ip: 10.0.1.0/24, to_port: "22"}]
counters:
  description:
    - What the kernel counted for each of RV(rules), in their order. IPv4 and IPv6 are added up, and so are the lines that a
      rule is in the kernel.
    - Packets that the rule decided. UFW lets established connections through before its rules, so that of a connection
      that is allowed it is the first packet.
    - A rule begins at 0 when the chain that it stands in is loaded anew, by a change of any rule of the same direction,
      C(ufw reload) or a boot.
  type: list
  elements: dict
  returned: success
  contains:
    rule:
      description: The rule in the words of the C(ufw) command.
      type: str
    packets:
      description: How many packets, or V(null) where the kernel does not have the rule.
      type: int
    bytes:
      description: How many bytes, or V(null) where the kernel does not have the rule.
      type: int
  sample: [{rule: "allow in proto tcp from 10.0.1.0/24 to any port 22", packets: 12, bytes: 720}]
pending:
  description:
    - The change that waits for its confirmation, or V(null). RV(rules) are the old ones then, of the files; RV(drift) and
      RV(counters) are about the kernel, which has the new ones.
  type: dict
  returned: success
  contains:
    token:
      description: The name of the change.
      type: str
    seconds:
      description: Until the host rolls it back by itself.
      type: int
    keep:
      description: The command that keeps it, for root on the host.
      type: str
    back:
      description: The command that rolls it back at once, for root on the host.
      type: str
  sample: null
drift:
  description: How the kernel and the files differ, one line each.
  type: list
  elements: str
  returned: success
  sample: ["IPv4 kernel: ufw-user-input has -p tcp -m tcp --dport 9999 -j ACCEPT"]
nat:
  description: What the host translates, in the shape of the O(bulkhead.tiers.ufw_ruleset#module:nat) input; empty for nothing.
  type: dict
  returned: success
  sample: {forward: [{rule: forward, proto: tcp, port: "443", target: 10.0.1.10}], masquerade: [{rule: masquerade, from_ip: 10.0.1.0/24}]}
docker:
  description: Docker's published ports, in the shape of the O(bulkhead.tiers.ufw_ruleset#module:docker) input.
  type: dict
  returned: success
  sample: {state: present, bridges: [docker0], published: [{rule: allow, proto: tcp, from_ip: 10.0.3.0/24, port: "5432"}]}
dead:
  description:
    - Rules that decide about no packet, because what stands before them in the kernel takes all of theirs, with what that is.
    - V(null) without O(findings).
  type: list
  elements: str
  returned: success
conflicting:
  description: Pairs of rules with different answers for the same packets, so that their order matters. V(null) as RV(dead).
  type: list
  elements: str
  returned: success
unlisted:
  description: What RV(dead) and RV(conflicting) leave out, and why.
  type: list
  elements: str
  returned: success
foreign:
  description:
    - Rules in the kernel's built-in chains that are not UFW's and stand before UFW's, so that they decide first.
    - Docker's and fail2ban's are there by right. M(bulkhead.tiers.ufw_ruleset) leaves all of them alone.
  type: list
  elements: str
  returned: success
  sample: ["IPv4 FORWARD: -j DOCKER-USER"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import ARGUMENTS, take_snapshot


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(changed=False, snapshot=take_snapshot(Host(), module.params["depth"]))
    except RulesetError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
