#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: change
short_description: Say what a run would open and close, before it touches a host
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Holds what the hosts let through now against what they would let through with the rules of their plans, as exact sets of packets from
    end to end, and says it in the site's own words.
  - Fails where an invariant would be broken, and where the site says so (C(bulkhead_changes)), before a host is touched.
  - Writes a record of the change. It changes no host. The role C(change) calls its steps.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: It is an action plugin; what it runs on the hosts is M(bulkhead.tiers.firewall_setup), which only looks.
    support: full
  platform:
    support: full
    platforms: linux
options:
  step:
    description:
      - V(begin) settles which hosts it is about. Run it once.
      - V(read) reads a host. Run it on each. What the host returns is kept on the controller, and becomes no variable.
      - V(judge) says what would change, and fails where that is to stop the run. Run it once. In check mode the record says V(planned).
      - V(end) notes in the record how the run ended. Run it once, as the last task.
    type: str
    choices: [begin, read, judge, end]
    required: true
  run:
    description: What the step V(begin) returned.
    type: str
  setup:
    description:
      - What the host is to have, as M(bulkhead.tiers.firewall_setup) takes it.
      - A task of that module, and of M(bulkhead.tiers.ufw_ruleset), with the same options on the same host, within five minutes, makes no trip
        to the host where nothing is to do.
    type: dict
    suboptions:
      packages:
        description: As O(bulkhead.tiers.firewall_setup#module:packages).
        type: list
        elements: str
      files:
        description: As O(bulkhead.tiers.firewall_setup#module:files).
        type: list
        elements: dict
      after:
        description: As O(bulkhead.tiers.firewall_setup#module:after).
        type: list
        elements: dict
      ruleset:
        description: As O(bulkhead.tiers.firewall_setup#module:ruleset).
        type: dict
        required: true
  reason:
    description: Why the change is made.
    type: str
    default: ""
  accept:
    description: What does not stop the run, though the site says so.
    type: list
    elements: str
    choices: [opened, unknown]
    default: []
  outside:
    description: The inventory group of the hosts that stand for the internet.
    type: str
    default: outside
  directory:
    description: The folder of the records.
    type: path
    default: reports/changes
  proof:
    description: The JSON of the last proof.
    type: path
    default: reports/proof.json
"""

EXAMPLES = r"""
- name: Say what would open and close
  bulkhead.tiers.change:
    step: judge
    run: "{{ begun['run'] }}"
    reason: "CHG-4711: the new exporter"
  run_once: true
"""

RETURN = r"""
run:
  description: The id of the run, for the other steps.
  returned: O(step=begin)
  type: str
  sample: 0123456789abcdef
msg:
  description: One line - what would change, or why the run was stopped.
  returned: O(step=judge)
  type: str
gate:
  description:
    - What would change. C(opened), C(closed) and C(unknown) are texts, C(unchanged) the number of declared services between two places that
      stay as they are, C(broken) what an invariant forbids and would pass, C(touched) the hosts whose rules change, C(not_read) the
      hosts that were not read and why, C(planes) what is declared otherwise than at the last whole run beside the rules.
  returned: O(step=judge)
  type: dict
  sample:
    opened: ["management -> monitoring exporter, on 2 hosts: bulkhead_flows[4] declares it"]
    closed: []
artifacts:
  description:
    - The same for an approval in AWX, short for a fleet of any size, by the name that C(set_stats) gives it. A slice has a name of its own,
      C(site_change_of_job_) and the number of its job, for AWX keeps one artifact of a name.
  returned: O(step=judge)
  type: dict
record:
  description: The record's JSON; the Markdown lies beside it.
  returned: O(step=judge) or O(step=end), where something changes
  type: str
  sample: reports/changes/20261130T011253Z-5f3a9c.json
"""
