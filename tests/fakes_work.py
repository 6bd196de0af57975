"""Work that trains nothing: planted results, and the ways in which a machine fails.

Each is handed to the real executors and driven by the real loop.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gradstab.loop.ports import Kind, Outcome, RunsInSteps, Slot, Step, Work
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.training.work import TrainingWork
from tests.fakes import make_trajectory

OUT_OF_GPU_MEMORY = "CUDA out of memory. Tried to allocate 20.00 GiB."
FREE_BYTES: dict[Kind, int] = {"cuda": 80 * 2**30, "cpu": 16 * 2**30}  # that GpuWork finds
SLEEPS_A_TRIAL = 10
EDGE_SCALE = 1.4  # R = 0 here; a decade per hidden layer and factor e of the init scale away from it


def planted_rate(init_scale: float) -> float:
    """Decades of gradient growth per layer toward the input that PlantedWork plants."""
    return math.log(init_scale / EDGE_SCALE) / math.log(10.0)


@dataclass(frozen=True)
class PlantedWork:
    """Trajectories with a planted R: vanishing below EDGE_SCALE, exploding above; noise from the trial's seed."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        return [
            make_trajectory(
                trial.recipe, seed=trial.seed % 2**32, decades_per_layer=planted_rate(trial.recipe.init_scale)
            )
            for trial in trials
        ]


@dataclass(frozen=True)
class SleepingWork:
    """Planted results after `seconds` a trial, in ten steps a trial; each trial ends by itself, in order."""

    seconds: float

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        time.sleep(self.seconds * len(trials))
        return PlantedWork().run(trials, slot)

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        for position, trial in enumerate(trials):
            end = (position + 1) / len(trials)
            for step in range(SLEEPS_A_TRIAL):
                yield Step((position + step / SLEEPS_A_TRIAL) / len(trials), end)
                time.sleep(self.seconds / SLEEPS_A_TRIAL)
            (trajectory,) = PlantedWork().run([trial], slot)
            yield Step(end, min(1.0, (position + 2) / len(trials)), {position: trajectory})


@dataclass(frozen=True)
class PacedWork:
    """Planted results after a time a trial that the kind of slot decides: a GPU where there is none."""

    seconds: dict[Kind, float]

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        return SleepingWork(self.seconds[slot.kind]).run(trials, slot)


@dataclass(frozen=True)
class GpuWork:
    """Exhausts a GPU's memory when it meets one of the numbers there, or has an obstacle on every GPU.

    Notes the process of each pack in a file of `folder` that has the slot's name.
    """

    folder: Path
    too_large: frozenset[int] = frozenset()
    in_the_way: str | None = None

    def why_unusable(self, slot: Slot) -> str | None:
        return self.in_the_way if slot.kind == "cuda" else None

    def free_bytes(self, slot: Slot) -> int:
        return FREE_BYTES[slot.kind]

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        with (self.folder / slot.name).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if slot.kind == "cuda" and any(trial.number in self.too_large for trial in trials):
            import torch

            raise torch.OutOfMemoryError(OUT_OF_GPU_MEMORY)
        return PlantedWork().run(trials, slot)


@dataclass(frozen=True)
class NarrowWork:
    """Has memory for packs of so many trials."""

    most: int

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        if len(trials) > self.most:
            raise MemoryError
        return PlantedWork().run(trials, slot)


@dataclass(frozen=True)
class PoisonousWork:
    """Kills its process with SIGKILL when it meets one of the numbers: only where the process is a worker's."""

    numbers: frozenset[int]
    driver_pid: int

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        if os.getpid() == self.driver_pid:
            raise RuntimeError("poison is for worker processes, this is the driver")
        if any(trial.number in self.numbers for trial in trials):
            os.kill(os.getpid(), signal.SIGKILL)
        return PlantedWork().run(trials, slot)


@dataclass(frozen=True)
class HangingWork:
    """Never returns when it meets one of the numbers."""

    numbers: frozenset[int]

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        while any(trial.number in self.numbers for trial in trials):
            time.sleep(3600)
        return PlantedWork().run(trials, slot)


@dataclass(frozen=True)
class StallingWork:
    """Does a step every tenth of a second, and hangs after `steps` of them when it meets one of the numbers.

    A pack without such a number ends after those steps.
    """

    numbers: frozenset[int]
    steps: int

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        raise RuntimeError("a work that runs in steps was asked to run in one")

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        for step in range(self.steps):
            yield Step(step / self.steps)
            time.sleep(0.1)
        trajectories = HangingWork(self.numbers).run(trials, slot)
        yield Step(1.0, ended=dict(enumerate(trajectories)))


@dataclass(frozen=True)
class RaisingWork:
    """Raises `error` when it meets one of the numbers."""

    numbers: frozenset[int]
    error: Exception

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        if any(trial.number in self.numbers for trial in trials):
            raise self.error
        return PlantedWork().run(trials, slot)


@dataclass(frozen=True)
class SwitchingWork:
    """Hands a pack to the first work that names one of its numbers, else to PlantedWork: several faults at once."""

    by_number: dict[int, Work]

    def run(self, trials: Sequence[Trial], slot: Slot) -> Sequence[Outcome]:
        return self._chosen(trials).run(trials, slot)

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        chosen = self._chosen(trials)
        if isinstance(chosen, RunsInSteps):
            yield from chosen.run_in_steps(trials, slot)
        else:
            yield Step(1.0, ended=dict(enumerate(chosen.run(trials, slot))))

    def _chosen(self, trials: Sequence[Trial]) -> Work:
        return next((self.by_number[t.number] for t in trials if t.number in self.by_number), PlantedWork())


@dataclass(frozen=True)
class StarvingWork:
    """Training, in a process whose address space may grow by so many bytes during a pack and no more."""

    work: TrainingWork
    room: int

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        self.work.warm_up()  # libraries and data need their memory before
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + self.room, hard))
        try:
            return self.work.run(trials, slot)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
