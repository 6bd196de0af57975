"""Which kernels of torch and MKL a process uses, and how a machine is given those of another kind."""

from __future__ import annotations

from typing import Literal

from tests.without_avx512 import without_avx512

Kernels = Literal["native", "avx2"]


def kernels_environment(kernels: Kernels) -> dict[str, str]:
    """What a process that shall use these kernels has in its environment, and hands on to its children."""
    return without_avx512() if kernels == "avx2" else {}


def kind_of_kernels() -> Literal["avx2", "avx512", "other"]:
    """The kernels that torch uses in this process."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {"AVX2": "avx2", "AVX512": "avx512"}.get(capability, "other")  # type: ignore[return-value]
