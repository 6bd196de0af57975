"""Figures that answer the four questions, from the results of the shipped studies (python -m tests.science.answers)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradstab.commands.terminal import print_rows
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.stability.intervals import StableInterval, stable_intervals
from gradstab.study.space import SearchSpace
from gradstab.theory.forecast import scale_forecast
from tests.science.crossings import Crossing, crossings
from tests.science.trainable_depth import depth_of_half

if TYPE_CHECKING:
    import pandas as pd

DEPTH_BANDS = ((4, 6), (7, 11), (12, 19), (20, 32))
CLIPPINGS: tuple[tuple[str, float, float], ...] = (
    ("none", 0, 0), ("2 to 10", 2, 10), (".3 to 2", 0.3, 2), (".03 to .3", 0.03, 0.3),
)  # fmt: skip


def results_of(name: str, root: Path) -> Results:
    """The results of a study in a results root."""
    return Results(StudyFolder(root / name))


def gain_threshold(trials: pd.DataFrame, least_depth: int) -> Crossing:
    """The init scale at which gradients of deep networks neither shrink nor grow a layer."""
    deep = trials[trials["depth"] >= least_depth]
    near = deep[deep["rate"].abs() < 1.0]
    found = crossings(near["init_scale"].to_numpy(dtype=float), near["rate"].to_numpy(dtype=float), [0.0], 0.05)
    assert found is not None
    return found[0]


def gain_at(trials: pd.DataFrame, init_scale: float, within: float) -> tuple[float, float, int]:
    """Mean factor of gradients a layer around an init scale, twice its standard error, and n; depths from 8."""
    near = trials[((trials["init_scale"] / init_scale - 1).abs() < within) & (trials["depth"] >= 8)]
    # a small sigmoid network's gain is proportional to its init scale
    gain = np.exp(near["rate"].to_numpy(dtype=float)) * init_scale / near["init_scale"].to_numpy(dtype=float)
    return float(gain.mean()), 2 * float(gain.std(ddof=1)) / math.sqrt(len(gain)), len(gain)


def relu_law(trials: pd.DataFrame) -> tuple[float, float, int]:
    """Slope of ReLU's lambda against ln(sigma_w / sqrt 2), twice its standard error, and n; theory says 1."""
    relu = trials[(trials["activation"] == "relu") & (trials["depth"] >= 10)]
    expected = np.log(relu["init_scale"].to_numpy(dtype=float) / math.sqrt(2))
    rate = relu["rate"].to_numpy(dtype=float)
    slope = float(expected @ rate / (expected @ expected))
    error = float(np.std(rate - slope * expected, ddof=1)) / math.sqrt(float(expected @ expected))
    return slope, 2 * error, len(relu)


def past_threshold(trials: pd.DataFrame) -> Iterator[list[object]]:
    """How trainings end whose gradients explode by more than two decades at the start, by activation."""
    for activation in ("relu", "tanh", "sigmoid"):
        past = trials[(trials["activation"] == activation) & (trials["R"] > 2)]
        share = (past["outcome"] == "diverged").mean()
        yield [activation, len(past), f"{share:.0%}", f"{(past['outcome'] == 'trained').mean():.0%}"]


def trained_interval(results: Results, depths: tuple[int, int], clipping: tuple[str, float, float]) -> StableInterval:
    """Init scales at which ReLU networks train (T alone) in a band of depths under a kind of clipping."""
    name, low, high = clipping
    trials = results.trials
    kept = trials[(trials["depth"] >= depths[0]) & (trials["depth"] <= depths[1])]
    clipped = kept["clip"].astype(bool)
    chosen = kept[~clipped if name == "none" else clipped & kept["clip_threshold"].between(low, high)]
    # init scale alone, so that the table has one row whatever the depths
    (interval,) = stable_intervals(
        SearchSpace({"init_scale": results.study.space.axes["init_scale"]}),
        [{"init_scale": scale} for scale in chosen["init_scale"].tolist()],
        (-chosen["T"]).tolist(),
    ).rows
    return interval


