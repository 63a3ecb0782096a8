# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules' ids, names and severities. An id never changes its meaning; docs/stack_lint.md explains each."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import ERROR, NOTE, WARNING


class Rule(NamedTuple):
    """A rule: its id, a short name, how severe it is, what it demands, and why."""

    id: str
    name: str
    severity: str
    demand: str
    why: str


RULES = {
    rule.id: rule
    for rule in (
        Rule(
            "BT000",
            "not-compose",
            ERROR,
            "The file is a Compose file that can be read.",
            "What cannot be read cannot be checked, and would not deploy.",
        ),
        Rule(
            "BT001",
            "data-on-public",
            ERROR,
            "A data service is on no network of a public zone.",
            "Whatever is on the public zone, the proxy above all, could open connections to the database.",
        ),
        Rule(
            "BT002",
            "data-port-published",
            ERROR,
            "A data service publishes no port.",
            "A published port passes by every network zone, and Docker opens it before the host's own firewall rules.",
        ),
        Rule(
            "BT003",
            "docker-socket-mounted",
            ERROR,
            "Only the socket proxy mounts the Docker socket.",
            "What writes to the socket is root on the host; a read-only mount does not prevent a connection.",
        ),
        Rule(
            "BT004",
            "socket-proxy-exposed",
            ERROR,
            "The socket proxy is on networks of the socket zone alone and publishes no port.",
            "Everything that reaches it can ask the Docker API.",
        ),
        Rule(
            "BT005",
            "docker-api-off-zone",
            WARNING,
            "A service that asks the Docker API over TCP is on a network of the socket zone.",
            "Control and data are kept apart: the API is spoken on the socket zone only.",
        ),
        Rule(
            "BT006",
            "traefik-network-missing",
            ERROR,
            "A service that Traefik publishes and that is on several networks says which one Traefik shall use.",
            "Traefik takes any of them: requests end in a 502 or a time-out, sometimes only after a restart.",
        ),
        Rule(
            "BT007",
            "traefik-network-wrong",
            ERROR,
            "The network that the label names is one that the service is on, by its real name.",
            "Traefik does not find it and takes any of the others.",
        ),
        Rule(
            "BT008",
            "off-the-proxy",
            ERROR,
            "A service that Traefik publishes shares a network with it.",
            "Traefik knows of the service and cannot reach it: requests end in a 504.",
        ),
        Rule(
            "BT009",
            "traefik-labels-unread",
            WARNING,
            "Traefik's labels stand where it reads them: under deploy.labels in a Swarm, under labels elsewhere.",
            "The other place is silently ignored.",
        ),
        Rule(
            "BT010",
            "no-egress",
            ERROR,
            "A service that needs to reach outside is on a network that is not internal.",
            "An internal network blocks all egress, outside names included.",
        ),
        Rule(
            "BT011",
            "egress-doubtful",
            NOTE,
            "A service on internal networks alone names no outside address.",
            "It could not reach it.",
        ),
        Rule(
            "BT012",
            "network-undeclared",
            ERROR,
            "Every network is declared: in the file, and an external one by the site or another stack.",
            "The deployment stops half-way, or joins a network whose zone is not known.",
        ),
        Rule(
            "BT013",
            "network-not-external",
            WARNING,
            "A network that the site declares is external to every stack.",
            "The stack would make one of its own, with another subnet, or remove the site's with itself.",
        ),
        Rule(
            "BT014",
            "default-network",
            WARNING,
            "Every service names its networks.",
            "Without, it lands on a default network with all others that name none, in whatever subnet Docker picks.",
        ),
        Rule(
            "BT015",
            "host-network",
            WARNING,
            "No service uses the host's network.",
            "It listens on the host itself, and reaches whatever the host reaches: no zone holds it.",
        ),
        Rule(
            "BT016",
            "subnet-overlap",
            ERROR,
            "A network's subnet is a CIDR that overlaps no other network's, no pool and no VLAN.",
            "Docker accepts overlapping overlays silently; packets then go astray.",
        ),
        Rule(
            "BT017",
            "zone-missing",
            ERROR,
            "A service is on a network of every zone that the architecture demands of it.",
            "A backend that is on one of two networks is unreachable, or cannot reach its data.",
        ),
        Rule(
            "BT018",
            "peer-unreachable",
            ERROR,
            "A service shares a network with the services that it names.",
            "Names and packets do not cross networks.",
        ),
        Rule(
            "BT019",
            "ingress-shortcut",
            WARNING,
            "Services reach each other over a network of their own, not over a public zone.",
            "On the public zone every other service there can reach them in the same way.",
        ),
        Rule(
            "BT020",
            "proxy-beside-data",
            ERROR,
            "The reverse proxy shares no network with a data service.",
            "It is what the outside talks to: taken over, it must not reach the data.",
        ),
        Rule(
            "BT021",
            "variable-unset",
            NOTE,
            "Every variable has a value or a default.",
            "It counts as empty here; what is deployed may differ from what was checked.",
        ),
        Rule(
            "BT022",
            "duplicate-key",
            ERROR,
            "No key stands twice in a mapping.",
            "Compose refuses it; other readers take the last one silently.",
        ),
        Rule(
            "BT023",
            "swarm-refuses",
            ERROR,
            "A Swarm stack uses nothing that docker stack deploy refuses.",
            "The deployment would stop there, with the stacks before it deployed.",
        ),
        Rule(
            "BT024",
            "swarm-version",
            WARNING,
            "The first file of a Swarm stack says its version.",
            "Docker before 25 takes a file without it for version 1, and refuses it.",
        ),
        Rule(
            "BT025",
            "unknown-key",
            ERROR,
            "Every key is one that the Compose Specification has.",
            "Compose refuses the file; what the key was meant to do, such as joining networks, is not done.",
        ),
        Rule(
            "BT026",
            "file-outside",
            ERROR,
            "Env files, configs and secrets are files of the stack's own directory.",
            "The deployment would put any file of the machine that it runs on, /etc/shadow among them, into a container.",
        ),
        Rule(
            "BT027",
            "swarm-ignores",
            WARNING,
            "A Swarm stack uses nothing that docker stack deploy ignores.",
            "A limit or a restriction that is written there does not hold.",
        ),
        Rule(
            "BT028",
            "network-wrong-kind",
            ERROR,
            "A stack joins networks that it can join: a Swarm stack overlays, a Compose stack those of its hosts.",
            "The deployment fails when the first container starts.",
        ),
        Rule(
            "BT090",
            "waiver-without-reason",
            ERROR,
            "A waiver gives its reason.",
            "Without it, a later reader cannot judge whether it still holds.",
        ),
        Rule(
            "BT091",
            "waiver-unused",
            NOTE,
            "A waiver waives something.",
            "It would silently waive what comes later.",
        ),
        Rule(
            "BT092",
            "waiver-unreadable",
            ERROR,
            "A waiver names rules that exist.",
            "It waives nothing.",
        ),
    )
}
