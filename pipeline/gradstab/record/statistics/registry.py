"""The registry of statistics: arrays, segments, metric keys, the memory model and docs follow from it.

A statistic keeps its name, axes and unit for ever, since results on disk carry them. New ones may be added: a segment
that does not have one reads as NaN there.
"""

from __future__ import annotations

from gradstab.record.statistics.layers import LAYER_STATISTICS, ProbeStatistic, UpdateStatistic
from gradstab.record.statistics.statistic import Statistic

_WHOLE_NETWORK: tuple[Statistic, ...] = (
    Statistic("loss", "S", "nats", "mean softmax cross-entropy of the step's training batch", "float64", required=True),
    Statistic(
        "grad_norm", "S", "1", "norm of the whole gradient of the mean loss, before clipping", "float64", required=True
    ),
    Statistic("clip_factor", "S", "1", "norm after clipping over norm before; 1 where clipping did nothing", "float64"),
    Statistic("probe_loss", "P", "nats", "mean softmax cross-entropy of the probed batch", "float64"),
    Statistic(
        "accuracy", "P", "1", "fraction of 512 fixed training rows classified correctly; NaN where not read", "float64"
    ),
)
STATISTICS: dict[str, Statistic] = {one.name: one for one in (*_WHOLE_NETWORK, *LAYER_STATISTICS)}


def layer_statistics() -> list[Statistic]:
    """The statistics that every hidden layer has."""
    return [one for one in STATISTICS.values() if one.axes == "PL"]


def probe_statistics() -> list[ProbeStatistic]:
    """The statistics that a forward and a backward pass are read for."""
    return [one for one in STATISTICS.values() if isinstance(one, ProbeStatistic)]


def update_statistics() -> list[UpdateStatistic]:
    """The statistics that an optimizer step is read for."""
    return [one for one in STATISTICS.values() if isinstance(one, UpdateStatistic)]


def stored_bytes(steps: int, num_probes: int, depth: int) -> int:
    """Bytes of the numbers of one trajectory on disk."""
    lengths = {"S": steps, "P": num_probes, "PL": num_probes * depth}
    return sum(one.num_bytes * lengths[one.axes] for one in STATISTICS.values())
