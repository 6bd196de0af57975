"""The metrics of a trial's run: summaries, series over steps and profiles over layers, from its trajectory.

There is never a non-finite value: what was not measured is left out, and a log10 that overflowed is capped and counted.
By default a run has at most 40 keys and 100 rows; every array is whole in the segments. `keys` describes the keys.
Profiles are read at fractions of the depth, so that means over networks of several depths compare like with like; a
study that an older version began has them at layers.
Axes: S optimizer step, P probe time, L hidden layer, X fraction of the depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradstab.record.network_settings import network_settings
from gradstab.record.segments import Record
from gradstab.record.shipping_order import Detail
from gradstab.record.shown_numbers import SHOWN_DIGITS, rounded
from gradstab.record.statistics.registry import layer_statistics
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.stability.depth_profile import LEAST_DEPTH, at_fractions, relative_gradients
from gradstab.stability.judgement import Judgement
from gradstab.study.axes import AnyAxis, Value
from gradstab.study.responses.library.gradient_ratio import gradient_ratios
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import SearchSpace

MAX_TIMES = 6
MAX_LAYERS = 11
_FINE_PERCENTS, _PERCENTS = np.arange(0, 101, 10), np.arange(0, 101, 20)  # of the depth: R's own profile, the others
LOG10_CAPS = (-50.0, 40.0)  # beyond float32's range on both sides; where an exact zero or an overflow is drawn
_ALWAYS_PLACED = ("init_scale", "depth")


class MetricRow(NamedTuple):
    """One value of one metric; `step` is an optimizer step, or in a depth profile a percentage of the depth."""

    key: str
    value: float
    step: int


def trial_metrics(
    record: Record,
    trajectory: Trajectory,
    judgement: Judgement,
    space: SearchSpace,
    detail: Detail,
    *,
    comparable: bool = True,
) -> Iterator[MetricRow]:
    """Finite rows under readable names, key by key: MLflow stores that order 1.3 to 2.4 times faster.

    Args:
        comparable: see `MetricNames`.
    """
    last_step = trajectory.steps
    summaries = _summaries(trajectory, judgement) | _clipping(record, trajectory) | _places(record, space)
    yield from _numbers(summaries, last_step, SHOWN_DIGITS)
    clip = bool(record.recipe.get("clip"))
    yield from _series(trajectory, clip, comparable)
    moments = [("init", 0), ("end", -1)] if trajectory.steps else [("init", 0)]
    yield from (_profiles if comparable else _profiles_by_layer)(trajectory, moments)
    if detail == "full":
        yield from _every_layer(trajectory)


def first_reading_rows(trajectory: Trajectory, judgement: Judgement) -> Iterator[MetricRow]:
    """What a training that is watched shows at its first reading: R, the rate, and the profile over depth."""
    yield from _numbers(
        {RESPONSES["R"].name: judgement.gradient_ratio, "gradient_rate": judgement.rate}, 0, SHOWN_DIGITS
    )
    yield from _profiles(trajectory, [("init", 0)])


def last_reading_rows(trajectory: Trajectory, judgement: Judgement) -> Iterator[MetricRow]:
    """What a training that was watched shows at its end, beside what its readings sent."""
    summaries = _summaries(trajectory, judgement)
    del summaries["num_nonfinite"]  # which counts steps, and not every step was read
    yield from _numbers(summaries, trajectory.steps, SHOWN_DIGITS)
    if trajectory.steps:
        yield from _profiles(trajectory, [("end", -1)])


def reading_rows(step: int, loss: float, grad_norm: float, accuracy: float, ratio: float) -> Iterator[MetricRow]:
    """One reading of a training that is watched, under the keys of a trial's series."""
    values = {"loss": loss, "accuracy": accuracy, "log10_grad_norm": float(_log10(np.array(grad_norm)))}
    yield from _numbers({f"series/{key}": value for key, value in {**values, "gradient_ratio": ratio}.items()}, step)


def axis_metric(name: str, axis: AnyAxis) -> str:
    """The metric that holds a numeric axis: its log10 where the axis is logarithmic, and always for depth."""
    return f"log10_{name}" if axis.is_log or name == "depth" else name


