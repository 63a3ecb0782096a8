# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""before.rules as people write it, on both releases: the kernel is the judge of equal, and of what a boot would load."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hosts import RELEASES, Host, fleet
from ufw_spellings import LINES, SECTIONS, before_rules

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
WISH = {"rules": [SSH], "purge": True, "confirm": {"timeout": 0}}
TABLES = "for t in filter nat mangle raw; do iptables-save -t $t; done | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'"
BEFORE = "/etc/ufw/before.rules"


@pytest.fixture(name="machines", scope="module")
def fixture_machines() -> Iterator[dict[str, Host]]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with fleet() as hosts:
        for host in hosts:
            host.install()
            host.shell(f"cp {BEFORE} /root/before.rules")
        yield dict(zip(RELEASES, hosts))


@pytest.fixture(name="host", params=RELEASES)
def fixture_host(request: pytest.FixtureRequest, machines: dict[str, Host]) -> Host:
    """A host whose ufw is on, with the package's own files and one rule."""
    host = machines[request.param]
    host.shell(
        f"cp /root/before.rules {BEFORE}; rm -f /etc/ufw/applications.d/test; ufw --force reset; rm -f /etc/ufw/*.rules.2*; "
        f"cp /root/before.rules {BEFORE}; for t in nat mangle raw; do iptables -t $t -F; iptables -t $t -X; done; "
        "ufw --force enable; ufw reload; iptables -F mine; iptables -X mine; true"
    )
    assert "failed" not in host.driver(WISH)
    return host


def write(host: Host, text: str) -> None:
    host.put(BEFORE, text, "640")


def test_a_hundred_spellings_that_ufw_has_loaded_are_no_change(host: Host) -> None:
    assert len(LINES) >= 100
    write(host, before_rules(host.shell(f"cat {BEFORE}")))
    host.shell("ufw reload")
    loaded = host.shell(TABLES)
    for _run in range(2):
        result = host.driver(WISH)
        assert (result.get("msg"), result["changed"], result["drift"]) == (None, False, [])
    assert host.shell(TABLES) == loaded


def test_what_is_loaded_of_them_is_what_ufw_itself_loads(host: Host) -> None:
    text = before_rules(host.shell(f"cat {BEFORE}"))
    write(host, text)
    result = host.driver(WISH)
    assert (result.get("msg"), result["changed"]) == (None, True)
    ours = sorted(host.shell(TABLES).splitlines())
    assert host.driver(WISH)["changed"] is False
    host.shell("for t in nat mangle raw; do iptables -t $t -F; iptables -t $t -X; done; ufw reload")
    assert sorted(host.shell(TABLES).splitlines()) == ours
    assert sum(section in text for section in SECTIONS) == len(SECTIONS)


def test_without_namespaces_what_cannot_be_compared_is_left_alone_with_a_warning(host: Host) -> None:
    write(host, before_rules(host.shell(f"cat {BEFORE}")))
    host.shell("ufw reload; mv /usr/bin/unshare /usr/bin/unshare.off")
    try:
        loaded = host.shell(TABLES)
        result = host.driver(WISH)
        assert (result["changed"], result["drift"]) == (False, [])
        assert "left alone" in str(result["warnings"])
        assert host.shell(TABLES) == loaded
    finally:
        host.shell("mv /usr/bin/unshare.off /usr/bin/unshare")


@pytest.mark.parametrize("first", range(0, len(LINES), 16))
def test_without_namespaces_no_part_of_them_is_changed_for_ever(host: Host, first: int) -> None:
    """Of the whole file one line is not understood, so that all of its chain is left alone; here the others alone decide."""
    write(host, before_rules(host.shell(f"cat {BEFORE}"), LINES[first : first + 16], ()))
    host.shell("ufw reload; mv /usr/bin/unshare /usr/bin/unshare.off")
    try:
        loaded = host.shell(TABLES)
        result = host.driver(WISH)
        assert (result.get("msg"), result["changed"], result["drift"]) == (None, False, [])
        assert host.shell(TABLES) == loaded
    finally:
        host.shell("mv /usr/bin/unshare.off /usr/bin/unshare")


