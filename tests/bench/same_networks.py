"""Asserts that the bare loop, the peer and gradstab train the same networks: parameters, operations and values."""

from __future__ import annotations

import math
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from gradstab.loop.ports import Slot
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe
from gradstab.training.data import load_dataset
from gradstab.training.work import TrainingWork
from tests.bench.bare_loop import train_bare
from tests.bench.studies import changed, num_true_parameters, spread_points, trials_of, true_flops

_RELATIVE = 1e-3  # float32 in another order of operations, at gradients that grow by a factor a layer
_COMPARED_STEPS = 3
_TAME = (1e-4, 1e4)  # gradient norms outside: a step multiplies differences in the last digit beyond comparison


def check_same_networks(study: Study) -> float:
    """Compare a few trainings of a study; how many operations gradstab does for one that the bare loop does.

    Raises:
        AssertionError: they do not train the same networks.
    """
    short = changed(study, steps=20)
    data, shape = load_dataset(short.data, short.seed), short.data.shape()
    trials = trials_of(short, spread_points(short, 6))
    with FlopCounterMode(display=False) as ours_counted:
        trajectories = TrainingWork(short.data, short.seed).run(trials, Slot("cpu-0"))
    bare_flops = 0
    for trial, trajectory in zip(trials, trajectories, strict=True):
        with FlopCounterMode(display=False) as bare_counted:
            bare = train_bare(trial.recipe, trial.seed, data)
        assert bare.num_parameters == num_true_parameters(trial.recipe, shape)
        assert bare_counted.get_total_flops() == true_flops(trial.recipe, shape)
        bare_flops += bare_counted.get_total_flops()
        for step in range(_COMPARED_STEPS):
            for mine, its in ((trajectory["loss"], bare.losses), (trajectory["grad_norm"], bare.norms)):
                assert _agree(float(mine[step]), its[step]), f"{trial.point}, step {step}: {mine[step]}, {its[step]}"
            if not _TAME[0] < bare.norms[step] < _TAME[1]:
                break
    total = ours_counted.get_total_flops()
    assert total >= bare_flops, "gradstab must do at least the matrix products of the bare loop"
    return float(total / bare_flops)


def check_peer(study: Study, results: list[dict[str, Any]]) -> None:
    """The peer's trials have the right number of parameters, and its first ends at the bare loop's loss.

    Raises:
        AssertionError: they differ.
    """
    data, shape = load_dataset(study.data, study.seed), study.data.shape()
    for result in results:
        recipe = resolved_recipe(study, result["point"])
        assert result["parameters"] == num_true_parameters(recipe, shape), result
    recipe = resolved_recipe(study, results[0]["point"])
    last_report = (recipe.steps - 1) // recipe.probe_every * recipe.probe_every
    expected = train_bare(recipe, results[0]["seed"], data).losses[last_report]
    assert math.isclose(results[0]["loss"], expected, rel_tol=1e-2), (results[0], expected)


def _agree(mine: float, its: float) -> bool:
    """Close, or beyond the range of the float32 sums that the bare loop takes (ours are right further out)."""
    return not math.isfinite(its) or math.isclose(mine, its, rel_tol=_RELATIVE)
