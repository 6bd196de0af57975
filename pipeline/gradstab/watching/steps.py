"""Counting the optimizer steps of a model in a loop that calls nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle


class StepHooks:
    """Hooks on every optimizer of the process; those that hold none of the model's parameters are passed over.

    Where several optimizers train parts of one model, the one that made most steps counts, so that a round of them
    is one step.

    Args:
        parameters: of the model.
        before: called with the number of steps done, before the next one changes a weight.
        after: called with the optimizer after that step.

    Attributes:
        done: optimizer steps since `attach`.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        before: Callable[[int], None],
        after: Callable[[Optimizer], None],
    ) -> None:
        self.done = 0
        self._ids = {id(parameter) for parameter in parameters}
        self._before, self._after = before, after
        self._counts: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[Optimizer, tuple[int, bool]] = WeakKeyDictionary()
        self._handles: list[RemovableHandle] = []
        self._told = -1

    def attach(self) -> None:
        """Start counting."""
        self._handles = [
            register_optimizer_step_pre_hook(self._pre),
            register_optimizer_step_post_hook(self._post),
        ]

    def detach(self) -> None:
        """Stop counting; doing it again changes nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _pre(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if not self._trains_the_model(optimizer):
            return
        if self._counts.get(optimizer, 0) == self.done > self._told:
            self._told = self.done
            self._before(self.done)

    def _post(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._trains_the_model(optimizer):
            self._counts[optimizer] = self._counts.get(optimizer, 0) + 1
            self.done = max(self.done, self._counts[optimizer])
            self._after(optimizer)

    def _trains_the_model(self, optimizer: Optimizer) -> bool:
        num_groups, is_ours = self._known.get(optimizer, (-1, False))
        if num_groups != len(optimizer.param_groups):
            held = (parameter for group in optimizer.param_groups for parameter in group["params"])
            is_ours = any(id(parameter) in self._ids for parameter in held)
            self._known[optimizer] = (len(optimizer.param_groups), is_ours)
        return is_ours
