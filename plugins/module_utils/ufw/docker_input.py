# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option ``docker``: what it says as blocks of rules, and the hosts on which they would not do what they say.

Imported where a task has the option.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import (
    ACTIONS,
    LAST_CHAIN,
    LAST_TABLE,
    OWN_CHAIN,
    USER_CHAIN,
    Block,
    DockerWish,
    Published,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.fields import (
    Fields,
    parse_address,
    parse_comment,
    parse_families,
    parse_ports,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import FRAMEWORK, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import read_file, split_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, read_security
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import ANYWHERE, valid_interface
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State

BRIDGES = ("docker0", "docker_gwbridge", "br-+")
#: What shows that an engine was installed, or runs, from whatever package.
_ENGINE = (
    "/run/docker.pid",
    "/run/docker.sock",
    "/run/snap.docker",
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/local/bin/dockerd",
)
_OPTIONS = ("state", "bridges", "interfaces", "published")
_ITEM_OPTIONS = ("rule", "routed", "proto", "from_ip", "to_ip", "port", "comment")
_PROTOCOLS = ("any", "tcp", "udp", "sctp", "esp", "ah", "gre", "vrrp", "igmp", "ipv6")
# The name that Docker gives to the bridge of a network: the start of the network's id.
_BRIDGE_NAME = re.compile(r"br-[0-9a-f]{12}\Z")


class _Fields(Fields):
    """The options of one item of the list."""

    options = _ITEM_OPTIONS
    aliases = {"to_port": "port", "from": "from_ip", "src": "from_ip", "to": "to_ip", "dest": "to_ip"}
    subject = "a published port"
    example = "{from_ip: 10.0.1.0/24, proto: tcp, port: 8080}"


class _Option(Fields):
    """The option ``docker`` itself."""

    options = _OPTIONS
    subject = "docker"
    example = "{state: present, published: []}"


def parse_docker(raw: Any, use_ipv6: bool, present: Iterable[str] = ()) -> DockerWish:
    """Check the option ``docker``; Refused holds every mistake with its key path. ``use_ipv6`` is whether ufw
    filters IPv6 on this host, ``present`` the interfaces that it has."""
    mistakes: list[Mistake] = []
    fields = _Option("docker", mistakes, [])
    if not fields.load(raw):
        raise Refused(mistakes)
    state = fields.choice("state", ("present", "absent", "auto"), "present")
    bridges = _parse_interfaces(fields, "bridges", BRIDGES)
    interfaces = _parse_interfaces(fields, "interfaces", ())
    if not bridges:
        fields.fail(
            "bridges", "an empty list", "Docker's bridges, to tell what comes from outside", "leave bridges away"
        )
    published = _parse_published(fields, use_ipv6)
    if state == "absent" and raw.get("published"):
        fields.fail(
            "published", "a list together with state: absent, which removes all of it", "one", "keep one of them"
        )
    if state != "absent":
        _look_alikes(fields, bridges, interfaces, present)
    if mistakes:
        raise Refused(mistakes)
    if state == "absent":
        return DockerWish({4: None, 6: None}, tuple(fields.warnings))
    blocks: dict[int, Block | None] = {
        family: Block(bridges, interfaces, tuple(published[family]), family) for family in (4, 6)
    }
    return DockerWish(blocks, tuple(fields.warnings))


def is_for_nothing(raw: Any, host: Host, kernel: Mapping[int, Kernel]) -> bool:
    """Whether the option says `auto`, and the host has no Docker Engine, nor Docker's rules in its kernel."""
    if not isinstance(raw, dict) or raw.get("state") != "auto":
        return False
    chains = {name for table in kernel.values() for name in table.chains}
    return not any(name == USER_CHAIN or name.startswith("DOCKER") for name in chains) and not any(
        host.exists(name) for name in _ENGINE
    )


def check_docker(raw: Any) -> list[Mistake]:
    """What is wrong with the option on any host."""
    try:
        parse_docker(raw, True)
    except Refused as error:
        return list(error.mistakes)
    return []


def _parse_interfaces(fields: Fields, key: str, default: Sequence[str]) -> tuple[str, ...]:
    names = fields.values.get(key)
    if names is None:
        return tuple(default)
    if not isinstance(names, (list, tuple)):
        fields.fail(key, repr(names), "a list of interfaces such as [docker0]", "write a list")
        return tuple(default)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not valid_interface(name) or name == "+":
            fields.fail(
                f"{key}[{index}]",
                repr(name),
                "the name of a network interface, at most 15 characters; a trailing + stands for any ending",
                "write the name that `ip link` shows",
            )
    return tuple(dict.fromkeys(str(name) for name in names)) or (() if key == "bridges" else tuple(default))


def _look_alikes(fields: Fields, bridges: Sequence[str], interfaces: Sequence[str], present: Iterable[str]) -> None:
    """Interfaces of the host that a pattern takes for Docker's though Docker does not name its bridges so: what comes
    in by one would be trusted, so that the input has to say what it is."""
    for name in sorted(present):
        for pattern in bridges:
            if (
                pattern.endswith("+")
                and name.startswith(pattern[:-1])
                and not _BRIDGE_NAME.match(name)
                and name not in bridges
                and name not in interfaces
            ):
                fields.fail(
                    "bridges",
                    f"{pattern}, which also takes {name}",
                    "interfaces that have the name of a bridge that Docker made",
                    f"list {name} in docker.interfaces if others come in by it, or in docker.bridges if it is a Docker "
                    "network's",
                )


def _parse_published(option: Fields, use_ipv6: bool) -> dict[int, list[Published]]:
    published: dict[int, list[Published]] = {4: [], 6: []}
    seen: dict[tuple[tuple[Any, ...], ...], str] = {}
    raw = option.values.get("published")
    if raw is not None and not isinstance(raw, (list, tuple)):
        option.fail("published", repr(raw), "a list of published ports", f"write [{_Fields.example}]")
        raw = None
    for index, item in enumerate(raw or ()):
        fields = _Fields(f"docker.published[{index}]", option.mistakes, option.warnings)
        entries = _parse_item(fields, item, use_ipv6)
        matches = {family: tuple(entry.match for entry in rules) for family, rules in entries.items()}
        for where in sorted({seen[match] for match in matches.values() if match in seen}):
            got = f"a match of the same packets as {where}, of which the first one decides"
            fields.fail("", got, "one of them", "keep one of them")
        for family, rules in entries.items():
            published[family] += rules
            seen.setdefault(matches[family], fields.where)
    return published


def _parse_item(fields: Fields, raw: Any, use_ipv6: bool) -> dict[int, list[Published]]:
    """The lines that one item stands for, by family: one for each protocol and port."""
    before = len(fields.mistakes)
    if not fields.load(raw):
        return {}
    action = fields.choice("rule", tuple(ACTIONS), "allow")
    routed = fields.flag("routed")
    proto = fields.choice("proto", _PROTOCOLS, "any")
    src, src_family = parse_address(fields, "from_ip")
    dst, dst_family = parse_address(fields, "to_ip")
    # Ports of SCTP are written like those of TCP.
    ports, kind = parse_ports(fields, "port", "tcp" if proto == "sctp" else proto)
    proto = proto if proto == "sctp" else kind
    families = parse_families(fields, proto, src_family, dst_family, use_ipv6)
    comment = parse_comment(fields, one_line=True)
    if len(fields.mistakes) > before:
        return {}
    protocols = ("tcp", "udp") if proto == "any" and ports != "any" else (proto,)
    return {
        family: [
            Published(action, name, src or ANYWHERE[family], dst or ANYWHERE[family], port, comment, routed)
            for name in protocols
            for port in ports.split(",")
        ]
        for family in families
    }


# -- what does not go together ---------------------------------------------------------------------------------------


def check_host(host: Host, state: State, wish: DockerWish, use_ipv6: bool) -> list[str]:
    """Warnings about the host; RulesetError where the block would do nothing, or would fight with another one."""
    if wish.blocks[4] is None:
        return []
    _check_owner(host, state)
    settings = _engine_settings(host)
    if str(settings.get("firewall-backend", "")).lower() == "nftables":
        raise RulesetError(
            "docker: the engine's firewall-backend is nftables, which has no DOCKER-USER, so that nothing of "
            'docker.published would be enforced; expected iptables: set "firewall-backend": "iptables" in '
            "/etc/docker/daemon.json and restart Docker, or drop the option docker"
        )
    warnings = []
    if settings.get("iptables") is False:
        warnings.append(
            'docker: "iptables" is false in Docker\'s settings: it then makes no rules at all. DOCKER-USER is never '
            "asked, published ports are served by docker-proxy alone (rules for incoming packets decide on them), bridges "
            "are not isolated from each other, and containers reach nothing outside, for want of masquerading"
        )
    if state.has_ipv6 and not use_ipv6 and settings.get("ip6tables", True) is not False:
        warnings.append(
            "docker: ufw does not filter IPv6 on this host (IPV6 in /etc/default/ufw), so that docker.published is "
            'enforced for IPv4 alone; set ipv6: true, or "ip6tables": false in /etc/docker/daemon.json'
        )
    if 6 in state.kernel and use_ipv6:
        _check_security(state.kernel[6].security or read_security(host))
    return warnings


def _check_security(security: Kernel) -> None:
    """The block empties the chain at every load: nobody else may have rules in it."""
    if OWN_CHAIN not in security.chains and security.chains[LAST_CHAIN]:
        raise RulesetError(
            f"docker: the chain {LAST_CHAIN} of IPv6's table {LAST_TABLE} has a rule of another program "
            f"({security.chains[LAST_CHAIN][0]}); docker.published needs that chain for itself: move the rule to the "
            "table mangle, which knows the same targets"
        )


def _check_owner(host: Host, state: State) -> None:
    """Nobody else may fill the chain from ufw's files: the later block would empty the earlier one."""
    for family in (4, 6):
        for path in FRAMEWORK[family]:
            found = read_file(path, split_block(state.texts.get(path) or host.read(path))[0])
            if family == 6 and any(chain == LAST_CHAIN for chain, _rule in found.table(LAST_TABLE).rules):
                raise RulesetError(
                    f"{path}: has rules of its own in the chain {LAST_CHAIN} of the table {LAST_TABLE}, which "
                    "docker.published needs for itself: move them to the table mangle, which knows the same targets"
                )
            declared, rules, _inserted = found.table("filter")
            if USER_CHAIN in declared or any(chain == USER_CHAIN for chain, _rule in rules):
                raise RulesetError(
                    f"{path}: {USER_CHAIN} is filled there outside of the block of bulkhead.tiers, by hand or by another "
                    "program (ufw-docker does so); the two would empty each other's rules: remove the other one, for "
                    "ufw-docker by `ufw-docker uninstall`"
                )


def _engine_settings(host: Host) -> dict[str, Any]:
    """daemon.json, and the options that the running daemon was started with."""
    settings: dict[str, Any] = {}
    if host.exists("/etc/docker/daemon.json"):
        try:
            loaded = json.loads(host.read("/etc/docker/daemon.json") or "{}")
        except ValueError:  # Docker itself does not start with it, and says so
            loaded = {}
        settings.update(loaded if isinstance(loaded, dict) else {})
    if host.exists("/run/docker.pid"):
        process = f"/proc/{host.read('/run/docker.pid').strip()}/cmdline"
        for word in host.read(process).split("\0") if host.exists(process) else ():
            name, _equals, value = word.lstrip("-").partition("=")
            if name in ("iptables", "ip6tables"):
                settings[name] = value != "false"
            elif name == "firewall-backend":
                settings[name] = value
    return settings
