"""What the checks of all systems need: hosts, the containers on them, and probes from inside of both."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
import yaml

CHECKOUT = pathlib.Path(__file__).parents[2]
# Seconds that services have to start, find each other and be found by the proxy. An overlay's members alone may need 15 s.
SETTLE = int(os.environ.get("SYSTEMS_SETTLE", "60"))

# Prints what a connection to each address and port comes to: open, refused (reached, but nobody listens), unknown (no such name), or blocked.
CONNECT = """
import concurrent.futures, socket, sys

def connect(target):
    address, port = target.rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), 1.5).close()
        return "open"
    except socket.gaierror:
        return "unknown"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "blocked"

with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(*pool.map(connect, sys.argv[1:]))
"""

# Prints the status, the headers and the body of GET PATH of a site on an address, over TLS on port 443, with a cookie if there is one.
FETCH = """
import http.client, json, socket, ssl, sys
address, port, site, path, cookie = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
connection = http.client.HTTPConnection(address, port, timeout=10)
if port == 443:
    plain = socket.create_connection((address, port), 10)
    connection.sock = ssl._create_unverified_context().wrap_socket(plain, server_hostname=site)
connection.request("GET", path, headers={"Host": site, **({"Cookie": cookie} if cookie else {})})
answer = connection.getresponse()
print(json.dumps([answer.status, dict(answer.getheaders()), answer.read().decode()]))
"""


class Place:
    """A host of the lab, or a container on one: where commands run."""

    def __init__(self, *prefix):
        self.prefix = prefix

    def run(self, *argv):
        """What a command prints; it must end well, and in time."""
        # A log may hold bytes that are no text: what TLS sends to a port without it.
        done = subprocess.run(
            [*self.prefix, *argv], capture_output=True, text=True, errors="replace", check=False, timeout=300
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout.strip()

    def connect(self, *targets):
        """{address:port: open, refused, unknown or blocked}, all tried at once."""
        return dict(zip(targets, self.run("python3", "-c", CONNECT, *targets).split()))

    def fetch(self, address, port, site, path="/", cookie=""):
        """(status, headers, body) of a page of a site that is served on an address."""
        return json.loads(self.run("python3", "-c", FETCH, address, str(port), site, path, cookie))

    def page(self, address, port, site, cookie=""):
        """The JSON that a service answers through a proxy."""
        status, _headers, body = self.fetch(address, port, site, cookie=cookie)
        assert status == 200, (status, body)
        return json.loads(body)


class Host(Place):
    """A host of the lab with a Docker Engine."""

    def __init__(self, name):
        super().__init__("docker", "exec", name)

    def containers(self, label):
        """{name of the service: [container]} of what runs on it; label: the one that names the service."""
        found = {}
        form = '{{.ID}} {{.Label "%s"}}' % label
        for line in self.run("docker", "ps", "--filter", "label=" + label, "--format", form).splitlines():
            name, service = line.split()
            found.setdefault(service, []).append(Container(self, name))
        return found

    def attached(self, network, *targets):
        """Like connect, from a container that somebody attaches to a network."""
        container = ("docker", "run", "--rm", "--network", network, "--entrypoint", "python3", "localhost:1/backend")
        return dict(zip(targets, self.run(*container, "-c", CONNECT, *targets).split()))


class Container(Place):
    """A container on a host."""

    def __init__(self, host, name):
        super().__init__(*host.prefix, "docker", "exec", name)
        self.host, self.name = host, name

    def inspect(self):
        return json.loads(self.host.run("docker", "inspect", self.name))[0]

    def addresses(self):
        """{network: address}."""
        return {name: each["IPAddress"] for name, each in self.inspect()["NetworkSettings"]["Networks"].items()}


def until(condition, what):
    """Wait until condition() holds, at most SETTLE seconds, and return what it returned."""
    end = time.monotonic() + SETTLE
    while True:
        try:
            found = condition()
        except AssertionError as error:
            found, why = None, error
        else:
            why = found
        if found:
            return found
        assert time.monotonic() < end, "%s: not within %d s: %s" % (what, SETTLE, why)
        time.sleep(0.5)


class System:
    """The hosts of one system, by their names in the lab."""

    def __init__(self, names):
        self.hosts = {name: Host("bulkhead-lab-" + name) for name in names}

    def __getitem__(self, name):
        return self.hosts[name]

    def running(self, nodes, wanted):
        """{service: its containers} of a Swarm on all nodes, once all tasks run; wanted: {service: how many}."""
        until(
            lambda: swarm_services(self[nodes[0]]) == {name: (count, count) for name, count in wanted.items()}, "tasks"
        )
        found = {}
        for node in nodes:
            for name, containers in self[node].containers("com.docker.swarm.service.name").items():
                found.setdefault(name, []).extend(containers)
        return found


def swarm_services(manager):
    """{service: (tasks that run, tasks that there should be)}."""
    lines = manager.run("docker", "service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
    return {line.split()[0]: tuple(map(int, line.split()[1].split("/"))) for line in lines}


def copied_stacks(system, folder):
    """(a copy of all stack files that may be added to, what a system declares of them)."""
    directory = folder / "stacks"
    shutil.copytree(CHECKOUT / "inventories" / "stacks", directory)
    declared = yaml.safe_load((CHECKOUT / "inventories" / system / "group_vars/all/site.yml").read_text())
    return directory, declared["bulkhead_stacks"]


@pytest.fixture(name="tools", scope="session")
def fixture_tools():
    """The functions above, for the tests of each system."""

    class Tools:
        Host, System, until = Host, System, staticmethod(until)
        copied_stacks, CHECKOUT = staticmethod(copied_stacks), CHECKOUT

    return Tools


@pytest.fixture(name="system", scope="module")
def fixture_system(request):
    """The hosts of a Swarm whose nodes the module names as NODES, one outside of it, and one of the management tier."""
    return System([*request.module.NODES, "outside1", "mgmt1"])


@pytest.fixture(name="running", scope="module")
def fixture_running(request, system):
    """{service: its containers}, once every task of the module's SERVICES, {service: (how many tasks, networks)}, runs."""
    return system.running(
        list(request.module.NODES), {name: count for name, (count, _networks) in request.module.SERVICES.items()}
    )


