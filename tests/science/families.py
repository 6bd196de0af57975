"""The pictures of docs/families.md and the figures of own networks, from the results of the shipped studies.

python -m tests.science.families RESULTS [STUDY ...] draws pictures in docs/pictures, and prints where regions end.
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import stats
from torch import nn

import gradstab
from gradstab.commands.terminal import print_rows
from gradstab.display.numbers import point_text, value_text
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.stability.spans import Span, lines
from gradstab.study.axes import Value
from tests.science.answers import results_of

if TYPE_CHECKING:
    import pandas as pd

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
DOTS_PER_INCH = 75
STEPS = 63  # between the first and the last of 64 time steps
SCALE_BANDS = (0.4, 0.6, 0.9, 1.2, 1.6, 2.2, 4.0)

# file, responses and held values of each picture; the axes that decide most span it
DRAWN: dict[str, tuple[tuple[str, tuple[str, ...], dict[str, Value]], ...]] = {
    "residual": (("family_residual", ("R", "T"), {}),),
    "transformer": (("family_transformer", ("T",), {}), ("transformer", ("R", "T"), {"depth": 4})),
    "conv": (("family_conv", ("R", "T"), {}),),
    "rnn": (("family_rnn", ("R", "T"), {"clip": True}),),
}


def main() -> None:
    """Draw every picture and print every edge."""
    root = Path(sys.argv[1])
    for name in sys.argv[2:] or (*DRAWN, "chains"):
        if name == "chains":
            print_chains()
            continue
        results = results_of(name, root)
        for file, responses, at in DRAWN[name]:
            figure = results.plot_phase_diagram(*responses, at=at)
            figure.savefig(PICTURES / f"{file}.png", dpi=DOTS_PER_INCH, metadata={"Software": "gradstab"})
        print_edges(results)


def print_chains(depth: int = 10, width: int = 64, seeds: int = 10) -> None:
    """R of plain ReLU chains at He's scale without normalisation, with that of the batch, and with that of each row."""
    rows: list[list[object]] = []
    for name, norm in (("none", nn.Identity), ("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)):
        found = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            layers = [nn.Linear(width, width) for _ in range(depth)]
            for layer in layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            parts = [part for layer in layers for part in (layer, norm(width), nn.ReLU())]
            model = nn.Sequential(*parts, nn.Linear(width, 10))
            inputs, targets = torch.randn(width, width), torch.randint(0, 10, (width,))
            found.append(gradstab.probe(model, inputs, targets, nn.functional.cross_entropy).gradient_ratio)
        error = stats.t.ppf(0.975, seeds - 1) * np.std(found, ddof=1) / math.sqrt(seeds)
        rows.append([name, seeds, f"{np.mean(found):+.2f} +- {error:.2f}"])
    print_rows(f"R over {depth} layers, 95 %", ["normalisation", "n", "R"], rows)


def print_edges(results: Results) -> None:
    """Where the region of R and that of T begin and end, along an axis, for each choice."""
    name = results.study.name
    if name == "transformer":
        held: list[dict[str, Value]] = [{"init_scale": 1.0, "depth": depth} for depth in (2, 5, 12)]
        _print(results, "T", "learning_rate", held)
        _print_last_gradients(results)
        _print_shares(results.trials, ["norm_place", "warmup_steps"])
    elif name == "rnn":
        _print_memories(results.trials)
        _print_shares(results.trials, ["cell", "clip"])
        _print(results, "R", "init_scale", [{"clip_threshold": 1.0}])
        _print(results, "T", "init_scale", [{"clip_threshold": threshold} for threshold in (0.1, 1.0)])
    else:
        scale = "residual_scale" if name == "residual" else "init_scale"
        for letter in ("R", "T"):
            _print(results, letter, scale, [{"depth": depth} for depth in (4, 8, 16, 32)])


def _print(results: Results, letter: str, axis: str, held: list[dict[str, Value]]) -> None:
    estimator = results.every_estimator.only(letter)
    choices = results.layout.choices if results.layout is not None else ()
    points = [{**choice, **one} for one in held for choice in choices]
    rows = [
        [letter, point_text(point), "; ".join(map(_text, line.region)) or "nowhere", value_text(line.best), line.p_best]
        for point, line in zip(points, lines(estimator, axis, points), strict=True)
    ]
    print_rows(f"{results.study.name}: n = {len(results.measured.numbers)}", ["", "at", axis, "best", "p_next"], rows)


def _print_shares(trials: pd.DataFrame, choices: list[str]) -> None:
    """How many trainings of each choice reached the target, and how many diverged."""
    rows = [
        [*key, len(found), int((found["training_response"] < 0).sum()), _ended(found, "diverged")]
        for key, found in trials.groupby(choices, sort=False)
    ]
    print_rows("", [*choices, "n", "trained", "diverged"], rows)


def _print_last_gradients(results: Results) -> None:
    """The power of the depth with which the gradient at the last block goes at scale 1, by least squares."""
    rows: list[list[object]] = []
    for place in ("pre", "post"):
        near = [(row.point, trial) for row, trial in measured_trials(results.rows) if row.point["norm_place"] == place]
        depth_N, scale_N = (np.log([float(point[name]) for point, _ in near]) for name in ("depth", "init_scale"))
        last_N = np.array([trial.log10_delta_norm_L[-1] for _, trial in near]) * math.log(10)
        terms_NF = np.stack([np.ones_like(depth_N), depth_N, scale_N, scale_N**2, depth_N * scale_N], axis=1)
        weights, squares, *_ = np.linalg.lstsq(terms_NF, last_N)
        variance = squares[0] / (len(near) - terms_NF.shape[1]) * np.linalg.inv(terms_NF.T @ terms_NF)[1, 1]
        rows.append([place, len(near), f"{weights[1]:+.2f} +- {1.98 * math.sqrt(variance):.2f}"])
    print_rows("gradient at the last block, as a power of the depth, 95 %", ["norm place", "n", "power"], rows)


def _ended(trials: pd.DataFrame, outcome: str) -> int:
    return int((trials["outcome"] == outcome).sum())


def _print_memories(trials: pd.DataFrame) -> None:
    """Over how many steps back a gradient falls by a factor e, by cell and recurrent scale: from R over 63 steps."""
    rows: list[list[object]] = []
    for cell, (least, most) in itertools.product(("vanilla", "lstm", "gru"), itertools.pairwise(SCALE_BANDS)):
        found = trials[(trials["cell"] == cell) & trials["init_scale"].between(least, most)]
        rate = found["gradient_ratio"].to_numpy(dtype=float) * math.log(10) / STEPS
        low, middle, high = np.quantile(rate, [0.1, 0.5, 0.9])
        rows.append(
            [
                cell,
                f"{least:g} to {most:g}",
                len(found),
                f"{middle:+.3f} ({low:+.3f} to {high:+.3f})",
                f"{-1 / middle:.1f}",
            ]
        )
    columns = ["cell", "init scale", "n", "ln of the factor a step (10 to 90 %)", "steps of memory"]
    print_rows("", columns, rows)


def _text(span: Span) -> str:
    return f"{_end(span.low, span.low_open, span.low_between)} to {_end(span.high, span.high_open, span.high_between)}"


def _end(value: Value, is_open: bool, between: tuple[Value | None, Value | None] | None) -> str:
    if is_open:
        return f"{value_text(value)} (open)"
    low, high = between or (None, None)
    return f"{value_text(value)} ({value_text(low)}-{value_text(high)})"


if __name__ == "__main__":
    main()
