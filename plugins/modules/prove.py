#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: prove
short_description: One step of the proof that a fleet is isolated as its site declares
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Runs M(bulkhead.tiers.flow_probe) on every host with the ports and the jobs that follow from the site and from the
    live firewalls, and judges the results on the controller.
  - The role P(bulkhead.tiers.prove#role) calls its steps in their order. It reads what the role's tasks registered on
    all hosts of the play, so it is of use there alone.
requirements:
  - netaddr 0.8.0 or newer, in the Python that runs Ansible
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: It is an action plugin; what it runs on the hosts is M(bulkhead.tiers.flow_probe).
    support: full
  check_mode:
    details:
      - Probes in check mode as well, but writes no report.
  platform:
    support: full
    platforms: linux
options:
  step:
    description:
      - V(listen) starts the host's listener on the ports that the site and the live rules name, the ones beside them,
        and some drawn by chance.
      - V(probe) probes all other hosts.
      - V(stop) ends the listener and fetches what it heard.
      - V(report) judges all probes, prints the matrix, writes the report, and fails unless everything declared works,
        everything else is blocked, and all of it could be probed.
    type: str
    choices: [listen, probe, stop, report]
    required: true
  seed:
    description:
      - Marks the packets of the run, and draws the ports that are probed by chance. The same seed draws the
        same ports.
    type: str
    required: true
  outside:
    description: The inventory group of the hosts that stand for the internet.
    type: str
    default: outside
  ttl:
    description: Seconds after which a listener ends by itself.
    type: int
    default: 120
  timeout:
    description: Seconds that a probe waits for its answer.
    type: float
    default: 3.2
  began:
    description: When the run began, in seconds since the epoch. Required with O(step=report).
    type: float
  report:
    description: Where the report is written as JSON. Required with O(step=report).
    type: path
"""

EXAMPLES = r"""
- name: Listen
  bulkhead.tiers.prove:
    step: listen
    seed: "42"
  register: __prove_listening

- name: Judge
  bulkhead.tiers.prove:
    step: report
    seed: "42"
    began: "{{ began }}"
    report: reports/proof.json
  run_once: true
"""

RETURN = r"""
msg:
  description: What the proof found, in one line.
  returned: step is report
  type: str
  sample: "The isolation holds: all 1,214 probes found what the site declares."
totals:
  description:
    - How many probes were V(allowed) and V(denied) as declared, and V(open), V(blocked), V(misdirected) or
      V(inconclusive).
  returned: step is report
  type: dict
  sample: {allowed: 102, denied: 1112}
report:
  description: Where the report was written.
  returned: step is report, and not in check mode
  type: str
  sample: /srv/site/reports/proof.json
"""
