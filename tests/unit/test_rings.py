"""The two rings of plugins/ and their layers: which room may import which, over every file; and what a task sends."""

from __future__ import annotations

import ast
import pathlib
import zlib

import pytest

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
PREFIX = "ansible_collections.bulkhead.tiers.plugins."

#: Each room, and the rooms that it may import. `module_utils` is packed and sent to hosts; `plugin_utils` never is.
LAYERS = {
    # the host ring
    "module_utils.mistakes": (),
    "module_utils.printable": (),
    "module_utils.session": (),
    "module_utils.local": (),
    "module_utils.keeper": ("module_utils.local",),
    "module_utils.waiting_change": ("module_utils.local",),
    "module_utils.patience": ("module_utils.local",),
    "module_utils.clearing": ("module_utils.local", "module_utils.patience", "module_utils.waiting_change"),
    "module_utils.netfilter": (),
    "module_utils.packets": (),
    "module_utils.probe": (),
    "module_utils.setup": (),
    "module_utils.ufw": (
        "module_utils.packets",
        "module_utils.session",
        "module_utils.local",
        "module_utils.keeper",
        "module_utils.patience",
    ),
    "module_utils.docker": (),
    "module_utils.maas": (),
    "module_utils.tailscale": (
        "module_utils.session",
        "module_utils.local",
        "module_utils.keeper",
        "module_utils.waiting_change",
        "module_utils.clearing",
    ),
    "module_utils.stacks": ("module_utils.docker",),
    "module_utils.vlans": (
        "module_utils.local",
        "module_utils.keeper",
        "module_utils.waiting_change",
        "module_utils.clearing",
    ),
    "module_utils.tailnet": (),
    "module_utils.traffic": ("module_utils.local",),
    # the controller ring
    "plugin_utils.text": (),
    "plugin_utils.ways": (),
    "plugin_utils.site": ("module_utils.docker", "plugin_utils.text"),
    "plugin_utils.compile": ("module_utils.ufw", "plugin_utils.site"),
    "plugin_utils.declaration": ("plugin_utils.site", "plugin_utils.compile"),
    "plugin_utils.paths": (),
    "plugin_utils.confirming": (),
    "plugin_utils.authkey": (),
    "plugin_utils.awx": (),
    "plugin_utils.sliced": (),
    "plugin_utils.answers": (),
    "plugin_utils.plan": ("plugin_utils.text", "plugin_utils.site", "plugin_utils.compile"),
    "plugin_utils.networks": ("plugin_utils.text", "plugin_utils.site"),
    "plugin_utils.proof": (
        "module_utils.packets",
        "module_utils.probe",
        "module_utils.ufw",
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.declaration",
    ),
    "plugin_utils.ask": (
        "module_utils.packets",
        "module_utils.ufw",
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.declaration",
        "plugin_utils.proof",
    ),
    "plugin_utils.review": (
        "module_utils.ufw",
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.compile",
        "plugin_utils.declaration",
        "plugin_utils.proof",
    ),
    "plugin_utils.change": (
        "module_utils.packets",
        "module_utils.ufw",
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.proof",
        "plugin_utils.ask",
        "plugin_utils.static",
    ),
    "plugin_utils.watch": ("plugin_utils.text", "plugin_utils.site", "plugin_utils.ask"),
    "plugin_utils.static": (
        "module_utils.packets",
        "module_utils.ufw",
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.declaration",
        "plugin_utils.proof",
        "plugin_utils.ask",
        "plugin_utils.firewall",
    ),
    "plugin_utils.report": (
        "plugin_utils.text",
        "plugin_utils.site",
        "plugin_utils.plan",
        "plugin_utils.proof",
        "plugin_utils.static",
    ),
    "plugin_utils.firewall": ("module_utils.packets", "module_utils.ufw"),
    "plugin_utils.maas": ("module_utils.maas",),
    "plugin_utils.lint": ("module_utils.docker", "module_utils.stacks", "plugin_utils.text"),
}
#: What every room may import.
COMMON = ("module_utils.mistakes", "module_utils.printable")
#: Plugins that run on the controller: they may import every room.
CONTROLLER = ("action", "inventory", "lookup")
# Modules that are only the documentation of an action plugin: nothing of them is sent to a host.
HOST_MODULES = sorted(
    path
    for path in (PLUGINS / "modules").glob("*.py")
    if not (PLUGINS / "action" / path.name).exists() or "def main(" in path.read_text(encoding="utf-8")
)
#: What one task sends to every host, compressed as Ansible does it: this collection's own part, in kB.
LARGEST = 40
#: The ones that are larger. ufw_ruleset is sent only to hosts on which something changes: it brings the packet engine
#: (42 kB), the proof against lock-outs, what nat changes (2 kB), what the next boot does (10 kB), and the rollback's own
#: program, all of which a host must have without a way back to the controller; and it waits for other runs (1 kB). ufw_ruleset_plan is what a host is sent
#: otherwise, and firewall_setup what it is sent with what it needs beside its rules, and with what the gate reads (1 kB),
#: which spares a trip, and how long it waits for other runs (1.5 kB); ufw_ruleset_info reads, and what that
#: means is worked out on the controller; a proof has it read what decides where packets go as well (1 kB), which spares a
#: trip. All of ufw's say why a hand-written file would not be loaded at the next boot, and which words are the kernel's (1.5 kB).
#: swarm_network, too, is sent only where something changes, with the migration; swarm_network_plan otherwise. Both bring the
#: table of Docker's limits (3 kB), by which the controller judges a site as well. maas_vlan, too, is sent only
#: where something changes; maas_vlan_info reads the region for it, and the controller compares. tailnet_policy runs once, on
#: one host, and brings the grammar, the evaluator and the comparison of policies. tailscale_node brings its rollback's
#: program (10 kB, a part of which vlan_interfaces has too), which a host without a way back must have.
LARGER = {
    "maas_vlan": 40.5,
    "tailnet_policy": 45,
    "ufw_ruleset": 184.6,
    "ufw_ruleset_plan": 97.1,
    "firewall_setup": 103.4,
    "ufw_ruleset_info": 45,
    "swarm_network": 51.5,
    "tailscale_node": 45.6,
}
#: The ones that every host is sent in every proof: no more than the one module that once held listener and prober.
SMALLER = {"flow_listen": 17.87, "flow_probe": 17.87}


