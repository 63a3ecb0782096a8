# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service is: by its label, else by the name of its image, else by its ports. docs/stack_lint.md lists it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Published, Service

DATA_LABEL = "bulkhead.data"
PROXY_LABEL = "bulkhead.proxy"
SOCKET_PROXY_LABEL = "bulkhead.socket-proxy"
EGRESS_LABEL = "bulkhead.egress"
ZONES_LABEL = "bulkhead.zones"

#: Words in the names of images that keep data.
DATA_IMAGES = frozenset(
    "aerospike arangodb cassandra chroma chromadb clickhouse cockroach cockroachdb couchbase couchdb crate "
    "cratedb db2 dgraph dolt dragonfly dragonflydb edgedb elasticsearch etcd eventstore eventstoredb ferretdb "
    "firebird foundationdb greptimedb immudb influxdb keydb kvrocks manticore manticoresearch mariadb meilisearch "
    "memcached memgraph milvus mongo mongodb mssql mysql neo4j oceanbase opensearch orientdb percona pgvecto "
    "pgvector postgis postgres postgresql qdrant questdb ravendb redis rethinkdb rqlite scylla scylladb solr "
    "surrealdb tarantool tdengine tidb tikv timescaledb typesense valkey vectorchord weaviate yugabyte yugabytedb".split()
)
#: Paths of images whose own name says nothing: mcr.microsoft.com/mssql/server.
_DATA_PATHS = frozenset(("mssql", "azure-sql-edge", "oracle-free", "oracle-xe"))

#: Words that say that an image only has to do with such a service, or stands beside such a proxy.
TOOL_IMAGES = frozenset(
    "admin agent api auth backup benchmark bouncer browser bulk certs cli client commander companion connector console curator "
    "dash dashboard dashboards dump dumper exporter exporters express ghost gui head hq importer init insight insights "
    "keeper kibana loader logs manager mcp meta metrics migrate migration migrations monitor monitoring operator prometheus proxy "
    "reaper relay restore router s3 seed seeder shell sidecar stats studio sync test tests tool tools ui updater upgrade viewer "
    "web webui whoami".split()
)
#: Words of a proxy's own helpers; a proxy's image may well be called proxy, manager or ui.
_PROXY_HELPERS = TOOL_IMAGES - frozenset(
    ("agent", "api", "dash", "manager", "operator", "proxy", "router", "ui", "web")
)
#: Words of what images are built for or with: nextcloud-mysql and php-nginx are applications, whatever they bring along.
_APPLICATIONS = frozenset(
    "apache django drupal express flask fpm gitea ghost golang java joomla keycloak laravel lamp moodle nextcloud nodejs php "
    "python rails ruby sonarqube spring symfony tomcat wordpress zabbix".split()
)
#: Words that say how or for whom an image is made, and not what it is.
_NEUTRAL = frozenset(
    "alpine amd64 arm arm64 arm64v8 armhf azure base centos community container custom debian dev docker enterprise image "
    "local my official oracle prod rpi server service slim stable the ubuntu".split()
)

#: The ports of those services. A port says less than a name: it counts where the image is not known.
DATA_PORTS = {
    1433: "SQL Server",
    1521: "Oracle",
    3306: "MySQL",
    5432: "PostgreSQL",
    5984: "CouchDB",
    6379: "Redis",
    7687: "Neo4j",
    7700: "Meilisearch",
    8529: "ArangoDB",
    9042: "Cassandra",
    9200: "Elasticsearch",
    9300: "Elasticsearch",
    11211: "Memcached",
    19530: "Milvus",
    26257: "CockroachDB",
    27017: "MongoDB",
    28015: "RethinkDB",
}

#: Reverse proxies, by words of the image's own name; Traefik, which reads labels, by its whole name.
PROXY_IMAGES = frozenset("caddy envoy haproxy nginx openresty swag traefik traefikee".split())
_TRAEFIK_IMAGES = (["traefik"], ["traefikee"], ["traefik", "hub"])
#: Parts of the names of images that stand before the Docker socket.
_SOCKET_PROXIES = (
    "cetusguard",
    "docker-proxy-acl",
    "dockerproxy",
    "docker-socket-protector",
    "socket-proxy",
    "sockguard",
)
#: Ports of a published range that are looked at: a range of thousands is no database's.
_MOST_PORTS = 100

Result = TypeVar("Result")

_WORD = re.compile(r"[a-z0-9]+")


