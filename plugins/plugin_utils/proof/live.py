# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host says of its firewall: checked and bounded. A taken host may say anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS, PROTOS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import POLICY_OF, Firewall, read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed, flag, mapping, sequence, text

#: The most rules of one host that are read, and the most ports of them that are probed.
MOST_RULES, MOST_PORTS = 20000, 4096


class Live(NamedTuple):
    """What ufw_ruleset_info says of a host's firewall: its rules and its option docker in ufw_ruleset's shape."""

    active: bool
    default: Mapping[str, str]
    rules: tuple[Mapping[str, Any], ...]
    docker: Optional[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "rules": list(self.rules)}

    @classmethod
    def from_dict(cls, value: Any) -> Live:
        """Raises Malformed. A taken host may return anything, thousands of ports included, to be probed by all."""
        found = mapping(value, "the live firewall")
        default = mapping(found.get("default") or {}, "default")
        rules = tuple(map(_plain_rule, sequence(found.get("rules"), "rules", MOST_RULES)))
        ports = {(proto, end) for rule in rules for proto, *ends in rule_ports(rule) for end in ends}
        if len(ports) > MOST_PORTS:
            raise Malformed(f"rules: they name {len(ports)} ports, expected at most {MOST_PORTS}")
        docker = found.get("docker")
        return cls(
            flag(found, "active"),
            {policy: text(default, policy, 16) for policy in POLICY_OF.values() if policy in default},
            rules,
            _plain_docker(mapping(docker, "docker")) if docker else None,
        )

    def firewall(self) -> Firewall:
        """The firewall that can be asked about packets."""
        return read_firewall(self.active, self.default, self.rules, self.docker)


def _plain_rule(value: Any) -> dict[str, Any]:
    """A rule of plain values, its texts printable."""
    found = mapping(value, "a rule")
    if len(found) > 32 or not all(isinstance(key, str) and len(key) <= 32 for key in found):
        raise Malformed("a rule: got unknown keys")
    return {key: _plain_value(item) for key, item in found.items()}


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 32):
        return value
    if isinstance(value, str):
        return printable(value, 256)
    raise Malformed(f"a rule: got a {type(value).__name__}, expected text")


def _plain_docker(found: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"state": text(found, "state", 16)} if "state" in found else {}
    if "bridges" in found:
        plain["bridges"] = [_plain_value(name) for name in sequence(found["bridges"], "bridges", 1024)]
    if "published" in found:
        plain["published"] = [_plain_rule(one) for one in sequence(found["published"], "published", MOST_RULES)]
    return plain


def port_ranges(ports: str) -> list[tuple[int, int]]:
    """ "80,443" and "1000:2000" as [(first, last)]; what is no port is left out."""
    found = []
    for item in ports.split(","):
        ends = item.split(":")
        if all(end.isascii() and end.isdecimal() and len(end) <= 5 for end in ends):
            first, last = int(ends[0]), int(ends[-1])
            if PORTS[0] <= first <= last <= PORTS[1]:
                found.append((first, last))
    return found


def rule_ports(rule: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """The (proto, first port, last port) that a rule in ufw_ruleset's shape names for its destination."""
    proto, ports = rule.get("proto") or "any", str(rule.get("to_port") or "any")
    for each in PROTOS if proto == "any" else (proto,):
        if each in PROTOS and ports != "any":
            for first, last in port_ranges(ports):
                yield each, first, last
