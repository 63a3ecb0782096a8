"""Runs one step of a probe inside a network namespace: `drive.py` reads {step, ...} from stdin and prints its result,
both JSON."""

from __future__ import annotations

import ipaddress
import json
import sys

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ask
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.start import start


def main():
    asked = json.load(sys.stdin)
    if asked["step"] == "listen":
        ports = [tuple(port) for port in asked["ports"]]
        ranges = [ipaddress.ip_network(subnet) for subnet in asked.get("ranges", ["10.201.0.0/16"])]
        key = asked["key"].encode()
        result = start(asked["token"], asked["name"], key, asked.get("ttl", 60), ranges, ports).to_dict()
    elif asked["step"] == "probe":
        jobs = [Job.from_dict(job) for job in asked["jobs"]]
        found = {result.id: result.to_dict() for result in probe_all(jobs, asked["token"], asked.get("timeout", 1.5))}
        result = [found[job.id] for job in jobs]
    else:
        result = ask(asked["token"], asked["peers"])
    json.dump(result, sys.stdout)


main()
