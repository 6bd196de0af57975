"""Fixtures of tests that train modules in the process of the tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _as_before(trains_here: None) -> None:
    """Training sets torch up for a slot; tests of other rooms want it as it was."""
