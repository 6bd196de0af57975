"""Name, tags and params of a trial's run, and its line in the study's table, as pure functions of a judged record.

What it shows follows the study's own axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradstab.display.colours import VERDICT_COLOURS
from gradstab.display.numbers import setting_text
from gradstab.display.verdicts import verdict_text
from gradstab.record.network_settings import is_of_module, network_settings
from gradstab.record.segments import Record
from gradstab.record.shipping_order import ShippingOrder
from gradstab.record.shown_numbers import rounded
from gradstab.stability.judgement import Judgement
from gradstab.study.axes import Value
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import Point, SearchSpace
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.trial_metrics import MetricRow, trial_metrics
from gradstab.tracking.trial_note import trial_note, with_ids
from gradstab.tracking.trial_picture import trial_picture
from gradstab.tracking.verdict_colours import GROUP_TAG, group_name

NOTE_TAG = "mlflow.note.content"
PICTURED_TRIALS = 1000  # those with smaller numbers have a picture of their gradients
_MIN_DIGITS = 4
_MOST_OF_A_TAG = 5000  # characters that every MLflow store takes
_MOST_IN_NAME = 3
_FIRST_IN_NAME = ("depth", "init_scale", "relative_init_scale", "activation")
_PREFIXES = {
    "depth": "L",
    "width": "w",
    "init_scale": "s",
    "relative_init_scale": "rel",
    "bias_scale": "b",
    "learning_rate": "lr",
    "warmup_steps": "warm",
    "batch_size": "batch",
    "momentum": "m",
    "weight_decay": "wd",
    "clip_threshold": "c",
}
_ALWAYS = ("depth", "width", "activation", "init_scale", "bias_scale", "init_distribution", "steps", "clip")
_TRAINING = ("optimizer", "learning_rate", "batch_size")
_IF_SET = ("relative_init_scale", "momentum", "weight_decay", "warmup_steps")


@dataclass(frozen=True)
class RunContent:
    """Everything that a trial's run holds; all its rows carry the time at which the trial finished.

    Attributes:
        tags: all but the note, which needs the ids of its run.
        picture: its gradients by layer as an SVG, None where it has none.
    """

    number: int
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    note: str
    picture: str | None
    metrics: list[MetricRow]
    started_ms: int
    finished_ms: int
    status: str

    def tags_of(self, experiment_id: str, run_id: str) -> dict[str, str]:
        """The tags of its run, the note among them."""
        return {**self.tags, NOTE_TAG: with_ids(self.note, experiment_id, run_id)}


def run_content(record: Record, judgement: Judgement | None, order: ShippingOrder, names: MetricNames) -> RunContent:
    """The run of a record; `judgement` is None for a trial whose machine failed."""
    verdict = "failed" if judgement is None else judgement.verdict
    space = order.declaration.space
    tags = {
        "kind": "trial",
        "study": order.study,
        "study_id": order.study_id,
        "trial": str(record.number),
        **({} if record.retry_of is None else {"retry_of": str(record.retry_of)}),
        "verdict": verdict,
        "device": record.device,
    }
    metrics: list[MetricRow] = []
    picture = None
    if judgement is not None and record.trajectory is not None:
        tags |= {"phase": judgement.phase, "outcome": judgement.outcome}
        if record.trajectory.taps:
            tags["taps"] = ", ".join(record.trajectory.taps)[:_MOST_OF_A_TAG]
        tags["mlflow.runColor"] = VERDICT_COLOURS[judgement.verdict]
        if judgement.flag:
            tags[names("gradient_flag")] = judgement.flag
        if names.comparable:
            tags[GROUP_TAG] = group_name(judgement.verdict)
        if record.number < PICTURED_TRIALS:
            picture = trial_picture(record.trajectory, judgement.verdict, order.criterion.ratio_band)
        rows = trial_metrics(record, record.trajectory, judgement, space, order.detail, comparable=names.comparable)
        metrics = [row._replace(key=names(row.key)) for row in rows]
    if record.failure is not None:
        tags["failure"] = str(record.failure)[:1000]
    return RunContent(
        number=record.number,
        name=run_name(record.number, record.point, space, verdict, order.budget),
        params=run_params(record),
        tags=tags,
        note=trial_note(record, judgement, order, has_picture=picture is not None),
        picture=picture,
        metrics=metrics,
        started_ms=record.started_ms,
        finished_ms=record.finished_ms,
        status="FINISHED" if record.failure is None else "FAILED",
    )


def run_name(number: int, point: Point, space: SearchSpace, verdict: str, budget: int) -> str:
    """Such as "stable 0042 tanh L32 s1.25": up to three axes, for the list shows about 18 characters of a name."""
    digits = max(_MIN_DIGITS, len(str(budget - 1)))
    axes = [name for name in _FIRST_IN_NAME if name in space.names()]
    axes += [name for name in space.names() if name not in axes]
    parts = [_short(name, point[name]) for name in axes[:_MOST_IN_NAME] if name in point]
    return " ".join([verdict_text(verdict), f"{number:0{digits}d}", *parts])


def _short(name: str, value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    prefix = _PREFIXES.get(name) or "".join(word[0] for word in name.split("_"))
    return f"{prefix}{value:.3g}" if isinstance(value, float) else f"{prefix}{value}"


def run_params(record: Record) -> dict[str, str]:
    """The point, the recipe's fields that have an effect on this trial, and the seed; numbers rounded to 4 digits."""
    recipe = record.recipe
    network = network_settings(recipe) if is_of_module(recipe) else {}
    always = ("steps", "clip") if is_of_module(recipe) else _ALWAYS
    names = [*always, *(name for name in _IF_SET if recipe.get(name))]
    if recipe.get("steps"):
        names += [*_TRAINING, *(("clip_mode", "clip_threshold") if recipe.get("clip") else ())]
        names += [] if recipe.get("schedule", "constant") == "constant" else ["schedule"]
    values = network | {name: recipe[name] for name in names if name in recipe} | dict(record.point)
    return {name: setting_text(value) for name, value in values.items()} | {"seed": str(record.seed)}


def table_row(record: Record, judgement: Judgement | None, names: MetricNames) -> dict[str, Value | None]:
    """The trial's line in the study's table; None where there is no finite number."""
    row: dict[str, Value | None] = {
        "trial": record.number,
        "verdict": "failed" if judgement is None else judgement.verdict,
        **record.point,
        "init_scale": network_settings(record.recipe).get(
            "init_scale"
        ),  # the absolute one, where the study gives relative ones
    }
    if judgement is not None:
        row |= {
            "phase": judgement.phase,
            "outcome": judgement.outcome,
            "margin": _finite(judgement.margin),
            **{names(RESPONSES[letter].name): _finite(value) for letter, value in judgement.responses.items()},
            names("gradient_rate"): _finite(judgement.rate),
            "tail_loss": _finite(judgement.tail_loss),
            names("gradient_flag"): judgement.flag,
        }
    return row | {
        **({} if record.retry_of is None else {"retry_of": record.retry_of}),
        "seed": str(record.seed),  # 64 bits: a browser would round the number
        "device": record.device,
        "attempts": record.attempts,
        "failure": None if record.failure is None else str(record.failure),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value)
