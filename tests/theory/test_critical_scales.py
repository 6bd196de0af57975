"""Theory against what was computed elsewhere: a golden table, scipy's quadrature, torch's definitions, random networks."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from gradstab.activations.activation import ScalarFunction
from gradstab.activations.registry import LIBRARY, as_function
from gradstab.errors import GradstabError
from gradstab.theory import critical_scales as theory
from gradstab.theory import fixed_points as fixed
from gradstab.theory import layer_maps as maps
from gradstab.theory.quadrature import gaussian_mean, gaussian_pair_mean

GOLDEN = Path(__file__).parent.parent / "golden" / "meanfield_reference.csv"
SIX_DIGITS = 1e-4

# sigma_w at which R is -1, 0, +1 in infinitely wide networks, by depth
BAND_TABLE = {
    ("tanh", 0.05): {
        5: (0.612, 1.577, 5.63), 10: (0.846, 1.405, 2.713), 20: (0.959, 1.294, 1.879), 50: (1.029, 1.205, 1.448),
    },
    ("relu", 0.0): {
        5: (0.795, 1.414, 2.515), 10: (1.095, 1.414, 1.827), 20: (1.253, 1.414, 1.596), 50: (1.349, 1.414, 1.482),
    },
    ("sigmoid", 0.0): {
        5: (3.62, 11.30, 36.3), 10: (6.31, 10.65, 17.99), 20: (8.09, 10.38, 13.33), 50: (9.29, 10.24, 11.29),
    },
    ("gelu", 0.05): {
        5: (0.955, 1.432, 2.495), 10: (1.273, 1.441, 1.813), 20: (1.408, 1.469, 1.585), 50: (1.477, 1.490, 1.502),
    },
}  # fmt: skip


class Row(NamedTuple):
    activation: str
    bias_scale: float
    init_scale: float
    cells: dict[str, str]

    def number(self, name: str) -> float:
        return float(self.cells[name] or "nan")


def golden(kind: str) -> list[Row]:
    with GOLDEN.open(newline="") as file:
        cells = [row for row in csv.DictReader(file) if row["kind"] == kind]
    return [
        Row(
            row["activation"],
            float(row["sigma_b"]),
            math.sqrt(2) if row["sigma_w"] == "1.41421" else float(row["sigma_w"]),
            row,
        )
        for row in cells
    ]


def label(row: Row) -> str:
    return f"{row.activation}-{row.bias_scale:g}-{row.cells['sigma_w']}-{row.cells['q_status']}"


def close(expected: float, tolerance: float = SIX_DIGITS):
    return pytest.approx(expected, rel=tolerance, abs=1e-12)


def settled_length(row: Row, log_start: float | None = None) -> float:
    """Where the length settles from inputs of mean square 1, or from a start: 0, a number or infinity."""
    log_scale = np.log([row.init_scale])
    start = maps.add_bias(2 * log_scale, row.bias_scale) if log_start is None else np.array([log_start])
    log_q = fixed.log_attractors(as_function(row.activation), log_scale, row.bias_scale, start)[0]
    return 0.0 if log_q <= -maps.LOG_Q_LIMIT else math.inf if log_q >= maps.LOG_Q_LIMIT else math.exp(log_q)


# ---------------------------------------------------------------- golden table


def test_the_golden_table_is_whole():
    assert [len(golden(kind)) for kind in ("grid", "critical", "transition")] == [120, 12, 30]


@pytest.mark.parametrize("row", golden("grid"), ids=label)
def test_fixed_points_and_rates_of_the_table(row: Row):
    points = fixed.fixed_points(row.activation, row.init_scale, row.bias_scale)
    kind = {"zero": "zero", "finite": "finite", "inf": "infinite", "neutral": "every"}[row.cells["q_status"]]
    q_star = row.number("q_star")
    (point,) = [p for p in points if p.kind == kind and (kind == "every" or p.q == close(q_star))]

    assert kind == "every" or (point.stable and settled_length(row) == close(q_star))
    assert point.chi_1 == close(row.number("chi1"))
    assert point.gradient_factor == close(row.number("grad_norm_ratio_per_layer"))
    assert point.chi_parallel == close(row.number("chi_par"))
    assert point.xi_length == (close(row.number("xi_q")) if row.cells["xi_q"] else None)
    assert point.xi_gradient == close(row.number("xi_grad"))
    assert point.kappa == close(row.number("kappa"))
    phase = "critical" if math.isinf(point.xi_gradient) else "vanishing" if point.chi_1 < 1 else "exploding"
    assert phase == row.cells["phase"]

    expected = row.cells["fixed_points"]
    listed = [p.q for p in points if p.kind in {"zero", "finite"}]
    if expected == "every q":
        assert [p.kind for p in points] == ["every"]
    else:
        assert listed == [close(float(q)) for q in expected.split(";") if q]


@pytest.mark.parametrize("row", [row for row in golden("grid") if row.cells["c_star"]], ids=label)
def test_fixed_correlations_of_the_table(row: Row):
    q_star = settled_length(row)
    point = fixed.correlation_fixed_point(row.activation, row.init_scale, row.bias_scale, q_star)
    assert point.correlation == pytest.approx(row.number("c_star"), rel=SIX_DIGITS, abs=1e-9)
    assert point.xi == close(row.number("xi_c"))


@pytest.mark.parametrize("row", golden("critical"), ids=label)
def test_chi_is_one_at_the_critical_points_of_the_table(row: Row):
    q_star = 1.0 if row.cells["q_star"] == "nan" else float(row.cells["q_star"])
    assert maps.chi_1(row.activation, row.init_scale, q_star) == close(1.0, 1e-5)
    if 0 < q_star < math.inf and row.cells["q_star"] != "nan":
        assert maps.length_map(row.activation, row.init_scale, row.bias_scale, q_star) == close(q_star)
    if "UNSTABLE" in row.cells["note"]:
        (point,) = [
            p for p in fixed.fixed_points(row.activation, row.init_scale, row.bias_scale) if p.q == close(q_star, 1e-2)
        ]
        assert not point.stable
        assert point.chi_parallel == close(1.064, 1e-3)
    if row.activation != "gelu":
        assert theory.critical_init_scale(row.activation, row.bias_scale) == close(row.init_scale, 6e-6)


@pytest.mark.parametrize("row", golden("transition"), ids=label)
def test_transitions_from_a_start_of_the_table(row: Row):
    """The table's q0 is the length of the first layer itself, not the inputs' mean square."""
    log_start = math.log(float(row.cells["q_status"].removeprefix("q0=")))
    before, after = (float(chi) for chi in row.cells["note"].split("chi1 ")[1].split("->"))
    for factor, chi in ((1 - 1e-5, before), (1 + 1e-5, after)):
        moved = row._replace(init_scale=row.init_scale * factor)
        q_star = settled_length(moved, log_start)
        assert maps.chi_1(row.activation, moved.init_scale, q_star) == close(chi, 2e-4)


# ------------------------------------------------------ predicted R and its band


@pytest.mark.parametrize(("case", "depth"), [(case, depth) for case in BAND_TABLE for depth in (5, 10, 20, 50)])
def test_band_edges_of_the_science_page(case: tuple[str, float], depth: int):
    expected = BAND_TABLE[case][depth]
    found = theory.band_edges(*case, depth)
    assert (found.lower, found.centre, found.upper) == pytest.approx(expected, rel=0.02)
    if (case, depth) != (("gelu", 0.05), 50):  # width 256 widens that narrow band; theory's is of infinite width
        assert math.log((found.upper or 0) / (found.lower or 1)) == pytest.approx(
            math.log(expected[2] / expected[0]), rel=0.05
        )


@settings(deadline=None, max_examples=60)  # the first example of an activation makes its tables
@given(
    activation=st.sampled_from(LIBRARY),
    bias_scale=st.sampled_from([0.0, 0.05, 0.5]),
    depth=st.integers(2, 60),
    ratio=st.floats(0.1, 5),
)
def test_an_edge_is_where_the_predicted_ratio_is_the_bands(activation, bias_scale, depth, ratio):
    edges = theory.band_edges(activation, bias_scale, depth, ratio)
    for scale, target in ((edges.lower, -ratio), (edges.centre, 0.0), (edges.upper, ratio)):
        if scale is None:
            reach = theory.predicted_ratios(activation, theory.SEARCHED_SCALES, bias_scale, depth)
            assert not reach[0] < target <= reach[1]
        else:
            below, above = theory.predicted_ratios(
                activation, [scale * (1 - 1e-6), scale * (1 + 1e-6)], bias_scale, depth
            )
            assert below < target < above


@pytest.mark.parametrize("activation", LIBRARY)
@pytest.mark.parametrize("bias_scale", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("depth", [2, 7, 50])
def test_predicted_ratio_grows_with_the_init_scale(activation: str, bias_scale: float, depth: int):
    ratios = theory.predicted_ratios(activation, np.geomspace(*theory.SEARCHED_SCALES, 500), bias_scale, depth)
    assert (np.diff(ratios) > 0).all()


def test_relu_band_in_closed_form():
    for depth in (2, 10, 500):
        edges = theory.band_edges("relu", 0.0, depth)
        half_width = 10 ** (1 / (depth - 1))
        assert edges.lower == close(math.sqrt(2) / half_width, 1e-8)
        assert edges.centre == close(math.sqrt(2), 1e-8)
        assert edges.upper == close(math.sqrt(2) * half_width, 1e-8)


def test_one_layer_has_no_ratio_and_no_edges():
    assert theory.predicted_ratio("tanh", 3.0, 0.05, 1) == 0.0
    assert theory.band_edges("tanh", 0.05, 1) == theory.BandEdges(None, None, None)


def test_an_edge_beyond_the_searched_scales_is_none():
    edges = theory.band_edges("sigmoid", 0.0, 2, 30.0)
    assert (edges.lower, edges.upper) == (None, None)


def test_lengths_neither_overflow_nor_underflow():
    log_q_ML = theory.log_lengths("relu", [1e-30, 1e30], 0.0, 100)
    layers = np.arange(1, 101)
    gain = np.log(np.array([1e-60, 1e60]))[:, None] - math.log(2)
    assert log_q_ML == pytest.approx(layers * gain + math.log(2), rel=1e-10)
    assert theory.predicted_ratio("relu", 1e30, 0.0, 100) == pytest.approx(99 * (30 - math.log10(2) / 2))


def test_lengths_start_from_the_inputs():
    (log_q_L,) = theory.log_lengths("tanh", 1.3, 0.2, 3)
    first = 1.3**2 + 0.2**2
    second = maps.length_map("tanh", 1.3, 0.2, first)
    assert np.exp(log_q_L) == pytest.approx([first, second, maps.length_map("tanh", 1.3, 0.2, second)], rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "init_scale"),
    [("tanh", 2.0), ("tanh", 0.9), ("selu", 1.2), ("gelu", 1.5), ("softplus", 1.2), ("elu", 0.8), ("sigmoid", 12.0)],
)
def test_predicted_ratio_is_that_of_wide_random_networks(activation: str, init_scale: float):
    depth, width, samples, bias_scale = 12, 500, 32, 0.05
    function = as_function(activation)
    squares = np.zeros(2)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a_BN = rng.standard_normal((samples, width))
        a_BN /= np.sqrt((a_BN**2).mean(axis=1, keepdims=True))
        layers = []
        for _ in range(depth):
            weights_NN = init_scale / math.sqrt(width) * rng.standard_normal((width, width))
            z_BN = a_BN @ weights_NN.T + bias_scale * rng.standard_normal(width)
            layers.append((weights_NN, z_BN))
            a_BN = function.phi(z_BN)
        delta_BN = rng.standard_normal((samples, width)) * function.derivative(layers[-1][1])
        last = (delta_BN**2).sum()
        for (weights_NN, _), (_, z_BN) in itertools.pairwise(reversed(layers)):
            delta_BN = delta_BN @ weights_NN * function.derivative(z_BN)
        squares += ((delta_BN**2).sum() / last, 1)
    measured = 0.5 * math.log10(squares[0] / squares[1])
    q_star = math.exp(theory.log_lengths(activation, init_scale, bias_scale, depth)[0, -1])
    deviation = math.sqrt((depth - 1) * (3 * maps.kappa(activation, q_star) - 1) / width) / (2 * math.log(10))
    predicted = theory.predicted_ratio(activation, init_scale, bias_scale, depth)
    assert measured == pytest.approx(predicted, abs=3 * deviation / math.sqrt(4))


# --------------------------------------------------------------- critical scales


@pytest.mark.parametrize(
    ("activation", "bias_scale", "expected"),
    [
        ("linear", 0.0, 1.0),
        ("linear", 0.3, 1.0),
        ("relu", 0.0, math.sqrt(2)),
        ("leaky_relu", 0.05, math.sqrt(2 / (1 + 0.01**2))),
        ("tanh", 0.0, 1.0),
        ("tanh", 0.05, 1.12254),
        ("erf", 0.0, math.sqrt(math.pi) / 2),
        ("sigmoid", 0.0, 10.1493),
        ("sigmoid", 0.05, 10.1496),
        ("elu", 0.0, 1.0),
        ("selu", 0.0, math.sqrt(2 / (1 + 1.6732632423543772**2)) / 1.0507009873554805),
        ("softplus", 0.0, math.sqrt(2)),
    ],
)
def test_critical_init_scales(activation: str, bias_scale: float, expected: float):
    (critical,) = theory.critical_scales(activation, bias_scale)
    assert critical.init_scale == close(expected, 5e-6)
    assert not critical.jumps


@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize("bias_scale", [0.0, 0.05])
def test_gelu_and_silu_jump_where_the_first_length_is_an_unstable_fixed_point(activation: str, bias_scale: float):
    (critical,) = theory.critical_scales(activation, bias_scale)
    first = critical.init_scale**2 + bias_scale**2
    unstable = [p.q for p in fixed.fixed_points(activation, critical.init_scale, bias_scale) if not p.stable]
    assert unstable == [close(first, 1e-6)]
    assert critical.jumps
    assert critical.chi_below < 0.7 < 1.05 < critical.chi_above
    for sign in (-1, 1):
        deep = theory.predicted_ratio(activation, critical.init_scale * (1 + sign * 0.01), bias_scale, 300)
        assert sign * deep > 3


@pytest.mark.parametrize("activation", LIBRARY)
@pytest.mark.parametrize("bias_scale", [0.0, 0.05, 0.5, 3.0])
def test_gradients_of_deep_networks_change_direction_at_the_critical_scale(activation: str, bias_scale: float):
    (critical,) = theory.critical_scales(activation, bias_scale)
    scales = critical.init_scale * np.array([0.97, 1.03])
    vanishing, exploding = np.diff(
        [theory.predicted_ratios(activation, scales, bias_scale, depth) for depth in (1500, 2000)], axis=0
    )[0]
    assert vanishing < -1e-3
    assert exploding > 1e-3


def test_no_critical_scale_is_a_sentence():
    flat = ScalarFunction("flat", lambda u: 1e-6 * u, lambda u: np.full_like(u, 1e-6))
    with pytest.raises(GradstabError, match=r"needs an activation with a critical init scale, but flat .* has none"):
        theory.critical_init_scale(flat, 0.0)


def test_an_unknown_activation_is_a_sentence():
    with pytest.raises(GradstabError, match=r"an activation must be one of elu, .*, tanh, got 'swish'"):
        theory.critical_init_scale("swish", 0.0)


def test_a_function_of_ones_own_is_taken():
    scaled = ScalarFunction("half_tanh", lambda u: 0.5 * np.tanh(u), lambda u: 0.5 * as_function("tanh").derivative(u))
    assert theory.critical_init_scale(scaled, 0.0) == close(2.0, 1e-8)


# ------------------------------------------------- quadrature, tables, functions


def by_quad(function, q: float) -> float:
    """E[f(sqrt(q) z)], by scipy, in pieces that end where the function or the density changes."""
    scale = math.sqrt(q)
    ends = sorted({0.0, *(k / scale for k in (0.3, 1, 3, 10, 40) if k / scale < 12), 1.0, 3.0, 12.0})

    def integrand(z: float) -> float:
        u = np.array([scale * z, -scale * z])
        return float(function(u).sum()) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    pieces = [quad(integrand, a, b, epsabs=0, epsrel=1e-12, limit=400)[0] for a, b in itertools.pairwise(ends)]
    return math.fsum(pieces)


@pytest.mark.parametrize("activation", LIBRARY)
@pytest.mark.parametrize("q", [1e-8, 1e-3, 0.7, 45.0, 1e3, 1e6])
def test_expectations_against_scipy(activation: str, q: float):
    function = as_function(activation)
    moments = (
        lambda u: function.phi(u) ** 2,
        lambda u: function.derivative(u) ** 2,
        lambda u: function.derivative(u) ** 4,
    )
    for moment in moments:
        assert gaussian_mean(moment, np.array([q]))[0] == pytest.approx(by_quad(moment, q), rel=1e-10)


def test_expectations_of_many_lengths_at_once_are_those_of_each():
    q_Q = np.geomspace(1e-20, 1e20, 9)
    together = gaussian_mean(np.tanh, q_Q) + gaussian_mean(lambda u: np.tanh(u) ** 2, q_Q)
    alone = [
        gaussian_mean(np.tanh, np.array([q]))[0] + gaussian_mean(lambda u: np.tanh(u) ** 2, np.array([q]))[0]
        for q in q_Q
    ]
    assert together == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.3, 0.9, 0.999])
def test_pair_expectations_of_relu_and_erf_in_closed_form(correlation: float):
    """Arc-cosine kernels (Cho & Saul 2009) and the erf kernel (Williams 1997)."""
    angle = math.acos(correlation)
    for q in (1e-3, 1.0, 60.0):
        arc_cosine = q / (2 * math.pi) * (math.sin(angle) + (math.pi - angle) * correlation)
        relu = as_function("relu")
        assert gaussian_pair_mean(relu.phi, q, correlation) == pytest.approx(arc_cosine, rel=1e-8)
        step = (math.pi - angle) / (2 * math.pi)
        assert gaussian_pair_mean(relu.derivative, q, correlation) == pytest.approx(step, rel=1e-8)
        arc_sine = 2 / math.pi * math.asin(2 * q * correlation / (1 + 2 * q))
        assert gaussian_pair_mean(as_function("erf").phi, q, correlation) == pytest.approx(
            arc_sine, rel=1e-8, abs=1e-15
        )


@settings(deadline=None, max_examples=60)  # the first example of an activation makes its tables
@given(activation=st.sampled_from(LIBRARY), log_q=st.floats(-60, 60))
def test_tabulated_maps_are_the_exact_ones(activation: str, log_q: float):
    table = maps.layer_maps(as_function(activation))
    q = math.exp(log_q)
    length = table.log_length(np.zeros(1), 0.3, np.array([log_q]))[0]
    assert length == pytest.approx(math.log(maps.length_map(activation, 1.0, 0.3, q)), abs=3e-10)
    assert table.log_chi_1(np.zeros(1), np.array([log_q]))[0] == pytest.approx(
        math.log(maps.chi_1(activation, 1.0, q)), abs=3e-10
    )


@pytest.mark.parametrize("activation", LIBRARY)
def test_lengths_grow_with_lengths(activation: str):
    """What log_attractors takes for granted."""
    slopes = [maps.chi_parallel(activation, 1.0, q) for q in np.geomspace(1e-10, 1e10, 60)]
    assert min(slopes) > 0


@settings(deadline=None, max_examples=60)  # the first example of an activation makes its tables
@given(
    activation=st.sampled_from(LIBRARY),
    log_scale=st.floats(-3, 4),
    bias_scale=st.sampled_from([0.0, 0.05, 1.0]),
    log_start=st.floats(-20, 20),
)
def test_attractors_are_where_iteration_goes(activation, log_scale, bias_scale, log_start):
    table = maps.layer_maps(as_function(activation))
    scale, log_q = np.array([log_scale]), np.array([log_start])
    settled = fixed.log_attractors(as_function(activation), scale, bias_scale, log_q)
    first_step = table.log_length(scale, bias_scale, log_q) - log_q
    for _ in range(2000):
        log_q = table.log_length(scale, bias_scale, log_q)
    remaining = settled - log_q
    still_moving = abs(table.log_length(scale, bias_scale, log_q) - log_q)[0] > 1e-9
    if abs(first_step[0]) <= 1e-9:
        assert settled[0] == log_start
    elif abs(settled[0]) == maps.LOG_Q_LIMIT or still_moving:
        assert math.copysign(1, settled[0] - log_start) == math.copysign(1, first_step[0])
    else:
        assert abs(remaining[0]) < 1e-5


def test_every_activation_of_the_library_is_called_as_its_file_is():
    assert tuple(as_function(name).name for name in LIBRARY) == LIBRARY


@pytest.mark.parametrize("activation", LIBRARY)
def test_functions_and_derivatives_are_torchs(activation: str):
    import torch
    from torch.nn import functional

    in_torch: dict[str, Callable[[Any], Any]] = {
        "linear": lambda u: u * 1,
        "leaky_relu": lambda u: functional.leaky_relu(u, 0.01),
        "erf": torch.erf,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    u = np.concatenate([np.linspace(-30, 30, 601)[np.linspace(-30, 30, 601) != 0], [-1e-9, 1e-9, -500, 500]])
    x = torch.tensor(u, dtype=torch.float64, requires_grad=True)
    value = in_torch[activation](x) if activation in in_torch else getattr(functional, activation)(x)
    value.sum().backward()
    function = as_function(activation)
    assert function.phi(u) == pytest.approx(value.detach().numpy(), rel=1e-9, abs=1e-13)
    assert x.grad is not None
    assert function.derivative(u) == pytest.approx(x.grad.numpy(), rel=1e-6, abs=1e-13)