def image_words(image: str) -> list[str]:
    """The words of an image's own name, without registry, owner, tag and digest."""
    return _WORD.findall(_own_name(image))


def _path(image: str) -> str:
    """An image without its tag and digest; a registry's port stays."""
    path = image.partition("@")[0].lower()
    before, slash, name = path.rpartition("/")
    return f"{before}{slash}{name.partition(':')[0]}"


def _own_name(image: str) -> str:
    return _path(image).rpartition("/")[2]


def _is_one_of(words: list[str], known: Collection[str], helpers: Collection[str]) -> bool:
    """Whether an image is one of some programs, and does not only name one: zabbix-server-mysql is no MySQL.

    A program comes first (redis-stack-server), or behind the name of one project (shop-postgres).
    """
    if not words or any(word in helpers for word in words) or any(word in _APPLICATIONS for word in words):
        return False
    telling = [word for word in words if word not in _NEUTRAL]
    if not telling:
        return False
    # redis-7 and postgres15 of a project's own
    names = [word.rstrip("0123456789") if word not in known else word for word in telling]
    return names[0] in known or (len(names) == 2 and names[1] in known and names[0] != "node")


def once(service: Service, name: str, find: Callable[[Service], Result]) -> Result:
    """What `find` says of a service, found out once: a file may name one service ten thousand times."""
    if name not in service.memo:
        service.memo[name] = find(service)
    found: Result = service.memo[name]
    return found


def data_by(service: Service) -> str:
    """By what a service keeps data, as words for a message; "" where it does not."""
    return once(service, "data_by", _data_by)


def _data_by(service: Service) -> str:
    flagged = service.flag(DATA_LABEL)
    if flagged is not None:
        return f"its label {DATA_LABEL}" if flagged else ""
    if is_data_image(service):
        return f"its image {service.image}"
    port = next(iter(sorted(_ports(service) & DATA_PORTS.keys())), None)
    if (
        port is None
        or is_proxy_image(service)
        or TOOL_IMAGES.union(PROXY_IMAGES).intersection(image_words(service.image))
    ):
        return ""
    return f"its port {port}, {DATA_PORTS[port]}'s"


def is_data_image(service: Service) -> bool:
    """Whether a service's image is one that keeps data."""
    if is_proxy_image(service):
        return False
    known = _is_one_of(image_words(service.image), DATA_IMAGES, TOOL_IMAGES)
    return known or bool(_DATA_PATHS.intersection(_path(service.image).split("/")))


def data_ports(service: Service) -> list[Published]:
    """The published ports over which the data of a data service is reached: all of them, or those it is known by."""
    if is_data_image(service) or service.flag(DATA_LABEL):
        return list(service.ports)
    return [ports for ports in service.ports if _span(ports) & DATA_PORTS.keys()]


def _span(ports: Published) -> set[int]:
    return set(range(ports.first, ports.last + 1 if ports.last - ports.first < _MOST_PORTS else ports.first + 1))


def _ports(service: Service) -> set[int]:
    """The container's ports that are exposed or published."""
    return set(service.exposed).union(*map(_span, service.ports))


def is_proxy_image(service: Service) -> bool:
    """Whether a service's image is one of a reverse proxy, or its label says so."""
    flagged = service.flag(PROXY_LABEL)
    return _is_one_of(image_words(service.image), PROXY_IMAGES, _PROXY_HELPERS) if flagged is None else flagged


def is_traefik(service: Service) -> bool:
    """Whether a service is the proxy that reads the labels of the others."""
    words = [word for word in image_words(service.image) if word not in _NEUTRAL]
    return words in _TRAEFIK_IMAGES and service.flag(PROXY_LABEL) is not False


def is_edge(service: Service) -> bool:
    """Whether a service is where the outside comes in: a proxy that is one by label, is Traefik or publishes a port."""
    return is_proxy_image(service) and (bool(service.flag(PROXY_LABEL)) or is_traefik(service) or bool(service.ports))


def is_socket_proxy(service: Service) -> bool:
    """Whether a service stands before the Docker socket and lets through what it permits."""
    flagged = service.flag(SOCKET_PROXY_LABEL)
    if flagged is not None:
        return flagged
    # An image that is built, or that a variable without a value names, is known by the service's name.
    name = _own_name(service.image) if service.image else service.name.lower()
    return any(part in name for part in _SOCKET_PROXIES)
