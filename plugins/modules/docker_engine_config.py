#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_config
short_description: Merge settings into a Docker Engine's daemon.json, and have the engine take them over
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Takes the engine that is there, whatever brought it (C(docker.io), C(docker-ce), a snap, a program of one's own), and changes only the settings
    that are given. All others in its C(daemon.json) stay. A file that says all of it already is not touched.
  - The engine reloads its file where that is enough (C(live-restore), C(registry-mirrors), C(labels), ...), and is restarted only for settings that need
    it. Containers that ran before a restart and have no restart policy are started again.
  - It refuses a change after which the engine would not find its containers, volumes, images or Swarm any more, unless O(allow_loss=true).
  - Where C(dockerd) does not start with the new file, the old one is put back and the engine started with it. A run that was cut off between the file
    and the restart is finished by the next one.
  - On a host without an engine it writes the file, which the engine's first start reads.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.debian
attributes:
  check_mode:
    support: full
    details:
      - It needs neither an engine nor the Docker SDK for Python.
  diff_mode:
    support: full
    details:
      - Tokens, passwords and the credentials of URLs are left out.
  idempotent:
    support: full
options:
  settings:
    description:
      - Settings of C(daemon.json) by their names there. Mappings are merged key by key, lists and values replaced.
      - V(null) removes a setting.
    type: dict
    default: {}
  allow_loss:
    description:
      - Whether to make a change that leaves containers, volumes, images or a Swarm's state behind (another C(data-root), C(storage-driver),
        C(userns-remap), C(features.containerd-snapshotter), C(containerd-namespace) or C(exec-root)), or a restart that ends containers for good which
        run with C(--rm).
      - Nothing is deleted in the former data root.
    type: bool
    default: false
seealso:
  - module: bulkhead.tiers.swarm_network
"""

EXAMPLES = r"""
- name: Have new networks from a pool beside the VLANs, and leave everything else as it is
  bulkhead.tiers.docker_engine_config:
    settings:
      default-address-pools: [{base: 172.31.0.0/16, size: 24}]

- name: Bound the containers' logs, and remove the mirrors
  bulkhead.tiers.docker_engine_config:
    settings:
      log-opts: {max-size: 10m}
      registry-mirrors: null
"""

RETURN = r"""
path:
  description: The engine's configuration file.
  returned: success
  type: str
  sample: /etc/docker/daemon.json
keys:
  description: The settings that changed, or would.
  returned: success
  type: list
  elements: str
  sample: [default-address-pools, userland-proxy]
effect:
  description:
    - What the engine did, or would do. V(start) means that it does not run, and reads the file at its next start.
  returned: success
  type: str
  sample: restart
stopped_meanwhile:
  description: The containers that end with the engine's restart and are started again after it, without those of Swarm services.
  returned: success
  type: list
  elements: str
engine:
  description: The engine of the host.
  returned: success
  type: dict
  contains:
    present:
      description: Whether there is one.
      type: bool
    running:
      description: Whether it runs.
      type: bool
    enabled:
      description: Whether the next boot starts its unit.
      type: bool
    unit:
      description: Its systemd unit, or the one that it would have; empty for an engine that runs without one.
      type: str
missing:
  description: The distribution's packages that are missing for an engine that Ansible can talk to. C(docker.io) is not in it where any engine is there.
  returned: success
  type: list
  elements: str
  sample: [docker.io, python3-docker]
notes:
  description: Containers that did not come back after a restart, with the reason.
  returned: success
  type: list
  elements: str
errors:
  description: Every mistake that was found.
  returned: on failure, where the settings, the file or what the engine has is the reason
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_apply import configure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_host import EngineTrouble
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "allow_loss": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    # What is said is compared, in whatever language the host speaks.
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        result = configure(module.run_command, module.params, module.check_mode, module.backup_local)
    except Refused as refused:
        module.fail_json(msg=str(refused), errors=refused.errors)
    except EngineTrouble as trouble:
        module.fail_json(msg=str(trouble))
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
