"""Which tests share hosts or network namespaces: they stay with one worker, one after the other."""

from __future__ import annotations

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file is a group; those of a folder are one, for they share its namespaces."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(HERE).parts[0]))
