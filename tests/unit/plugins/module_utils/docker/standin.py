"""A stand-in for a Docker Engine, for tests where none can run: the real SDK talks to it over a Unix socket.

Every answer is a recorded one (``fixtures/``, made by ``fixtures/record.py`` on real engines) with other names, ids and
addresses put in; ``test_docker_standin.py`` plays the recorded calls back and compares. It is no engine: it knows
exactly the calls that were recorded.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

VERSIONS = ("20_10", "26_1")
FIXTURES = Path(__file__).parent / "fixtures"


def transcript(version: str) -> dict:
    """{scene: [{method, path, body, status, answer}]} of one recorded engine."""
    return json.loads((FIXTURES / f"engine_{version}.json").read_text(encoding="utf-8"))["scenes"]


def recorded(calls: list, method: str, path: str, status: int = 200, last: bool = False):
    """The first (or last) recorded answer to a call."""
    found = [
        call["answer"] for call in calls if (call["method"], call["path"], call["status"]) == (method, path, status)
    ]
    return copy.deepcopy(found[-1 if last else 0])


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, *unused):
        """A client that is gone is no news."""


class StandIn:
    """``role``: manager, worker, outside or leaderless. Use it as a context manager; ``url`` is its docker_host.

    Knobs for tests: ``containers``, ``services`` and ``tasks`` are answers; ``held`` is {network name: how often its
    removal is refused as "in use by task"}; ``lag`` is the number of lists that still show a removed overlay,
    ``allocation_lag`` of those that show a new one without a subnet; ``starting`` is the number of GET /info that say, as
    an engine does that was started a moment ago (seen on both, not recorded), that its swarm is pending; ``unknown`` holds the names of overlays that nothing
    running is on here, which an engine does not know where it is asked about a stopped container; ``start_errors`` is
    {container: why its last start failed}; ``before_create`` and ``before_remove`` are called
    with the name and the id; ``before_update`` with the service's name; ``stuck`` names services whose updates do not end,
    with the state that they show; ``broken`` is {(method, nth call): (status, message), or None for a connection that ends
    without an answer}. ``newer`` is an engine of 27 or later, of which facts are known but no transcript: each network says
    whether it has IPv4, may be without, and gets a subnet of the engine's pool for a version that none was given of;
    ``ipv6_by_default`` is its default-network-opts. ``calls`` and ``bodies`` are what was asked.
    """

    def __init__(self, path, version: str, role: str = "manager"):
        self.scenes = transcript(version)
        self.role = role
        scene = self.scenes[role]
        self.info = recorded(scene, "GET", "/info")
        self.networks = recorded(scene, "GET", "/networks", last=True)
        self.containers, self.services, self.tasks, self.attachments, self.nodes = [], [], [], [], []
        self.held, self.lag, self.allocation_lag, self.broken, self.starting = {}, 0, 0, {}, 0
        self.before_create = self.before_remove = self.before_update = lambda name: None
        self.stuck, self.unknown, self.start_errors = {}, set(), {}
        self.newer = self.ipv6_by_default = False
        self.calls, self.bodies = [], []
        self.url = f"unix://{path}/engine.sock"
        self._ids = itertools.count(1)
        self._ghosts, self._unallocated = {}, {}
        self._server = _Server(f"{path}/engine.sock", self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def writes(self) -> list:
        """(method, path) of the calls that change something."""
        return [call for call in self.calls if call[0] != "GET"]

    def named(self, name: str) -> dict:
        return next(network for network in self.networks if network["Name"] == name)

    @property
    def names(self) -> list:
        return sorted(network["Name"] for network in self.networks)

    def in_use(self, **ids) -> None:
        """Put in the recorded users; ``overlay``/``bridge`` are the ids of the networks that they use."""
        scene = self.scenes["inuse"]
        text = json.dumps([recorded(scene, "GET", path) for path in ("/containers/json?all=1", "/services", "/tasks")])
        for kind, name in (("overlay", "ov-used"), ("bridge", "br-used")):
            old = next(net for net in recorded(scene, "GET", "/networks") if net["Name"] == name)
            new = next((net for net in self.networks if net["Id"] == ids.get(kind)), old)
            text = text.replace(old["Id"], new["Id"]).replace(f'"{name}"', json.dumps(new["Name"]))
        self.containers, self.services, self.tasks = json.loads(text)

    def answer(self, method: str, path: str, body):
        """(status, answer) for one call."""
        self.calls.append((method, path))
        nth = sum(call[0] == method for call in self.calls)
        if (method, nth) in self.broken:
            broken = self.broken[method, nth]
            return broken and (broken[0], {"message": broken[1]})
        if method == "POST" and path.startswith("/services/"):
            return self.update(path.split("/")[2], int(path.split("version=")[1]), body)
        if method == "POST" and path.endswith(("connect", "disconnect")):
            _empty, _networks, network_id, verb = path.split("/")
            return getattr(self, verb)(network_id, body)
        if method == "POST":
            self.bodies.append(copy.deepcopy(body))
            self.before_create(body["Name"])
            return self.create(body)
        if method == "DELETE":
            self.before_remove(path.rsplit("/", 1)[1])
            return self.remove(path.rsplit("/", 1)[1])
        plain = path.split("?")[0]
        if plain == "/networks":
            return 200, self.list()
        if plain == "/tasks" and "attachment" in path:
            return 200, self.attachments
        if plain == "/tasks" and "service" in path:
            return 200, [task for task in self.tasks if task.get("ServiceID", "-") in path]
        if plain.startswith("/services/"):
            return self.service(plain.split("/")[2])
        if plain.startswith("/containers/") and plain != "/containers/json":
            return 200, self.inspected(plain.split("/")[2])
        if plain == "/containers/json":
            return 200, self.listed()
        known = {
            "/version": recorded(self.scenes["version"], "GET", "/version"),
            "/info": self.describe() if plain == "/info" else None,
            "/services": self.services,
            "/tasks": self.tasks,
            "/nodes": self.nodes,
        }
        return 200, known[plain]

    def describe(self) -> dict:
        if not self.starting:
            return self.info
        self.starting -= 1
        return {**self.info, "Swarm": {**self.info["Swarm"], "LocalNodeState": "pending"}}

    def list(self) -> list:
        for network in self.networks if self.newer else ():
            network.setdefault("EnableIPv4", True)
        if self.starting:
            return [network for network in self.networks if network["Scope"] == "local"]
        ghosts = []
        for network_id, (network, left) in list(self._ghosts.items()):
            if left:
                ghosts.append(network)
                self._ghosts[network_id] = (network, left - 1)
        shown = []
        for network in self.networks:
            left = self._unallocated.get(network["Id"], 0)
            self._unallocated[network["Id"]] = max(left - 1, 0)
            shown.append(
                {
                    **self._template("ov-overlap"),
                    "Name": network["Name"],
                    "Id": network["Id"],
                    "Labels": network["Labels"],
                }
                if left
                else network
            )
        return shown + ghosts

    def create(self, body: dict):
        overlay = body["Driver"] == "overlay"
        scene = self.scenes["manager"]
        if overlay and self.role != "manager":
            status = next(call["status"] for call in self.scenes[self.role] if call["method"] == "POST")
            return status, recorded(self.scenes[self.role], "POST", "/networks/create", status)
        if body["Name"] in self.names:
            answer = recorded(scene, "POST", "/networks/create", 409)
            return 409, {"message": answer["message"].replace("ov-plain", body["Name"])}
        taken = self._overlapped(body)
        if taken and not overlay:
            return 403, recorded(scene, "POST", "/networks/create", 403)
        network = self._made(body, "ov-overlap" if taken else "ov-plain" if overlay else "br-plain")
        self.networks.append(network)
        if overlay:
            self._unallocated[network["Id"]] = self.allocation_lag
        return 201, {"Id": network["Id"], "Warning": ""}

    def remove(self, network_id: str):
        network = next((network for network in self.networks if network["Id"] == network_id), None)
        scene = self.scenes["manager"]
        if network is None:
            path = next(call["path"] for call in scene if call["method"] == "DELETE" and call["status"] == 404)
            message = recorded(scene, "DELETE", path, 404)["message"]
            return 404, {"message": message.replace(path.rsplit("/", 1)[1], network_id)}
        if self.held.get(network["Name"], 0):
            self.held[network["Name"]] -= 1
            call = next(call for call in self.scenes["held"] if call["method"] == "DELETE")
            return call["status"], {
                "message": call["answer"]["message"].replace(call["path"].rsplit("/", 1)[1], network_id)
            }
        self.networks.remove(network)
        if network["Scope"] == "swarm":
            self._ghosts[network_id] = (network, self.lag)
        return 204, None

    def populate(self, network: str, driver: str = "overlay") -> None:
        """Put the recorded service and containers onto a network: ``svc`` with one task, and the containers ``static``,
        ``dynamic``, ``stopped`` and ``new``. On a bridge there are only the containers."""
        scene, live = self.scenes["move"], self.named(network)
        old = scene[0]["answer"]["Id"]
        listed = recorded(scene, "GET", "/containers/json?all=1")
        full = {}
        for call in scene:
            if call["path"].startswith("/containers/") and "all=1" not in call["path"]:
                full.setdefault(call["answer"]["Id"], call["answer"])
        for container in listed:
            if container["Id"] in full:
                container["NetworkSettings"] = full[container["Id"]]["NetworkSettings"]
        service = next(call for call in scene if call["path"].startswith("/services/"))["answer"]
        settled = [call for call in scene if call["path"].startswith("/tasks?filters")][-1]["answer"]
        task = next(copy.deepcopy(task) for task in settled if task["DesiredState"] == "running")
        task["Spec"]["Networks"] = service["Spec"]["TaskTemplate"].get("Networks") or service["Spec"].get("Networks")
        task["NetworksAttachments"] = [{"Network": {"ID": old}, "Addresses": ["10.90.0.5/24"]}]
        attachments = recorded(scene, "GET", "/tasks?runtime=attachment")
        text = json.dumps([listed, [service] if driver == "overlay" else [], [task], attachments])
        text = text.replace(old, live["Id"]).replace('"ov-from"', json.dumps(network))
        self.containers, self.services, self.tasks, self.attachments = json.loads(text)
        self.nodes = recorded(scene, "GET", "/nodes")
        if driver != "overlay":
            self.tasks, self.attachments = [], []
            self.containers = [one for one in self.containers if not one["Names"][0].startswith("/svc")]

    def listed(self) -> list:
        """The containers as a list shows them: without aliases, links and driver options."""
        shown = copy.deepcopy(self.containers)
        for container in shown:
            for end in container["NetworkSettings"]["Networks"].values():
                end.update(Aliases=None, DriverOpts=None, Links=None)
        return shown

    def inspected(self, container_id: str) -> dict:
        container = next(container for container in self.containers if container["Id"] == container_id)
        name = container["Names"][0]
        shown = {"Id": container_id, "Name": name, "NetworkSettings": container["NetworkSettings"]}
        return {**shown, "State": {"Error": self.start_errors.get(name.lstrip("/"), "")}}

    def service(self, service_id: str):
        found = next((service for service in self.services if service["ID"] == service_id), None)
        if found:
            return 200, found
        call = next(call for call in self.scenes["move"] if call["status"] == 404)
        return 404, {"message": call["answer"]["message"].replace(call["path"].split("/")[2], service_id)}

    def update(self, service_id: str, version: int, spec: dict):
        status, service = self.service(service_id)
        if status == 404:
            return status, service
        self.before_update(service["Spec"]["Name"])
        if service["Version"]["Index"] != version:
            call = next(call for call in self.scenes["move"] if "version" in call["path"] and call["status"] == 500)
            return 500, call["answer"]
        shown = self.stuck.get(spec["Name"], "completed")
        service.update(Spec=spec, UpdateStatus={"State": shown, "Message": f"update {shown}"})
        service["Version"]["Index"] += 1
        for task in self.tasks if shown == "completed" else ():
            if task.get("ServiceID") == service_id:
                task["Spec"]["Networks"] = spec["TaskTemplate"]["Networks"]
                task["NetworksAttachments"] = [
                    {"Network": {"ID": end["Target"]}, "Addresses": ["10.90.0.5/24"]}
                    for end in spec["TaskTemplate"]["Networks"]
                ]
        return 200, {"Warnings": None}

    def _ends(self, body: dict) -> dict:
        container = next(item for item in self.containers if item["Id"] == body["Container"])
        return container["NetworkSettings"]["Networks"]

    def _stopped(self, body: dict) -> bool:
        return next(item for item in self.containers if item["Id"] == body["Container"])["State"] != "running"

    def _known(self, word: str, body: dict):
        """The network that a call about a container means; None where it is stopped and the engine knows no such."""
        network = next(network for network in self.networks if word in (network["Id"], network["Name"]))
        return None if self._stopped(body) and network["Name"] in self.unknown else network

    def connect(self, word: str, body: dict):
        network, ends = self._known(word, body), self._ends(body)
        config = body.get("EndpointConfig") or {}
        given = {key: config.get(key) for key in ("Aliases", "Links", "DriverOpts")}
        asked = config.get("IPAMConfig") or {}
        if network is None:
            ends[word] = {"NetworkID": "", "IPAMConfig": asked or None, "IPAddress": "", **given}
            return 200, None
        if network["Name"] in ends:
            call = next(
                call for call in self.scenes["move"] if call["path"].endswith("/connect") and call["status"] == 409
            )
            return 409, call["answer"]
        pool = ipaddress.ip_network((network["IPAM"]["Config"] or [{"Subnet": "10.78.9.0/24"}])[0]["Subnet"])
        address = asked.get("IPv4Address") or str(pool[2 + len(self.calls) % 9])
        overlay = network["Scope"] == "swarm"
        ends[network["Name"]] = {
            "NetworkID": network["Id"],
            "IPAMConfig": {"IPv4Address": address} if overlay else asked or None,
            "IPAddress": address,
            **given,
        }
        return 200, None

    def disconnect(self, word: str, body: dict):
        network = self._known(word, body)
        key = network["Name"] if network else word
        if self._ends(body).pop(key, None) is None:
            scene = self.scenes["unknown" if self._stopped(body) else "move"]
            call = next(call for call in scene if call["path"].endswith("/disconnect") and call["status"] == 500)
            message = call["answer"]["message"].replace(call["body"]["Container"], body["Container"])
            return 500, {"message": message.replace(call["path"].split("/")[2], key)}
        return 200, None

    def _template(self, name: str) -> dict:
        for call in self.scenes["manager"]:
            if call["path"] == "/networks" and any(network["Name"] == name for network in call["answer"]):
                return copy.deepcopy(next(network for network in call["answer"] if network["Name"] == name))
        raise LookupError(name)

    def _made(self, body: dict, template: str) -> dict:
        network = self._template(template)
        number = next(self._ids)
        overlay = body["Driver"] == "overlay"
        network.update(
            Name=body["Name"],
            Id=f"{number:025d}" if overlay else f"{number:064x}",
            Internal=bool(body.get("Internal")),
            Attachable=bool(body.get("Attachable")),
            EnableIPv6=bool(body.get("EnableIPv6")),
            Labels=body["Labels"],
        )
        if not network["Driver"]:  # refused by the allocator: recorded with nothing in it
            return network
        network["Options"] = {**body["Options"], **(network["Options"] if overlay else {})}
        pools = (body.get("IPAM") or {}).get("Config")
        if self.newer and not overlay:
            self._both_versions(network, body)
            return network
        if not pools:
            network["IPAM"] = self._template("ov-auto" if overlay else "br-auto")["IPAM"]
            return network
        for pool in pools:
            if overlay and "Gateway" not in pool:
                cidr = ipaddress.ip_network(pool["Subnet"])
                start = ipaddress.ip_network(pool.get("IPRange") or pool["Subnet"])
                pool["Gateway"] = str(cidr[1] if start[0] == cidr[0] else start[0])
        network["IPAM"]["Config"] = pools
        return network

    def _both_versions(self, network: dict, body: dict) -> None:
        """What an engine of 27 or later makes of a bridge."""
        network["EnableIPv4"] = body.get("EnableIPv4", True)
        network["EnableIPv6"] = body.get("EnableIPv6", self.ipv6_by_default)
        given = list((body.get("IPAM") or {}).get("Config") or ())
        for key, subnet, mark in (("EnableIPv4", "172.31.9.0/24", "."), ("EnableIPv6", "fd00:eeee::/64", ":")):
            if network[key] and not any(mark in pool["Subnet"] for pool in given):
                given.append({"Subnet": subnet, "Gateway": subnet.replace("0/24", "1").replace("::/64", "::1")})
        network["IPAM"] = {**network["IPAM"], "Config": given}

    def _overlapped(self, body: dict) -> bool:
        """Whether a network of the same scope has some of the addresses: all that a real engine looks at."""
        scope = "swarm" if body["Driver"] == "overlay" else "local"
        taken = [
            ipaddress.ip_network(pool["Subnet"])
            for network in self.networks
            if network["Scope"] == scope
            for pool in network["IPAM"]["Config"] or []
        ]
        asked = [ipaddress.ip_network(pool["Subnet"]) for pool in (body.get("IPAM") or {}).get("Config") or []]
        return any(new.version == old.version and new.overlaps(old) for new in asked for old in taken)

    def _handler(self):
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path = (
                    "/" + self.path.split("/", 2)[2]
                    if self.path.startswith("/v") and self.path[2].isdigit()
                    else self.path
                )
                result = engine.answer(self.command, path, body)
                if result is None:
                    self.close_connection = True
                    return
                status, answer = result
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *unused):
                """Keep quiet."""

        return Handler
