"""The Work that trains a user's modules: a pack of trials in, trajectories out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gradstab.errors import UsageError
from gradstab.loop.ports import Outcome, Slot, Step
from gradstab.loop.trial import Trial
from gradstab.record.dry_run import DryRun, TriedModule
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.data_spec import AnyData, DataError
from gradstab.study.model_spec import ModelSpec
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.study.tensor_spec import FromFunction
from gradstab.training.slots import ask_for_huge_pages, free_bytes, set_known_state, why_unusable
from gradstab.user_code.code import UserCode

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gradstab.training.modules.data import ModuleData
    from gradstab.training.modules.program import Program
    from gradstab.training.trainer import Family, FindStacks


@dataclass(frozen=True)
class ModuleWork:
    """Trains packs of modules. Each process imports the user's code and loads the data once.

    Attributes:
        model: names of the user's functions.
        code: where they come from; it travels with the work, so that a worker needs no file of the user's.
        reference_loss: of the best constant prediction; NaN where it is unknown.
        tried: what the dry run found, which says what members are computed at once.
    """

    model: ModelSpec
    code: UserCode
    data: AnyData
    study_seed: int
    reference_loss: float
    tried: tuple[TriedModule, ...] = ()

    def warm_up(self) -> None:
        """Import torch and the user's code, and load the data."""
        ask_for_huge_pages()
        self._program()
        self._loaded()

    def why_unusable(self, slot: Slot) -> str | None:
        """The reason why torch cannot use the slot's GPU."""
        return why_unusable(slot)

    def free_bytes(self, slot: Slot) -> int:
        """The free memory of the slot's GPU, or of this machine, which may be another than the driver's."""
        return free_bytes(slot)

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Outcome]:
        """One trajectory per trial, in order.

        Raises:
            UsageError: the user's code or data cannot be used.
        """
        ended: dict[int, Outcome] = {}
        for step in self.run_in_steps(trials, slot):
            ended.update(step.ended)
        return [ended[index] for index in range(len(trials))]

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        """As `run`, with a pause after every optimizer step; members end one after another.

        Raises:
            UsageError: the user's code or data cannot be used.
        """
        ask_for_huge_pages()
        import torch

        from gradstab.training.trainer import train_in_steps

        recipes, seeds = [trial.recipe for trial in trials], [trial.seed for trial in trials]
        steps = train_in_steps(
            recipes, seeds, self._loaded(), torch.device(slot.kind), self._family, self._stacks(), _failure_of
        )
        while True:
            set_known_state()  # a module may set global switches itself
            with torch.no_grad():
                step = next(steps, None)
            if step is None:
                return
            yield step

    def try_out(self, study: Study) -> DryRun:
        """Build and train a few modules for a few steps.

        Raises:
            UsageError: the user's code or data cannot be used.
        """
        ask_for_huge_pages()
        from gradstab.training.modules.dry_run import dry_run

        set_known_state()
        return dry_run(study, self._program(), self._loaded(), self.code.digest)

    def initial_module(self, recipe: Recipe, seed: int) -> nn.Module:
        """The module with which a trial of this recipe and seed begins, on the CPU.

        Raises:
            UsageError: the user's code or data cannot be used here.
        """
        import torch

        from gradstab.training.modules.member import ModuleMember

        with torch.no_grad():
            member = ModuleMember([recipe], [seed], self._loaded(), torch.device("cpu"), self._program())
        return member.taken_home()

    def _family(
        self, recipes: Sequence[Recipe], seeds: Sequence[int], data: ModuleData, device: torch.device
    ) -> Family:
        from gradstab.training.modules.member import ModuleMember
        from gradstab.training.modules.stack import ModuleStack

        make = ModuleMember if len(recipes) == 1 else ModuleStack
        return make(recipes, seeds, data, device, self._program())

    def _stacks(self) -> FindStacks:
        """How packs are divided. Each process compares a structure at most once."""
        from gradstab.training.modules.choice import why_one_by_one
        from gradstab.training.modules.stacks import ModuleStacks

        def are_equal(recipe: ModuleRecipe) -> bool:
            return why_one_by_one([recipe, recipe], self._loaded(), self._program()) is None

        known = self._process_cache()
        if "stacks" not in known:
            known["stacks"] = ModuleStacks(self.tried, are_equal)
        stacks: FindStacks = known["stacks"]
        return stacks

    def _program(self) -> Program:
        from gradstab.training.modules.program import Program

        known = self._process_cache()
        if "program" not in known:
            spec = self.model
            build = self.code.load(spec.build)
            loss = self.code.load(spec.build, "loss") if spec.loss is None else self.code.load(spec.loss)
            known["program"] = Program(build, loss, spec.taps, spec.scaled)
        program: Program = known["program"]
        return program

    def _loaded(self) -> ModuleData:
        from gradstab.training.modules.data import ModuleData
        from gradstab.training.tensor_data import load_tensor_data

        known = self._process_cache()
        if "data" not in known:
            function = self.code.load(self.data.function) if isinstance(self.data, FromFunction) else None
            known["data"] = ModuleData(
                load_tensor_data(self.data, self.study_seed, function), self.reference_loss, self.model.target_loss
            )
        data: ModuleData = known["data"]
        return data

    def _process_cache(self) -> dict[str, Any]:
        told = f"{self.model.model_dump_json()} {self.data!r} {self.study_seed} {self.reference_loss} {self.tried!r}"
        return _cache_of(self.code.digest, told)


def _failure_of(error: Exception) -> Failure:
    """The failure of the member whose code raised it; machines and gradstab itself are not the member's fault."""
    from gradstab.training.modules.faults import sentence_and_traceback

    cause = error.__cause__ if isinstance(error, UsageError) and isinstance(error.__cause__, Exception) else error
    sentence, shown = sentence_and_traceback(error)
    is_memory = isinstance(cause, MemoryError) or "OutOfMemory" in type(cause).__name__
    is_of_member = isinstance(error, UsageError) and not isinstance(error, DataError)
    if is_memory or not (shown or is_of_member):
        raise error
    return Failure(FailureKind.PROGRAM, sentence)


@lru_cache(maxsize=1)
def _cache_of(digest: str, told: str) -> dict[str, Any]:
    """What this process has loaded for a study; told apart by its code and its declaration."""
    del digest, told
    return {}
