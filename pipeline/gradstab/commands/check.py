"""`gradstab check`: checks a study and estimates packs, time, memory, disk and MLflow rows before it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
import random
from collections import Counter
from dataclasses import dataclass

from gradstab.loop.pack_queue import TARGET_SECONDS
from gradstab.loop.packing import CostModel, pack_bytes, pack_length, result_bytes
from gradstab.study.pack_key import pack_key
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

NUM_SAMPLED_POINTS = 512
ROWS_PER_SUMMARY = 100  # at most, see SUMMARY in tracking
PARENT_ROWS = 200


@click.command()
@click.argument("study")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Replace a field of the study, for example recipe.width=256.",
)
@results_option
@format_option
def check(study: str, overrides: tuple[str, ...], results: str | None, output: Format) -> None:
    """Check STUDY and estimate its time, memory and disk use."""
    from gradstab.commands.lookup import find_study
    from gradstab.commands.terminal import print_json, print_pairs
    from gradstab.display.numbers import duration_text, size_text
    from gradstab.loop.calibration import stored_cost_model
    from gradstab.session.parts import memory_of_a_slot

    declared, _ = find_study(study, results, overrides)
    slots = declared.resources.slots or os.cpu_count() or 1
    found = estimate(declared, stored_cost_model(), slots, memory_of_a_slot(slots))
    if output == "json":
        print_json({"study": declared.dump(), "estimate": vars(found)})
        return
    import yaml

    click.echo(yaml.safe_dump(declared.dump(), sort_keys=False, allow_unicode=True))
    rough = "" if found.calibrated else "  (rough: this machine's speed was not measured yet)"
    print_pairs(
        {
            "trials": f"{found.trials} in about {found.packs} packs of up to {found.trials_per_pack}, "
            f"{found.pack_keys} kind{'s' if found.pack_keys > 1 else ''}",
            "time": f"{duration_text(found.seconds)} on {slots} slot{'s' if slots > 1 else ''}{rough}",
            "memory": f"{size_text(found.pack_bytes)} a slot",
            "disk": size_text(found.disk_bytes),
            "MLflow": f"{found.mlflow_rows} rows at most",
        }
    )


@dataclass(frozen=True)
class Estimate:
    """Estimates for a whole study.

    Attributes:
        pack_keys: number of pack keys (trials with different keys never train together).
        packs: number of packs.
        trials_per_pack: trials in the largest pack.
        seconds: wall time on `slots` idle slots.
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
    mean_seconds = sum(cost.seconds(recipe, shape) for recipe in recipes) / len(recipes)
    seconds = study.budget.trials * mean_seconds / slots
    by_key: dict[object, list[Recipe]] = {}
    for recipe in recipes:
        by_key.setdefault(pack_key(recipe), []).append(recipe)
    # near the end packs shrink so that slots finish together; before that, packs have the target length
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
    child_runs = min(study.budget.trials, study.tracking.child_runs)
    if study.tracking.detail == "summary":
        return child_runs * ROWS_PER_SUMMARY + PARENT_ROWS
    counts = Counter({"rows": 0})
    for recipe in recipes:
        num_probes = 1 + -(-recipe.steps // recipe.probe_every) if recipe.steps else 1
        counts["rows"] += ROWS_PER_SUMMARY + 10 * recipe.depth * num_probes
    return int(child_runs * counts["rows"] / len(recipes)) + PARENT_ROWS
