#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: flow_probe
short_description: Probe TCP and UDP flows with listeners that answer a nonce
version_added: 0.1.0
description:
  - Finds out with real packets which flows between hosts work. Every host first runs a listener (O(mode=listen)), then
    probes the others (O(mode=probe)), and then stops its listener and hands over what it heard (O(mode=stop)).
  - The listener binds temporary sockets beside the services that run already, answers every probe with its name and a code, and
    notes which probes came in by a device, which ones passed the host's firewall and which ones left. So a packet that
    was dropped, one that was rejected, one that nobody listened for, one whose answer was lost and one that went to the
    wrong host are told apart.
  - Nothing lasts. The listener is one detached process without a file on disk, and ends when it is stopped or when
    O(ttl) is over.
  - It needs Linux on the hosts and nothing but Python's standard library. See the role P(bulkhead.tiers.prove#role) for
    a whole site.
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  check_mode:
    details:
      - Probes in check mode as well, as probing changes nothing.
  platform:
    support: full
    platforms: linux
options:
  mode:
    description:
      - V(listen) starts the listener, and replaces one that an earlier run left behind.
      - V(probe) sends the probes of O(jobs), all at once.
      - V(stop) ends the listener.
    type: str
    choices: [listen, probe, stop]
    required: true
  token:
    description:
      - What marks the packets of this run, the same on all its hosts. It is sent in the clear and guards
        nothing.
    type: str
    required: true
  name:
    description: What the listener calls itself in its answers. Required with O(mode=listen).
    type: str
  key:
    description:
      - What the listener signs its answers with, at least 16 bytes in hexadecimal digits. Required with O(mode=listen).
      - Every listener gets a key of its own, so that no other host can answer for it. The prober does not get it. It
        returns the code of each answer, and the one who made the key checks that.
    type: str
  addresses:
    description: The listener binds those of the host's own addresses that are in one of these subnets.
    type: list
    elements: str
    default: ["0.0.0.0/0"]
  listen:
    description: The ports to bind on each of these addresses.
    type: list
    elements: dict
    default: []
    suboptions:
      proto:
        description: Protocol of the port.
        type: str
        choices: [tcp, udp]
        required: true
      port:
        description: Port, 1-65535.
        type: int
        required: true
  ttl:
    description: Seconds after which the listener ends by itself.
    type: int
    default: 120
  jobs:
    description: The probes to send.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Text without blanks that tells the probe from the others of the run.
        type: str
        required: true
      proto:
        description: Protocol to probe.
        type: str
        choices: [tcp, udp]
        required: true
      source:
        description: Address of this host to send from. Without it the kernel chooses.
        type: str
      dest:
        description: Address to send to.
        type: str
        required: true
      port:
        description: Port to send to, 1-65535.
        type: int
        required: true
      host:
        description: Name of the listener that has to answer. Any other is the verdict V(MISDIRECTED).
        type: str
      listening:
        description: Whether something is known to listen there, which tells a reject from a closed port.
        type: bool
        default: false
      service:
        description: Whether that is a real service. It is not sent a nonce over TCP, a connection is enough.
        type: bool
        default: false
      again:
        description:
          - Whether an answer is expected. Silence is then probed again, twice at most and with twice the timeout, since
            an answer may be late on a loaded machine.
        type: bool
        default: false
  timeout:
    description:
      - Seconds that a probe waits. Less than 3.2 s reads a lost packet as a block, and an IPv6 reject as a
        drop.
    type: float
    default: 3.2
  peers:
    description: With O(mode=stop), the sources whose packets are reported.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Listen on SSH's port and on 9999
  bulkhead.tiers.flow_probe:
    mode: listen
    token: "{{ probe_token }}"
    name: "{{ inventory_hostname }}"
    key: "{{ probe_key }}"
    addresses: [10.0.3.0/24]
    listen:
      - {proto: tcp, port: 22}
      - {proto: tcp, port: 9999}

- name: Probe it from another host
  bulkhead.tiers.flow_probe:
    mode: probe
    token: "{{ probe_token }}"
    jobs:
      - {id: a1, proto: tcp, dest: 10.0.3.11, port: 9999, host: mon1, listening: true}
  register: probed

- name: Stop listening
  bulkhead.tiers.flow_probe:
    mode: stop
    token: "{{ probe_token }}"
    peers: [10.0.1.11]
