"""Products of batches of matrices, written into given memory, by the library that is fast on this machine.

torch hands products to MKL, Intel's library, which takes code without AVX-512 on AMD's processors. The OpenBLAS that
comes with NumPy does them there at 1.1 times (AVX2) to 2.3 times (AVX-512) the speed. Every product of two matrices is
a call of its own, so a member's numbers do not depend on its pack. (NumPy computes a matrix times its own transpose in
another way, but no layer needs that.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gradstab.system.processor import is_amd
from gradstab.system.version_order import later
from gradstab.training.slots import openblas_kernels

Compute = Callable[[], object]  # computes it anew from what the tensors hold now

_SINCE = "0.2.0"  # studies that began before it keep torch's products: a study has one kind of results

# OpenBLAS's kernels for AVX-512 compute small products from the factors as they lie, without the copies that it makes
# for large ones. A large product in small parts takes 3/4 of the time at width 128 (docs/speed.md).
_KERNELS_WITH_SMALL_PRODUCTS = {"SkylakeX", "Cooperlake", "SapphireRapids"}
_SMALL = 10**6  # multiplications of a small product at most
_SMALL_RESULT = 1200  # numbers of its result at most, where the right factor is transposed
_LEAST_COLUMNS, _LEAST_TRANSPOSED = 32, 16  # narrower parts are slower than the whole


class Products(Protocol):
    """What one library computes of matrices, bound to tensors in which it finds and leaves them."""

    def product(self, left: Tensor, right: Tensor, out: Tensor) -> Compute:
        """The product of (n, a, b) and (n, b, c), written to (n, a, c)."""

    def row_sums(self, x: Tensor, out: Tensor) -> Compute:
        """The sum over the rows of (n, B, U), written to (n, U)."""

    def norms(self, x: Tensor, out: Tensor) -> Compute:
        """The Euclidean norms of (p, P), written to (p,)."""


def products_for(device: torch.device, began_in: str | None) -> Products:
    """The products of the library that is fast on this machine, or of the one with which the study began.

    Args:
        device: where the tensors lie.
        began_in: the version in which the study began; the newest if None.
    """
    earlier = began_in is not None and later(_SINCE, began_in)
    if device.type == "cpu" and not earlier and _openblas_is_faster():
        return NumpyProducts()
    return TorchProducts()


class TorchProducts:
    """As torch computes it."""

    def product(self, left: Tensor, right: Tensor, out: Tensor) -> Compute:
        return lambda: torch.bmm(left, right, out=out)

    def row_sums(self, x: Tensor, out: Tensor) -> Compute:
        return lambda: torch.sum(x, 1, out=out)

    def norms(self, x: Tensor, out: Tensor) -> Compute:
        return lambda: torch.linalg.vector_norm(x, dim=1, out=out)


class NumpyProducts:
    """As NumPy computes it in the tensors' memory. Its caller ignores NumPy's warnings: NaN is a result."""

    def product(self, left: Tensor, right: Tensor, out: Tensor) -> Compute:
        parts = _parts(left, right)
        if parts > 1:
            left, right, out = left[:, None], _in_parts(right, parts), _in_parts(out, parts)
        left_array, right_array, out_array = left.numpy(), right.numpy(), out.numpy()
        return lambda: np.matmul(left_array, right_array, out=out_array)

    def row_sums(self, x: Tensor, out: Tensor) -> Compute:
        x_array, out_array = x.mT.numpy(), out.numpy()
        ones = np.ones(x.shape[1], dtype=x_array.dtype)
        return lambda: np.matmul(x_array, ones, out=out_array)  # faster than a sum, which it is

    def norms(self, x: Tensor, out: Tensor) -> Compute:
        x_array, out_array = x.numpy(), out.numpy()
        return lambda: np.sqrt(np.vecdot(x_array, x_array, out=out_array), out=out_array)


def _parts(left: Tensor, right: Tensor) -> int:
    """In how many parts of its columns a product is computed: as few as make each part small, or else 1."""
    (rows, inner), columns = left.shape[1:], right.shape[2]
    most, least = _SMALL // (rows * inner), _LEAST_COLUMNS
    if right.stride(2) != 1:
        most, least = min(most, _SMALL_RESULT // rows), _LEAST_TRANSPOSED
    if openblas_kernels() not in _KERNELS_WITH_SMALL_PRODUCTS:
        return 1
    fitting = (parts for parts in range(1, columns // least + 1) if columns % parts == 0 and columns // parts <= most)
    return next(fitting, 1)


def _in_parts(x: Tensor, parts: int) -> Tensor:
    """The same memory with the columns in equal parts: (n, parts, rows, columns of a part)."""
    return x.view(*x.shape[:2], parts, -1).movedim(2, 1)


def _openblas_is_faster() -> bool:
    """Whether NumPy has OpenBLAS and torch has MKL, on a processor on which MKL is the slower one."""
    built: dict[str, dict[str, dict[str, object]]] = np.show_config(mode="dicts")  # type: ignore[assignment]
    numpys = str(built.get("Build Dependencies", {}).get("blas", {}).get("name", ""))
    return is_amd() and "openblas" in numpys and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
