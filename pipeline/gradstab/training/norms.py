"""Norms as exact as in float64, at the cost of float32 wherever its range suffices.

float32 sums of squares return 0 for elements of 1e-25 and inf for 1e18. Whether a norm is computed again exactly
depends on the member alone, never on the pack. Shapes: s section, n member, P numbers of a piece.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradstab.training.layout import FlatLayout

# A float32 norm inside this range lost only squares that are below its rounding error.
SAFE_LOW, SAFE_HIGH = 1e-15, 1e15
# A total above this cannot notice sections whose norm is below SAFE_LOW.
_TOTAL_LOW = 1e-8


def exact_norms(x_mP: Tensor) -> Tensor:
    """Euclidean norms over the last axis, in float64; inf or NaN where elements are."""
    if x_mP.dtype != torch.float64:
        wide: Tensor = torch.linalg.vector_norm(x_mP, dim=-1, dtype=torch.float64)  # whose range holds the squares
        return wide
    largest_m = x_mP.abs().amax(-1)
    scale_m = torch.where((largest_m > 0) & torch.isfinite(largest_m), largest_m, 1.0)
    norm: Tensor = torch.linalg.vector_norm(x_mP / scale_m[..., None], dim=-1) * scale_m
    return norm


def piece_norms(x_pP: Tensor) -> Tensor:
    """Norm of every piece, (p,) float64, right for any finite elements."""
    norm_p: Tensor = torch.linalg.vector_norm(x_pP, dim=1).double()
    unsafe_p = _out_of_range(norm_p)
    if bool(unsafe_p.any()):
        norm_p[unsafe_p] = exact_norms(x_pP[unsafe_p])
    return norm_p


def section_norms(layout: FlatLayout, flat: Tensor, fast_p: Tensor | None = None) -> Tensor:
    """Norm of every piece, (s, n) float64, right for any finite elements; 0 where a member has no such section.

    `fast_p` are the float32 norms, if they are known already.
    """
    norm_p = _fast_norms(layout, flat) if fast_p is None else fast_p.double()
    return layout.by_section(_exact_where(_out_of_range(norm_p), layout, flat, norm_p))


def total_norms(layout: FlatLayout, flat: Tensor, fast_p: Tensor | None = None) -> Tensor:
    """Norm of each member's whole buffer, shape (n,) in float64, right for any finite elements.

    `fast_p` are the float32 norms of its pieces, if they are known already.
    """
    norm_p = _fast_norms(layout, flat) if fast_p is None else fast_p.double()
    total_n = _root_sum_square(layout.by_section(norm_p))
    unsafe_n = ~((total_n > _TOTAL_LOW) & (total_n < SAFE_HIGH))
    if bool(unsafe_n.any()):
        norm_p = _exact_where(layout.by_piece(unsafe_n), layout, flat, norm_p)
        total_n = _root_sum_square(layout.by_section(norm_p))
    return total_n


def _fast_norms(layout: FlatLayout, flat: Tensor) -> Tensor:
    return torch.cat([torch.linalg.vector_norm(x_pP, dim=1) for x_pP in layout.views(flat)]).double()


def _exact_where(chosen_p: Tensor, layout: FlatLayout, flat: Tensor, norm_p: Tensor) -> Tensor:
    """The norms, with those of the chosen pieces computed again exactly."""
    if not bool(chosen_p.any()):
        return norm_p
    exact_p = norm_p.clone()
    for block, part_pP in zip(layout.blocks, layout.views(flat), strict=True):
        index = torch.nonzero(block.of(chosen_p))[:, 0]
        if len(index):
            exact_p[block.first + index] = exact_norms(part_pP[index])
    return exact_p


def _out_of_range(norm: Tensor) -> Tensor:
    return ~((norm > SAFE_LOW) & (norm < SAFE_HIGH))


def _root_sum_square(norm_sn: Tensor) -> Tensor:
    """Sum section by section: zeros of absent layers change nothing, so the sum is the same in any pack."""
    largest_n = norm_sn.amax(0)
    scale_n = torch.where((largest_n > 0) & torch.isfinite(largest_n), largest_n, 1.0)
    total: Tensor = torch.square(norm_sn / scale_n).cumsum(0)[-1].sqrt() * scale_n
    return total
