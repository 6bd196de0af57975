"""What a study will take, before it runs: packs, time, memory, disk and MLflow rows."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from gradstab.loop.packing import CostModel, pack_bytes, pack_length, result_bytes
from gradstab.loop.runner import TARGET_SECONDS
from gradstab.study.pack_key import pack_key
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

NUM_SAMPLED_POINTS = 512
ROWS_PER_SUMMARY = 100  # at most, see SUMMARY in tracking
PARENT_ROWS = 200


@dataclass(frozen=True)
class Estimate:
    """Estimates for a whole study.

    Attributes:
        pack_keys: kinds of packs (trials of different kinds never train together).
        packs: packs in all.
        trials_per_pack: in the largest kind.
        seconds: wall time on `slots` slots.
        pack_bytes: memory of one pack; there is one on each slot.
        disk_bytes: the results folder.
        mlflow_rows: metric rows.
        calibrated: whether this machine's speed was measured; otherwise seconds are rough.
    """

    trials: int
    slots: int
    pack_keys: int
    packs: int
    trials_per_pack: int
    seconds: float
    pack_bytes: int
    disk_bytes: int
    mlflow_rows: int
    calibrated: bool


def estimate(study: Study, cost: CostModel, slots: int, max_bytes: int) -> Estimate:
    """Estimates from points drawn uniformly from the space (an adaptive sampler may prefer dearer ones)."""
    shape = study.data.shape()
    recipes = _sampled_recipes(study)
    share = study.budget.trials / len(recipes)
    mean_seconds = sum(cost.seconds(recipe, shape) for recipe in recipes) / len(recipes)
    seconds = study.budget.trials * mean_seconds / slots
    by_key: dict[object, list[Recipe]] = {}
    for recipe in recipes:
        by_key.setdefault(pack_key(recipe), []).append(recipe)
    # near the end packs shrink so that slots finish together; the target is what holds before
    target = min(TARGET_SECONDS, seconds / 2) if seconds > 0 else TARGET_SECONDS
    lengths = {key: pack_length(group * 2, shape, cost, target, max_bytes) for key, group in by_key.items()}
    largest = max(by_key, key=lambda key: len(by_key[key]))
    num_packs = sum(-(-int(len(group) * share) // lengths[key]) or 1 for key, group in by_key.items())
    trials_per_pack = min(lengths[largest], study.budget.trials)
    return Estimate(
        trials=study.budget.trials,
        slots=slots,
        pack_keys=len(by_key),
        packs=num_packs,
        trials_per_pack=trials_per_pack,
        seconds=seconds,
        pack_bytes=pack_bytes((by_key[largest] * 2)[:trials_per_pack], shape),
        disk_bytes=int(study.budget.trials * sum(map(result_bytes, recipes)) / len(recipes)),
        mlflow_rows=_mlflow_rows(study, recipes),
        calibrated=cost.measured,
    )


def _sampled_recipes(study: Study) -> list[Recipe]:
    generator = random.Random(study.seed)
    names = study.space.names()
    count = min(NUM_SAMPLED_POINTS, study.budget.trials)
    return [
        resolved_recipe(study, study.space.point_from_unit({n: generator.random() for n in names}))
        for _ in range(count)
    ]


def _mlflow_rows(study: Study, recipes: list[Recipe]) -> int:
    children = min(study.budget.trials, study.tracking.children)
    if study.tracking.detail == "summary":
        return children * ROWS_PER_SUMMARY + PARENT_ROWS
    counts = Counter({"rows": 0})
    for recipe in recipes:
        num_probes = 1 + -(-recipe.steps // recipe.probe_every) if recipe.steps else 1
        counts["rows"] += ROWS_PER_SUMMARY + 10 * recipe.depth * num_probes
    return int(children * counts["rows"] / len(recipes)) + PARENT_ROWS
