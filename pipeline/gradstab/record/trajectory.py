"""What one training leaves behind: raw numbers over steps and layers, and the registry that names them.

Array names carry their axes as a suffix: S optimizer step, P probe time, L hidden layer (index 0 is the layer
next to the input).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Statistic:
    """A named scalar with a unit and a definition; `axes` says what it is read at.

    Args:
        name: key in arrays and metrics.
        axes: "S" once a step, "P" once a probe time, "PL" once a probe time and hidden layer.
        unit: unit of the stored number ("decades" for log10 quantities).
        definition: what it is, in one sentence.
        dtype: type in which it is stored.
    """

    name: str
    axes: Literal["S", "P", "PL"]
    unit: str
    definition: str
    dtype: Literal["float32", "float64"] = "float32"


STATISTICS: tuple[Statistic, ...] = (
    Statistic("loss", "S", "nats", "mean softmax cross-entropy of the step's training batch", "float64"),
    Statistic("grad_norm", "S", "1", "norm of the whole gradient of the mean loss, before clipping", "float64"),
    Statistic("clip_factor", "S", "1", "norm after clipping over norm before; 1 where clipping did nothing", "float64"),
    Statistic("probe_loss", "P", "nats", "mean softmax cross-entropy of the probed batch", "float64"),
    Statistic(
        "accuracy", "P", "1", "fraction of 512 fixed training rows classified correctly; NaN where not read", "float64"
    ),
    Statistic(
        "log10_delta_norm",
        "PL",
        "decades",
        "log10 of the root mean square over samples of ||delta_b||, delta the per-sample pre-activation gradient",
        "float64",
    ),
    Statistic("log10_delta_max", "PL", "decades", "log10 of max |delta| over samples and units"),
    Statistic("delta_zero_fraction", "PL", "1", "fraction of delta entries that are exactly zero"),
    Statistic("log10_weight_grad_norm", "PL", "decades", "log10 of ||dW|| of the mean loss, before clipping"),
    Statistic("log10_bias_grad_norm", "PL", "decades", "log10 of ||db|| of the mean loss, before clipping"),
    Statistic("dead_fraction", "PL", "1", "fraction of units whose activation is zero on every probed sample"),
    Statistic("saturated_fraction", "PL", "1", "fraction of (sample, unit) with |phi'| below 1 % of its maximum"),
    Statistic("log10_activation_ms", "PL", "decades", "log10 of the mean square of the activations (q)"),
    Statistic("activation_cosine", "PL", "1", "mean cosine between the activations of two different samples (c)"),
    Statistic("log10_update_ratio", "PL", "decades", "log10 of ||update|| / ||W|| of the step's weight update"),
)
BY_NAME: dict[str, Statistic] = {statistic.name: statistic for statistic in STATISTICS}
LAYER_STATISTICS: tuple[str, ...] = tuple(s.name for s in STATISTICS if s.axes == "PL")


@dataclass(frozen=True)
class Trajectory:
    """Raw measurements of one training; judged elsewhere, never here.

    Attributes:
        depth: hidden layers L.
        steps: optimizer steps S that were planned.
        reference_loss: entropy of the training labels in nats, the loss of the best constant predictor.
        probe_step_P: step of each probe; the last is S.
        series: statistic name to array, for every statistic of STATISTICS. "S" arrays have shape (S,), "P"
            arrays (P,), "PL" arrays (P, L). NaN where nothing was measured (after divergence); -inf is the
            log10 of an exact zero and +inf of an overflow.
        nonfinite_step: first step at which loss, gradient norm or a parameter was not finite (S when found
            after the last update), or None.
    """

    depth: int
    steps: int
    reference_loss: float
    probe_step_P: NDArray[np.int64]
    series: dict[str, FloatArray]
    nonfinite_step: int | None = None

    def __post_init__(self) -> None:
        lengths = {"S": (self.steps,), "P": self.probe_step_P.shape, "PL": (*self.probe_step_P.shape, self.depth)}
        for statistic in STATISTICS:
            if statistic.name not in self.series:
                raise ValueError(f"trajectory must hold the statistic {statistic.name!r}, got {sorted(self.series)}")
            found = self.series[statistic.name].shape
            if found != lengths[statistic.axes]:
                raise ValueError(f"{statistic.name} must have shape {lengths[statistic.axes]}, got {found}")

    def __getitem__(self, name: str) -> FloatArray:
        """The array of the named statistic."""
        return self.series[name]
