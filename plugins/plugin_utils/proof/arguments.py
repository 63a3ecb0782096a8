# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with arguments of flow_probe, beyond what an argument spec can say: known before a host is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS

#: Bytes of a listener's key.
SHORTEST_KEY = 16


def mistakes(params: Mapping[str, Any]) -> Iterator[Mistake]:
    """Every error in the arguments that the argument spec cannot say; what is not there is right."""
    for number, subnet in enumerate(params.get("addresses") or ()):
        try:
            ipaddress.ip_network(subnet)
        except ValueError as error:
            yield _wrong(f"addresses[{number}]", subnet, "a subnet such as 10.0.1.0/24", str(error))
    for key in ("listen", "jobs"):
        for number, entry in enumerate(params.get(key) or ()):
            if not PORTS[0] <= entry["port"] <= PORTS[1]:
                yield _wrong(f"{key}[{number}].port", entry["port"], "a port, 1-65535")
    jobs = params.get("jobs") or ()
    for number, job in enumerate(jobs):
        for field in ("source", "dest"):
            try:
                ipaddress.ip_address(job.get(field) or "0.0.0.0")
            except ValueError:
                yield _wrong(f"jobs[{number}].{field}", job[field], "an address")
        if len(job["id"].split()) != 1:
            yield _wrong(f"jobs[{number}].id", repr(job["id"]), "text without blanks")
    if len({job["id"] for job in jobs}) < len(jobs):
        yield _wrong("jobs", "an id twice", "a different id in each job")
    for field in ("ttl", "timeout"):
        if params.get(field, 1) <= 0:
            yield _wrong(field, params[field], "seconds above 0")
    if len(params["token"].split()) != 1:
        yield _wrong("token", repr(params["token"]), "text without blanks")
    try:
        if params.get("key") is not None and len(bytes.fromhex(params["key"])) < SHORTEST_KEY:
            raise ValueError
    except ValueError:
        yield _wrong("key", "something else", f"at least {SHORTEST_KEY} bytes in hexadecimal digits")


def _wrong(path: str, got: object, expected: str, remedy: str = "correct it") -> Mistake:
    return Mistake(path, printable(got, 80), expected, remedy, "argument")
