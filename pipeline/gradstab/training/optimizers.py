"""torch.optim's SGD, Adam, AdamW and RMSprop on flat buffers, with a learning rate per member.

Each turns the gradient, in place, into the direction d of the update; the update itself is ``-lr d`` for all of them.
All passes over one block are made while it is in the cache. Shapes: n member, p piece, P numbers of a piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradstab.study.recipe import Recipe
from gradstab.training.layout import TINY_FACTOR, Block, FlatLayout, scale_
from gradstab.training.norms import piece_norms
from gradstab.training.schedules import rate_schedules

_BETA1, _BETA2 = 0.9, 0.999
_ALPHA = 0.99
_EPSILON = 1e-8


@dataclass(frozen=True)
class Part:
    """One block (p, P) of the parameters, their gradient and the optimizer's state."""

    block: Block
    value: Tensor
    grad: Tensor
    state: dict[str, Tensor]


class Optimizer:
    """What the four share: rates per member, weight decay, the update, and state in the parameters' layout.

    Members of one stack agree on whether momentum and weight decay are in use, so that they all do the same operations.
    """

    state_names: tuple[str, ...] = ()
    takes_momentum = False

    def __init__(self, recipes: Sequence[Recipe], layout: FlatLayout, value: Tensor) -> None:
        def column(numbers: Sequence[float]) -> Tensor:
            return torch.tensor(numbers, dtype=torch.float64, device=value.device)

        self._recipe_rate_n = column([recipe.learning_rate for recipe in recipes])
        self._schedules = rate_schedules(recipes, value.device)
        self._momentum_n = column([recipe.momentum for recipe in recipes])
        self._decay_n = column([recipe.weight_decay for recipe in recipes])
        self._uses_momentum = self.takes_momentum and recipes[0].momentum > 0
        self._uses_decay = recipes[0].weight_decay > 0
        self._layout = layout
        names = (*self.state_names, "momentum") if self._uses_momentum else self.state_names
        self._state = {name: torch.zeros_like(value) for name in names}
        self._step = torch.zeros((), device=value.device)
        self._dtype = value.dtype
        self._parts: list[Part] = []
        self._bind()

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members."""
        index = list(members)
        self._state = {name: self._layout.kept(flat, index) for name, flat in self._state.items()}
        self._layout = self._layout.keep(index)
        self._recipe_rate_n, self._momentum_n, self._decay_n = (
            column[index] for column in (self._recipe_rate_n, self._momentum_n, self._decay_n)
        )
        if self._schedules is not None:
            self._schedules.keep(index)
        self._bind()

    def update(self, value: Tensor, grad: Tensor, factor_n: Tensor | None) -> tuple[Tensor, Tensor]:
        """Change parameters by one step on gradients times a clip factor per member (None for 1).

        Returns the direction d (in `grad` or in the optimizer's state) and the rate (n,): the update was -rate d.
        """
        rate_n, _ = self._walk(value, grad, factor_n, 0)
        return self._state["momentum"] if self._uses_momentum else grad, rate_n

    def measured_update(
        self, value: Tensor, grad: Tensor, factor_n: Tensor | None, sections: int
    ) -> tuple[Tensor, Tensor]:
        """Like `update`; returns norms (s, n) of the first sections' parameters before it and of the change."""
        pieces = sum(section.members for section in self._layout.sections[:sections])
        rate_n, norms = self._walk(value, grad, factor_n, pieces)
        if not norms:  # the taps of a module may hold no weights of two dimensions
            return rate_n.new_zeros((0, len(rate_n))), rate_n.new_zeros((0, len(rate_n)))
        norm_sn, moved_sn = (
            self._layout.by_section(torch.cat(parts)[:pieces])[:sections] for parts in zip(*norms, strict=True)
        )
        return norm_sn, moved_sn * rate_n

    def _walk(
        self, value: Tensor, grad: Tensor, factor_n: Tensor | None, measured: int
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Update block by block; the rate, and norms of parameters and direction in blocks of the first pieces."""
        self._step += 1
        rate_n = self._recipe_rate_n
        if self._schedules is not None:
            rate_n = rate_n * self._schedules.next()
        factor_n, rate_n = self._factor_and_rate(grad, factor_n, rate_n)
        factor_p1 = None if factor_n is None else self._column(factor_n)
        descent_p1 = self._column(-rate_n)
        norms = []
        for part in self._parts_of(value, grad):
            if factor_p1 is not None:
                part.grad.mul_(part.block.of(factor_p1))
            direction = self._direction(part)
            if part.block.first < measured:
                norms.append((piece_norms(part.value), piece_norms(direction)))
            part.value.addcmul_(direction, part.block.of(descent_p1))
        return rate_n, norms

    def _direction(self, part: Part) -> Tensor:
        """The direction of a block, whose gradient has been clipped."""
        raise NotImplementedError

    def _with_decay(self, part: Part) -> Tensor:
        """The gradient with weight decay added to it."""
        return part.grad.addcmul_(part.value, part.block.of(self._decay_p1)) if self._uses_decay else part.grad

    def _with_momentum(self, part: Part) -> Tensor:
        """The heavy-ball sum of directions, or the direction itself where no momentum is in use."""
        if not self._uses_momentum:
            return part.grad
        return part.state["momentum"].mul_(part.block.of(self._momentum_p1)).add_(part.grad)

    def _factor_and_rate(self, grad: Tensor, factor_n: Tensor | None, rate_n: Tensor) -> tuple[Tensor | None, Tensor]:
        """The factor by which gradients are still to be multiplied (None for 1), and the rate to apply.

        Factors below 2^-64 are applied here, because as one float32 they would underflow and zero a huge gradient.
        """
        if factor_n is None:
            return None, rate_n
        tiny_n = factor_n < TINY_FACTOR
        if bool(tiny_n.any()):
            scale_(self._layout, grad, torch.where(tiny_n, factor_n, 1.0))
            factor_n = torch.where(tiny_n, 1.0, factor_n)
        return self._folded(factor_n, rate_n)

    def _folded(self, factor_n: Tensor, rate_n: Tensor) -> tuple[Tensor | None, Tensor]:
        """The factor to apply, and the rate; an optimizer may combine them."""
        return factor_n, rate_n

    def _column(self, number_n: Tensor) -> Tensor:
        """A number per member as a column (p, 1) by piece."""
        return self._layout.by_piece(number_n.to(self._dtype))[:, None]

    def _bind(self) -> None:
        self._momentum_p1, self._decay_p1 = self._column(self._momentum_n), self._column(self._decay_n)
        self._bound: tuple[Tensor, Tensor] | None = None

    def _parts_of(self, value: Tensor, grad: Tensor) -> list[Part]:
        """The blocks of parameters, gradient and state, made once."""
        if self._bound is None or self._bound[0] is not value or self._bound[1] is not grad:
            self._bound = (value, grad)
            self._parts = [
                Part(block, block.view(value), block.view(grad), {n: block.view(s) for n, s in self._state.items()})
                for block in self._layout.blocks
            ]
        return self._parts


class SGD(Optimizer):
    """Stochastic gradient descent, with heavy-ball momentum (torch's, without dampening)."""

    takes_momentum = True

    def _folded(self, factor_n: Tensor, rate_n: Tensor) -> tuple[Tensor | None, Tensor]:
        if self._uses_momentum or self._uses_decay:
            return super()._folded(factor_n, rate_n)
        return None, rate_n * factor_n

    def _direction(self, part: Part) -> Tensor:
        self._with_decay(part)
        return self._with_momentum(part)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with torch's bias correction; weight decay is added to the gradient."""

    state_names = ("mean", "square")

    def _direction(self, part: Part) -> Tensor:
        self._with_decay(part)
        return self._normalised(part)

    def _normalised(self, part: Part) -> Tensor:
        """Turn the gradient into corrected mean / corrected root mean square, in torch's one fused pass.

        The fused step sets p to (1 - lr decay) p - lr d. With rate and decay 1, and the gradient itself as p, it leaves
        -d in the gradient's place; `maximize` turns the sign (of the mean that is kept, too).
        """
        torch._fused_adamw_(
            [part.grad],
            [part.grad],
            [part.state["mean"]],
            [part.state["square"]],
            [],
            [self._step],
            lr=1.0,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=1.0,
            eps=_EPSILON,
            amsgrad=False,
            maximize=True,
        )
        return part.grad


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def _direction(self, part: Part) -> Tensor:
        self._normalised(part)
        return self._with_decay(part)


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture 6e), with torch's epsilon outside the root and its momentum."""

    state_names = ("square",)
    takes_momentum = True

    def _direction(self, part: Part) -> Tensor:
        grad, square = self._with_decay(part), part.state["square"]
        square.mul_(_ALPHA).addcmul_(grad, grad, value=1 - _ALPHA)
        grad.div_(torch.sqrt(square).add_(_EPSILON))
        return self._with_momentum(part)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}
