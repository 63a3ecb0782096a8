# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The breadth of ufw's grammar against ufw's own parser, on both releases."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import RELEASES, Host, fleet, run
from ufw_grammar import judged, random_line, random_sequence

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import Profile, read_profiles
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import format_tuple
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import read_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import export_rules

LINES, SEQUENCES = 2500, 400


@pytest.fixture(name="machines", scope="module")
def fixture_machines() -> Iterator[dict[str, Host]]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with fleet() as hosts:
        yield dict(zip(RELEASES, hosts))


@pytest.fixture(name="host", params=RELEASES)
def fixture_host(request: pytest.FixtureRequest, machines: dict[str, Host]) -> Host:
    return machines[request.param]


@pytest.fixture(name="profiles")
def fixture_profiles(host: Host, tmp_path: Path) -> dict[str, Profile]:
    run("docker", "cp", f"{host.name}:/etc/ufw/applications.d", tmp_path)
    return read_profiles(str(tmp_path / "applications.d"))


def test_what_ufw_takes_is_taken_and_stored_alike_and_what_it_refuses_is_refused(
    host: Host, profiles: dict[str, Profile]
) -> None:
    lines = [random_line(random.Random(f"line {number}")) for number in range(LINES)]
    taken = refused = 0
    for line, answer in zip(lines, judged(host, ([line.argv] for line in lines))):
        try:
            found = parse_rules([line.rule], True, lambda: profiles)
        except Refused as error:
            refused += 1
            assert not answer["taken"][0], (line.argv, str(error))
            assert all(mistake.remedy for mistake in error.mistakes)
            continue
        taken += 1
        assert answer["taken"][0], (line.argv, "ufw refuses it")
        assert [format_tuple(rule) for rule in found.v4] == answer["v4"], line.argv
        assert [format_tuple(rule) for rule in found.v6] == answer["v6"], line.argv
    assert taken > LINES / 5 and refused > LINES / 10


def test_whatever_ufw_stores_is_exported_as_what_makes_it_again(host: Host, profiles: dict[str, Profile]) -> None:
    sequences = [random_sequence(random.Random(f"sequence {number}")) for number in range(SEQUENCES)]
    rules = 0
    for sequence, answer in zip(sequences, judged(host, sequences)):
        families = {}
        for family in ("v4", "v6"):
            families[family], malformed = read_rules(family, "\n".join(answer[family]))
            assert not malformed, (sequence, malformed)
        exported = [each.item for each in export_rules(families["v4"], families["v6"], True, lambda: profiles)]
        again = parse_rules(exported, True, lambda: profiles)
        assert [format_tuple(rule) for rule in again.v4] == answer["v4"], sequence
        assert [format_tuple(rule) for rule in again.v6] == answer["v6"], sequence
        rules += len(exported)
    assert rules > SEQUENCES  # about five rules of three lists in ten stay: others are refused, or the same again
