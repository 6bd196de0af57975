"""Members of equal structure in training, computed all at once by `torch.func.vmap` over stacked parameters.

Each member has rows of its own. Values agree with those of one member after another up to rounding, because products
of matrices become batched ones. Shapes: n member, L tap, B sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gradstab.probing.copies import bare_module
from gradstab.probing.scaled_weights import scale_weights
from gradstab.probing.summary import summary_of
from gradstab.probing.trees import Tree, tensors
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import Recipe
from gradstab.study.tensor_tree import map_leaves
from gradstab.training.dtypes import DTYPES
from gradstab.training.modules.accuracy import accuracy_of
from gradstab.training.modules.alike import difference
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember
from gradstab.training.modules.program import Program
from gradstab.training.modules.tap_inputs import TapInputs
from gradstab.training.modules.tap_statistics import hidden, parameter_values, pass_values
from gradstab.training.modules.taps import tap_numbers
from gradstab.training.norms import section_norms, total_norms
from gradstab.training.probes import LayerValues
from gradstab.training.trainer import UnstackableError

_Found = TypeVar("_Found")


class ModuleStack:
    """Several modules of a study whose arguments differ at most in those that are traced.

    Raises:
        UnstackableError: the modules differ in more than their numbers, or a pass fails; members then train one by one.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        data: ModuleData,
        device: torch.device,
        program: Program,
    ) -> None:
        # the first member finds the taps, and lends its module to all
        self._one = ModuleMember(recipes[:1], seeds[:1], data, device, program)
        self._program, self._data, self._device = program, data, device
        self._dtype = DTYPES[recipes[0].precision]
        places = self._one.places.places(self._one.module)
        if places is None or self._one.places.mixes:
            raise UnstackableError("taps are out of reach of hooks, or samples mix")
        self._eps = TapInputs(self._one.module, places)
        self._call = _MeanLoss(self._one.module, program)
        self.layout = self._one.placed.layout(len(recipes))
        self.value = torch.zeros(self.layout.length, dtype=self._dtype, device=device)
        fresh = [self._built(recipe, seed) for recipe, seed in zip(recipes, seeds, strict=True)]
        for other in fresh[1:]:
            if told := difference(fresh[0], other):
                raise UnstackableError(told)
        numbers = [_numbers(module) for module in fresh]
        trained = set(self._one.placed.names)
        with torch.inference_mode(False), torch.no_grad():
            for name, view in zip(self._one.placed.names, self._views(self.value), strict=True):
                view.copy_(torch.stack([of[name] for of in numbers]))
            self._untrained = {
                name: torch.stack([of[name] for of in numbers]) for name in numbers[0] if name not in trained
            }
        self._bind()
        self._rows_at_once = max(recipes[0].batch_size, recipes[0].probe_samples)
        self._first_probe = True

    @property
    def module(self) -> nn.Module:
        """The module that is called with the numbers of every member in turn."""
        return self._one.module

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the places where gradients are compared."""
        return self._one.taps

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of taps of each member."""
        return self._one.depths * self.layout.members

    @property
    def num_layers(self) -> int:
        """Sections whose updates are measured."""
        return self._one.num_layers

    def by_layer(self, norm_sn: Tensor) -> Tensor:
        """Norms of sections as norms by tap (L, n)."""
        return self._one.by_layer(norm_sn)

    def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor:
        """The mean losses (n,) over a batch each; their gradients are left in `grad`."""

        def compute() -> Tensor:
            inputs, targets = self._batches(rows_nB)
            loss_n = vmap(self._mean_loss)(self._numbers(), inputs, targets)
            self._take(torch.autograd.grad(loss_n.sum(), self._leaves, allow_unused=True))
            return loss_n.detach().double()

        return _together(compute)

    def probe(self, rows_nB: NDArray[np.int64]) -> tuple[Tensor, LayerValues]:
        """The same with the statistics of every tap, each (L, n)."""
        first, self._first_probe = self._first_probe, False
        num_samples = rows_nB.shape[1]

        def compute() -> tuple[Tensor, LayerValues]:
            inputs, targets = self._batches(rows_nB)
            eps = self._eps.zeros(self.layout.members, num_samples, lambda: self._run_one_member(rows_nB[0]))

            def tapped(numbers: Tree, inputs: Tree, targets: Tree, eps: list[Tensor]) -> Any:
                with self._eps.added(eps) as outputs:
                    return self._mean_loss(numbers, inputs, targets), outputs

            loss_n, outputs = vmap(tapped)(self._numbers(), inputs, targets, eps)
            found = torch.autograd.grad(loss_n.sum(), [*self._leaves, *eps], allow_unused=True)
            self._take(found[: len(self._leaves)])
            deltas = found[len(self._leaves) :]
            return loss_n.detach().double(), self._values(deltas, outputs, num_samples)

        with self._untrained_restored() if first else nullcontext():
            loss_n, values = _together(compute)
        values |= parameter_values(self._one.placed, section_norms(self.layout, self.grad))
        if first:
            for member in torch.nonzero(hidden(values))[:, 0].tolist():
                self._look_behind_readout(member, rows_nB, values)
        return loss_n, values

    def accuracy(self, rows: NDArray[np.int64]) -> Tensor:
        """Share of right classes (n,) on these rows; NaN where outputs and targets are no classes."""
        # no more rows at once than in a step, whose memory is known
        parts = np.array_split(rows, -(-len(rows) // self._rows_at_once))
        with torch.no_grad():
            found = [_together(partial(self._accuracy, part), gradients=False) * len(part) for part in parts]
        return torch.stack(found).sum(0) / len(rows)

    def grad_norms(self) -> Tensor:
        """Norm of each member's gradient (n,), float64."""
        return total_norms(self.layout, self.grad)

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members (ascending)."""
        self.value = self.layout.kept(self.value, members)
        self.layout = self.layout.keep(members)
        self._untrained = {name: held[list(members)] for name, held in self._untrained.items()}
        self._bind()

    def untrained(self) -> dict[str, Tensor]:
        """What is not trained, by name, (n, ...): buffers and frozen parameters."""
        return dict(self._untrained)

    def _built(self, recipe: Recipe, seed: int) -> nn.Module:
        assert isinstance(recipe, ModuleRecipe)
        module = bare_module(self._program.built(recipe, seed)).to(self._device)
        if recipe.weight_scale != 1.0:
            scale_weights(module, recipe.weight_scale, self._one.places.owners, self._program.scaled)
        return module

    def _views(self, flat: Tensor) -> list[Tensor]:
        return self._one.placed.views(self.layout, flat)

    def _bind(self) -> None:
        """Make leaves of autograd out of the flat buffer of the current members."""
        self.grad = torch.zeros_like(self.value)
        self._grads = self._views(self.grad)
        self._leaves = [view.detach().requires_grad_() for view in self._views(self.value)]

    def _numbers(self) -> dict[str, Tensor]:
        """Everything that a member's module holds, stacked, under the names that `_call` gives it."""
        trained = dict(zip(self._one.placed.names, self._leaves, strict=True))
        return {f"module.{name}": value for name, value in (trained | self._untrained).items()}

    def _accuracy(self, rows: NDArray[np.int64]) -> Tensor:
        inputs, targets = self._data.batch(rows, self._dtype, self._device)

        def right(numbers: Tree) -> Tensor:
            return accuracy_of(functional_call(self._call, numbers, (inputs, targets))[0], targets)

        with self._untrained_restored():
            found: Tensor = vmap(right)(self._numbers())
        return found

    def _mean_loss(self, numbers: Tree, inputs: Tree, targets: Tree) -> Tensor:
        loss_B: Tensor = functional_call(self._call, numbers, (inputs, targets))[1]
        return loss_B.mean()

    def _batches(self, rows_nB: NDArray[np.int64]) -> tuple[Tree, Tree]:
        """Inputs and targets, (n, B, ...)."""
        trees = self._data.batch(rows_nB.reshape(-1), self._dtype, self._device)

        def apart(_: str, tensor: Tensor) -> Tensor:
            return tensor.view(*rows_nB.shape, *tensor.shape[1:])

        return map_leaves(apart, trees[0], "inputs"), map_leaves(apart, trees[1], "targets")

    def _run_one_member(self, rows: NDArray[np.int64]) -> None:
        """Run the first member's module on these rows, for the shapes at its taps."""
        inputs, targets = self._data.batch(rows, self._dtype, self._device)
        with torch.no_grad(), self._lent(0):
            self._call(inputs, targets)

    def _values(self, deltas: Sequence[Tensor | None], outputs: Sequence[Tensor], num_samples: int) -> LayerValues:
        """The statistics at the taps, (L, n) each, as those of one member are read."""
        rest = iter(deltas)
        found = [[delta for delta in islice(rest, count) if delta is not None] for count in self._eps.counts]
        given, counts = [delta for tap in found for delta in tap], [len(tap) for tap in found]
        norm_nL, peak_nL, zero_nL = vmap(lambda own: tap_numbers(own, counts, self._device))(given)
        shown = []
        for output, part in zip(outputs, self._eps.parts, strict=True):

            def summary(values: Tensor, part: nn.Module = part) -> tuple[Tensor, ...]:
                found = summary_of(values, part)
                return found.mean_square, found.cosine, found.dead

            shown.append(vmap(summary)(output))
        square_Ln, cosine_Ln, dead_Ln = (torch.stack(column) for column in zip(*shown, strict=True))
        return pass_values(norm_nL.T, peak_nL.T, zero_nL.T, (square_Ln, cosine_Ln, dead_Ln), num_samples)

    def _take(self, gradients: Sequence[Tensor | None]) -> None:
        """Put gradients into the flat buffer."""
        for view, gradient in zip(self._grads, gradients, strict=True):
            if gradient is None:
                view.zero_()
            else:
                view.copy_(gradient)

    def _look_behind_readout(self, member: int, rows_nB: NDArray[np.int64], values: LayerValues) -> None:
        """Replace a member's values by those of a copy, where its readout hides every gradient."""
        with self._lent(member):
            _, found = self._one.read(rows_nB[member : member + 1], first=True)
        for name, value_Ln in values.items():
            value_Ln[:, member] = found[name][:, 0]

    @contextmanager
    def _lent(self, member: int) -> Iterator[None]:
        """The first member's module holds the numbers of another member; its buffers are not kept."""
        numbers = _numbers(self._one.module)
        with torch.no_grad():
            trained = dict(zip(self._one.placed.names, self._leaves, strict=True))
            for name, stacked in (trained | self._untrained).items():
                numbers[name].copy_(stacked[member])
        yield

    @contextmanager
    def _untrained_restored(self) -> Iterator[None]:
        """Leave buffers as they were."""
        before = {name: value.clone() for name, value in self._untrained.items()}
        try:
            yield
        finally:
            self._untrained = before


class _MeanLoss(nn.Module):
    """Calls a module and the loss, so that one functional call covers both."""

    def __init__(self, module: nn.Module, program: Program) -> None:
        super().__init__()
        self.module, self._program = module, program

    def forward(self, inputs: Tree, targets: Tree) -> tuple[Any, Tensor]:
        """Outputs, and the loss of each sample."""
        return self._program.losses(self.module, inputs, targets, len(tensors(targets)[0]))


def _together(compute: Callable[[], _Found], *, gradients: bool = True) -> _Found:
    try:
        with torch.inference_mode(False), torch.set_grad_enabled(gradients):
            return compute()
    except Exception as error:
        raise UnstackableError(str(error)) from error


def _numbers(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())
