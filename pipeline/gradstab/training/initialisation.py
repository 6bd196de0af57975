"""Initial weights of one member, drawn on the CPU by a counter-based generator from the trial's seed alone.

Draws are float32 whatever the precision of the training, so that both precisions start from the same network.
Shapes: I fan-in, O fan-out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray

from gradstab.study.recipe import InitDistribution, Recipe

Array = NDArray[np.float32]

_MASK = 2**64 - 1
_TRUNCATION = 2.0  # in standard deviations of the untruncated normal


class Stream(IntEnum):
    """Independent streams of random numbers: of a trial's seed, and those that name data or rows of a study's seed."""

    WEIGHTS = 0
    BIASES = 1
    READOUT = 2
    BATCHES = 3
    DATA = 4
    ROWS = 5
    DRAWS = 6  # of a module, as dropout masks


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """The generator of one stream of a seed; streams and seeds share nothing."""
    return np.random.Generator(np.random.Philox(key=np.array([seed & _MASK, stream], dtype=np.uint64)))


def hidden_weights(recipe: Recipe, seed: int, num_features: int) -> list[Array]:
    """Weights of the hidden layers, shape (I, O) each, with std init_scale / sqrt(fan_in).

    A deeper network of the same seed begins with the layers of a shallower one.
    """
    draw = _DISTRIBUTIONS[recipe.init_distribution]
    rng = generator(seed, Stream.WEIGHTS)
    fan_ins = [num_features, *[recipe.width] * (recipe.depth - 1)]
    weights = []
    for fan_in in fan_ins:
        weight_IO = draw(rng, fan_in, recipe.width)
        weight_IO *= np.float32(recipe.init_scale / math.sqrt(fan_in))
        weights.append(weight_IO)
    return weights


def hidden_biases(recipe: Recipe, seed: int) -> Array:
    """Biases of the hidden layers, shape (depth, width), normal with std bias_scale."""
    if recipe.bias_scale == 0:
        return np.zeros((recipe.depth, recipe.width), dtype=np.float32)
    rng = generator(seed, Stream.BIASES)
    return rng.standard_normal((recipe.depth, recipe.width), dtype=np.float32) * np.float32(recipe.bias_scale)


def readout_weights(recipe: Recipe, seed: int, num_classes: int) -> Array:
    """Weights of the readout (width, classes): normal of variance 1/width whatever the hidden layers' scale."""
    rng = generator(seed, Stream.READOUT)
    shape = (recipe.width, num_classes)
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(1.0 / math.sqrt(recipe.width))


def _normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    return rng.standard_normal((fan_in, fan_out), dtype=np.float32)


def _uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    unit_IO = rng.random((fan_in, fan_out), dtype=np.float32)
    return (unit_IO - np.float32(0.5)) * np.float32(math.sqrt(12.0))


def _truncated_normal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """A normal cut at two of its standard deviations, then widened to variance 1 (Burkardt 2014, section 3.3)."""
    drawn_IO = _normal(rng, fan_in, fan_out)
    flat = drawn_IO.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > _TRUNCATION)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size, dtype=np.float32)
        outside = outside[np.abs(flat[outside]) > _TRUNCATION]
    density = math.exp(-(_TRUNCATION**2) / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(_TRUNCATION / math.sqrt(2))
    return drawn_IO / np.float32(math.sqrt(1 - 2 * _TRUNCATION * density / inside))


def _orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Haar-distributed with entries of variance 1: W'W = I fan_in where fan_out <= fan_in, else WW' = I fan_out.

    If a layer widens, its rows are orthogonal instead of its columns, and every entry still has the requested std.
    """
    tall, thin = max(fan_in, fan_out), min(fan_in, fan_out)
    gaussian = torch.from_numpy(rng.standard_normal((tall, thin), dtype=np.float32)).double()
    q, r = torch.linalg.qr(gaussian)
    q *= torch.sign(torch.diagonal(r))
    scaled = (q * math.sqrt(tall)).float().numpy()
    return np.ascontiguousarray(scaled if fan_in >= fan_out else scaled.T)


_DISTRIBUTIONS: dict[InitDistribution, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
    "orthogonal": _orthogonal,
}
