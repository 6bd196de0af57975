"""The statistics of a hidden layer: each entry says what it is and how it is read.

To add one, write its entry into LAYER_STATISTICS; nothing else changes. Training, segments, memory model, MLflow and
docs/keys.md follow.

The functions use methods of tensors only, so that the names can be read without torch. Shapes: L hidden layer,
n network of the stack, B sample, U unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradstab.record.statistics.statistic import Axes, Statistic

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ProbedLayers:
    """What a probe gathers of all hidden layers; the statistics of layers are computed from it.

    delta is the gradient of the mean loss by the pre-activations. To stay inside the range of float32 it is held
    divided by 2^exponent; `shift_Ln` is log10 of that factor and must be added to the log10 of anything that is
    made from delta.

    Attributes:
        num_rows, width: samples of the probe and units of a layer; padding is not counted.
        shift_Ln: log10 of the factor by which delta, and the gradients made from it, are too small.
        delta_norm_Ln, delta_max_Ln: norm and largest magnitude of delta over samples and units.
        delta_nonzero_Ln: how many entries of delta are not zero.
        weight_norm_Ln, bias_norm_Ln: norms of the gradients of the mean loss.
        a_max_LnU: largest magnitude of each unit's activation over the samples.
        saturated_LnU: on how many samples each unit has |phi'| below 1 % of its maximum.
        mean_square_Ln, cosine_Ln: mean square of the activations, and their mean cosine between two samples.
        own: what `of_activations` or `of_gradients` of a statistic returned, by its name, with L in front.
    """

    num_rows: int
    width: int
    shift_Ln: Tensor
    delta_norm_Ln: Tensor
    delta_max_Ln: Tensor
    delta_nonzero_Ln: Tensor
    weight_norm_Ln: Tensor
    bias_norm_Ln: Tensor
    a_max_LnU: Tensor
    saturated_LnU: Tensor
    mean_square_Ln: Tensor
    cosine_Ln: Tensor
    own: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """Pairs of a sample and a unit in one layer of one network."""
        return self.num_rows * self.width

    @property
    def log10_rows(self) -> float:
        """log10 of the number by which delta of the mean loss is multiplied to get the per-sample gradient."""
        return math.log10(self.num_rows)


@dataclass(frozen=True)
class UpdatedLayers:
    """Norms of the hidden layers' weights before an optimizer step, and of the step's change of them."""

    weight_norm_Ln: Tensor
    update_norm_Ln: Tensor


@dataclass(frozen=True)
class ProbeStatistic(Statistic):
    """A statistic of hidden layers that is read from a forward and a backward pass.

    Args:
        read: (L, n) values from what the probe gathered.
        of_activations: a sum over samples that only this statistic needs. It is called at each layer with the
            activations (n, B, U), and what it returns, (n, ...), comes back as `own[name]`, (L, n, ...).
        of_gradients: the same from delta (n, B, U), held divided by 2^exponent. Give at most one of the two.
    """

    axes: Axes = field(default="PL", init=False)
    unit: str = "1"
    definition: str = ""
    read: Callable[[ProbedLayers], Tensor] = field(kw_only=True)
    of_activations: Callable[[Tensor], Tensor] | None = field(default=None, kw_only=True)
    of_gradients: Callable[[Tensor], Tensor] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class UpdateStatistic(Statistic):
    """A statistic of hidden layers that is read from the optimizer step at a probe time.

    Args:
        read: (L, n) values from the norms of weights and updates.
    """

    axes: Axes = field(default="PL", init=False)
    unit: str = "1"
    definition: str = ""
    read: Callable[[UpdatedLayers], Tensor] = field(kw_only=True)


def log10_magnitude(value: Tensor) -> Tensor:
    """log10 in float64; -inf for an exact zero, +inf for what overflowed, be it inf or NaN."""
    return value.double().nan_to_num(nan=math.inf, posinf=math.inf).log10()


LAYER_STATISTICS: tuple[ProbeStatistic | UpdateStatistic, ...] = (
    ProbeStatistic(
        "log10_delta_norm",
        "decades",
        "log10 of the root mean square over samples of ||delta_b||, delta the per-sample pre-activation gradient",
        "float64",
        required=True,
        read=lambda of: log10_magnitude(of.delta_norm_Ln) + of.shift_Ln + of.log10_rows / 2,
    ),
    ProbeStatistic(
        "log10_delta_max",
        "decades",
        "log10 of max |delta| over samples and units",
        read=lambda of: log10_magnitude(of.delta_max_Ln) + of.shift_Ln + of.log10_rows,
    ),
    ProbeStatistic(
        "delta_zero_fraction",
        "1",
        "fraction of delta entries that are exactly zero",
        read=lambda of: (of.entries - of.delta_nonzero_Ln) / of.entries,
    ),
    ProbeStatistic(
        "log10_weight_grad_norm",
        "decades",
        "log10 of ||dW|| of the mean loss, before clipping",
        read=lambda of: log10_magnitude(of.weight_norm_Ln) + of.shift_Ln,
    ),
    ProbeStatistic(
        "log10_bias_grad_norm",
        "decades",
        "log10 of ||db|| of the mean loss, before clipping",
        read=lambda of: log10_magnitude(of.bias_norm_Ln) + of.shift_Ln,
    ),
    ProbeStatistic(
        "dead_fraction",
        "1",
        "fraction of units whose activation is zero on every probed sample",
        read=lambda of: of.a_max_LnU.eq(0).to(of.a_max_LnU.dtype).sum(2).double() / of.width,
    ),
    ProbeStatistic(
        "saturated_fraction",
        "1",
        "fraction of (sample, unit) with |phi'| below 1 % of its maximum",
        read=lambda of: of.saturated_LnU.double().sum(2) / of.entries,
    ),
    ProbeStatistic(
        "log10_activation_ms",
        "decades",
        "log10 of the mean square of the activations (q)",
        read=lambda of: log10_magnitude(of.mean_square_Ln),
    ),
    ProbeStatistic(
        "activation_cosine",
        "1",
        "mean cosine between the activations of two different samples (c)",
        read=lambda of: of.cosine_Ln,
    ),
    UpdateStatistic(
        "log10_update_ratio",
        "decades",
        "log10 of ||update|| / ||W|| of the step's weight update",
        read=lambda of: log10_magnitude(of.update_norm_Ln) - log10_magnitude(of.weight_norm_Ln),
    ),
)
