"""Stands in for Traefik: reads its labels from the Docker API, through the socket proxy, and lets Caddy serve what they say.

Like Traefik it takes the network that `traefik.docker.network` or `traefik.swarm.network` names, and any other where it does not find it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

RULE = re.compile(r"^traefik\.http\.routers\.[^.]+\.rule$")
PORT = re.compile(r"^traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port$")
HOST = re.compile(r"Host\(`([^`]+)`\)")
PROVIDER = re.compile(r"^--providers\.(docker|swarm)\.endpoint=tcp://(.+)$")
# Seconds between two looks at what runs.
INTERVAL = 1


def api(endpoint, path):
    with urllib.request.urlopen("http://" + endpoint + path, timeout=5) as answer:
        return json.load(answer)


def chosen(labels, addresses):
    """The address in the network that the labels name, or in any."""
    name = labels.get("traefik.swarm.network") or labels.get("traefik.docker.network")
    return addresses.get(name) or next(iter(addresses.values()), None)


def docker(endpoint):
    """(labels, [address]) of every container."""
    for container in api(endpoint, "/containers/json"):
        networks = container["NetworkSettings"]["Networks"].items()
        address = chosen(container["Labels"], {name: network["IPAddress"] for name, network in networks})
        yield container["Labels"], [address]


def swarm(endpoint):
    """(labels, [address of each running task]) of every service."""
    tasks = [task for task in api(endpoint, "/tasks") if task["Status"]["State"] == "running"]
    for service in api(endpoint, "/services"):
        labels = service["Spec"].get("Labels") or {}
        yield (
            labels,
            [
                chosen(
                    labels,
                    {
                        each["Network"]["Spec"]["Name"]: each["Addresses"][0].split("/")[0]
                        for each in task.get("NetworksAttachments") or []
                    },
                )
                for task in tasks
                if task["ServiceID"] == service["ID"]
            ],
        )


def routes(published):
    """Caddy's routes, one a Host rule."""
    for labels, addresses in published:
        port = next((value for key, value in labels.items() if PORT.match(key)), "80")
        hosts = [host for key, value in labels.items() if RULE.match(key) for host in HOST.findall(value)]
        upstreams = [{"dial": "%s:%s" % (address, port)} for address in sorted(filter(None, addresses))]
        if labels.get("traefik.enable") == "true" and hosts and upstreams:
            yield {"match": [{"host": hosts}], "handle": [{"handler": "reverse_proxy", "upstreams": upstreams}]}


def configuration(found):
    return {
        "admin": {"listen": "localhost:2019"},
        "apps": {
            "http": {
                "servers": {
                    "web": {"listen": [":80"], "routes": found, "automatic_https": {"disable": True}},
                    "websecure": {
                        "listen": [":443"],
                        "routes": found,
                        "automatic_https": {"disable_redirects": True},
                        "tls_connection_policies": [{}],
                    },
                }
            },
            "tls": {"automation": {"policies": [{"issuers": [{"module": "internal"}]}]}},
            "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
        },
    }


def load(wanted):
    request = urllib.request.Request(
        "http://localhost:2019/load", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


def main():
    provider, endpoint = next(match.groups() for match in map(PROVIDER.match, sys.argv[1:]) if match)
    read = {"docker": docker, "swarm": swarm}[provider]
    caddy = subprocess.Popen(["caddy", "run"], env=dict(os.environ, CADDY_ADMIN="localhost:2019"))
    signal.signal(signal.SIGTERM, lambda *dummy: sys.exit(caddy.terminate()))
    now = None
    while caddy.poll() is None:
        try:
            wanted = sorted(routes(read(endpoint)), key=str)
            if wanted != now:
                load(configuration(wanted))
                now = wanted
        except OSError as error:
            print("the Docker API or Caddy does not answer: %s" % error, file=sys.stderr, flush=True)
        time.sleep(INTERVAL)
    sys.exit("Caddy has ended")


main()
