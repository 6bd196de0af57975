"""Notes say in plain words what happened, and fit into a tag."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from gradstab.record.segments import Record
from gradstab.record.shipping_order import ShippingOrder
from gradstab.stability.judgement import judge
from gradstab.study.axes import Value
from gradstab.study.criterion import Criterion
from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.experiment_note import boundary_trials, experiment_note, parent_note
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.run_content import table_row
from gradstab.tracking.saved_views import views
from gradstab.tracking.trial_note import trial_note
from tests.fakes import REFERENCE_LOSS, make_mixed_records, make_record
from tests.tracking.orders import order_of
from tests.tracking.test_saved_views import NAMINGS, SHAPES, SPACES


def note_of(record: Record) -> str:
    judgement = None if record.trajectory is None else judge(record.trajectory, Criterion())
    return trial_note(record, judgement, order_of()).partition("\n")[0]


POINT: dict[str, Any] = {"depth": 9, "init_scale": 2.0}


def test_where_nobody_knows_which_loss_counts_as_trained_the_note_says_so():
    record = make_record(0, point=POINT, decades_per_layer=-0.3, final_loss=0.25)
    assert record.trajectory is not None
    unknown = replace(record.trajectory, reference_loss=math.nan)
    judgement = judge(unknown, Criterion(responses=("R",)))
    assert trial_note(replace(record, trajectory=unknown), judgement, order_of()).partition("\n")[0] == (
        "**vanishing**: the gradient at layer 1 is 2.4 decades below layer 9 at initialisation; "
        "the loss ended at 0.252 nats: which loss counts as trained is not known."
    )


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
            make_record(0, point=POINT, decades_per_layer=0.3, final_loss=0.2),
            "**trained anyway** (trained although gradients vanish or explode at the start): the gradient at layer 1 is "
            "2.4 decades above layer 9 at initialisation; the loss ended at 0.202 nats (2.3 is guessing): trained.",
        ),
        (
            make_record(0, point={**POINT, "clip": True}, nonfinite_step=41),
            "**diverged**: the gradient is the same at layer 1 and layer 9 at initialisation; "
            "the training became non-finite at step 41 of 100; clipping acted on 100 % of steps.",
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
        (
            make_record(0, failure="program: the study's program fails in line 3 of own.py: ValueError: no"),
            "**failed**: the study's program fails in line 3 of own.py: ValueError: no. No measurement.",
        ),
    ],
)
def test_a_trial_says_in_plain_words_what_happened(record: Record, expected: str) -> None:
    assert note_of(record) == expected


def test_every_kind_of_trial_has_a_note() -> None:
    for record in make_mixed_records(6):
        assert "nan" not in note_of(record)
        assert "inf" not in note_of(record).replace("infer", "")


def rows_of(order: ShippingOrder, count: int, names: MetricNames) -> list[dict[str, Value | None]]:
    """Table rows of a Sobol-like walk through the order's space; every third trial is stable."""
    space, rows = order.declaration.space, []
    for number in range(count):
        units = {name: (0.5 + number * 0.618 * (place + 1)) % 1 for place, name in enumerate(space.names())}
        slope = 0.0 if number % 3 == 0 else 0.5
        record = make_record(number, point=space.point_from_unit(units), decades_per_layer=slope)
        assert record.trajectory is not None
        rows.append(table_row(record, judge(record.trajectory, order.criterion), names))
    return rows


@pytest.mark.parametrize("names", NAMINGS, ids=["readable", "0.1.0"])
@pytest.mark.parametrize("responses", [None, ("R",), ("R_worst",), ("T",)], ids=str)
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("count", [0, 3, 400])
def test_notes_of_a_study_answer_and_fit_into_a_tag(
    name: str, responses: tuple[str, ...] | None, count: int, names: MetricNames
) -> None:
    order = order_of(SPACES[name], study_fields={"criterion": {"responses": responses}})
    rows, known = rows_of(order, count, names), views(order, names, SHAPES)
    note = experiment_note(order, names, "123", "f" * 32, known, rows)
    assert len(note) <= 5000
    assert ("**Answer so far**" in note) == (count > 0)
    for letter in order.criterion.responses_for(1):
        assert RESPONSES[letter].sentence(order.criterion) in note, "the note was cut before its criterion"
        assert f"{names(RESPONSES[letter].name)} is " in note
    nearest = [(row, "a" * 32) for row in boundary_trials(rows, 20)]
    text = parent_note(order, names, "123", known, nearest, True)
    assert len(text) <= 5000
    assert text.count("/runs/") == min(count, 20) or name == "everything", "every trial near the boundary has a link"


def test_a_study_of_a_learning_rate_alone_is_answered_in_learning_rates() -> None:
    space = {"learning_rate": {"type": "log_real", "low": 1e-3, "high": 1.0}}
    order = order_of(space)
    rows = []
    for number, (rate, loss) in enumerate([(0.001, 2.3), (0.01, 0.2), (0.1, 0.2), (1.0, 2.3)]):
        record = make_record(number, point={"learning_rate": rate}, final_loss=loss)
        assert record.trajectory is not None
        rows.append(table_row(record, judge(record.trajectory, Criterion()), MetricNames()))
    note = experiment_note(order, MetricNames(), "1", "f" * 32, [], rows)
    assert "2 of 4 trials are stable" in note
    assert "| stable learning_rate | stable inside | trials |" in note
    assert "| 0.00316 to 0.316 | 2/2 | 4 |" in note
    assert "init_scale" not in note.partition("**Recipe.**")[0].replace("log10_init_scale", "")


