"""What training cannot do without, alone and in as much memory as the pack's networks take: bounds of its speed.

Nothing is read or recorded, and of Python there are only the calls themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gradstab.activations.registry import find_activation, passes_of
from gradstab.loop.stacks import stacks_in_order
from gradstab.loop.trial import Trial
from gradstab.study.pack_key import padded
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.training.data import Dataset, load_dataset
from gradstab.training.initialisation import hidden_weights
from gradstab.training.parameters import layer_counts
from gradstab.training.products import products_for
from gradstab.training.slots import set_known_state, single_blas_thread

CPU = torch.device("cpu")
_STEPS = 20

Call = Callable[[], object]


@dataclass(frozen=True)
class Bounds:
    """CPU seconds of a pack's training below which no program gets that calls the same functions.

    Attributes:
        products: the products of hidden layers in all steps.
        operations: those and what belongs to them: batches fetched, readout, loss, biases, activations, their
            gradients, norms and updates in all steps, the passes of probes and accuracy at start and end, and the
            drawing of weights.
    """

    products: float
    operations: float


@dataclass(frozen=True)
class _Step:
    """One step of a stack, as calls in the order in which they are made."""

    before: list[Call] = field(default_factory=list)  # not timed
    forward: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)
    update: list[Call] = field(default_factory=list)

    def seconds(self) -> tuple[float, float, float]:
        """CPU seconds of one forward pass, one backward pass and one update."""
        total = [0.0, 0.0, 0.0]
        with torch.inference_mode(), single_blas_thread(), np.errstate(all="ignore"):
            for step in range(_STEPS + 1):
                for call in self.before:
                    call()
                for index, calls in enumerate((self.forward, self.backward, self.update)):
                    begin = time.process_time()
                    for call in calls:
                        call()
                    if step > 0:  # the first one finds the memory
                        total[index] += time.process_time() - begin
        forward, backward, update = (seconds / _STEPS for seconds in total)
        return forward, backward, update


def bounds(study: Study, pack: Sequence[Trial]) -> Bounds:
    """Measure both on one thread."""
    set_known_state()
    recipe, data = study.recipe, load_dataset(study.data, study.seed)
    at_ends = 2 / recipe.batch_size  # passes per row that is read at start and end
    backward_passes = recipe.steps + at_ends * recipe.probe_samples
    forward_passes = backward_passes + at_ends * len(data.accuracy_rows)
    products, operations = 0.0, _seconds_to_draw(pack, data.shape.num_features)
    for members in stacks_in_order([trial.recipe for trial in pack]):
        recipes = [pack[member].recipe for member in members]
        forward, backward, _ = _products(recipes, data).seconds()
        products += (forward + backward) * recipe.steps
        forward, backward, update = _operations(recipes, data).seconds()
        operations += forward * forward_passes + backward * backward_passes + update * recipe.steps
    return Bounds(products, operations)


def _seconds_to_draw(pack: Sequence[Trial], num_features: int) -> float:
    begin = time.process_time()
    for trial in pack:
        hidden_weights(trial.recipe, trial.seed, num_features)
    return time.process_time() - begin


@dataclass(frozen=True)
class _Layer:
    """Tensors of one layer of a stack: what it is given and makes, and the gradients of both."""

    x: Tensor
    a: Tensor
    below: Tensor
    delta: Tensor
    weight: Tensor
    gradient: Tensor


def _layers(recipes: Sequence[Recipe], data: Dataset) -> tuple[list[_Layer], list[Call]]:
    """A stack's hidden layers and its readout, deepest member first; and what makes its gradients large again."""
    batch, units = padded(recipes[0].batch_size), padded(recipes[0].width)
    counts = layer_counts([recipe.depth for recipe in recipes])
    a = _random(len(recipes), batch, padded(data.shape.num_features))
    deltas = [_random(len(recipes), batch, units) for _ in range(2)]
    below, layers = torch.empty_like(a), []
    for layer, count in enumerate(counts):
        x, a, delta = a, _random(count, batch, units), deltas[layer % 2]
        weight, gradient = (_random(count, x.shape[2], units) for _ in range(2))
        layers.append(_Layer(x[:count], a, below[:count], delta[:count], weight, gradient))
        below = delta
    weight, gradient = (_random(len(recipes), units, padded(data.num_classes)) for _ in range(2))
    top, logits = _random(len(recipes), batch, units), _random(len(recipes), batch, padded(data.num_classes))
    layers.append(_Layer(top, torch.empty_like(logits), below[:0], logits, weight, gradient))
    return layers, [partial(delta.copy_, delta.clone()) for delta in deltas]


def _products(recipes: Sequence[Recipe], data: Dataset) -> _Step:
    """The three products of hidden layers; the first layer's inputs have no gradient."""
    (*hidden, _), fresh = _layers(recipes, data)
    step, compute = _Step(fresh), products_for(CPU, None)
    for layer, one in enumerate(hidden):
        step.forward.append(compute.product(one.x, one.weight, one.a))
        calls: list[Call] = [compute.product(one.x.mT, one.delta, one.gradient)]
        if layer:
            calls.append(compute.product(one.delta, one.weight.mT, one.below))
        step.backward[:0] = calls
    return step


def _operations(recipes: Sequence[Recipe], data: Dataset) -> _Step:
    """Products and what belongs to them. The last layers of shallower members are not copied."""
    (*hidden, readout), fresh = _layers(recipes, data)
    step, compute = _Step(fresh), products_for(CPU, None)
    phi = passes_of(find_activation(recipes[0].activation), None)
    for layer, one in enumerate(hidden):
        count, units = len(one.a), one.a.shape[2]
        bias, bias_gradient, norm, rate = _random(count, 1, units), *(_random(count, n) for n in (units, 1, 1))
        weight, gradient = one.weight.view(count, -1), one.gradient.view(count, -1)
        step.forward.append(compute.product(one.x, one.weight, one.a))
        step.forward.extend((partial(one.a.add_, bias), partial(phi.apply, one.a, one.a)))
        calls: list[Call] = [
            partial(phi.backward, one.delta, one.a),
            compute.row_sums(one.delta, bias_gradient),
            compute.product(one.x.mT, one.delta, one.gradient),
            compute.norms(gradient, norm[:, 0]),
        ]
        if layer:
            calls.append(compute.product(one.delta, one.weight.mT, one.below))
        step.backward[:0] = calls
        step.update.append(partial(weight.addcmul_, gradient, rate.mul_(-1e-9)))
    x, rows = hidden[0].x, torch.randint(data.num_rows, (hidden[0].x.shape[0] * hidden[0].x.shape[1],))
    fetch = partial(torch.index_select, data.tensors(x.dtype, CPU)[0], 0, rows, out=x.view(-1, x.shape[2]))
    step.forward.insert(0, fetch)
    loss = (partial(torch.log_softmax, readout.a, 2), partial(torch.softmax, readout.a, 2, out=readout.delta))
    step.forward.extend((compute.product(readout.x, readout.weight, readout.a), *loss))
    step.backward[:0] = [
        compute.product(readout.x.mT, readout.delta, readout.gradient),
        compute.product(readout.delta, readout.weight.mT, readout.x),
    ]
    return step


def _random(*shape: int) -> Tensor:
    """Numbers of which sums over the last axis are about 1/2, so that layer upon layer keeps their size."""
    return torch.rand(shape) / shape[-1]
