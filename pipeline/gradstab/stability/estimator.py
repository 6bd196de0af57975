"""Two probabilities at any point of the space, from measured trials; they must not be mixed.

`p_region`: that the *median over seeds* of every response lies in its band. Region, volume,
misclassified volume and certificate follow from it. `p_next`: that *one new training* lies in every band. The safe core
and every advice to the user follow from it. Probabilities of several responses are multiplied, as if their
uncertainties were independent. Axes: N trials, M points, S draws, D axes of the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.regression.surrogate import Posterior, Surrogate
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import Point, SearchSpace


@dataclass(frozen=True)
class Probabilities:
    """Probabilities at M points, shape (M,) each.

    Attributes:
        p_region: the median over seeds of every response lies in band.
        p_next: one new training lies in every band.
        sides: the median lies outside the band, by the side's name ("vanishing", "exploding", "untrained").
        p_diverged: the median training becomes non-finite.
    """

    p_region: Array
    p_next: Array
    sides: dict[str, Array]
    p_diverged: Array

    @property
    def p_vanishing(self) -> Array:
        """Probability that the median gradient vanishes toward the input; 0 if no response measures it."""
        return self.sides.get("vanishing", np.zeros_like(self.p_region))

    @property
    def p_exploding(self) -> Array:
        """Probability that the median gradient explodes toward the input; 0 if no response measures it."""
        return self.sides.get("exploding", np.zeros_like(self.p_region))


class Estimator:
    """The surrogates of all responses of a study, immutable. `fit_estimator` makes it."""

    def __init__(self, coordinates: Coordinates, surrogates: Sequence[Surrogate]) -> None:
        self.coordinates = coordinates
        self.surrogates = tuple(surrogates)

    @property
    def bands(self) -> tuple[ResponseBand, ...]:
        """The judged responses with their bands."""
        return tuple(surrogate.band for surrogate in self.surrogates)

    @property
    def num_trials(self) -> int:
        """Number of measured trials of the response that has the fewest."""
        return min(surrogate.num_trials for surrogate in self.surrogates)

    def at(self, points: Sequence[Point]) -> Probabilities:
        """Probabilities at points of the space.

        Raises:
            UsageError: a point lies outside the space.
        """
        return self.probabilities(self.coordinates.unit(points))

    @single_threaded_blas
    def probabilities(self, unit_MD: Array) -> Probabilities:
        """Probabilities at unit coordinates, which are snapped first."""
        unit_MD = self.coordinates.snapped(unit_MD)
        p_region, p_next = np.ones(len(unit_MD)), np.ones(len(unit_MD))
        within: dict[str, Array] = {}
        diverged = np.zeros(len(unit_MD))
        for surrogate in self.surrogates:
            band, posterior = surrogate.band, surrogate.posterior(unit_MD)
            below, above = beyond(surrogate, posterior, noisy=False)
            p_region *= np.maximum(0, 1 - below - above)
            next_below, next_above = beyond(surrogate, posterior, noisy=True)
            p_next *= np.maximum(0, 1 - next_below - next_above)
            for side, outside in ((band.low_side, below), (band.high_side, above)):
                if side:
                    within[side] = within.get(side, 1.0) * (1 - outside)
            if band.diverged_from is not None:
                level = float(surrogate.warp(band.diverged_from))
                diverged = np.maximum(diverged, ndtr(_z(posterior.mean - level, posterior.sd)))
        return Probabilities(p_region, p_next, {side: 1 - inside for side, inside in within.items()}, diverged)

    def draws_inside(self, unit_MD: Array, num_draws: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Joint draws of whether the median of every response lies in band, shape (S, M)."""
        unit_MD = self.coordinates.snapped(unit_MD)
        inside_SM = np.ones((num_draws, len(unit_MD)), dtype=bool)
        for surrogate in self.surrogates:
            warped_SM = surrogate.draws(unit_MD, num_draws, rng)
            band, warp = surrogate.band, surrogate.warp
            inside_SM &= (warped_SM > warp(band.low)) & (warped_SM < warp(band.high))
        return inside_SM

    def only(self, *names: str) -> Estimator:
        """An estimator of some of the responses only.

        Raises:
            UsageError: a response is not among those measured, or none is named.
        """
        known = {surrogate.band.name: surrogate for surrogate in self.surrogates}
        if not names or not set(names) <= known.keys():
            raise UsageError(f"responses must be some of {', '.join(known)}, got {', '.join(names) or 'none'}")
        return Estimator(self.coordinates, [known[name] for name in names])


@single_threaded_blas
def fit_estimator(
    space: SearchSpace,
    points: Sequence[Point],
    responses: Mapping[str, ArrayLike],
    bands: Sequence[ResponseBand],
) -> Estimator:
    """The estimator of measured trials.

    Args:
        points: the point of each trial; each replicate has its own row. Leave out trials whose machine failed.
        responses: values by response name, one per trial.
        bands: the responses that are judged; others are ignored.

    Raises:
        UsageError: a point lies outside the space, a response is missing or not finite, or there is no trial or band.
    """
    coordinates = Coordinates(space)
    unit_ND = coordinates.unit(points)
    if not bands:
        raise UsageError("a criterion must judge at least one response, got none")
    missing = [band.name for band in bands if band.name not in responses]
    if missing:
        raise UsageError(f"responses must hold {', '.join(missing)}, got {', '.join(responses) or 'none'}")
    surrogates = [fit_surrogate(coordinates, unit_ND, responses[band.name], band) for band in bands]
    return Estimator(coordinates, surrogates)


def beyond(surrogate: Surrogate, posterior: Posterior, *, noisy: bool) -> tuple[Array, Array]:
    """Probabilities below and above the band: of the median, or (noisy) of one new training."""
    band = surrogate.band
    sides = []
    for edge, sign in ((band.low, 1.0), (band.high, -1.0)):
        if np.isinf(edge):
            sides.append(np.zeros_like(posterior.mean))
            continue
        sd = np.hypot(posterior.sd, surrogate.edge_noise(edge)) if noisy else posterior.sd
        sides.append(ndtr(_z(sign * (float(surrogate.warp(edge)) - posterior.mean), sd)))
    return sides[0], sides[1]


def _z(difference: Array, sd: Array) -> Array:
    """A difference over a standard deviation, finite if the latter is 0."""
    return np.asarray(difference / np.maximum(sd, 1e-12))
