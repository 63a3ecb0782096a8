# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the site's flows let this host use a service of a named host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: reach
short_description: Where the site's flows let this host use a service of a named host
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Answers from the declared site alone (C(bulkhead_tiers), C(bulkhead_addresses), C(bulkhead_services),
    C(bulkhead_flows) and the host's groups), without asking a host, so that C(--limit) changes nothing.
  - A configuration made from the answer sends nothing that a firewall of the site would drop.
requirements:
  - netaddr 0.8.0 or newer, in the Python that runs Ansible
options:
  _terms:
    description: Names of C(bulkhead_addresses).
    type: list
    elements: str
    required: true
  service:
    description: A name of C(bulkhead_services).
    type: str
    required: true
notes:
  - A site that is wrong is an error here as it is in M(bulkhead.tiers.site).
"""

EXAMPLES = r"""
- name: Where the host may send its log
  ansible.builtin.debug:
    msg: "{{ query('bulkhead.tiers.reach', 'collector', service='syslog') }}"
"""

RETURN = r"""
_raw:
  description:
    - What is allowed, in the declared order; empty where the host may not send there at all.
    - The port is the first of a range of ports, and 0 for a protocol without ports.
  type: list
  elements: dict
  sample:
    - {address: 10.0.3.11, proto: tcp, port: 514}
"""

from collections.abc import Collection, Mapping
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.reach import host_reach
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import suggestion


class LookupModule(LookupBase):
    """The host's variables in, what it may send to out."""

    def run(
        self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        service = self.get_option("service")
        try:
            declared = declaration.read(variables, self._templar)
            site = declared.site
            place = declaration.host_place(declared, variables)
        except Refused as error:
            raise AnsibleLookupError(f"The site's declaration has mistakes.\n{error}") from error
        for name in terms:
            _declared("bulkhead_addresses", name, site.addresses)
        _declared("bulkhead_services", service, site.services)
        return [target for name in terms for target in host_reach(site, *place, name, service)]


def _declared(variable: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        remedy = suggestion(name, known) or "declare it there"
        raise AnsibleLookupError(
            f"{variable}: got no {name}; expected one of {', '.join(known) or 'nothing'}; {remedy}"
        )
