# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host returned in the place of its firewall: bounded, checked, and never more than words about that host."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import pack, take_snapshot
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import replay
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import configuration, inform
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.replay import NotRead, Replay
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

USER, BEFORE = "/etc/ufw/user.rules", "/etc/ufw/before.rules"


@pytest.fixture(name="snapshot")
def fixture_snapshot(tmp_path):
    packed = take_snapshot(FakeHost(tmp_path), "kernel")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_a_snapshot_answers_what_the_host_was_asked_and_nothing_else(snapshot, tmp_path):
    host = Replay(pack(snapshot))
    assert host.read(USER) == (tmp_path / USER.lstrip("/")).read_text()
    assert host.run(["iptables-save", "-t", "filter"]).out.startswith("*filter")
    for question in (
        lambda: host.read("/etc/passwd"),
        lambda: host.exists("/etc/passwd"),
        lambda: host.executable("/bin/sh"),
        lambda: host.path("/etc/passwd"),
        lambda: host.run(["iptables-save", "-t", "nat"]),
        lambda: host.run(["iptables-save", "-t", "filter"], "with another input"),
        host.interfaces,
    ):
        with pytest.raises(NotRead):
            question()


def test_a_command_that_a_host_lacks_is_missing_in_its_snapshot(snapshot):
    snapshot["commands"]["ip6tables-save -t filter"] = [None, "", "the command ip6tables-save is missing"]
    with pytest.raises(RulesetError, match="ip6tables-save is missing"):
        Replay(pack(snapshot)).run(["ip6tables-save", "-t", "filter"])


def test_texts_of_any_bytes_come_back_as_they_were(tmp_path):
    host = FakeHost(tmp_path)
    path = host.file(BEFORE)
    path.write_bytes(path.read_bytes() + b"# caf\xe9 \r\n")
    assert Replay(take_snapshot(host, "rules")).read(BEFORE) == host.read(BEFORE)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("files", []),
        ("files", {USER: 7}),
        ("files", {USER: "\n" * 100_001}),
        ("files", {BEFORE: "-A ufw-before-input -j ACCEPT\n" * 20_001}),
        ("files", {BEFORE: "-I ufw-before-input -j ACCEPT\n" * 1_001}),
        ("present", {"/proc/sys/net/ipv6": "yes"}),
        ("executable", None),
        ("commands", {"iptables-save -t filter": ["0", "", ""]}),
        ("commands", {"iptables-save -t filter": [0, None, ""]}),
        ("commands", {"iptables-save -t filter": [0, ""]}),
        ("commands", {"iptables-save -t filter": [0, "\n" * 100_001, ""]}),
        ("commands", {"iptables-save -t filter": [0, "-A INPUT " + "-m comment --comment x " * 900_000, ""]}),
        ("profiles", [["WWW", [["80", 6]], ""]]),
        ("profiles", [["WWW"]]),
        ("profiles", 7),
        ("pending", {"token": "abcd"}),
        ("pending", {"token": "a" * 65, "seconds": 1, "keep": "", "back": ""}),
        ("pending", {"token": "a", "seconds": "soon", "keep": "", "back": ""}),
    ],
)
def test_a_part_of_another_shape_or_too_large_is_refused(snapshot, part, value):
    with pytest.raises(RulesetError, match="no snapshot of its firewall"):
        Replay(pack({**snapshot, part: value}))


@pytest.mark.parametrize("part", ["files", "present", "executable", "commands", "profiles", "pending"])
def test_a_part_that_is_missing_is_refused(snapshot, part):
    del snapshot[part]
    with pytest.raises(RulesetError, match="no snapshot of its firewall"):
        Replay(pack(snapshot))


def packed(text):
    return base64.b64encode(zlib.compress(text)).decode()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "not base64 \x1b",
        base64.b64encode(b"not compressed").decode(),
        packed(b"not json"),
        packed(b"[]"),
        packed(b"[" * 100_000),
        packed(b"{}" + b" " * 100)[:20],
    ],
)
def test_what_is_no_snapshot_at_all_is_refused(value):
    with pytest.raises(RulesetError, match="no snapshot of its firewall"):
        Replay(value)


def test_a_snapshot_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(replay, "MOST_TEXT", 1_000_000)
    with pytest.raises(RulesetError, match="more than 1000000 characters"):
        Replay(packed(b" " * 10_000_000))


@pytest.mark.parametrize(
    "save",
    ["-A nowhere -j ACCEPT\n", "*filter\n:\n", "*filter\n:INPUT\n", "\x00", '*filter\n:a - [0:0]\n-A a -m comment "\n'],
)
def test_a_kernel_that_prints_what_no_kernel_prints_is_a_failure_of_that_host(snapshot, save):
    snapshot["commands"]["iptables-save -t filter"] = [0, save, ""]
    for question in (configuration, lambda text: inform(lambda depth: text)):
        try:
            question(pack(snapshot))
        except RulesetError as error:
            assert str(error)


@pytest.mark.parametrize(
    "tuple_", ["### tuple ###", "### tuple ### allow tcp", "### tuple ### x y z a b c d e f g h i"]
)
def test_rules_that_ufw_never_wrote_are_no_error_of_the_controller(snapshot, tuple_):
    snapshot["files"][USER] += tuple_ + "\n"
    answer = configuration(pack(snapshot))
    assert answer["active"] is True and answer["rules"]


def test_a_host_that_never_reads_deeper_is_a_failure_of_that_host(snapshot):
    del snapshot["files"][USER]
    with pytest.raises(RulesetError, match="user.rules"):
        configuration(pack(snapshot))
    with pytest.raises(RulesetError, match="user.rules"):
        inform(lambda depth: pack(snapshot))


def test_a_proof_reads_no_more_than_the_rules(tmp_path):
    host = FakeHost(tmp_path)
    found = configuration(take_snapshot(host, "rules"))
    assert found.keys() == {"active", "default", "rules", "docker"}
    assert sorted(host.ran) == ["ip6tables-save -t filter", "iptables-save -t filter"]
