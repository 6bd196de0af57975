"""What theory says of one activation at one depth, collected for a person: scales, band, gains, fixed lengths.

Source: SCIENCE section 5, after Poole et al. 2016 and Schoenholz et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradstab.display.numbers import length_text
from gradstab.theory.critical_scales import (
    BandEdges,
    CriticalScale,
    band_edges,
    critical_scales,
    log_lengths,
    predicted_ratio,
)
from gradstab.theory.fixed_points import (
    FixedPoint,
    correlation_fixed_point,
    fixed_points,
    grows_with_length,
    log_attractors,
)
from gradstab.theory.layer_maps import LOG_Q_LIMIT, Activation, add_bias, chi_1
from gradstab.theory.quadrature import gaussian_mean, panelled_mean
from gradstab.theory.scalar_functions import Array, ScalarFunction, as_function

ACCURACY = 1e-6  # of the integrals, where they allow it
_FINER_NODES = 48
_LEAST_CHECKED = 1e-30
_LAYERS_CHECKED, _LOG_Q_CHECKED = 12, 30.0
TRAINABLE_DEPTH_SCALES = 6  # depth scales xi_c up to which networks train (Schoenholz et al. 2017)


@dataclass(frozen=True)
class ScaleForecast:
    """What theory says of one init scale, for inputs of mean square 1.

    Attributes:
        init_scale: sigma_w.
        ratio: R in decades between the first and the last hidden layer.
        gain: factor of the gradient norm a layer toward the input, the mean over those layers; None at depth 1.
        settled_length: length q* that the input settles at in a deep network; 0 and infinity are limits.
        settled_gain: that factor there.
        correlation: the correlation that two inputs approach there; None where q* is 0 or infinite.
        depth_scale: xi_c, the layers over which they approach it by a factor e; None as above, infinite at criticality.
        fixed_points: all lengths that a layer maps to themselves.
    """

    init_scale: float
    ratio: float
    gain: float | None
    settled_length: float
    settled_gain: float
    correlation: float | None
    depth_scale: float | None
    fixed_points: tuple[FixedPoint, ...]

    @property
    def trainable_depth(self) -> float | None:
        """About the depth up to which networks train: 6 xi_c."""
        return None if self.depth_scale is None else TRAINABLE_DEPTH_SCALES * self.depth_scale


@dataclass(frozen=True)
class Forecast:
    """What theory says of one activation at one depth.

    Attributes:
        critical: init scales at which deep networks turn from vanishing to exploding.
        band: init scales at which R is -R0, 0, +R0 at this depth.
        scales: the init scales of interest: the band's and the one asked for, ascending.
        settles: whether longer inputs stay longer, layer by layer; where they do not, lengths need not settle, no
            critical scale is given, and only the band's figures hold.
        error: relative error of the integrals, as far as two rules tell.
    """

    activation: str
    bias_scale: float
    depth: int
    critical: tuple[CriticalScale, ...]
    band: BandEdges
    scales: tuple[ScaleForecast, ...]
    settles: bool
    error: float


def forecast(activation: Activation, bias_scale: float, depth: int, init_scale: float | None = None) -> Forecast:
    """What theory says of an activation at a depth, and of an init scale of one's own."""
    function = as_function(activation)
    band = band_edges(function, bias_scale, depth)
    settles = grows_with_length(function)
    critical = critical_scales(function, bias_scale) if settles else ()
    wanted = {scale for scale in (band.lower, band.centre, band.upper, init_scale) if scale is not None}
    return Forecast(
        activation=function.name,
        bias_scale=bias_scale,
        depth=depth,
        critical=critical,
        band=band,
        scales=tuple(scale_forecast(function, scale, bias_scale, depth) for scale in sorted(wanted)),
        settles=settles,
        error=_integration_error(function, list(wanted), bias_scale, depth),
    )