def imports(path):
    """The collection's own modules that a file imports, as paths below plugins/."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import; the collection writes them whole"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            file = PLUGINS.joinpath(*name.removeprefix(PREFIX).split(".")).with_suffix(".py")
            if name.startswith(PREFIX) and file.is_file():
                yield file


def room(path):
    """The room that a file is in: "module_utils.ufw", "plugin_utils.text", "action"."""
    parts = path.relative_to(PLUGINS).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] in ("module_utils", "plugin_utils") else parts[0]


def upward(importer, imported):
    """What is wrong with an import from one room into another one; "" where nothing is."""
    if importer == imported or importer in CONTROLLER or imported in COMMON:
        return ""
    if importer == "modules":
        return "" if imported.startswith("module_utils.") else "a module must stay in the host ring"
    allowed = LAYERS.get(importer)
    if allowed is None:
        return "no layer of its own in tests/unit/test_rings.py"
    return "" if imported in allowed else f"may import only {', '.join(allowed) or 'nothing of the collection'}"


def violations(files):
    """["FILE imports FILE: ROOM ..."] of imports that go the wrong way."""
    return [
        f"{path.relative_to(PLUGINS)} imports {other.relative_to(PLUGINS)}: {room(path)}: {why}"
        for path in files
        for other in imports(path)
        if (why := upward(room(path), room(other)))
    ]


def closure(path):
    """The files that Ansible packs for a module: itself and what it imports, directly or not."""
    found, queue = {path}, [path]
    while queue:
        for other in imports(queue.pop()):
            if other not in found:
                found.add(other)
                queue.append(other)
    return found


def test_every_import_of_every_file_goes_down():
    assert violations(sorted(PLUGINS.rglob("*.py"))) == []


def test_the_layers_have_no_circle():
    def below(name, above=()):
        assert name not in above, " -> ".join([*above, name])
        for other in LAYERS[name]:
            below(other, (*above, name))

    for name in LAYERS:
        below(name)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("module_utils.ufw", "plugin_utils.site"),
        ("module_utils.packets", "module_utils.ufw"),
        ("plugin_utils.site", "plugin_utils.compile"),
        ("modules", "plugin_utils.site"),
        ("module_utils.new", "module_utils.ufw"),
    ],
)
def test_an_import_in_the_wrong_direction_is_named(importer, imported):
    assert upward(importer, imported)


def test_a_file_that_imports_the_wrong_way_is_named():
    seen = violations([PLUGINS / "action" / "site.py"])
    assert seen == []
    path = PLUGINS / "module_utils" / "ufw" / "zz_wrong.py"
    path.write_text(f"from {PREFIX}plugin_utils.site import parse\n", encoding="utf-8")
    try:
        (line,) = violations([path])
    finally:
        path.unlink()
    assert line.startswith("module_utils/ufw/zz_wrong.py imports plugin_utils/site/parse.py")


def test_what_is_sent_to_hosts_is_used_by_a_module():
    sent = set().union(*(closure(module) for module in HOST_MODULES))
    idle = {path for path in (PLUGINS / "module_utils").rglob("*.py") if path.name != "__init__.py"} - sent
    assert sorted(str(path.relative_to(PLUGINS)) for path in idle) == []


def test_there_are_host_modules():
    assert {"ufw_ruleset", "swarm_network", "flow_probe"} <= {path.stem for path in HOST_MODULES}


def test_no_host_is_sent_the_documentation_of_a_module():
    assert [path.stem for path in HOST_MODULES if not path.with_suffix(".yml").is_file()] == []
    assert [path.stem for path in HOST_MODULES if "DOCUMENTATION =" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("module", HOST_MODULES, ids=lambda path: path.stem)
def test_the_payload_of_a_host_module_is_small(module, capsys):
    size = sum(len(zlib.compress(file.read_bytes())) for file in closure(module)) / 1000
    with capsys.disabled():
        print(f"\n{module.stem:22} {size:5.1f} kB", end="")
    assert size <= {**LARGER, **SMALLER}.get(module.stem, LARGEST)
