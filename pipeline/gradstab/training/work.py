"""The Work that trains: a pack of trials in, trajectories out.

torch is imported only where training runs: the driver, which only passes the work on, starts a second sooner.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

from gradstab.activations.activation import Activation
from gradstab.activations.registry import add_imported
from gradstab.loop.ports import Outcome, Slot, Step
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.study.data_spec import AnyData
from gradstab.training.slots import ask_for_huge_pages, free_bytes, set_known_state, single_blas_thread, why_unusable

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
        ask_for_huge_pages()
        import_module("gradstab.training.trainer")
        _loaded(self.data, self.study_seed)

    def why_unusable(self, slot: Slot) -> str | None:
        """The reason why torch cannot use the slot's GPU."""
        return why_unusable(slot)

    def free_bytes(self, slot: Slot) -> int:
        """The free memory of the slot's GPU, or of this machine, which may be another than the driver's."""
        return free_bytes(slot)

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        """One trajectory per trial, in order.

        Raises:
            DataError: the data cannot be read or trained on.
        """
        ended: dict[int, Outcome] = {}
        for step in self.run_in_steps(trials, slot):
            ended.update(step.ended)
        return [trajectory for _, trajectory in sorted(ended.items()) if isinstance(trajectory, Trajectory)]

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        """As `run`, with a pause after every optimizer step; the members of a stack end together.

        Raises:
            DataError: the data cannot be read or trained on.
        """
        ask_for_huge_pages()
        add_imported(self.activations)
        import torch

        from gradstab.training.network import Network
        from gradstab.training.trainer import train_in_steps

        set_known_state()
        recipes, seeds = [trial.recipe for trial in trials], [trial.seed for trial in trials]
        data, device = _loaded(self.data, self.study_seed), torch.device(slot.kind)
        steps = train_in_steps(recipes, seeds, data, device, partial(Network, began_in=self.began_in))
        while True:
            # never during a pause: in the driver, others use torch and NumPy meanwhile
            with torch.inference_mode(), single_blas_thread():
                step = next(steps, None)
            if step is None:
                return
            yield step


@lru_cache(maxsize=1)
def _loaded(spec: AnyData, study_seed: int) -> Dataset:
    from gradstab.training.data import load_dataset

    return load_dataset(spec, study_seed)
