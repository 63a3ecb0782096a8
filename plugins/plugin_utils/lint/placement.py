# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the files of a site's stacks show of networks that a stack cannot join, for the plan: only what ends a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files

#: Files that cannot be read, networks that are not there, networks of the wrong kind.
RULES = ("BT000", "BT012", "BT028")


def placement_warnings(arguments: Mapping[str, Any], directory: str, environment: Mapping[str, Any]) -> list[str]:
    """A line for each, beginning with the stack's path in the declaration.

    arguments: stack_lint's, as compile.stacks.lint_arguments makes them; {} for a site without stacks. directory: where
    the files lie on the controller. environment: the values of the variables in them. Raises Refused.
    """
    if not arguments:
        return []
    items = lint_files(
        {
            "directory": directory,
            "environment": environment,
            "proxy_networks": [],
            "allowed_directories": [],
            **arguments,
        }
    )
    return [
        f"bulkhead_stacks.{item['stack']}: {item['message']}; {item['fix']} ({item['file']}:{item['line'] or 1})"
        for item in items
        if item["rule"] in RULES and item["waived"] is None
    ]
