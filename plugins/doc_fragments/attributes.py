# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that the documentation of every module states."""

from __future__ import annotations


class ModuleDocFragment:
    """C(bulkhead.tiers.attributes) names the attributes; the other fragments fill in what several modules share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Says in check mode what it would change, and changes nothing.
  diff_mode:
    description: Returns in diff mode the state before and after, as text that a person reads.
  idempotent:
    description:
      - Run twice with the same arguments outside of check mode, the second run changes nothing.
      - This holds as long as nobody else changes what the module looks after.
  platform:
    description: The systems that it works on.
    support: N/A
"""

    # For modules that change nothing: use it after the fragment above.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing, in check mode as otherwise.
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: full
    details:
      - It changes nothing.
"""

    # For modules that work on Debian and Ubuntu hosts.
    DEBIAN = r"""
options: {}
attributes:
  platform:
    support: full
    platforms: debian
"""

    # For what runs on the controller and never connects to a host.
    CONTROLLER = r"""
options: {}
requirements:
  - netaddr 0.8.0 or newer, in the Python that runs Ansible
attributes:
  platform:
    support: full
    platforms: all
    details:
      - It runs on the controller and never connects to the host.
"""