@pytest.mark.parametrize(
    ("loaded", "file"),
    [
        (
            "-A ufw-before-input -p tcp --dport 9 -m connlimit --connlimit-above 20 -j DROP",
            "-A ufw-before-input -p tcp --dport 9 -m statistic --mode random --probability 0.5 -j ACCEPT",
        ),
        ("-A ufw-before-input -m limit --limit 1/s -s 10.9.0.1 -j ACCEPT", "-A ufw-before-input -s 10.9.0.1 -j ACCEPT"),
        ("-A ufw-before-input -m mark --mark 1 -j DROP", "-A ufw-before-input -m mark --mark 2 -j DROP"),
    ],
)
def test_rules_that_are_not_the_same_are_told_apart_whatever_their_matches(host: Host, loaded: str, file: str) -> None:
    text = host.shell(f"cat {BEFORE}")
    write(host, text.replace("# End required lines\n", f"# End required lines\n{loaded}\n"))
    host.shell("ufw reload")
    write(host, text.replace("# End required lines\n", f"# End required lines\n{file}\n"))
    result = host.driver(WISH)
    assert (result.get("msg"), result["changed"], len(result["drift"])) == (None, True, 2)
    assert host.driver(WISH)["changed"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\n", "\r\n"), "carriage return"),
        (
            lambda text: text.replace("COMMIT", "-A ufw-before-input -p nosuch -j DROP\nCOMMIT"),
            "does not load it: line ",
        ),
        (
            lambda text: text.replace("COMMIT", "-A ufw-before-input -p tcp --dport 70000: -j DROP\nCOMMIT"),
            "does not load it",
        ),
    ],
)
def test_a_file_that_the_next_boot_would_not_load_is_an_error_on_and_off(host: Host, change, message: str) -> None:
    text = host.shell(f"cat {BEFORE}")
    before = host.shell(TABLES)
    write(host, change(text))
    result = host.driver({**WISH, "rules": [SSH, {**SSH, "to_port": "23"}]})
    assert result["failed"] is True and message in result["msg"]
    assert host.shell(TABLES) == before and "23" not in host.shell("grep '^### tuple' /etc/ufw/user.rules")
    host.shell("ufw disable")
    assert message in str(
        host.driver({**WISH, "state": "disabled", "rules": [SSH, {**SSH, "to_port": "24"}]})["warnings"]
    )
    result = host.driver({**WISH})
    assert result["failed"] is True and message in result["msg"], "switching on"
    assert host.shell("ufw status").startswith("Status: inactive")


@pytest.mark.parametrize(
    "lines",
    [
        ":mine - [0:0]\n-E mine yours",
        "-A ufw-before-input -s 10.9.0.1 -j DROP\n-R ufw-before-input 1 -s 10.9.0.2 -j DROP",
        "-A ufw-before-input -m owner --uid-owner 0 -j DROP",
    ],
)
def test_a_file_that_fails_only_when_it_is_carried_out_is_an_error_before_anything_is_touched(
    host: Host, lines: str
) -> None:
    """`iptables-restore --test` takes it; ufw does not start with it."""
    text = host.shell(f"cat {BEFORE}")
    before = host.shell(TABLES)
    write(host, text.replace("COMMIT", f"{lines}\nCOMMIT"))
    for switch in ("", "ufw --force disable"):
        host.shell(switch or "true")
        result = host.driver({**WISH, "rules": [SSH, {**SSH, "to_port": "23"}]})
        assert result["failed"] is True and "iptables-restore does not load it: " in result["msg"]
        assert switch or host.shell(TABLES) == before
        assert "change.json" not in host.shell("ls /run/bulkhead/ufw")
    assert host.shell("ufw status").startswith("Status: inactive")
    assert "ERROR" in host.shell("ufw --force enable 2>&1", check=False)


@pytest.mark.parametrize("ports", ["44444/tcp|123456/udp", "70000/tcp", "80/tcp\n 443/tcp", "080/tcp"])
@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_a_profile_that_ufw_does_not_take_is_refused_and_the_boot_keeps_its_rules(
    host: Host, ports: str, state: str
) -> None:
    host.put("/etc/ufw/applications.d/test", f"[Test]\ntitle=t\ndescription=d\nports={ports}\n")
    if state == "disabled":
        host.shell("ufw disable")
    result = host.driver({**WISH, "rules": [SSH, {"rule": "allow", "app": "Test"}], "state": state})
    assert result["failed"] is True and "ufw skips this one" in result["msg"]
    host.shell("rm /etc/ufw/applications.d/test; ufw --force enable")
    assert "--dport 22 -j ACCEPT" in host.shell("iptables-save -t filter")


def test_a_service_in_a_profile_is_stored_as_its_number_and_converges(host: Host) -> None:
    host.put("/etc/ufw/applications.d/test", "[Test]\ntitle=t\ndescription=d\nports=ssh/tcp|3000/tcp\n")
    wish = {**WISH, "rules": [{"rule": "allow", "app": "Test"}]}
    assert host.driver(wish)["changed"] is True
    assert host.driver(wish)["changed"] is False
    stored = host.shell("grep '^### tuple' /etc/ufw/user.rules")
    host.shell("ufw delete allow Test; ufw allow Test")
    assert host.shell("grep '^### tuple' /etc/ufw/user.rules") == stored


def test_ufw_is_switched_on_beside_an_executable_init_hook(host: Host) -> None:
    host.shell("ufw disable; printf '#!/bin/sh\\nexit 0\\n' > /etc/ufw/after.init; chmod 750 /etc/ufw/after.init")
    try:
        result = host.task({"rules": [SSH], "purge": True})
        assert (result.get("msg"), result["changed"]) == (None, True)
        assert host.reachable()
    finally:
        host.shell("chmod 640 /etc/ufw/after.init")
