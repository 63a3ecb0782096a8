"""Stands in for Traefik: reads its labels from the Docker API, through the socket proxy, and lets Caddy serve what they say.

Like Traefik it takes the network that `traefik.docker.network` or `traefik.swarm.network` names, and any other where it does not find it; and
it has the middlewares of an entry point, then those of the router, judge a request before the service gets it: forwardAuth, and the plugin that
asks CrowdSec. A router whose middlewares are not all there is not served.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

RULE = re.compile(r"^traefik\.http\.routers\.[^.]+\.rule$")
PORT = re.compile(r"^traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port$")
HOST = re.compile(r"Host\(`([^`]+)`\)")
PROVIDER = re.compile(r"^--providers\.(docker|swarm)\.endpoint=tcp://(.+)$")
ENTRY = re.compile(r"^--entryPoints\.[^.]+\.http\.middlewares=(.+)$")
ROUTER = re.compile(r"^traefik\.http\.routers\.[^.]+\.middlewares$")
MIDDLEWARE = re.compile(
    r"^traefik\.http\.middlewares\.([^.]+)\.(forwardauth\.address|plugin\.bouncer\.crowdseclapihost)$", re.IGNORECASE
)
# Where the plugin listens, of this container alone: what Caddy sends there CrowdSec is asked about.
BOUNCER = 8081
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


def middlewares(published):
    """{name: Caddy's handler} of those that labels define."""
    found = {}
    for labels, _addresses in published:
        for key, value in labels.items():
            match = MIDDLEWARE.match(key)
            if match and labels.get("traefik.enable") == "true":
                url = urllib.parse.urlsplit(value)
                if url.scheme == "http":
                    found[match[1]] = judged_by(url.netloc, url.path)
                else:
                    found[match[1]] = judged_by("localhost:%d" % BOUNCER, "/%s?ip={http.request.remote.host}" % value)
    return found


def judged_by(address, path):
    """Caddy's forward_auth: what answers with 2xx lets the request pass, with the name of who it is; anything else is the answer."""
    user = {"handler": "headers", "request": {"set": {"Remote-User": ["{http.reverse_proxy.header.Remote-User}"]}}}
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": address}],
        "rewrite": {"method": "GET", "uri": path},
        "handle_response": [{"match": {"status_code": [2]}, "routes": [{"handle": [user]}]}],
    }


def routes(published, entry):
    """Caddy's routes, one a Host rule. entry: the middlewares of the entry points."""
    published = list(published)
    known = middlewares(published)
    for labels, addresses in published:
        port = next((value for key, value in labels.items() if PORT.match(key)), "80")
        hosts = [host for key, value in labels.items() if RULE.match(key) for host in HOST.findall(value)]
        upstreams = [{"dial": "%s:%s" % (address, port)} for address in sorted(filter(None, addresses))]
        own = [name for key, value in labels.items() if ROUTER.match(key) for name in value.split(",")]
        judges = [name.split("@")[0] for name in (*entry, *own)]
        if labels.get("traefik.enable") == "true" and hosts and upstreams and set(judges) <= set(known):
            # Who it is, only a middleware may say.
            forget = {"handler": "headers", "request": {"delete": ["Remote-User"]}}
            proxy = {"handler": "reverse_proxy", "upstreams": upstreams}
            yield {"match": [{"host": hosts}], "handle": [forget, *(known[name] for name in judges), proxy]}


class Bouncer(http.server.BaseHTTPRequestHandler):
    """GET /API?ip=ADDRESS: 403 where CrowdSec has decided against an address, or does not answer."""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        try:
            decided = api(url.path.strip("/"), "/v1/decisions?" + url.query)
        except OSError:
            decided = "no answer"
        self.send_response(403 if decided else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *dummy):
        """Nothing."""


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
    entry = sorted({name for match in filter(None, map(ENTRY.match, sys.argv[1:])) for name in match[1].split(",")})
    bouncer = http.server.ThreadingHTTPServer(("localhost", BOUNCER), Bouncer)
    threading.Thread(target=bouncer.serve_forever, daemon=True).start()
    caddy = subprocess.Popen(["caddy", "run"], env=dict(os.environ, CADDY_ADMIN="localhost:2019"))
    signal.signal(signal.SIGTERM, lambda *dummy: sys.exit(caddy.terminate()))
    now = None
    while caddy.poll() is None:
        try:
            wanted = sorted(routes(read(endpoint), entry), key=str)
            if wanted != now:
                load(configuration(wanted))
                now = wanted
        except OSError as error:
            print("the Docker API or Caddy does not answer: %s" % error, file=sys.stderr, flush=True)
        time.sleep(INTERVAL)
    sys.exit("Caddy has ended")


main()
