"""Calls the function of a study that returns its data, so that every call returns the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gradstab.study.data_file import DataError


def called(function: Callable[[], Any], source: str, study_seed: int) -> tuple[Any, Any]:
    """What the function returns, `(inputs, targets)`, with the global generators seeded by the study's seed.

    Raises:
        DataError: it returns anything else. What the function raises goes through.
    """
    with _seeded(study_seed):
        found = function()
    if not isinstance(found, tuple | list) or len(found) != 2:
        got = f"a {type(found).__name__} of {len(found)}" if isinstance(found, tuple | list) else type(found).__name__
        raise DataError(f"{source} must return a pair, (inputs, targets), got {got}.")
    return found[0], found[1]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python, numpy and torch, and afterwards leaves them as they were."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
