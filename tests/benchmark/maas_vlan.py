# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests and seconds of maas_vlan for 20 VLANs with a subnet and a range each, against the stand-in server.

``python tests/benchmark/maas_vlan.py`` (PYTHONPATH with ``ansible_collections``).  The stand-in answers at
once; ``--as-measured`` has it wait as long as a MAAS 3.6.5 with 100 VLANs took for each request.  The seconds
are those of the client and the waiting, not of a MAAS.
"""

from __future__ import annotations

import argparse
import time

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure
from ansible_collections.bulkhead.tiers.tests.maas_server import harness
from ansible_collections.bulkhead.tiers.tests.maas_server.serve import MEASURED, Server


def tree(count: int) -> dict:
    """``count`` VLANs in one fabric, a /24 and a pool in each."""
    vlans = []
    for number in range(count):
        prefix = "10.%d.%d" % (1 + number // 250, number % 250)
        pool = {"type": "dynamic", "start_ip": prefix + ".100", "end_ip": prefix + ".200"}
        subnet = {"cidr": prefix + ".0/24", "gateway_ip": prefix + ".1", "ranges": [pool]}
        vlans.append({"vid": 100 + number, "name": "tier%d" % number, "subnets": [subnet]})
    return {"fabrics": [{"name": "bench", "vlans": vlans}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vlans", type=int, default=20)
    parser.add_argument("--as-measured", action="store_true", help="wait as long as a real region took")
    options = parser.parse_args()
    front = harness.front(latency=MEASURED if options.as_measured else {})
    wanted = tree(options.vlans)
    print(
        "maas_vlan, %d VLANs + subnets + ranges, stand-in server%s"
        % (options.vlans, " with MAAS's own times" * options.as_measured)
    )
    with Server(front) as server:
        for name in ("first run", "no change"):
            client = harness.socket_client(server.url, front)
            start = time.perf_counter()
            result, _warnings = ensure(client, wanted, False)
            seconds = time.perf_counter() - start
            client.close()
            requests = result["requests"]
            print(
                "  %-10s %3d requests (%d reads, %d writes)  %6.2f s"
                % (name, sum(requests.values()), *requests.values(), seconds)
            )
        print("  connections: %d" % server.connections)


if __name__ == "__main__":
    main()
