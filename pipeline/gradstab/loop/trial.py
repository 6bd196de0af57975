"""A trial: one training at one point with one seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gradstab.study.axes import Value
from gradstab.study.recipe import Recipe


@dataclass(frozen=True)
class Trial:
    """One training to be done.

    Attributes:
        number: the same in Optuna, in the study's table and in MLflow.
        point: one value per axis.
        recipe: all settings: the point's values are put in place, and relative scales are made absolute.
        seed: determines weights, biases and batch order.
        retry_of: the number of the failed trial that this one repeats.
    """

    number: int
    point: dict[str, Value]
    recipe: Recipe
    seed: int
    retry_of: int | None = None


def trial_seed(study_seed: int, number: int) -> int:
    """Seed of a trial: 64 bits of blake2b over (study seed, number), so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{study_seed}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
