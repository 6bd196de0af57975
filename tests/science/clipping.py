"""What clipping does for networks that explode, and that it does nothing for those that vanish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradstab.record.trajectory import Trajectory
from gradstab.study.axes import Value
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.training_response import nonfinite_step
from gradstab.training.data import load_dataset
from gradstab.training.trainer import train
from tests.science.claims import Claim

SEEDS = 3
EXPLODING = Recipe(depth=20, activation="relu", width=100, learning_rate=0.1, steps=200, batch_size=100, probe_every=50)
LEAST_ACCURACY = {1.6: 0.75, 1.8: 0.5}
VANISHING = (("sigmoid", 8, 1.0), ("sigmoid", 8, 4.0), ("tanh", 20, 0.7), ("gelu", 20, 1.2))
CHANCE = 0.15
UNCLIPPED: dict[str, Value] = {"clip": False}


def claims() -> list[Claim]:
    """ReLU past its threshold with and without clipping, and four vanishing settings under three of them."""
    made = []
    for init_scale, least in LEAST_ACCURACY.items():
        title = f"ReLU L=20 sigma_w={init_scale:g}"
        bare = _trained([EXPLODING.at({"init_scale": init_scale, **UNCLIPPED})])
        lost = sum(nonfinite_step(trajectory) is not None for trajectory in bare)
        made.append(
            Claim(f"{title}, no clipping: non-finite", "3 of 3", f"{lost} of {SEEDS}", SEEDS, "", lost == SEEDS)
        )
        clipped = _trained([EXPLODING.at({"init_scale": init_scale, "clip": True, "clip_threshold": 1.0})])
        kept = sum(nonfinite_step(trajectory) is None for trajectory in clipped)
        made.append(Claim(f"{title}, clip 1: finite", "3 of 3", f"{kept} of {SEEDS}", SEEDS, "", kept == SEEDS))
        accuracies = _accuracies(clipped)
        mean = float(np.mean(accuracies))
        made.append(
            Claim(
                f"{title}, clip 1: mean accuracy",
                f"at least {least:g}",
                f"{mean:.3f}",
                SEEDS,
                f"{min(accuracies):.3f} to {max(accuracies):.3f}",
                mean >= least,
            )
        )
    for activation, depth, init_scale in VANISHING:
        setting = EXPLODING.at({"activation": activation, "depth": depth, "init_scale": init_scale})
        clips: list[dict[str, Value]] = [
            UNCLIPPED,
            {"clip": True, "clip_threshold": 1.0},
            {"clip": True, "clip_threshold": 0.1},
        ]
        accuracies = _accuracies(_trained([setting.at(clip) for clip in clips]))
        made.append(
            Claim(
                f"{activation} L={depth} sigma_w={init_scale:g}, clip none, 1, .1: accuracy",
                f"at most {CHANCE:g}",
                f"{max(accuracies):.3f}",
                len(accuracies),
                f"{min(accuracies):.3f} to {max(accuracies):.3f}",
                max(accuracies) <= CHANCE,
            )
        )
    return made


def _trained(recipes: Sequence[Recipe]) -> list[Trajectory]:
    """Each recipe under every seed."""
    data = load_dataset(Digits(), 0)
    members = [recipe for recipe in recipes for _ in range(SEEDS)]
    return train(members, list(range(SEEDS)) * len(recipes), data)


def _accuracies(trajectories: Sequence[Trajectory]) -> list[float]:
    return [float(trajectory["accuracy"][-1]) for trajectory in trajectories]
