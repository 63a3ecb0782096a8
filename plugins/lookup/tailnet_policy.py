# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy of the site's tailnet, compiled on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tailnet_policy
short_description: The policy that the site's tailnet is to have
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Compiles C(bulkhead_tailnet) and the flows with C(via=tailnet) into the policy document of the control server, in the dialect of the
    site (Headscale or Tailscale), without asking a host or a server, so that C(--limit) changes nothing.
  - The inventory's groups decide nothing but what the policy's own tests ask, where a host is in several tiers.
  - What no flow allows is denied. The key C(grants) is always there, for a policy without it allows everything.
requirements:
  - netaddr 0.8.0 or newer, in the Python that runs Ansible
options:
  _terms:
    description: Nothing, or keys of the document, one below the other.
    type: list
    elements: str
  present:
    description:
      - The tags and users that have a node by now, such as V(tag:web) or V(alice@example.com). The policy's own tests are then about
        these alone, for Headscale refuses a test of which an end has no node yet.
      - Left out, the tests are about all of them. An empty list leaves the tests out.
    type: list
    elements: str
notes:
  - A site that is wrong is an error here as it is in M(bulkhead.tiers.site).
"""

EXAMPLES = r"""
- name: Show the policy
  ansible.builtin.debug:
    msg: "{{ lookup('bulkhead.tiers.tailnet_policy') }}"

- name: Show it as it is before the first node has joined
  ansible.builtin.debug:
    msg: "{{ lookup('bulkhead.tiers.tailnet_policy', present=[]) }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, the document or what the keys lead to.
    - V(groups), V(tagOwners), V(hosts), V(grants), V(autoApprovers), V(ssh), V(tests) and V(sshTests) are as the control server takes
      them; those that would be empty are left out, except V(grants). A site without C(bulkhead_tailnet) has an empty list of grants.
  type: list
  elements: raw
"""

from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import policy_document
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import refuse_slice


class LookupModule(LookupBase):
    """The host's variables in, the policy of its site's tailnet out."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        present = self.get_option("present")
        try:
            refuse_slice(variables or {}, "the tailnet's policy")
            declared = declaration.read(variables or {}, self._templar)
            site = declared.site
        except Refused as error:
            raise AnsibleLookupError(str(error)) from error
        groups = (variables or {}).get("groups") or {}
        found: Any = policy_document(site, present, declared.places(groups).values())
        for depth, key in enumerate(terms):
            if not isinstance(found, Mapping) or key not in found:
                raise AnsibleLookupError(f"tailnet_policy has no {'.'.join(terms[: depth + 1])}")
            found = found[key]
        return [found]
