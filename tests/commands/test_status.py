"""What `status` says of a study's stop."""

from __future__ import annotations

import pytest

from gradstab.commands.status import print_certificate
from gradstab.stability.certificate import Audit, certify


def test_status_says_whether_a_stop_is_certified_and_which_condition_is_missing(capsys: pytest.CaptureFixture[str]):
    sound = [Audit(0.99, 0.01, inside=True)] * 60
    print_certificate(certify(0.02, 0.011, 130, sound, [], 0), 0.02)
    lines = [line for line in capsys.readouterr().out.splitlines() if "holds" in line or "MISSING" in line]
    assert [line.split()[0] for line in lines] == ["misclassified", "audits", "noise"]
    assert ["MISSING" in line for line in lines] == [False, False, True]
    assert "1.1 %" in lines[0]


def test_status_says_so_before_a_trial_was_looked_at(capsys: pytest.CaptureFixture[str]):
    print_certificate(None, 0.02)
    assert "not certified" in capsys.readouterr().out
