"""Studies judged by R alone whose loss that counts as trained nobody knows: all trials count, and nothing is said of T."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradstab.commands.status import verdict_rows
from gradstab.record.segments import read_segment, segment_paths, write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogReal
from gradstab.study.criterion import Criterion
from tests.report.planted import SPACE, plant

BY_GRADIENTS: dict[str, Any] = {"criterion": {"responses": ["R"]}}
CLIPPED = {**SPACE, "clip": Choice((False, True)), "clip_threshold": LogReal(0.1, 10)}


def forget_reference(folder: StudyFolder, diverging: int) -> None:
    """Write the records again without a reference loss; the first ones diverge in their training."""
    (path,) = segment_paths(folder.path)
    records = []
    for record in read_segment(path):
        assert record.trajectory is not None
        series = dict(record.trajectory.series)
        if record.number < diverging:
            series["loss"] = np.full_like(series["loss"], np.nan)
        records.append(replace(record, trajectory=replace(record.trajectory, reference_loss=np.nan, series=series)))
    path.unlink()
    write_segment(folder.path, 0, records)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return plant(tmp_path_factory.mktemp("known"), trials=80, **BY_GRADIENTS)


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = plant(tmp_path_factory.mktemp("unknown"), trials=80, **BY_GRADIENTS)
    forget_reference(folder, diverging=9)
    return folder


def test_every_trial_counts_and_the_region_is_that_of_a_study_whose_loss_is_known(known, unknown):
    """T is known of trainings that diverged alone, and they must not be all that counts."""
    found, expected = Results(unknown), Results(known)
    assert set(found.measured.responses) == {"R"}
    assert set(expected.measured.responses) == {"R", "T"}
    assert found.measured.numbers == expected.measured.numbers == tuple(range(80))
    for one, other in zip(found.region(depth=8).lines, expected.region(depth=8).lines, strict=True):
        assert one.region == other.region
        assert one.safe == other.safe


def test_verdicts_mean_what_is_known(known, unknown):
    rows = {str(row[0]): row[3] for row in verdict_rows(Results(unknown))}
    assert rows["stable"] == "gradients keep their size at the start"
    assert rows["vanishing"] == "gradients vanish at the start"
    assert rows["diverged"] == "the training became non-finite, or its loss ended ten times too high"
    assert "untrainable" not in rows
    assert "did not train" in str({str(row[0]): row[3] for row in verdict_rows(Results(known))}["vanishing"])


def test_the_report_is_made_and_says_nothing_of_training(unknown):
    page = unescape(make_report(Results(unknown)).read_text())
    assert "gradients vanish at the start." in page
    assert "did not train" not in page
    assert "T, the training response" not in page


def test_no_learning_rate_is_recommended_that_nobody_judged(tmp_path: Path):
    folder = plant(
        tmp_path, trials=80, criterion={"responses": ["R"]}, space={**CLIPPED, "learning_rate": LogReal(0.01, 100)}
    )
    forget_reference(folder, diverging=30)
    found = Results(folder).recommend()
    assert found.largest is None
    assert any("the study counts R alone, which is read before training" in sentence for sentence in found.sentences)
    assert found.clip is not None
    assert {band.median_response for band in found.clip.tried} == {None}
    judged = Results(folder, Criterion(responses=("R", "T"))).recommend()
    assert not any("counts R alone" in sentence for sentence in judged.sentences)