def _numbers(values: Mapping[str, float | None], step: int, digits: int = 6) -> Iterator[MetricRow]:
    """The values that are there and finite, at one step."""
    for key, value in values.items():
        if value is not None and math.isfinite(value):
            yield MetricRow(key, rounded(value, digits), step)


def _summaries(trajectory: Trajectory, judgement: Judgement) -> dict[str, float | None]:
    loss_S, norm_S, accuracy_P = trajectory["loss"], trajectory["grad_norm"], trajectory["accuracy"]
    log10_norm_S = _log10(norm_S)
    ratio_P = gradient_ratios(trajectory)
    nonfinite = sum(int((~np.isfinite(values_S)).sum()) for values_S in (loss_S, norm_S))
    return {
        **{response.name: judgement.responses[letter] for letter, response in RESPONSES.items()},
        "gradient_ratio_end": _last(ratio_P),
        "gradient_rate": judgement.rate,
        "gradient_rate_all": judgement.rate_all,
        "gradient_rate_r2": judgement.rate_r2,
        "margin": judgement.margin,
        "edge_distance": abs(judgement.margin),
        "stable": float(judgement.verdict == "stable"),
        "tail_loss": judgement.tail_loss,
        "loss_init": _first(trajectory["probe_loss"]),
        "loss_end": _last(trajectory["probe_loss"]),
        "accuracy_init": _first(accuracy_P),
        "accuracy_end": _last(accuracy_P),
        "log10_grad_norm_init": _first(log10_norm_S),
        "log10_grad_norm_end": _last(log10_norm_S),
        "max_dead_fraction": _largest(trajectory["dead_fraction"]),
        "max_saturated_fraction": _largest(trajectory["saturated_fraction"]),
        "num_nonfinite": float(nonfinite),
        "diverged_at_step": None if trajectory.nonfinite_step is None else float(trajectory.nonfinite_step),
    }


def _clipping(record: Record, trajectory: Trajectory) -> dict[str, float | None]:
    """How much clipping acted, where it was on."""
    if not record.recipe.get("clip"):
        return {}
    found: dict[str, float | None] = {}
    factor_S = trajectory["clip_factor"][np.isfinite(trajectory["clip_factor"])]
    if len(factor_S):
        found["clip_fraction"] = float((factor_S < 1).mean())
        found["mean_clip_factor"] = float(factor_S.mean())
    return {**found, "log10_clip_threshold": _log10_of(record.recipe.get("clip_threshold"))}


def _places(record: Record, space: SearchSpace) -> dict[str, float | None]:
    """Where the trial is, as numbers for charts: init scale and depth always, and every numeric axis."""
    network = network_settings(record.recipe)
    places: dict[str, float | None] = {
        f"log10_{name}": _log10_of(network[name]) for name in _ALWAYS_PLACED if name in network
    }
    for name, axis in space.items():
        if not axis.is_choice:
            key, value = axis_metric(name, axis), record.point.get(name)
            if key.startswith("log10_"):
                places[key] = _log10_of(value)
            elif isinstance(value, int | float):
                places[key] = float(value)
    return places


def _series(trajectory: Trajectory, clip: bool, comparable: bool) -> Iterator[MetricRow]:
    """Loss, accuracy, gradient norm before clipping, clip factor and gradient ratio, at up to MAX_TIMES steps."""
    step_S = np.arange(trajectory.steps)
    probe_step_P = trajectory.probe_step_P
    loss_S = trajectory["loss"]
    if comparable and not (loss_S <= 0).any():
        yield from _thinned("series/log10_loss", step_S, _log10(loss_S), MAX_TIMES)
    else:
        yield from _thinned("series/loss", step_S, loss_S, MAX_TIMES)
    read_P = np.isfinite(trajectory["accuracy"])
    yield from _thinned("series/accuracy", probe_step_P[read_P], trajectory["accuracy"][read_P], MAX_TIMES)
    yield from _thinned("series/log10_grad_norm", step_S, _log10(trajectory["grad_norm"]), MAX_TIMES)
    if clip:
        yield from _thinned("series/clip_factor", step_S, trajectory["clip_factor"], MAX_TIMES)
    yield from _thinned("series/gradient_ratio", probe_step_P, gradient_ratios(trajectory), MAX_TIMES)


