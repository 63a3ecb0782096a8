#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Say what the firewalls of a fleet blocked, in the site's own words
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Folds the packets that the hosts' UFW logs say were blocked, and the connections that they track now, into flows between tiers - how
    often, from how many hosts, whether a flow declares it, a C(never) forbids it, or the smallest flow that would allow it.
  - It changes nothing. The playbook C(watch.yml) calls its steps.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: It is an action plugin; what it runs on the hosts is M(bulkhead.tiers.traffic_info).
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
  since:
    description:
      - How far to look back - V(90m), V(2h), V(1d), V(1w) - or since when, such as V(2026-11-30 08:00) by the controller's clock. Give
        both steps the same.
    type: str
    default: 1d
  logs:
    description:
      - V(hosts) reads each host's own log.
      - V(collector) reads the logs that the site's collector has (C(/var/log/bulkhead)), of hosts that are not reachable too. Where a
        packet came in is not known there.
    type: str
    choices: [hosts, collector]
    default: hosts
  connections:
    description: Whether to read the tracked connections.
    type: bool
    default: true
  limit:
    description: The most rows of each section that are printed and returned. The files have up to 5000.
    type: int
    default: 30
  format:
    description: What is printed.
    type: str
    choices: [text, json]
    default: text
  report:
    description: Where the JSON is written; the Markdown and the metrics for Prometheus lie beside it.
    type: path
    default: reports/watch.json
  directory:
    description: The folder that it must lie below.
    type: path
    default: reports
"""

EXAMPLES = r"""
- name: Say what was blocked in the last two hours
  bulkhead.tiers.watch:
    run: "{{ begun['run'] }}"
    since: 2h
  run_once: true
"""

RETURN = r"""
msg:
  description: The first line of the report.
  returned: O(step=report)
  type: str
watch:
  description:
    - The report. C(blocked) and C(connections) are its rows, the most urgent first - C(kind) is V(declared), V(undeclared), V(forbidden),
      V(limited), V(beside), V(late) or V(noise).
    - C(notes) say what limits the answer.
  returned: O(step=report)
  type: dict
  sample:
    blocked:
      - kind: undeclared
        from: management
        to: monitoring
        what: 9100/tcp
        count: 412
        source_count: 2
        text: management -> monitoring 9100/tcp, 412 times from 2 hosts, no flow declares it
        advice: ["this flow would allow it: {from: management, to: monitoring, allow: 9100_tcp}"]
reports:
  description: The files that were written, by format.
  returned: O(step=report), not in check mode
  type: dict
  sample: {json: /srv/site/reports/watch.json, markdown: /srv/site/reports/watch.md, prometheus: /srv/site/reports/watch.prom}
blocked:
  description: How many blocked packets the host's log has.
  returned: O(step=read)
  type: int
  sample: 412
connections:
  description: How many connections the host tracks.
  returned: O(step=read)
  type: int
  sample: 17
"""
