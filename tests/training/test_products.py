"""What NumPy and torch compute of batches of matrices: the same numbers, and a member's do not depend on its batch.

Every test of NumPy's runs twice on this machine's kernels: with products that are whole, and with products in the small
parts that suit kernels for AVX-512.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from gradstab.system.processor import is_amd
from gradstab.training import products
from gradstab.training.products import NumpyProducts, Products, TorchProducts, products_for

CPU = torch.device("cpu")


@pytest.fixture(params=["torch", "numpy", "numpy in parts"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Products:
    if request.param == "torch":
        return TorchProducts()
    kernels = "SkylakeX" if request.param == "numpy in parts" else "Haswell"
    monkeypatch.setattr(products, "openblas_kernels", lambda: kernels)
    return NumpyProducts()


def _factors(members: int, rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(members + rows + inputs + outputs)
    return (
        torch.randn(members, rows, inputs, generator=generator, dtype=dtype),
        torch.randn(members, inputs, outputs, generator=generator, dtype=dtype),
    )


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(64, 64, 64), (16, 784, 48), (112, 32, 16), (64, 256, 256), (64, 512, 512)]
)
def test_a_product_equals_the_sum_over_its_terms(
    library: Products, dtype: torch.dtype, error: float, rows: int, inputs: int, outputs: int
):
    left, right = _factors(3, rows, inputs, outputs, dtype)
    out = torch.full((3, rows, outputs), torch.nan, dtype=dtype)  # what was there must not enter
    with np.errstate(all="ignore"):
        library.product(left, right, out)()
    exact = np.einsum("nab,nbc->nac", left.double().numpy(), right.double().numpy())
    assert np.abs(out.numpy() - exact).max() < error * inputs**0.5


def test_transposed_factors_and_parts_of_buffers_are_taken_as_they_lie(library: Products):
    left, right = _factors(5, 128, 96, 192, torch.float32)
    buffer, flat = torch.zeros(7, 128, 192), torch.zeros(2 * 5 * 96 * 192)
    delta, gradient = buffer[:5], flat[5 * 96 * 192 :].view(5, 96, 192)
    forward, weight_gradient = library.product(left, right, delta), library.product(left.mT, delta, gradient)
    back = torch.zeros(5, 128, 96)
    backward = library.product(delta, right.mT, back)
    for compute in (forward, weight_gradient, backward):
        compute()
    left, right = left.double(), right.double()
    assert torch.allclose(delta.double(), left @ right, atol=1e-4)
    assert torch.allclose(gradient.double(), left.mT @ (left @ right), atol=1e-2)
    assert torch.allclose(back.double(), left @ right @ right.mT, atol=1e-2)
    assert not buffer[5:].any()
    assert not flat[: 5 * 96 * 192].any()


def test_it_computes_anew_from_what_the_factors_hold(library: Products):
    left, right = _factors(2, 16, 16, 16, torch.float32)
    out = torch.empty(2, 16, 16)
    compute = library.product(left, right, out)
    compute()
    before = out.clone()
    right.mul_(2)
    compute()
    assert torch.equal(out, 2 * before)


@pytest.mark.parametrize("width", [16, 32, 64, 112, 128, 256])
def test_a_member_has_the_same_bits_alone_and_among_others(library: Products, width: int):
    left, right = _factors(7, 64, width, width, torch.float32)
    delta = left.flip(2)
    for first, second in ((left, right), (left, right.mT), (left.mT, delta)):
        together = torch.empty(7, first.shape[1], second.shape[2])
        library.product(first, second, together)()
        for member in range(7):
            alone = torch.empty(1, *together.shape[1:])
            shifted = torch.empty(first[member].numel() + 1)[1:].view(first[member].shape)[None]  # at an odd address
            shifted.copy_(first[member])
            library.product(shifted, second[member : member + 1], alone)()
            assert alone.numpy().tobytes() == together[member].numpy().tobytes()


def test_what_is_not_finite_stays_in_its_member_row_and_column(library: Products):
    left, right = _factors(3, 64, 128, 128, torch.float32)
    left[1, 2, 3], right[2, 0, 0] = torch.nan, torch.inf
    out = torch.empty(3, 64, 128)
    with np.errstate(all="ignore"):
        library.product(left, right, out)()
    assert torch.isfinite(out[0]).all()
    assert torch.isnan(out[1, 2]).all()
    assert int(torch.isnan(out[1]).sum()) == 128
    assert not torch.isfinite(out[2, :, 0]).any()
    assert torch.isfinite(out[2, :, 1:]).all()


@pytest.mark.parametrize(
    ("kernels", "rows", "width", "forward", "backward", "weight_gradient"),
    [
        # a part of up to 10^6 multiplications is small, and of up to 1200 numbers where the right factor is transposed
        ("SkylakeX", 64, 32, 1, 2, 1),
        ("SkylakeX", 64, 64, 1, 4, 1),
        ("SkylakeX", 64, 112, 1, 7, 1),
        ("Cooperlake", 64, 128, 2, 8, 2),
        ("SapphireRapids", 64, 256, 8, 16, 8),
        ("SkylakeX", 64, 384, 12, 24, 12),
        ("SkylakeX", 64, 480, 15, 30, 15),
        ("SkylakeX", 64, 512, 1, 32, 1),  # parts of 16 columns are slower than the whole
        ("SkylakeX", 256, 128, 1, 1, 1),
        ("Haswell", 64, 128, 1, 1, 1),
        ("Zen", 64, 128, 1, 1, 1),
        (None, 64, 128, 1, 1, 1),
    ],
)
def test_a_product_is_cut_into_parts_where_openblas_computes_small_ones_faster(
    kernels: str | None, rows: int, width: int, forward: int, backward: int, weight_gradient: int,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(products, "openblas_kernels", lambda: kernels)
    a, weight, delta = torch.empty(1, rows, width), torch.empty(1, width, width), torch.empty(1, rows, width)
    found = [products._parts(*factors) for factors in ((a, weight), (delta, weight.mT), (a.mT, delta))]
    assert found == [forward, backward, weight_gradient]


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize(("rows", "units"), [(64, 64), (16, 784), (112, 16)])
def test_sums_over_rows_and_norms_are_right_to_rounding(
    library: Products, dtype: torch.dtype, error: float, rows: int, units: int
):
    x, _ = _factors(5, rows, units, 1, dtype)
    buffer, norm = torch.full((5, units + 16), 7.0, dtype=dtype), torch.full((7,), 7.0, dtype=dtype)
    library.row_sums(x, buffer[:, :units])()
    library.norms(x.flatten(1), norm[1:6])()
    assert torch.allclose(buffer[:, :units].double(), x.double().sum(1), rtol=0, atol=20 * error * rows**0.5)
    assert torch.allclose(norm[1:6].double(), torch.linalg.vector_norm(x.double(), dim=(1, 2)), rtol=20 * error)
    assert (buffer[:, units:] == 7).all()
    assert norm[[0, 6]].tolist() == [7, 7]


def test_sums_and_norms_of_a_member_have_the_same_bits_alone_and_among_others(library: Products):
    x, _ = _factors(7, 64, 48, 1, torch.float32)
    sums, norm = torch.empty(7, 48), torch.empty(7)
    library.row_sums(x, sums)()
    library.norms(x.flatten(1), norm)()
    for member in range(7):
        shifted = torch.empty(x[member].numel() + 1)[1:].view(x[member].shape)[None]  # at an odd address
        shifted.copy_(x[member])
        alone, alone_norm = torch.empty(1, 48), torch.empty(1)
        library.row_sums(shifted, alone)()
        library.norms(shifted.flatten(1), alone_norm)()
        assert alone.numpy().tobytes() == sums[member].numpy().tobytes()
        assert alone_norm.numpy().tobytes() == norm[member : member + 1].numpy().tobytes()


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_sum_or_norm_of_what_is_not_finite_says_so(library: Products, number: float):
    x, _ = _factors(2, 32, 16, 1, torch.float32)
    x[1, 3, 5] = number
    sums, norm = torch.empty(2, 16), torch.empty(2)
    with np.errstate(all="ignore"):
        library.row_sums(x, sums)()
        library.norms(x.flatten(1), norm)()
    assert torch.isfinite(sums[0]).all()
    assert torch.isfinite(norm[0])
    assert torch.isfinite(sums[1]).tolist() == [unit != 5 for unit in range(16)]
    assert not torch.isfinite(norm[1])


def test_openblas_is_taken_where_it_is_faster_and_the_study_is_new(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "_openblas_is_faster", lambda: True)
    assert isinstance(products_for(CPU, None), NumpyProducts)
    assert isinstance(products_for(CPU, "0.2.0"), NumpyProducts)
    assert isinstance(products_for(CPU, "0.1.0"), TorchProducts)
    assert isinstance(products_for(torch.device("cuda"), None), TorchProducts)
    monkeypatch.setattr(products, "_openblas_is_faster", lambda: False)
    assert isinstance(products_for(CPU, None), TorchProducts)


@pytest.mark.skipif(not is_amd(), reason="OpenBLAS is taken on processors of AMD alone")
def test_the_kernels_of_openblas_are_those_that_it_runs_with():
    script = "from gradstab.training.slots import openblas_kernels\nprint(openblas_kernels())"
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "Haswell\n"


@pytest.mark.parametrize(
    ("amd", "blas", "mkl", "faster"),
    [
        (True, "scipy-openblas", True, True),
        (False, "scipy-openblas", True, False),
        (True, "mkl", True, False),
        (True, "scipy-openblas", False, False),
    ],
)
def test_openblas_is_faster_where_torch_has_mkl_on_a_processor_of_amd(
    amd: bool, blas: str, mkl: bool, faster: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(products, "is_amd", lambda: amd)
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": blas}}})
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert products._openblas_is_faster() is faster
