# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a file of a stack lies on the controller, if it lies where stacks do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_file
short_description: Where a file or folder of a stack lies on the controller
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - The real path of a file or folder below C(stacks_directory). One that leads out of it is an error, by C(..), as an absolute path or
    by a link, and so is a link inside of a folder that does.
  - C(stacks_directory) is taken as the inventory or the play declares it, see P(bulkhead.tiers.declared#lookup).
options:
  _terms:
    description: Paths, relative to C(stacks_directory).
    type: list
    elements: str
    required: true
  missing:
    description: Whether the path may be missing.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Copy a stack's file
  ansible.builtin.copy:
    src: "{{ lookup('bulkhead.tiers.stack_file', 'shop/compose.yml') }}"
    dest: /etc/bulkhead/stacks/shop/compose.yml
    mode: "0640"
"""

RETURN = r"""
_raw:
  description: The real paths.
  type: list
  elements: str
"""

import os
from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration, paths

#: The variable that names the folder.
FOLDER = "stacks_directory"


class LookupModule(LookupBase):
    """Names in, real paths out."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[str]:
        try:
            folder = str(declaration.value_of(FOLDER, variables or {}, self._templar))
            found = [paths.tree_below(folder, str(term), "stack file", FOLDER) for term in terms]
        except Refused as error:
            raise AnsibleLookupError(str(error)) from error
        for term, path in zip(terms, found):
            if not kwargs.get("missing") and not os.path.exists(path):
                raise AnsibleLookupError(
                    f"stack file: got {printable(term)}; expected a file below {folder}; there is none"
                )
        return found