def test_a_choice_has_rows_of_its_own() -> None:
    space = {
        "init_scale": {"type": "log_real", "low": 1.0, "high": 4.0}, "clip": {"type": "choice", "choices": [False, True]},
    }  # fmt: skip
    order = order_of(space)
    rows = []
    for number, (scale, clip) in enumerate([(1.0, False), (2.0, False), (1.0, True), (2.0, True)]):
        exploding = scale == 2.0 and not clip
        point: dict[str, Value] = {"init_scale": scale, "clip": clip}
        record = make_record(number, point=point, decades_per_layer=0.5 if exploding else 0.0)
        assert record.trajectory is not None
        rows.append(table_row(record, judge(record.trajectory, Criterion()), MetricNames()))
    note = experiment_note(order, MetricNames(), "1", "f" * 32, [], rows)
    assert "| clip | stable init_scale | stable inside | trials |" in note
    assert "| false | up to 1.41 | 1/1 | 2 |\n| true | everywhere | 2/2 | 2 |" in note


def test_the_answer_is_that_of_the_report_once_there_is_one() -> None:
    words = {"where": "activation tanh, depth 24", "region": "0.98 to 1.5", "safe": "1.01 to 1.4", "theory": "0.9 to 2"}
    words["gradients"] = "everywhere"
    region = {
        "num_trials": 240,
        "answer": ["Safe: it succeeds.", "tanh: safe up to 2.", "relu: safe nowhere."],
        "certificate": "certified: at most 5 % of the space is misclassified.",
        "regions": {"R and T": {"volume_words": "31 % (29 % to 33 %)"}},
        "intervals": [{"axis": "init_scale", "words": words}] * 40,
    }
    order, names = order_of(SPACES["scale and depth"]), MetricNames()
    note = experiment_note(order, names, "1", "f" * 32, views(order, names, SHAPES), [], region, certified=True)
    assert "after 240 trials" in note
    assert "31 % (29 % to 33 %)" in note
    assert ", certified." in note
    assert "\n- tanh: safe up to 2.\n- relu: safe nowhere.\n" in note
    assert "| activation tanh, depth 24&emsp; | 1.01 to 1.4 | 0.98 to 1.5 | everywhere | 0.9 to 2 |" in note
    assert len(note) <= 5000
    assert note.startswith("**Unfold"), "what a folded note shows must say that there is more"
    region["regions"] = {"R": {"volume_words": "31 %"}}
    ratio_alone = experiment_note(order, names, "1", "f" * 32, views(order, names, SHAPES), [], region)
    assert "not certified" in ratio_alone
    region["certificate"] = None
    unasked = experiment_note(order, names, "1", "f" * 32, views(order, names, SHAPES), [], region)
    assert "certified" not in unasked, "the study asked for no certificate"
    assert "| activation tanh, depth 24&emsp; | 1.01 to 1.4 | 0.98 to 1.5 | 0.9 to 2 |" in ratio_alone
    words |= {"theory": "", "where": ""}
    without_theory = experiment_note(order, names, "1", "f" * 32, views(order, names, SHAPES), [], region)
    assert "| safe init_scale&emsp; | stable init_scale&emsp; |\n" in without_theory
    assert "\n| 1.01 to 1.4&emsp; | 0.98 to 1.5 |\n" in without_theory


def test_what_to_set_stands_in_the_note_as_far_as_there_is_room() -> None:
    region = {
        "num_trials": 240,
        "answer": ["Safe: it succeeds.", "tanh: safe up to 2."],
        "recommended": ["Largest safe learning rate: 0.12.", "Clip at 7.85."],
        "certificate": None,
        "regions": {"T": {"volume_words": "31 % (29 % to 33 %)"}},
        "intervals": [],
    }
    order, names = order_of(SPACES["scale and depth"]), MetricNames()

    def note() -> str:
        return experiment_note(order, names, "1", "f" * 32, views(order, names, SHAPES), [], region)

    assert "**What should I set?**\n\n- Largest safe learning rate: 0.12.\n- Clip at 7.85.\n\n**How to read" in note()
    without_it = note().partition("**How to read")[2]
    region["recommended"] = [f"Sentence {number} {'x' * 90}." for number in range(80)]
    assert len(note()) <= 5000
    assert "- Sentence 0 " in note()
    assert "- More in the report.\n\n**How to read" in note()
    assert note().partition("**How to read")[2] == without_it, "what stands behind it is not cut off"
    words = dict.fromkeys(("where", "region", "safe", "gradients", "theory"), "from 0.98 to 1.5, or from 3 to 5")
    region |= {"recommended": ["Clip at 7.85."], "intervals": [{"axis": "init_scale", "words": words}] * 40}
    assert "- Clip at 7.85." in note(), "the table of intervals is shortened for it"
    assert len(note()) <= 5000
    region["recommended"] = []
    assert "What should I set?" not in note()


def test_the_trials_nearest_the_boundary_come_first() -> None:
    margins = [0.5, -0.1, None, 0.05, -3.0]
    rows = [{"trial": number, "margin": margin} for number, margin in enumerate(margins)]
    assert [row["trial"] for row in boundary_trials(rows, 3)] == [3, 1, 0]
