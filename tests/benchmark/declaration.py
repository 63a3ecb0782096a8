# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast a site is read, compiled and asked, on the controller alone: the best of some rounds beside its target.

make bench, or: PYTHONPATH=.venv/collections:tests/support .venv/bin/python tests/benchmark/declaration.py
"""

from __future__ import annotations

import pathlib
import random
import sys
import time
from collections.abc import Callable
from datetime import date

import yaml

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import hear
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import survey
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import allocate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, overlaps, parse_net

LAB = pathlib.Path(__file__).parents[2] / "inventories/lab/group_vars/all"
TODAY = date(2026, 1, 1)
ROUNDS = 5


def lab() -> dict:
    """The declaration of the lab."""
    return {name: value for file in LAB.glob("*.yml") for name, value in yaml.safe_load(file.read_text()).items()}


def large(tiers: int = 20, flows: int = 60) -> dict:
    """A declaration of ``tiers`` tiers and ``flows`` flows, four of them between all tiers."""
    names = [f"t{index}" for index in range(tiers)]
    return {
        "bulkhead_tiers": {
            name: {"vlan": index + 1, "subnet": f"10.{index}.0.0/24", "gateway": f"10.{index}.0.1"}
            for index, name in enumerate(names)
        },
        "bulkhead_services": {f"s{index}": f"{1000 + index}/tcp" for index in range(flows)},
        "bulkhead_flows": [
            {"from": names[index % tiers], "to": [names[index * 7 % tiers], "t3"], "allow": f"s{index}"}
            for index in range(flows - 4)
        ]
        + [{"from": "tiers", "to": "tiers", "allow": f"s{index}"} for index in range(flows - 4, flows)],
        "bulkhead_never": [{"from": "internet", "to": name, "deny": "any"} for name in names],
    }


def best(what: Callable[[], object]) -> float:
    """The seconds of the fastest round."""
    found = []
    for _round in range(ROUNDS):
        start = time.perf_counter()
        what()
        found.append(time.perf_counter() - start)
    return min(found)


def rows() -> list[tuple[str, float, Callable[[], object]]]:
    """(what is done, its target in seconds, the work)."""
    declared, big, fleet = lab(), large(), large(50, 500)
    site = parse_site(declared, TODAY)
    policy = Policy(site)
    great = parse_site(fleet, TODAY)
    blocks = [(Net(base << 8, (base << 8) + 255), base) for base in range(10000)]
    random.Random(1).shuffle(blocks)
    pool, taken = [parse_net("10.0.0.0/8")], [parse_net("10.0.0.0/24"), parse_net("10.3.7.0/25")]
    wanted = {f"n{index}": 24 + index % 5 for index in range(10000)}

    surveyed = {
        f"h{host}": {
            "node": {"role": "worker"},
            "networks": [
                {"name": f"n{number}", "id": f"{host}.{number}", "subnets": [f"10.{host}.{number}.0/24"]}
                for number in range(100)
            ],
        }
        for host in range(10, 60)
    }

    def judge() -> None:
        for index in range(20000):
            policy.flow_at(0x0A000100 + index % 256, 0x0A000200 + index % 199, "tcp", index % 500)

    return [
        ("the lab's site is read", 0.01, lambda: parse_site(declared, TODAY)),
        ("a site of 20 tiers and 60 flows is read", 0.1, lambda: parse_site(big, TODAY)),
        ("a site of 50 tiers and 500 flows is read", 1.0, lambda: parse_site(fleet, TODAY)),
        ("a host of that site is compiled", 0.1, lambda: host_plan(great, "h1", ("t3",), False)),
        ("a router of that site is compiled", 1.0, lambda: host_plan(great, "r1", (), True)),
        ("20,000 packets are judged", 0.2, judge),
        ("10,000 blocks are swept for overlaps", 0.2, lambda: list(overlaps(blocks))),
        ("10,000 subnets are allocated", 0.1, lambda: allocate(pool, wanted, taken)),
        ("5,000 networks of 50 hosts are surveyed", 2.0, lambda: survey(site, hear(surveyed), {})),
    ]


def main() -> int:
    missed = 0
    for what, target, work in rows():
        seconds = best(work)
        missed += seconds > target
        print(
            f"{what:45} {seconds * 1000:8.1f} ms   target {target * 1000:6.0f} ms{'   MISSED' if seconds > target else ''}"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
