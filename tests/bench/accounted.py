"""`gradstab run` as users start it, report and all, with the CPU time of every part and the packs that it made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gradstab.record.segments import Record, read_segment, segment_paths
from tests.bench.children import ROOT, run_child
from tests.bench.process_tree import TreeWatch
from tests.bench.whole_line import Place

QUICKSTART = ROOT / "studies" / "quickstart.py"


@dataclass(frozen=True)
class AccountedRun:
    """One `gradstab run` that ended well.

    Attributes:
        milliseconds: CPU time a trial by part (process_tree.PARTS), start and end included.
        unseen_ms: CPU time a trial that no look at the processes saw (Ray's workers left out).
        seconds: wall clock of the process.
        training_seconds: wall clock from the start of the first pack to the last record.
    """

    trials: int
    packs: int
    milliseconds: dict[str, float]
    unseen_ms: float
    seconds: float
    training_seconds: float

    @property
    def pack_size(self) -> float:
        """Trials in a pack, on the mean."""
        return self.trials / self.packs


def accounted_run(
    place: Place,
    study: Path,
    trials: int | None = None,
    overrides: Sequence[str] = (),
    *,
    with_tables: bool = True,
) -> AccountedRun:
    """Run a study file in a fresh results folder.

    Args:
        trials: in place of the study's own number.
        overrides: for `--set`.
        with_tables: whether MLflow's database is there and has its tables, which take seconds to make, once.
    """
    folder = place.new()[0] if with_tables else place.new_folder()
    watch = TreeWatch()
    arguments = ["gradstab", "run", str(study), "--results", str(folder)]
    arguments += [] if trials is None else ["--trials", str(trials)]
    arguments += [part for override in overrides for part in ("--set", override)]
    finished = run_child(arguments, folder, place.caches, watch=watch)
    (results,) = {path.parent for path in folder.glob("*/segment-*")}
    records = [record for path in segment_paths(results) for record in read_segment(path)]
    assert trials is None or len(records) == trials
    assert all(record.failure is None for record in records)
    count = len(records)
    return AccountedRun(
        trials=count,
        packs=num_packs(records),
        milliseconds={part: 1000 * spent / count for part, spent in watch.seconds().items()},
        unseen_ms=1000 * watch.unseen(finished.cpu_seconds) / count,
        seconds=finished.seconds,
        training_seconds=(max(r.finished_ms for r in records) - min(r.started_ms for r in records)) / 1000,
    )


def num_packs(records: Sequence[Record]) -> int:
    """How many packs these trials were trained in: those of one pack have one slot and one start."""
    return len({(record.device, record.started_ms) for record in records})


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """`count` processes that each keep a core busy, as a neighbour would."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
