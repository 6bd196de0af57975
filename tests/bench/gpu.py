"""`python -m tests.bench.gpu`: training on a GPU in at most eight minutes: equal results, memory, speed, waiting.

Where there is no CUDA, everything runs with the CPU in the GPU's place, in small sizes, and the first line says so.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch
from rich.console import Console
from torch.profiler import ProfilerActivity, profile

from gradstab.loop.packing import pack_bytes
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import judge
from gradstab.study.pack_key import padded
from gradstab.study.study import Study
from gradstab.training.work import TrainingWork
from tests.bench.goals import GPU_R_DECADES
from tests.bench.measure import Row
from tests.bench.report import machine, print_table, print_verdicts, write_json
from tests.bench.studies import SECOND, STUDY_T, changed, spread_points, trials_of
from tests.bench.training import counted_gflop, pack_of

LIMIT_S = 400.0  # after which no further size of a pack is tried: the whole takes eight minutes at most
ON_CPU, ON_GPU = Slot("cpu-0"), Slot("cuda-0", "cuda")
SIZES_ON_GPU = {64: (1, 16, 64, 256, 1024), 256: (1, 16, 64, 256)}
SIZES_ON_CPU = {64: (1, 6), 256: (1, 2)}
EQUAL_TRIALS = {"cuda": 48, "cpu": 12}  # by the kind of slot
COUNTED_STEPS = (20, 40)
_SYNCHRONISES = "called a synchronizing CUDA operation"
GIB = 2**30


def main() -> int:
    """The process; sections that fail are said and do not take the others with them."""
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench-gpu.json"), help="where the figures go")
    asked = parser.parse_args()
    slot = ON_GPU if torch.cuda.is_available() else ON_CPU
    if slot is ON_GPU:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    else:
        print(
            "There is no CUDA here: the CPU stands in the GPU's place, and no figure below is one of a GPU.", flush=True
        )
    begin, rows, failed = time.monotonic(), list[Row](), list[str]()
    for section in (equality, memory, waits, speed):
        print(f"{time.monotonic() - begin:5.0f} s  {section.__name__}", file=sys.stderr, flush=True)
        try:
            rows += section(slot, begin + LIMIT_S)
        except Exception as error:  # what the others measured must not be lost
            failed.append(section.__name__)
            print(f"{section.__name__} failed: {type(error).__name__}: {error}", file=sys.stderr)
    console = Console(width=200 if not sys.stdout.isatty() else None)
    print_table(rows, console)
    print_verdicts(rows, console)
    write_json(rows, {**machine(), "device": slot.kind, "failed": failed}, asked.json)
    return 1 if failed else 0


def equality(slot: Slot, deadline: float) -> list[Row]:
    """The same trials on the CPU and on the device: R at step 0, losses at the start, and how trainings end."""
    del deadline
    rows = []
    for study in (changed(STUDY_T, momentum=0.9), SECOND):
        shorter = changed(study, steps=20)
        trials = trials_of(shorter, spread_points(shorter, EQUAL_TRIALS[slot.kind]))
        here, there = (TrainingWork(study.data, study.seed).run(trials, where) for where in (ON_CPU, slot))
        pairs = list(zip(here, there, strict=True))
        ratios = [abs(_gradient_ratio(study, a) - _gradient_ratio(study, b)) for a, b in pairs]
        verdicts = [judge(a, study.criterion).verdict == judge(b, study.criterion).verdict for a, b in pairs]
        note = f"{EQUAL_TRIALS[slot.kind]} trials, 20 steps"
        rows += [
            Row(
                "equality",
                f"{study.name}: R at step 0, largest difference",
                "decades",
                (max(ratios),),
                goal=GPU_R_DECADES,
                note=note,
            ),
            *(
                Row("equality", f"{study.name}: loss {what}, largest relative difference", "", (_most(pairs, step),))
                for what, step in (("at step 0", 0), ("after 20 steps", -1))
            ),
            Row("equality", f"{study.name}: trials with the same verdict", "%", (100 * sum(verdicts) / len(verdicts),)),
        ]
    return rows


def memory(slot: Slot, deadline: float) -> list[Row]:
    """What a slot of a run may take, and what a pack takes against what the program expects."""
    del deadline
    from gradstab.execution.ray_executor import RayExecutor

    work = TrainingWork(STUDY_T.data, STUDY_T.seed)
    executor = RayExecutor(work, 1, device="gpu" if slot is ON_GPU else "cpu")
    try:
        (found,) = executor.slots
        assert found.memory is not None
        slot_gib = found.memory / GIB
    finally:
        executor.close()
    rows = [
        Row("memory", "a pack may take", "GiB", (slot_gib,), note=f"slot {found.name}"),
        Row("memory", "free on the device", "GiB", (work.free_bytes(slot) / GIB,)),
        Row("memory", "free on the driver's machine", "GiB", (psutil.virtual_memory().available / GIB,)),
    ]
    if slot is ON_GPU:
        study, pack = pack_of(256, 64)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        TrainingWork(study.data, study.seed).run(pack, slot)
        taken = torch.cuda.max_memory_allocated() - before
        expected = pack_bytes([trial.recipe for trial in pack], study.data.shape())
        rows.append(
            Row("memory", "taken by a pack, by what is expected", "", (taken / expected,), note="64 of width 256")
        )
    return rows


def waits(slot: Slot, deadline: float) -> list[Row]:
    """How often a step makes the CPU wait for the device: from trainings of two lengths, with and without probes."""
    del deadline
    counted = (
        "synchronising CUDA operations" if slot is ON_GPU else "numbers read from tensors, which would wait on a GPU"
    )
    rows = []
    for name, probe_every in (("a step without probe", 10**6), ("a step, probes on every 10th", 10)):
        counts = []
        for steps in COUNTED_STEPS:
            study, _ = pack_of(64, 1)
            chosen = changed(study, steps=steps, probe_every=min(probe_every, steps), accuracy_every=steps)
            trials = trials_of(chosen, [{**point, "activation": "tanh"} for point in spread_points(chosen, 6)])
            counts.append(_waits_of(chosen, trials, slot))
        a_step = (counts[1] - counts[0]) / (COUNTED_STEPS[1] - COUNTED_STEPS[0])
        rows.append(Row("waits", name, "", (a_step,), note=f"one stack of 6; {counted}"))
    return rows


def speed(slot: Slot, deadline: float) -> list[Row]:
    """Trials a second by pack size, and the share of the rate that the three products of a layer reach alone."""
    rows = []
    for width, counts in (SIZES_ON_GPU if slot is ON_GPU else SIZES_ON_CPU).items():
        for count in counts:
            if time.monotonic() > deadline:
                print(f"no time is left for packs of {count} and more at width {width}", file=sys.stderr)
                break
            study, pack = pack_of(width, count)
            seconds = tuple(_seconds(study, pack, slot) for _ in range(2 if slot is ON_GPU else 1))
            gflop = counted_gflop(study, pack, slot)
            peak = _products_rate(count, study.recipe.batch_size, width, torch.device(slot.kind))
            name = f"width {width}, packs of {count}"
            products = Row("products", f"{name}: alone", "GFLOP/s", (peak,) * len(seconds))
            rate = tuple(count / taken for taken in seconds)
            rows += [
                Row("speed", name, "trials/s", rate, note=f"{study.recipe.steps} steps, wall clock"),
                products,
                Row("products", f"{name}: in training", "GFLOP/s", tuple(gflop / taken for taken in seconds)).to(
                    products
                ),
            ]
    return rows


def _gradient_ratio(study: Study, trajectory: Trajectory) -> float:
    return judge(trajectory, study.criterion).gradient_ratio


def _most(pairs: Sequence[tuple[Trajectory, Trajectory]], step: int) -> float:
    """The largest relative difference of losses that are finite on both."""
    ends = np.array([(float(a["loss"][step]), float(b["loss"][step])) for a, b in pairs])
    ends = ends[np.isfinite(ends).all(axis=1)]
    return float(np.max(np.abs(ends[:, 0] - ends[:, 1]) / np.maximum(np.abs(ends).max(axis=1), 1e-30)))


def _seconds(study: Study, pack: Sequence[Trial], slot: Slot) -> float:
    begin = time.monotonic()
    TrainingWork(study.data, study.seed).run(pack, slot)  # its results are on the CPU: nothing is left to wait for
    return time.monotonic() - begin


def _products_rate(members: int, rows: int, width: int, device: torch.device) -> float:
    """GFLOP/s of the three products of one hidden layer, by the wall clock."""
    units, batch = padded(width), padded(rows)
    a, delta, out = (torch.rand(members, batch, units, device=device) for _ in range(3))
    weight, gradient = (torch.rand(members, units, units, device=device) for _ in range(2))

    def run(repeats: int) -> float:
        begin = time.monotonic()
        for _ in range(repeats):
            torch.bmm(a, weight, out=out)
            torch.bmm(delta, weight.mT, out=out)
            torch.bmm(a.mT, delta, out=gradient)
        gradient[0, 0, 0].item()  # waits for the device
        return time.monotonic() - begin

    with torch.inference_mode():
        run(3)
        repeats = max(3, int(0.3 / (run(10) / 10)))
        return 6.0 * members * batch * units * units * repeats / run(repeats) / 1e9


def _waits_of(study: Study, trials: Sequence[Trial], slot: Slot) -> int:
    if slot is ON_GPU:
        TrainingWork(study.data, study.seed).run(trials, slot)
        with warnings.catch_warnings(record=True) as said, _told_of_waits():
            warnings.simplefilter("always")
            TrainingWork(study.data, study.seed).run(trials, slot)
        return sum(_SYNCHRONISES in str(warning.message) for warning in said)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        TrainingWork(study.data, study.seed).run(trials, slot)
    return sum(event.name == "aten::_local_scalar_dense" for event in profiled.events() or ())


@contextmanager
def _told_of_waits() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


if __name__ == "__main__":
    sys.exit(main())
