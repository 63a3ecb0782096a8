#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: networks_report
short_description: Hold the live Docker networks of a fleet against its site
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Takes what M(bulkhead.tiers.swarm_network_info) returned on every host of the play, and prints every network with
    its subnet, its use, its zone and who uses it, then conflicts, orphans, and what is free in every pool of the site.
  - Fails where a host of the play could not be asked, or returned something else, because it may have any network; and
    where no host of the inventory is in a tier of the site; and where addresses are claimed twice. These are networks of
    one host that overlap each other, networks on the addresses of a tier, of another declared network or of a pool that
    is not theirs, networks on another subnet than the declared one, and pools of an engine or a Swarm on addresses that
    the site has given to others.
  - The playbook C(bulkhead.tiers.networks) calls it.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.controller
attributes:
  action:
    description: It is an action plugin; no part of it runs on the host.
    support: full
  check_mode:
    details:
      - In check mode it writes no report.
options:
  live:
    description:
      - The variable that every host registered the result of M(bulkhead.tiers.swarm_network_info) in.
    type: str
    default: __networks_live
  report:
    description:
      - Where the report is written as JSON. A relative path starts at the current directory.
    type: path
    default: reports/networks.json
  directory:
    description: The folder that O(report) must lie below, links followed. A relative path starts at the current directory.
    type: path
    default: reports
"""

EXAMPLES = r"""
- name: Read the networks
  bulkhead.tiers.swarm_network_info:
  register: __networks_live

- name: Report
  bulkhead.tiers.networks_report:
  run_once: true
"""

RETURN = r"""
msg:
  description: What was found, in one line.
  returned: always
  type: str
  sample: 14 networks on 5 hosts, no conflict
conflicts:
  description: The conflicts, each with C(host), the two that claim the same addresses, C(one) and C(other), and C(how).
  returned: always
  type: list
  elements: dict
report:
  description: Where the report was written.
  returned: not in check mode
  type: str
  sample: /srv/site/reports/networks.json
"""
