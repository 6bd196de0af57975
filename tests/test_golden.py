"""What version 1 wrote stays readable: a segment and a study's declaration, kept as they were written then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradstab.record.failure import Failure, FailureKind
from gradstab.record.segments import read_segment, segment_paths
from gradstab.record.study_folder import StudyFolder
from gradstab.study.axes import LogInteger, LogReal

GOLDEN = Path(__file__).parent / "golden"


def test_a_segment_of_version_1():
    (path,) = segment_paths(GOLDEN)
    whole, diverged, failed = read_segment(path)
    assert (whole.number, whole.seed) == (0, 15378838894278201442)
    assert whole.point == {"depth": 3, "init_scale": 1.25, "steps": 4}
    assert whole.trajectory is not None
    assert whole.trajectory["loss"][:2] == pytest.approx([2.30258509, 0.48455395])
    assert whole.trajectory["log10_delta_norm"][0] == pytest.approx([-0.9987427, -1.00132105, -0.99359577])
    assert diverged.trajectory is not None
    assert diverged.trajectory.nonfinite_step == 2
    assert np.isnan(diverged.trajectory["loss"][3])
    assert (failed.trajectory, failed.failure) == (None, Failure(FailureKind.WORKER_LOST))


def test_a_study_declared_in_version_1():
    folder = StudyFolder(GOLDEN / "study-v1")
    study = folder.study()
    assert (study.name, study.budget.trials, study.recipe.momentum) == ("quickstart", 800, 0.9)
    assert study.space.axes["depth"] == LogInteger(2, 24)
    assert study.space.axes["init_scale"] == LogReal(0.5, 20)
    # what tells an edited study from the same one must not change with the program
    assert folder.began_in() == "0.1.0"
    assert study.fingerprint("0.1.0") == "4f5700e5041008a408f5277eaf2f9c23bf4ca8b1aa6a32bceafa76dca335e72a"
    assert study.fingerprint("0.2.0") == "29707fe13572a50752bcfd0c1d372719ddaf2c1f2bce7a5987a67e69e87df9c5"
