"""Judged trials as regression takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.study.axes import Value
from gradstab.study.response_band import ResponseBand


@dataclass(frozen=True)
class MeasuredTrials:
    """Judged trials as an estimator takes them; those whose machine failed are left out.

    Attributes:
        points: one value per axis of the space, by trial.
        responses: values by letter of the response, shape (N,) each.
        bands: the bands of those responses.
    """

    numbers: tuple[int, ...]
    points: tuple[dict[str, Value], ...]
    responses: dict[str, NDArray[np.float64]]
    bands: tuple[ResponseBand, ...]
