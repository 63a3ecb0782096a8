"""Whether the kernel forwards what a node offers: one error, with what to set."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.forwarding import SETTINGS, check_forwarding

NONE = {"advertise_routes": [], "advertise_exit_node": False}
V4 = {**NONE, "advertise_routes": ["10.0.0.0/24"]}
V6 = {**NONE, "advertise_routes": ["fd00::/64"]}
EXIT = {**NONE, "advertise_exit_node": True}


def kernel(root, four, six):
    for family, value in ((4, four), (6, six)):
        if value is not None:
            path = root / SETTINGS[family][1].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    return str(root)


@pytest.mark.parametrize(
    ("options", "four", "six", "missing"),
    [
        (NONE, 0, 0, []),
        (V4, 1, 0, []),
        (V4, 0, 1, [4]),
        (V6, 1, 0, [6]),
        (V6, 0, 1, []),
        (EXIT, 1, 1, []),
        (EXIT, 0, 1, [4]),
        (EXIT, 1, 0, [6]),
        (EXIT, 0, 0, [4, 6]),
        (EXIT, 1, None, []),
        (V4, 2, 0, []),
    ],
)
def test_each_family_is_asked_for_what_it_has_to_forward(tmp_path, options, four, six, missing):
    found = check_forwarding(options, kernel(tmp_path, four, six))
    assert len(found) == bool(missing), "one error for all of it"
    for family in missing:
        assert f"{SETTINGS[family][0]}=1" in found[0].remedy and f"{SETTINGS[family][0]} = 0" in found[0].got
