"""Reading a model in training on a batch of its own: always on a copy, so that nothing of the training changes.

Shapes: L tap, s parameter, n = 1 member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradstab.errors import UsageError
from gradstab.probing.copies import bare_module, private_copy, refuse_unready
from gradstab.probing.forward import Batch, infinite_data, refuse_unfit_data, run_forward
from gradstab.probing.measurement import sample_weights
from gradstab.probing.precision import FLOAT64, OWN, Types, lifted
from gradstab.probing.randomness import held_generators, seed_generators
from gradstab.probing.refusals import UserCodeError
from gradstab.probing.surroundings import measuring_conditions
from gradstab.probing.trees import Tree, map_tensors
from gradstab.probing.untapped import refuse_unseen
from gradstab.record.statistics.layers import UpdatedLayers
from gradstab.record.statistics.registry import update_statistics
from gradstab.record.trajectory import FloatArray
from gradstab.training.modules.accuracy import accuracy_of
from gradstab.training.modules.faults import is_divergence
from gradstab.training.modules.parameters import placed
from gradstab.training.modules.tap_statistics import GROW_WITH_THE_LOSS, gradient_values, hidden, parameter_values
from gradstab.training.modules.taps import Taps
from gradstab.training.norms import exact_norms
from gradstab.watching.copies import copy_to_read, device_of, modes_of, named_parameters, trained_names
from gradstab.watching.processes import Silence, is_alone
from gradstab.watching.reference import reference_loss

Dtype = Literal["float64", "own"]

_TYPES: dict[Dtype, Types] = {"float64": FLOAT64, "own": OWN}
_SEED = 0  # of the random numbers of every reading: dropout masks are the same at each


@dataclass(frozen=True)
class SideReading:
    """What one reading gave.

    Attributes:
        step: optimizer steps before it.
        loss: mean of the samples' own losses.
        grad_norm: norm of the gradient of that mean by all trained parameters.
        accuracy: share of right classes; NaN where outputs and targets are no classes.
        layers: statistic name to (L,), as a trial of a study holds them.
    """

    step: int
    loss: float
    grad_norm: float
    accuracy: float
    layers: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return bool(np.isfinite(self.loss) and np.isfinite(self.grad_norm))


class SideBatch:
    """A fixed batch on which a model is read.

    Args:
        model, inputs, targets, loss, taps: as `gradstab.probe` takes them.
        dtype: "float64", or "own" for the types that the model's weights have.

    Attributes:
        taps: names of the places where gradients are compared.
        reference: the loss of the best constant prediction on this batch; NaN where it is unknown.
        notes: what the reader must know, a sentence each.

    Raises:
        UsageError: it cannot be measured; one sentence says why and what to do.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tree,
        targets: Tree,
        loss: Callable[[Any, Any], Any],
        taps: Sequence[str],
        dtype: Dtype,
    ) -> None:
        refuse_unready(model)
        refuse_unfit_data(inputs, targets)
        self.notes: list[str] = []
        if infinite := infinite_data(inputs, targets):  # no reason to stop a training
            self.notes.append(f"{infinite}: what is read says nothing of the network")
        self._given = (*lifted((inputs, targets), OWN), loss, list(taps))
        self._first = True
        self._before_step: nn.Module | None = None
        self._device = device_of(bare_module(model))
        try:
            self._find(model, _TYPES[dtype])
        except UserCodeError:
            if dtype == "own":
                raise
            self._find(model, OWN)  # perhaps an operation that has no float64
            self.notes.append("read in the model's own precision, because it does not run in float64")

    @property
    def dtype(self) -> Dtype:
        """In which types it is read."""
        return "own" if self._types == OWN else "float64"

    @property
    def waits_for_step(self) -> bool:
        """Whether `update` has something to compare with."""
        return self._before_step is not None

    @property
    def num_samples(self) -> int:
        """Samples of the batch."""
        return self._places.num_samples

    def read(self, model: nn.Module, step: int, modes: dict[str, bool] | None = None) -> SideReading:
        """Read the model as it is now.

        Args:
            modes: of its parts, by name, where they are not to be those of now.

        Raises:
            UsageError: the user's code raised although all weights are finite.
        """
        inner = bare_module(model)
        if self._first and modes_of(inner) != self._modes:  # samples that mix in training may not in eval mode
            self._find(model, self._types)
        with self._conditions():
            own = self._copy(inner, self._types)
            for name, part in own.named_modules() if modes else ():
                part.training = (modes or {}).get(name, part.training)
            seed_generators(_SEED, held_generators(own))
            found = self._read(own, step, trained_names(inner))
        self._before_step = own
        return found

    def update(self, model: nn.Module, optimizer: Optimizer) -> dict[str, FloatArray]:
        """Statistics of the step that the optimizer made since the last reading; NaN where it holds no weight."""
        own, self._before_step = self._before_step, None
        if own is None:
            return {}
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        now, before = named_parameters(bare_module(model)), dict(own.named_parameters())
        norms, changes = [], []
        with torch.no_grad():
            for name in self._placed.names[: self._placed.measured]:
                is_there = name in now and id(now[name]) in held and now[name].shape == before[name].shape
                old = before[name].double()
                norms.append(_norm(old))
                changes.append(_norm(now[name].double() - old) if is_there else torch.full_like(norms[-1], torch.nan))
            if not norms:
                return {}
            by_layer = [self._placed.weight_norms(torch.stack(of)[:, None]) for of in (norms, changes)]
        updated = UpdatedLayers(*by_layer)
        return {one.name: one.read(updated)[:, 0].cpu().numpy() for one in update_statistics()}

    def forget_step(self) -> None:
        """Free the copy of the last reading."""
        self._before_step = None

    def _find(self, model: nn.Module, types: Types) -> None:
        """Find the taps, and what the loss is."""
        self._types = types
        inner = bare_module(model)
        self._modes = modes_of(inner)
        with self._conditions(), ExitStack() as watching:
            if not is_alone():
                watching.enter_context(Silence())  # type: ignore[no-untyped-call]
            seed_generators(_SEED, [])
            own = self._copy(inner, types)
            batch = self._batch(own, types)
            self._places = Taps(own, batch, self._given[3])
            own = self._copy(inner, types)
            forward = run_forward(own, batch)
            refuse_unseen(own, forward, headline_is_chain=self._places.axis == "layers")
            weights = sample_weights(batch, forward, self._places.rows)
            self._total = weights.total
            self.notes += [remark for remark in (weights.remark,) if remark and remark not in self.notes]
            self.reference = reference_loss(batch, forward, self._places.num_samples)
            forward.release(own)
        self.taps = self._places.names
        self._trained: tuple[str, ...] | None = None

    def _copy(self, inner: nn.Module, types: Types) -> nn.Module:
        own, hooked = copy_to_read(inner, types)
        sentence = f"hooks on {', '.join(hooked[:3])}{', ...' if len(hooked) > 3 else ''} do not run in readings"
        if hooked and sentence not in self.notes:
            self.notes.append(sentence)
        return own

    @contextmanager
    def _conditions(self) -> Iterator[None]:
        """Those of a measurement, outside autocast and anomaly detection, for which weights that are NaN are errors."""
        with ExitStack() as conditions:
            conditions.enter_context(measuring_conditions())
            conditions.enter_context(np.errstate(all="ignore"))
            for kind in {"cpu", self._device.type}:
                conditions.enter_context(torch.autocast(kind, enabled=False))
            conditions.enter_context(torch.autograd.set_detect_anomaly(False))
            yield

    def _batch(self, own: nn.Module, types: Types) -> Batch:
        """The batch where the model is now."""
        inputs, targets, loss, _ = self._given
        device = device_of(own)
        if device != self._device:
            inputs, targets = (map_tensors(lambda tensor: tensor.to(device), tree) for tree in (inputs, targets))
        loss = private_copy(loss, types) if isinstance(loss, nn.Module) else loss
        inputs, targets = lifted((inputs, targets), types)
        return Batch(inputs, targets, loss, types)

    def _place(self, own: nn.Module, names: tuple[str, ...]) -> None:
        """Find which tap owns which of the trained parameters, where others are trained than before."""
        if names == self._trained:
            return
        differentiable = [value for value in own.parameters() if value.requires_grad]
        for name, value in own.named_parameters():
            value.requires_grad_(name in names)
        self._placed, self._trained = placed(own, self._places.owners), names
        for value in differentiable:
            value.requires_grad_(True)

    def _weight_norms(self, norm_of: dict[str, Tensor]) -> dict[str, Tensor]:
        """Norms of the gradient by the parameters of each tap."""
        if not norm_of:
            return {}
        norm_s1 = torch.stack([norm_of[name] for name in self._placed.names])[:, None]
        return {name: value_L1[:, 0] for name, value_L1 in parameter_values(self._placed, norm_s1).items()}

    def _level(self, values: dict[str, Tensor]) -> dict[str, FloatArray]:
        """The statistics of the mean loss, where the loss given is a sum or weighs samples."""
        excess = np.log10(self._total)
        found = {name: value_L.cpu().numpy() for name, value_L in values.items()}
        return {name: value_L - excess if name in GROW_WITH_THE_LOSS else value_L for name, value_L in found.items()}

    def _read(self, own: nn.Module, step: int, names: tuple[str, ...]) -> SideReading:
        batch, count = self._batch(own, self._types), self._places.num_samples
        by_name = dict(own.named_parameters())
        parameters = [by_name[name] for name in names]
        self._place(own, names)
        try:
            found = self._places.read_quickly(own, batch, parameters, count)
        except UsageError as error:
            cause = error.__cause__ if error.__cause__ is not None else error
            if not is_divergence(cause, finite=all(bool(value.isfinite().all()) for value in parameters)):
                raise
            return SideReading(step, np.nan, np.nan, np.nan)
        values = dict(found.values)
        if self._first and bool(hidden(values)):
            initial = self._places.initial_norms(own, batch)
            values |= {} if initial is None else gradient_values(*initial, count)
        self._first = False
        norm_of = {
            name: torch.zeros((), dtype=torch.float64, device=found.loss.device) if part is None else _norm(part)
            for name, part in zip(names, found.gradients, strict=True)
        }
        return SideReading(
            step,
            float(found.loss) / self._total,
            _total(list(norm_of.values())) / self._total,
            float(accuracy_of(found.outputs, batch.targets)),
            self._level({**values, **self._weight_norms(norm_of)}),
        )


def _norm(value: Tensor) -> Tensor:
    """Norm of all entries, float64; inf where one is not finite."""
    if value.is_sparse:
        value = value.coalesce().values()
    norm = exact_norms(value.detach().reshape(1, -1))[0]
    return torch.where(torch.isfinite(norm), norm, torch.inf)


def _total(norms: Sequence[Tensor]) -> float:
    """Norm of everything from the norms of its parts."""
    return float(exact_norms(torch.stack(list(norms))[None])[0]) if norms else 0.0
