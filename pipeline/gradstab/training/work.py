"""The Work that trains: a pack of trials in, trajectories out.

torch is imported only where training runs: the driver, which only passes the work on, starts a second sooner.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

from gradstab.activations.activation import Activation
from gradstab.activations.registry import add_imported
from gradstab.loop.ports import Slot, Step
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.study.data_spec import AnyData

if TYPE_CHECKING:
    from gradstab.training.data import Dataset


@dataclass(frozen=True)
class TrainingWork:
    """Trains packs on the data of a study. Each process loads the data once, when it is first needed.

    Every run first sets torch's global settings to a known state: results must not depend on what ran before.

    Attributes:
        activations: those of the study that are not of the library, imported by the driver.
        began_in: the version of gradstab in which the study began: it keeps the kernels of that version. The newest
            ones if None.
    """

    data: AnyData
    study_seed: int
    activations: Mapping[str, Activation] = field(default_factory=dict)
    began_in: str | None = None

    def warm_up(self) -> None:
        """Import torch and load the data."""
        _ask_for_huge_pages()
        import_module("gradstab.training.trainer")
        _loaded(self.data, self.study_seed)

    def why_unusable(self, slot: Slot) -> str | None:
        """The reason why torch cannot use the slot's GPU. It is tried, because a listed GPU may be unusable."""
        if slot.kind == "cpu":
            return None
        _ask_for_huge_pages()
        try:
            import torch

            torch.zeros(1, device=slot.kind).item()
        except Exception as error:  # any exception: no CUDA in torch, no driver, no free memory, no code for this GPU
            return str(error).strip().partition("\n")[0] or type(error).__name__
        return None

    def free_bytes(self, slot: Slot) -> int:
        """The free memory of the slot's GPU, or of this machine, which may be another than the driver's."""
        if slot.kind == "cuda":
            import torch

            return torch.cuda.mem_get_info()[0]
        import psutil

        return int(psutil.virtual_memory().available)

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        """One trajectory per trial, in order.

        Raises:
            DataError: the data cannot be read or trained on.
        """
        trajectories: dict[int, Trajectory] = {}
        for step in self.run_in_steps(trials, slot):
            trajectories.update(step.ended)
        return [trajectories[index] for index in range(len(trials))]

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        """As `run`, with a pause after every optimizer step; the members of a stack end together.

        Raises:
            DataError: the data cannot be read or trained on.
        """
        _ask_for_huge_pages()
        add_imported(self.activations)
        import torch

        from gradstab.training.network import Network
        from gradstab.training.trainer import train_in_steps

        torch.set_num_threads(slot.threads)
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(True)
        torch.backends.cuda.matmul.allow_tf32 = False
        recipes, seeds = [trial.recipe for trial in trials], [trial.seed for trial in trials]
        data, device = _loaded(self.data, self.study_seed), torch.device(slot.kind)
        steps = train_in_steps(recipes, seeds, data, device, partial(Network, began_in=self.began_in))
        while True:
            with torch.inference_mode():  # never during a pause: in the driver, others use torch meanwhile
                step = next(steps, None)
            if step is None:
                return
            yield step


def _ask_for_huge_pages() -> None:
    """Use pages of 2 MB for large buffers where Linux has them. torch reads this at its first allocation only."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@lru_cache(maxsize=1)
def _loaded(spec: AnyData, study_seed: int) -> Dataset:
    from gradstab.training.data import load_dataset

    return load_dataset(spec, study_seed)
