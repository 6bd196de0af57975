"""What a trial of quickstart costs in CPU time, part by part, alone and beside busy processes; and `make demo`."""

from __future__ import annotations

import os

from tests.bench.accounted import QUICKSTART, AccountedRun, accounted_run, busy_processes
from tests.bench.goals import BESIDE_BUSY, BUDGET_AVX2, BUDGET_TRIALS, DEMO_SECONDS
from tests.bench.kernels import kind_of_kernels
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place


def budget(place: Place, sizes: Sizes) -> list[Row]:
    """CPU milliseconds a trial of `gradstab run studies/quickstart`, from outside."""
    runs = [accounted_run(place, QUICKSTART, sizes.budget_trials) for _ in range(sizes.rounds)]
    goals = BUDGET_AVX2 if kind_of_kernels() == "avx2" and sizes.budget_trials >= BUDGET_TRIALS else {}
    note = f"{sizes.budget_trials} trials, start and end included"
    parts = {
        name: tuple(sum(run.milliseconds[part] for part in of) for run in runs)
        for name, of in {
            "workers": ("workers",),
            "shipper": ("shipper",),
            "driver and Ray": ("driver", "Ray", "other"),
            "report": ("report",),
        }.items()
    }
    rows = [Row("budget", name, "ms/trial", values, goal=goals.get(name), note=note) for name, values in parts.items()]
    return [
        *rows,
        Row("budget", "  driver", "ms/trial", tuple(run.milliseconds["driver"] for run in runs)),
        Row("budget", "  Ray's own processes", "ms/trial", tuple(run.milliseconds["Ray"] for run in runs)),
        Row("budget", "all", "ms/trial", tuple(sum(run.milliseconds.values()) for run in runs)),
        Row("budget", "not seen, and in no row", "ms/trial", tuple(run.unseen_ms for run in runs)),
        *_packs("budget", "", runs),
    ]


def busy(place: Place, sizes: Sizes) -> list[Row]:
    """CPU a trial of the workers beside one busy process a core, by that of a quiet run right before."""
    quiet: list[AccountedRun] = []
    beside: list[AccountedRun] = []
    cores = os.cpu_count() or 1
    for _ in range(sizes.rounds):
        quiet.append(accounted_run(place, QUICKSTART, sizes.busy_trials))
        with busy_processes(cores):
            beside.append(accounted_run(place, QUICKSTART, sizes.busy_trials))
    note = f"{sizes.busy_trials} trials of quickstart, {cores} busy processes"
    alone = Row("busy", "workers, quiet", "ms/trial", tuple(run.milliseconds["workers"] for run in quiet), note=note)
    pressed = Row("busy", "workers, busy", "ms/trial", tuple(run.milliseconds["workers"] for run in beside), note=note)
    return [
        alone,
        pressed.to(alone, BESIDE_BUSY),
        *_packs("busy", ", quiet", quiet),
        *_packs("busy", ", busy", beside),
        Row("busy", "first trial to last record, quiet", "s", tuple(run.training_seconds for run in quiet)),
        Row("busy", "first trial to last record, busy", "s", tuple(run.training_seconds for run in beside)),
    ]


def demo(place: Place, sizes: Sizes) -> list[Row]:
    """`make demo` after installation: the whole quickstart study, report included, from process start."""
    runs = [accounted_run(place, QUICKSTART, sizes.demo_trials, with_tables=False) for _ in range(sizes.demo_rounds)]
    whole = sizes.demo_trials is None
    goal = DEMO_SECONDS.get(kind_of_kernels()) if whole and os.cpu_count() == 2 else None
    note = f"{runs[0].trials} trials, in a folder with nothing in it"
    return [
        Row("demo", "make demo", "s", tuple(run.seconds for run in runs), goal=goal, note=note),
        Row("demo", "trials by first trial to last record", "1/s", tuple(r.trials / r.training_seconds for r in runs)),
        *_packs("demo", "", runs),
    ]


def _packs(section: str, name: str, runs: list[AccountedRun]) -> list[Row]:
    return [
        Row(section, f"packs{name}", "", tuple(float(run.packs) for run in runs)),
        Row(section, f"trials a pack{name}", "", tuple(run.pack_size for run in runs)),
    ]
