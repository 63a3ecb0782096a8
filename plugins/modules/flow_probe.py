#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ask
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all

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
    "end": {"type": "str"},
    "end_port": {"type": "int"},
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
    # With mode=listen the action plugin runs flow_listen in its place.
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("mode", "listen", ["name", "key"])], supports_check_mode=True
    )
    asked = module.params
    if asked["mode"] == "stop":
        module.exit_json(changed=False, **ask(asked["token"], asked["peers"]))
    jobs = [Job.from_dict(job) for job in asked["jobs"]]
    results = probe_all(jobs, asked["token"], asked["timeout"])
    module.exit_json(changed=False, results=[result.to_dict() for result in results])


if __name__ == "__main__":
    main()