def scale_forecast(activation: Activation, init_scale: float, bias_scale: float, depth: int) -> ScaleForecast:
    """What theory says of one init scale."""
    function = as_function(activation)
    log_scale = np.array([math.log(init_scale)])
    log_q = float(log_attractors(function, log_scale, bias_scale, add_bias(2 * log_scale, bias_scale))[0])
    length = 0.0 if log_q <= -LOG_Q_LIMIT else math.inf if log_q >= LOG_Q_LIMIT else math.exp(log_q)
    settled = chi_1(function, init_scale, length)
    ratio = predicted_ratio(function, init_scale, bias_scale, depth)
    fixed = tuple(fixed_points(function, init_scale, bias_scale))
    moves = any(point.kind != "every" for point in fixed)
    agreed = correlation_fixed_point(function, init_scale, bias_scale, length) if 0 < length < math.inf else None
    return ScaleForecast(
        init_scale=init_scale,
        ratio=ratio,
        gain=10 ** (ratio / (depth - 1)) if depth > 1 else None,
        settled_length=length,
        settled_gain=math.sqrt(settled),
        correlation=agreed.correlation if agreed and moves else None,
        depth_scale=agreed.xi if agreed and moves else None,
        fixed_points=fixed,
    )


def sentences(found: Forecast) -> list[str]:
    """What a person must know beside the figures: jumps, several fixed lengths, what is not to be had."""
    said = []
    if found.error > ACCURACY:
        said.append(f"{found.activation} is hard to integrate: figures are good to about {found.error:.1g} only.")
    if not found.settles:
        said.append(
            f"Lengths do not grow with lengths under {found.activation}, so that they need not settle: "
            "no critical init scale is given, and what is said of deep networks may not hold."
        )
    elif not found.critical:
        said.append("No init scale between .01 and 1000 is critical.")
    said.extend(_critical_sentence(point) for point in found.critical)
    for scale in found.scales:
        stable = [point for point in scale.fixed_points if point.stable]
        if len(stable) > 1:
            said.append(_two_lengths(scale, stable))
        if any(point.kind == "every" for point in scale.fixed_points):
            said.append(f"At {scale.init_scale:.5g} every length is kept as it is: none is a fixed point of its own.")
    if found.depth > 1 and None in (found.band.lower, found.band.upper):
        said.append("Where an edge of the band is missing, no init scale between .01 and 1000 gives that R.")
    return list(dict.fromkeys(said))  # the scale asked for may be one of the band's but for rounding


def _integration_error(function: ScalarFunction, scales: Sequence[float], bias_scale: float, depth: int) -> float:
    """Greatest relative difference of the moments between the rule in use and a finer one, at the lengths passed."""
    log_q = log_lengths(function, sorted(scales) or [1.0], bias_scale, min(depth, _LAYERS_CHECKED))
    q_Q = np.exp(np.unique(np.clip(log_q, -_LOG_Q_CHECKED, _LOG_Q_CHECKED)))
    error = 0.0
    for values in (function.phi, function.derivative):

        def square(u: Array, values: Callable[[Array], Array] = values) -> Array:
            return values(u) ** 2

        usual_Q = gaussian_mean(square, q_Q, function.kinks)
        finer_Q = panelled_mean(square, q_Q, function.kinks, nodes=_FINER_NODES)
        differences_Q = np.abs(usual_Q - finer_Q) / np.maximum(finer_Q, _LEAST_CHECKED)
        error = max(error, float(differences_Q.max()))
    return error


def _critical_sentence(point: CriticalScale) -> str:
    below, above = math.sqrt(point.chi_below), math.sqrt(point.chi_above)
    if not point.jumps:
        return (
            f"Critical at {point.init_scale:.5g}: deep networks below it make gradients vanish, "
            "above it explode, and at it keep them."
        )
    return (
        f"A jump at {point.init_scale:.5g}: just below it signals settle at length {length_text(point.length_below)}, "
        f"where gradients change by {below:.3g} a layer; just above it at {length_text(point.length_above)}, by "
        f"{above:.3g}. No init scale leaves the gradients of a very deep network as they are."
    )


def _two_lengths(scale: ScaleForecast, stable: list[FixedPoint]) -> str:
    apart = [point.q for point in scale.fixed_points if not point.stable and point.q > 0]
    ends = " or ".join(f"{length_text(point.q)} (gain {point.gradient_factor:.3g} a layer)" for point in stable)
    line = f", divided at {', '.join(map(length_text, apart))}" if apart else ""
    return f"At {scale.init_scale:.5g} signals settle at length {ends}, depending on the inputs{line}."
