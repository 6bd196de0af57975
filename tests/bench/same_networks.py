"""Asserts that the bare loop, the peer and gradstab train the same networks: parameters, operations and values.

Two programs that add float32 numbers in different orders differ in the last digits, and a training may multiply that
difference until nothing is left of it: after 20 steps some networks agree to six digits and others differ by a tenth.
Which do what depends on the kernels of the machine. So how far two programs may differ is measured, not chosen: the
bare loop trains twins as well, whose initial weights are off by one part in 10^5. That is 170 units in the last
place, far more than a sum's order changes; whatever the twins' difference has grown to, a difference that comes of
rounding is smaller.

- Parameters and operations are equal, exactly.
- Loss and gradient norm of step 0 are compared for every network.
- Those of later steps are compared as long as the twins have stayed within a tenth of each other.
- After that nothing of a single step says anything, and what is compared is how the training ends: it diverges where
  all twins do, stays finite where all twins do, and its last loss is then of the size of theirs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from gradstab.loop.ports import Slot
from gradstab.record.trajectory import Trajectory
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe
from gradstab.training.data import Dataset, load_dataset
from gradstab.training.work import TrainingWork
from tests.bench.bare_loop import BareTraining, make_network, train_bare, train_network
from tests.bench.numpy_calls import counted_flops
from tests.bench.studies import changed, num_true_parameters, spread_points, trials_of, true_flops

STEPS = 20
TRIALS = 8
_NUM_TWINS = 4
_TWIN = 1e-5  # relative change of every initial weight of a twin
_FLOOR = 1e-5  # relative; where nothing grows, sums of some thousand float32 numbers still differ by this
_GROWN = 0.1  # relative difference of twins beyond which single steps say nothing
_ENDS = 0.5  # decades beyond the twins' last losses in which ours may lie; .15 were seen in a network that explodes


class NetworksDifferError(AssertionError):
    """The programs do not train the same networks."""


def check_same_networks(study: Study, count: int = TRIALS) -> tuple[float, Counter[str]]:
    """Compare trainings of a study with the bare loop's.

    Returns how many operations gradstab does for one that the bare loop does, and how many values were compared:
    "values" of single steps, and "ends" of trainings in which the rest of the steps could not be.

    Raises:
        NetworksDifferError: they do not train the same networks.
    """
    short = changed(study, steps=STEPS)
    data, shape = load_dataset(short.data, short.seed), short.data.shape()
    trials = trials_of(short, spread_points(short, count))
    with counted_flops() as ours_counted:
        trajectories = TrainingWork(short.data, short.seed).run(trials, Slot("cpu-0"))
    bare_flops, compared = 0, Counter[str]()
    for trial, trajectory in zip(trials, trajectories, strict=True):
        with FlopCounterMode(display=False) as bare_counted:
            bare = train_bare(trial.recipe, trial.seed, data)
        _require(bare.num_parameters == num_true_parameters(trial.recipe, shape), f"{trial.point}: parameters")
        _require(bare_counted.get_total_flops() == true_flops(trial.recipe, shape), f"{trial.point}: operations")
        bare_flops += bare_counted.get_total_flops()
        compared += compare(trajectory, bare, twins_of(trial.recipe, trial.seed, data), str(trial.point))
    total = ours_counted.total
    _require(total >= bare_flops, "gradstab must do at least the matrix products of the bare loop")
    return float(total / bare_flops), compared


def twins_of(recipe: Recipe, seed: int, data: Dataset) -> list[BareTraining]:
    """Trainings of networks that differ from the recipe's by a hair, on the same batches."""
    twins = []
    for number in range(_NUM_TWINS):
        network = make_network(recipe, seed, data.shape.num_features, data.num_classes)
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1 + _TWIN * torch.randn(parameter.shape, generator=generator))
        twins.append(train_network(network, recipe, seed, data))
    return twins


def compare(ours: Trajectory, bare: BareTraining, twins: Sequence[BareTraining], name: str) -> Counter[str]:
    """Compare one training with the bare loop's, as closely as its twins allow; what was compared, counted.

    Raises:
        NetworksDifferError: a difference is larger than rounding could have made it.
    """
    compared = Counter[str]()
    grown = 0.0
    for step in range(len(bare.losses)):
        for what, mine, its, theirs in (
            ("loss", ours["loss"], bare.losses, [twin.losses for twin in twins]),
            ("gradient norm", ours["grad_norm"], bare.norms, [twin.norms for twin in twins]),
        ):
            if not math.isfinite(its[step]):
                continue  # beyond the range of the float32 sums that the bare loop takes; ours are right further out
            grown = max(grown, *(_difference(its[step], one[step]) for one in theirs))
            if step > 0 and grown > _GROWN:
                break
            found = _difference(float(mine[step]), its[step])
            said = f"{name}, step {step}, {what}: {mine[step]:.7g} and {its[step]:.7g}; twins differ by {grown:.1e}"
            _require(found <= _FLOOR + grown, said)
            compared["values"] += 1
        if grown > _GROWN or not math.isfinite(bare.losses[step] + bare.norms[step]):
            _compare_ends(ours, [bare, *twins], name)
            compared["ends"] += 1
            break
    return compared


def _compare_ends(ours: Trajectory, theirs: Sequence[BareTraining], name: str) -> None:
    """Where single steps say nothing: both diverge or neither, and the last losses are of one size."""
    mine = float(ours["loss"][-1])
    last = [math.log10(one.losses[-1]) for one in theirs if math.isfinite(one.losses[-1] + one.norms[-1])]
    if not last:
        _require(not math.isfinite(mine) or mine > _HUGE, f"{name}: every twin diverges, ours ends at {mine:.4g}")
    elif len(last) == len(theirs):
        said = f"{name}: ours ends at a loss of {mine:.4g}, the twins at 10^{min(last):.3f} to 10^{max(last):.3f}"
        _require(math.isfinite(mine) and min(last) - _ENDS <= math.log10(mine) <= max(last) + _ENDS, said)


_HUGE = 1e18  # whose square float32 cannot hold: the bare loop's norms end there, ours do not


def check_peer(study: Study, results: list[dict[str, Any]]) -> None:
    """The peer's trials have the right number of parameters, and its first ends at the bare loop's loss.

    Raises:
        NetworksDifferError: they differ.
    """
    torch.set_num_threads(1)  # as the peer trains: sums of another order may end anywhere after a hundred steps
    torch.set_flush_denormal(False)
    data, shape = load_dataset(study.data, study.seed), study.data.shape()
    for result in results:
        recipe = resolved_recipe(study, result["point"])
        _require(result["parameters"] == num_true_parameters(recipe, shape), f"parameters of {result}")
    recipe = resolved_recipe(study, results[0]["point"])
    last_report = (recipe.steps - 1) // recipe.probe_every * recipe.probe_every
    expected = train_bare(recipe, results[0]["seed"], data).losses[last_report]
    agree = math.isclose(results[0]["loss"], expected, rel_tol=1e-2)
    _require(agree, f"the peer's loss is {results[0]['loss']}, the bare loop's {expected}")


def _difference(one: float, other: float) -> float:
    """Relative; infinite where one of them alone is not finite."""
    if not math.isfinite(one + other):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other), 1e-30)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise NetworksDifferError(sentence)
