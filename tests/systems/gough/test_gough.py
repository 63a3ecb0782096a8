"""Gough at work: every arrow of its document, every never as a failing attempt, and the items of its checklist that need a network.

What of the checklist follows from the declaration alone is in tests/unit/test_gough.py; docs/systems.md has the table of both.
"""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import subprocess

import pytest

CHECKOUT = pathlib.Path(__file__).parents[3]

HOSTS = ["gw1", "mgmt1", "prov1", "mon1", "swarm1", "swarm2", "admin1", "server1", "outside1"]
PORTAL, COLLECTOR, MAAS = "10.0.1.11", "10.0.3.11", "10.0.2.10"
OUTSIDE = "203.0.113.10"
ADDRESSES = {
    "maas-server": "172.20.0.10",
    "management-server": "172.20.0.20",
    "fleetdm": "172.20.0.30",
    "postgres": "172.20.0.40",
    "mysql": "172.20.0.41",
    "redis": "172.20.0.42",
    "nginx": "172.20.0.50",
    "prometheus": "172.20.0.60",
    "grafana": "172.20.0.61",
}
SERVICES = {
    "apps_web": (1, "apps-public"),
    "apps_backend": (2, "apps-private apps-public"),
    "apps_redis": (1, "apps-private"),
}

#: Asks the name server for maas.gough.example and prints the address.
RESOLVE = """
import socket, struct, sys
name = b"".join(bytes([len(part)]) + part for part in b"maas.gough.example".split(b".")) + b"\\0"
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
plain.settimeout(5)
plain.sendto(struct.pack(">6H", 7, 256, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1), (sys.argv[1], 53))
print(socket.inet_ntoa(plain.recv(512)[-4:]))
"""
#: Sends a message to the collector: address, protocol, port, text.
SAY = """
import socket, ssl, sys
address, proto, port, text, secret = sys.argv[1:]
line = ("<13>Jan  1 00:00:00 host gough: %s\\n" % text).encode()
if proto == "udp":
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(line, (address, int(port)))
else:
    with socket.create_connection((address, int(port)), 3) as plain:
        if secret == "tls":
            context = ssl.create_default_context(cafile="/etc/ssl/gough/ca.crt")
            plain = context.wrap_socket(plain, server_hostname="collector.gough.example")
        plain.sendall(line)
        if secret == "tls":
            try:
                plain.unwrap()
            except OSError:
                pass  # rsyslogd ends a connection without a word
"""


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts(tools):
    return {name: tools.Host("bulkhead-lab-" + name) for name in HOSTS}


@pytest.fixture(name="containers", scope="module")
def fixture_containers(hosts, tools):
    """{service: its container}, once all of them answer."""
    found = tools.until(lambda: _running(hosts["mgmt1"]), "the service containers")
    for name, port in {"postgres": 5432, "mysql": 3306, "redis": 6379, "management-server": 8000}.items():
        target = "%s:%d" % (name, port)
        tools.until(lambda target=target: found["nginx"].connect(target) == {target: "open"}, target)
    return found


def _running(host):
    found = {name: each[0] for name, each in host.containers("com.docker.compose.service").items()}
    return found if set(found) == set(ADDRESSES) else None


@pytest.fixture(name="server", scope="module")
def fixture_server(hosts, tools):
    """A server that boots: it has no address, and asks for one."""
    server = hosts["server1"]
    server.run("ip", "address", "flush", "dev", "eth0")
    server.run("systemctl", "restart", "systemd-networkd")
    tools.until(lambda: _lease(server), "a lease")
    return server


def _lease(server):
    # Without an address of the family it is an empty list.
    links = json.loads(server.run("ip", "-json", "-4", "address", "show", "dev", "eth0"))
    return [one["local"] for link in links for one in link.get("addr_info", ()) if one.get("dynamic")]


@pytest.fixture(name="portal", scope="module")
def fixture_portal(hosts, containers, tools):
    """What the portal answers an administrator's browser, by https."""
    return tools.until(lambda: hosts["admin1"].page(PORTAL, 443, "portal.gough.example"), "the portal")


# -- the container network -------------------------------------------------------------------------------------------


def test_nine_containers_have_the_addresses_of_the_plan(containers):
    assert {name: each.addresses() for name, each in containers.items()} == {
        name: {"maas-network": address} for name, address in ADDRESSES.items()
    }


