"""A service of one of the reference systems that no Debian package has: it answers HTTP on the ports in PORTS.

GET / says what it is and what it reached. The services that its variables name (REDIS_HOST=redis, QDRANT_URI=http://qdrant:6333,
CASSANDRA_HOSTS=one,two) get a connection each; in Redis it counts the requests, and the Docker API it asks for the containers.
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


def increment(host, port):
    """The new value of a counter in Redis."""
    with socket.create_connection((host, port), TIMEOUT) as redis:
        redis.sendall(b"INCR hits\r\n")
        answer = redis.makefile().readline()
    return int(answer.lstrip(":"))


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


class Answer(http.server.BaseHTTPRequestHandler):
    """GET of anything."""

    def do_GET(self):
        body = {"service": os.environ["SERVICE"], "peers": {"%s:%d" % peer: ask(*peer) for peer in peers()}}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
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
