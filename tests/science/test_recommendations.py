"""The quadratic in little: a study whose interval holds 2 / sharpness, and a plan of a study of own functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.session import drive
from gradstab.study.file import load_study_file
from tests.fakes import NoTracker
from tests.science.recommendations import TOLERANCE, measure_quadratic, measured_threshold, sharpness_of

QUICKLY = ("budget.trials=40", "recipe.steps=50")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where studies are put that nobody looks for in MLflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "start_tracker", lambda *_: NoTracker())
        yield tmp_path_factory.mktemp("quadratics")


def test_gradient_descent_itself_stops_at_two_over_the_sharpness():
    for seed in (0, 1):
        assert measured_threshold(sharpness_of(seed), seed, 400) * sharpness_of(seed) / 2 == pytest.approx(
            1, rel=TOLERANCE
        )


def test_the_interval_holds_two_over_the_sharpness(root):
    hit = measure_quadratic(0, root, *QUICKLY)
    assert hit.holds_truth, hit
    assert hit.high / hit.low < 3


def test_the_plan_of_own_functions_is_their_file_with_a_last_block(root, tmp_path):
    if not StudyFolder(root / "quadratic-0").exists():
        measure_quadratic(0, root, *QUICKLY)
    found = Results(StudyFolder(root / "quadratic-0")).recommend()
    assert any("clip_threshold" in need.axes for need in found.needs)
    with pytest.raises(UsageError, match=r"must be a \.py file"):
        found.write_plan(tmp_path / "plan.yaml")
    planned = found.write_plan(tmp_path / "plan.py")
    read = load_study_file(tmp_path / "plan.py")
    assert read.space == planned.space
    assert {"learning_rate", "clip", "clip_threshold"} == set(read.space.names())
    assert read.model is not None
    assert read.model.build == "plan.py:build"