@pytest.mark.parametrize("address", ADDRESSES.values())
def test_an_address_that_a_container_has_is_given_to_no_other(address, hosts, containers):
    # It would end at once.
    ends = ["--entrypoint", "python3", "localhost:1/gough-maas", "--version"]
    taken = ["docker", "run", "--rm", "--network", "maas-network", "--ip", address, *ends]
    with pytest.raises(AssertionError, match="Address already in use"):
        hosts["mgmt1"].run(*taken)


def test_the_container_network_has_its_options_and_its_range(hosts):
    (network,) = json.loads(hosts["mgmt1"].run("docker", "network", "inspect", "maas-network"))
    assert network["IPAM"]["Config"] == [
        {"Subnet": "172.20.0.0/16", "IPRange": "172.20.0.0/24", "Gateway": "172.20.0.1"}
    ]
    assert network["Options"] == {
        "com.docker.network.bridge.name": "gough-br0",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
    }


@pytest.mark.parametrize(
    ("host", "settings"),
    [
        ("mgmt1", {"mtu": 1500, "bip": "172.28.255.1/24", "live-restore": True}),
        ("swarm1", {"mtu": 1450, "bip": "172.28.255.1/24"}),
        ("swarm2", {"mtu": 1450, "bip": "172.28.255.1/24"}),
    ],
)
def test_the_engines_have_the_settings_of_daemon_json_with_the_resolutions(host, settings, hosts):
    found = json.loads(hosts[host].run("cat", "/etc/docker/daemon.json"))
    expected = {
        **settings,
        "fixed-cidr": "172.28.255.0/24",
        "metrics-addr": "0.0.0.0:9323",
        "userland-proxy": False,
        "default-address-pools": [{"base": "172.28.0.0/16", "size": 24}],
    }
    assert {key: found.get(key) for key in expected} == expected
    assert "iptables" not in found
    (link,) = json.loads(hosts[host].run("ip", "-json", "-4", "address", "show", "dev", "docker0"))
    assert [(one["local"], one["prefixlen"]) for one in link["addr_info"]] == [("172.28.255.1", 24)]


# -- provisioning a server -------------------------------------------------------------------------------------------


def test_arrow_pxe_request_a_server_gets_a_lease_through_the_firewall(server):
    (address,) = _lease(server)
    assert address.startswith("10.0.2.") and 100 <= int(address.rpartition(".")[2]) <= 200
    assert "default via 10.0.2.1" in server.run("ip", "route")


