#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: review
short_description: Say which declared flows and which rules nothing has used
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads what the kernel counted for each rule of UFW, folds it into the flows that the rules come from, and names those that nothing has
    used, rules of no flow, and who uses a flow now.
  - It changes nothing. The playbook C(review.yml) calls its steps.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: >-
      It is an action plugin; what it runs on the hosts is M(bulkhead.tiers.ufw_ruleset_info), M(bulkhead.tiers.traffic_info) and
      M(ansible.builtin.stat).
    support: full
  platform:
    support: full
    platforms: linux
options:
  step:
    description:
      - V(read) reads a host. Run it on each. What the host returns is kept on the controller, and becomes no variable.
      - V(report) folds and writes. Run it once. In check mode it writes no file.
    type: str
    choices: [read, report]
    default: report
  run:
    description: What M(bulkhead.tiers.prove) with C(step=begin) returned.
    type: str
    required: true
  limit:
    description: The most rows of each section that are printed and returned. The file has up to 5000.
    type: int
    default: 50
  report:
    description: Where the JSON is written. The one that is there tells when a flow was used before the counters began anew.
    type: path
    default: reports/review.json
  directory:
    description: The folder that it must lie below.
    type: path
    default: reports
"""

EXAMPLES = r"""
- name: Say which flows nothing has used
  bulkhead.tiers.review:
    run: "{{ begun['run'] }}"
  run_once: true
"""

RETURN = r"""
msg:
  description: The first line of the report.
  returned: O(step=report)
  type: str
review:
  description:
    - The report. C(flows) are the flows, the unused first - C(use) is V(unused), V(unknown) or V(used), C(packets) what opened a
      connection by host, C(since) when counting began at the earliest (seconds since 1970), C(by) who uses it now, C(last_used) when
      it was used last as far as the reviews so far know.
    - C(unused) are rules that counted nothing, C(foreign) those of no flow, C(trouble) the hosts that were not read.
  returned: O(step=report)
  type: dict
report:
  description: The file that was written.
  returned: O(step=report), not in check mode
  type: str
  sample: /srv/site/reports/review.json
rules:
  description: How many rules the host has.
  returned: O(step=read)
  type: int
  sample: 17
unused:
  description: How many of them counted nothing.
  returned: O(step=read)
  type: int
  sample: 3
"""
