"""torch.optim's SGD, Adam, AdamW and RMSprop on flat buffers, with rates of their own for every member.

Each turns the gradient, in place, into the direction d of the update; the update itself is ``-lr d`` for all of them.
Shapes: n member; blocks are (k, n, P).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.recipe import Recipe
from pipeline.training.layout import TINY_FACTOR, Layout, add_scaled_, multiply_, scale_

_BETA1, _BETA2 = 0.9, 0.999
_ALPHA = 0.99
_EPSILON = 1e-8


class Optimizer:
    """What the four have in common: rates per member, weight decay, the update, and state in the parameters' layout.

    Members of one stack agree on whether momentum and weight decay are in use, so that they all do the same operations.
    """

    state_names: tuple[str, ...] = ()
    takes_momentum = False

    def __init__(self, recipes: Sequence[Recipe], layout: Layout, value: Tensor) -> None:
        def column(numbers: Sequence[float]) -> Tensor:
            return torch.tensor(numbers, dtype=torch.float64, device=value.device)

        self.rate_n = column([recipe.learning_rate for recipe in recipes])
        self._momentum_n = column([recipe.momentum for recipe in recipes])
        self._decay_n = column([recipe.weight_decay for recipe in recipes])
        self._uses_momentum = self.takes_momentum and recipes[0].momentum > 0
        self._uses_decay = recipes[0].weight_decay > 0
        self._layout = layout
        names = (*self.state_names, "momentum") if self._uses_momentum else self.state_names
        self._state = {name: torch.zeros_like(value) for name in names}
        self._step = 0

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only."""
        index = list(members)
        self._state = {name: self._layout.kept(flat, index) for name, flat in self._state.items()}
        self._layout = self._layout.keep(index)
        self.rate_n, self._momentum_n, self._decay_n = (
            column[index] for column in (self.rate_n, self._momentum_n, self._decay_n)
        )

    def update(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        """Change parameters by one step on gradients times a clip factor per member (None for 1).

        Returns the direction d (in `grad` or in the optimizer's state) and the rate (n,): the update was -rate d.
        """
        self._step += 1
        direction, rate_n = self._direction(value, grad, factor_n)
        add_scaled_(self._layout, value, direction, -rate_n)
        return direction, rate_n

    def _direction(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _with_momentum(self, direction: Tensor) -> Tensor:
        """The heavy-ball sum of directions, or the direction itself where no momentum is in use."""
        if not self._uses_momentum:
            return direction
        momentum = self._state["momentum"]
        multiply_(self._layout, momentum, self._momentum_n)
        return momentum.add_(direction)

    def _clip_and_decay(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> None:
        if factor_n is not None:
            scale_(self._layout, grad, factor_n)
        if self._uses_decay:
            add_scaled_(self._layout, grad, value, self._decay_n)


class SGD(Optimizer):
    """Stochastic gradient descent, with heavy-ball momentum (torch's, without dampening)."""

    takes_momentum = True

    def _direction(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        if factor_n is not None and not self._uses_momentum and not self._uses_decay:
            factor_n, folded_n = _split_tiny(factor_n)
            if factor_n is not None:
                scale_(self._layout, grad, factor_n)
            return grad, self.rate_n * folded_n
        self._clip_and_decay(value, grad, factor_n)
        return self._with_momentum(grad), self.rate_n


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with torch's bias correction; weight decay is added to the gradient."""

    state_names = ("mean", "square")

    def _direction(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        self._clip_and_decay(value, grad, factor_n)
        return grad, self._normalise(grad)

    def _normalise(self, grad: Tensor) -> Tensor:
        """Turn the gradient into mean / root mean square; returns the rate corrected for the mean's bias."""
        mean, square = self._state["mean"], self._state["square"]
        mean.lerp_(grad, 1 - _BETA1)
        square.mul_(_BETA2).addcmul_(grad, grad, value=1 - _BETA2)
        torch.sqrt(square, out=grad)
        grad.div_(math.sqrt(1 - _BETA2**self._step)).add_(_EPSILON)
        torch.div(mean, grad, out=grad)
        return self.rate_n / (1 - _BETA1**self._step)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def _direction(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        if factor_n is not None:
            scale_(self._layout, grad, factor_n)
        rate_n = self._normalise(grad)
        if self._uses_decay:
            add_scaled_(self._layout, grad, value, self._decay_n * self.rate_n / rate_n)
        return grad, rate_n


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture 6e), with torch's epsilon outside the root and its momentum."""

    state_names = ("square",)
    takes_momentum = True

    def _direction(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        self._clip_and_decay(value, grad, factor_n)
        square = self._state["square"]
        square.mul_(_ALPHA).addcmul_(grad, grad, value=1 - _ALPHA)
        grad.div_(torch.sqrt(square).add_(_EPSILON))
        return self._with_momentum(grad), self.rate_n


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def _split_tiny(factor_n: Tensor) -> tuple[Tensor | None, Tensor]:
    """(factors below 2^-64, which must be applied to the gradient itself, or None; the others, 1 in their place)."""
    tiny_n = factor_n < TINY_FACTOR
    if not bool(tiny_n.any()):
        return None, factor_n
    return torch.where(tiny_n, factor_n, 1.0), torch.where(tiny_n, 1.0, factor_n)
