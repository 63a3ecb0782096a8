"""A service of one of the reference systems that no Debian package has: it answers HTTP on the ports in PORTS.

GET / says what it is and what it reached, and whom a proxy let in. The services that its variables name (REDIS_HOST=redis,
QDRANT_URI=http://qdrant:6333, CASSANDRA_HOSTS=one,two) get a connection each; in Redis it counts the requests, and the Docker API it asks
for the containers. In Authelia's place it tells Traefik who is signed in, in CrowdSec's whether an address is banned.
"""

import http.server
import json
import os
import re
import signal
import socket
import sys
import threading
import urllib.parse
import urllib.request

NAMES = re.compile(r"(HOST|HOSTS|HOSTNAME|URL|URI|REDIS)$")
PORTS = {"redis": 6379, "cassandra": 9042, "postgres": 5432}
TIMEOUT = 2
SERVICE = os.environ["SERVICE"]


def peers():
    """(host, port) of every service that a variable names; what has a dot lies outside of the system."""
    found = set()
    for name, value in os.environ.items():
        if not NAMES.search(name):
            continue
        for part in value.split(","):
            url = urllib.parse.urlsplit(part if "://" in part else "//" + part)
            port = url.port or next((port for word, port in PORTS.items() if word in (url.hostname or "")), None)
            if url.hostname and "." not in url.hostname and port:
                found.add((url.hostname, port))
    return sorted(found)


def redis(host, port, command):
    """The lines that Redis answers a command."""
    with socket.create_connection((host, port), TIMEOUT) as connection:
        connection.sendall(command.encode() + b"\r\nQUIT\r\n")
        return connection.makefile().read().splitlines()[:-1]


def increment(host, port):
    """The new value of a counter in Redis."""
    return int(redis(host, port, "INCR hits")[0].lstrip(":"))


def containers(host, port):
    """How many containers the Docker API knows."""
    with urllib.request.urlopen("http://%s:%d/containers/json" % (host, port), timeout=TIMEOUT) as answer:
        return len(json.load(answer))


def ask(host, port):
    """What a peer answered, or why it did not."""
    try:
        if port == 6379:
            return increment(host, port)
        if port == 2375:
            return containers(host, port)
        socket.create_connection((host, port), TIMEOUT).close()
        return "reached"
    except OSError as error:
        return "failed: %s" % error


def signed_in(cookie):
    """Who has the session that a cookie names; Redis has the sessions."""
    session = re.search(r"authelia_session=([a-z0-9]+)", cookie or "")
    if session is None:
        return None
    found = redis(os.environ["AUTHELIA_SESSION_REDIS_HOST"], 6379, "GET session:" + session[1])
    return found[1] if len(found) == 2 else None


def decisions(address):
    """What CrowdSec's API says of an address: a list, or null. /tmp/banned has those that `cscli decisions add` would name."""
    try:
        with open("/tmp/banned", encoding="utf-8") as banned:
            return [{"type": "ban", "value": address}] if address in banned.read().split() else None
    except FileNotFoundError:
        return None


class Answer(http.server.BaseHTTPRequestHandler):
    """GET of anything."""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if SERVICE == "authelia" and url.path == "/api/authz/forward-auth":
            user = signed_in(self.headers["Cookie"])
            site = "https://auth.%s/" % ".".join(self.headers["X-Forwarded-Host"].split(".")[-2:])
            self.say({"user": user}, *((200, {"Remote-User": user}) if user else (302, {"Location": site})))
        elif SERVICE == "crowdsec" and url.path == "/v1/decisions":
            self.say(decisions(urllib.parse.parse_qs(url.query)["ip"][0]))
        else:
            body = {"service": SERVICE, "peers": {"%s:%d" % peer: ask(*peer) for peer in peers()}}
            user = self.headers["Remote-User"]
            self.say({**body, "user": user} if user else body)

    def say(self, body, status=200, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *dummy):
        """Nothing."""


for number in os.environ.get("PORTS", "").split():
    server = http.server.ThreadingHTTPServer(("", int(number)), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
# The first process of a container ignores what it does not handle.
signal.signal(signal.SIGTERM, lambda *dummy: sys.exit(0))
signal.pause()
