"""What a host module is made of: its own client, and little else."""

from __future__ import annotations

import ast
import pathlib
import zlib

import pytest

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
PREFIX = "ansible_collections.bulkhead.tiers.plugins."
CONTROLLER = {"module_utils.site", "module_utils.compile"}
# Modules that are only the documentation of an action plugin: nothing of them is sent to a host.
HOST_MODULES = sorted(
    path
    for path in (PLUGINS / "modules").glob("*.py")
    if not (PLUGINS / "action" / path.name).exists() or "def main(" in path.read_text(encoding="utf-8")
)
# What one task sends to every host, compressed as Ansible does it: this collection's own part, in kB.
LARGEST = 40
# ufw_ruleset brings the packet engine (26 kB), the proof and the rollback's own program: what it must know on the host,
# without a way back to the controller. The engine is imported only when there is a change; a task that changes nothing
# takes 0.29 s over SSH instead of 0.27 s. swarm_network brings the migration.
LARGER = {"ufw_ruleset": 100, "ufw_ruleset_info": 55, "swarm_network": 45}


def imports(path):
    """The collection's own modules that a file imports, as paths below plugins/."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(PLUGINS).with_suffix("").parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            names = [base, *(base + "." + alias.name for alias in node.names)]
        else:
            continue
        for name in names:
            file = PLUGINS.joinpath(*name.removeprefix(PREFIX).split(".")).with_suffix(".py")
            if file.is_file():
                yield file


def closure(path):
    """The files that Ansible packs for a module: itself and what it imports, directly or not."""
    found, queue = {path}, [path]
    while queue:
        for other in imports(queue.pop()):
            if other not in found:
                found.add(other)
                queue.append(other)
    return found


def test_there_are_host_modules():
    assert {"ufw_ruleset", "swarm_network", "flow_probe"} <= {path.stem for path in HOST_MODULES}


@pytest.mark.parametrize("module", HOST_MODULES, ids=lambda path: path.stem)
def test_a_host_module_imports_nothing_of_the_controller_ring(module):
    packages = {".".join(file.relative_to(PLUGINS).parts[:2]) for file in closure(module)}
    assert not packages & CONTROLLER


@pytest.mark.parametrize("module", HOST_MODULES, ids=lambda path: path.stem)
def test_the_payload_of_a_host_module_is_small(module, capsys):
    size = sum(len(zlib.compress(file.read_bytes())) for file in closure(module)) / 1000
    with capsys.disabled():
        print("\n%-22s %5.1f kB" % (module.stem, size), end="")
    assert size <= LARGER.get(module.stem, LARGEST)
