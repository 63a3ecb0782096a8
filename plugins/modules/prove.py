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
  - The role P(bulkhead.tiers.prove#role) calls its steps in their order, each on all hosts before the next.
  - What hosts return is checked, matched by its id, and kept on the controller until Ansible ends. No result of a host
    becomes a variable, and the policy, the membership of hosts and the expected answers are the inventory's.
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
      - V(begin) settles what the proof is about, of the inventory and the declared site. Run it once.
      - V(read) reads the host's live firewall with M(bulkhead.tiers.ufw_ruleset_info).
      - V(listen) starts the host's listener on the ports that the site and the live rules name, the ones beside them,
        and some drawn by chance.
      - V(ask) settles what each host probes, of all of them that listen. Run it once.
      - V(probe) probes them.
      - V(stop) ends the listener and fetches what it heard.
      - V(report) judges all probes, prints the matrix, writes the report, and fails unless everything declared works,
        everything else is blocked, and all of it could be probed. Run it once.
    type: str
    choices: [begin, read, listen, ask, probe, stop, report]
    required: true
  run:
    description: What V(begin) returned. Required with all other steps.
    type: str
  seed:
    description:
      - Draws the ports that are probed by chance. The same seed draws the same ports. Required with O(step=begin).
    type: str
  outside:
    description: The inventory group of the hosts that stand for the internet, with O(step=begin).
    type: str
    default: outside
  addresses:
    description:
      - The addresses that the inventory names for the host, beside those in its tiers, with O(step=listen). Other
        addresses that the host has are reported, and not probed.
    type: list
    elements: str
    default: []
  ttl:
    description: Seconds after which a listener ends by itself.
    type: int
    default: 300
  timeout:
    description: Seconds that a probe waits for its answer.
    type: float
    default: 3.2
  report:
    description: Where the report is written as JSON. Required with O(step=report). With O(step=begin) it is only looked at.
    type: path
  formats:
    description:
      - What else is written beside O(report), with the same name and another suffix.
      - V(html) is a page for people, one file that asks the network for nothing; V(markdown) is for a merge request, V(junit)
        for a build, V(sarif) for a code host.
    type: list
    elements: str
    choices: [html, markdown, junit, sarif]
    default: [html, markdown, junit, sarif]
  coverage:
    description:
      - Which pairs of hosts are probed, with O(step=begin). V(full) is all of them.
      - V(classes) is all of them in a fleet of 16 hosts or fewer. In a larger one, hosts of the same tiers whose live rules are the same are alike - each
        of them is probed once by, and probes once, a host of each kind, at some ports drawn by chance, and one pair of each two kinds at all ports.
        Where these are more than 100,000 pairs of hosts, as many of them are drawn by chance, each host in some.
    type: str
    choices: [classes, full]
    default: classes
  static:
    description:
      - Whether the static proof is made as well, with O(step=read) and O(step=report) - what the live rules, routes and addresses
        of all hosts let through, as exact sets of packets, is held against the site, and an error fails the proof.
    type: bool
    default: false
  packets:
    description:
      - Whether packets are part of the proof, with O(step=begin), O(step=read) and O(step=report). V(false) needs O(static), and the steps between O(step=read)
        and O(step=report) are left out then.
    type: bool
    default: true
  directory:
    description: The folder that O(report) must lie below, links followed. A relative path starts at the current directory.
    type: path
    default: reports
"""

EXAMPLES = r"""
- name: Begin
  bulkhead.tiers.prove:
    step: begin
    seed: "42"
  register: begun
  run_once: true

- name: Listen
  bulkhead.tiers.prove:
    step: listen
    run: "{{ begun.run }}"

- name: Judge
  bulkhead.tiers.prove:
    step: report
    run: "{{ begun.run }}"
    report: reports/proof.json
  run_once: true
"""

RETURN = r"""
run:
  description: The name of the run, which marks its packets. It is no secret.
  returned: step is begin
  type: str
  sample: 1f6c2d0b9a3e4857
rules:
  description: How many rules the live firewall has.
  returned: step is read
  type: int
  sample: 14
addresses:
  description: The host's addresses that are probed.
  returned: step is listen
  type: list
  elements: str
  sample: [10.0.3.11]
bound:
  description: How many sockets the listener bound.
  returned: step is listen
  type: int
  sample: 244
probes:
  description: How many probes were sent.
  returned: step is probe
  type: int
  sample: 1214
running:
  description: Whether the listener was still there.
  returned: step is stop
  type: bool
  sample: true
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
reports:
  description: Where each format was written, by its name.
  returned: step is report, and not in check mode
  type: dict
  sample: {json: /srv/site/reports/proof.json, html: /srv/site/reports/proof.html}
"""
