"""The three reference architectures lint clean, and every pitfall put into one of them is found, and nothing else."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import (
    REFERENCES,
    reference,
    rules,
)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_architecture_gives_no_finding_at_all(name):
    assert reference(name)[0] == []


BOTH = "networks: [maple-private-prod, maple-public-prod]"
TWINS = {
    # The five mistakes that other checkers miss.
    "a database on the ingress network": (
        "omakase",
        "immich.yml",
        'volumes: ["postgres:/var/lib/postgresql/data"]\n    networks: [vnet-immich]',
        'volumes: ["postgres:/var/lib/postgresql/data"]\n    networks: [vnet-immich, vnet-ingress]',
        "BT001",
        "vnet-immich, vnet-ingress]",
    ),
    "no traefik.docker.network on several networks": (
        "omakase",
        "immich.yml",
        "      - traefik.docker.network=vnet-ingress\n",
        "",
        "BT006",
        "- traefik.enable=true",
    ),
    "a published service off the proxy's network": (
        "glasck",
        "infrastructure.yml",
        "  public-facing: {external: true, name: glasck_public-facing}",
        "  public-facing: {external: true, name: glasck_egress}",
        "BT008",
        None,
    ),
    "a worker with egress on internal networks only": (
        "glasck",
        "glasck.yml",
        "networks: [internal-backend, egress]",
        "networks: [internal-backend]",
        "BT010",
        'labels: {bulkhead.egress: "true"}',
    ),
    "overlapping subnets": (
        "maple",
        "maplepress.yml",
        "  maple-public-prod: {external: true}\n",
        "  maple-public-prod: {external: true}\n  extra: {driver: overlay, ipam: {config: [{subnet: 10.116.9.0/24}]}}\n",
        "BT016",
        "10.116.9.0/24",
    ),
    # The rules of Omakase.
    "a published database port": (
        "omakase",
        "paperless.yml",
        "networks: [vnet-paperless]",
        'networks: [vnet-paperless]\n    ports: ["6379:6379"]',
        "BT002",
        '"6379:6379"',
    ),
    "the socket mounted by a monitor": (
        "omakase",
        "monitoring.yml",
        '      DOCKER_HOST: tcp://cetusguard:2375\n    labels:\n      traefik.enable: "true"\n'
        "      traefik.docker.network: vnet-ingress\n      traefik.http.routers.dozzle",
        "      DOZZLE_LEVEL: info\n    volumes: [/var/run/docker.sock:/var/run/docker.sock:ro]\n    labels:\n"
        '      traefik.enable: "true"\n      traefik.docker.network: vnet-ingress\n      traefik.http.routers.dozzle',
        "BT003",
        "volumes: [/var/run/docker.sock",
    ),
    "the socket proxy on the ingress": (
        "omakase",
        "traefik.yml",
        "networks: [vnet-socket]",
        "networks: [vnet-socket, vnet-ingress]",
        "BT004",
        "networks: [vnet-socket, vnet-ingress]",
    ),
    "a service that reaches for another one's database": (
        "omakase",
        "local-ai.yml",
        "QDRANT_URI: http://qdrant:6333",
        "QDRANT_URI: http://qdrant:6333\n      REDIS_HOST: immich-redis",
        "BT018",
        "REDIS_HOST: immich-redis",
    ),
    "a web service that is not on its own network": (
        "omakase",
        "local-ai.yml",
        "networks: [vnet-ingress, vnet-local-ai]",
        "networks: [vnet-ingress]",
        None,
        None,
    ),
    "services that talk over the ingress": (
        "omakase",
        "monitoring.yml",
        'DOCKER_HOST: tcp://cetusguard:2375\n    labels:\n      traefik.enable: "true"\n'
        "      traefik.docker.network: vnet-ingress\n      traefik.http.routers.homepage",
        "DOCKER_HOST: tcp://cetusguard:2375\n      PHOTOS_URL: http://immich-server:2283\n    labels:\n"
        '      traefik.enable: "true"\n      traefik.docker.network: vnet-ingress\n      traefik.http.routers.homepage',
        "BT019",
        "PHOTOS_URL",
    ),
    "a network that is not declared": (
        "omakase",
        "authelia.yml",
        "  vnet-authelia: {external: true}",
        "  vnet-authelia: {external: true}\n  vnet-autelia: {external: true}",
        "BT012",
        "vnet-autelia",
    ),
    "a shared network that the stack would make itself": (
        "omakase",
        "authelia.yml",
        "  vnet-authelia: {external: true}",
        "  vnet-authelia: {name: vnet-authelia, internal: true}",
        "BT013",
        "name: vnet-authelia",
    ),
    # Maple: backends on both, databases on the private one, proxies on the public one.
    "a backend on the private network alone": (
        "maple",
        "maplepress.yml",
        BOTH,
        "networks: [maple-private-prod]",
        "BT017",
        "  maplepress-backend:",
    ),
    "a proxy beside the databases": (
        "maple",
        "maplepress.yml",
        '    ports: *web\n    volumes: ["frontend:/srv:ro"]\n    networks: [maple-public-prod]',
        '    ports: *web\n    volumes: ["frontend:/srv:ro"]\n    networks: [maple-public-prod, maple-private-prod]',
        "BT020",
        "[maple-public-prod, maple-private-prod]",
    ),
    "Redis on the public overlay": (
        "maple",
        "infrastructure.yml",
        "  private:\n    external: true\n    name: maple-private-prod",
        "  private:\n    external: true\n    name: maple-public-prod",
        None,
        None,
    ),
    # Glasck's pitfalls.
    "everything on one network with a published database port": (
        "glasck",
        "glasck.yml",
        "environment: {POSTGRES_DB: glasck",
        'ports: ["5432:5432"]\n    environment: {POSTGRES_DB: glasck',
        "BT002",
        '"5432:5432"',
    ),
    "no label under the Swarm's spelling": (
        "glasck",
        "glasck.yml",
        "        traefik.swarm.network: glasck_public-facing\n",
        "",
        "BT006",
        'traefik.enable: "true"',
    ),
    "a label with the key instead of the name": (
        "glasck",
        "glasck.yml",
        "traefik.docker.network=glasck_public-facing",
        "traefik.docker.network=public-facing",
        "BT007",
        "traefik.docker.network=public-facing",
    ),
    "labels where Traefik does not read them": (
        "glasck",
        "glasck.yml",
        "      replicas: 2\n      labels:\n        - traefik.enable=true",
        "      replicas: 2\n    labels:\n        - traefik.enable=true",
        "BT009",
        "- traefik.enable=true",
    ),
    "a proxy that can reach the database": (
        "glasck",
        "infrastructure.yml",
        "networks: [public-facing, socket]",
        "networks: [public-facing, socket, internal]",
        None,
        None,
    ),
}
# Mistakes that break several rules at once: all of them, and no other one.
SEVERAL = {
    # Open WebUI must be there by the architecture, and cannot reach its two peers.
    "a web service that is not on its own network": ["BT017", "BT018", "BT018"],
    # Five data services, and the backend which would still be on both.
    "Redis on the public overlay": ["BT001"] * 5,
    # Traefik cannot reach what it publishes: frontend and API say which network, and it is not on it.
    "a published service off the proxy's network": ["BT008", "BT008"],
    # Not declared in its file.
    "a proxy that can reach the database": ["BT012"],
}


@pytest.mark.parametrize("pitfall", TWINS)
def test_a_pitfall_gives_exactly_its_finding_on_its_line(pitfall, tmp_path):
    name, file, old, new, rule, line = TWINS[pitfall]
    items, edited = reference(name, tmp_path, [(file, old, new)])
    assert sorted(rules(items)) == SEVERAL.get(pitfall, [rule])
    if line:
        written = edited[file].splitlines()
        assert line in written[items[0]["line"] - 1]
        assert items[0]["file"].endswith(file)
    assert all(item["fix"] and item["message"] for item in items)
