# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The value of a variable, if it is the inventory's or the play's and no host's."""

from __future__ import annotations

DOCUMENTATION = r"""
name: declared
short_description: The value of a variable, as the inventory or the play declares it
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Like P(ansible.builtin.vars#lookup), for values that decide what the controller does or what another host gets (a token, a URL
    that a key is sent to, a path on the controller).
  - Whatever a module returns as C(ansible_facts) outranks role defaults, group_vars and host_vars, and a host that was taken over
    returns what it likes. Where the host's facts have the name of a variable that decides something (a C(bulkhead_*) variable, or one
    of this collection's roles), this is an error, and the task is not run.
  - The value is templated without what facts have set (C(inject_facts_as_vars)), so that nothing it refers to is a host's either.
  - In a task with a loop, what one item's result has set is refused at the next item, if the lookup stands in the task itself.
options:
  _terms:
    description: Names of variables.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Send the key to MAAS, and to nobody else
  bulkhead.tiers.maas_vlan_info:
    url: "{{ lookup('bulkhead.tiers.declared', 'provisioning_maas_url') }}"
    api_key: "{{ provisioning_maas_api_key }}"
"""

RETURN = r"""
_raw:
  description: The values, in the order of their names.
  type: list
  elements: raw
"""

from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration


class LookupModule(LookupBase):
    """Names in, values out."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        found = []
        for name in terms:
            try:
                found.append(declaration.value_of(name, variables or {}, self._templar))
            except Refused as error:
                raise AnsibleLookupError(str(error)) from error
            except AnsibleError as error:
                raise AnsibleLookupError(f"{name}: {error}") from error
        return found
