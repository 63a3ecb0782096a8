# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""usage: lab.py CONTROL ADDRESS KEYS TIER=TAG[,TAG] ... -- NODE ...

Runs the real Headscale on a host of the lab, writes a key for each tier's tags, and one of the API, to the file KEYS, and gives the nodes what
a tailscaled in a lab needs. Prints what it did; nothing where all of it was there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hosts.machine import Machine, run

from tailnet.control import Headscale, install
from tailnet.node import LAB
from tailnet.peers import PLACE, binaries

DROP_IN = "/etc/systemd/system/tailscaled.service.d/lab.conf"


def begin(control: Headscale) -> bool:
    """Whether Headscale had to be installed and started; nothing is allowed until there is a policy."""
    if control.is_serving():
        return False
    control.shell(f"mkdir -p {PLACE}")
    run("docker", "cp", binaries() / "headscale", f"{control.name}:{PLACE}/headscale")
    install(control, control.url, control.addresses[4])
    control.serve()
    control.set_policy({"grants": []})
    return True


def write_keys(control: Headscale, path: Path, tags: dict[str, list[str]]) -> None:
    """{tier: a key with its tags}, for more than one host, and the key of the API; all for a day."""
    keys = {tier: control.key(tags=names, reusable=True, expiration="24h") for tier, names in tags.items()}
    keys["api"] = control.api_key("24h")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(keys))


def give_settings(name: str) -> bool:
    """Whether a host had to be given the lab's settings of tailscaled."""
    host = Machine(name, "10.0.0", 1, "")
    host.name = name
    if host.shell(f"cat {DROP_IN}", check=False) == LAB:
        return False
    host.put(DROP_IN, LAB)
    host.shell("systemctl daemon-reload")
    return True


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    name, address, keys, *tiers = arguments[:split]
    control = Headscale.on(name, address)
    tags = {tier: names.split(",") for tier, _equals, names in (text.partition("=") for text in tiers)}
    if begin(control) or not Path(keys).exists():
        write_keys(control, Path(keys), tags)
        print(f"Headscale runs on {name}")
    for node in arguments[split + 1 :]:
        if give_settings(node):
            print(f"{node} has the lab's settings")


if __name__ == "__main__":
    main(sys.argv[1:])
