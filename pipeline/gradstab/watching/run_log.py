"""What a watch puts into its MLflow run, and when."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradstab.display.colours import VERDICT_COLOURS
from gradstab.errors import UsageError
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from gradstab.tracking.mlflow_store import MlflowStore
from gradstab.tracking.trial_metrics import first_reading_rows, last_reading_rows, reading_rows
from gradstab.tracking.trial_note import MAPS_TAG
from gradstab.tracking.watched_run import Destination, WatchedRun
from gradstab.watching.readings import Readings
from gradstab.watching.words import ARRAYS, note

_MAPS_EVERY_S = 300.0  # drawing and storing heat maps takes a tenth of a second
_MOST_OF_A_TAG = 5000  # characters that every MLflow store takes
_OPEN: set[tuple[str, str]] = set()  # URI and run of the user's own runs into which a watch writes now


class RunLog:
    """The readings of one watch in MLflow.

    Args:
        to: where they go.
        title: what heat maps are of.
        settings: how was read, by name; shown in the note and as tags.

    Raises:
        UsageError: another open watch writes into the same run.
    """

    def __init__(self, to: Destination, title: str, taps: Sequence[str], settings: Mapping[str, str]) -> None:
        self._key = None if to.run_id is None else (to.uri, to.run_id)
        if self._key in _OPEN:
            raise UsageError(
                "watch: two watches must not write into one MLflow run, but another one writes into the active run: "
                'give this one a run of its own, as run="encoder"'
            )
        if self._key is not None:
            _OPEN.add(self._key)
        tags = {f"watch.{name}": value for name, value in settings.items()}
        self._run = WatchedRun(to, {"kind": "watch", "taps": ", ".join(taps)[:_MOST_OF_A_TAG], **tags})
        self._title, self._settings = title, ", ".join(f"{name} {value}" for name, value in settings.items())
        self._drawn = time.monotonic()

    @property
    def run_id(self) -> str | None:
        """Id of the run, once it is open."""
        return self._run.run_id

    def open(self) -> str | None:
        """Open the run; a sentence where that did not work."""
        return self._run.open()

    def problem(self) -> str | None:
        """What went wrong since the last call."""
        return self._run.problem()

    def add(self, readings: Readings) -> None:
        """Send the last reading; the first one with its profile."""
        last = readings.readings[-1]
        ratio = gradient_ratio(last.layers["log10_delta_norm"])[0] if last.layers else float("nan")
        self._run.send(reading_rows(last.step, last.loss, last.grad_norm, last.accuracy, ratio))
        if len(readings.readings) == 1:
            trajectory = readings.trajectory()
            self._run.send(first_reading_rows(trajectory, readings.judgement(trajectory)))
        if time.monotonic() - self._drawn > _MAPS_EVERY_S:
            self._draw(readings.trajectory())

    def close(self, judged: tuple[Trajectory, Judgement] | None, notes: list[str], status: str) -> str | None:
        """Send what the whole says, end the run if it is our own; a sentence where something was not logged."""
        if judged is not None:
            trajectory, judgement = judged
            self._run.send(last_reading_rows(trajectory, judgement))
            self._draw(trajectory)
            tags: dict[str, str] = {
                "verdict": judgement.verdict,
                "phase": judgement.phase,
                "outcome": judgement.outcome,
            }
            if self._key is None:
                tags["mlflow.runColor"] = VERDICT_COLOURS[judgement.verdict]
            text = note(trajectory, judgement, self.run_id or "", self._settings, notes)
            self._run.tag({**tags, "mlflow.note.content": text})
        if self._key is not None:
            _OPEN.discard(self._key)
        return self._run.close(status)

    def _draw(self, trajectory: Trajectory) -> None:
        """Put heat maps and arrays on the run, in place of older ones."""
        self._drawn = time.monotonic()

        def put(store: MlflowStore, run_id: str) -> None:
            from gradstab.figures.heat_maps import write_maps_and_arrays

            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_maps_and_arrays(trajectory, folder, self._title, Path(ARRAYS).name)
                for path in sorted(folder.glob("*.png")):
                    store.log_image(run_id, f"heat_map/{path.stem}", path)
                store.log_file(run_id, folder / Path(ARRAYS).name, Path(ARRAYS).parent.name)
            store.tag_run(run_id, {MAPS_TAG: "true"})

        self._run.do(put)
