# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What flow_probe does with its arguments: see modules/flow_probe.py for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS, Job

#: Bytes of a listener's key.
SHORTEST_KEY = 16


def mistakes(params: Mapping[str, Any]) -> Iterator[Mistake]:
    """Every error in the arguments that the argument spec cannot say."""
    for number, subnet in enumerate(params["addresses"]):
        try:
            ipaddress.ip_network(subnet)
        except ValueError as error:
            yield _wrong(f"addresses[{number}]", subnet, "a subnet such as 10.0.1.0/24", str(error))
    for key in ("listen", "jobs"):
        for number, entry in enumerate(params[key]):
            if not PORTS[0] <= entry["port"] <= PORTS[1]:
                yield _wrong(f"{key}[{number}].port", entry["port"], "a port, 1-65535")
    for number, job in enumerate(params["jobs"]):
        for field in ("source", "dest"):
            try:
                ipaddress.ip_address(job[field] or "0.0.0.0")
            except ValueError:
                yield _wrong(f"jobs[{number}].{field}", job[field], "an address")
        if len(job["id"].split()) != 1:
            yield _wrong(f"jobs[{number}].id", repr(job["id"]), "text without blanks")
    if len({job["id"] for job in params["jobs"]}) < len(params["jobs"]):
        yield _wrong("jobs", "an id twice", "a different id in each job")
    for field in ("ttl", "timeout"):
        if params[field] <= 0:
            yield _wrong(field, params[field], "seconds above 0")
    if len(params["token"].split()) != 1:
        yield _wrong("token", repr(params["token"]), "text without blanks")
    try:
        if params["key"] is not None and len(bytes.fromhex(params["key"])) < SHORTEST_KEY:
            raise ValueError
    except ValueError:
        yield _wrong("key", "something else", f"at least {SHORTEST_KEY} bytes in hexadecimal digits")


def _wrong(path: str, got: object, expected: str, remedy: str = "correct it") -> Mistake:
    return Mistake(path, printable(got, 80), expected, remedy, "argument")


def act(params: Mapping[str, Any]) -> dict[str, Any]:
    """Do what `mode` says and return the module's result. Raises Refused, and ListenerError."""
    wrong = list(mistakes(params))
    if wrong:
        raise Refused(wrong)
    return {"listen": _listen, "probe": _probe, "stop": _stop}[params["mode"]](params)


# A module's files are compiled anew on every host in every task: each mode loads its own alone.


def _listen(params: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.start import start

    ranges = [ipaddress.ip_network(subnet) for subnet in params["addresses"]]
    ports = sorted({(entry["proto"], entry["port"]) for entry in params["listen"]})
    key = bytes.fromhex(params["key"])
    return start(params["token"], params["name"], key, params["ttl"], ranges, ports).to_dict()


def _probe(params: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all

    jobs = [Job.from_dict(job) for job in params["jobs"]]
    return {"results": [result.to_dict() for result in probe_all(jobs, params["token"], params["timeout"])]}


def _stop(params: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ask

    return ask(params["token"], params["peers"]).to_dict()
