"""The note of a trial in MLflow, as pure functions: what happened in plain words, its gradients, and its arrays.

Only the beginning of a note is seen until it is unfolded: one sentence, and of the picture its strip of all layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import numpy as np

from gradstab.display.verdicts import verdict_text
from gradstab.record.failure import FailureKind
from gradstab.record.segments import Record
from gradstab.record.shipping_order import ShippingOrder
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement
from gradstab.study.criterion import MEANING_OF_VERDICT
from gradstab.study.responses.library.training_response import nonfinite_step
from gradstab.tracking.links import VIEW
from gradstab.tracking.pictures import image_path
from gradstab.tracking.trial_picture import FILE_NAME

MAPS_TAG = "heat_maps"  # "true" on a run that holds heat maps
EXPERIMENT, RUN = "{experiment}", "{run}"  # stand for ids that MLflow gives later
_BREAK, _HEAT_MAPS = "\n\n", "Heat maps"  # with which the last part of a note begins
_MOST_OF_TAPS = 1500  # characters: a note holds 5000


def trial_note(record: Record, judgement: Judgement | None, order: ShippingOrder, *, has_picture: bool = False) -> str:
    """The note of a trial's run, Markdown: what happened, the picture of its gradients, and where its arrays are.

    Args:
        has_picture: whether the run holds the picture; the note then has ids to be filled in, by `with_ids`.
    """
    if judgement is None or record.trajectory is None:
        if record.failure is not None and record.failure.kind is FailureKind.PROGRAM:
            return f"**failed**: {record.failure.detail}. No measurement."
        return f"**failed**: the machine failed, not the training: {record.failure}. No measurement."
    happened = "; ".join(_events(record, record.trajectory, judgement))
    meaning = f" ({MEANING_OF_VERDICT[judgement.verdict]})" if judgement.verdict == "trained_off_phase" else ""
    parts = [f"**{verdict_text(judgement.verdict)}**{meaning}: {happened}."]
    if has_picture:
        parts.append(f"![every layer's gradient]({_artifact(RUN, FILE_NAME)})")
        parts.append(
            f"[This picture alone](#/experiments/{EXPERIMENT}/runs/{RUN}/artifacts/{FILE_NAME}?{VIEW}) · "
            f"[curves over depth and steps](#/experiments/{EXPERIMENT}/runs/{RUN}/model-metrics?{VIEW})"
        )
    if record.trajectory.taps:
        parts.append(_tap_names(record.trajectory.taps))
    return "\n\n".join([*parts, _where_arrays_are(order.study, record.number)])


def with_ids(note: str, experiment_id: str, run_id: str) -> str:
    """A note with the ids of its run."""
    return note.replace(EXPERIMENT, experiment_id).replace(RUN, run_id)


def with_heat_maps(note: str, number: int, run_id: str, maps: Sequence[str]) -> str:
    """A trial's note once its arrays and heat maps, the images `heat_map/<name>`, are on its run."""
    pictures = " ".join(f"![{name}]({_artifact(run_id, image_path(f'heat_map/{name}', name))})" for name in maps)
    return (
        f"{note.partition(_BREAK + _HEAT_MAPS)[0]}\n\n"
        f"{_HEAT_MAPS} over layers and steps (also under Artifacts, in `images/`):\n\n{pictures}\n\nEvery array:\n\n"
        "```python\n"
        "import mlflow, numpy\n"
        f'arrays = numpy.load(mlflow.artifacts.download_artifacts("runs:/{run_id}/arrays/trial-{number:06d}.npz"))\n'
        "```"
    )


def _artifact(run_id: str, path: str) -> str:
    """An artifact as a picture in a note. As a link it would be downloaded, not opened."""
    return f"get-artifact?run_uuid={run_id}&path={quote(path, safe='/')}"


