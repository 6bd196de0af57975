"""torch.nn.utils' clipping where it is right; norms and clipped gradients where it is not."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradstab.study.recipe import ClipMode, Recipe
from gradstab.training.clipping import Clipping
from gradstab.training.layout import FlatLayout, Section, scale_, scale_by_power_
from gradstab.training.norms import section_norms, total_norms
from tests import reference

LAYOUT = FlatLayout(4, (Section(4, 64), Section(2, 64), Section(4, 32)))
CPU = torch.device("cpu")


def _recipes(mode: ClipMode, thresholds: Sequence[float | None]) -> list[Recipe]:
    return [Recipe(clip=t is not None, clip_mode=mode, clip_threshold=t or 1.0) for t in thresholds]


def _pieces(flat: Tensor, member: int) -> list[Tensor]:
    return [LAYOUT.section(flat, i)[member] for i, s in enumerate(LAYOUT.sections) if member < s.members]


def _clip(recipes: Sequence[Recipe], grad: Tensor) -> tuple[Tensor, Tensor]:
    norm_n = total_norms(LAYOUT, grad)
    clip_factor_n, factor_n = Clipping(recipes, CPU)(LAYOUT, grad, norm_n)
    if factor_n is not None:
        scale_(LAYOUT, grad, factor_n)
    return norm_n, clip_factor_n


@pytest.mark.parametrize("mode", ["norm", "value"])
def test_equals_torch_where_torch_is_right(mode):
    thresholds = [0.1, 1e6, None, 0.01]
    grad = torch.randn(LAYOUT.length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = grad.clone()
    norm_n, clip_factor_n = _clip(_recipes(mode, thresholds), grad)
    for member, threshold in enumerate(thresholds):
        twins = [nn.Parameter(torch.zeros_like(piece)) for piece in _pieces(before, member)]
        for twin, piece in zip(twins, _pieces(before, member), strict=True):
            twin.grad = piece.clone()
        norm = torch.cat([reference.grad(twin).flatten() for twin in twins]).norm()
        if threshold is not None and mode == "norm":
            nn.utils.clip_grad_norm_(twins, threshold)
        elif threshold is not None:
            nn.utils.clip_grad_value_(twins, threshold)
        for twin, piece in zip(twins, _pieces(grad, member), strict=True):
            torch.testing.assert_close(piece, twin.grad, rtol=1e-12, atol=0)
        after = torch.cat([reference.grad(twin).flatten() for twin in twins]).norm()
        assert norm_n[member].item() == pytest.approx(norm.item(), rel=1e-12)
        assert clip_factor_n[member].item() == pytest.approx((after / norm).item(), rel=1e-12)


def test_clipping_finite_huge_gradients_does_not_zero_them_where_torch_does():
    grad = torch.full((LAYOUT.length,), 1e20)
    twin = nn.Parameter(torch.zeros(160))
    twin.grad = torch.full((160,), 1e20)
    nn.utils.clip_grad_norm_([twin], 1.0)
    assert not twin.grad.any()  # what torch makes of it
    norm_n, _ = _clip(_recipes("norm", [1.0] * 4), grad)
    for member, norm in enumerate(norm_n.tolist()):
        pieces = torch.cat(_pieces(grad, member))
        assert norm == pytest.approx(1e20 * math.sqrt(len(pieces)), rel=1e-6)
        assert pieces.double().norm().item() == pytest.approx(1.0, rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(exponents=st.lists(st.integers(-44, 37), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_norms_are_right_for_any_finite_elements(exponents, seed):
    torch.set_flush_denormal(False)
    grad = torch.randn(LAYOUT.length, generator=torch.Generator().manual_seed(seed))
    for index, section in enumerate(LAYOUT.sections):
        for member in range(section.members):
            LAYOUT.section(grad, index)[member] *= 10.0 ** max(-37, exponents[(member + index) % 4])
    norm_sn, total_n = section_norms(LAYOUT, grad), total_norms(LAYOUT, grad)
    for member in range(4):
        pieces = _pieces(grad, member)
        assert total_n[member].item() == pytest.approx(torch.cat(pieces).double().norm().item(), rel=1e-5)
        own = [i for i, s in enumerate(LAYOUT.sections) if member < s.members]
        for index, piece in zip(own, pieces, strict=True):
            assert norm_sn[index, member].item() == pytest.approx(piece.double().norm().item(), rel=1e-5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_non_finite_element_makes_its_own_member_s_norm_non_finite(bad):
    grad = torch.ones(LAYOUT.length)
    LAYOUT.section(grad, 2)[1, 7] = bad
    assert torch.isfinite(total_norms(LAYOUT, grad)).tolist() == [True, False, True, True]


def test_a_zero_gradient_has_norm_zero_and_is_left_alone():
    for mode in ("norm", "value"):
        grad = torch.zeros(LAYOUT.length)
        norm_n, clip_factor_n = _clip(_recipes(mode, [0.1] * 4), grad)
        assert norm_n.tolist() == [0.0] * 4
        assert clip_factor_n.tolist() == [1.0] * 4
        assert not grad.any()


def test_a_gradient_within_the_bound_has_a_factor_of_exactly_1_whatever_kernels_took_its_norm():
    grad = torch.randn(LAYOUT.length, generator=torch.Generator().manual_seed(3))
    norm_n = total_norms(LAYOUT, grad) * (1 + 1e-7)  # as other kernels round it
    factor_n, _ = Clipping(_recipes("value", [1e6, None, 1e6, 1e-3]), CPU)(LAYOUT, grad, norm_n)
    assert factor_n[:3].tolist() == [1, 1, 1]
    assert factor_n[3] < 0.01


def test_powers_of_two_beyond_the_range_of_float32_are_exact():
    flat = torch.full((LAYOUT.length,), 1.2345)
    exponent_sn = torch.full((3, 4), -200)
    scale_by_power_(LAYOUT, flat.mul_(2.0**100), exponent_sn)
    assert torch.equal(flat, torch.full_like(flat, 1.2345) * 2.0**-100)


@pytest.mark.parametrize("decades", [-30, -23, -22, -21, -20, -19.3, -19, 0, 18.5, 19.5, 30])
def test_total_norms_are_right_where_squares_lose_their_last_digits_too(decades: float):
    """Between what float32 can square and what it squares to 0 or inf lie norms that are wrong and look well."""
    flat = (torch.rand(LAYOUT.length, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5).float()
    flat = (flat.double() * 10.0**decades).float()
    expected = [math.sqrt(sum(float((p.double() ** 2).sum()) for p in _pieces(flat, member))) for member in range(4)]
    assert total_norms(LAYOUT, flat).tolist() == pytest.approx(expected, rel=1e-5, abs=0)