def clip_rows(results: Results) -> Iterator[list[object]]:
    """One row a band of depths and kind of clipping."""
    trials = results.trials
    for depths in DEPTH_BANDS:
        for clipping in CLIPPINGS:
            found = trained_interval(results, depths, clipping)
            lower, upper = (f"{edge:.3g}" if edge else "open" for edge in (found.lower, found.upper))
            kept = trials[trials["depth"].between(*depths)]
            clipped = kept["clip"].astype(bool)
            chosen = kept[
                ~clipped if clipping[0] == "none" else clipped & kept["clip_threshold"].between(*clipping[1:])
            ]
            diverged = int((chosen["outcome"] == "diverged").sum())
            yield [
                f"{depths[0]}-{depths[1]}", clipping[0], f"{lower} to {upper}" if found.found else "none",
                f"{found.num_stable_inside}/{found.num_inside}", found.num_misclassified, found.num_trials, diverged,
            ]  # fmt: skip


def divergence_rows(results: Results) -> Iterator[list[object]]:
    """How often networks without clipping diverge, by R at the start."""
    trials = results.trials
    bare = trials[~trials["clip"].astype(bool)]
    for low, high in pairwise((-math.inf, -1.0, 0.0, 1.0, 2.0, math.inf)):
        near = bare[(bare["R"] > low) & (bare["R"] <= high)]
        diverged = int((near["outcome"] == "diverged").sum())
        yield [f"{low:g} to {high:g}", len(near), diverged, int((near["outcome"] == "trained").sum())]


def depth_rows(results: Results) -> Iterator[list[object]]:
    """Depth at which accuracy falls through one half, for every init scale of the study."""
    for init_scale in sorted(results.trials["init_scale"].unique()):
        found = depth_of_half(results, float(init_scale))
        xi = scale_forecast("tanh", float(init_scale), math.sqrt(0.05), 20).depth_scale
        assert xi is not None
        low, high = found.interval if found else (math.nan, math.nan)
        squared = f"{init_scale**2:.3g}"
        six = f"{6 * xi:.0f}" if xi < 1e3 else "any"
        if found is None:
            yield [squared, "deeper than 96", "", "", six]
        else:
            yield [squared, f"{found.value:.1f}", f"{low:.1f} to {high:.1f}", found.num_trials, six]


def main() -> None:
    """Print every figure that docs/why_gradients_explode.md quotes beside the table of `make science`."""
    root = Path(sys.argv[1])
    sigmoid = results_of("sigmoid_explodes", root).trials
    threshold = gain_threshold(sigmoid, 16)
    low, high = threshold.interval
    print(
        f"1: sigmoid neither shrinks nor grows at {threshold.value:.2f} [{low:.2f}, {high:.2f}], n = {threshold.num_trials}"
    )
    below, above = sigmoid[sigmoid["init_scale"] < 5], sigmoid[sigmoid["init_scale"] > 20]
    print(
        f"1: exploding below 5: {(below['R'] > 1).sum()} of {len(below)}; above 20: {(above['R'] > 1).sum()} of {len(above)}"
    )
    print("1: gain a layer at sigma_w = 1: {:.4f} +- {:.4f}, n = {}".format(*gain_at(sigmoid, 1.0, 0.2)))
    either = results_of("relu_or_sigmoid", root).trials
    print_rows("2: R > 2 at the start", ["activation", "n", "diverged", "trained"], list(past_threshold(either)))
    print("3: ReLU's lambda over ln(sigma_w / sqrt 2): {:.4f} +- {:.4f}, n = {}".format(*relu_law(either)))
    print_rows(
        "4: init scales at which ReLU networks train",
        ["depth", "clip", "trains", "inside", "misfits", "n", "diverged"],
        list(clip_rows(results_of("clip_rescue", root))),
    )
    print_rows(
        "4: without clipping, by R at the start",
        ["R", "n", "diverged", "trained"],
        list(divergence_rows(results_of("clip_rescue", root))),
    )
    print_rows(
        "tanh, sigma_b^2 = .05: depth at which accuracy falls through one half",
        ["sigma_w^2", "depth", "interval", "n", "6 xi_c"],
        list(depth_rows(results_of("trainable_depth", root))),
    )
    gelu = results_of("gelu_jump", root).trials
    for low, high in pairwise((1.38, 1.42, 1.44, 1.46, 1.48, 1.5, 1.55, 1.6)):
        near = gelu[gelu["init_scale"].between(low, high)]["R"]
        quarters = ", ".join(f"{value:+.2f}" for value in near.quantile([0.25, 0.5, 0.75]))
        print(
            f"GELU L=50, sigma_w {low} to {high}: quartiles of R {quarters}; {(near < 0).sum()} of {len(near)} below 0"
        )


if __name__ == "__main__":
    main()
