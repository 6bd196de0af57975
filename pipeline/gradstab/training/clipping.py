"""Gradient clipping per member, with torch's semantics where torch is right.

Shapes: n member, s section.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradstab.study.recipe import Recipe
from gradstab.training.layout import FlatLayout
from gradstab.training.norms import total_norms

_EPSILON = 1e-6  # of torch.nn.utils.clip_grad_norm_


class Clipping:
    """Clips each member's gradient by its own threshold; members with clipping off pass unchanged."""

    def __init__(self, recipes: Sequence[Recipe], device: torch.device) -> None:
        thresholds = [recipe.clip_threshold if recipe.clip else torch.inf for recipe in recipes]
        self._threshold_n = torch.tensor(thresholds, dtype=torch.float64, device=device)
        self._by_value = recipes[0].clip_mode == "value"
        self._active = any(recipe.clip for recipe in recipes)

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members."""
        self._threshold_n = self._threshold_n[list(members)]

    def __call__(self, layout: FlatLayout, grad: Tensor, norm_n: Tensor) -> tuple[Tensor, Tensor | None]:
        """Clip; returns norm after / norm before, and the factor still to be applied to the gradient (or None).

        Clipping by norm leaves the gradient as it is and returns the factor, so that the optimizer can apply it in its
        own pass. Clipping by value changes the gradient in place.
        """
        if not self._active:
            return torch.ones_like(norm_n), None
        if self._by_value:
            return self._clip_by_value(layout, grad), None
        factor_n = (self._threshold_n / (norm_n + _EPSILON)).clamp(max=1.0)
        return factor_n, factor_n

    def _clip_by_value(self, layout: FlatLayout, grad: Tensor) -> Tensor:
        before_n = total_norms(layout, grad)  # of the same kernels as the norm after: equal where nothing is clipped
        bound_p1 = layout.by_piece(self._threshold_n.to(grad.dtype))[:, None]
        for block, part_pP in zip(layout.blocks, layout.views(grad), strict=True):
            bound = block.of(bound_p1)
            torch.minimum(part_pP, bound, out=part_pP)
            torch.maximum(part_pP, -bound, out=part_pP)
        after_n = total_norms(layout, grad)
        return torch.where(before_n > 0, after_n / before_n, 1.0)
