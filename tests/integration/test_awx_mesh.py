# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""site.yml in AWX's slices over a mesh of real receptor nodes, on hosts over SSH: the same rules as without slices, and a node that dies
in the middle of its slice loses nothing. BULKHEAD_AWX_KILLS=10 has it die so often, at another moment each time."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh import Done, Mesh, cut, run_slices
from mesh.death import Death
from mesh.fleet import FLEET, Site, changed, site

#: How often a node dies, and the seed of the moments.
KILLS = int(os.environ.get("BULKHEAD_AWX_KILLS", "1"))
SEED = int(os.environ.get("BULKHEAD_AWX_SEED", random.randrange(1 << 20)))


@pytest.fixture(name="site", scope="module")
def fixture_site() -> Iterator[Site]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    # One less than `make awx` has: five slices of one host each.
    with site(tuple(FLEET)[:5]) as found:
        yield found


@pytest.fixture(name="mesh", scope="module")
def fixture_mesh() -> Iterator[Mesh]:
    with Mesh(["exec1", "exec2"]) as found:
        yield found


def told(done: Done) -> str:
    """All that helps where a sliced run ended otherwise than it should."""
    return "\n".join([*done.said, *(one.stdout[-3000:] for one in done.slices if one.status != "successful")])


# One after the other: each test goes on with the hosts as the one before has left them.


def test_slices_over_the_mesh_give_the_same_rules_byte_for_byte(site: Site, mesh: Mesh, tmp_path: Path) -> None:
    whole = site.whole()
    assert whole.returncode == 0, whole.stdout[-6000:] + whole.stderr
    expected = site.rules()
    assert all("dport 9100" in rules for rules in expected.values())
    for count in (1, 2, 5):
        site.reset()
        assert all(rules != expected[name] for name, rules in site.rules().items())
        done = run_slices(mesh, site.job(), count, tmp_path / str(count))
        assert done.ok, told(done)
        assert site.rules() == expected, count
        assert [one.hosts for one in done.slices] == cut(list(site.hosts), count)
        # A slice knew no other host: what it reports of is what it had, and AWX's localhost.
        assert [set(one.totals["ok"]) - {"localhost"} for one in done.slices] == [set(one.hosts) for one in done.slices]
        # Each has an artifact of its own, and none of them passes for the whole fleet.
        names = [list(one.artifacts) for one in done.slices]
        assert names == (
            [[f"site_change_of_job_{each + 1}"] for each in range(count)] if count > 1 else [["site_change"]]
        )


def test_what_needs_the_whole_inventory_says_so_in_a_slice(site: Site, mesh: Mesh, tmp_path: Path) -> None:
    done = run_slices(mesh, site.job("bulkhead.tiers.prove", template="bulkhead prove"), 2, tmp_path)
    said = [" ".join(one.stdout.split()) for one in done.slices]
    assert not done.ok and all(
        "job slices: got a slice of the inventory, by the template bulkhead prove" in text for text in said
    )


@pytest.mark.parametrize("number", range(KILLS))
def test_a_node_that_dies_in_its_slice_loses_nothing(site: Site, mesh: Mesh, tmp_path: Path, number: int) -> None:
    death = Death.drawn(mesh, SEED + number)
    # Every host's rules change, so that there is something to lose.
    port = 9200 + number
    site.declare(port)
    try:
        done = run_slices(mesh, site.job(), 4, tmp_path, watch=death)
    finally:
        death.restart()
    where = f"seed {SEED + number}: {death}\n{told(done)}"
    assert death.slice is not None and death.slice.lost == [death.node], where
    # The slice that failed is named with its hosts, and was run again on the other node; the others had nothing to run again.
    assert done.ok and death.slice.tried[-1] != death.node, where
    assert any("LOST" in line and all(host in line for host in death.slice.hosts) for line in done.said), where
    assert [one.lost for one in done.slices if one is not death.slice] == [[]] * 3, where
    # Converged: the rules are those of the site, and a run over all hosts finds nothing to do.
    assert all(f"dport {port}" in rules for rules in site.rules().values()), where
    again = site.whole()
    assert again.returncode == 0 and set(changed(again.stdout).values()) == {0}, where + again.stdout[-6000:]
