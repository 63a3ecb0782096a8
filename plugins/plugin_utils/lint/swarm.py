# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `docker stack deploy` makes of a file that `docker compose` takes. Tried with Docker 20.10 and 26.1."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Finding
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import Node, Source

#: At the top of a file: an error for both versions.
_REFUSED_TOP = ("include", "name")
#: In a service: an error for both versions, each key of the specification tried by itself.
REFUSED = (
    "annotations attach blkio_config cgroup cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime "
    "cpu_shares cpus cpuset develop device_cgroup_rules dns_opt extends gpus group_add label_file mem_limit "
    "mem_reservation mem_swappiness memswap_limit models oom_kill_disable oom_score_adj pids_limit platform post_start "
    "pre_start pre_stop profiles provider pull_policy pull_refresh_after runtime scale storage_opt umask use_api_socket uts "
    "volumes_from".split()
)
#: Ignored with one line on the terminal. build, container_name, depends_on, expose and restart are too, and nothing that
#: isolates a service is lost with them.
IGNORED = (
    "cgroup_parent devices domainname external_links ipc links mac_address network_mode pid privileged security_opt "
    "shm_size userns_mode".split()
)
#: What does the same in a Swarm.
_INSTEAD = {
    "cpus": "deploy.resources.limits.cpus",
    "cpu_quota": "deploy.resources.limits.cpus",
    "cpu_shares": "deploy.resources.reservations.cpus",
    "mem_limit": "deploy.resources.limits.memory",
    "mem_reservation": "deploy.resources.reservations.memory",
    "pids_limit": "deploy.resources.limits.pids",
    "platform": "deploy.placement.constraints",
    "runtime": "the engine's default-runtime",
    "scale": "deploy.replicas",
    "gpus": "deploy.resources.reservations.generic_resources",
    "extends": "a YAML anchor",
    "profiles": "a stack of its own",
    "network_mode": "networks; host is an external network with the name host",
    "links": "a network that both are on",
    "external_links": "a network that both are on",
    "shm_size": "a tmpfs on /dev/shm",
    "volumes_from": "a named volume in both",
}


def about_swarm_files(sources: Collection[Source], stack: str) -> Iterator[Finding]:
    """The findings about the files of a Swarm stack."""
    for source in sources:
        yield from _about_file(source.root, stack)
    (first, *_others) = sources
    if first.root.get("version") is None:
        yield Finding(
            "BT024",
            "the file has no version, and Docker before 25 (Debian 12 has 20.10) takes it for version 1 and refuses it",
            'write version: "3.9" at its top',
            first.root.place,
            stack,
        )


def _about_file(root: Node, stack: str) -> Iterator[Finding]:
    for key in _REFUSED_TOP:
        if root.get(key) is not None:
            message = f"docker stack deploy refuses a file with {key}"
            fix = "name the files one by one in bulkhead_stacks" if key == "include" else "remove it"
            yield Finding("BT023", message, fix, root.at(key), stack)
    for name, service, _place in root.members("services"):
        yield from _about_service(service, stack, name)


def _about_service(service: Node, stack: str, name: str) -> Iterator[Finding]:
    where = printable(f"{stack}/{name}", 200)
    for key in REFUSED:
        if service.get(key) is not None:
            message = f"docker stack deploy refuses {key} of {where}"
            yield Finding("BT023", message, _instead(key), service.at(key), stack, name)
    for key in IGNORED:
        if service.get(key) is not None:
            message = f"a Swarm ignores {key} of {where}"
            yield Finding("BT027", message, _instead(key), service.at(key), stack, name)
    depends = service.get("depends_on")
    if depends is not None and not isinstance(depends.value, list):
        message = f"docker stack deploy takes depends_on of {where} as a list only"
        yield Finding("BT023", message, "write a list; the Swarm ignores it", service.at("depends_on"), stack, name)


def _instead(key: str) -> str:
    return f"use {_INSTEAD[key]}" if key in _INSTEAD else "remove it"