def test_arrow_boot_image_by_tftp(server):
    assert (
        server.run("curl", "-sSf", "--max-time", "20", "tftp://%s/pxelinux.0" % MAAS)
        == "boot image of the provisioning tier"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_arrow_os_install_image_by_http(scheme, server):
    assert (
        server.run("curl", "-sSfk", "--max-time", "20", "%s://%s/server.img" % (scheme, MAAS))
        == "operating system of the provisioning tier"
    )


def test_a_server_that_is_installed_asks_the_tiers_name_server(server):
    assert server.run("python3", "-c", RESOLVE, MAAS) == MAAS


#: The three arrows that the document draws and forbids: contradiction 1, which the denial wins.
CONTRADICTED = {"cloud-init": 443, "agent registration": 8000, "osquery enrolment": 8443}


@pytest.mark.parametrize("arrow", CONTRADICTED)
def test_arrow_that_contradicts_the_denial_between_the_vlans_is_refused(arrow, server):
    targets = ["%s:%d" % (address, CONTRADICTED[arrow]) for address in (PORTAL, "172.20.0.20", "172.20.0.30")]
    assert server.connect(*targets) == dict.fromkeys(targets, "blocked")


def test_never_a_server_that_is_installed_reaches_anything_else(server):
    # ssh among provisioned servers is open.
    targets = ["%s:5240" % MAAS, "%s:9100" % MAAS, "10.0.2.1:22", "10.0.1.1:22", "10.0.1.50:22"]
    for address in (PORTAL, COLLECTOR, "10.116.0.11", "10.116.0.12"):
        targets += ["%s:%d" % (address, port) for port in (22, 80, 443, 514, 3000, 5240, 5514, 8443, 9090, 9100, 9323)]
    assert server.connect(*targets) == dict.fromkeys(targets, "blocked")


def test_never_the_internet_from_provisioning(server, hosts):
    targets = ["%s:%d" % (address, port) for address in (OUTSIDE, "198.51.100.10") for port in (22, 80, 443)]
    assert server.connect(*targets) == dict.fromkeys(targets, "blocked")
    assert hosts["prov1"].connect(*targets) == dict.fromkeys(targets, "blocked")


# -- management ------------------------------------------------------------------------------------------------------


def test_arrow_admins_browser_to_the_portal(portal):
    assert portal["service"] == "gough-portal"


def test_arrow_portal_to_the_maas_api(portal):
    assert portal["peers"]["maas-server:5241"] == "reached"


def test_arrow_portal_to_postgresql(portal, containers):
    assert portal["peers"]["postgres:5432"] == "reached"
    client = "/usr/lib/postgresql/15/bin/psql"
    assert containers["management-server"].run(client, "-h", "postgres", "-U", "postgres", "-tAc", "select 6*7") == "42"


def test_arrow_portal_to_redis(portal, containers):
    assert containers["redis"].run("redis-cli", "get", "hits") == str(portal["peers"]["redis:6379"])


def test_arrow_celery_worker_to_the_redis_queue(containers):
    worker = containers["management-server"]
    worker.run("redis-cli", "-h", "redis", "lpush", "celery", "a task")
    assert worker.run("redis-cli", "-h", "redis", "brpop", "celery", "5").splitlines() == ["celery", "a task"]


def test_fleetdm_reaches_its_mysql(containers):
    asked = ["mariadb", "--no-defaults", "--protocol=tcp", "-h", "mysql", "-N", "-e", "select 6*7"]
    assert containers["fleetdm"].run(*asked) == "42"


@pytest.mark.parametrize(("port", "service"), [(5240, "gough-maas"), (8443, "gough-fleetdm"), (3000, "gough-grafana")])
def test_management_reaches_what_its_list_allows(port, service, hosts, containers):
    status, _headers, body = hosts["admin1"].fetch(PORTAL, port, "gough")
    assert (status, json.loads(body)["service"]) == (200, service)


def test_nginx_sends_a_browser_from_80_to_443_on_its_own_host(hosts, containers):
    status, headers, _body = containers["grafana"].fetch("nginx", 80, "portal.gough.example")
    assert (status, headers["Location"]) == (301, "https://portal.gough.example/")


def test_management_reaches_nothing_that_its_list_does_not_allow(hosts, containers):
    # 80 is published, and in no list; 8000, 5432, 3306 and 6379 are of the containers' own network.
    targets = ["%s:%d" % (PORTAL, port) for port in (80, 2375, 3306, 5432, 6379, 8000, 8080)]
    targets += ["%s:%d" % (address, port) for address in ("172.20.0.20", "172.20.0.40") for port in (5432, 8000)]
    assert "open" not in hosts["admin1"].connect(*targets).values()


@pytest.mark.parametrize("address", [MAAS, COLLECTOR, "10.116.0.11"])
def test_management_reaches_ssh_in_every_tier(address, hosts):
    assert hosts["admin1"].connect(address + ":22")[address + ":22"] in ("open", "refused")


# -- monitoring ------------------------------------------------------------------------------------------------------


def test_arrow_osquery_agents_to_fleetdm(hosts, containers):
    assert hosts["mon1"].connect(PORTAL + ":8443") == {PORTAL + ":8443": "open"}


def test_arrow_server_agents_to_the_portal_contradicts_the_list_of_monitoring_and_is_refused(hosts):
    assert hosts["mon1"].connect(PORTAL + ":8000") == {PORTAL + ":8000": "blocked"}


def test_arrow_services_metrics_to_prometheus(containers, hosts):
    assert containers["management-server"].connect("prometheus:9090") == {"prometheus:9090": "open"}
    assert hosts["mon1"].fetch(PORTAL, 9090, "prometheus", "/-/ready")[0] == 200


def test_arrow_grafana_to_prometheus(hosts, containers):
    assert hosts["admin1"].page(PORTAL, 3000, "grafana")["peers"] == {"prometheus:9090": "reached"}


def test_prometheus_scrapes_the_engines_and_the_hosts_of_every_tier(hosts, containers, tools):
    def scraped():
        body = hosts["mon1"].fetch(PORTAL, 9090, "prometheus", "/api/v1/targets?state=active")[2]
        found = json.loads(body)["data"]["activeTargets"]
        up = {(one["labels"]["job"], one["labels"]["tier"], one["health"]) for one in found}
        assert {one["health"] for one in found} == {"up"}, [one["lastError"] for one in found]
        return up

    tiers = ("gateway", "management", "provisioning", "monitoring", "swarm_workers")
    expected = {("node", tier, "up") for tier in tiers} | {
        ("engine", tier, "up") for tier in ("management", "swarm_workers")
    }
    assert tools.until(scraped, "every target") == expected


@pytest.mark.parametrize(("proto", "port", "secret"), [("tcp", 514, ""), ("tcp", 5514, "tls"), ("udp", 514, "")])
@pytest.mark.parametrize(("host", "address"), [("mgmt1", PORTAL), ("swarm1", "10.116.0.11"), ("swarm2", "10.116.0.12")])
def test_arrow_all_services_to_the_syslog_server(host, address, proto, port, secret, hosts, tools):
    text = "%s-%s-%d-%s" % (host, proto, port, secrets.token_hex(4))
    hosts[host].run("python3", "-c", SAY, COLLECTOR, proto, str(port), text, secret)
    file = "/var/log/bulkhead/%s/syslog" % address
    tools.until(lambda: text in hosts["mon1"].run("cat", file), "%s in %s" % (text, file))


def test_monitoring_traffic_is_encrypted(hosts, tools):
    """What is sent in the clear to the port with TLS is no message; the hosts' own log comes by that port alone."""
    text = secrets.token_hex(8)
    hosts["mgmt1"].run("sh", "-c", "python3 - %s tcp 5514 %s '' <<'END' || true\n%s\nEND" % (COLLECTOR, text, SAY))
    after = secrets.token_hex(8)
    hosts["mgmt1"].run("python3", "-c", SAY, COLLECTOR, "tcp", "5514", after, "tls")
    file = "/var/log/bulkhead/%s/syslog" % PORTAL
    tools.until(lambda: after in hosts["mon1"].run("cat", file), "%s in %s" % (after, file))
    assert text not in hosts["mon1"].run("cat", file)


@pytest.mark.parametrize(
    ("host", "sender", "blocked"),
    [("mgmt1", "admin1", PORTAL), ("gw1", "outside1", PORTAL), ("swarm1", "swarm2", "10.116.0.11")],
)
def test_a_host_sends_its_log_by_the_port_with_tls_alone(host, sender, blocked, hosts, tools):
    peers = "ss -Htn state established dst %s | awk '{print $4}' | grep -oE ':5?514$' | sort -u" % COLLECTOR

    def sends():
        # It connects when it has something to say: that it denied this, which no gateway must have denied before it.
        hosts[sender].connect(blocked + ":9")
        return hosts[host].run("sh", "-c", peers) == ":5514"

    tools.until(sends, "%s sends to 5514" % host)


def test_what_the_gateway_denies_arrives_at_the_collector(hosts, tools):
    def lines():
        log = hosts["mon1"].run("sh", "-c", "cat /var/log/bulkhead/*/ufw.log")
        return log.count("SRC=%s DST=%s" % (OUTSIDE, PORTAL))

    def arrived():
        hosts["outside1"].connect(PORTAL + ":22")
        return lines() > before

    before = lines()
    tools.until(arrived, "another line of UFW")


# -- never -----------------------------------------------------------------------------------------------------------

#: From, to, ports: the matrix between the VLANs, where it denies.
NEVER = [
    ("prov1", PORTAL, (22, 80, 443, 3000, 5240, 8000, 8443, 9090)),
    ("prov1", COLLECTOR, (22, 514, 5514, 9090, 9100)),
    ("prov1", "10.116.0.11", (22, 80, 2377, 7946, 9323)),
    ("mon1", PORTAL, (22, 80, 443, 3000, 5240, 8000, 9323)),
    ("mon1", MAAS, (22, 80, 443, 5240, 9100)),
    ("mon1", "10.116.0.11", (22, 80, 2377, 7946)),
    ("swarm1", PORTAL, (22, 80, 443, 3000, 5240, 8443, 9090)),
    ("swarm1", MAAS, (22, 80, 443, 9100)),
    ("swarm1", COLLECTOR, (22, 9090, 9100)),
    ("outside1", PORTAL, (22, 80, 443, 2375, 3000, 3306, 5240, 5432, 6379, 8443, 9090, 9323)),
    ("outside1", MAAS, (22, 69, 80, 443, 5240)),
    ("outside1", COLLECTOR, (22, 514, 5514, 9100)),
    ("outside1", "10.116.0.11", (22, 2375, 2376, 2377, 5432, 6379, 7946, 9100, 9323)),
    ("outside1", "10.0.1.1", (22, 9100)),
    ("outside1", "203.0.113.1", (22, 80, 443, 9100)),
]


@pytest.mark.parametrize(("source", "address", "ports"), NEVER)
def test_never(source, address, ports, hosts):
    targets = ["%s:%d" % (address, port) for port in ports]
    assert hosts[source].connect(*targets) == dict.fromkeys(targets, "blocked")


@pytest.mark.parametrize("host", ["gw1", "mgmt1", "prov1", "mon1", "swarm1", "swarm2"])
def test_everything_is_denied_by_default(host, hosts):
    said = hosts[host].run("ufw", "status", "verbose")
    assert "Default: deny (incoming), allow (outgoing), deny (routed)" in said


def test_provisioning_has_its_kernel_settings(hosts):
    settings = {
        "net.ipv4.tcp_rmem": "4096\t87380\t134217728",
        "net.ipv4.tcp_wmem": "4096\t65536\t134217728",
        "net.ipv4.tcp_congestion_control": "bbr",
    }
    assert {name: hosts["prov1"].run("sysctl", "-n", name) for name in settings} == settings


# -- swarm workers ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="running", scope="module")
def fixture_running(tools):
    system = tools.System(["swarm1", "swarm2"])
    return system.running(["swarm1", "swarm2"], {name: count for name, (count, _networks) in SERVICES.items()})


def test_nodes_have_their_labels(hosts):
    form = "{{.Description.Hostname}} {{json .Spec.Labels}}"
    lines = hosts["swarm1"].run("docker", "node", "inspect", "--format", form, "swarm1", "swarm2").splitlines()
    assert {line.split()[0]: json.loads(line.split(" ", 1)[1]) for line in lines} == {
        "swarm1": {"edge": "true"},
        "swarm2": {"data": "true"},
    }


def test_services_run_where_the_labels_say_on_their_networks(running):
    assert [each.host.prefix[-1] for each in running["apps_web"]] == ["bulkhead-lab-swarm1"]
    assert [each.host.prefix[-1] for each in running["apps_redis"]] == ["bulkhead-lab-swarm2"]
    for name, (_count, networks) in SERVICES.items():
        for each in running[name]:
            assert " ".join(sorted(each.addresses())) == networks


def test_the_application_answers_the_internet(hosts, running, tools):
    def answered():
        status, _headers, body = hosts["outside1"].fetch("10.116.0.11", 80, "apps.gough.example")
        return status == 200 and json.loads(body)

    page = tools.until(answered, "the application")
    assert page["service"] == "backend" and isinstance(page["peers"]["redis:6379"], int)


def test_the_proxy_does_not_reach_the_data(running):
    targets = ["%s:6379" % each for each in running["apps_redis"][0].addresses().values()]
    assert running["apps_web"][0].connect("redis:6379", *targets) == {
        "redis:6379": "unknown",
        **dict.fromkeys(targets, "blocked"),
    }


def test_overlays_have_room_for_vxlan(hosts):
    for name in ("apps-private", "apps-public"):
        (network,) = json.loads(hosts["swarm1"].run("docker", "network", "inspect", name))
        assert network["Options"]["com.docker.network.driver.mtu"] == "1450"
        assert network["Internal"] == (name == "apps-private")


# -- the quarterly review --------------------------------------------------------------------------------------------


def test_checklist_the_quarterly_review_names_what_was_used_and_what_was_not(server, running):
    subprocess.run(
        ["ansible-playbook", "-i", "inventories/gough", "playbooks/review.yml"],
        cwd=CHECKOUT,
        env=dict(os.environ, ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg")),
        check=True,
    )
    found = json.loads((CHECKOUT / "reports" / "review.json").read_text(encoding="utf-8"))
    assert (found["trouble"], found["foreign"]) == ({}, [])
    use = {row["path"]: row["use"] for row in found["flows"]}
    # A server had its lease, Prometheus scrapes, the nodes talk; nobody has used ssh on the gateway.
    paths = ["bulkhead_tiers.provisioning.dhcp", "bulkhead_flows[6]", "bulkhead_flows[9]", "bulkhead_flows[1]"]
    assert [use[path] for path in paths] == ["used", "used", "used", "unused"]
    (scraped,) = [row for row in found["flows"] if row["path"] == "bulkhead_flows[9]"]
    assert "10.116.0.12" in scraped["by"]
