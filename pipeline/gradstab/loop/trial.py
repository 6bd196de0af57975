"""A trial, one training at one point with one seed; and what a machine's failure leaves instead of a result."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gradstab.study.recipe import Recipe
from gradstab.study.space import Value


@dataclass(frozen=True)
class Trial:
    """One training to be done.

    Attributes:
        number: the same in Optuna, in the study's table and in MLflow.
        point: one value per axis.
        recipe: all settings, the point's put in place and relative scales made absolute.
        seed: determines weights, biases and batch order.
        retry_of: number of the failed trial that this one tries again.
    """

    number: int
    point: dict[str, Value]
    recipe: Recipe
    seed: int
    retry_of: int | None = None


@dataclass(frozen=True)
class TrialFailure:
    """The machine failed, not the training: a worker lost, memory exhausted, a bug."""

    number: int
    reason: str
    attempts: int


def trial_seed(study_seed: int, number: int) -> int:
    """Seed of a trial: 64 bits of blake2b over (study seed, number), so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{study_seed}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
