"""Designs: each point depends only on the declaration, the space, the study's seed and its index.

The index is trial number // replicates. So a larger budget keeps the first points, and a resumed study continues
exactly where it stopped. Array axes: N index, D axis of the space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from gradstab.errors import UsageError
from gradstab.study.axes import Value
from gradstab.study.sampler_spec import AnySampler, GridSpec, RandomSpec, SobolSpec
from gradstab.study.space import SearchSpace

_SOBOL_BLOCK = 1024  # a power of two, so that every block of the sequence is balanced


class Design(Protocol):
    """A point for every index."""

    def point(self, index: int) -> dict[str, Value]:
        """The point at an index, the same in every process."""
        ...


def design_of(spec: AnySampler, space: SearchSpace, study_seed: int) -> Design | None:
    """The design of a declaration; None if the sampler looks at results."""
    if isinstance(spec, RandomSpec):
        return RandomDesign(space, study_seed)
    if isinstance(spec, SobolSpec):
        return SobolDesign(space, study_seed)
    return GridDesign(space, study_seed, spec) if isinstance(spec, GridSpec) else None


def derived_seed(study_seed: int, *purpose: str | int) -> int:
    """A 64-bit seed for one purpose within a study, so that no two draws share a stream."""
    text = ":".join(str(part) for part in (study_seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class RandomDesign:
    """Independent uniform points by a counter-based generator (Philox, Salmon et al. 2011) keyed by the index."""

    def __init__(self, space: SearchSpace, study_seed: int) -> None:
        self._space = space
        self._seed = derived_seed(study_seed, "random design")

    def point(self, index: int) -> dict[str, Value]:
        key = np.array([self._seed, index], dtype=np.uint64)
        unit_D = np.random.Generator(np.random.Philox(key=key)).random(len(self._space))
        return _point(self._space, unit_D)


class SobolDesign:
    """A scrambled Sobol sequence (Owen 1998; scipy's linear matrix scramble with a digital shift)."""

    def __init__(self, space: SearchSpace, study_seed: int) -> None:
        self._space = space
        seed = derived_seed(study_seed, "sobol design")
        self._sequence = qmc.Sobol(max(1, len(space)), scramble=True, rng=np.random.default_rng(seed))
        self._blocks_ND: list[NDArray[np.float64]] = []

    def point(self, index: int) -> dict[str, Value]:
        block, row = divmod(index, _SOBOL_BLOCK)
        while len(self._blocks_ND) <= block:
            self._blocks_ND.append(self._sequence.random(_SOBOL_BLOCK))
        return _point(self._space, self._blocks_ND[block][row])


class GridDesign:
    """Every combination of levels once, in an order shuffled with the study's seed."""

    def __init__(self, space: SearchSpace, study_seed: int, spec: GridSpec) -> None:
        self._levels = {name: axis.levels(spec.levels.get(name, spec.default_levels)) for name, axis in space.items()}
        rng = np.random.default_rng(derived_seed(study_seed, "grid design"))
        self._order_N = rng.permutation(spec.num_points(space))

    def point(self, index: int) -> dict[str, Value]:
        """The point at an index.

        Raises:
            UsageError: the grid has no more points.
        """
        if index >= len(self._order_N):
            raise UsageError(
                f"the grid has {len(self._order_N)} points and so no point {index}: lower the budget of trials"
            )
        rest = int(self._order_N[index])
        point: dict[str, Value] = {}
        for name, levels in self._levels.items():
            rest, position = divmod(rest, len(levels))
            point[name] = levels[position]
        return point


def _point(space: SearchSpace, unit_D: Sequence[float] | NDArray[np.float64]) -> dict[str, Value]:
    return space.point_from_unit({name: float(u) for name, u in zip(space.names(), unit_D, strict=False)})
