# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service is: by its label, else by the name of its image, else by its ports. docs/stack_lint.md lists it."""

from __future__ import annotations

import re

DATA_LABEL = "bulkhead.data"
PROXY_LABEL = "bulkhead.proxy"
SOCKET_PROXY_LABEL = "bulkhead.socket-proxy"
EGRESS_LABEL = "bulkhead.egress"
ZONES_LABEL = "bulkhead.zones"

#: Words in the names of images that keep data.
DATA_IMAGES = frozenset(
    "arangodb cassandra clickhouse cockroach cockroachdb couchbase couchdb dragonfly dragonflydb elasticsearch etcd "
    "foundationdb influxdb keydb mariadb meilisearch memcached milvus mongo mongodb mssql mysql neo4j opensearch "
    "percona pgvecto pgvector postgis postgres postgresql qdrant questdb redis rethinkdb scylla scylladb solr surrealdb "
    "timescaledb typesense valkey weaviate".split()
)

#: Words that say that an image only has to do with such a service.
TOOL_IMAGES = frozenset(
    "admin api backup browser cli client commander console dashboard dump exporter express gui init insight kibana manager "
    "migrate migration operator proxy tool tools ui web webui".split()
)

#: The ports of those services. A port says less than a name: it counts where the image is not known.
DATA_PORTS = {
    1433: "SQL Server",
    1521: "Oracle",
    3306: "MySQL",
    5432: "PostgreSQL",
    5984: "CouchDB",
    6379: "Redis",
    7700: "Meilisearch",
    8529: "ArangoDB",
    9042: "Cassandra",
    9200: "Elasticsearch",
    9300: "Elasticsearch",
    11211: "Memcached",
    26257: "CockroachDB",
    27017: "MongoDB",
}

#: Reverse proxies; those that read Traefik's labels; those that stand before the Docker socket.
PROXY_IMAGES = frozenset("caddy envoy haproxy nginx swag traefik".split())
TRAEFIK_IMAGE = "traefik"
_SOCKET_PROXIES = (
    "cetusguard",
    "docker-proxy-acl",
    "dockerproxy",
    "docker-socket-protector",
    "socket-proxy",
    "sockguard",
)

_WORD = re.compile(r"[a-z0-9]+")


def image_words(image):
    """The words of an image's own name, without registry, owner, tag and digest."""
    return _WORD.findall(_own_name(image))


def _own_name(image):
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def data_by(service):
    """By what a service keeps data, as words for a message; "" where it does not."""
    flagged = service.flag(DATA_LABEL)
    if flagged is not None:
        return f"its label {DATA_LABEL}" if flagged else ""
    words = image_words(service.image)
    if TOOL_IMAGES.intersection(words) or is_proxy_image(service):
        return ""
    if DATA_IMAGES.intersection(words):
        return f"its image {service.image}"
    for port in sorted(service.exposed | {ports.first for ports in service.ports}):
        if port in DATA_PORTS:
            return f"its port {port}, {DATA_PORTS[port]}'s"
    return ""


def is_proxy_image(service):
    """Whether a service's image is one of a reverse proxy, or its label says so."""
    flagged = service.flag(PROXY_LABEL)
    return bool(PROXY_IMAGES.intersection(image_words(service.image))) if flagged is None else flagged


def is_traefik(service):
    """Whether a service is the proxy that reads the labels of the others."""
    return TRAEFIK_IMAGE in image_words(service.image) and service.flag(PROXY_LABEL) is not False


def is_edge(service):
    """Whether a service is where the outside comes in: a proxy that is one by label, is Traefik or publishes a port."""
    return is_proxy_image(service) and (bool(service.flag(PROXY_LABEL)) or is_traefik(service) or bool(service.ports))


def is_socket_proxy(service):
    """Whether a service stands before the Docker socket and lets through what it permits."""
    flagged = service.flag(SOCKET_PROXY_LABEL)
    return any(name in _own_name(service.image) for name in _SOCKET_PROXIES) if flagged is None else flagged
