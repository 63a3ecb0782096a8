# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rule of a host, in the shape that ufw_ruleset takes, and what a flow allows in ufw's words."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import rule as ufw
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, WITHOUT_PORTS, merge, port_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import EVERYTHING, Net


class Rule(NamedTuple):
    """A rule of a host. source, destination: None is any address; ports: as ufw writes them, "" for any. interface: where
    the packets come in, for outgoing ones where they leave, "" for every interface; leaving: the same of routed packets.
    from_ports: the sender's.

    A NamedTuple, since a router may have tens of thousands.
    """

    action: str
    proto: str
    source: Optional[Net]
    destination: Optional[Net]
    ports: str
    route: bool
    comment: str
    interface: str = ""
    leaving: str = ""
    outgoing: bool = False
    from_ports: str = ""

    @property
    def match(self) -> tuple[Any, ...]:
        """What the rule matches: a whole family is any address as soon as the other end says which family."""
        source = None if self.source in EVERYTHING else self.source
        destination = None if self.destination in EVERYTHING else self.destination
        if source is None and destination is None:
            source, destination = self.source, self.destination
        return self.route, self.proto, source, destination, self.ports, *self[7:]

    def to_dict(self) -> dict[str, Any]:
        """An item of ufw_ruleset's option `rules`."""
        item: dict[str, Any] = {
            "rule": self.action,
            "proto": self.proto,
            "from_ip": _ip(self.source),
            "to_ip": _ip(self.destination),
            "comment": self.comment,
        }
        if self.ports:
            item["to_port"] = self.ports
        if self.route:
            item["route"] = True
        if self.outgoing:
            item["direction"] = "out"
        if self.interface:
            item["interface_out" if self.outgoing else "interface_in"] = self.interface
        if self.leaving:
            item["interface_out"] = self.leaving
        if self.from_ports:
            item["from_port"] = self.from_ports
        return item

    def __str__(self) -> str:
        """The rule in the words of the ufw command, without its comment."""
        return ufw.describe(
            ufw.Rule(
                action=self.action,
                proto=self.proto,
                dport=self.ports or ANY,
                dst=_block(self.destination, self.source),
                sport=self.from_ports or ANY,
                src=_block(self.source, self.destination),
                direction="out" if self.outgoing else "in",
                interface_in="" if self.outgoing else self.interface,
                interface_out=self.interface if self.outgoing else self.leaving,
                route=self.route,
            )
        )


def _ip(net: Optional[Net]) -> str:
    return ANY if net is None else str(net)


def _block(net: Optional[Net], other: Optional[Net]) -> str:
    return str(net) if net else ufw.ANYWHERE[other.version if other else 4]


class Grant(NamedTuple):
    """What a flow allows of one protocol. services: their names; ports: as ufw writes them, one text for each rule."""

    proto: str
    services: str
    ports: tuple[str, ...]


def grants_of(flow: Flow) -> tuple[Grant, ...]:
    """What a flow allows, a grant for each protocol."""
    grants = []
    for proto, ranges in merge(flow.all_ports).items():
        services = ", ".join(
            name for name in flow.services if proto == ANY or any(ports.proto == proto for ports in flow.ports[name])
        )
        portless = proto == ANY or proto in WITHOUT_PORTS
        grants.append(Grant(proto, services, ("",) if portless else tuple(port_arguments(ranges))))
    return tuple(grants)


def comment_of(source: str, destination: str, services: str, why: str) -> str:
    """What a person reads beside a rule."""
    text = f"{source} -> {destination} {services}{f': {why}' if why else ''}"
    # ufw refuses the straight quote in a comment (ufw.parser).
    return text.replace("'", "\u2019")
