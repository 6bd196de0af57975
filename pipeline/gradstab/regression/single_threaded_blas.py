"""Limits BLAS to one thread for the linear algebra of regions: its matrices are small, and idle threads cost CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import scipy.linalg  # noqa: F401  loads the BLAS that is to be limited, beside numpy's
from threadpoolctl import ThreadpoolController

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def single_threaded_blas(call: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run the function with one BLAS thread, and restore the former setting afterwards.

    On two shared cores an ask at 2,000 trials took ten times the CPU with two threads.
    """

    @wraps(call)
    def limited(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with _controller().limit(limits=1, user_api="blas"):
            return call(*args, **kwargs)

    return limited


@cache
def _controller() -> ThreadpoolController:
    """The controller, made once: finding the libraries takes a millisecond."""
    return ThreadpoolController()
