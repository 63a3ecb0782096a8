# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong on a host. Mistakes of the input are ``Refused`` of module_utils/mistakes.py."""

from __future__ import annotations


class RulesetError(Exception):
    """The ruleset cannot be read or applied; the message is for the operator as it is."""
