# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the arguments, and run the module; see modules/flow_listen.py."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.action.flow_probe import ActionModule as ProbeAction
from ansible_collections.bulkhead.tiers.plugins.modules.flow_listen import LISTEN


class ActionModule(ProbeAction):
    """flow_probe's step listen."""

    _spec: dict[str, Any] = {"argument_spec": LISTEN}
