"""The posterior of a surrogate over fixed candidates, updated when trials finish, start or are picked.

Updating costs O(A) per candidate and new trial instead of O(A^2), and picking costs less still, so that a sampler can
ask for batches. Axes: A trials told, B beliefs, C candidates, K new trials, D axes of the space.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from gradstab.regression.coordinates import Array
from gradstab.regression.kernel import JITTER
from gradstab.regression.surrogate import Posterior, Surrogate, noise_weight

_ROOM = 256  # rows that are allocated at a time for new trials and beliefs
_MANY_TRIALS = 600  # from this many picks on, computing all covariances between candidates pays off


class Candidates:
    """The posterior at candidates, given finished trials, and given running and picked trials as beliefs.

    A belief is that a trial turns out as expected (kriging believer): means stay, variances shrink.
    """

    def __init__(self, surrogate: Surrogate, unit_CD: Array) -> None:
        self.surrogate = surrogate
        self.unit_CD = surrogate.coordinates.snapped(unit_CD)
        solved_AC = surrogate.solved(self.unit_CD)
        self._num_told = len(solved_AC)
        self._num_rows = self._num_told
        self._rows_C = np.concatenate([solved_AC, np.empty((_ROOM, len(self.unit_CD)))])
        self._mean_C = surrogate.centre + surrogate.whitened_A @ solved_AC
        self._told_variance_C = surrogate.prior_variance - np.einsum("ac,ac->c", solved_AC, solved_AC)
        self._variance_C = self._told_variance_C.copy()
        # covariances between candidates given the first rows; prior covariances computed on request while rows are few
        self._num_covered = self._num_told if self._num_told >= _MANY_TRIALS else 0
        self._covariance_CC: Array | None = None
        if self._num_covered:
            self._covariance_CC = surrogate.covariance(self.unit_CD, self.unit_CD)
            self._covariance_CC -= solved_AC.T @ solved_AC

    @property
    def posterior(self) -> Posterior:
        """Mean and standard deviation of the latent, warped response, shape (C,) each."""
        return Posterior(self._mean_C, np.sqrt(np.maximum(self._variance_C, 0)))

    @property
    def told_posterior(self) -> Posterior:
        """The same from finished trials alone, without beliefs."""
        return Posterior(self._mean_C, np.sqrt(np.maximum(self._told_variance_C, 0)))

    def tell(self, unit_KD: Array, response_K: ArrayLike) -> None:
        """Add finished trials and drop all beliefs."""
        self.surrogate = self.surrogate.extended(unit_KD, response_K)
        new_KC = self._told_rows(self.surrogate)
        self._num_told = self._num_rows
        self._mean_C = self._mean_C + self.surrogate.whitened_A[-len(new_KC) :] @ new_KC
        self._told_variance_C = self._told_variance_C - np.einsum("kc,kc->c", new_KC, new_KC)
        self._variance_C = self._told_variance_C.copy()

    def believe(self, unit_KD: Array) -> None:
        """Set the running trials as the only beliefs."""
        if len(unit_KD) == 0:
            self._num_rows, self._variance_C = self._num_told, self._told_variance_C.copy()
            return
        new_KC = self._told_rows(self.surrogate.extended(unit_KD))
        self._variance_C = self._told_variance_C - np.einsum("kc,kc->c", new_KC, new_KC)

    def pick(self, index: int) -> None:
        """Add one candidate to the beliefs, as if it ran."""
        surrogate = self.surrogate
        weight = noise_weight(surrogate.warp, surrogate.warp.inverse(self._mean_C[index : index + 1]))
        noise = float(surrogate.noise_variance(weight)[0]) + JITTER * surrogate.hyper.signal**2
        corner = math.sqrt(max(0.0, float(self._variance_C[index])) + noise)
        later = slice(self._num_covered, self._num_rows)
        rest_C = self._covariance_with(index) - self._rows_C[later, index] @ self._rows_C[later]
        new_1C = self._add((rest_C / corner)[None])
        self._variance_C -= new_1C[0] ** 2

    def _covariance_with(self, index: int) -> Array:
        """Covariance of one candidate with all candidates, given the rows so far; shape (C,)."""
        if self._covariance_CC is not None:
            return np.asarray(self._covariance_CC[index])
        return np.asarray(self.surrogate.covariance(self.unit_CD[index : index + 1], self.unit_CD)[0])

    def _told_rows(self, extended: Surrogate) -> Array:
        """The rows that an extended surrogate adds to those of finished trials; shape (K, C)."""
        num_new = len(extended.factor) - self._num_told
        self._num_rows = self._num_told
        side_KA, corner_KK = extended.factor.last_rows(num_new)
        return self._append(side_KA, corner_KK, extended.unit_AD[self._num_told :])

    def _append(self, lower_KA: Array, corner_KK: Array, unit_KD: Array) -> Array:
        """Rows of the solved covariance for new rows (lower, corner) of the factor; shape (K, C)."""
        rest_KC = self.surrogate.covariance(unit_KD, self.unit_CD) - lower_KA @ self._rows_C[: self._num_rows]
        return self._add(np.asarray(solve_triangular(corner_KK, rest_KC, lower=True, check_finite=False)))

    def _add(self, new_KC: Array) -> Array:
        """Append rows."""
        num_old, num_new = self._num_rows, len(new_KC)
        if num_old + num_new > len(self._rows_C):
            self._rows_C = np.concatenate([self._rows_C[:num_old], np.empty((num_new + _ROOM, len(self.unit_CD)))])
        self._rows_C[num_old : num_old + num_new] = new_KC
        self._num_rows = num_old + num_new
        return new_KC
