"""What is called safe is: fresh networks at points of {p_next > .95} of a study that was just measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.session import run_study
from pipeline.study_file import load_study_file
from tests.science.safe_core import train_in_safe_core

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.mark.science
@pytest.mark.timeout(900)
def test_at_least_nine_of_ten_fresh_trainings_in_the_safe_core_are_in_band(tmp_path):
    study = load_study_file(STUDIES / "quickstart.py", ("tracking.children=0", "budget.trials=400"))
    found = train_in_safe_core(run_study(study, engine="serial", results=str(tmp_path)))
    assert found.num_trained == 100
    assert found.num_in_band >= 90, found
