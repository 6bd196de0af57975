"""torch on a slot: whether it works there, how much memory is free, and the state in which every pack begins.

torch is imported only where training runs.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController

from gradstab.loop.ports import Slot


def ask_for_huge_pages() -> None:
    """Use pages of 2 MB for large buffers where Linux has them. torch reads this at its first allocation only."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def set_known_state() -> None:
    """Set torch's global settings, for one thread: results must not depend on what ran before."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False


def single_blas_thread() -> AbstractContextManager[object]:
    """A context in which NumPy's products use one thread, as a slot has it: by themselves they would use every core."""
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits


@cache
def openblas_kernels() -> str | None:
    """OpenBLAS's name of the processors for which it has chosen its kernels; None where none is loaded."""
    names = (one["architecture"] for one in _controller().info() if one["internal_api"] == "openblas")
    return next(names, None)


@cache
def _controller() -> ThreadpoolController:
    """Made once, after NumPy was imported: finding the libraries takes a millisecond."""
    import numpy as np  # noqa: F401

    return ThreadpoolController()


def why_unusable(slot: Slot) -> str | None:
    """The reason why torch cannot use the slot's GPU. It is tried, because a listed GPU may be unusable."""
    if slot.kind == "cpu":
        return None
    ask_for_huge_pages()
    try:
        import torch

        torch.zeros(1, device=slot.kind).item()
    except Exception as error:  # any exception: no CUDA in torch, no driver, no free memory, no code for this GPU
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def free_bytes(slot: Slot) -> int:
    """The free memory of the slot's GPU, or of this machine, which may be another than the driver's."""
    if slot.kind == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    import psutil

    return int(psutil.virtual_memory().available)
