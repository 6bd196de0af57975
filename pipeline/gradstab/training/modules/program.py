"""The user's functions of a study of modules, and how they are called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradstab.probing.forward import called
from gradstab.probing.randomness import generators_restored, held_generators, seed_generators
from gradstab.probing.trees import Tree
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.dtypes import DTYPES
from gradstab.training.initialisation import Stream, generator
from gradstab.training.modules.faults import ProgramError


@dataclass(frozen=True)
class Program:
    """What a study of modules runs of the user's code.

    Attributes:
        build: returns a freshly initialised module.
        loss: (outputs, targets) to the loss of each sample, (B,).
        taps: patterns of names where gradients are compared; found on each network if empty.
        scaled: patterns of modules whose weights `weight_scale` multiplies; those inside the taps if empty.
    """

    build: Callable[..., nn.Module]
    loss: Callable[[Any, Any], Any]
    taps: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()

    def built(self, recipe: ModuleRecipe, seed: int) -> nn.Module:
        """A module of the recipe, drawn from a trial's seed alone, in training mode as `build` leaves it.

        Raises:
            ProgramError: `build` returned something else.
        """
        given: Mapping[str, Any] = {name: recipe.arguments[name] for name in recipe.given}
        with torch.inference_mode(False), torch.no_grad(), generators_restored():
            seed_generators(seed_of(seed, Stream.WEIGHTS), [])
            module = self.build(**given)
        if not isinstance(module, nn.Module):
            raise ProgramError(f"build must return a torch.nn.Module, got {type(module).__name__}")
        return module.to(DTYPES[recipe.precision])

    def losses(self, module: nn.Module, inputs: Tree, targets: Tree, num_samples: int) -> tuple[Any, Tensor]:
        """Outputs, and the loss of each sample.

        Raises:
            ProgramError: the loss does not return one number per sample.
        """
        outputs = called(module, inputs)
        losses = self.loss(outputs, targets)
        if not isinstance(losses, Tensor) or losses.shape != (num_samples,):
            got = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
            raise ProgramError(
                f"loss must return the loss of each sample, a tensor of shape ({num_samples},), got {got}: "
                "leave the mean over samples to gradstab (reduction='none')"
            )
        return outputs, losses


def seed_of(seed: int, stream: Stream, step: int = 0) -> int:
    """A seed of 32 bits for the global generators, which every library takes."""
    return int(generator(seed + step, stream).integers(2**32))


@contextlib.contextmanager
def seeded(module: nn.Module, seed: int) -> Iterator[None]:
    """Draw random numbers inside a forward pass from this seed, and leave the global generators as they were."""
    with generators_restored():
        seed_generators(seed, held_generators(module))
        yield
