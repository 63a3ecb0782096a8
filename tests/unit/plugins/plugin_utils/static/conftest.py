"""Sites of a few hosts, as netfilter_info would return them, whose rules are those that the declaration compiles to."""

from __future__ import annotations

import pytest
from static_sites import Fixture


@pytest.fixture
def lab():
    """An office and a plant behind a router, and the internet: every host as declared."""
    return Fixture()
