"""A statistic: a named number that is measured along a training, with its unit and its definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axes = Literal["S", "P", "PL"]


@dataclass(frozen=True)
class Statistic:
    """A named number with a unit and a definition.

    Args:
        name: key in arrays and metrics.
        axes: "S" is measured at each optimizer step, "P" at each probe time, "PL" at each probe time and hidden layer.
        unit: unit of the stored number ("decades" for log10 quantities).
        definition: what it is, in one sentence.
        dtype: type in which it is stored.
        required: whether every trajectory must hold it, because verdicts follow from it. A statistic that was added
            later cannot be required: older segments do not have it.
    """

    name: str
    axes: Axes
    unit: str
    definition: str
    dtype: Literal["float32", "float64"] = "float32"
    required: bool = False

    @property
    def num_bytes(self) -> int:
        """Bytes of one stored number."""
        return {"float32": 4, "float64": 8}[self.dtype]
