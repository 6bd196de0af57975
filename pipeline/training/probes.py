"""Statistics of the hidden layers, read from activations and per-sample gradients while the backward pass goes by.

delta is carried with a power-of-two exponent per member and layer, because it underflows float32 in deep sigmoid
nets; the rescaling is exact. Sums of squares in float32 are safe then, and logarithms and exponents are float64.
Definitions: pipeline.trajectory.STATISTICS. Shapes: L layer, n member, B sample, U unit (padded to whole vector
registers; padded units and rows are zero and are never counted).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.training.activations import Nonlinearity
from pipeline.training.layout import halves
from pipeline.training.norms import SAFE_HIGH, SAFE_LOW
from pipeline.trajectory import LAYER_STATISTICS

_LOG10_2 = math.log10(2.0)
_DELTA_LOW, _DELTA_HIGH = 2.0**-30, 2.0**30  # delta is rescaled where its largest entry leaves this range


def log10_magnitude(value: Tensor) -> Tensor:
    """log10 in float64; -inf for an exact zero, +inf for what overflowed, be it inf or NaN."""
    return torch.log10(torch.nan_to_num(value.double(), nan=torch.inf, posinf=torch.inf))


class Reading:
    """One reading of every layer statistic of a stack.

    Args:
        depth, members: layers of the deepest member, and members.
        num_rows, width: true samples and units, padding not counted.
        phi: the stack's nonlinearity.

    Attributes:
        values: statistic name to array (L, n), float64; NaN where a member has no such layer.
        exponent_Ln: powers of two taken out of delta; a gradient made from delta must be multiplied by 2^exponent.
    """

    def __init__(
        self, depth: int, members: int, num_rows: int, width: int, phi: Nonlinearity, device: torch.device
    ) -> None:
        self._num_rows = num_rows
        self._width = width
        self._phi = phi
        shape = (depth, members)
        self.values = {
            name: torch.full(shape, torch.nan, dtype=torch.float64, device=device) for name in LAYER_STATISTICS
        }
        self.exponent_Ln = torch.zeros(shape, dtype=torch.int64, device=device)

    def rescale(self, layer: int, delta_nBU: Tensor, scratch_nBU: Tensor) -> None:
        """Bring delta of a layer into range, in place, and note its maximum.

        `exponent_Ln[layer]` must hold the exponents that delta came with.
        """
        members = len(delta_nBU)
        largest_n = torch.abs(delta_nBU, out=scratch_nBU).amax((1, 2))
        outside_n = ~((largest_n > _DELTA_LOW) & (largest_n < _DELTA_HIGH)) & (largest_n > 0)
        outside_n &= torch.isfinite(largest_n)
        if bool(outside_n.any()):
            _, exponent_n = torch.frexp(largest_n)
            exponent_n = torch.where(outside_n, exponent_n, 0)
            largest_n = largest_n.double()
            for power_n in halves(-exponent_n):
                delta_nBU.mul_(power_n[:, None, None].to(delta_nBU.dtype))
                largest_n = largest_n * power_n
            self.exponent_Ln[layer, :members] += exponent_n
        self._put("log10_delta_max", layer, self._scaled_log10(layer, largest_n) + math.log10(self._num_rows))

    def gradients(self, layer: int, delta_nBU: Tensor, scratch_nBU: Tensor) -> None:
        """Read the statistics of delta, the gradient of the mean loss: B times it is the per-sample gradient."""
        norm_n = torch.linalg.vector_norm(delta_nBU.flatten(1), dim=1)
        self._put("log10_delta_norm", layer, self._scaled_log10(layer, norm_n) + 0.5 * math.log10(self._num_rows))
        nonzero_n = torch.sign(delta_nBU, out=scratch_nBU).abs_().sum((1, 2), dtype=torch.float64)
        entries = self._num_rows * self._width
        self._put("delta_zero_fraction", layer, (entries - nonzero_n) / entries)

    def activations(self, layer: int, a_nBU: Tensor, kept_nBU: Tensor, scratch_nBU: Tensor) -> None:
        """Read the statistics of a layer's activations, rows that fill the batch up left out.

        `kept_nBU` is what the nonlinearity's backward pass needs.
        """
        largest_nU = torch.abs(a_nBU, out=scratch_nBU).amax(1)[:, : self._width]
        self._put("dead_fraction", layer, (largest_nU == 0).double().mean(1))
        saturated_nBU = self._phi.saturated(kept_nBU)[..., : self._width]
        self._put("saturated_fraction", layer, saturated_nBU.flatten(1).double().mean(1))

        largest_n = largest_nU.amax(1)
        outside_n = ~((largest_n > SAFE_LOW) & (largest_n < SAFE_HIGH)) & (largest_n > 0) & torch.isfinite(largest_n)
        exponent_n = torch.where(outside_n, torch.frexp(largest_n)[1], 0)
        if bool(outside_n.any()):
            for power_n in halves(-exponent_n):
                a_nBU = a_nBU * power_n[:, None, None].to(a_nBU.dtype)
        norm_nB = torch.linalg.vector_norm(a_nBU, dim=2)
        mean_square_n = torch.square(norm_nB.double()).sum(1) / (self._num_rows * self._width)
        self._put("log10_activation_ms", layer, log10_magnitude(mean_square_n) + 2 * _LOG10_2 * exponent_n)
        self._put("activation_cosine", layer, _mean_cosine(a_nBU, norm_nB))

    def weights(self, weight_norm_Ln: Tensor, bias_norm_Ln: Tensor) -> None:
        """Read the norms of weight and bias gradients, taken before the powers of two were put back."""
        shift_Ln = self.exponent_Ln * _LOG10_2
        absent_Ln = self.values["log10_delta_norm"].isnan()
        for name, norm_Ln in (("log10_weight_grad_norm", weight_norm_Ln), ("log10_bias_grad_norm", bias_norm_Ln)):
            self.values[name] = (log10_magnitude(norm_Ln) + shift_Ln).masked_fill_(absent_Ln, torch.nan)

    def _scaled_log10(self, layer: int, value_n: Tensor) -> Tensor:
        return log10_magnitude(value_n) + self.exponent_Ln[layer, : len(value_n)] * _LOG10_2

    def _put(self, name: str, layer: int, value_n: Tensor) -> None:
        self.values[name][layer, : len(value_n)] = value_n


def _mean_cosine(a_nBU: Tensor, norm_nB: Tensor) -> Tensor:
    """Mean cosine over pairs of different samples whose activations are not zero; NaN where there is no such pair.

    The sum over all pairs is ||sum_b a_b / ||a_b|| ||^2 less the diagonal.
    """
    nonzero_nB = norm_nB > 0
    inverse_nB = torch.where(nonzero_nB, 1.0 / norm_nB, 0.0)
    sum_n1U = torch.bmm(inverse_nB[:, None, :], a_nBU)
    count_n = nonzero_nB.double().sum(1)
    total_n = torch.square(torch.linalg.vector_norm(sum_n1U[:, 0], dim=1).double())
    return (total_n - count_n) / (count_n * (count_n - 1))
