# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies of a few random sites in a real Headscale, which runs their own tests. `make fault` has fifty."""

from __future__ import annotations

import tailnet_policies


def test_headscale_takes_the_policies_of_random_sites_and_notices_what_is_opened_or_missing():
    assert tailnet_policies.run(range(4)) == []
