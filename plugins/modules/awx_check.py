#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: awx_check
short_description: Check what is to be in AWX before anything is made
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads the surveys, checks templates, workflow, rights, schedules and credentials against each other and against the tiers of the
    site, and asks AWX who the token is, whether it may write, and whether the credentials that the run does not make are there.
  - All problems of a step are reported at once, each with what was found, what is expected and what to do. Nothing is made.
  - The role C(awx) begins with it.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.controller
attributes:
  action:
    description: It is an action plugin; no part of it runs on the host.
    support: full
options:
  host:
    description: The URL of AWX.
    type: str
    required: true
  token:
    description: The token of an administrator. In check mode it need not be one to write with.
    type: str
    required: true
  validate_certs:
    description: Whether AWX must show a certificate that can be verified.
    type: bool
    default: true
  absent:
    description: Whether all is to be taken away. The definition is then not checked.
    type: bool
    default: false
  definition:
    description: What is to be in AWX, as C(vars/main.yml) of the role C(awx) has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check AWX, and what is to be in it
  bulkhead.tiers.awx_check:
    host: https://awx.example
    token: "{{ awx_token }}"
    definition: "{{ definition }}"
"""

RETURN = r"""
gone:
  description:
    - What this role has made and is no longer defined, C(job_templates), C(schedules) and C(inventory_sources). It is known by a name
      with the prefix, and for templates by the label. With O(absent=true) it is all of the templates.
  returned: success
  type: dict
kinds:
  description: The credentials whose type is in AWX, with O(absent=true).
  returned: success
  type: list
  elements: str
missing:
  description: The names of what others refer to and is not there, in check mode. Without the organization it is that alone.
  returned: success
  type: list
  elements: str
organization:
  description: Whether the organization is there.
  returned: success
  type: bool
shared:
  description: Whether the organization holds anything that the definition has not, with O(absent=true).
  returned: success
  type: bool
surveys:
  description: The surveys by name. The question for tiers has the tiers of the site as choices, where it brings none itself.
  returned: success
  type: dict
version:
  description: The version of AWX.
  returned: success
  type: str
  sample: 24.6.1
"""