def _tap_names(taps: Sequence[str]) -> str:
    text = "Taps, from the input: " + ", ".join(f"`{name}`" for name in taps)
    return text if len(text) <= _MOST_OF_TAPS else text[:_MOST_OF_TAPS].rpartition(", ")[0] + ", ..."


def _where_arrays_are(study: str, number: int) -> str:
    """How to see and read what is not on the trial's run."""
    return (
        f"{_HEAT_MAPS} of this trial: `gradstab ui {study} --trial {number}` puts them here. Its arrays:\n\n"
        "```python\n"
        "from gradstab import load_results\n"
        f'load_results("{study}").trajectory({number})["log10_delta_norm"]  # (probe times, layers)\n'
        "```"
    )


def _events(record: Record, trajectory: Trajectory, judgement: Judgement) -> Iterator[str]:
    yield gradients_told(trajectory, judgement)
    if trajectory.steps:
        yield training_told(trajectory, judgement)
    if record.recipe.get("clip"):
        factor_S = trajectory["clip_factor"][np.isfinite(trajectory["clip_factor"])]
        if len(factor_S):
            yield f"clipping acted on {100 * float((factor_S < 1).mean()):.0f} % of steps"
    dead = _at_end(trajectory, "dead_fraction")
    if dead is not None and dead >= 0.5:
        yield f"{100 * dead:.0f} % of the units of one layer are dead at the end"
    saturated = _at_end(trajectory, "saturated_fraction")
    if saturated is not None and saturated >= 0.5:
        yield f"up to {100 * saturated:.0f} % of a layer is saturated at the end"


def gradients_told(trajectory: Trajectory, judgement: Judgement, when: str = "at initialisation") -> str:
    """How the gradient changes over depth."""
    ratio, depth = judgement.gradient_ratio, trajectory.depth
    first, last = _ends(trajectory)
    if depth == 1:
        return f"one {'tap' if trajectory.taps else 'hidden layer'}, so there is no gradient ratio"
    if judgement.flag == "underflow":
        return f"the gradient underflows to zero on its way to {first} {when}"
    if judgement.flag == "overflow":
        return f"the gradient overflows on its way to {first} {when}"
    if abs(ratio) < 0.05:
        return f"the gradient is the same at {first} and {last} {when}"
    side = "above" if ratio > 0 else "below"
    return f"the gradient at {first} is {abs(ratio):.1f} decades {side} {last} {when}"


def _ends(trajectory: Trajectory) -> tuple[str, str]:
    """What the first and the last layer are called."""
    if trajectory.taps:
        return f"`{trajectory.taps[0]}`", f"`{trajectory.taps[-1]}`"
    return "layer 1", f"layer {trajectory.depth}"


def training_told(trajectory: Trajectory, judgement: Judgement) -> str:
    """How the loss ended."""
    step = nonfinite_step(trajectory)
    if step is not None:
        return f"the training became non-finite at step {step} of {trajectory.steps}"
    tail, chance = judgement.tail_loss, trajectory.reference_loss
    loss = "the loss" if tail is None else f"the loss ended at {tail:.3g}{_guessing(chance, trajectory)}"
    meaning = {
        "trained": "trained",
        "partial": "learned, but not to the target",
        "untrained": "learned nothing",
        "diverged": "ended more than ten times too high",
        "not_run": "which loss counts as trained is not known",
    }
    return f"{loss}: {meaning[judgement.outcome]}"


def _guessing(chance: float, trajectory: Trajectory) -> str:
    unit = "" if trajectory.taps else " nats"  # a module's loss may have any unit
    return unit if math.isnan(chance) else f"{unit} ({chance:.3g} is guessing)"


def _at_end(trajectory: Trajectory, name: str) -> float | None:
    """The largest value of any layer at the last probe that measured something."""
    for row_L in trajectory[name][::-1]:
        finite_L = row_L[np.isfinite(row_L)]
        if len(finite_L):
            value = float(finite_L.max())
            return value if math.isfinite(value) else None
    return None
