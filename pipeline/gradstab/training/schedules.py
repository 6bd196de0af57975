"""How learning rates change along a training: a linear warm-up, then one of four schedules.

Shapes: n member of a stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradstab.study.recipe import Recipe, Schedule


def rate_factor(schedule: Schedule, warmup_steps: int, steps: int, step: int) -> float:
    """The learning rate of a step as a part of the recipe's, with W = `warmup_steps` and S = `steps`.

    Step t = 0, 1, ..., S - 1 has

    - (t + 1) / W while t < W: linear warm-up, which reaches the recipe's rate at its last step (Goyal et al. 2017);
      afterwards
    - constant: 1;
    - cosine: (1 + cos(pi u)) / 2 with u = (t - W) / (S - W) (Loshchilov & Hutter 2017, without restarts);
    - linear: 1 - u, with the same u;
    - inverse_sqrt: sqrt(max(W, 1) / (t + 1)) (Vaswani et al. 2017, whose rate is here divided by its largest value).

    With W = 0 the middle two are torch's CosineAnnealingLR and LinearLR. They would reach 0 at step S.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / (steps - warmup_steps) if steps > warmup_steps else 0.0
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return 1 - done
        case "inverse_sqrt":
            return math.sqrt(max(warmup_steps, 1) / (step + 1))


class RateSchedules:
    """The factors (n,) on the learning rates of a stack's members, step after step.

    Members of equal settings share one number, which is computed by itself, so that it depends on nothing in the pack.
    """

    def __init__(self, recipes: Sequence[Recipe], device: torch.device) -> None:
        settings = [(recipe.schedule, recipe.warmup_steps, recipe.steps) for recipe in recipes]
        self._settings = list(dict.fromkeys(settings))
        self._which_n = torch.tensor([self._settings.index(one) for one in settings], device=device)
        self._step = 0

    def next(self) -> Tensor:
        """The factors of the next step (n,), float64."""
        factors = [rate_factor(*one, self._step) for one in self._settings]
        self._step += 1
        return torch.tensor(factors, dtype=torch.float64, device=self._which_n.device)[self._which_n]

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members."""
        self._which_n = self._which_n[list(members)]


def rate_schedules(recipes: Sequence[Recipe], device: torch.device) -> RateSchedules | None:
    """The schedules of a stack; None where every member keeps its learning rate."""
    if all(recipe.schedule == "constant" and recipe.warmup_steps == 0 for recipe in recipes):
        return None
    return RateSchedules(recipes, device)
