"""The benchmark's check of equal networks sees what differs, however little, and nothing where only rounding does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.training.data import load_dataset
from gradstab.training.work import TrainingWork
from tests.bench.bare_loop import BareTraining, train_bare
from tests.bench.same_networks import NetworksDifferError, compare, twins_of
from tests.bench.studies import STUDY_T, changed, spread_points, trials_of

STUDY = changed(STUDY_T, width=24, steps=20, momentum=0.9)
TRIALS = trials_of(STUDY, spread_points(STUDY, 4))
WORK = TrainingWork(STUDY.data, STUDY.seed)


@pytest.fixture(scope="module", autouse=True)
def _one_slot() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bare() -> list[tuple[BareTraining, list[BareTraining]]]:
    """The bare loop's trainings, each with its twins."""
    data = load_dataset(STUDY.data, STUDY.seed)
    return [(train_bare(t.recipe, t.seed, data), twins_of(t.recipe, t.seed, data)) for t in TRIALS]


def ours(**changes: Any) -> list[Trajectory]:
    """Our trainings with settings changed; a function is given the old value."""
    trials = []
    for trial in TRIALS:
        held = {name: getattr(trial.recipe, name) for name in changes if name != "seed"}
        new = {name: changes[name](value) if callable(changes[name]) else changes[name] for name, value in held.items()}
        trials.append(Trial(trial.number, trial.point, trial.recipe.at(new), changes.get("seed", trial.seed)))
    return WORK.run(trials, Slot("cpu-0"))


def test_the_same_networks_pass_and_most_steps_are_compared(bare):
    compared = Counter[str]()
    for trajectory, (one, twins) in zip(ours(), bare, strict=True):
        compared += compare(trajectory, one, twins, "same")
    assert compared["values"] >= 80, "of 160: four trainings, 20 steps, loss and norm"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 5},
        {"momentum": 0.91},
        {"learning_rate": 0.0505},
        {"clip_threshold": lambda threshold: 1.01 * threshold},
        {"clip": False},
        {"activation": "linear"},
        {"init_scale": lambda scale: 1.0001 * scale},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_networks_are_told(bare, changes):
    with pytest.raises(NetworksDifferError):  # noqa: PT012 - one of the trainings shows it
        for trajectory, (one, twins) in zip(ours(**changes), bare, strict=True):
            compare(trajectory, one, twins, str(changes))


def test_a_training_that_ends_elsewhere_is_told_where_steps_cannot_be_compared(
    bare: list[tuple[BareTraining, list[BareTraining]]],
) -> None:
    """Single steps of a wild network are beyond comparison; whether it diverges is not."""
    one, _ = bare[0]

    def scaled(factor: float, last: float = 1.0) -> BareTraining:
        losses = [one.losses[0], *(factor * loss for loss in one.losses[1:])]
        return replace(one, losses=[*losses[:-1], losses[-1] * last])

    same, diverged = ours()[0], ours()[0]
    diverged["loss"][1:] = np.nan
    wild = [scaled(factor) for factor in (1.3, 0.7, 1.2, 0.8)]
    assert compare(same, one, wild, "same") == {"values": 2, "ends": 1}
    with pytest.raises(NetworksDifferError, match="ends at a loss of nan"):
        compare(diverged, one, wild, "diverged")
    with pytest.raises(NetworksDifferError, match="every twin diverges"):
        compare(same, scaled(1.0, math.inf), [scaled(factor, math.inf) for factor in (1.3, 0.7)], "sound")
