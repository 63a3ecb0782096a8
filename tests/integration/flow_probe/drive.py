"""Runs one step of a probe inside a network namespace: `drive.py` reads {step, ...} from stdin and prints its result,
both JSON."""

from __future__ import annotations

import ipaddress
import json
import sys

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import ask, start
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all


def main():
    asked = json.load(sys.stdin)
    if asked["step"] == "listen":
        ports = [tuple(port) for port in asked["ports"]]
        result = start(
            asked["token"], asked["name"], asked.get("ttl", 60), [ipaddress.ip_network("10.201.0.0/16")], ports
        )
    elif asked["step"] == "probe":
        result = probe_all(asked["jobs"], asked["token"], asked.get("timeout", 1.5))
    else:
        result = ask(asked["token"], asked["peers"])
    json.dump(result, sys.stdout)


main()
