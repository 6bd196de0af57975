"""Statistics of the hidden layers, read from activations and per-sample gradients while the backward pass goes by.

delta is carried with a power-of-two exponent per member and layer, because it underflows float32 in deep sigmoid
nets; the rescaling is exact. Sums of squares in float32 are safe then, and logarithms and exponents are float64.
Definitions: gradstab.record.statistics.layers. Shapes: L layer, n member, B sample, U unit (padded to whole vector
registers; padded units and rows are zero and are never counted).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradstab.activations.activation import Passes
from gradstab.record.statistics.layers import ProbedLayers, ProbeStatistic
from gradstab.record.statistics.registry import probe_statistics
from gradstab.study.pack_key import padded
from gradstab.training.layout import LARGEST_EXPONENT, power_of_two
from gradstab.training.norms import SAFE_HIGH, SAFE_LOW, exact_norms

_LOG10_2 = math.log10(2.0)
_DELTA_LOW, _DELTA_HIGH = 2.0**-30, 2.0**30  # delta is rescaled where its largest entry leaves this range


LayerValues = dict[str, Tensor]  # statistic name to (L, n), float64; NaN where a member has no such layer


class Reading:
    """Reads every layer statistic of a stack, one reading after the other.

    Layer by layer only sums over samples are taken; what follows from them is computed for all layers at the end.

    Args:
        counts: members that have each layer (deepest first: counts fall).
        num_rows, width: true samples and units, padding not counted.
        phi: the passes of the stack's activation.
        present_Ln: which members have which layers.
        like: gives type and device.

    Attributes:
        exponent_Ln: powers of two taken out of delta; a gradient made from delta must be multiplied by 2^exponent.
            Zero before a reading: `begin` says when one starts.
    """

    def __init__(
        self,
        counts: Sequence[int],
        num_rows: int,
        width: int,
        phi: Passes,
        present_Ln: Tensor,
        like: Tensor,
    ) -> None:
        self._present_Ln = present_Ln
        self.num_rows = num_rows
        self._width = width
        self._phi = phi
        shape, units = (len(counts), counts[0]), padded(width)
        self.exponent_Ln = torch.zeros(shape, dtype=torch.int64, device=like.device)
        self._delta_max_Ln = like.new_zeros(shape)
        self._delta_norm_Ln = like.new_zeros(shape)
        self._delta_nonzero_LnU = like.new_zeros((*shape, units))
        self._a_max_LnU = like.new_zeros((*shape, units))
        self._saturated_LnU = like.new_zeros((*shape, units))
        self._a_norm_LnB = like.new_zeros((*shape, num_rows))
        self._unit_sum_LnU = like.new_zeros((*shape, units))
        self._own: dict[str, Tensor] = {}
        self._of_activations = [one for one in probe_statistics() if one.of_activations is not None]
        self._of_gradients = [one for one in probe_statistics() if one.of_gradients is not None]
        inverse_nB = like.new_empty(counts[0], num_rows)
        self._layers = [
            _LayerSums(
                deeper=deeper,
                exponent=self.exponent_Ln[layer, :count],
                delta_max=self._delta_max_Ln[layer, :count],
                delta_norm=self._delta_norm_Ln[layer, :count],
                delta_nonzero=self._delta_nonzero_LnU[layer, :count],
                a_max=self._a_max_LnU[layer, :count],
                saturated=self._saturated_LnU[layer, :count],
                a_norm=self._a_norm_LnB[layer, :count],
                inverse_norm=inverse_nB[:count],
                unit_sum=self._unit_sum_LnU[layer, :count, None, :],
            )
            for layer, (count, deeper) in enumerate(zip(counts, [*counts[1:], 0], strict=True))
        ]

    def begin(self) -> None:
        """A new reading: no power of two has been taken out of delta."""
        self.exponent_Ln.zero_()

    def activations(self, layer: int, a_nBU: Tensor, kept_nBU: Tensor, scratch_nBU: Tensor) -> None:
        """Read a layer's activations, rows that fill the batch up left out; `kept_nBU` is what phi' follows from."""
        sums = self._layers[layer]
        magnitude_nBU = a_nBU if self._phi.nonnegative else torch.abs(a_nBU, out=scratch_nBU)
        torch.amax(magnitude_nBU, 1, out=sums.a_max)
        self._phi.mark_saturated(kept_nBU, scratch_nBU)
        torch.sum(scratch_nBU, 1, out=sums.saturated)
        torch.linalg.vector_norm(a_nBU, dim=2, out=sums.a_norm)
        torch.reciprocal(sums.a_norm, out=sums.inverse_norm).nan_to_num_(nan=torch.nan, posinf=0.0)
        torch.bmm(sums.inverse_norm[:, None, :], a_nBU, out=sums.unit_sum)
        for statistic in self._of_activations:
            self._keep(statistic, layer, a_nBU)

    def gradients(self, layer: int, delta_nBU: Tensor, scratch_nBU: Tensor) -> None:
        """Bring delta of a layer (of the mean loss) into range, in place, and read it; layers come from the last on."""
        sums = self._layers[layer]
        if sums.deeper:
            sums.exponent[: sums.deeper] = self.exponent_Ln[layer + 1, : sums.deeper]
        torch.amax(torch.abs(delta_nBU, out=scratch_nBU), (1, 2), out=sums.delta_max)
        if not all(_DELTA_LOW < largest < _DELTA_HIGH for largest in sums.delta_max.tolist()):
            _rescale(delta_nBU, sums.delta_max, sums.exponent)
        torch.linalg.vector_norm(delta_nBU.flatten(1), dim=1, out=sums.delta_norm)
        torch.sum(torch.ne(delta_nBU, 0, out=scratch_nBU), 1, out=sums.delta_nonzero)
        for statistic in self._of_gradients:
            self._keep(statistic, layer, delta_nBU[:, : self.num_rows])

    def values(self, a_lnBU: Sequence[Tensor], weight_norm_Ln: Tensor, bias_norm_Ln: Tensor) -> LayerValues:
        """Every statistic, given all activations and the gradients' norms before the powers of two were put back."""
        width = self._width
        mean_square_Ln, cosine_Ln = self._moments(a_lnBU)
        probed = ProbedLayers(
            num_rows=self.num_rows,
            width=width,
            shift_Ln=self.exponent_Ln * _LOG10_2,
            delta_norm_Ln=self._delta_norm_Ln,
            delta_max_Ln=self._delta_max_Ln,
            delta_nonzero_Ln=self._delta_nonzero_LnU.sum(2, dtype=torch.float64),
            weight_norm_Ln=weight_norm_Ln,
            bias_norm_Ln=bias_norm_Ln,
            a_max_LnU=self._a_max_LnU[..., :width],
            saturated_LnU=self._saturated_LnU[..., :width],
            mean_square_Ln=mean_square_Ln,
            cosine_Ln=cosine_Ln,
            own=self._own,
        )
        return {
            statistic.name: torch.where(self._present_Ln, statistic.read(probed).double(), torch.nan)
            for statistic in probe_statistics()
        }

    def _keep(self, statistic: ProbeStatistic, layer: int, values_nBU: Tensor) -> None:
        """Take a statistic's own sum at a layer; members that have no such layer keep zeros."""
        take = statistic.of_activations or statistic.of_gradients
        assert take is not None
        found = take(values_nBU[..., : self._width])
        if statistic.name not in self._own:
            self._own[statistic.name] = found.new_zeros((*self._present_Ln.shape, *found.shape[1:]))
        self._own[statistic.name][layer, : len(found)] = found

    def _moments(self, a_lnBU: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(mean square, mean cosine over pairs of samples) of the activations, (L, n) each.

        Cosines are over pairs of samples whose activations are not zero, NaN where there is no such pair: the sum over
        all pairs is ||sum_b a_b / ||a_b|| ||^2 less the diagonal.
        """
        norm_LnB, sum_LnU = self._a_norm_LnB.double(), self._unit_sum_LnU.double()
        largest_Ln = self._a_max_LnU.amax(2)
        unsafe_Ln = ~((largest_Ln > SAFE_LOW) & (largest_Ln < SAFE_HIGH)) & (largest_Ln > 0)
        for layer, member in torch.nonzero(unsafe_Ln).tolist():  # squares would leave the range of float32
            a_BU = a_lnBU[layer][member, : self.num_rows].double()
            norm_B = exact_norms(a_BU)
            norm_LnB[layer, member] = norm_B
            sum_LnU[layer, member] = (a_BU / torch.where(norm_B > 0, norm_B, 1.0)[:, None]).sum(0)
        pairs_Ln = norm_LnB.gt(0).double().sum(2)
        total_Ln = torch.square(sum_LnU).sum(2)
        mean_square_Ln = torch.square(norm_LnB).sum(2) / (self.num_rows * self._width)
        return mean_square_Ln, (total_Ln - pairs_Ln) / (pairs_Ln * (pairs_Ln - 1))


@dataclass(frozen=True)
class _LayerSums:
    """One layer's part of what a reading gathers; `deeper` members have a layer above it."""

    deeper: int
    exponent: Tensor
    delta_max: Tensor
    delta_norm: Tensor
    delta_nonzero: Tensor
    a_max: Tensor
    saturated: Tensor
    a_norm: Tensor
    inverse_norm: Tensor
    unit_sum: Tensor


def _rescale(delta_nBU: Tensor, largest_n: Tensor, total_n: Tensor) -> None:
    """Divide delta and its largest entry by a power of two per member, where that entry is out of range.

    The exponents are added to `total_n`.
    """
    inside_n = (largest_n > _DELTA_LOW) & (largest_n < _DELTA_HIGH)
    outside_n = ~inside_n & (largest_n > 0) & torch.isfinite(largest_n)
    exponent_n = torch.where(outside_n, torch.frexp(largest_n)[1], 0).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    power_n = power_of_two(-exponent_n).to(delta_nBU.dtype)
    delta_nBU.mul_(power_n[:, None, None])
    largest_n.mul_(power_n)
    total_n += exponent_n
