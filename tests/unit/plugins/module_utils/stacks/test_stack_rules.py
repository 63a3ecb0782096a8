"""Each rule on its own: what it finds, and what it must not find."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Service, Text
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import (
    data_by,
    is_edge,
    is_proxy_image,
    is_socket_proxy,
    is_traefik,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import lint_files
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS, lint, rules

NETWORKS = """
networks:
  public: {name: net-public}
  private: {name: net-private, internal: true}
  other: {name: net-other, internal: true, labels: {bulkhead.zone: other}}
  socket: {name: net-socket, internal: true}
  h: {external: true, name: host}
  b: {external: {name: bridge}}
  o: {external: true, name: none}
  n: {name: own-net}
  s: {name: docker-socket-proxy}
"""


def found(tmp_path, services, **options):
    version = 'version: "3.9"\n' if options.get("kind") == "swarm" else ""
    return rules(lint(tmp_path, version + "services:\n" + services + NETWORKS, **options))


@pytest.mark.parametrize(
    ("image", "keeps"),
    [
        ("postgres:16", True),
        ("registry.example:5000/team/postgres@sha256:0123", True),
        ("bitnami/postgresql-repmgr:16", True),
        ("tensorchord/pgvecto-rs:pg16", True),
        ("getmeili/meilisearch", True),
        ("timescale/timescaledb-ha:pg16", True),
        ("oliver006/redis_exporter", False),
        ("mongo-express:1", False),
        ("dpage/pgadmin4", False),
        ("prodrigestivill/postgres-backup-local", False),
        ("redis-team/shop:1", False),
        ("myredisapp:1", False),
        ("caddy:2", False),
        ("", False),
        ("opensearchproject/opensearch:2", True),
        ("opensearchproject/opensearch-dashboards:2", False),
        ("zabbix/zabbix-server-mysql:alpine-7.0", False),
        ("zabbix/zabbix-web-nginx-mysql", False),
        ("supabase/postgres:15", True),
        ("supabase/postgres-meta:v0.80", False),
        ("nextcloud-mysql", False),
        ("prom/memcached-exporter", False),
        ("quay.io/prometheuscommunity/elasticsearch-exporter", False),
        ("thelastpickle/cassandra-reaper", False),
        ("mysql/mysql-router", False),
        ("mysql/mysql-server:8.0", True),
        ("redis/redis-stack-server", True),
        ("clickhouse/clickhouse-server:24", True),
        ("hyperledger/fabric-couchdb", True),
        ("shop-postgres:latest", True),
        ("arm64v8/redis", True),
        ("mcr.microsoft.com/mssql/server:2022-latest", True),
        ("mcr.microsoft.com/azure-sql-edge:latest", True),
        ("mcr.microsoft.com/mssql-tools", False),
        ("gvenzl/oracle-free:23-slim", True),
        ("ghcr.io/ferretdb/ferretdb:2", True),
        ("chromadb/chroma:1.0", True),
        ("yugabytedb/yugabyte:2.20", True),
        ("firebirdsql/firebird:5", True),
        ("pingcap/tidb-dashboard", False),
        ("oraclelinux:9", False),
        ("eclipse-mosquitto:2", False),
        ("clickhouse/clickhouse-keeper:24", False),
        ("qdrant/mcp-server-qdrant", False),
    ],
)
def test_a_data_service_is_known_by_the_words_of_its_image(image, keeps):
    assert bool(data_by(Service("s", "a", "compose", image=image))) is keeps


@pytest.mark.parametrize(
    ("image", "proxy", "traefik"),
    [
        ("traefik:v3", True, True),
        ("registry.example:5000/mirror/traefik@sha256:01", True, True),
        ("traefik/traefikee:v2", True, True),
        ("traefik-alpine", True, True),
        ("thomseddon/traefik-forward-auth:2", False, False),
        ("ldez/traefik-certs-dumper:v2", False, False),
        ("fbonalair/traefik-crowdsec-bouncer", False, False),
        ("traefik/whoami", False, False),
        ("nginx:1.27-alpine", True, False),
        ("jc21/nginx-proxy-manager", True, False),
        ("nginxinc/nginx-unprivileged", True, False),
        ("lucaslorentz/caddy-docker-proxy", True, False),
        ("trafex/php-nginx", False, False),
        ("richarvey/nginx-php-fpm", False, False),
        ("nginx/nginx-prometheus-exporter", False, False),
        ("quay.io/prometheus/haproxy-exporter", False, False),
    ],
)
def test_a_proxy_is_known_by_the_words_of_its_image_and_traefik_by_all_of_them(image, proxy, traefik):
    service = Service("s", "a", "compose", image=image)
    assert (is_proxy_image(service), is_traefik(service)) == (proxy, traefik)


def test_a_port_counts_where_the_image_says_nothing_and_a_label_before_all():
    assert "PostgreSQL" in data_by(Service("s", "a", "compose", image="own:1", exposed=frozenset([5432])))
    assert data_by(Service("s", "a", "compose", image="haproxy:2", exposed=frozenset([5432]))) == ""
    assert data_by(Service("s", "a", "compose", image="redis:7", labels={"bulkhead.data": Text("false")})) == ""
    assert "label" in data_by(Service("s", "a", "compose", unread_labels={"bulkhead.data": Text("true")}))


def test_a_proxy_and_a_socket_proxy_are_known_by_image_or_label():
    assert is_edge(Service("s", "a", "compose", image="traefik:v3"))
    assert not is_edge(Service("s", "a", "compose", image="nginx:1"))
    assert is_edge(Service("s", "a", "compose", image="own:1", labels={"bulkhead.proxy": Text("true")}))
    assert is_socket_proxy(Service("s", "a", "compose", image="lscr.io/linuxserver/socket-proxy:3"))
    assert not is_socket_proxy(Service("s", "a", "compose", image="x", labels={"bulkhead.socket-proxy": Text("no")}))


CASES = {
    "a range that holds a database's port": (
        '  a: {image: own:1, ports: ["5430-5440:5430-5440"], networks: [private]}',
        ["BT002"],
    ),
    "a range of a database": ('  a: {image: redis:7, ports: ["7000-7005:7000-7005"], networks: [private]}', ["BT002"]),
    "a range of thousands": ('  a: {image: sip:1, ports: ["5000-9000:5000-9000/udp"], networks: [private]}', []),
    "a web port beside a database's that is exposed": (
        '  a: {image: own:1, ports: ["8080:80"], expose: ["5432"], networks: [private]}',
        [],
    ),
    "a database on the host's network": ("  a: {image: redis:7, network_mode: host}", ["BT002", "BT015"]),
    "a database on the host's network by its name": (
        "  a: {image: redis:7, networks: [h]}",
        ["BT002", "BT015"],
    ),
    "the host's network by its name": ("  a: {image: x, networks: [h]}", ["BT015"]),
    "the default bridge by its name": ("  a: {image: x, networks: [b]}", ["BT014"]),
    "no network by its name": ("  a: {image: x, networks: [o]}", []),
    "SQL Server on a public network": (
        "  a: {image: 'mcr.microsoft.com/mssql/server:2022-latest', networks: [public]}",
        ["BT001"],
    ),
    "the socket by the engine's own option": (
        "  a: {image: x, networks: [private], use_api_socket: true}",
        ["BT003"],
    ),
    "the socket of another service's volumes": (
        "  a: {image: x, networks: [private], volumes_from: ['b:ro']}\n"
        "  b: {image: cetusguard, networks: [socket], volumes: [/run/docker.sock:/run/docker.sock]}",
        ["BT003"],
    ),
    "the socket of volumes of volumes": (
        "  a: {image: x, networks: [private], volumes_from: [c]}\n"
        "  c: {image: x, networks: [private], volumes_from: [b]}\n"
        "  b: {image: cetusguard, networks: [socket], volumes: [/run/docker.sock:/run/docker.sock]}",
        ["BT003", "BT003"],
    ),
    "the socket by a path of the home": (
        "  a: {image: x, networks: [private], volumes: ['~/.docker/run/docker.sock:/var/run/docker.sock']}",
        ["BT003"],
    ),
    "the socket by a relative path": (
        "  a: {image: x, networks: [private], volumes: ['../../var/run/docker.sock:/s']}",
        ["BT003"],
    ),
    "the socket by a relative path in the long form": (
        "  a: {image: x, networks: [private], volumes: [{type: bind, source: ./run/podman.sock, target: /s}]}",
        ["BT003"],
    ),
    "the socket by a variable without a value": (
        "  a: {image: x, networks: [private], volumes: ['${SOCK}:/var/run/docker.sock']}",
        ["BT003", "BT021"],
    ),
    "the socket below a variable without a value": (
        "  a: {image: x, networks: [private], volumes: ['$XDG_RUNTIME_DIR/docker.sock:/var/run/docker.sock']}",
        ["BT003", "BT021"],
    ),
    "something else by a variable without a value": (
        "  a: {image: x, networks: [private], volumes: ['${DIR}:/data', '${DIR}/run:/run']}",
        ["BT021"],
    ),
    "the root of the host in other words": (
        "  a: {image: x, networks: [private], volumes: ['//:/a', '/var/../:/b', /run/podman:/c]}",
        ["BT003"] * 3,
    ),
    "a provider's service": (
        "  a: {provider: {type: model}}\n  b: {image: x, networks: [private], depends_on: [a]}",
        [],
    ),
    "Traefik's command as one text": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], command: --api=true --providers.docker.network=net-public}",
        [],
    ),
    "Traefik's command as one text with the API off its zone": (
        "  t: {image: traefik:3, networks: [public],"
        " command: '--providers.docker.endpoint=tcp://sock:2375 --providers.docker.network=net-public'}",
        ["BT005"],
    ),
    "Traefik's command in words": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], command: [--providers.docker.network, net-public]}",
        [],
    ),
    "Traefik's command for a shell": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], entrypoint: [sh, -c, 'traefik --providers.docker.network=net-public']}",
        [],
    ),
    "Traefik's default by a variable without a value": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], command: ['--providers.docker.network=${NET}']}",
        ["BT021"],
    ),
    "a label by a variable without a value": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true, 'traefik.docker.network=${NET}']}",
        ["BT021"],
    ),
    "a helper of Traefik is none": (
        "  a: {image: x, networks: [public], labels: [traefik.enable=true]}\n"
        "  t: {image: ldez/traefik-certs-dumper, networks: [private]}",
        [],
    ),
    "Traefik beside a socket proxy and a database of its own": (
        "  a: {image: x, networks: [public], labels: [traefik.enable=true]}\n"
        "  b: {image: x, networks: [socket], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [socket, public]}",
        ["BT008"],
    ),
    "a socket network by another name": (
        "  a: {image: cetusguard, networks: [n]}\n"
        "  b: {image: x, networks: [n], environment: {DOCKER_HOST: 'tcp://a:2375'}}\n  t: {image: traefik:3, networks: [n]}",
        [],
    ),
    "a socket network that others are on": (
        "  a: {image: cetusguard, networks: [n]}\n  b: {image: x, networks: [n]}",
        ["BT004"],
    ),
    "a socket proxy whose image a variable without a value names": (
        "  socket-proxy: {image: '${IMAGE}', networks: [socket], volumes: [/run/docker.sock:/run/docker.sock]}",
        ["BT021"],
    ),
    "a socket network by another word": ("  a: {image: cetusguard, networks: [s]}", []),
    "a database on a private network": ("  a: {image: redis:7, networks: [private]}", []),
    "a database on both": ("  a: {image: redis:7, networks: [private, public]}", ["BT001"]),
    "a database's port for the host alone": (
        '  a: {image: redis:7, ports: ["127.0.0.1:6379:6379"], networks: [private]}',
        [],
    ),
    "a database's port on one address": (
        '  a: {image: redis:7, ports: ["10.0.0.1:6379:6379"], networks: [private]}',
        ["BT002"],
    ),
    "a database port of an unknown image": (
        '  a: {image: own:1, ports: ["5432:5432"], networks: [private]}',
        ["BT002"],
    ),
    "a web port": ('  a: {image: own:1, ports: ["8080:80"], networks: [private]}', []),
    "the directory of the socket": (
        "  a: {image: x, networks: [private], volumes: [/var/run:/host/run:ro]}",
        ["BT003"],
    ),
    "the root of the host": ("  a: {image: x, networks: [private], volumes: [/:/host:ro]}", ["BT003"]),
    "another file of /run": ("  a: {image: x, networks: [private], volumes: [/run/x.pid:/x]}", []),
    "a socket proxy": (
        "  a: {image: cetusguard, networks: [socket], volumes: [/var/run/docker.sock:/var/run/docker.sock]}",
        [],
    ),
    "a socket proxy off its zone": (
        "  a: {image: cetusguard, networks: [private], volumes: [/run/docker.sock:/run/docker.sock]}",
        ["BT004"],
    ),
    "a socket proxy that is published": (
        '  a: {image: cetusguard, networks: [socket], ports: ["2375:2375"]}',
        ["BT004"],
    ),
    "the API asked off the zone": (
        "  a: {image: x, networks: [private], environment: {DOCKER_HOST: 'tcp://proxy:2375'}}",
        ["BT005"],
    ),
    "the API asked of a socket proxy by name": (
        "  a: {image: x, networks: [private], command: ['--endpoint=tcp://sock:99']}\n"
        "  sock: {image: cetusguard, networks: [socket]}",
        ["BT005"],
    ),
    "the API asked of a socket proxy by DOCKER_HOST": (
        "  a: {image: x, networks: [private], environment: {DOCKER_HOST: 'tcp://sock:2375'}}\n"
        "  sock: {image: cetusguard, networks: [socket]}",
        ["BT005"],
    ),
    "the API asked on the zone": (
        "  a: {image: x, networks: [socket], environment: ['DOCKER_HOST=tcp://proxy:2375']}",
        [],
    ),
    "one network and no label": ("  a: {image: x, networks: [public], labels: [traefik.enable=true]}", []),
    "several networks and traefik off": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=false, traefik.http.routers.a.rule=x]}",
        [],
    ),
    "several networks and a router": (
        "  a: {image: x, networks: [public, private], labels: [traefik.http.routers.a.rule=x]}",
        ["BT006"],
    ),
    "several networks and the Swarm's label in Compose": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true, traefik.swarm.network=net-public]}",
        ["BT006"],
    ),
    "several networks and Traefik's own default": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], command: [--providers.docker.network=net-public]}",
        [],
    ),
    "several networks and Traefik's default elsewhere": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true]}\n"
        "  t: {image: traefik:3, networks: [public], command: [--providers.docker.network=net-other]}",
        ["BT006"],
    ),
    "a label of a network that it is on": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true, traefik.docker.network=net-public]}",
        [],
    ),
    "a label of a network that it is not on": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true, traefik.docker.network=net-x]}",
        ["BT007"],
    ),
    "a label of a network where the proxy is not": (
        "  a: {image: x, networks: [public, private], labels: [traefik.enable=true, traefik.docker.network=net-private]}",
        ["BT008"],
    ),
    "off the proxy": ("  a: {image: x, networks: [private], labels: [traefik.enable=true]}", ["BT008"]),
    "Traefik itself": (
        "  t: {image: traefik:3, networks: [public, private], labels: [traefik.enable=true]}",
        [],
    ),
    "labels under deploy": (
        "  a: {image: x, networks: [public], deploy: {labels: [traefik.enable=true]}}",
        ["BT009"],
    ),
    "egress on an internal network": (
        "  a: {image: x, networks: [private], labels: [bulkhead.egress=true]}",
        ["BT010"],
    ),
    "egress on none": ("  a: {image: x, network_mode: none, labels: [bulkhead.egress=true]}", ["BT010"]),
    "egress on both": ("  a: {image: x, networks: [private, public], labels: [bulkhead.egress=true]}", []),
    "an outside address on an internal network": (
        "  a: {image: x, networks: [private], environment: {WEATHER_API: 'https://api.weather.example/v1'}}",
        ["BT011"],
    ),
    "an outside address that is its own": (
        "  a: {image: x, networks: [private], environment: {PUBLIC_URL: 'https://shop.example'}}",
        [],
    ),
    "an outside address that nothing calls": (
        "  a: {image: x, networks: [private], environment: {API: 'https://a.example'}, labels: [bulkhead.egress=false]}",
        [],
    ),
    "an inside address": (
        "  a: {image: x, networks: [private], environment: {API: 'https://nas.lan', DB: 'http://10.1.2.3'}}",
        [],
    ),
    "a network that the file does not declare": ("  a: {image: x, networks: [privat]}", ["BT012"]),
    "no networks": ("  a: {image: x}", ["BT014"]),
    "the default bridge": ("  a: {image: x, network_mode: bridge}", ["BT014"]),
    "the host's network": ("  a: {image: x, network_mode: host}", ["BT015"]),
    "another service's network": (
        "  a: {image: redis:7, network_mode: 'service:b'}\n  b: {image: vpn, networks: [public]}",
        ["BT001"],
    ),
    "zones by label": (
        "  a: {image: x, networks: [public], labels: {bulkhead.zones: 'public, private'}}",
        ["BT017"],
    ),
    "zones by label kept": (
        "  a: {image: x, networks: [public, private], labels: {bulkhead.zones: 'public private'}}",
        [],
    ),
    "a linked peer elsewhere": (
        "  a: {image: x, networks: [public], links: [b]}\n  b: {image: y, networks: [private]}",
        ["BT018"],
    ),
    "a peer elsewhere that is started before": (
        "  a: {image: x, networks: [public], depends_on: [b]}\n  b: {image: y, networks: [private]}",
        [],
    ),
    "a peer beside that is started before": (
        "  a: {image: x, networks: [public], depends_on: [b]}\n  b: {image: y, networks: [public]}",
        [],
    ),
    "a database elsewhere that is waited for": (
        "  a: {image: x, networks: [public], depends_on: [b]}\n  b: {image: redis:7, networks: [private]}",
        ["BT018"],
    ),
    "a peer elsewhere that only has to end": (
        "  a: {image: x, networks: [public], depends_on: {b: {condition: service_completed_successfully}}}\n"
        "  b: {image: y, networks: [private]}",
        [],
    ),
    "a peer in an address with a secret": (
        "  a: {image: x, networks: [public], environment: {DATABASE_URL: 'postgres://u:p@b:5432/d?x=y'}}\n"
        "  b: {image: y, networks: [private]}",
        ["BT018"],
    ),
    "a peer by alias": (
        "  a: {image: x, networks: [public], environment: {DB_HOST: database}}\n"
        "  b: {image: y, networks: {private: {aliases: [database]}}}",
        ["BT018"],
    ),
    "a word that is no address": (
        "  a: {image: x, networks: [public], environment: {MODE: b}}\n  b: {image: y, networks: [private]}",
        [],
    ),
    "a shortcut": (
        "  a: {image: x, networks: [public], environment: {API_URL: 'http://b:80'}}\n  b: {image: y, networks: [public]}",
        ["BT019"],
    ),
    "its own name": ("  a: {image: x, networks: [public], environment: {PEER_URL: 'http://a:80'}}", []),
    "a shortcut of a proxy": (
        "  a: {image: caddy, networks: [public], depends_on: [b]}\n  b: {image: y, networks: [public]}",
        [],
    ),
    "a network of their own beside the public one": (
        "  a: {image: x, networks: [public, other], depends_on: [b]}\n  b: {image: y, networks: [public, other]}",
        [],
    ),
    "a proxy beside data": (
        '  a: {image: caddy, networks: [public, private], ports: ["80:80"]}\n  b: {image: redis:7, networks: [private]}',
        ["BT020"],
    ),
    "a web server beside its own data": (
        "  a: {image: nginx, networks: [public, private]}\n  b: {image: redis:7, networks: [private]}",
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_exactly_its_findings(case, tmp_path):
    services, expected = CASES[case]
    assert sorted(found(tmp_path, services)) == expected


def test_a_swarms_labels_are_those_under_deploy(tmp_path):
    read = "  a: {image: x, networks: [public, private], deploy: {labels: {traefik.enable: 'true'%s}}}"
    assert found(tmp_path, read % "", kind="swarm") == ["BT006"]
    assert found(tmp_path, read % ", traefik.swarm.network: net-public", kind="swarm") == []
    assert found(tmp_path, read % ", traefik.docker.network: net-public", kind="swarm") == []
    assert found(tmp_path, read % ", traefik.swarm.network: public", kind="swarm") == ["BT007"]
    unread = "  a: {image: x, networks: [public, private], labels: {traefik.enable: 'true'}}"
    assert found(tmp_path, unread, kind="swarm") == ["BT009"]


def test_a_swarm_ignores_the_network_mode_and_the_address_of_a_port(tmp_path):
    assert found(tmp_path, "  a: {image: x, networks: [private], network_mode: host}", kind="swarm") == ["BT027"]
    assert sorted(found(tmp_path, "  a: {image: x, network_mode: host}", kind="swarm")) == ["BT014", "BT027"]
    local = '  a: {image: redis:7, networks: [private], ports: ["127.0.0.1:6379:6379"]}'
    assert found(tmp_path, local, kind="swarm") == ["BT002"]


@pytest.mark.parametrize(
    ("top", "service", "expected"),
    [
        ("", "", []),
        ("name: x\n", "", ["BT023"]),
        ("", ", profiles: [x]", ["BT023"]),
        ("", ", extends: b", ["BT023"]),
        ("", ", depends_on: {b: {condition: service_started}}", ["BT023"]),
        ("", ", depends_on: [b]", []),
    ],
)
def test_what_docker_stack_deploy_refuses_is_found_for_a_swarm_alone(top, service, expected, tmp_path):
    text = 'version: "3.9"\n%sservices:\n  a: {networks: [p]%s}\n  b: {networks: [p]}\nnetworks: {p: {name: private}}\n'
    assert rules(lint(tmp_path, text % (top, service), kind="swarm")) == expected
    assert rules(lint(tmp_path, text % (top, service))) == []


def test_an_included_file_is_refused_by_a_swarm_with_the_line_of_the_include(tmp_path):
    (tmp_path / "more.yml").write_text("services: {}")
    text = "version: '3.9'\nservices: {}\ninclude: [more.yml]\n"
    assert [(item["rule"], item["line"]) for item in lint(tmp_path, text, kind="swarm")] == [("BT023", 3)]
    assert rules(lint(tmp_path, text)) == []


def test_a_wrong_label_is_mended_with_the_real_name(tmp_path):
    text = """
