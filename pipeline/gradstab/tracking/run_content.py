"""What a trial's run shows: name, params, tags and metrics, as pure functions of a record and its judgement.

Never a non-finite value: what was not measured is left out; a log10 that overflowed is capped and counted. The
default keeps a run within 40 keys and 100 rows; every array is whole in the segments. Keys are described in `keys`.
Axes: S optimizer step, P probe time, L hidden layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradstab.display.verdict_colours import VERDICT_COLOURS
from gradstab.record.segments import Record
from gradstab.record.shipping_order import Detail, ShippingOrder
from gradstab.record.trajectory import LAYER_STATISTICS, FloatArray, Trajectory
from gradstab.responses.library.gradient_ratio import gradient_ratios
from gradstab.stability.judgement import Judgement
from gradstab.study.space import Value
from gradstab.tracking.trial_note import trial_note

MAX_TIMES = 6
MAX_LAYERS = 11
LOG10_CAPS = (-50.0, 40.0)  # beyond float32's range on both sides; where an exact zero or an overflow is drawn
_MIN_DIGITS = 4
_ALWAYS = ("depth", "width", "activation", "init_scale", "bias_scale", "init_distribution", "steps", "clip")
_TRAINING = ("optimizer", "learning_rate", "batch_size")
_IF_SET = ("relative_init_scale", "momentum", "weight_decay")
_IN_TABLE = ("depth", "init_scale", "activation", "bias_scale", "clip")
_LOG10_AXES = ("init_scale", "depth")


class MetricRow(NamedTuple):
    """One value of one metric; `step` is an optimizer step, or a layer 1..L in a depth profile."""

    key: str
    value: float
    step: int


@dataclass(frozen=True)
class RunContent:
    """Everything a trial's run holds; its rows all carry the time at which the trial finished."""

    number: int
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[MetricRow]
    started_ms: int
    finished_ms: int
    status: str


def run_content(record: Record, judgement: Judgement | None, job: ShippingOrder) -> RunContent:
    """The run of a record; `judgement` is None for a trial that the machine failed."""
    verdict = "failed" if judgement is None else judgement.verdict
    tags = {
        "kind": "trial",
        "study": job.study,
        "study_id": job.study_id,
        "trial": str(record.number),
        **({} if record.retry_of is None else {"retry_of": str(record.retry_of)}),
        "verdict": verdict,
        "device": record.device,
        "mlflow.note.content": trial_note(record, judgement, job),
    }
    metrics: list[MetricRow] = []
    if judgement is not None and record.trajectory is not None:
        tags |= {"phase": judgement.phase, "outcome": judgement.outcome}
        tags["mlflow.runColor"] = VERDICT_COLOURS[judgement.verdict]
        if judgement.flag:
            tags["flag"] = judgement.flag
        axes = job.resolved.get("space", {})
        metrics = list(_metrics(record, record.trajectory, judgement, job.detail, axes))
    if record.failure is not None:
        tags["failure"] = str(record.failure)[:1000]
    return RunContent(
        number=record.number,
        name=run_name(record, verdict, job.budget),
        params=run_params(record),
        tags=tags,
        metrics=metrics,
        started_ms=record.started_ms,
        finished_ms=record.finished_ms,
        status="FINISHED" if record.failure is None else "FAILED",
    )


def run_name(record: Record, verdict: str, budget: int) -> str:
    """Such as "0042 L32 s1.25 tanh stable": what tells trials apart first, for a list shows about 18 characters."""
    digits = max(_MIN_DIGITS, len(str(budget - 1)))
    recipe = record.recipe
    scale = f"s{shown(recipe['init_scale'])}"
    return f"{record.number:0{digits}d} L{recipe['depth']} {scale} {recipe['activation']} {verdict}"


