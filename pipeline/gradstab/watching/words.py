"""What a watch says: in a line, and as the note of its MLflow run."""

from __future__ import annotations

import math

from gradstab.display.verdicts import verdict_text
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement
from gradstab.tracking.trial_note import gradients_told, training_told

ARRAYS = "arrays/watch.npz"


def headline(trajectory: Trajectory, judgement: Judgement) -> str:
    """The verdict and why, in a line."""
    happened = [gradients_told(trajectory, judgement, "at the first reading")]
    if judgement.outcome != "not_run":
        happened.append(training_told(trajectory, judgement))
    elif trajectory.steps:
        first, last = float(trajectory["probe_loss"][0]), float(trajectory["probe_loss"][-1])
        happened.append(f"the loss went from {first:.3g} to {last:.3g}")
    return f"{verdict_text(judgement.verdict)}: {'; '.join(happened)}"


def note(trajectory: Trajectory, judgement: Judgement, run_id: str, settings: str, notes: list[str]) -> str:
    """The note of the run, Markdown."""
    verdict, _, happened = headline(trajectory, judgement).partition(": ")
    lines = [
        f"**{verdict}**: {happened}.",
        f"Read by `gradstab.watch` on a side batch ({settings}); `series/...` are its readings, not training batches.",
        *([f"Notes: {'; '.join(notes)}."] if notes else []),
        "Heat maps over layers and steps: under Artifacts in `images/`. Every array:",
        "```python\nimport mlflow, numpy\n"
        f'arrays = numpy.load(mlflow.artifacts.download_artifacts("runs:/{run_id}/{ARRAYS}"))\n```',
    ]
    return "\n\n".join(lines)


def cost(seconds_read: float, seconds: float) -> str:
    """Which share of the loop's time the readings took."""
    share = 100 * seconds_read / seconds if seconds > 0 else math.nan
    return f"readings took {share:.2g} % of the loop's time"
