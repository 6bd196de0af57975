"""Activations of the user: taken as torch has them, refused in a sentence where theory or training cannot take them."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gradstab.activations.activation import ScalarFunction
from gradstab.activations.from_outside import import_activation
from gradstab.errors import UsageError
from gradstab.theory import critical_scales as theory
from gradstab.theory import forecast as forecasts
from gradstab.theory.layer_maps import chi_1, correlation_slope


def user_function(path: str) -> ScalarFunction:
    return import_activation(path, Path.cwd()).theory()


MODULE = """
import torch
def step(x): return x + (x > 0.5)
def exponential(x): return torch.exp(x)
def constant(x): return 0 * x + 1
def softmax(x): return torch.softmax(x, 0)
def words(x): return "a"
def noisy(x): return x + torch.rand_like(x)
def raises(x): raise RuntimeError("two\\nlines")
def root(x): return torch.sqrt(x)
def single(x): return x.float()
def double(x): return x.double()
def glu(x): return torch.nn.functional.glu(x)
def mean(x): return x.mean(-1, keepdim=True)
def in_place(x): return x.clamp_(-1, 1)
def nan_left(x): return torch.log(x + 2)
class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
    def forward(self, x): return self.scale * x
def shifted(x): return torch.relu(x - 1)
def bump(x): return torch.exp(-x * x)
number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_for_theory.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "mine_for_theory"
    assert "mine_for_theory" not in sys.modules, "a sibling must not stand in for another study's"
    assert str(tmp_path) not in sys.path


def test_a_function_of_the_library_gives_the_librarys_figures():
    """tanh by autograd, from an import path, against the closed form in numpy."""
    critical = theory.critical_init_scale(user_function("torch:tanh"), 0.05)
    assert critical == pytest.approx(1.12254, abs=5e-6)
    assert theory.band_edges(user_function("torch.nn:GELU"), 0.05, 20).upper == pytest.approx(
        theory.band_edges("gelu", 0.05, 20).upper, rel=1e-9
    )


def test_kinks_are_found_and_integrated_exactly():
    """chi_1 of a hard tanh is sigma_w^2 P(|u| < 1) = sigma_w^2 erf(1 / sqrt(2 q)) (closed form)."""
    hard = user_function("torch.nn.functional:hardtanh")
    assert hard.kinks == (-1.0, 1.0)
    assert user_function("torch.nn.functional:relu6").kinks == (6.0,)
    assert user_function("torch.nn:Mish").kinks == ()
    for q in (1e-4, 0.1, 1.0, 7.0, 1e4, 1e12):
        assert chi_1(hard, 1.3, q) == pytest.approx(1.69 * math.erf(1 / math.sqrt(2 * q)), rel=1e-6)


def test_correlations_of_a_kinked_function_are_those_of_samples():
    hard = user_function("torch.nn.functional:hardtanh")
    rng = np.random.default_rng(0)
    u, w = rng.standard_normal((2, 4_000_000))
    v = 0.6 * u + 0.8 * w
    inside = np.mean((np.abs(1.5 * u) < 1) & (np.abs(1.5 * v) < 1))
    assert correlation_slope(hard, 1.0, 2.25, 0.6) == pytest.approx(inside, abs=5 * 0.5 / math.sqrt(4e6))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("step", "must be continuous, but jumps at 0.5"),
        ("constant", "must depend on its input"),
        ("softmax", "must be elementwise"),
        ("noisy", "must be elementwise"),
        ("words", "must map a float64 tensor to one of the same shape, got str"),
        ("single", "got torch.float32"),
        ("raises", "RuntimeError: two lines"),
        ("root", "must be finite"),
        ("double", "must map a float32 tensor to one of the same shape, got torch.float64"),
        ("glu", "must map a float64 tensor to one of the same shape, got torch.float64 of shape (3,)"),
        ("mean", "must map a float64 tensor to one of the same shape"),
        ("in_place", "must leave its input as it is"),
        ("nan_left", "must be finite"),
        ("Scaled", "must have no parameters of its own"),
        ("number", "must be a function, got int"),
        ("nothing", "must be importable, but: AttributeError"),
    ],
)
def test_what_theory_cannot_take_is_refused_in_a_sentence(mine, name, sentence):
    with pytest.raises(UsageError) as refused:
        user_function(f"{mine}:{name}")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_module_with_arguments_is_said_to_have_them():
    with pytest.raises(UsageError, match="must be a module that needs no arguments, but: TypeError") as refused:
        user_function("torch.nn:Linear")
    assert "importable" not in str(refused.value)


@pytest.mark.parametrize("path", [":", "torch:", ":tanh", "no_such_module:f", "torch.nn:Linear"])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(UsageError, match="activation"):
        user_function(path)


def test_what_overflows_is_refused(mine):
    with pytest.raises(UsageError, match="must grow no faster than a power"):
        forecasts.forecast(user_function(f"{mine}:exponential"), 0.0, 10)


def test_a_function_that_is_zero_around_zero_kills_small_signals(mine):
    found = forecasts.scale_forecast(user_function(f"{mine}:shifted"), 2.0, 0.0, 20)
    kinds = [(point.kind, point.stable) for point in found.fixed_points]
    assert kinds == [("zero", True), ("finite", False), ("infinite", True)]
    assert found.settled_length == 0


def test_lengths_that_need_not_settle_are_said(mine):
    found = forecasts.forecast(user_function(f"{mine}:bump"), 0.0, 10)
    assert not found.settles
    assert found.critical == ()
    assert "need not settle" in forecasts.sentences(found)[0]
    # the band stands on the lengths passed, which need no fixed point: R there against a slow twin in torch
    scale = found.band.upper
    assert scale is not None
    q, ratio = scale**2, 0.0
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    weight = torch.exp(-z * z / 2) / torch.exp(-z * z / 2).sum()
    for _ in range(9):
        u = math.sqrt(q) * z
        value = torch.exp(-u * u)
        ratio += 0.5 * math.log10(scale**2 * float((weight * (2 * u * value) ** 2).sum()))
        q = scale**2 * float((weight * value**2).sum())
    assert ratio == pytest.approx(1.0, abs=1e-6)
