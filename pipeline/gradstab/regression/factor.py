"""A Cholesky factor that grows at its end without being copied: a large base and the rows added since.

    L = [ base    0   ]
        [ side  corner ]

Axes: A rows in all, B rows of the base, G rows grown, K new rows, M right-hand sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

Array = NDArray[np.float64]


def lower_factor(matrix_NN: Array) -> Array:
    """Lower Cholesky factor of a positive definite matrix, which is overwritten.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite.
    """
    return np.asarray(cholesky(matrix_NN, lower=True, overwrite_a=True, check_finite=False))


@dataclass(frozen=True)
class Factor:
    """A lower Cholesky factor in blocks. Factors grown from it share its base."""

    base_BB: Array
    side_GB: Array
    corner_GG: Array

    @staticmethod
    def of(base_BB: Array) -> Factor:
        """A factor without grown rows."""
        return Factor(base_BB, np.empty((0, len(base_BB))), np.empty((0, 0)))

    def __len__(self) -> int:
        return len(self.base_BB) + len(self.corner_GG)

    def solve(self, right_A: Array) -> Array:
        """L^-1 times a vector or the columns of a matrix, shape (A,) or (A, M)."""
        first = _solve(self.base_BB, right_A[: len(self.base_BB)])
        second = _solve(self.corner_GG, right_A[len(self.base_BB) :] - self.side_GB @ first)
        return np.concatenate([first, second])

    def solve_transposed(self, right_A: Array) -> Array:
        """L^-T times a vector or the columns of a matrix."""
        second = _solve(self.corner_GG, right_A[len(self.base_BB) :], transposed=True)
        first = _solve(self.base_BB, right_A[: len(self.base_BB)] - self.side_GB.T @ second, transposed=True)
        return np.concatenate([first, second])

    def grown(self, side_KA: Array, corner_KK: Array) -> Factor:
        """A factor with K more rows, (side, corner)."""
        num_base, num_grown = self.side_GB.shape[1], len(self.corner_GG)
        corner_GG = np.zeros((num_grown + len(corner_KK),) * 2)
        corner_GG[:num_grown, :num_grown] = self.corner_GG
        corner_GG[num_grown:, :num_grown] = side_KA[:, num_base:]
        corner_GG[num_grown:, num_grown:] = corner_KK
        return Factor(self.base_BB, np.concatenate([self.side_GB, side_KA[:, :num_base]]), corner_GG)

    def last_rows(self, count: int) -> tuple[Array, Array]:
        """The last rows, which must be grown rows: their part before the corner, and the corner."""
        start = len(self.corner_GG) - count
        side_KA = np.concatenate([self.side_GB[start:], self.corner_GG[start:, :start]], axis=1)
        return side_KA, self.corner_GG[start:, start:]


def _solve(lower_NN: Array, right_N: Array, *, transposed: bool = False) -> Array:
    if len(lower_NN) == 0:
        return right_N
    trans: Literal["N", "T"] = "T" if transposed else "N"
    return np.asarray(solve_triangular(lower_NN, right_N, lower=True, trans=trans, check_finite=False))