services: {a: {networks: [public, b], labels: [traefik.enable=true, traefik.docker.network=public]}}
networks: {public: , b: }
"""
    assert "its real name is shop_public" in lint(tmp_path, text)[0]["message"]
    assert lint(tmp_path, text)[0]["fix"] == "write traefik.docker.network=shop_public"


def test_a_zone_comes_from_the_site_then_the_label_then_the_name(tmp_path):
    text = "services: {a: {image: redis:7, networks: [n]}}\nnetworks: {n: {name: %s, %s}}"
    site = {"front": {"zone": "dmz"}, "public": {"zone": "private"}}
    assert rules(lint(tmp_path, text % ("front", "external: true"), networks=site)) == ["BT001"]
    assert rules(lint(tmp_path, text % ("public", "external: true"), networks=site)) == []
    assert rules(lint(tmp_path, text % ("x", "labels: {bulkhead.zone: ingress}"))) == ["BT001"]
    unzoned = {"networks": {"x": {}}}
    assert "BT001" in rules(lint(tmp_path, text % ("x", "labels: {bulkhead.zone: ingress}"), **unzoned))
    assert rules(lint(tmp_path, text % ("public-x", "labels: {bulkhead.zone: private}"))) == []
    assert rules(lint(tmp_path, text % ("shop-ingress", "internal: true"))) == ["BT001"]
    assert rules(lint(tmp_path, text % ("republic", "internal: true"))) == []


def test_the_proxy_of_another_stack_says_where_traefik_is(tmp_path):
    proxy = "services: {t: {image: traefik:3, networks: [a]}}\nnetworks: {a: {name: proxynet}}"
    on = "services: {w: {image: x, networks: [a], labels: [traefik.enable=true]}}\nnetworks: {a: {name: %s, external: true}}"
    assert rules(lint(tmp_path, {"p.yml": proxy, "w.yml": on % "proxynet"})) == []
    assert rules(lint(tmp_path, {"p.yml": proxy, "w.yml": on % "some-public"})) == ["BT008"]
    assert rules(lint(tmp_path, {"w.yml": on % "some-net"}, proxy_networks=["proxynet"])) == ["BT008"]
    assert rules(lint(tmp_path, {"w.yml": on % "some-net"})) == [], "nothing says where Traefik is"


def test_an_external_network_is_the_sites_or_another_stacks(tmp_path):
    text = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: true}}"
    assert rules(lint(tmp_path, text)) == []
    assert rules(lint(tmp_path, text, networks={"n": {}})) == []
    assert rules(lint(tmp_path, text, networks={"m": {}})) == ["BT012"]
    maker = "services: {b: {image: x, networks: [n]}}\nnetworks: {n: {name: n}}"
    assert rules(lint(tmp_path, {"a.yml": text, "b.yml": maker}, networks={"m": {}})) == []
    assert rules(lint(tmp_path, {"a.yml": text, "b.yml": maker}, networks={"n": {}})) == ["BT013"]


def test_overlaps_are_found_among_stacks_and_with_the_site_once_each(tmp_path):
    text = "services: {}\nnetworks:\n  %s: {name: %s, ipam: {config: [{subnet: %s}]}}\n"
    one, two = text % ("a", "a", "10.1.0.0/24"), text % ("b", "b", "10.1.0.128/25")
    items = lint(tmp_path, {"one.yml": one, "two.yml": two})
    assert [(item["rule"], item["line"], item["message"]) for item in items] == [
        ("BT016", 3, "b has 10.1.0.128/25, and a 10.1.0.0/24")
    ]
    assert items[0]["file"].endswith("two.yml")
    site = {"networks": {"lan": {"subnet": "10.1.0.0/16"}}, "reserved": {"tier apps": ["10.1.0.0/20"]}}
    assert [item["message"] for item in lint(tmp_path, one, **site)] == [
        "a has 10.1.0.0/24, and the site's lan 10.1.0.0/16",
        "a has 10.1.0.0/24, and tier apps 10.1.0.0/20",
    ]
    assert rules(lint(tmp_path, text % ("a", "lan", "10.1.0.0/24"), networks=site["networks"])) == ["BT013"]
    assert rules(lint(tmp_path, text % ("a", "a", "10.2.0.0/24"), **site)) == []
    assert rules(lint(tmp_path, text % ("a", "a", "10.2.0.1/24"))) == ["BT016"]
    assert rules(lint(tmp_path, text % ("a", "a", "nonsense"))) == ["BT016"]
    assert rules(lint(tmp_path, text % ("a", "a", "'fd00::/64'"), reserved={"v6": ["fd00::/48"]})) == ["BT016"]


def test_demands_of_the_architecture_go_by_pattern(tmp_path):
    services = "  shop-backend: {image: x, networks: [public]}\n  shop-web: {image: x, networks: [public]}"
    assert found(tmp_path, services, require={"*-backend": ["private", "public"]}) == ["BT017"]
    assert found(tmp_path, services, require={"shop/*": "private"}) == ["BT017", "BT017"]
    assert found(tmp_path, services, require={"other/*": "private"}) == []


def test_a_network_is_internal_where_its_maker_says_so(tmp_path):
    maker = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {name: n, internal: true}}"
    user = "services: {b: {image: x, networks: [n], labels: [bulkhead.egress=true]}}\nnetworks: {n: {external: true}}"
    assert rules(lint(tmp_path, {"maker.yml": maker, "user.yml": user})) == ["BT010"]
    assert rules(lint(tmp_path, {"user.yml": user})) == []


def test_a_name_means_whoever_has_it_on_a_shared_network(tmp_path):
    one = """
