"""The note of a trial in MLflow, as pure functions: what happened in plain words, and how to read its arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradstab.record.failure import FailureKind
from gradstab.record.segments import Record
from gradstab.record.shipping_order import ShippingOrder
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement
from gradstab.study.criterion import MEANING_OF_VERDICT
from gradstab.study.responses.library.training_response import nonfinite_step

MAPS_TAG = "heat_maps"  # "true" on a run that holds heat maps


def trial_note(record: Record, judgement: Judgement | None, order: ShippingOrder) -> str:
    """The note of a trial's run, Markdown: a paragraph on what happened, then where its arrays are."""
    if judgement is None or record.trajectory is None:
        if record.failure is not None and record.failure.kind is FailureKind.PROGRAM:
            return f"**failed**: {record.failure.detail}. No measurement."
        return f"**failed**: the machine failed, not the training: {record.failure}. No measurement."
    happened = "; ".join(_events(record, record.trajectory, judgement))
    meaning = f" ({MEANING_OF_VERDICT[judgement.verdict]})" if judgement.verdict == "trained_off_phase" else ""
    return f"**{judgement.verdict}**{meaning}: {happened}.\n\n{where_arrays_are(order.study, record.number)}"


def where_arrays_are(study: str, number: int, run_id: str | None = None) -> str:
    """How to read a trial's arrays; give `run_id` once its heat maps and arrays are on its run."""
    if run_id is None:
        return (
            f"Heat maps of this trial: `gradstab ui {study} --trial {number}` puts them here. Its arrays:\n\n"
            "```python\n"
            "from gradstab import load_results\n"
            f'load_results("{study}").trajectory({number})["log10_delta_norm"]  # (probe times, layers)\n'
            "```"
        )
    return (
        "Heat maps over layers and steps: under Artifacts in `images/`. Every array:\n\n"
        "```python\n"
        "import mlflow, numpy\n"
        f'arrays = numpy.load(mlflow.artifacts.download_artifacts("runs:/{run_id}/arrays/trial-{number:06d}.npz"))\n'
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
