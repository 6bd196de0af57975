"""Estimates of packs, time, memory, disk and MLflow rows of a study that has not run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.loop.cost_model import CostModel, PackSeconds
from gradstab.loop.pack_size import USUAL, pack_length, time_of_next_pack
from gradstab.loop.packing import pack_bytes, result_bytes
from gradstab.study.pack_key import DataShape, pack_key, stack_key
from gradstab.study.recipe import Recipe, probe_steps
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

NUM_SAMPLED_POINTS = 512
ROWS_PER_SUMMARY = 100  # at most, see SUMMARY in tracking
PARENT_ROWS = 200
# CPU of everything beside training, if Python is as fast as the cost model assumes: driver, Ray and shipper
SECONDS_BESIDE_TRAINING = 0.045


@dataclass(frozen=True)
class Estimate:
    """Estimates for a whole study.

    Attributes:
        pack_keys: number of pack keys (trials with different keys never train together).
        packs: number of packs.
        trials_per_pack: trials in the largest pack.
        batch: what the sampler limits packs to, because it looks at results; None where it does not.
        dispatch_share: part of the training time that does not depend on how many trials a pack has.
        seconds: wall clock from the first trial to the last, on `slots` slots and as many cores that do nothing else.
        pack_bytes: memory of one pack; each slot holds one.
        disk_bytes: size of the results folder.
        mlflow_rows: metric rows in MLflow.
        calibrated: whether this machine's speed was measured; otherwise seconds are rough.
    """

    trials: int
    slots: int
    pack_keys: int
    packs: int
    trials_per_pack: int
    batch: int | None
    dispatch_share: float
    seconds: float
    pack_bytes: int
    disk_bytes: int
    mlflow_rows: int
    calibrated: bool


def estimate(study: Study, cost: CostModel, slots: int, max_bytes: int) -> Estimate:
    """Estimates from points drawn uniformly from the space (an adaptive sampler may prefer more expensive ones)."""
    shape = study.data.shape()
    recipes = _sampled_recipes(study)
    share = study.budget.trials / len(recipes)
    batch = max(study.sampler.ask_batch_size(), study.replicates) if study.is_adaptive else None
    members = share * sum(cost.seconds(recipe, shape) for recipe in recipes)
    packs = _Packs(cost, shape, members / slots, max_bytes, share, batch)
    groups: dict[object, list[Recipe]] = {}
    for recipe in recipes:
        # an adaptive sampler's packs mix activations, others are made of one
        key = pack_key(recipe) if study.is_adaptive else (pack_key(recipe), stack_key(recipe))
        groups.setdefault(key, []).append(recipe)
    for group in groups.values():
        packs.cut(group)
    training = members + packs.dispatch
    beside = study.budget.trials * SECONDS_BESIDE_TRAINING * cost.python_slowness()
    return Estimate(
        trials=study.budget.trials,
        slots=slots,
        pack_keys=len({pack_key(recipe) for recipe in recipes}),
        packs=max(1, round(packs.number)),
        trials_per_pack=len(packs.largest),
        batch=batch,
        dispatch_share=packs.dispatch / training if training > 0 else 0.0,
        seconds=(training + beside) / slots,
        pack_bytes=pack_bytes(packs.largest, shape),
        disk_bytes=int(study.budget.trials * sum(map(result_bytes, recipes)) / len(recipes)),
        mlflow_rows=_mlflow_rows(study, recipes),
        calibrated=cost.measured,
    )


class _Packs:
    """Packs that are cut as the loop does before a study nears its end.

    Attributes:
        number: how many packs the whole study has.
        dispatch: their seconds that do not depend on how many members they have.
        largest: the recipes of the largest pack.
    """

    def __init__(
        self, cost: CostModel, shape: DataShape, seconds: float, max_bytes: int, share: float, batch: int | None
    ) -> None:
        self._cost = cost
        self._shape = shape
        self._time = time_of_next_pack(USUAL, seconds)
        self._max_bytes = max_bytes
        self._share = share
        self._batch = batch
        self.number = self.dispatch = 0.0
        self.largest: Sequence[Recipe] = ()

    def cut(self, group: Sequence[Recipe]) -> None:
        """Cut the trials of which this group is a sample into packs."""
        num_trials = max(1, round(self._share * len(group)))
        repeated = [group[index % len(group)] for index in range(min(num_trials, 4096))]
        scale, begin = num_trials / len(repeated), 0
        while begin < len(repeated):
            rest = repeated[begin:] if self._batch is None else repeated[begin : begin + self._batch]
            length, _ = pack_length(rest, self._shape, self._cost, self._time, self._max_bytes)
            pack = rest[:length]
            seconds = PackSeconds(self._cost, self._shape)
            for recipe in pack:
                seconds.add(recipe)
            self.number += scale
            self.dispatch += scale * seconds.dispatch
            self.largest = max(self.largest, pack, key=len)
            begin += length


def _sampled_recipes(study: Study) -> list[Recipe]:
    generator = random.Random(study.seed)
    names = study.space.names()
    count = min(NUM_SAMPLED_POINTS, study.budget.trials)
    return [
        resolved_recipe(study, study.space.point_from_unit({n: generator.random() for n in names}))
        for _ in range(count)
    ]


def _mlflow_rows(study: Study, recipes: list[Recipe]) -> int:
    child_runs = min(study.budget.trials, study.tracking.child_runs)
    if study.tracking.detail == "summary":
        return child_runs * ROWS_PER_SUMMARY + PARENT_ROWS
    rows = sum(ROWS_PER_SUMMARY + 10 * recipe.depth * len(probe_steps(recipe)) for recipe in recipes)
    return int(child_runs * rows / len(recipes)) + PARENT_ROWS
