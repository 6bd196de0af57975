"""The judgement against its definitions written out once more, on every kind of trajectory, with NaN and infinities."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import judge, layer_rate, phase_of, verdict_of
from gradstab.study.criterion import VERDICTS, Criterion
from gradstab.study.responses.library.gradient_ratio import clamped_ratios, gradient_ratio, gradient_ratios

NAN, INF = math.nan, math.inf
LN10 = math.log(10)


def trajectory(
    losses: Sequence[float] = (),
    log_norms: Sequence[float] = (0.0, 0.0),
    *,
    grad_norms: Sequence[float] | None = None,
    reference_loss: float = LN10,
    nonfinite_step: int | None = None,
    later_log_norms: Sequence[Sequence[float]] = (),
) -> Trajectory:
    """A trajectory of the given losses and, at the first probe, log10 gradient norms by layer."""
    profiles = [log_norms, *later_log_norms]
    shapes: dict[str, tuple[int, ...]] = {
        "S": (len(losses),), "P": (len(profiles),), "PL": (len(profiles), len(log_norms)),
    }  # fmt: skip
    series: dict[str, Any] = {s.name: np.zeros(shapes[s.axes]) for s in STATISTICS.values()}
    series["loss"] = np.array(losses, dtype=np.float64)
    series["grad_norm"] = np.ones(len(losses)) if grad_norms is None else np.array(grad_norms, dtype=np.float64)
    series["log10_delta_norm"] = np.array(profiles, dtype=np.float64)
    return Trajectory(
        depth=len(log_norms),
        steps=len(losses),
        reference_loss=reference_loss,
        probe_step_P=np.arange(len(profiles), dtype=np.int64),
        series=series,
        nonfinite_step=nonfinite_step,
    )


any_float = st.floats() | st.sampled_from([NAN, INF, -INF, 0.0, 1.0, LN10, LN10 / 2, 1e308, 5e-324])
log_norm = st.floats(-400, 400) | st.sampled_from([NAN, INF, -INF, 0.0, 1.0, -1.0, 37.0, -38.0])


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    steps = draw(st.integers(0, 30))
    numbers = st.lists(any_float, min_size=steps, max_size=steps)
    plausible = st.lists(st.floats(0, 30), min_size=steps, max_size=steps)
    return trajectory(
        draw(numbers | plausible),
        draw(st.lists(log_norm, min_size=1, max_size=9) | st.lists(st.floats(-2, 2), min_size=1, max_size=9)),
        grad_norms=draw(numbers | plausible),
        reference_loss=draw(st.floats(0, 10) | st.sampled_from([0.0, NAN, INF, 5e-324, LN10])),
        nonfinite_step=draw(st.none() | st.integers(0, steps)),
    )


criteria = st.builds(
    Criterion,
    responses=st.sampled_from([None, ("R",), ("T",), ("R", "T"), ("T", "R"), ("R_worst",), ("R", "R", "R_worst")]),
    ratio_band=st.floats(0.001, 36.9) | st.just(1.0),
    target_fraction=st.floats(1e-300, 0.949) | st.just(0.5),
)


@pytest.mark.parametrize(
    ("later", "worst"),
    [
        ([], 0.5),
        ([[0.4, 0.0], [-0.3, 0.0]], 0.5),
        ([[-0.9, 0.0], [0.8, 0.0]], -0.9),
        ([[-0.5, 0.0]], 0.5),
        ([[-INF, 0.0]], -37.0),
        ([[-2.0, 0.0], [NAN, NAN]], 37.0),
    ],
    ids=["initial", "mild", "signed", "earliest of equals", "underflow", "nothing measured after divergence"],
)
def test_the_worst_ratio_is_the_one_farthest_from_zero_along_training(later, worst):
    judged = judge(trajectory([1.0], [0.5, 0.0], later_log_norms=later), Criterion(responses=("R_worst",)))
    assert judged.responses["R_worst"] == pytest.approx(worst)
    assert judged.margin == pytest.approx(1 - abs(worst))


# -------------------------------------------------------------------- totality


@given(trajectory=trajectories(), criterion=criteria)
@example(trajectory=trajectory([0.0], reference_loss=0.0), criterion=Criterion())
@example(trajectory=trajectory([0.5], reference_loss=NAN), criterion=Criterion())
@example(trajectory=trajectory([0.1, 0.1], grad_norms=[INF, 1.0]), criterion=Criterion())
@example(trajectory=trajectory([1e308] * 30), criterion=Criterion())
@example(trajectory=trajectory(), criterion=Criterion(responses=("T",)))
def test_every_trajectory_gets_one_phase_outcome_verdict_and_a_finite_margin(trajectory, criterion):
    judged = judge(trajectory, criterion)
    assert judged.phase in {"vanishing", "stable", "exploding"}
    assert judged.outcome in {"not_run", "diverged", "trained", "partial", "untrained"}
    assert judged.verdict in VERDICTS
    assert (judged.outcome == "not_run") == (trajectory.steps == 0)
    assert -37 <= judged.gradient_ratio <= 37
    assert abs(judged.gradient_ratio) <= abs(judged.responses["R_worst"] or 0.0) <= 37
    assert math.isfinite(judged.margin)
    if trajectory.steps == 0:
        assert judged.training_response is None
        assert judged.tail_loss is None
        assert judged.verdict == judged.phase
    else:
        assert judged.training_response is not None
        assert -3 <= judged.training_response <= 3
    for number in (judged.rate, judged.rate_all, judged.rate_r2, judged.tail_loss):
        assert number is None or math.isfinite(number)


@given(trajectory=trajectories(), criterion=criteria)
@example(trajectory=trajectory([0.1, 0.1], grad_norms=[INF, 1.0]), criterion=Criterion())
@example(trajectory=trajectory([0.0], reference_loss=0.0), criterion=Criterion())
@example(trajectory=trajectory([0.5], reference_loss=NAN), criterion=Criterion())
@example(trajectory=trajectory([-1e-17], reference_loss=0.0), criterion=Criterion())
@example(trajectory=trajectory([LN10 / 2]), criterion=Criterion())
@example(trajectory=trajectory([math.nextafter(LN10 / 2, 0)]), criterion=Criterion())
def test_margin_is_positive_exactly_when_all_responses_are_in_band(trajectory, criterion):
    judged = judge(trajectory, criterion)
    inside = {
        "R": abs(judged.gradient_ratio) < criterion.ratio_band,
        "T": judged.outcome == "trained",
        "R_worst": abs(judged.responses["R_worst"] or 0.0) < criterion.ratio_band,
    }
    assert (judged.margin > 0) == all(inside[name] for name in criterion.responses_for(trajectory.steps))
    # where no loss is known that counts as trained, a criterion without T has the verdict of the gradients
    is_known = trajectory.steps == 0 or not math.isnan(trajectory.reference_loss)
    if is_known and abs(judged.gradient_ratio) != criterion.ratio_band:
        both = Criterion(ratio_band=criterion.ratio_band, target_fraction=criterion.target_fraction)
        assert (judge(trajectory, both).margin > 0) == (judged.verdict == "stable")


@given(trajectory=trajectories(), criterion=criteria)
def test_phase_follows_the_ratio(trajectory, criterion):
    judged = judge(trajectory, criterion)
    expected = {
        judged.gradient_ratio < -criterion.ratio_band: "vanishing",
        judged.gradient_ratio > criterion.ratio_band: "exploding",
    }.get(True, "stable")
    assert judged.phase == expected
    if judged.flag:
        assert judged.phase == {"underflow": "vanishing", "overflow": "exploding"}[judged.flag]


# ---------------------------------------------------------------- gradient ratio


@given(profile=st.lists(st.floats(-18, 18), min_size=1, max_size=20), shift=st.floats(-300, 300))
def test_ratio_compares_the_ends_and_no_common_scale(profile, shift):
    ratio, flag = gradient_ratio(np.array(profile) + shift)
    assert ratio == pytest.approx(profile[0] - profile[-1], abs=1e-9)
    assert flag == ""
    assert gradient_ratio(np.array(profile[:1]) + shift) == (0.0, "")


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ([3.0, 1.5], (1.5, "")),
        ([-30.0, 10.0], (-37.0, "underflow")),
        ([30.0, -10.0], (37.0, "overflow")),
        ([-37.0, 0.0], (-37.0, "")),
        ([-INF, 0.0], (-37.0, "underflow")),
        ([-INF, -INF], (-37.0, "underflow")),
        ([-INF], (-37.0, "underflow")),
        ([0.0, -INF], (37.0, "overflow")),
        ([INF, 0.0], (37.0, "overflow")),
        ([0.0, INF], (37.0, "overflow")),
        ([-INF, INF], (37.0, "overflow")),
        ([0.0, NAN, 0.0], (37.0, "overflow")),
        ([-INF, NAN], (37.0, "overflow")),
        ([NAN], (37.0, "overflow")),
    ],
)
def test_ratio_of_zeros_overflows_and_nan(profile, expected):
    assert gradient_ratio(np.array(profile)) == expected


def test_ratio_at_every_probe_and_nan_where_nothing_was_measured():
    probed = trajectory([1.0], [2.0, 0.0], later_log_norms=[[0.0, 0.5], [NAN, NAN], [NAN, 1.0]])
    assert gradient_ratios(probed) == pytest.approx([2.0, -0.5, NAN, 37.0], nan_ok=True)


_LOG_NORM = st.one_of(st.floats(-90, 90), st.sampled_from([NAN, INF, -INF]))


@given(rows=st.integers(1, 6).flatmap(lambda depth: st.lists(st.lists(_LOG_NORM, min_size=depth, max_size=depth))))
def test_ratios_of_all_rows_at_once_are_those_of_each_row_alone(rows):
    rows_PL = np.array(rows, np.float32).reshape(len(rows), -1 if rows else 1)
    assert clamped_ratios(rows_PL).tolist() == [gradient_ratio(row)[0] for row in rows_PL]


def test_without_a_loss_that_counts_as_trained_the_verdict_is_that_of_the_gradients():
    """Judged by R alone; a divergence is one all the same, and a criterion that asks for T finds nothing trained."""
    unknown = trajectory([2.0] * 30, [1.5, 0.0], reference_loss=NAN)
    by_gradients = judge(unknown, Criterion(responses=("R",), ratio_band=2.0))
    assert (by_gradients.verdict, by_gradients.outcome, by_gradients.training_response) == ("stable", "not_run", None)
    assert judge(unknown, Criterion(responses=("R",))).verdict == "exploding"
    diverging = trajectory([2.0] * 30 + [NAN], [0.0, 0.0], reference_loss=NAN)
    assert judge(diverging, Criterion(responses=("R",))).verdict == "diverged"
    assert judge(unknown, Criterion(ratio_band=2.0)).verdict == "untrainable"


def test_phase_of_a_trial_is_that_of_initialisation():
    assert judge(trajectory([0.1], [0.0, 0.0], later_log_norms=[[5.0, 0.0]]), Criterion()).phase == "stable"


@given(band=st.floats(0.001, 36))
def test_edges_of_the_band_are_stable_and_nothing_beyond(band):
    assert [phase_of(r, band) for r in (-band, band)] == ["stable", "stable"]
    assert phase_of(math.nextafter(band, INF), band) == "exploding"
    assert phase_of(math.nextafter(-band, -INF), band) == "vanishing"
    assert phase_of(NAN, band) == "exploding"


@given(rate=st.floats(-3, 3), start=st.floats(-100, 100), depth=st.integers(4, 60))
def test_rate_of_a_geometric_profile(rate, start, depth):
    log10_norm = start - rate * np.arange(depth) / LN10
    for last_half in (True, False):
        found, r2 = layer_rate(log10_norm, last_half=last_half)
        assert found == pytest.approx(rate, abs=1e-9)
        assert r2 is not None
        assert abs(rate) < 1e-6 or r2 == pytest.approx(1)


def test_rate_reads_the_last_half_of_the_layers():
    log10_norm = np.array([9.0, -3.0, 7.0, 4.0, 3.0, 2.0]) / LN10
    assert layer_rate(log10_norm, last_half=True)[0] == pytest.approx(1.0)
    assert layer_rate(np.array([0.0, *log10_norm]), last_half=True)[0] == pytest.approx(1.6)  # four of seven layers
    slope, r2 = layer_rate(log10_norm, last_half=False)
    assert slope == pytest.approx(-np.polyfit(np.arange(6), log10_norm * LN10, 1)[0])
    assert r2 == pytest.approx(np.corrcoef(np.arange(6), log10_norm)[0, 1] ** 2)


@pytest.mark.parametrize("profile", [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0, NAN], [0.0, 1.0, -INF, 3.0]])
def test_no_rate_below_four_layers_or_without_finite_gradients(profile):
    assert layer_rate(np.array(profile), last_half=False) == (None, None)


# -------------------------------------------------------------- training outcome


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [
        ([], "not_run"),
        ([LN10, 0.49 * LN10], "partial"),  # the mean of the two counts
        ([LN10] + [0.49 * LN10] * 20, "trained"),
        ([LN10] + [0.5 * LN10] * 20, "partial"),
        ([LN10] + [0.9499 * LN10] * 20, "partial"),
        ([LN10] + [0.9501 * LN10] * 20, "untrained"),
        ([LN10] + [9.99 * LN10] * 20, "untrained"),
        ([LN10] + [10.01 * LN10] * 20, "diverged"),
        ([2 * LN10] + [19.9 * LN10] * 20, "untrained"),  # ten times the initial loss where that is higher
        ([0.1] + [10.01 * LN10] * 20, "diverged"),
        ([LN10] * 5 + [0.1] * 20, "trained"),
        ([LN10] * 5 + [0.1] * 10 + [1e4] * 5 + [0.1] * 5, "diverged"),
        ([LN10] + [NAN] + [0.1] * 30, "diverged"),
        ([INF] + [0.1] * 30, "diverged"),
    ],
)
def test_outcomes(losses, outcome):
    assert judge(trajectory(losses), Criterion()).outcome == outcome


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_nonfinite_gradient_or_parameter_at_any_step_is_divergence(bad):
    losses = [LN10] + [0.1] * 30
    grad_norms = [1.0] * 31
    grad_norms[3] = bad
    for diverged in (trajectory(losses, grad_norms=grad_norms), trajectory(losses, nonfinite_step=3)):
        judged = judge(diverged, Criterion())
        assert (judged.outcome, judged.verdict, judged.tail_loss) == ("diverged", "diverged", None)
        assert judged.training_response == pytest.approx(2 + 1 - 3 / 31)
        assert judged.margin == pytest.approx(-(3 - 3 / 31) / 0.3)


@pytest.mark.parametrize(("target", "outcome"), [(0.9, "partial"), (1.1, "trained")])
def test_a_target_that_the_study_gives_replaces_the_fraction_of_the_reference(target, outcome):
    given_one = dataclasses.replace(trajectory([LN10] + [1.0] * 30), target_loss=target)
    judged = judge(given_one, Criterion(target_fraction=0.01))
    assert judged.training_response == pytest.approx(math.log10(1.0 / target))
    assert judged.outcome == outcome


@given(steps=st.integers(1, 200), data=st.data())
def test_training_response_falls_with_the_step_of_divergence(steps, data):
    step = data.draw(st.integers(0, steps))
    judged = judge(trajectory([1.0] * steps, nonfinite_step=step), Criterion())
    assert judged.training_response == pytest.approx(3 - step / steps)


@given(tail=st.floats(0, 1e6), fraction=st.floats(0.01, 0.94), reference=st.floats(0.01, 7))
def test_training_response_is_the_log_of_tail_over_target(tail, fraction, reference):
    judged = judge(trajectory([tail] * 25, reference_loss=reference), Criterion(target_fraction=fraction))
    ratio = tail / (fraction * reference)
    expected = math.log10(ratio) if ratio > 0 else -INF
    assert judged.training_response == pytest.approx(min(2, max(-3, expected)), abs=1e-12)
    assert judged.tail_loss == pytest.approx(tail)


def test_labels_of_one_class_leave_nothing_to_learn():
    judged = judge(trajectory([0.0] * 5, reference_loss=0.0), Criterion())
    assert (judged.outcome, judged.training_response) == ("partial", 2.0)
    assert judged.margin < 0


# ----------------------------------------------------------- verdict and margin


@pytest.mark.parametrize(
    ("phase", "outcome", "verdict"),
    [
        *((phase, "not_run", phase) for phase in ("vanishing", "stable", "exploding")),
        *((phase, "diverged", "diverged") for phase in ("vanishing", "stable", "exploding")),
        *(itertools.chain.from_iterable(
            [(phase, "partial", phase), (phase, "untrained", phase), (phase, "trained", "trained_off_phase")]
            for phase in ("vanishing", "exploding")
        )),
        ("stable", "trained", "stable"),
        ("stable", "partial", "partial"),
        ("stable", "untrained", "untrainable"),
    ],
)  # fmt: skip
def test_verdict_table(phase, outcome, verdict):
    assert verdict_of(phase, outcome) == verdict


@pytest.mark.parametrize(
    ("responses", "ratio", "tail_over_target", "margin"),
    [
        (None, 0.0, 0.1, 1.0),
        (None, 0.4, 0.1, 0.6),
        (None, -0.4, 0.1, 0.6),
        (None, 0.0, 10**-0.06, 0.2),
        (None, 3.0, 0.1, -2.0),
        (None, 3.0, 10.0, -1 / 0.3),
        (("R",), 0.4, 10.0, 0.6),
        (("T",), 30.0, 10**-0.3, 1.0),
    ],
)
def test_margin_is_the_least_distance_in_units(responses, ratio, tail_over_target, margin):
    judged = judge(trajectory([tail_over_target * LN10 / 2] * 20, [ratio, 0.0]), Criterion(responses=responses))
    assert judged.margin == pytest.approx(margin)


@given(ratio=st.floats(-37, 37), band=st.floats(0.01, 36))
def test_margin_of_an_untrained_network_is_that_of_the_ratio(ratio, band):
    judged = judge(trajectory([], [ratio, 0.0]), Criterion(ratio_band=band))
    assert judged.margin == pytest.approx((band - abs(ratio)) / band)


@given(criterion=criteria)
def test_an_untrained_network_is_judged_by_what_needs_no_training(criterion):
    named = criterion.responses or ("R", "T")
    assert criterion.responses_for(0) == (tuple(dict.fromkeys(name for name in named if name != "T")) or ("R",))
    assert set(criterion.responses_for(1)) == set(named)
    assert len(criterion.responses_for(1)) == len(set(criterion.responses_for(1)))


def test_a_response_may_be_named_by_its_letter_or_its_readable_name():
    named = Criterion.model_validate({"responses": ["gradient_ratio", "T", "worst_gradient_ratio"]})
    assert named == Criterion(responses=("R", "T", "R_worst"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio_band": 0.0}, {"ratio_band": NAN}, {"ratio_band": INF}, {"ratio_band": 37.0}, {"ratio_band": 1e-320},
        {"target_fraction": 0.0}, {"target_fraction": 0.95}, {"responses": ()}, {"responses": ("Q",)}, {"band": 1.0},
    ],
)  # fmt: skip
def test_criteria_that_cannot_judge_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        Criterion(**wrong)
