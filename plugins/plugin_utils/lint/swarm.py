# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `docker stack deploy` makes of a file that `docker compose` takes. Tried with Docker 20.10 and 26.1."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Finding

#: At the top of a file, and of a service: an error for both versions, while network_mode, container_name and the
#: address of a published port are ignored with a warning that nobody sees.
_REFUSED_TOP = ("include", "name")
_REFUSED = ("extends", "profiles")


def about_swarm_files(sources, stack):
    """The findings about the files of a Swarm stack; sources: of source.Source."""
    for source in sources:
        yield from _refused(source.root, stack)
    first = list(sources)[0]
    if first.root.get("version") is None:
        yield Finding(
            "BT024",
            "the file has no version, and Docker before 25 (Debian 12 has 20.10) takes it for version 1 and refuses it",
            'write version: "3.9" at its top',
            first.root.place,
            stack,
        )


def _refused(root, stack):
    for key in _REFUSED_TOP:
        if root.get(key) is not None:
            message = f"docker stack deploy refuses a file with {key}"
            fix = "name the files one by one in bulkhead_stacks" if key == "include" else "remove it"
            yield Finding("BT023", message, fix, root.at(key), stack)
    services = root.get("services")
    for name, service in services.items() if services else ():
        for key in _REFUSED:
            if service.get(key) is not None:
                message = f"docker stack deploy refuses {key} of {stack}/{name}"
                fix = "use a YAML anchor" if key == "extends" else "make a stack of its own of it"
                yield Finding("BT023", message, fix, service.at(key), stack, name)
        depends = service.get("depends_on")
        if depends is not None and not isinstance(depends.value, list):
            message = f"docker stack deploy takes depends_on of {stack}/{name} as a list only"
            yield Finding("BT023", message, "write a list; the Swarm ignores it", service.at("depends_on"), stack, name)
