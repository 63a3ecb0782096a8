# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers of the site as a play takes them: one after the other, in declared order."""

from __future__ import annotations

DOCUMENTATION = r"""
name: waves
short_description: The hosts of a play, tier by tier in declared order
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - For the keywords C(hosts) and C(serial) of a play, which know no host's variables. The site is read as a host of the run sees it;
    of what hosts have returned, nothing is.
  - The variable C(change_tiers), an answer to a survey of AWX, names tiers to which a run is narrowed; empty means all of them. Routers are
    applied in a play of their own, whatever it says. A run with C(change_rollback) is for all tiers.
  - It decides in which order hosts come. What a host gets is its own plan (P(bulkhead.tiers.host_plan#lookup)).
options:
  _terms:
    description: Nothing.
notes:
  - A play that has run before in the same playbook makes the variables known. Where none has, as with C(--list-hosts), the answer is
    all hosts but the routers at once.
"""

EXAMPLES = r"""
- name: Every tier, in declared order
  hosts: "{{ lookup('bulkhead.tiers.waves').hosts }}"
  serial: "{{ lookup('bulkhead.tiers.waves').serial }}"
  tasks: []
"""

RETURN = r"""
_raw:
  description:
    - C(hosts) is the list of the tiers that have hosts in this run, and C(serial) how many hosts each of them adds.
    - C(stacks) is the list of the hosts that deploy stacks.
    - C(whole) is whether the run has the whole inventory, and no slice of it that AWX has cut.
  type: list
  elements: dict
  sample:
    - {hosts: [web, db], serial: [2, 1], stacks: [web1], whole: true}
"""

from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.answers import tiers_asked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import slice_of

#: A pattern for no host, without a warning that it matches none.
NOBODY = ["all", "!all"]


class LookupModule(LookupBase):
    """The play's variables in, {hosts, serial, stacks} out."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        # Before a play has its hosts, this is all of the inventory that --limit leaves.
        here = list(variables.get("ansible_play_hosts_all") or ())
        if not here or "hostvars" not in variables:
            return [{"hosts": ["all", f"!{declaration.GATEWAY_GROUP}"], "serial": [], "stacks": NOBODY, "whole": True}]
        try:
            declared = self._read(here, variables)
            groups = variables.get("groups") or {}
            places = declared.places(groups)
            only = tiers_asked(variables, declared.outline.tiers)
            here = [host for host in here if not only or only & {*places[host].tiers}]
            stacks = [host for host in here if declared.plan(host, places[host])["stacks"]]
        except Refused as error:
            raise AnsibleLookupError(str(error)) from error
        whole = slice_of(variables) is None
        waves = _waves(declared.outline.tiers, here, places)
        return [
            {
                "hosts": list(waves) or NOBODY,
                "serial": list(waves.values()),
                "stacks": stacks or NOBODY,
                "whole": whole,
            }
        ]

    def _read(self, here: list[str], variables: Mapping[str, Any]) -> declaration.Declaration:
        """The declaration as the first host sees it that has not tried to change it."""
        refused: Optional[Refused] = None
        for host in here:
            # Raw: the declaration is templated where that is needed, and nothing else.
            seen = variables["hostvars"].raw_get(host)
            try:
                return declaration.read(seen, self._templar.copy_with_new_env(available_variables=seen))
            except Refused as error:
                refused = refused or error
                if any(mistake.kind != declaration.INJECTED for mistake in error.mistakes):
                    break
        raise refused or Refused([])


def _waves(tiers: tuple[str, ...], here: list[str], places: Mapping[str, declaration.Place]) -> dict[str, int]:
    """{tier: how many hosts it adds to the tiers before}; without those that add none, for 0 is all to Ansible."""
    left, waves = set(here), {}
    for tier in tiers:
        added = {host for host in left if tier in places[host].tiers}
        left -= added
        if added:
            waves[tier] = len(added)
    return waves
