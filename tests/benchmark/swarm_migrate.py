"""Migrate a network under load and count the requests that fail: none may.

    tests/benchmark/swarm_migrate.py [--replicas 6] [--rate 50] [--releases trixie,bookworm,trixie]

Makes three hosts of its own (tests/support/hosts) and a Swarm of them. A service of six replicas answers HTTP on an
overlay; a container on the same overlay asks it, resolving the name anew for every request, and so does a second
service. Meanwhile swarm_network moves the overlay to another subnet with ``recreate: migrate``. The service has
``endpoint_mode: dnsrr``, because the kernels of the test machines lack IPVS, and a health check, because without one a
Swarm announces a task before its program listens. Exit status 1 where a request failed, or the migration took none.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from hosts import NET, PREFIX
from hosts.engine import SERVICE_IMAGE, Hosts, wait

SERVER = """
import http.server, signal, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = socket.gethostname().encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *unused): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False
server = Server(("", 8000), Handler)
signal.signal(signal.SIGTERM, lambda *unused: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""

HEALTH = "/usr/bin/python3 -Sc 'import socket; socket.create_connection((\"127.0.0.1\", 8000), 2)'"

# Asks at a steady rate, whatever the answers do; prints what it saw when it is told to stop.
CLIENT = """
import collections, json, random, signal, socket, sys, threading, time
name, rate = sys.argv[1], float(sys.argv[2])
going, lock = True, threading.Lock()
count, slowest, failures, asked = 0, 0.0, [], collections.Counter()
def stop(*unused):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
def ask():
    global count, slowest
    start, address, error = time.time(), "", ""
    try:
        address = random.choice(socket.getaddrinfo(name, 8000, socket.AF_INET, socket.SOCK_STREAM))[4][0]
        with socket.create_connection((address, 8000), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            answer = b""
            while True:
                data = connection.recv(4096)
                if not data: break
                answer += data
        if b" 200 " not in answer: error = "answer %r" % answer[:40]
    except Exception as caught:
        error = "%s: %s" % (type(caught).__name__, caught)
    with lock:
        count += 1
        slowest = max(slowest, time.time() - start)
        asked[address.rsplit(".", 1)[0]] += 1
        if error: failures.append([round(start, 2), address, error])
deadline = time.time() + 60
while going and time.time() < deadline:
    try:
        socket.getaddrinfo(name, 8000); break
    except OSError: time.sleep(0.2)
print("ready", flush=True)
following, threads = time.time(), []
while going:
    thread = threading.Thread(target=ask); thread.start()
    threads = [other for other in threads if other.is_alive()] + [thread]
    following += 1 / rate
    time.sleep(max(0, following - time.time()))
for thread in threads: thread.join()
print(json.dumps({"requests": count, "failures": failures, "slowest": slowest, "subnets": asked}), flush=True)
"""


def start(hosts, options):
    """The network, the service behind it and the two that ask."""
    manager = hosts[0]
    made = manager.module(networks=[{"name": "shop", "subnet": "10.60.1.0/24", "attachable": True}])
    if made["failed"]:
        sys.exit(made["msg"])
    service = ["service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr"]
    manager.docker(
        *service,
        *("--name", "web", "--network", "name=shop,alias=shop-web", "--replicas", options.replicas),
        *("--health-cmd", HEALTH, "--health-interval", "2s", SERVICE_IMAGE, "-c", SERVER),
    )
    wait(lambda: running(manager, "web") == options.replicas)
    rate = str(options.rate)
    manager.docker(
        *("run", "-d", "--name", "probe", "--network", "shop", "--ip", "10.60.1.200", "--network-alias", "watcher"),
        *(SERVICE_IMAGE, "-c", CLIENT, "shop-web", rate),
    )
    manager.docker(
        *service,
        *("--name", "asker", "--network", "shop", "--stop-grace-period", "20s"),
        *(SERVICE_IMAGE, "-c", CLIENT, "web", rate),
    )
    wait(lambda: "ready" in manager.docker("logs", "probe"))
    wait(lambda: "ready" in manager.docker("service", "logs", "--raw", "asker"))


def running(manager, name):
    """How many tasks of a service run."""
    tasks = manager.docker("service", "ps", name, "--filter", "desired-state=running", "--format", "{{.CurrentState}}")
    return sum(line.startswith("Running") for line in tasks.splitlines())


def tally(lines):
    """What the clients of these log lines saw, added up."""
    total = {"requests": 0, "failures": [], "slowest": 0.0, "subnets": {}}
    for line in lines:
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        total["requests"] += said["requests"]
        total["failures"] += said["failures"]
        total["slowest"] = max(total["slowest"], said["slowest"])
        for subnet, count in said["subnets"].items():
            total["subnets"][subnet] = total["subnets"].get(subnet, 0) + count
    return total


def migrate(hosts, options):
    """Migrate under load; {who asked: tally}, the module's result and its time."""
    manager = hosts[0]
    wanted = [{"name": "shop", "subnet": "10.60.0.0/22", "attachable": True, "mtu": 1400}]
    time.sleep(5)
    began = time.monotonic()
    said = manager.module(networks=wanted, recreate="migrate")
    took = time.monotonic() - began
    time.sleep(5)
    manager.docker("stop", "-t", "20", "probe")
    probe = manager.docker("logs", "probe").splitlines()
    manager.docker("service", "update", "--detach", "--replicas", "0", "asker")
    wait(lambda: running(manager, "asker") == 0)
    time.sleep(5)
    asker = manager.docker("service", "logs", "--raw", "asker").splitlines()
    return {"container": tally(probe), "service": tally(asker)}, said, took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=6)
    parser.add_argument("--rate", type=float, default=50, help="requests a second of each of the two that ask")
    parser.add_argument("--releases", default="trixie,bookworm,trixie", help="the hosts' Debian, the manager's first")
    options = parser.parse_args()
    with Hosts(f"{PREFIX}-bench", options.releases.split(","), f"10.{NET}.2") as hosts:
        hosts.swarm()
        start(hosts, options)
        seen, said, took = migrate(hosts, options)
        if said["failed"]:
            sys.exit(said["msg"])
    failed = 0
    print(f"{options.replicas} replicas, migrated in {took:.0f} s: {', '.join(said['migrated'])}")
    for who, tallied in seen.items():
        failures = tallied["failures"]
        failed += len(failures)
        print(
            f"asked by a {who}: {tallied['requests']} requests, {len(failures)} failed, "
            f"slowest {tallied['slowest']:.2f} s, by subnet {tallied['subnets']}"
        )
        for when, address, error in failures[:20]:
            print(f"  {when} {address} {error}")
    sys.exit(1 if failed or not said["migrated"] or not all(tallied["requests"] for tallied in seen.values()) else 0)


if __name__ == "__main__":
    main()
