"""One study driven with instant work, a process of its own: what the driver itself costs a trial.

Written to FILE: CPU seconds of the parts and of the whole, resident bytes, seconds to open and finish the study again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.segments import write_segment
from gradstab.record.trajectory import Trajectory
from gradstab.session import drive as session
from gradstab.session import parts
from gradstab.study.settings import Setting, Settings
from gradstab.study.study import Study
from gradstab.system.storage_url import parse_storage, parse_tracking
from tests.bench.studies import STUDY_T, changed
from tests.fakes_work import PlantedWork

CPU: Counter[str] = Counter()  # nanoseconds by part
OPENED = ("close", "state", "proposal")  # calls of a searcher that belong to opening a study


@dataclass(frozen=True)
class TimedWork:
    """Planted results; the CPU time that it takes to make them is kept apart from the driver's."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        trajectories: list[Trajectory] = _timed("work", PlantedWork().run)(trials, slot)
        return trajectories


class TimedSearcher:
    """A searcher whose calls are timed, each by its name."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return _timed("open" if name in OPENED else name, found) if callable(found) else found


class TimedContext:
    """A context manager whose beginning and end are timed, and what is done inside it is not."""

    def __init__(self, part: str, inner: AbstractContextManager[Any]) -> None:
        self._part, self._inner = part, inner

    def __enter__(self) -> Any:
        return _timed(self._part, self._inner.__enter__)()

    def __exit__(self, *error: Any) -> Any:
        return _timed(self._part, self._inner.__exit__)(*error)


def _timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any, **keywords: Any) -> Any:
        begin = time.process_time_ns()
        try:
            found = call(*arguments, **keywords)
            return TimedContext(part, found) if isinstance(found, AbstractContextManager) else found
        finally:
            CPU[part] += time.process_time_ns() - begin

    return timed


def settings_in(root: Path, uri: str) -> Settings:
    """The default storage and an MLflow database, below `root`."""
    return Settings(
        results=Setting(root, "bench"),
        tracking=Setting(parse_tracking(uri), "bench"),
        storage=Setting(parse_storage(f"journal:{root / STUDY_T.name / 'optuna.journal'}"), "bench"),
        ray_address=Setting(None, "bench"),
        mlflow_env={},
    )


def driven(study: Study, settings: Settings) -> tuple[float, float]:
    """Bring the study to its budget; (CPU seconds of this process, wall seconds until the loop runs)."""
    cpu, wall = time.process_time(), time.monotonic()
    looped: list[float] = []
    listener = parts.Listener(progress=lambda _: looped.append(time.monotonic()))
    session.drive(study, settings, source=None, engine="serial", listener=listener, work=TimedWork())
    return time.process_time() - cpu, looped[0] - wall


def main() -> None:
    """Drive a few trials (imports, first calls), then to the budget, each followed by a run with one trial to do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    settings = settings_in(Path.cwd(), asked.uri)
    first = min(50, asked.trials // 2)
    study = STUDY_T.model_copy(update={"tracking": STUDY_T.tracking.model_copy(update={"child_runs": 0})})
    open_searcher = parts.open_searcher
    with (
        mock.patch.object(session, "open_searcher", lambda *given: TimedSearcher(open_searcher(*given))),
        mock.patch("gradstab.loop.runner.write_segment", _timed("record", write_segment)),
    ):
        driven(changed(study, trials=first), settings)
        idle_cpu, _ = driven(changed(study, trials=first + 1), settings)  # opening, starting and ending the shipper
        CPU.clear()
        before = psutil.Process().memory_info().rss
        cpu, _ = driven(changed(study, trials=asked.trials), settings)
        after = psutil.Process().memory_info().rss
        spent_by_part = dict(CPU)
        _, resumed = driven(changed(study, trials=asked.trials + 1), settings)
    new = asked.trials - first - 1
    result = {
        "new": new,
        "cpu": cpu - idle_cpu,
        "parts": spent_by_part,
        "bytes": (after - before) / new,
        "resumed": resumed,
    }
    asked.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
