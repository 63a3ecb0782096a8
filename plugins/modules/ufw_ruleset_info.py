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
  - Says how the kernel's rules and UFW's files differ.
  - Starts no C(ufw) process and changes nothing.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.debian
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
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
drift:
  description: How the kernel and the files differ, one line each.
  type: list
  elements: str
  returned: success
  sample: ["IPv4 kernel: ufw-user-input has -p tcp -m tcp --dport 9999 -j ACCEPT"]
docker:
  description: Docker's published ports, in the shape of the O(bulkhead.tiers.ufw_ruleset#module:docker) input.
  type: dict
  returned: success
  sample: {state: present, bridges: [docker0], published: [{rule: allow, proto: tcp, from_ip: 10.0.3.0/24, port: "5432"}]}
foreign:
  description:
    - Rules in the kernel's built-in chains that are not UFW's and stand before UFW's, so that they decide first.
    - Docker's and fail2ban's are there by right. M(bulkhead.tiers.ufw_ruleset) leaves all of them alone.
  type: list
  elements: str
  returned: success
  sample: ["IPv4 FORWARD: -j DOCKER-USER"]
"""

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_info


def main() -> None:
    """Entry point of the module."""
    run_info()


if __name__ == "__main__":
    main()
