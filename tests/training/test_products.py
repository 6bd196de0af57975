"""Products of batches of matrices: NumPy's and torch's are the same numbers, and a member's do not depend on its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gradstab.training import products
from gradstab.training.products import MakeProduct, numpy_product, products_for, torch_product

CPU = torch.device("cpu")
MAKERS = pytest.mark.parametrize("make", [numpy_product, torch_product])


def _factors(members: int, rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(members + rows + inputs + outputs)
    return (
        torch.randn(members, rows, inputs, generator=generator, dtype=dtype),
        torch.randn(members, inputs, outputs, generator=generator, dtype=dtype),
    )


@MAKERS
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(64, 64, 64), (16, 784, 48), (112, 32, 16), (64, 512, 512)])
def test_a_product_equals_the_sum_over_its_terms(
    make: MakeProduct, dtype: torch.dtype, error: float, rows: int, inputs: int, outputs: int
):
    left, right = _factors(3, rows, inputs, outputs, dtype)
    out = torch.full((3, rows, outputs), torch.nan, dtype=dtype)  # what was there must not enter
    with np.errstate(all="ignore"):
        make(left, right, out)()
    exact = np.einsum("nab,nbc->nac", left.double().numpy(), right.double().numpy())
    assert np.abs(out.numpy() - exact).max() < error * inputs**0.5


@MAKERS
def test_transposed_factors_and_parts_of_buffers_are_taken_as_they_lie(make: MakeProduct):
    left, right = _factors(5, 32, 48, 16, torch.float32)
    buffer, flat = torch.zeros(7, 32, 16), torch.zeros(2 * 5 * 48 * 16)
    delta, gradient = buffer[:5], flat[5 * 48 * 16 :].view(5, 48, 16)
    forward, weight_gradient = make(left, right, delta), make(left.mT, delta, gradient)
    back = torch.zeros(5, 32, 48)
    backward = make(delta, right.mT, back)
    for compute in (forward, weight_gradient, backward):
        compute()
    assert torch.allclose(delta, left @ right, atol=1e-4)
    assert torch.allclose(gradient, left.mT @ (left @ right), atol=1e-2)
    assert torch.allclose(back, left @ right @ right.mT, atol=1e-2)
    assert not buffer[5:].any()
    assert not flat[: 5 * 48 * 16].any()


@MAKERS
def test_it_computes_anew_from_what_the_factors_hold(make: MakeProduct):
    left, right = _factors(2, 16, 16, 16, torch.float32)
    out = torch.empty(2, 16, 16)
    compute = make(left, right, out)
    compute()
    before = out.clone()
    right.mul_(2)
    compute()
    assert torch.equal(out, 2 * before)


@MAKERS
@pytest.mark.parametrize("width", [16, 32, 64, 112, 256])
def test_a_member_has_the_same_bits_alone_and_among_others(make: MakeProduct, width: int):
    left, right = _factors(7, 64, width, width, torch.float32)
    delta = left.flip(2)
    for first, second in ((left, right), (left, right.mT), (left.mT, delta)):
        together = torch.empty(7, first.shape[1], second.shape[2])
        make(first, second, together)()
        for member in range(7):
            alone = torch.empty(1, *together.shape[1:])
            shifted = torch.empty(first[member].numel() + 1)[1:].view(first[member].shape)[None]  # at an odd address
            shifted.copy_(first[member])
            make(shifted, second[member : member + 1], alone)()
            assert alone.numpy().tobytes() == together[member].numpy().tobytes()


@MAKERS
def test_what_is_not_finite_stays_in_its_member(make: MakeProduct):
    left, right = _factors(3, 16, 32, 16, torch.float32)
    left[1, 2, 3], right[2, 0, 0] = torch.nan, torch.inf
    out = torch.empty(3, 16, 16)
    with np.errstate(all="ignore"):
        make(left, right, out)()
    assert torch.isfinite(out[0]).all()
    assert torch.isnan(out[1, 2]).all()
    assert int(torch.isnan(out[1]).sum()) == 16
    assert not torch.isfinite(out[2, :, 0]).any()
    assert torch.isfinite(out[2, :, 1:]).all()


def test_openblas_is_taken_where_it_is_faster_and_the_study_is_new(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "_openblas_is_faster", lambda: True)
    assert products_for(CPU, None) is numpy_product
    assert products_for(CPU, "0.2.0") is numpy_product
    assert products_for(CPU, "0.1.0") is torch_product
    assert products_for(torch.device("cuda"), None) is torch_product
    monkeypatch.setattr(products, "_openblas_is_faster", lambda: False)
    assert products_for(CPU, None) is torch_product


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
