"""The environment in which a child process has the kernels of a processor without AVX-512, torch's and NumPy's."""

from __future__ import annotations

import os
from importlib import import_module

_NUMPY = "NPY_DISABLE_CPU_FEATURES"


def without_avx512() -> dict[str, str]:
    """Environment variables; in a process that has them, the same. NumPy is told only what this machine has."""
    numpy_core = import_module("numpy._core._multiarray_umath")
    has: dict[str, bool] = numpy_core.__cpu_features__
    offered: list[str] = numpy_core.__cpu_dispatch__
    newer = [name for name in offered if has.get(name) and (name.startswith("AVX512") or name == "X86_V4")]
    disabled = os.environ.get(_NUMPY, "").split()  # NumPy does not list what this process was started without
    return {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        _NUMPY: " ".join([*disabled, *newer]),
        "OPENBLAS_CORETYPE": "Haswell",  # OpenBLAS' name of its kernels for AVX2
    }
