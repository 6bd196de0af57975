"""Products of batches of matrices, written into given memory, by the library that is fast on this machine.

torch hands products to MKL, Intel's library, which takes code without AVX-512 on AMD's processors. The OpenBLAS that
comes with NumPy does them there at 1.1 times (AVX2) to 2 times (AVX-512) the speed. Every product of two matrices is a
call of its own, so a member's numbers do not depend on its pack. (NumPy computes a matrix times its own transpose in
another way, but no layer needs that.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gradstab.system.processor import is_amd
from gradstab.system.version_order import later

Product = Callable[[], object]  # computes it anew from what the factors hold now
MakeProduct = Callable[[Tensor, Tensor, Tensor], Product]

_SINCE = "0.2.0"  # studies that began before it keep torch's products: a study has one kind of results


def products_for(device: torch.device, began_in: str | None) -> MakeProduct:
    """What makes a product of its two factors and the tensor that takes it: (n, a, b), (n, b, c), (n, a, c).

    Args:
        device: where the tensors lie.
        began_in: the version in which the study began; the newest if None.
    """
    earlier = began_in is not None and later(_SINCE, began_in)
    if device.type == "cpu" and not earlier and _openblas_is_faster():
        return numpy_product
    return torch_product


def torch_product(left: Tensor, right: Tensor, out: Tensor) -> Product:
    """The product as torch computes it."""
    return lambda: torch.bmm(left, right, out=out)


def numpy_product(left: Tensor, right: Tensor, out: Tensor) -> Product:
    """The product as NumPy computes it in the tensors' memory. Its caller ignores NumPy's warnings: NaN is a result."""
    left_array, right_array, out_array = left.numpy(), right.numpy(), out.numpy()
    return lambda: np.matmul(left_array, right_array, out=out_array)


def _openblas_is_faster() -> bool:
    """Whether NumPy has OpenBLAS and torch has MKL, on a processor on which MKL is the slower one."""
    built: dict[str, dict[str, dict[str, object]]] = np.show_config(mode="dicts")  # type: ignore[assignment]
    numpys = str(built.get("Build Dependencies", {}).get("blas", {}).get("name", ""))
    return is_amd() and "openblas" in numpys and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
