#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host's UFW ruleset is as it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_ruleset_plan
short_description: Whether a host's UFW ruleset is as it should be
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - >-
    Reads and compares as M(bulkhead.tiers.ufw_ruleset) does, and changes nothing. That module's action plugin asks it
    first: what only a change needs is sent only to hosts on which something changes.
  - >-
    Use M(bulkhead.tiers.ufw_ruleset) in check mode to see what would change, with its effect.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.debian
  - bulkhead.tiers.ufw
requirements:
  - UFW 0.36 on the host, with iptables' legacy or nf_tables backend
seealso:
  - module: bulkhead.tiers.ufw_ruleset
"""

EXAMPLES = r"""
- name: Ask whether these are the rules
  bulkhead.tiers.ufw_ruleset_plan:
    purge: true
    rules:
      - {rule: allow, proto: tcp, to_port: "80,443"}
  register: ufw

- name: Fail where they are not
  ansible.builtin.assert:
    that: ufw.same
"""

RETURN = r"""
same:
  description:
    - Whether M(bulkhead.tiers.ufw_ruleset) would change nothing. Then the answer holds its return values, too.
    - V(false) as well where a change waits for its confirmation, or was left unsettled.
  type: bool
  returned: success
"""

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import look
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset


def plan(host: Host, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """What a run that changes nothing returns, or that it is none."""
    found = look(host, params, check_mode)
    return {"changed": False, "same": False} if found is None else {**found, "same": True}


def main() -> None:
    """Entry point of the module."""
    run_ruleset(plan)


if __name__ == "__main__":
    main()
