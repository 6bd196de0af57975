"""The fixed rows of a data set, which the study's seed chooses: those that probes read and those of accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradstab.study.data_file import DataError
from gradstab.study.recipe import NUM_ACCURACY_ROWS
from gradstab.training.initialisation import Stream, generator


def fixed_order(num_rows: int, study_seed: int) -> NDArray[np.int64]:
    """All rows in an order drawn from the study's seed; probes read its first rows."""
    return generator(study_seed, Stream.ROWS).permutation(num_rows)


def rows_of_accuracy(order_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Up to 512 rows on which accuracy is read: the last of the order, so that probes seldom read them."""
    return order_N[-NUM_ACCURACY_ROWS:]


def first_rows(order_N: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first `count` rows of the order.

    Raises:
        DataError: there are fewer rows.
    """
    if count > len(order_N):
        raise DataError(
            f"probe_samples must be at most the number of training rows, got {count} for {len(order_N)} rows: "
            "lower it in the recipe, or bring more data."
        )
    return order_N[:count]
