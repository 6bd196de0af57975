"""One module in training, as the step loop wants a stack: its parameters are views of the flat buffer.

This way is right for every module: plain autograd, one member after another. Shapes: n = 1 member, L tap, B sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.probing.copies import bare_module, refuse_unready
from gradstab.probing.forward import Batch
from gradstab.probing.precision import OWN
from gradstab.probing.scaled_weights import scale_weights
from gradstab.probing.trees import Tree
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import Recipe
from gradstab.training.dtypes import DTYPES
from gradstab.training.initialisation import Stream
from gradstab.training.layout import FlatLayout
from gradstab.training.modules.accuracy import accuracy_of
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.faults import is_divergence
from gradstab.training.modules.parameters import placed
from gradstab.training.modules.program import Program, seed_of, seeded
from gradstab.training.modules.tap_statistics import gradient_values, hidden, parameter_values, sizes
from gradstab.training.modules.taps import Taps
from gradstab.training.norms import section_norms, total_norms
from gradstab.training.probes import LayerValues


class ModuleMember:
    """One module of a study, built from its trial's seed.

    Attributes:
        places: where its gradients are compared.
        placed: where its parameters lie in the flat buffer.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        data: ModuleData,
        device: torch.device,
        program: Program,
    ) -> None:
        (recipe,), (self._seed,) = recipes, seeds
        assert isinstance(recipe, ModuleRecipe)
        self._program, self._data, self._device = program, data, device
        self._dtype = DTYPES[recipe.precision]
        built = bare_module(program.built(recipe, self._seed)).to(device)
        refuse_unready(built)
        self.module = built
        self.first_rows = data.probe_rows(recipe.probe_samples)
        with seeded(built, self._draw_seed(0)), buffers_kept(built):
            self.places = Taps(built, self._batch(self.first_rows), program.taps)
        if recipe.weight_scale != 1.0:
            scale_weights(built, recipe.weight_scale, self.places.owners, program.scaled)
        self.placed = placed(built, self.places.owners)
        self.layout: FlatLayout = self.placed.layout(1)
        self.value = torch.zeros(self.layout.length, dtype=self._dtype, device=device)
        self.grad = torch.zeros_like(self.value)
        by_name = dict(built.named_parameters())
        self._parameters = [by_name[name] for name in self.placed.names]
        with torch.no_grad():
            for parameter, view in zip(self._parameters, self.placed.views(self.layout, self.value), strict=True):
                view[0].copy_(parameter)
                parameter.data = view[0]
        self._grads = [view[0] for view in self.placed.views(self.layout, self.grad)]
        self._passes = 0  # forward passes so far, each with random numbers of its own
        self._first_probe = True

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the places where gradients are compared."""
        return self.places.names

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of taps."""
        return (len(self.places),)

    @property
    def num_layers(self) -> int:
        """Sections whose updates are measured."""
        return self.placed.measured

    def by_layer(self, norm_sn: Tensor) -> Tensor:
        """Norms of sections as norms by tap (L, n)."""
        return self.placed.weight_norms(norm_sn)

    def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor:
        """The mean loss (n,) over a batch; its gradient is left in `grad`."""

        def compute() -> tuple[Tensor, Sequence[Tensor | None]]:
            inputs, targets = self._data.batch(rows_nB[0], self._dtype, self._device)
            _, loss_B = self._program.losses(self.module, inputs, targets, rows_nB.shape[1])
            mean = loss_B.mean()
            return mean.detach().double(), torch.autograd.grad(mean, self._parameters, allow_unused=True)

        return self._take(self._guarded(compute))

    def probe(self, rows_nB: NDArray[np.int64]) -> tuple[Tensor, LayerValues]:
        """The same with the statistics of every tap, each (L, n)."""
        first, self._first_probe = self._first_probe, False
        return self.read(rows_nB, first=first)

    def read(self, rows_nB: NDArray[np.int64], *, first: bool) -> tuple[Tensor, LayerValues]:
        """A probe; the first one changes no buffers, and looks behind readouts that are zero."""
        values: dict[str, Tensor] = {}

        def compute() -> tuple[Tensor, Sequence[Tensor | None]]:
            batch = self._batch(rows_nB[0])
            found = self.places.read(self.module, batch, self._parameters, rows_nB.shape[1])
            values.update(found.values)
            if first and bool(hidden(values)):
                initial = self.places.initial_norms(self.module, batch)
                values.update({} if initial is None else gradient_values(*initial, rows_nB.shape[1]))
            return found.loss, found.gradients

        with buffers_kept(self.module) if first else nullcontext():
            loss_n = self._take(self._guarded(compute))
        of_parameters = parameter_values(self.placed, section_norms(self.layout, self.grad))
        values_Ln = {name: value_L[:, None] for name, value_L in values.items()} | of_parameters
        return loss_n, {name: value_Ln.to(loss_n.device) for name, value_Ln in values_Ln.items()}

    def accuracy(self, rows: NDArray[np.int64]) -> Tensor:
        """Share of right classes (n,) on these rows; NaN where outputs and targets are no classes."""
        inputs, targets = self._data.batch(rows, self._dtype, self._device)

        def compute() -> tuple[Tensor, Sequence[Tensor | None]]:
            outputs, _ = self._program.losses(self.module, inputs, targets, len(rows))
            return accuracy_of(outputs, targets), ()

        with torch.no_grad(), buffers_kept(self.module):
            found = self._guarded(compute, gradients=False)
        return found[0].reshape(1)

    def outputs_of(self, rows: NDArray[np.int64]) -> Tree:
        """What the module returns for these rows, with random numbers that are the same at every call."""
        inputs, targets = self._data.batch(rows, self._dtype, self._device)
        with torch.no_grad(), buffers_kept(self.module), seeded(self.module, self._draw_seed(0)):
            return self._program.losses(self.module, inputs, targets, len(rows))[0]

    def tap_norms(self) -> Tensor:
        """log10 of the gradient's size at each tap on the first rows (L,)."""
        batch = self._batch(self.first_rows)
        with buffers_kept(self.module), seeded(self.module, self._draw_seed(0)):
            return sizes(self.places.read(self.module, batch, (), len(self.first_rows)).values)

    def taken_home(self) -> nn.Module:
        """The module itself, its parameters in memory of their own."""
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()
        return self.module

    def grad_norms(self) -> Tensor:
        """Norm of the gradient of the mean loss (n,), float64."""
        return total_norms(self.layout, self.grad)

    def keep(self, members: Sequence[int]) -> None:
        """Nothing: a stack of one is never rebuilt, because it ends when its member stops."""

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        inputs, targets = self._data.batch(rows, self._dtype, self._device)
        return Batch(inputs, targets, self._program.checked_loss(len(rows)), OWN)

    def _draw_seed(self, number: int) -> int:
        return seed_of(self._seed, Stream.DRAWS, number)

    def _guarded(
        self, compute: Callable[[], tuple[Tensor, Sequence[Tensor | None]]], *, gradients: bool = True
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Run a pass of the user's code. Numbers that left their range make the loss NaN; other faults are raised."""
        self._passes += 1
        try:
            with (
                torch.inference_mode(False),
                torch.set_grad_enabled(gradients),
                seeded(self.module, self._draw_seed(self._passes)),
            ):
                return compute()
        except Exception as error:
            cause = error.__cause__ if isinstance(error, UsageError) and error.__cause__ is not None else error
            if not is_divergence(cause, finite=bool(torch.isfinite(self.value).all())):
                raise
            nan = torch.full((), torch.nan, dtype=torch.float64, device=self._device)
            return nan, [torch.full_like(part, torch.nan) for part in self._grads]

    def _take(self, found: tuple[Tensor, Sequence[Tensor | None]]) -> Tensor:
        """Put gradients into the flat buffer; returns the loss (n,)."""
        loss, gradients = found
        for view, gradient in zip(self._grads, gradients, strict=True):
            if gradient is None:
                view.zero_()
            else:
                view.copy_(gradient)
        return loss.reshape(1)


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they were: reading accuracy must not change the training."""
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        yield
    finally:
        for name, value in module.named_buffers():
            if name in before:
                value.copy_(before[name])