def _profiles(trajectory: Trajectory, moments: Iterable[tuple[str, int]]) -> Iterator[MetricRow]:
    """Gradient norm and activation scale over depth at each moment, a name and a probe; step is % of the depth."""
    if trajectory.depth < LEAST_DEPTH:
        return
    log10_scale_PL = 0.5 * trajectory["log10_activation_ms"]
    for moment, probe in moments:
        norm_L = trajectory["log10_delta_norm"][probe]
        if math.isfinite(norm_L[-1]):  # or nobody knows what the others are relative to
            percent_X = _FINE_PERCENTS if moment == "init" else _PERCENTS
            gradient_X = at_fractions(relative_gradients(norm_L), percent_X / 100)
            yield from _rows(f"profile/log10_grad_ratio_{moment}", percent_X, gradient_X)
        scale_X = at_fractions(log10_scale_PL[probe], _PERCENTS / 100)
        yield from _rows(f"profile/log10_activation_scale_{moment}", _PERCENTS, scale_X)


def _profiles_by_layer(trajectory: Trajectory, moments: Iterable[tuple[str, int]]) -> Iterator[MetricRow]:
    """The same at layers, as studies have it that an older version began; step is the layer, 1..L."""
    layer = np.array(profile_layers(trajectory.depth))
    log10_scale_PL = 0.5 * trajectory["log10_activation_ms"]
    for moment, probe in moments:
        norm_L = trajectory["log10_delta_norm"][probe]
        yield from _rows(f"profile/log10_grad_ratio_{moment}", layer, norm_L[layer - 1])
        yield from _rows(f"profile/log10_activation_scale_{moment}", layer, log10_scale_PL[probe][layer - 1])


def profile_layers(depth: int) -> list[int]:
    """At most MAX_LAYERS layers of a profile: 1, 2, 3, 4, 6, 8, 12, ... and the last."""
    powers = [2**k for k in range(depth.bit_length())]
    between = [3 * 2**k for k in range(depth.bit_length()) if 3 * 2**k < depth]
    kept = {*powers, depth}
    for layer in reversed(between):
        if len(kept) < MAX_LAYERS:
            kept.add(layer)
    return sorted(kept)


def _every_layer(trajectory: Trajectory) -> Iterator[MetricRow]:
    digits = max(3, len(str(trajectory.depth)))
    for statistic in layer_statistics():
        values_PL = trajectory[statistic.name]
        for layer in range(trajectory.depth):
            key = f"layer_full/{statistic.name}/{layer + 1:0{digits}d}"
            yield from _rows(key, trajectory.probe_step_P, values_PL[:, layer])


def _thinned(key: str, step_N: NDArray[np.integer], value_N: FloatArray, most: int) -> Iterator[MetricRow]:
    """At most `most` rows, evenly spaced, the first and the last among them."""
    if len(step_N):
        kept = np.unique(np.linspace(0, len(step_N) - 1, min(most, len(step_N))).round().astype(np.int64))
        yield from _rows(key, step_N[kept], value_N[kept])


def _rows(key: str, steps: Iterable[np.integer], values: Iterable[np.floating]) -> Iterator[MetricRow]:
    for step, value in zip(steps, values, strict=True):
        if math.isfinite(value):
            yield MetricRow(key, rounded(float(value)), int(step))


def _log10(norm_S: FloatArray) -> FloatArray:
    """log10 of norms, zero and overflow drawn at LOG10_CAPS; NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.log10(norm_S), *LOG10_CAPS)


def _log10_of(value: Value | None) -> float | None:
    return math.log10(value) if isinstance(value, int | float) and value > 0 else None


def _first(values: FloatArray) -> float | None:
    return float(values[0]) if len(values) else None


def _last(values: FloatArray) -> float | None:
    """The last value that was measured: after a divergence, the one before it."""
    measured = values[~np.isnan(values)]
    return float(measured[-1]) if len(measured) else None


def _largest(values_PL: FloatArray) -> float | None:
    finite = values_PL[np.isfinite(values_PL)]
    return float(finite.max()) if finite.size else None
