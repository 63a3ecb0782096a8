# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import find_profile, profile_ports, read_profiles
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import RECORDED


def test_the_profiles_of_a_real_host_are_read():
    profiles = read_profiles(str(RECORDED / "debian12/etc/ufw/applications.d"))
    assert profiles["OpenSSH"] == "22/tcp"
    assert profiles["KTorrent"] == "6881/tcp|4444/udp"


def test_files_that_ufw_skips_are_skipped(tmp_path):
    (tmp_path / "good").write_text("[A]\ntitle=a\ndescription=a\nports=1/tcp\n")
    for name in (".hidden", "x.dpkg-old", "x.dpkg-new", "x~"):
        (tmp_path / name).write_text("[B]\nports=2/tcp\n")
    (tmp_path / "broken").write_text("no section\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe[C]")
    assert read_profiles(str(tmp_path)) == {"A": "1/tcp"}


def test_a_folder_that_does_not_exist_has_no_profiles():
    assert read_profiles("/nonexistent") == {}


def test_a_profile_is_found_by_its_name_in_any_case_but_not_between_two():
    assert find_profile("openssh", {"OpenSSH": ""}) == "OpenSSH"
    assert find_profile("WWW", {"WWW": "", "www": ""}) == "WWW"
    for name in ("wWw", "none"):
        with pytest.raises(RulesetError):
            find_profile(name, {"WWW": "", "www": ""})


def test_the_ports_of_a_profile_come_with_their_protocols():
    assert profile_ports("1863|6891:6900/tcp|6901/udp") == [("1863", "any"), ("6891:6900", "tcp"), ("6901", "udp")]
