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
  - The listener binds temporary sockets beside the services that run already, answers every probe with its name, and
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
failed:
  description: Sockets that cannot be judged, because they could not be bound or did not answer the host itself.
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
    - One result for each job, in the same order.
    - >-
      C(verdict) is V(ALLOWED), V(DROPPED), V(REJECTED), V(NO_LISTENER), V(NO_ROUTE), V(MISDIRECTED) or
      V(INCONCLUSIVE); C(detail), C(by) (who answered instead), C(peer) (the source as the listener saw it) and C(icmp)
      are there where they are known.
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
  description: How many packets the listener could not keep. What it did not see may have been among them.
  returned: mode is stop
  type: int
  sample: 0
arrived:
  description: Flows that came in by a device, before any filter, as lists of ports by C(source dest proto).
  returned: mode is stop
  type: dict
  sample: {"10.0.1.11 10.0.3.11 tcp": [22, 9999]}
passed:
  description: Flows that the firewall's INPUT let through.
  returned: mode is stop
  type: dict
  sample: {"10.0.1.11 10.0.3.11 tcp": [22]}
left:
  description: Flows that went out of a device, sent by this host or forwarded.
  returned: mode is stop
  type: dict
  sample: {}
"""

import ipaddress

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import ListenerError, ask, start
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import TIMEOUT, probe_all

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
}
ARGUMENTS = {
    "mode": {"type": "str", "choices": ["listen", "probe", "stop"], "required": True},
    "token": {"type": "str", "required": True, "no_log": False},
    "name": {"type": "str"},
    "addresses": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "listen": {"type": "list", "elements": "dict", "default": [], "options": {"proto": PROTO, "port": PORT}},
    "ttl": {"type": "int", "default": 120},
    "jobs": {"type": "list", "elements": "dict", "default": [], "options": JOB},
    "timeout": {"type": "float", "default": TIMEOUT},
    "peers": {"type": "list", "elements": "str", "default": []},
}


def problems(params):
    """Every error in the arguments that the argument spec cannot say."""
    for number, subnet in enumerate(params["addresses"]):
        try:
            ipaddress.ip_network(subnet)
        except ValueError as error:
            yield "addresses[%d]: got %s, expected a subnet such as 10.0.1.0/24: %s" % (number, subnet, error)
    for key in ("listen", "jobs"):
        for number, entry in enumerate(params[key]):
            if not 1 <= entry["port"] <= 65535:
                yield "%s[%d].port: %d is outside 1-65535" % (key, number, entry["port"])
    for number, job in enumerate(params["jobs"]):
        for field in ("source", "dest"):
            try:
                ipaddress.ip_address(job[field] or "0.0.0.0")
            except ValueError:
                yield "jobs[%d].%s: got %s, expected an address" % (number, field, job[field])
        if len(job["id"].split()) != 1:
            yield "jobs[%d].id: got '%s', expected text without blanks" % (number, job["id"])
    for field in ("ttl", "timeout"):
        if params[field] <= 0:
            yield "%s: got %s, expected seconds above 0" % (field, params[field])
    if len(params["token"].split()) != 1:
        yield "token: got '%s', expected text without blanks" % params["token"]


def act(params):
    """Do what `mode` says and return the module's result."""
    if params["mode"] == "listen":
        ranges = [ipaddress.ip_network(subnet) for subnet in params["addresses"]]
        ports = sorted({(entry["proto"], entry["port"]) for entry in params["listen"]})
        return start(params["token"], params["name"], params["ttl"], ranges, ports)
    if params["mode"] == "probe":
        return {"results": probe_all(params["jobs"], params["token"], params["timeout"])}
    return ask(params["token"], params["peers"])


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("mode", "listen", ["name"])], supports_check_mode=True
    )
    wrong = list(problems(module.params))
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    try:
        result = act(module.params)
    except ListenerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