@pytest.fixture(name="forbidden", scope="module")
def fixture_forbidden(request, running):
    """{address:port: what it comes to} of the module's DATA, {alias: port}, where their overlay does not reach."""
    expected = {}
    for name, port in request.module.DATA.items():
        ((container,),) = [each for service, each in running.items() if service.endswith("_" + name)]
        expected["%s:%d" % (name, port)] = "unknown"
        expected.update({"%s:%d" % (each, port): "blocked" for each in container.addresses().values()})
    return expected


@pytest.fixture(name="playbook", scope="module")
def fixture_playbook(request):
    """playbook(name, *options) -> a run of a playbook on the system; with check=False it may fail. inventory: another one than the system's."""

    def play(name, *options, check=True, inventory=""):
        done = _ansible(inventory or _inventory(request), "ansible-playbook", "playbooks/%s.yml" % name, *options)
        assert not check or done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done

    return play


@pytest.fixture(name="ask_module", scope="module")
def fixture_ask_module(request):
    """ask_module(host, module, arguments) -> the module's whole answer, whether it failed or not."""

    def ask(host, module, arguments):
        said = _ansible(
            _inventory(request), "ansible", host, "-m", module, "-a", json.dumps(arguments), "--one-line"
        ).stdout
        assert "=> {" in said, said
        return json.JSONDecoder().raw_decode(said, said.index("=> {") + 3)[0]

    return ask


def _inventory(request):
    """The inventory of the system that a test is of."""
    return CHECKOUT / "inventories" / request.path.parent.name


def _ansible(inventory, program, *words):
    return subprocess.run(
        [program, "-i", str(inventory), *words],
        cwd=CHECKOUT,
        env=dict(os.environ, ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg"), ANSIBLE_NOCOLOR="1", COLUMNS="1000"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(name="networks", scope="module")
def fixture_networks(playbook, running):
    """{name: network} of what playbooks/networks.yml reports once everything runs; molecule has had it reported already."""
    path = os.environ.get("SYSTEM_NETWORKS")
    if path is None:
        playbook("networks")
        path = CHECKOUT / "reports" / "networks.json"
    report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    assert (report["conflicts"], report["orphans"], report["missing"]) == ([], [], [])
    return {network["name"]: network for network in report["networks"] if network["declared"]}
