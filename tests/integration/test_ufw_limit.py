# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes in a row over SSH while new connections to port 22 are limited: each confirmation is one more of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hosts import RELEASES, Host, fleet
from hosts.machine import Play

BEFORE = "/etc/ufw/before.rules"
#: Of before.rules, in front of its line for what is established.
NEW_SSH = "-A ufw-before-input -p tcp --dport 22 -m conntrack --ctstate NEW"
LIMITS = {
    "ufw's own": "",
    "recent": f"{NEW_SSH} -m recent --name ssh --set\\n{NEW_SSH} -m recent --name ssh --update --seconds 30 --hitcount 6 -j DROP",
    "hashlimit": f"{NEW_SSH} -m hashlimit --hashlimit-above 6/min --hashlimit-burst 6 --hashlimit-mode srcip "
    "--hashlimit-name ssh -j DROP",
}


@pytest.fixture(name="machines", scope="module")
def fixture_machines() -> Iterator[dict[str, Host]]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with fleet() as hosts:
        yield dict(zip(RELEASES, hosts))


def prepare(host: Host, lines: str) -> None:
    host.shell(f"cp -n {BEFORE} /root/before; cp /root/before {BEFORE}; ufw --force disable")
    if lines:
        host.shell(f"sed -i '/^-A ufw-before-input -i lo /i {lines}' {BEFORE}")
    host.shell("ufw --force reset; ufw allow 22/tcp; ufw --force enable")


@pytest.mark.parametrize(
    ("kind", "release"),
    [
        ("ufw's own", "trixie"),
        pytest.param("recent", "bookworm", marks=pytest.mark.whole),
        pytest.param("hashlimit", "trixie", marks=pytest.mark.whole),
    ],
)
def test_six_changes_in_a_row_are_confirmed_though_the_limit_is_used_up(
    machines: dict[str, Host], kind: str, release: str
) -> None:
    host = machines[release]
    prepare(host, LIMITS[kind])
    ssh = {"rule": "allow" if LIMITS[kind] else "limit", "proto": "tcp", "to_port": "22"}
    tasks = [
        {
            "bulkhead.tiers.ufw_ruleset": {
                "purge": True,
                "confirm": {"timeout": 40},
                "rules": [ssh, {"rule": "allow", "proto": "tcp", "to_port": str(8000 + number)}],
            }
        }
        for number in range(6)
    ]
    # On a slow machine six changes are not quick enough for the limit: another client uses it up before the last.
    others = f"for i in 1 2 3 4 5 6; do timeout 1 bash -c ': <>/dev/tcp/{host.address[4]}/22'; done; true"
    fill = {"ansible.builtin.shell": others, "delegate_to": "localhost", "vars": {"ansible_connection": "local"}}
    tasks.insert(5, fill)
    play = Play(host.name, host.inventory(), tasks, ANSIBLE_SSH_CONTROL_PATH_DIR=str(host.folder / "cp"))
    results = [result for _task, result in play.results()]
    assert [result.get("confirmation", "filled") for result in results] == [
        *["confirmed over a new connection"] * 5,
        "filled",
        "confirmed over a new connection",
    ], results
    assert "8005" in host.shell("cat /etc/ufw/user.rules")
