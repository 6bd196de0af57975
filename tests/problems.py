"""Planted regions: responses with a known boundary over real search spaces, with noise as much as is wanted.

A problem answers in unit coordinates (gradstab.regression.coordinates), for integers and choices at the snapped ones.
`measure` is what trainings give, `inside` is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from gradstab.activations.registry import as_function
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.study.axes import AnyAxis, Choice, LogInteger, LogReal, Real
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace
from gradstab.theory.critical_scales import log_lengths
from gradstab.theory.layer_maps import layer_maps

RATIO = ResponseBand("R", -1.0, 1.0, 1.0, "vanishing", "exploding")
BELOW_ZERO = ResponseBand("T", -np.inf, 0.0, 1.0, high_side="untrained", diverged_from=4.0)


@dataclass(frozen=True)
class Problem:
    """A region that is known.

    Attributes:
        median: responses without noise at snapped unit coordinates, by name.
        noise: seed-to-seed standard deviation of every response.
    """

    name: str
    axes: Mapping[str, AnyAxis]
    bands: tuple[ResponseBand, ...]
    median: Callable[[Array], dict[str, Array]]
    noise: float = 0.0

    @cached_property
    def space(self) -> SearchSpace:
        return SearchSpace.model_validate(dict(self.axes))

    @cached_property
    def coordinates(self) -> Coordinates:
        return Coordinates(self.space)

    def noisy(self, noise: float) -> Problem:
        return replace(self, noise=noise)

    def measure(self, unit_ND: Array, rng: np.random.Generator) -> dict[str, Array]:
        """What one training at each point gives."""
        median = self.median(self.coordinates.snapped(unit_ND))
        return {name: value_N + self.noise * rng.standard_normal(len(value_N)) for name, value_N in median.items()}

    def inside(self, unit_ND: Array) -> NDArray[np.bool_]:
        """Whether the median of every response lies in band."""
        median = self.median(self.coordinates.snapped(unit_ND))
        return np.asarray(np.stack([band.contains(median[band.name]) for band in self.bands]).all(axis=0))


PLANE: dict[str, AnyAxis] = {"init_scale": LogReal(0.5, 4.0), "learning_rate": LogReal(1e-3, 1.0)}


def half_plane() -> Problem:
    return Problem(
        "half-plane",
        PLANE,
        (BELOW_ZERO,),
        lambda unit_ND: {"T": 10 * (0.8 * unit_ND[:, 0] + 0.6 * unit_ND[:, 1] - 0.6)},
    )


def disc() -> Problem:
    return Problem(
        "disc", PLANE, (BELOW_ZERO,), lambda unit_ND: {"T": 15 * (np.hypot(*(unit_ND - [0.55, 0.45]).T) ** 2 - 0.3**2)}
    )


def two_islands() -> Problem:
    def median(unit_ND: Array) -> dict[str, Array]:
        first_N = np.hypot(*(unit_ND - [0.25, 0.3]).T) - 0.2
        second_N = np.hypot(*(unit_ND - [0.72, 0.68]).T) - 0.22
        return {"T": 12 * np.minimum(first_N, second_N)}

    return Problem("two islands", PLANE, (BELOW_ZERO,), median)


def ridge() -> Problem:
    """A curved band that narrows, as ReLU's does with depth."""

    def median(unit_ND: Array) -> dict[str, Array]:
        steepness_N = 5 * 8 ** unit_ND[:, 1]
        return {"R": steepness_N * (unit_ND[:, 0] - 0.45 - 0.15 * np.sin(3 * unit_ND[:, 1]))}

    return Problem("ridge", PLANE, (RATIO,), median)


def rough() -> Problem:
    """A boundary that wriggles at every scale down to 1/1000 of the space."""

    def median(unit_ND: Array) -> dict[str, Array]:
        u, v = unit_ND.T
        value_N = 8 * (0.7 * u + 0.7 * v - 0.7)
        for octave in range(1, 9):
            frequency = 2 * np.pi * 2.3**octave
            value_N = value_N + 1.2 * 0.75**octave * np.sin(frequency * (u - 0.4 * v) + octave) * np.cos(
                frequency * (v + 0.3 * u) + 2 * octave
            )
        return {"T": value_N}

    return Problem("rough", PLANE, (BELOW_ZERO,), median)


