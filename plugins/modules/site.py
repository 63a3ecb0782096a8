#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site
short_description: Check the declared site
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads every C(bulkhead_*) variable of the host, and checks the declaration as a whole and this host's part of it.
  - All problems are reported at once, each with its key path, what was found, what is expected and what to do.
  - It is quick and the same on every host, so that each play can begin with it. It sets no fact, for a host can set its own.
    What the site means for a host is compiled on the controller each time by P(bulkhead.tiers.host_plan#lookup).
  - Where facts of the host have the name of a variable that decides something (a C(bulkhead_*) variable, or one of this
    collection's roles), the task fails, for no host sets those. Where C(inject_facts_as_vars) lets facts set other variables, it warns.
  - A run with C(--limit) is checked like a whole one.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.controller
attributes:
  action:
    description: It is an action plugin; no part of it runs on the host.
    support: full
options:
  report:
    description:
      - Whether to print the plan of the whole site, and return it as RV(plan).
      - The plan shows the address plan, the matrix of flows, warnings, and the rules of every tier.
    type: bool
    default: false
  page:
    description:
      - Where the plan is written as a page for people, one file that asks the network for nothing, with O(report=true). An
        empty path, and check mode, write none.
    type: path
  directory:
    description: The folder that O(page) must lie below, links followed. A relative path starts at the current directory.
    type: path
    default: reports
  require_hosts:
    description:
      - Whether it is an error that no host of the inventory is in a tier or in C(gateway), whatever C(--limit) says.
    type: bool
    default: false
  answers:
    description:
      - Whether a run that applies the site may begin, by what AWX's survey and the plan of the same workflow say. It is an error where
        C(change_until) has passed, C(change_tiers) has what is no tier, or the project has another commit than C(site_plan) says.
        Where C(change_rollback) is true, none of it is looked at.
    type: bool
    default: false
  static:
    description:
      - With O(report=true), whether the compiled rules are proven to let through what is declared and nothing else, as exact sets of
        packets, for which no host is asked. It fails where they do not.
    type: bool
    default: false
  declaration:
    description:
      - The variables of the site by name, for instance V(bulkhead_tiers), instead of the host's own.
    type: dict
notes:
  - A host's tiers are those of its groups that are keys of C(bulkhead_tiers). A host of group V(gateway) is a router.
  - An O(declaration) is taken as it is. The host's own variables are templated.
"""

EXAMPLES = r"""
- name: Check the site
  bulkhead.tiers.site:

- name: Print the plan of the site
  bulkhead.tiers.site:
    report: true
  run_once: true
"""

RETURN = r"""
page:
  description: Where the page of the plan was written.
  returned: O(page) is set, and this is no check mode
  type: str
  sample: /srv/site/reports/plan.html
static:
  description: The proof of the compiled rules, as C(docs/proof.md) describes it.
  returned: when O(report=true) and O(static=true)
  type: dict
summary:
  description:
    - What an approver reads of the plan, short at any size of the fleet - the first letters of the declaration's hash, the hosts of each
      tier, how many hosts, flows and invariants there are, and the first warnings. No invariant is broken, or the task fails.
  returned: when O(report=true)
  type: dict
plan:
  description: The plan of the whole site as data.
  returned: when O(report=true)
  type: dict
"""
