"""Notes say in plain words what happened, and fit into a tag."""

from __future__ import annotations

from typing import Any

import pytest

from gradstab.record.segments import Record
from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.tracking.experiment_note import boundary_trials, experiment_note, parent_note
from gradstab.tracking.run_content import table_row
from gradstab.tracking.saved_views import views
from gradstab.tracking.trial_note import trial_note
from tests.fakes import REFERENCE_LOSS, make_mixed_records, make_record
from tests.tracking.test_saved_views import SPACES, job_of


def note_of(record: Record) -> str:
    judgement = None if record.trajectory is None else judge(record.trajectory, Criterion())
    return trial_note(record, judgement, job_of({})).partition("\n")[0]


POINT: dict[str, Any] = {"depth": 9, "init_scale": 2.0}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            make_record(
                0, point={**POINT, "clip": True, "clip_threshold": 0.5}, decades_per_layer=0.3, final_loss=2.25
            ),
            "**exploding**: the gradient at layer 1 is 2.4 decades above layer 9 at initialisation; "
            "the loss ended at 2.25 nats (2.3 is guessing): learned nothing; clipping acted on 100 % of steps.",
        ),
        (
            make_record(0, point=POINT, decades_per_layer=-0.3, final_loss=REFERENCE_LOSS),
            "**vanishing**: the gradient at layer 1 is 2.4 decades below layer 9 at initialisation; "
            "the loss ended at 2.3 nats (2.3 is guessing): learned nothing.",
        ),
        (
            make_record(0, point={**POINT, "clip": True}, nonfinite_step=41),
            "**diverged**: the gradient is the same at layer 1 and layer 9 at initialisation; "
            "the training left the finite numbers at step 41 of 100; clipping acted on 100 % of steps.",
        ),
        (
            make_record(0, point={**POINT, "steps": 0}, decades_per_layer=0.3),
            "**exploding**: the gradient at layer 1 is 2.4 decades above layer 9 at initialisation.",
        ),
        (
            make_record(0, point={"depth": 1, "steps": 0}),
            "**stable**: one hidden layer, so there is no gradient ratio.",
        ),
        (
            make_record(0, failure="the worker was lost 3 times"),
            "**failed**: the machine failed, not the training: the worker was lost 3 times. No measurement.",
        ),
    ],
)
def test_a_trial_says_in_plain_words_what_happened(record: Record, expected: str) -> None:
    assert note_of(record) == expected


def test_every_kind_of_trial_has_a_note() -> None:
    for record in make_mixed_records(6):
        assert "nan" not in note_of(record)
        assert "inf" not in note_of(record).replace("infer", "")


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [0, 3, 400])
def test_notes_of_a_study_fit_into_a_tag(name: str, count: int) -> None:
    job = job_of(SPACES[name])
    rows = []
    for number in range(count):
        record = make_record(number, point={"depth": 2 + number % 31, "init_scale": 0.5 + 0.01 * number})
        assert record.trajectory is not None
        rows.append(table_row(record, judge(record.trajectory, Criterion())))
    known = views(job)
    assert len(experiment_note(job, "123", "f" * 32, known, rows)) <= 5000
    nearest = [(row, "a" * 32) for row in boundary_trials(rows, 20)]
    assert len(parent_note(job, "123", known, nearest, True)) <= 5000


def test_the_answer_is_that_of_the_report_once_there_is_one() -> None:
    words = {"where": "activation tanh, depth 24", "region": "0.98 to 1.5", "safe": "1.01 to 1.4", "theory": "0.9 to 2"}
    words["gradients"] = "all that was searched"
    region = {
        "num_trials": 240,
        "regions": {"R and T": {"volume_words": "31 % (29 % to 33 %)"}},
        "intervals": [{"axis": "init_scale", "words": words}] * 40,
    }
    job = job_of(SPACES["scale and depth"])
    note = experiment_note(job, "1", "f" * 32, views(job), [], region, certified=True)
    assert "after 240 trials" in note
    assert "31 % (29 % to 33 %)" in note
    assert ", certified." in note
    assert "| activation tanh, depth 24&emsp; | 1.01 to 1.4 | 0.98 to 1.5 | all | 0.9 to 2 |" in note
    assert len(note) <= 5000
    assert note.startswith("**Unfold"), "what a folded note shows must say that there is more"
    region["regions"] = {"R": {"volume_words": "31 %"}}
    ratio_alone = experiment_note(job, "1", "f" * 32, views(job), [], region)
    assert "not certified" in ratio_alone
    assert "| activation tanh, depth 24&emsp; | 1.01 to 1.4 | 0.98 to 1.5 | 0.9 to 2 |" in ratio_alone


def test_the_trials_nearest_the_boundary_come_first() -> None:
    margins = [0.5, -0.1, None, 0.05, -3.0]
    rows = [{"trial": number, "margin": margin} for number, margin in enumerate(margins)]
    assert [row["trial"] for row in boundary_trials(rows, 3)] == [3, 1, 0]
