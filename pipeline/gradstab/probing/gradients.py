"""Norms of the gradient at every position, by backward passes in which each sample's share has a sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradstab.probing.refusals import refuse, user_code
from gradstab.probing.samples import Rows, measuring_signs, telling_signs

Edges = tuple[GradientEdge, ...]
FloatArray = NDArray[np.float64]

_SAME = 1e-6  # relative, of norms under other signs where samples do not mix


@dataclass(frozen=True)
class Cut:
    """Tensors that every path from the loss to the positions crosses, once: there the samples' shares get signs."""

    edges: Edges
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reading:
    """What the backward passes of one forward pass gave.

    Attributes:
        norm_KP: norm of the gradient of the loss given at each position, one row a pass that counts.
        peak_P: its largest entry in absolute value, under the loss as given.
        rows: how samples lie in the outputs; None where that is unknown.
        mix: whether samples mix; None where it cannot be told.
        exact: whether norms are exact, not estimated.
    """

    norm_KP: FloatArray
    peak_P: FloatArray
    rows: Rows | None
    mix: bool | None
    exact: bool


def read(
    value: Tensor, positions: Sequence[Edges], judged: int, cut: Cut | None, candidates: Sequence[Rows],
    most_passes: int, known_mix: bool | None, normalises: bool,
) -> Reading:  # fmt: skip
    """Read the gradient at the positions.

    One pass is exact where samples do not mix, which two more tell. Where they mix, the sum over all rows of a
    position is taken, by passes under rows of a Hadamard matrix.

    Args:
        value: the loss given.
        positions: where to read, the judged ones first.
        judged: how many of them are judged; a layer inside a block may see all samples, as one that makes weights.
        cut: where signs are put; None where no signs can be put.
        candidates: how samples may lie in the cut.
        most_passes: bound on the measuring passes.
        known_mix: what an earlier draw told, so that it is not asked again.
        normalises: whether the module normalises over the batch: then the first candidate is taken at its word.
    """
    flat = [edge for position in positions for edge in position]
    natural = _grad([value], flat, None)
    norm_P, peak_P = _norms(natural, positions)
    plain = Reading(norm_P[None], peak_P, candidates[0] if candidates else None, None, True)
    if cut is None or not candidates or not norm_P.any() or not np.isfinite(norm_P).all():
        return plain
    shares = _grad([value], list(cut.edges), None)
    kept = [(edge, share) for edge, share in zip(cut.edges, shares, strict=True) if share is not None]
    generator = torch.Generator().manual_seed(0)

    def signed(rows: Rows, signs_B: Tensor) -> FloatArray:
        seeds = [rows.signed(share, signs_B) for _, share in kept]
        return _norms(_grad([edge for edge, _ in kept], flat, seeds), positions)[0]

    rows = candidates[0]
    if known_mix is None:
        tolerance = _SAME if value.dtype == torch.float64 else math.sqrt(torch.finfo(value.dtype).eps)
        for candidate in candidates[:1] if normalises else candidates:
            readings = (signed(candidate, signs) for signs in telling_signs(candidate.num_samples, generator))
            if all(np.allclose(norms[:judged], norm_P[:judged], rtol=tolerance, atol=0) for norms in readings):
                return Reading(norm_P[None], peak_P, candidate, False, True)
    elif not known_mix:
        return Reading(norm_P[None], peak_P, rows, False, True)
    signs_KB, exact = measuring_signs(rows.num_samples, most_passes, generator)
    norm_KP = np.array([signed(rows, signs) for signs in signs_KB])
    return Reading(norm_KP, peak_P, rows, True, exact)


def norms_at(value: Tensor, positions: Sequence[Edges]) -> FloatArray:
    """Norm of the gradient of a loss at each position."""
    return _norms(_grad([value], [edge for position in positions for edge in position], None), positions)[0]


def _grad(
    ends: Sequence[Tensor | GradientEdge], edges: list[GradientEdge], seeds: list[Tensor] | None
) -> list[Tensor | None]:
    with user_code("the backward pass"):
        return list(torch.autograd.grad(ends, edges, seeds, retain_graph=True, allow_unused=True))  # type: ignore[arg-type]


def _norms(gradients: Sequence[Tensor | None], positions: Sequence[Edges]) -> tuple[FloatArray, FloatArray]:
    """Norm and largest entry at each position, over all its tensors; inf where an entry is not finite."""
    if any(gradient is not None and gradient.layout != torch.strided for gradient in gradients):
        refuse("gradients must be dense tensors, got sparse ones: name other taps")
    norm_P, peak_P = np.zeros(len(positions)), np.zeros(len(positions))
    given = iter(gradients)
    for index, position in enumerate(positions):
        pairs = [_norm(gradient) for gradient in (next(given) for _ in position) if gradient is not None]
        if pairs:
            peak_P[index] = max(peak for _, peak in pairs)
            norm_P[index] = float(np.hypot.reduce([norm for norm, _ in pairs]))
    return norm_P, peak_P


def _norm(gradient: Tensor) -> tuple[float, float]:
    """Norm and largest entry, by way of the largest entry, so that squares do not underflow."""
    if gradient.numel() == 0:
        return 0.0, 0.0
    magnitude = gradient.detach().abs().double()
    peak = float(magnitude.max())
    if not np.isfinite(peak):
        return np.inf, np.inf
    if peak == 0:
        return 0.0, 0.0
    return peak * float(torch.linalg.vector_norm(magnitude / peak)), peak
