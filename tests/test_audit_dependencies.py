"""An audit that asked nobody is no pass."""

from __future__ import annotations

import pytest

from tests.audit_dependencies import UnansweredError, answered

SOUND = {"name": "six", "version": "1.17.0", "vulns": []}
FLAWED = {"name": "old", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited: own (1)"}


def test_packages_that_were_looked_up_pass_through():
    assert answered([SOUND, FLAWED]) == [SOUND, FLAWED]


def test_a_skipped_package_is_an_unanswered_question():
    with pytest.raises(UnansweredError, match="1 of 2 packages skipped"):
        answered([SOUND, SKIPPED])
