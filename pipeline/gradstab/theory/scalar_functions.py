"""Activations as plain numpy functions with their derivatives: what mean-field theory needs to know of them.

Theory takes any ScalarFunction; the eleven of the recipe are looked up by name. Definitions are torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit, ndtr

from gradstab.errors import UsageError

Array = NDArray[np.float64]

LEAKY_SLOPE = 0.01
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@dataclass(frozen=True)
class ScalarFunction:
    """An activation phi and its derivative, elementwise.

    Attributes:
        kinks: where it is not smooth, besides 0, where it may have a kink too. One that is not told costs accuracy:
            3 % in chi_1 of a hard tanh, instead of 1e-12.
    """

    name: str
    phi: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()


def as_function(activation: str | ScalarFunction) -> ScalarFunction:
    """The function itself, or the one of that name.

    Raises:
        UsageError: no activation has that name.
    """
    if isinstance(activation, ScalarFunction):
        return activation
    if activation not in FUNCTIONS:
        raise UsageError(f"an activation must be one of {', '.join(FUNCTIONS)}, got {activation!r}")
    return FUNCTIONS[activation]


def _normal_density(u: Array) -> Array:
    return np.asarray(np.exp(-0.5 * u * u) / math.sqrt(2 * math.pi))


def _sech_squared(u: Array) -> Array:
    # not 1 - tanh^2, which is all rounding error in the tails
    decay = np.exp(-2 * np.abs(u))
    return np.asarray(4 * decay / (1 + decay) ** 2)


def _elu_derivative(u: Array) -> Array:
    return np.where(u > 0, 1.0, np.exp(np.minimum(u, 0)))


def _elu(u: Array) -> Array:
    return np.where(u > 0, u, np.expm1(np.minimum(u, 0)))


def _selu(u: Array) -> Array:
    return SELU_SCALE * np.where(u > 0, u, SELU_ALPHA * np.expm1(np.minimum(u, 0)))


def _selu_derivative(u: Array) -> Array:
    return SELU_SCALE * np.where(u > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(u, 0)))


FUNCTIONS: dict[str, ScalarFunction] = {
    function.name: function
    for function in (
        ScalarFunction("linear", lambda u: u, np.ones_like),
        ScalarFunction("relu", lambda u: np.maximum(u, 0), lambda u: np.where(u > 0, 1.0, 0.0)),
        ScalarFunction(
            "leaky_relu", lambda u: np.where(u > 0, u, LEAKY_SLOPE * u), lambda u: np.where(u > 0, 1.0, LEAKY_SLOPE)
        ),
        ScalarFunction("tanh", np.tanh, _sech_squared),
        ScalarFunction("sigmoid", expit, lambda u: _sech_squared(u / 2) / 4),
        ScalarFunction("erf", erf, lambda u: 2 / math.sqrt(math.pi) * np.exp(-u * u)),
        ScalarFunction("gelu", lambda u: u * ndtr(u), lambda u: ndtr(u) + u * _normal_density(u)),
        ScalarFunction("silu", lambda u: u * expit(u), lambda u: expit(u) * (1 + u * expit(-u))),
        ScalarFunction("selu", _selu, _selu_derivative),
        ScalarFunction("elu", _elu, _elu_derivative),
        ScalarFunction("softplus", lambda u: np.logaddexp(0, u), expit),
    )
}