def run_params(record: Record) -> dict[str, str]:
    """The point, the recipe's fields that had a say in this trial, and the seed; numbers rounded to 4 digits."""
    recipe = record.recipe
    names = [*_ALWAYS, *(name for name in _IF_SET if recipe.get(name))]
    if recipe.get("steps"):
        names += [*_TRAINING, *(("clip_mode", "clip_threshold") if recipe.get("clip") else ())]
    values = {name: recipe[name] for name in names if name in recipe} | dict(record.point)
    return {name: shown(value) for name, value in values.items()} | {"seed": str(record.seed)}


def shown(value: Value | None) -> str:
    """A setting as a person reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table_row(record: Record, judgement: Judgement | None) -> dict[str, Value | None]:
    """The trial's line in the study's table; None where there is no finite number."""
    row: dict[str, Value | None] = {
        "trial": record.number,
        "verdict": "failed" if judgement is None else judgement.verdict,
        **{name: record.recipe.get(name) for name in _IN_TABLE},
        **record.point,
        "init_scale": record.recipe.get("init_scale"),  # a relative one is resolved
    }
    if judgement is not None:
        row |= {
            "phase": judgement.phase,
            "outcome": judgement.outcome,
            "margin": _finite(judgement.margin),
            "R": _finite(judgement.gradient_ratio),
            "T": _finite(judgement.training_response),
            "rate": _finite(judgement.rate),
            "tail_loss": _finite(judgement.tail_loss),
            "flag": judgement.flag,
        }
    return row | {
        **({} if record.retry_of is None else {"retry_of": record.retry_of}),
        "seed": str(record.seed),  # 64 bits: a browser would round the number
        "device": record.device,
        "attempts": record.attempts,
        "failure": None if record.failure is None else str(record.failure),
    }


def axis_metric(name: str, axis: Mapping[str, Any]) -> str:
    """The metric that holds a numeric axis: its log10 where the axis is logarithmic, and always for depth."""
    return f"log10_{name}" if axis["type"] in {"log_real", "log_integer"} or name == "depth" else name


def _metrics(
    record: Record, trajectory: Trajectory, judgement: Judgement, detail: Detail, axes: Mapping[str, Any]
) -> Iterator[MetricRow]:
    """Finite rows, key by key: that order is stored 1.3-2.4 times faster."""
    last_step = trajectory.steps
    for key, value in (_summaries(record, trajectory, judgement) | _axes(record, axes)).items():
        if value is not None and math.isfinite(value):
            yield MetricRow(key, _rounded(value), last_step)
    clip = bool(record.recipe.get("clip"))
    yield from _series(trajectory, clip)
    yield from _profiles(trajectory)
    if detail == "full":
        yield from _every_layer(trajectory)


def _summaries(record: Record, trajectory: Trajectory, judgement: Judgement) -> dict[str, float | None]:
    loss_S, norm_S, accuracy_P = trajectory["loss"], trajectory["grad_norm"], trajectory["accuracy"]
    log10_norm_S = _log10(norm_S)
    ratio_P = gradient_ratios(trajectory)
    nonfinite = sum(int((~np.isfinite(values_S)).sum()) for values_S in (loss_S, norm_S))
    summaries: dict[str, float | None] = {
        "R": judgement.gradient_ratio,
        "R_end": _last(ratio_P),
        "rate": judgement.rate,
        "rate_all": judgement.rate_all,
        "rate_r2": judgement.rate_r2,
        "T": judgement.training_response,
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
    if record.recipe.get("clip"):
        factor_S = trajectory["clip_factor"][np.isfinite(trajectory["clip_factor"])]
        if len(factor_S):
            summaries["clip_fraction"] = float((factor_S < 1).mean())
            summaries["mean_clip_factor"] = float(factor_S.mean())
        summaries["log10_clip_threshold"] = _log10_of(record.recipe.get("clip_threshold"))
    return summaries


def _axes(record: Record, axes: Mapping[str, Any]) -> dict[str, float | None]:
    """Where the trial is, as numbers for charts: init scale and depth always, and every numeric axis."""
    place: dict[str, float | None] = {f"log10_{name}": _log10_of(record.recipe.get(name)) for name in _LOG10_AXES}
    for name, axis in axes.items():
        if axis["type"] != "choice":
            key, value = axis_metric(name, axis), record.point.get(name)
            if key.startswith("log10_"):
                place[key] = _log10_of(value)
            elif isinstance(value, int | float):
                place[key] = float(value)
    return place


def _series(trajectory: Trajectory, clip: bool) -> Iterator[MetricRow]:
    """Loss, accuracy, total gradient norm before clipping, clip factor and R at up to MAX_TIMES optimizer steps."""
    step_S = np.arange(trajectory.steps)
    probe_step_P = trajectory.probe_step_P
    yield from _thinned("series/loss", step_S, trajectory["loss"], MAX_TIMES)
    read_P = np.isfinite(trajectory["accuracy"])
    yield from _thinned("series/accuracy", probe_step_P[read_P], trajectory["accuracy"][read_P], MAX_TIMES)
    yield from _thinned("series/log10_grad_norm", step_S, _log10(trajectory["grad_norm"]), MAX_TIMES)
    if clip:
        yield from _thinned("series/clip_factor", step_S, trajectory["clip_factor"], MAX_TIMES)
    yield from _thinned("series/R", probe_step_P, gradient_ratios(trajectory), MAX_TIMES)


def _profiles(trajectory: Trajectory) -> Iterator[MetricRow]:
    """Gradient norm and activation scale over depth, at initialisation and at the end; step is the layer, 1..L."""
    layer = np.array(profile_layers(trajectory.depth))
    log10_scale_PL = 0.5 * trajectory["log10_activation_ms"]
    moments = [("profile_init", 0), ("profile_end", -1)] if trajectory.steps else [("profile_init", 0)]
    for prefix, probe in moments:
        yield from _rows(f"{prefix}/log10_grad_norm", layer, trajectory["log10_delta_norm"][probe][layer - 1])
        yield from _rows(f"{prefix}/log10_activation_scale", layer, log10_scale_PL[probe][layer - 1])


def profile_layers(depth: int) -> list[int]:
    """At most MAX_LAYERS layers of a profile, the first and the last among them.

    The others are those of one grid for all depths (1, 2, 3, 4, 6, 8, 12, ...): a mean over networks of several
    depths then has the same networks at neighbouring layers, and no teeth.
    """
    powers = [2**k for k in range(depth.bit_length())]
    between = [3 * 2**k for k in range(depth.bit_length()) if 3 * 2**k < depth]
    kept = {*powers, depth}
    for layer in reversed(between):
        if len(kept) < MAX_LAYERS:
            kept.add(layer)
    return sorted(kept)


def _every_layer(trajectory: Trajectory) -> Iterator[MetricRow]:
    digits = max(3, len(str(trajectory.depth)))
    for name in LAYER_STATISTICS:
        values_PL = trajectory[name]
        for layer in range(trajectory.depth):
            key = f"layer_full/{name}/{layer + 1:0{digits}d}"
            yield from _rows(key, trajectory.probe_step_P, values_PL[:, layer])


def _thinned(key: str, step_N: NDArray[np.integer], value_N: FloatArray, most: int) -> Iterator[MetricRow]:
    """At most `most` rows, evenly spaced, the first and the last among them."""
    if len(step_N):
        kept = np.unique(np.linspace(0, len(step_N) - 1, min(most, len(step_N))).round().astype(np.int64))
        yield from _rows(key, step_N[kept], value_N[kept])


def _rows(key: str, steps: Iterable[np.integer], values: Iterable[np.floating]) -> Iterator[MetricRow]:
    for step, value in zip(steps, values, strict=True):
        if math.isfinite(value):
            yield MetricRow(key, _rounded(float(value)), int(step))


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


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else _rounded(value)


def _rounded(value: float) -> float:
    """Six digits: the UI shows all sixteen otherwise."""
    return float(f"{value:.6g}")
