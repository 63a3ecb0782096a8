# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests and benchmarks put around the stand-in: clients, and regions with racks in the right places."""

from __future__ import annotations

import copy
import random
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.shapes import take
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import ApiKey, Client, Endpoint
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import Ask

from .region import Region
from .serve import Front, Loopback

RACKS = {"rack1": (0, 10, 20, 30), "rack2": (0, 10, 20, 30), "rack3": (0, 10)}
"""Rack -> the vids it has interfaces on, in the region's default fabric."""


def region(racks: Optional[dict] = None, shuffle: Optional[random.Random] = None) -> Region:
    """A region with nothing but racks, which MAAS would have found with their tagged interfaces."""
    racks = RACKS if racks is None else racks
    made = Region(racks=tuple(racks), shuffle=shuffle)
    known = {0: 5001}
    for number, vids in enumerate(racks.values(), 1):
        for vid in vids:
            if vid not in known:
                known[vid] = made.add_vlan(0, vid)["id"]
            if vid:
                made.plug(f"rackc{number}", known[vid])
    return made


def front(**options: Any) -> Front:
    return Front(region(), **options)


def client(where: Front, key: Optional[str] = None, retries: int = 4, pauses: Optional[list] = None) -> Client:
    """A client of a `Front` in this process.  ``pauses`` collects the seconds that it would have slept."""
    return Client(
        Endpoint.parse("http://maas.invalid:5240/MAAS"),
        ApiKey.parse(key or where.key),
        retries=retries,
        connect=lambda: Loopback(where),
        sleep=(pauses if pauses is not None else []).append,
        clock=where.clock,
    )


def socket_client(url: str, where: Front, **options: Any) -> Client:
    """A client over a real socket."""
    known = {name: options.pop(name) for name in ("ca_path", "validate_certs", "timeout") if name in options}
    options.setdefault("sleep", lambda _seconds: None)
    return Client(Endpoint.parse(url, **known), ApiKey.parse(where.key), **options)


def asking(asked: Client) -> Ask:
    """Reads lists as a host does for the controller, without a module in between."""

    def ask(paths: list[str]) -> tuple[dict[str, list], int]:
        before = asked.sent["GET"]
        return take(asked, paths), asked.sent["GET"] - before

    return ask


def run(where: Front, tree: dict, check: bool = False, **options: Any) -> dict:
    """One run of maas_vlan on a copy of ``tree``; its result with ``warnings`` in it."""
    result, warnings = ensure(client(where, **options), copy.deepcopy(tree), check)
    return {**result, "warnings": warnings}
