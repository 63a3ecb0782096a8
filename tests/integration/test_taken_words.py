"""A host that was taken over answers every module with texts that steer a terminal. None of them gets there.

No host and no engine is needed: the host's Python is a program of the test.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playbook import playbook

CHECKOUT = Path(__file__).parents[2]
#: It clears the screen, forges a line of Ansible's, hides what follows; in seven bits, in eight, and by marks of direction.
EVIL = "\x1b[2J\x1b[31mno\r\nok: [manager1]\x9b1A\u202e"
PYTHON = """\
#!/usr/bin/env python3
import json, sys
sys.stdin.read()
evil = {evil!r}
said = {{"failed": {failed}, "changed": True, "msg": evil, "warnings": [evil], "stdout": evil, "leftovers": [evil], evil: evil}}
said.update(diff={{"before": "", "after": evil}}, deprecations=[{{"msg": evil}}], findings=[evil])
sys.stdout.buffer.write(json.dumps(said, ensure_ascii=False).encode())
"""
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py"))
#: What runs on the controller alone, or not by itself.
OTHERS = {"site", "allocations", "networks_report", "prove"}
ARGUMENTS = {
    "stack_lint": {"running": True},
    "flow_probe": {"mode": "stop", "token": "x"},
    "flow_listen": {"token": "x", "name": "h", "key": "00" * 16},
    "flow_containers": {"mode": "probe", "token": "x"},
    "maas_vlan": {"url": "http://maas.example/MAAS", "api_key": "a:b:c", "fabrics": []},
    "maas_vlan_info": {"url": "http://maas.example/MAAS", "api_key": "a:b:c"},
    "swarm_network": {"networks": []},
    "docker_engine_config": {"settings": {}},
}


@pytest.mark.parametrize("failed", [True, False], ids=["failed", "ok"])
def test_no_module_brings_a_host_s_texts_to_the_terminal_as_they_are(tmp_path: Path, failed: bool):
    python = tmp_path / "python"
    python.write_text(PYTHON.format(evil=EVIL, failed=failed), encoding="utf-8")
    python.chmod(0o755)
    hosts = {"taken": {"ansible_connection": "local", "ansible_python_interpreter": str(python)}}
    tasks = [
        {f"bulkhead.tiers.{name}": ARGUMENTS.get(name, {}), "ignore_errors": True, "name": name}
        for name in MODULES
        if name not in OTHERS
    ]
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.json").write_text(json.dumps(play), encoding="utf-8")
    done = playbook(
        tmp_path / "play.json",
        tmp_path / "hosts.json",
        "--diff",
        "-v",
        folder=tmp_path,
        ANSIBLE_CALLBACKS_ENABLED="ansible.posix.timer",
    )
    output = done.stdout + done.stderr
    assert f"ok={len(tasks)} " in output and len(tasks) >= 10, output[-3000:]
    # The play's end is the only line that is Ansible's about a host of this name.
    assert not [line for line in output.splitlines() if line.startswith("ok: [manager1]")]
    wrong = sorted({char for char in output if not char.isprintable() and char not in "\n\t"})
    assert wrong == [], output