"""

RETURN = r"""
addresses:
  description: The host's own addresses that the listener serves.
  returned: mode is listen
  type: list
  elements: dict
  sample: [{address: 10.0.3.11, prefix: 24, interface: eth0, bridge: false}]
others:
  description: Further addresses that the host has, in none of the subnets and on none of its bridges.
  returned: mode is listen
  type: list
  elements: dict
  sample: []
bound:
  description: How many sockets the listener bound.
  returned: mode is listen
  type: int
  sample: 244
services:
  description: What listened on these addresses before. V(probe) uses it instead of a listener of its own.
  returned: mode is listen
  type: list
  elements: dict
  sample: [{proto: tcp, address: 10.0.3.11, port: 22, process: sshd}]
unusable:
  description: >-
    Sockets that cannot be judged, because they could not be bound or did not answer the host itself. One that is late
    is asked again before it is called so.
  returned: mode is listen
  type: list
  elements: dict
  sample: [{proto: tcp, address: 10.0.3.11, port: 80, error: Permission denied}]
hears:
  description: >-
    Whether the listener sees packets past the firewall's INPUT (C(passed)) and on the devices (C(wire)). Both need
    CAP_NET_RAW; C(error) says why not.
  returned: mode is listen
  type: dict
  sample: {passed: true, wire: true}
replaced:
  description: Whether an earlier listener was still there.
  returned: mode is listen
  type: bool
  sample: false
results:
  description:
    - One result for each job, found by its C(id).
    - >-
      C(verdict) is V(ALLOWED), V(DROPPED), V(REJECTED), V(NO_LISTENER), V(NO_ROUTE), V(MISDIRECTED) or
      V(INCONCLUSIVE); C(detail), C(by) (who answered instead), C(peer) (the source as the listener saw it, if it is
      not the job's), C(mac) (the listener's code) and C(icmp) are there where they are known.
  returned: mode is probe
  type: list
  elements: dict
  sample: [{id: a1, verdict: REJECTED, ms: 0.3, detail: ICMP 3/3 from 10.0.3.11, icmp: {type: 3, code: 3, from:
  10.0.3.11}}]
running:
  description: Whether the listener was still there. If not, what it did not hear proves nothing.
  returned: mode is stop
  type: bool
  sample: true
lost:
  description: >-
    How many packets past INPUT the listener could not keep. What it did not see may have been among them. It reads all
    that waits in its sockets before it answers.
  returned: mode is stop, and the listener was running
  type: int
  sample: 0
lost_wire:
  description: The same of packets on the devices.
  returned: mode is stop, and the listener was running
  type: int
  sample: 0
arrived:
  description: Flows that came in by a device, before any filter.
  returned: mode is stop, and the listener was running
  type: list
  elements: dict
  sample: [{source: 10.0.1.11, dest: 10.0.3.11, proto: tcp, ports: [22, 9999]}]
passed:
  description: Flows that the firewall's INPUT let through.
  returned: mode is stop, and the listener was running
  type: list
  elements: dict
  sample: [{source: 10.0.1.11, dest: 10.0.3.11, proto: tcp, ports: [22]}]
left:
  description: Flows that went out of a device, sent by this host or forwarded.
  returned: mode is stop, and the listener was running
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ListenerError
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.task import act

PROTO = {"type": "str", "choices": ["tcp", "udp"], "required": True}
PORT = {"type": "int", "required": True}
JOB = {
    "id": {"type": "str", "required": True},
    "proto": PROTO,
    "source": {"type": "str"},
    "dest": {"type": "str", "required": True},
    "port": PORT,
    "host": {"type": "str"},
    "listening": {"type": "bool", "default": False},
    "service": {"type": "bool", "default": False},
    "again": {"type": "bool", "default": False},
}
ARGUMENTS = {
    "mode": {"type": "str", "choices": ["listen", "probe", "stop"], "required": True},
    "token": {"type": "str", "required": True, "no_log": False},
    "name": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "addresses": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "listen": {"type": "list", "elements": "dict", "default": [], "options": {"proto": PROTO, "port": PORT}},
    "ttl": {"type": "int", "default": 120},
    "jobs": {"type": "list", "elements": "dict", "default": [], "options": JOB},
    "timeout": {"type": "float", "default": 3.2},
    "peers": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("mode", "listen", ["name", "key"])], supports_check_mode=True
    )
    try:
        result = act(module.params)
    except (Refused, ListenerError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