def trained_disc() -> Problem:
    """Two responses: a band of R, and a disc of T that crosses it."""
    return Problem(
        "two responses",
        PLANE,
        (RATIO, BELOW_ZERO),
        lambda unit_ND: {**{"R": 6 * (unit_ND[:, 0] - 0.5)}, **disc().median(unit_ND)},
    )


def theory(activation: str, low: float, high: float) -> Problem:
    """R of wide networks over init scale and depth."""
    axes: dict[str, AnyAxis] = {"init_scale": LogReal(low, high), "depth": LogInteger(2, 50)}
    return _theory(f"{activation} 2-D", axes, (activation,))


def theory_3d() -> Problem:
    axes: dict[str, AnyAxis] = {
        "init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 50), "bias_scale": Real(0.0, 0.5),
    }  # fmt: skip
    return _theory("tanh 3-D", axes, ("tanh",))


def theory_4d() -> Problem:
    activations = ("tanh", "relu", "sigmoid")
    axes: dict[str, AnyAxis] = {
        "init_scale": LogReal(0.5, 20.0), "depth": LogInteger(2, 50), "bias_scale": Real(0.0, 0.5),
        "activation": Choice(activations),
    }  # fmt: skip
    return _theory("4-D", axes, activations)


def _theory(name: str, axes: Mapping[str, AnyAxis], activations: tuple[str, ...]) -> Problem:
    scale = axes["init_scale"]
    assert isinstance(scale, LogReal)

    def median(unit_ND: Array) -> dict[str, Array]:
        columns = dict(zip(axes, unit_ND.T, strict=True))
        log_scale_N = np.log(scale.low) + columns["init_scale"] * np.log(scale.high / scale.low)
        low, high = np.log(1.5), np.log(50.5)
        depth_N = np.round(np.exp(low + columns["depth"] * (high - low)))
        bias_N = 0.5 * columns["bias_scale"] if "bias_scale" in columns else np.full(len(unit_ND), 0.05)
        choice_N = np.zeros(len(unit_ND))
        if "activation" in columns:
            choice_N = np.minimum(np.floor(columns["activation"] * len(activations)), len(activations) - 1)
        ratio_N = np.empty(len(unit_ND))
        for index, activation in enumerate(activations):
            mine_N = choice_N == index
            where_N3 = np.stack([log_scale_N, bias_N, depth_N], axis=1)[mine_N]
            ratio_N[mine_N] = ratio_table(activation, scale.low, scale.high)(where_N3)
        return {"R": np.clip(ratio_N, -37, 37)}

    return Problem(name, axes, (RATIO,), median)


@cache
def ratio_table(activation: str, low: float, high: float) -> RegularGridInterpolator:
    """R over (ln init scale, bias scale, depth): predicted_ratios of all depths at once, by one cumulative sum."""
    log_scale_M = np.linspace(np.log(low), np.log(high), 241)
    bias = np.concatenate([[0, 0.01, 0.025], np.linspace(0.05, 0.5, 10)])
    function = as_function(activation)
    table = np.zeros((len(log_scale_M), len(bias), 50))
    for column, bias_scale in enumerate(bias):
        log_q_ML = log_lengths(function, np.exp(log_scale_M), float(bias_scale), 49)
        log_chi_ML = layer_maps(function).log_chi_1(log_scale_M[:, None], log_q_ML)
        table[:, column, 1:] = np.cumsum(log_chi_ML, axis=1) / (2 * np.log(10))
    return RegularGridInterpolator((log_scale_M, bias, np.arange(1.0, 51)), table, bounds_error=False, fill_value=None)


def smooth_problems() -> list[Problem]:
    """Every planted problem whose boundary is smooth."""
    return [
        half_plane(), disc(), two_islands(), ridge(), theory("tanh", 0.5, 4.0), theory("relu", 0.5, 3.0),
        theory("sigmoid", 1.0, 40.0), theory_3d(), theory_4d(),
    ]  # fmt: skip
