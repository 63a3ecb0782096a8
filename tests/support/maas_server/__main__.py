# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``PYTHONPATH=tests/support python -m maas_server --listen 127.0.0.1:5240 --rack rack1=0,20``: the stand-in by itself, empty at start."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from .region import Region
from .serve import Front, Server


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A stand-in for the network part of the MAAS 3.6.5 API. It is not MAAS."
    )
    parser.add_argument("--listen", default="127.0.0.1:5240", help="address and port (default %(default)s)")
    parser.add_argument(
        "--rack", action="append", default=[], metavar="NAME=VID,...", help="a rack controller and the vids it is on"
    )
    options = parser.parse_args()
    key = os.environ.get("MAAS_API_KEY")
    if not key or key.count(":") != 2:
        sys.exit("MAAS_API_KEY is not set to consumer:token:secret; the stand-in takes the key from there")
    racks = dict(text.partition("=")[::2] for text in options.rack)
    region = Region(racks=tuple(racks))
    for number, vids in enumerate(racks.values(), 1):
        for vid in (int(text) for text in vids.split(",") if text.strip() and int(text) != 0):
            known = [vlan for vlan in region.vlans.values() if (vlan["fabric"], vlan["vid"]) == (0, vid)]
            region.plug(f"rackc{number}", (known[0] if known else region.add_vlan(0, vid))["id"])
    host, _colon, port = options.listen.rpartition(":")
    with Server(Front(region, key=key), (host, int(port))) as server:
        print(f"stand-in for MAAS at {server.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.released.wait()


if __name__ == "__main__":
    main()
