"""Each rule on its own: what it finds, and what it must not find."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Service, Text
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import data_by, is_edge, is_socket_proxy
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import lint, rules

NETWORKS = """
networks:
  public: {name: net-public}
  private: {name: net-private, internal: true}
  other: {name: net-other, internal: true, labels: {bulkhead.zone: other}}
  socket: {name: net-socket, internal: true}
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
    ],
)
def test_a_data_service_is_known_by_the_words_of_its_image(image, keeps):
    assert bool(data_by(Service("s", "a", "compose", image=image))) is keeps


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
    assert found(tmp_path, services) == expected


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
    assert rules(lint(tmp_path, {"w.yml": on % "some-net"})) == [], "nobody says where Traefik is"


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
