#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import ipaddress

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ListenerError
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.start import start

SOCKET = {
    "proto": {"type": "str", "choices": ["tcp", "udp"], "required": True},
    "port": {"type": "int", "required": True},
}
#: Those of flow_probe that its mode=listen takes.
LISTEN = {
    "token": {"type": "str", "required": True, "no_log": False},
    "name": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "addresses": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "listen": {"type": "list", "elements": "dict", "default": [], "options": SOCKET},
    "ttl": {"type": "int", "default": 120},
}


def main() -> None:
    module = AnsibleModule(argument_spec=LISTEN, supports_check_mode=True)
    asked = module.params
    ranges = [ipaddress.ip_network(subnet) for subnet in asked["addresses"]]
    ports = sorted({(entry["proto"], entry["port"]) for entry in asked["listen"]})
    try:
        said = start(asked["token"], asked["name"], bytes.fromhex(asked["key"]), asked["ttl"], ranges, ports)
    except ListenerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **said.to_dict())


if __name__ == "__main__":
    main()