services:
  app: {image: x, networks: [shared], depends_on: [redis]}
  redis: {image: redis:7, networks: [own]}
networks: {own: , shared: {external: true}}
"""
    other = "services: {redis: {image: redis:7, networks: [shared]}}\nnetworks: {shared: {external: true}}"
    assert rules(lint(tmp_path, {"one.yml": one})) == ["BT018"]
    assert rules(lint(tmp_path, {"one.yml": one, "other.yml": other})) == []


def test_a_name_of_another_stack_counts_where_that_is_on_a_network_of_the_site(tmp_path):
    data = "services: {redis: {image: redis:7, networks: [n]}}\nnetworks: {n: {name: data, external: true}}"
    app = """
services: {app: {image: x, environment: {REDIS_HOST: redis}, networks: [%s]}}
networks: {data: {external: true}, web: {external: true}}
"""
    site = {"data": {"internal": True}, "web": {}}
    assert rules(lint(tmp_path, {"d.yml": data, "a.yml": app % "web"}, networks=site)) == ["BT018"]
    assert rules(lint(tmp_path, {"d.yml": data, "a.yml": app % "web"})) == []
    assert rules(lint(tmp_path, {"d.yml": data, "a.yml": app % "data, web"}, networks=site)) == []


@pytest.mark.parametrize(
    "proxy",
    [
        "services: {t: {image: traefik:3, networks: [web]}}",
        "services: {p: {image: nginx, ports: ['80:80'], networks: [web]}}",
        "services: {w: {image: x, networks: [web], labels: [traefik.enable=true]}}",
        "services: {w: {image: x, networks: [web, own], labels: [traefik.enable=true, traefik.docker.network=web]}}",
        "services: {w: {image: x, networks: [web], environment: {VIRTUAL_HOST: shop.example}}}",
        "services: {w: {image: x, networks: [web, own], labels: {caddy: shop.example}}}",
    ],
)
def test_the_proxys_external_network_is_public_where_no_site_says_otherwise(proxy, tmp_path):
    nets = "\nnetworks: {own: , web: {external: true}}\n"
    data = f"services: {{db: {{image: redis:7, networks: [web]}}}}{nets}"
    assert rules(lint(tmp_path, {"d.yml": data, "p.yml": proxy + nets})) == ["BT001"]
    assert rules(lint(tmp_path, {"d.yml": data, "p.yml": proxy + nets}, networks={"web": {"zone": "lan"}})) in (
        [],
        ["BT020"],
    )
    assert rules(lint(tmp_path, {"d.yml": data})) == [], "whose network it is, nothing says"


@pytest.mark.parametrize("name", ["traefik_default", "traefik", "caddy-net", "npm", "nginx_proxy", "t2_proxy"])
def test_an_external_network_that_is_called_after_a_proxy_is_public_where_no_site_says_otherwise(name, tmp_path):
    text = f"services: {{db: {{image: redis:7, networks: [n]}}}}\nnetworks: {{n: {{name: {name}, external: true}}}}\n"
    assert rules(lint(tmp_path, text)) == ["BT001"]
    assert rules(lint(tmp_path, text, networks={name: {"zone": "private"}})) == []
    assert rules(lint(tmp_path, text.replace(name, "n8n_data"))) == []


def test_the_only_external_network_of_a_published_service_is_the_proxys(tmp_path):
    text = "services: {w: {image: x, networks: [web, own], labels: [traefik.enable=true]}, db: {image: redis:7, networks: [%s]}}"
    nets = "\nnetworks: {own: , web: {external: true}}\n"
    assert sorted(rules(lint(tmp_path, text % "web" + nets))) == ["BT001", "BT006"]
    assert rules(lint(tmp_path, text % "own" + nets)) == ["BT006"]


def test_the_name_of_a_stack_gives_its_own_networks_no_zone(tmp_path):
    text = "services: {db: {image: redis:7, networks: [%s]}}\nnetworks: {%s: }\n"
    assert rules(lint(tmp_path, {"edge.yml": text % ("data", "data")})) == []
    assert rules(lint(tmp_path, {"edge.yml": "services: {db: {image: redis:7}}"})) == ["BT014"]
    assert rules(lint(tmp_path, {"shop.yml": text % ("edge", "edge")})) == ["BT001"]


def test_a_projects_name_is_lowered_as_compose_does(tmp_path):
    text = "name: My Shop\nservices: {a: {image: x, networks: [n, m], labels: [traefik.enable=true, traefik.docker.network=%s]}}"
    nets = "\nnetworks: {n: , m: }"
    assert rules(lint(tmp_path, text % "myshop_n" + nets)) == []
    assert rules(lint(tmp_path, text % "My Shop_n" + nets)) == ["BT007"]


def test_a_subnet_or_a_name_by_a_variable_without_a_value_is_not_judged(tmp_path):
    text = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {%s}}"
    for net in ("ipam: {config: [{subnet: '${SUBNET}'}]}", "ipam: {config: [{subnet: '10.1.${X}.0/24'}]}"):
        assert rules(lint(tmp_path, text % net)) == ["BT021"]
    for net in ("external: true, name: '$NET'", "name: '${NET}_web', external: true"):
        assert rules(lint(tmp_path, text % net, networks={"m": {}})) == ["BT021"]


KINDS = {
    "mesh": {"driver": "overlay"},
    "open": {"driver": "overlay", "attachable": True},
    "apps": {"driver": "bridge", "tiers": ["apps"]},
    "unknown": {},
}


@pytest.mark.parametrize(
    ("network", "kind", "tiers", "expected"),
    [
        ("mesh", "swarm", [], []),
        ("open", "swarm", [], []),
        ("apps", "swarm", [], ["BT028"]),
        ("unknown", "swarm", [], []),
        ("mesh", "compose", ["apps"], ["BT028"]),
        ("open", "compose", ["apps"], []),
        ("open", "compose", ["admin"], []),
        ("apps", "compose", ["apps"], []),
        ("apps", "compose", ["apps", "admin"], ["BT028"]),
        ("apps", "compose", ["admin"], ["BT028"]),
        ("apps", "compose", [], []),
        ("unknown", "compose", ["admin"], []),
    ],
)
def test_a_stack_joins_only_networks_of_its_kind_and_of_its_hosts(network, kind, tiers, expected, tmp_path):
    version = 'version: "3.9"\n' if kind == "swarm" else ""
    path = tmp_path / "shop.yml"
    path.write_text(
        f"{version}services: {{a: {{image: x, networks: [n]}}}}\nnetworks: {{n: {{name: {network}, external: true}}}}"
    )
    stacks = [{"name": "shop", "kind": kind, "files": [str(path)], "tiers": tiers}]
    assert rules(lint_files({**DEFAULTS, "stacks": stacks, "networks": KINDS})) == expected


def test_a_network_of_another_stack_or_of_its_own_has_a_kind_as_well(tmp_path):
    user = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: true}}"
    maker = 'version: "3.9"\nservices: {b: {image: x, networks: [n]}}\nnetworks: {n: {name: n, attachable: %s}}'
    stacks = []
    for name, kind, text in (("maker", "swarm", maker), ("user", "compose", user)):
        stacks.append({"name": name, "kind": kind, "files": [str(tmp_path / name)]})
        (tmp_path / name).write_text(text)
    (tmp_path / "maker").write_text(maker % "true")
    assert lint_files({**DEFAULTS, "stacks": stacks}) == []
    (tmp_path / "maker").write_text(maker % "false")
    assert rules(lint_files({**DEFAULTS, "stacks": stacks})) == ["BT028"]
    own = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: overlay}}"
    assert rules(lint(tmp_path, own)) == ["BT028"]
    unused = "services: {a: {image: x, network_mode: none}}\nnetworks: {n: {driver: overlay}}"
    assert rules(lint(tmp_path, unused)) == []


def test_the_service_after_one_on_the_socket_zone_is_judged_as_well(tmp_path):
    services = (
        "  one: {image: x, networks: [socket], environment: {DOCKER_HOST: 'tcp://sock:2375'}}\n"
        "  sock: {image: cetusguard, networks: [socket]}\n"
        "  two: {image: x, networks: [private], environment: {DOCKER_HOST: 'tcp://sock:2375'}}\n"
        "  three: {image: x, networks: [socket], environment: {DOCKER_HOST: 'tcp://sock:2375'}}\n"
        "  four: {image: x, networks: [private], command: --host tcp://sock:2375}\n"
    )
    items = lint(tmp_path, f"services:\n{services}{NETWORKS}")
    assert [(item["rule"], item["service"]) for item in items] == [("BT005", "two"), ("BT005", "four")]


@pytest.mark.parametrize(
    "value",
    [
        "tcp://user:hunter2@sock:2375",
        "tcp://user:hun/ter2@sock:2375",
        "tcp://user:hun,ter2@sock:2375",
        "tcp://us.er:hunter2@x@sock:2375",
        "tcp://:hunter2/@sock:2375",
        "tcp://hunter2/x@sock:2375",
        "https://hunter2.token@api.example/v1?key=hunter2#hunter2",
        "https://us.er:hunter2/x@api.example",
        "postgres://u:hunter2:x@db.example:5432,v:hunter2/y@other.example/z",
        "hunter2@db.example",
        "tcp://hunter2.example:hunter2",
    ],
)
@pytest.mark.parametrize("key", ["DOCKER_HOST", "DATABASE_URL", "API_ENDPOINT", "WEATHER"])
def test_what_an_environment_holds_is_never_printed(value, key, tmp_path):
    services = (
        f"  a: {{image: x, networks: [private], environment: {{{key}: '{value}'}}}}\n"
        f"  b: {{image: x, networks: [private], environment: ['{key}={value}'], command: ['--x={value}', '{value}']}}\n"
        "  sock: {image: cetusguard, networks: [socket]}\n"
    )
    items = lint(tmp_path, f"services:\n{services}{NETWORKS}")
    assert not any(part in str(items) for part in ("hunter2", "hun/", "ter2", "us.er"))
    if key == "DOCKER_HOST" and "sock" in value:
        assert [item["service"] for item in items if item["rule"] == "BT005"][0] == "a"


def test_thousands_of_services_with_one_name_or_one_subnet_are_read_in_a_moment(tmp_path):
    services = "".join(
        f"  a{number}: {{image: 'redis:7', links: [x], networks: {{n: {{aliases: [x]}}}}}}\n" for number in range(2000)
    )
    items = lint(tmp_path, f"services:\n{services}  t: {{image: traefik:3, networks: [n]}}\nnetworks: {{n: }}\n")
    assert rules(items) == ["BT020"] and "more" in items[0]["message"]
    nets = "".join(f"  n{number}: {{ipam: {{config: [{{subnet: 10.0.0.0/8}}]}}}}\n" for number in range(2000))
    assert len(lint(tmp_path, f"services: {{}}\nnetworks:\n{nets}")) <= 1000
