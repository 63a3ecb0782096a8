# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tailscale_node on a host without Ansible: the module's own code, many calls in one process, as root or as another user."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from hosts.machine import ROOT, Machine

PLACE = "/srv/bulkhead-drive"
PACKAGE = "ansible_collections/bulkhead/tiers/plugins/module_utils"
PARTS = (
    *(
        "mistakes.py",
        "printable.py",
        "session.py",
        "local.py",
        "keeper.py",
        "waiting_change.py",
        "patience.py",
        "clearing.py",
    ),
    "tailscale",
)
PROGRAM = """\
import json, subprocess, sys, time
sys.path.insert(0, {place!r})
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.converge import Run
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import LocalApi
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse

def ask(argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, done.stdout

for line in sys.stdin:
    params, check = json.loads(line)
    began = time.monotonic()
    api = LocalApi(params.get("socket", "/run/tailscale/tailscaled.sock"), 20)
    try:
        said = Run(parse(params), api, ask).converge(check)
    except Refused as refused:
        said = {{"failed": True, "msg": str(refused), "kinds": [one.kind for one in refused.mistakes]}}
    finally:
        api.close()
    print(json.dumps({{**said, "seconds": time.monotonic() - began}}))
"""


def send(machine: Machine) -> None:
    """Put the host ring's part of the collection on a host."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for part in PARTS:
            archive.add(ROOT / "plugins" / "module_utils" / part, f"{PACKAGE}/{part}")
    packed = base64.b64encode(buffer.getvalue()).decode()
    machine.shell(f"rm -rf {PLACE}; mkdir -p {PLACE}; base64 -d | tar -xz -C {PLACE}", stdin=packed)
    machine.put(f"{PLACE}/drive.py", PROGRAM.format(place=PLACE))


def drive(
    machine: Machine, calls: Sequence[tuple[Mapping[str, Any], bool]], user: str = "root"
) -> list[dict[str, Any]]:
    """The result of each call, (options, check mode); a failure is one with ``failed``."""
    lines = "".join(json.dumps([{"timeout": 30, **params}, check]) + "\n" for params, check in calls)
    said = machine.shell(f"su {user} -s /bin/sh -c 'python3 {PLACE}/drive.py'", stdin=lines)
    return [json.loads(line) for line in said.splitlines()]
