"""Counting the optimizer steps of a model in a loop that calls nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle


class StepHooks:
    """Hooks on every optimizer of the process; those that hold none of the model's parameters are passed over.

    Where several optimizers train parts of one model, a round of them is one step: the next step begins when one steps
    for the second time.

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
        self._round: WeakSet[Optimizer] = WeakSet()  # that made the current step
        self._known: WeakKeyDictionary[Optimizer, tuple[int, bool]] = WeakKeyDictionary()
        self._handles: list[RemovableHandle] = []

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
        if self._trains_the_model(optimizer) and self._begins(optimizer):
            self._before(self.done)

    def _post(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._trains_the_model(optimizer):
            if self._begins(optimizer):
                self.done += 1
                self._round.clear()
            self._round.add(optimizer)
            self._after(optimizer)

    def _begins(self, optimizer: Optimizer) -> bool:
        return not self._round or optimizer in self._round

    def _trains_the_model(self, optimizer: Optimizer) -> bool:
        num_groups, is_ours = self._known.get(optimizer, (-1, False))
        if num_groups != len(optimizer.param_groups):
            held = (parameter for group in optimizer.param_groups for parameter in group["params"])
            is_ours = any(id(parameter) in self._ids for parameter in held)
            self._known[optimizer] = (len(optimizer.param_groups), is_ours)
        return is_ours
