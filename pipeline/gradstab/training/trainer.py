"""Training a pack: the step loop that every network family goes through.

Members with equal activation (and equal use of momentum and weight decay) form a stack. Each stack is trained by
itself, so nothing in a member depends on the rest of its pack. Shapes: n member of a stack, S step,
P probe time, L layer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.loop.ports import Outcome, Step
from gradstab.loop.stacks import nominal_ends, stacks_in_order
from gradstab.record.failure import Failure
from gradstab.record.statistics.layers import UpdatedLayers
from gradstab.record.statistics.registry import update_statistics
from gradstab.record.trajectory import Trajectory
from gradstab.study.pack_key import pack_key
from gradstab.study.recipe import Recipe, probe_steps, reads_accuracy
from gradstab.training.clipping import Clipping
from gradstab.training.data import BatchOrder
from gradstab.training.layout import FlatLayout
from gradstab.training.log import StackLog
from gradstab.training.network import Network
from gradstab.training.norms import total_norms
from gradstab.training.optimizers import OPTIMIZERS
from gradstab.training.probes import LayerValues

CPU = torch.device("cpu")
_FIXED_PROBES = 2  # the first and the last, on the probe rows
_COMPACT_EVERY = 8  # steps between two checks for members that stopped
_COMPACT_FRACTION = 0.1  # share of stopped members up to which keeping them is cheaper than rebuilding the stack


class Family(Protocol):
    """What the loop needs from a stack of networks. `Network` is one; others can stand beside it.

    `value` and `grad` are flat buffers laid out by `layout`, whose first `num_layers` sections are the hidden layers'
    weights; `by_layer` makes norms of the layers (L, n) of those of the sections. `depths` says how many layers each
    member has when the stack is made, and `taps` how they are called where they have names. Rows are indices into
    the data, (n, B); losses are float64 (n,) means over those rows; both passes leave the gradient of the mean loss in
    `grad`, and its norm over all layers (n,), float64, in `grad_norms`.
    """

    layout: FlatLayout
    value: Tensor
    grad: Tensor

    @property
    def num_layers(self) -> int: ...

    @property
    def depths(self) -> Sequence[int]: ...

    @property
    def taps(self) -> tuple[str, ...]: ...

    def by_layer(self, norm_sn: Tensor) -> Tensor: ...

    def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor: ...

    def probe(self, rows_nB: NDArray[np.int64]) -> tuple[Tensor, LayerValues]: ...

    def accuracy(self, rows: NDArray[np.int64]) -> Tensor: ...

    def grad_norms(self) -> Tensor: ...

    def keep(self, members: Sequence[int]) -> None: ...


class Rows(Protocol):
    """What the loop itself needs of the data; the rest is between the data and its family."""

    @property
    def num_rows(self) -> int: ...

    @property
    def accuracy_rows(self) -> NDArray[np.int64]: ...

    @property
    def reference_loss(self) -> float: ...

    @property
    def target_loss(self) -> float | None: ...

    def probe_rows(self, count: int) -> NDArray[np.int64]: ...


class UnstackableError(Exception):
    """A family cannot compute these members together. Alone it can."""


MakeFamily = Callable[[Sequence[Recipe], Sequence[int], Any, torch.device], Family]
FindStacks = Callable[[Sequence[Recipe]], list[list[int]]]


def train(
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Rows,
    device: torch.device = CPU,
    family: MakeFamily = Network,
) -> list[Trajectory]:
    """One trajectory per recipe, in order; arguments and errors are those of `train_in_steps`."""
    ended: dict[int, Outcome] = {}
    for step in train_in_steps(recipes, seeds, data, device, family):
        ended.update(step.ended)
    return [trajectory for _, trajectory in sorted(ended.items()) if isinstance(trajectory, Trajectory)]


def train_in_steps(
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Rows,
    device: torch.device = CPU,
    family: MakeFamily = Network,
    find_stacks: FindStacks = stacks_in_order,
    failure_of: Callable[[Exception], Failure] | None = None,
) -> Generator[Step, None, None]:
    """Train the members of one pack, stack after stack; each stack ends with the trajectories of its members.

    Args:
        recipes: one per member, all with one pack key.
        seeds: one per member; a seed determines weights, biases and batch order.
        data: the study's data set.
        device: the device to train on.
        family: makes the stack of networks.
        find_stacks: says which members are computed together.
        failure_of: makes an exception the failure of the stack in which it was raised, whose members end with it; it
            may raise it again. Without it every exception ends the pack.

    Raises:
        ValueError: the recipes do not share a pack key.
        DataError: the data has fewer rows than a probe reads.
    """
    if len({pack_key(recipe) for recipe in recipes}) > 1:
        raise ValueError("recipes of one pack must agree in every structural field (study/recipe.py)")
    stacks = find_stacks(recipes)
    ends = nominal_ends(recipes, stacks)
    for members, start, end, next_end in zip(stacks, [0.0, *ends], ends, [*ends[1:], 1.0], strict=False):
        chosen, chosen_seeds = [recipes[index] for index in members], [seeds[index] for index in members]
        results = yield from _train_stack(chosen, chosen_seeds, data, device, family, failure_of, start, end)
        yield Step(end, next_end, dict(zip(members, results, strict=True)))


def _train_stack(
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Rows,
    device: torch.device,
    family: MakeFamily,
    failure_of: Callable[[Exception], Failure] | None,
    start: float,
    end: float,
) -> Generator[Step, None, Sequence[Outcome]]:
    """Train one stack; its members one by one from the start where they turn out not to go together."""
    done = start
    try:
        steps = StackTraining(recipes, seeds, data, device, family).train(start, end)
        while True:
            try:
                step = next(steps)
            except StopIteration as stopped:
                ended: list[Trajectory] = stopped.value
                return ended
            done = step.done
            yield step
    except UnstackableError:
        pass
    except Exception as error:
        if failure_of is None:
            raise
        if len(recipes) == 1:
            return [failure_of(error)]
    share = (end - done) / len(recipes)
    results: list[Outcome] = []
    for place, (recipe, seed) in enumerate(zip(recipes, seeds, strict=True)):
        first = done + place * share
        results += yield from _train_stack([recipe], [seed], data, device, family, failure_of, first, first + share)
    return results


class StackTraining:
    """One training of one stack."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        data: Rows,
        device: torch.device,
        family: MakeFamily,
    ) -> None:
        self.recipe = recipes[0]  # for the settings that all members share
        self.data = data
        self.probe_rows = data.probe_rows(self.recipe.probe_samples)
        self.network = family(recipes, seeds, data, device)
        self.batches = BatchOrder(seeds, data.num_rows, self.recipe.batch_size)
        self.clipping = Clipping(recipes, device)
        self.optimizer = OPTIMIZERS[self.recipe.optimizer](recipes, self.network.layout, self.network.value)
        self.log = StackLog(recipes, self.network.depths, device)

    def train(self, start: float, end: float) -> Generator[Step, None, list[Trajectory]]:
        """Train from the first probe to the last; the pack's share of work goes from `start` to `end` meanwhile.

        Returns:
            One trajectory per member, in the order of the start.
        """
        self.probe_fixed_rows(0)
        probes = probe_steps(self.recipe)
        for step in range(self.recipe.steps):
            # every step counts alike: members that stop do so early, and are dropped, which makes the rest one pace
            yield Step(start + (end - start) * (1 + step) / (self.recipe.steps + _FIXED_PROBES), end)
            self.step(step, probes.index(step) if step % self.recipe.probe_every == 0 else None)
            if step % _COMPACT_EVERY == 0 and not self.drop_stopped_members():
                return self.log.trajectories(self.data, self.network.taps)
        if self.recipe.steps > 0:
            self.probe_fixed_rows(len(probes) - 1)
        self.log.finish(torch.isfinite(total_norms(self.network.layout, self.network.value)))
        return self.log.trajectories(self.data, self.network.taps)

    def step(self, step: int, probe: int | None) -> None:
        """Do one optimizer step. `probe` is the index of its probe time, if it is one."""
        rows_nB = self.batches.next()
        if probe is not None and step > 0:
            read = reads_accuracy(self.recipe, step)
            accuracy_n = self.network.accuracy(self.data.accuracy_rows) if read else None
            loss_n, layers = self.network.probe(rows_nB)
            self.log.probe(probe, layers, loss_n, accuracy_n)
        else:
            loss_n = self.network.loss_and_gradient(rows_nB)
        network = self.network
        norm_n = network.grad_norms()
        clip_factor_n, factor_n = self.clipping(network.layout, network.grad, norm_n)
        self.log.step(loss_n, norm_n, clip_factor_n)
        if probe is None:
            self.optimizer.update(network.value, network.grad, factor_n)
        else:
            norms = self.optimizer.measured_update(network.value, network.grad, factor_n, network.num_layers)
            updated = UpdatedLayers(*(network.by_layer(norm_sn) for norm_sn in norms))
            self.log.update(probe, {statistic.name: statistic.read(updated) for statistic in update_statistics()})

    def probe_fixed_rows(self, probe: int) -> None:
        """Read loss, accuracy and layer statistics on the probe rows."""
        rows_nB = np.broadcast_to(self.probe_rows, (self.network.layout.members, len(self.probe_rows)))
        loss_n, layers = self.network.probe(rows_nB)
        self.log.probe(probe, layers, loss_n, self.network.accuracy(self.data.accuracy_rows))

    def drop_stopped_members(self) -> bool:
        """Drop members that became non-finite once there are enough of them to pay for rebuilding the stack.

        Returns:
            Whether any member still runs.
        """
        members = self.log.running_members()
        total = self.network.layout.members
        if total - len(members) <= _COMPACT_FRACTION * total or not members:
            return bool(members)
        self.optimizer.keep(members)
        self.network.keep(members)
        self.clipping.keep(members)
        self.batches.keep(members)
        self.log.keep(members)
        return True
