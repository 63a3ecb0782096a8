#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: ask
short_description: Answer whether a connection passes, hop by hop
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Answers from the live rules, addresses and routes of the hosts, which M(bulkhead.tiers.netfilter_info) reads, or from the
    declared site alone.
  - Names at each hop the rule that decides, the flow that declares the connection, and where there is none the smallest flow
    that would, or the invariant that forbids it.
  - It sends no packet and changes nothing. The playbook C(ask.yml) calls its steps.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: It is an action plugin; what it runs on the hosts is M(bulkhead.tiers.netfilter_info).
    support: full
  platform:
    support: full
    platforms: linux
options:
  step:
    description:
      - V(read) reads a host. Run it on each. What the host returns is kept on the controller, and becomes no variable.
      - V(answer) answers. Run it once.
    type: str
    choices: [read, answer]
    default: answer
  run:
    description: What M(bulkhead.tiers.prove) with C(step=begin) returned. Required unless O(live=false).
    type: str
  from:
    description:
      - Where the connection begins - a tier (each of its hosts), a host, a name of C(bulkhead_addresses), V(gateway), V(internet),
        or an address; with O(live=false) a network as well.
    type: str
  to:
    description: Where it goes to, likewise.
    type: str
  port:
    description:
      - A service of the site, or a port and its protocol, such as V(5432/tcp) or V(8000-8009/tcp), or a protocol without ports.
      - Of a range the first and the last port are asked.
    type: str
  live:
    description: Whether to ask the live rules. V(false) asks the declaration alone, and needs no host.
    type: bool
    default: true
  expect:
    description: Fail where the answer is another one.
    type: str
    choices: [allowed, denied, unknown]
"""

EXAMPLES = r"""
- name: See by the declaration alone that the database is out of reach
  bulkhead.tiers.ask:
    from: internet
    to: database
    port: 5432/tcp
    live: false
    expect: denied
  run_once: true
"""

RETURN = r"""
answer:
  description:
    - V(ALLOWED), V(DENIED), or V(UNKNOWN) where something decides that is not known or not modelled, or where the connections between
      the two ends are not all alike.
  returned: O(step=answer)
  type: str
  sample: DENIED
msg:
  description: The whole answer, as it was printed. It begins with the answer.
  returned: O(step=answer)
  type: str
connections:
  description: Each connection that was asked, with its answer and its hops.
  returned: O(step=answer)
  type: list
  elements: dict
  sample:
    - source: 10.0.2.10
      destination: 10.0.3.11
      proto: tcp
      port: 443
      answer: DENIED
      hops:
        - {host: gw1, at: "FORWARD eth3 → eth2", answer: DENIED, text: "stopped by `-A ufw-user-forward -d 10.0.3.0/24 -j DROP`"}
      end: gw1
addresses:
  description: How many addresses the host has.
  returned: O(step=read)
  type: int
  sample: 3
"""
