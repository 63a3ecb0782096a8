#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.containers import EngineError, listen, probe_in
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job

PROTO = {"type": "str", "choices": ["tcp", "udp"], "required": True}
PORT = {"type": "int", "required": True}
JOB = {
    "inside": {"type": "str", "required": True},
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
    "mode": {"type": "str", "choices": ["listen", "probe"], "required": True},
    "token": {"type": "str", "required": True, "no_log": False},
    "name": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "networks": {"type": "list", "elements": "str", "default": []},
    "listen": {"type": "list", "elements": "dict", "default": [], "options": {"proto": PROTO, "port": PORT}},
    "ttl": {"type": "int", "default": 120},
    "jobs": {"type": "list", "elements": "dict", "default": [], "options": JOB},
    "timeout": {"type": "float", "default": 3.2},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("mode", "listen", ["name", "key"])], supports_check_mode=True
    )
    asked = module.params
    try:
        if asked["mode"] == "listen":
            ports = sorted({(entry["proto"], entry["port"]) for entry in asked["listen"]})
            key = bytes.fromhex(asked["key"])
            said = listen(asked["token"], asked["name"], key, asked["ttl"], asked["networks"], ports)
            module.exit_json(changed=False, **said)
        jobs: dict[str, list[Job]] = {}
        for job in asked["jobs"]:
            jobs.setdefault(job["inside"], []).append(Job.from_dict(job))
        module.exit_json(changed=False, results=probe_in(jobs, asked["token"], asked["timeout"]))
    except EngineError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
