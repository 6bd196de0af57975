"""The environment in which a child process has the kernels of a processor without AVX-512, torch's and NumPy's."""

from __future__ import annotations

from importlib import import_module


def without_avx512() -> dict[str, str]:
    """Environment variables. NumPy is told only what this machine has, since it warns of all else."""
    numpy_core = import_module("numpy._core._multiarray_umath")
    has: dict[str, bool] = numpy_core.__cpu_features__
    offered: list[str] = numpy_core.__cpu_dispatch__
    newer = [name for name in offered if has.get(name) and (name.startswith("AVX512") or name == "X86_V4")]
    return {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": " ".join(newer),
    }
