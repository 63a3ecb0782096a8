# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Throw-away hosts of a test: containers of the lab's images with systemd, beside the lab and without touching it.

``fleet`` makes hosts with ufw that this machine reaches over SSH. BULKHEAD_FAULT_PREFIX and BULKHEAD_FAULT_NET name
another network for them, so that two tests can run side by side. ``hosts.engine`` makes hosts with a Docker Engine.
"""

from __future__ import annotations

from .firewall import NET, PLACE, PREFIX, RELEASES, Host, fleet
from .machine import ROOT, run, started, wait

__all__ = ["NET", "PLACE", "PREFIX", "RELEASES", "ROOT", "Host", "fleet", "run", "started", "wait"]
