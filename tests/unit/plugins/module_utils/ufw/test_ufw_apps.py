# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import (
    Profile,
    UnknownProfile,
    find_profile,
    make_profile,
    read_profiles,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import format_tuple, parse_tuple
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import RECORDED


def profile(ports, name="Web", **fields):
    return make_profile(name, {"title": "t", "description": "d", "ports": ports, **fields})


def profiles(**ports):
    return {name: profile(text, name) for name, text in ports.items()}


def test_the_profiles_of_a_real_host_are_read():
    found = read_profiles(str(RECORDED / "debian12/etc/ufw/applications.d"))
    assert found["OpenSSH"] == Profile("OpenSSH", (("22", "tcp"),))
    assert found["KTorrent"].ports == (("6881", "tcp"), ("4444", "udp"))
    assert not [name for name, one in found.items() if one.problem]


def test_files_that_ufw_skips_are_skipped(tmp_path):
    (tmp_path / "good").write_text("[A]\ntitle=a\ndescription=a\nports=1/tcp\n")
    for name in (".hidden", "x.dpkg-old", "x.dpkg-new", "x~"):
        (tmp_path / name).write_text("[B]\nports=2/tcp\n")
    (tmp_path / "broken").write_text("no section\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe[C]")
    assert read_profiles(str(tmp_path)) == {"A": Profile("A", (("1", "tcp"),))}


def test_a_later_profile_replaces_an_earlier_one_only_where_ufw_takes_it(tmp_path):
    (tmp_path / "1").write_text("[A]\ntitle=a\ndescription=a\nports=1/tcp\n")
    (tmp_path / "2").write_text("[A]\ntitle=a\ndescription=a\nports=70000/tcp\n")
    assert read_profiles(str(tmp_path))["A"].ports == (("1", "tcp"),)
    (tmp_path / "3").write_text("[A]\ntitle=a\ndescription=a\nports=3/tcp\n")
    assert read_profiles(str(tmp_path))["A"].ports == (("3", "tcp"),)


def test_a_profile_of_any_port_is_one_that_ufw_takes(tmp_path):
    found = profile("any/tcp|53/udp|any")
    assert (found.problem, found.ports) == ("", (("any", "tcp"), ("53", "udp"), ("any", "any")))
    for rule in parse_rules([{"rule": "allow", "app": "Web"}], False, lambda: {"Web": found}).v4:
        assert parse_tuple(format_tuple(rule)) == rule
    for ports in ("any,22/tcp", "any:22/tcp", "any/esp"):
        assert profile(ports).problem


@pytest.mark.parametrize("name", ["Web\0", "\udc80", "W" * 300, "Wéb", "\u0662\u0662"])
def test_a_name_of_any_characters_is_one_that_is_not_there(name):
    with pytest.raises(UnknownProfile):
        find_profile(name, profiles(Web="80/tcp"))
    assert profile("80/tcp", name).problem


def test_a_folder_that_does_not_exist_has_no_profiles():
    assert read_profiles("/nonexistent") == {}


def test_a_profile_is_found_by_its_name_in_any_case_but_not_between_two():
    assert find_profile("openssh", profiles(OpenSSH="22/tcp")).name == "OpenSSH"
    assert find_profile("WWW", profiles(WWW="80/tcp", Www="80/tcp")).name == "WWW"
    for name in ("wwW", "none"):
        with pytest.raises(UnknownProfile):
            find_profile(name, profiles(WWW="80/tcp", Www="80/tcp"))


@pytest.mark.parametrize(
    ("ports", "stored"),
    [
        ("1863|6891:6900/tcp|6901/udp", (("1863", "any"), ("6891:6900", "tcp"), ("6901", "udp"))),
        ("443,80/tcp", (("80,443", "tcp"),)),
        # ufw stores the number of a service.
        ("ssh/tcp|3000/tcp", (("22", "tcp"), ("3000", "tcp"))),
        ("domain", (("53", "any"),)),
        ("80,https/tcp", (("80,443", "tcp"),)),
    ],
)
def test_the_ports_of_a_profile_are_stored_as_ufw_stores_them(ports, stored):
    assert profile(ports) == Profile("Web", stored)


@pytest.mark.parametrize(
    "ports",
    [
        "44444/tcp|123456/udp",  # iptables would open UDP 57920
        "70000/tcp",
        "0/tcp",
        "65536",
        "80:70/tcp",
        "80:80/tcp",
        "80,443",  # a list needs a protocol
        "1000:2000",
        "80/tcp\n443/tcp",  # over two lines
        "80\n/tcp",
        "80/tcp|",
        "|80/tcp",
        "80/tcp/udp",
        "80/sctp",
        "80/",
        "80/esp",
        "80/any",
        "080/tcp",  # octal to the kernel
        "٨٠/tcp",
        "80 /tcp",
        "80, 443/tcp",
        "80 443/tcp",
        ",80/tcp",
        "80,/tcp",
        "nosuchservice/tcp",
        ",".join(str(port) for port in range(1, 17)) + "/tcp",
        "-80/tcp",
        "+80/tcp",
        "80-90/tcp",
    ],
)
def test_ports_that_ufw_or_iptables_does_not_take_make_no_profile(ports):
    if ports == "80/any":
        # ufw takes this one: any is what a missing protocol is.
        assert profile(ports).ports == (("80", "any"),)
        return
    found = profile(ports)
    assert found.problem and found.ports == ()
    with pytest.raises(UnknownProfile, match="ufw skips this one"):
        find_profile("Web", {"Web": found})


@pytest.mark.parametrize("name", ["all", "ssh", "1234", "+12", "1_0", "x" * 65, "Web/Server", "-Web", "Wéb", "a\n", ""])
def test_names_that_ufw_does_not_take_make_no_profile(name):
    assert profile("80/tcp", name).problem


@pytest.mark.parametrize("name", ["Web Server", "1password", "x" * 64, "a.b-c_d+e", "ALL"])
def test_names_that_ufw_takes_make_one(name):
    assert profile("80/tcp", name) == Profile(name, (("80", "tcp"),))


@pytest.mark.parametrize("field", ["title", "description", "ports"])
def test_a_profile_without_a_field_or_with_an_empty_one_is_none(field):
    fields = {"title": "t", "description": "d", "ports": "80/tcp"}
    assert make_profile("Web", {**fields, field: ""}).problem == f"it has no {field}"
    assert make_profile("Web", {key: value for key, value in fields.items() if key != field}).problem


def test_a_field_that_is_too_long_makes_no_profile():
    assert profile("80/tcp", description="x" * 1025).problem
    assert profile("80/tcp", **{"x" * 65: "y"}).problem
    assert not profile("80/tcp", description="x" * 1024).problem


def test_the_name_of_a_service_where_a_profile_is_expected_is_answered_with_its_port():
    with pytest.raises(UnknownProfile, match="write to_port: 22 instead of app"):
        find_profile("ssh", profiles(OpenSSH="22/tcp"))
