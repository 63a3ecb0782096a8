#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_lint
short_description: Check Compose and stack files, and what runs, against the site's network architecture
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Finds what breaks the isolation of services, or their reachability, before it is deployed.
    A database on a public zone or with a published port, the Docker socket mounted past the socket proxy,
    a service that Traefik cannot reach, an internal network that blocks needed egress, overlapping subnets, and more.
  - All stacks of one call are checked together. A network that one of them makes is known to the others.
  - C(docs/stack_lint.md) lists the rules, each with the reason for it, a bad and a good example.
  - >-
    A comment in the file waives a rule for what begins on its line, or for the next line if it has a line of its own,
    as in C(# bulkhead: allow BT003 -- the reason). So does a label C(bulkhead.allow.BT003) with the reason as its value.
extends_documentation_fragment:
  - bulkhead.tiers.docker
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  action:
    description: The files are read on the controller. The engine is read on the host.
    support: full
  check_mode:
    details:
      - It changes nothing, in check mode as otherwise. In check mode it does not write O(sarif) either.
  platform:
    support: full
    platforms: posix
options:
  stacks:
    description: The stacks whose files are checked.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The stack's, or the Compose project's, name. A Compose file that names itself wins over it.
        type: str
        required: true
      files:
        description:
          - The files on the controller, merged in this order as C(-f) does.
          - What they C(include) and C(extends) is read too, below their own directories and O(allowed_directories).
            C(env_file) and C(.env) are not.
        type: list
        elements: path
        required: true
      kind:
        description: V(swarm) for C(docker stack deploy), V(compose) for C(docker compose up).
        type: str
        choices: [compose, swarm]
        default: compose
      tiers:
        description: The tiers whose hosts run a Compose stack, to compare with those of O(networks).
        type: list
        elements: str
        default: []
  directory:
    description: Where relative O(stacks[].files) start. Without it, at the working directory.
    type: path
  allowed_directories:
    description:
      - Directories beside a stack's own that its files may C(include), C(extends) and take env files, configs and secrets from.
      - Real paths count, so that no link leads out. Only regular files of a bounded size are read.
    type: list
    elements: path
    default: []
  running:
    description:
      - Also check what the host's engine runs. These are its containers, and on a manager the services of the Swarm.
      - Comments are not seen there. Labels waive.
    type: bool
    default: false
  networks:
    description:
      - The networks that the site declares, by name.
      - Each is a dictionary with V(zone), V(internal), V(subnet) (a CIDR or a list of them), V(driver), V(attachable)
        and V(tiers) (those whose hosts have it), all of them optional.
      - Without it, zones come from the label C(bulkhead.zone), from the networks' names and from what is on them,
        and no external network is reported as undeclared.
    type: dict
  reserved:
    description: CIDRs that no network may overlap, by what they are, such as VLANs.
    type: dict
    default: {}
  pools:
    description:
      - CIDRs of the pools that the site's own networks get their subnets from, by name.
      - A network that a stack makes itself must not overlap them. What runs may have its subnet from there.
    type: dict
    default: {}
  proxy_networks:
    description:
      - The networks of Traefik, where it is in none of O(stacks).
      - Where neither says it, these are the networks of public zones.
    type: list
    elements: str
    default: []
  require:
    description:
      - The zones that services must be on.
      - The keys are patterns of service names (V(*-backend)) or of stack and service (V(shop/*)).
        The values are zones, one or a list.
    type: dict
    default: {}
  environment:
    description: The values of variables in the files. The environment of the controller does not count.
    type: dict
    default: {}
  sarif:
    description:
      - A file on the controller that the findings are written to as SARIF 2.1.0.
      - With O(running=true) on several hosts give each its own, such as V(reports/{{ inventory_hostname }}.sarif).
    type: path
  sarif_directory:
    description:
      - The folder on the controller that O(sarif) must lie below, links followed. A relative path starts at the current
        directory.
    type: path
    default: reports
  fail_on:
    description: The least severity that makes the task fail. V(never) reports only.
    type: str
    choices: [error, warning, note, never]
    default: error
seealso:
  - module: bulkhead.tiers.swarm_network
"""

EXAMPLES = r"""
- name: Check a stack before it is deployed
  bulkhead.tiers.stack_lint:
    stacks:
      - name: shop
        files: [stacks/shop.yml]
        kind: swarm
    networks:
      apps-public: {zone: public, subnet: 172.30.1.0/24}
      apps-private: {zone: private, internal: true, subnet: 172.30.0.0/24}
    require:
      "*-backend": [public, private]
    sarif: reports/stacks.sarif

- name: Check what really runs, and only report
  bulkhead.tiers.stack_lint:
    running: true
    fail_on: never
  register: running
"""

RETURN = r"""
findings:
  description: Everything that was found, in the order of files and lines.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: The rule's id.
      type: str
      sample: BT001
    name:
      description: The rule's short name.
      type: str
      sample: data-on-public
    severity:
      description: V(error), V(warning) or V(note).
      type: str
    message:
      description: What was found.
      type: str
    fix:
      description: What to do.
      type: str
    file:
      description: The file, relative to the working directory if it is below it. Null for what runs.
      type: str
    line:
      description: The line in it, from 1. Null for what runs.
      type: int
    stack:
      description: The stack.
      type: str
    service:
      description: The service, empty where it is about none.
      type: str
    host:
      description: The host for what runs. Null for a file.
      type: str
    waived:
      description: The reason of its waiver. Null where there is none.
      type: str
counts:
  description: How many findings there are of each severity that are not waived, and how many are waived.
  returned: always
  type: dict
  sample: {error: 1, warning: 0, note: 2, waived: 1}
text:
  description: The findings, a line each.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      stacks/shop.yml:12: error BT001 data-on-public: shop/redis keeps data (by its image redis:7.2) and is on apps-public
      (zone public); fix: leave it on a private network alone, and put what needs it there too
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import LINT_ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.running import lint_running


def main() -> None:
    # The action has read the files: what is left for the host is its engine.
    module = AnsibleModule(
        argument_spec={**CONNECTION_ARGUMENTS, **LINT_ARGUMENTS},
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        items = lint_running(module.params, connect(module.params))
    except Failure as failure:
        module.fail_json(**failure.report())
    except Refused as refused:
        module.fail_json(msg=str(refused), errors=refused.errors)
    module.exit_json(changed=False, findings=items)


if __name__ == "__main__":
    main()
