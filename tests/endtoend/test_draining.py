"""SIGTERM, as a machine that is taken away sends it: what is in flight may finish, within the time that is given."""

from __future__ import annotations

import signal

import pytest

from tests.endtoend.command import Place, finished

pytestmark = pytest.mark.xdist_group("kills")


@pytest.mark.parametrize("grace", [pytest.param("20", marks=pytest.mark.faults), "1"])
def test_sigterm_drains_within_its_grace_and_everything_that_ended_is_recorded(tmp_path, grace):
    place = Place(tmp_path)
    place.write_study(trials=1000, steps=60)
    process = place.start_unshipped("run", "study", "--engine", "serial", GRADSTAB_DRAIN_SECONDS=grace)
    place.await_segment(process)
    process.send_signal(signal.SIGTERM)
    _, stderr = finished(process)
    assert process.returncode == 130, stderr
    assert f"stopping within {grace} s" in stderr
    assert "Traceback" not in stderr
    recorded = {record.number for record in place.records()}
    assert 0 < len(recorded) < 1000
    told = {trial.number for trial in place.optuna_trials() if trial.state.is_finished()}
    assert told <= recorded
    if grace == "20":
        assert told == recorded


@pytest.mark.parametrize("grace", ["nan", "-1", "0", "inf", "soon"])
def test_a_grace_that_is_no_time_is_refused(tmp_path, grace):
    place = Place(tmp_path)
    place.write_study()
    done = place.call("run", "study", "--engine", "serial", GRADSTAB_DRAIN_SECONDS=grace)
    assert done.returncode == 2
    assert "GRADSTAB_DRAIN_SECONDS must be a number of seconds above 0" in done.stderr
    assert not place.folder.exists()
