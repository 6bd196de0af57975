"""What `gradstab theory` says, against closed forms and the golden table, and how it says it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from gradstab.activations.activation import ScalarFunction
from gradstab.cli import cli
from gradstab.theory import forecast as forecasts


def run(*arguments: str) -> str:
    ended = CliRunner().invoke(cli, ["theory", *arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_relu_in_closed_form():
    found = forecasts.forecast("relu", 0.0, 20, init_scale=1.6)
    lower, centre, upper, asked = found.scales
    assert lower.init_scale == pytest.approx(math.sqrt(2) * 10 ** (-1 / 19), rel=1e-8)
    assert upper.init_scale == pytest.approx(math.sqrt(2) * 10 ** (1 / 19), rel=1e-8)
    assert centre.gain == pytest.approx(1, rel=1e-8)
    assert asked.ratio == pytest.approx(19 * math.log10(1.6 / math.sqrt(2)), rel=1e-9)
    assert asked.gain == pytest.approx(1.6 / math.sqrt(2), rel=1e-9)
    assert asked.settled_length == math.inf
    assert asked.depth_scale is None


def test_depth_scale_is_that_of_the_fixed_length():
    """tanh in the vanishing phase, where inputs agree: xi_c = -1 / ln chi_1, by a sum over a fine grid."""
    found = forecasts.scale_forecast("tanh", 1.0, math.sqrt(0.05), 20)
    z = np.linspace(-12, 12, 100_001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    q = 1.0
    for _ in range(400):
        q = float(weight @ np.tanh(math.sqrt(q) * z) ** 2) + 0.05
    chi = float(weight @ (1 - np.tanh(math.sqrt(q) * z) ** 2) ** 2)
    assert found.settled_length == pytest.approx(q, rel=1e-8)
    assert found.correlation == 1
    assert found.depth_scale == pytest.approx(-1 / math.log(chi), rel=1e-7)
    assert found.trainable_depth == pytest.approx(-6 / math.log(chi), rel=1e-7)


def test_a_jump_and_two_lengths_are_said_plainly():
    said = run("--activation", "gelu", "--bias-scale", ".05", "--depth", "20", "--init-scale", "1.5")
    assert "A jump at 1.4672" in said
    assert "No init scale leaves the gradients of a very deep network as they are" in said
    assert "At 1.5 signals settle at length 0.00" in said
    assert "or infinity" in said
    assert "repels" in said


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        # relu in closed form: sqrt(2) * 10^(+-1/19)
        (("--activation", "relu", "--depth", "20"), "Use sigma_w = 1.414; safe 1.253 to 1.596 for 20 layers."),
        (("--activation", "sigmoid", "--depth", "2"), "safe from 0.416 for 2 layers."),
        (("--depth", "1"), "Use any sigma_w"),
    ],
)
def test_the_first_line_is_the_answer(arguments, line):
    assert line in run(*arguments).splitlines()[0]


def test_an_answer_that_does_not_exist_is_said():
    flat = ScalarFunction("flat", lambda u: 1e-6 * u, lambda u: np.full_like(u, 1e-6))
    said = forecasts.answer(forecasts.forecast(flat, 0.0, 10))
    assert said.startswith("No sigma_w between .01 and 1000 keeps the gradient through 10 layers")


def test_json_holds_what_the_table_shows():
    data = json.loads(run("--activation", "relu", "--depth", "20", "--init-scale", "1.6", "--format", "json"))
    assert data["critical"][0]["init_scale"] == pytest.approx(math.sqrt(2), rel=1e-6)
    assert data["band"]["upper"] == pytest.approx(math.sqrt(2) * 10 ** (1 / 19), rel=1e-8)
    assert data["scales"][-1]["settled_length"] == "infinity"
    assert data["scales"][-1]["gain"] == pytest.approx(1.6 / math.sqrt(2))
    assert data["sentences"][0].startswith("Critical at 1.4142")


def test_an_edge_that_is_not_to_be_had_is_said():
    assert "Where an edge of the band is missing" in run("--activation", "sigmoid", "--depth", "2")


@pytest.mark.parametrize("arguments", [("--bias-scale", "nan"), ("--depth", "0"), ("--init-scale", "-1")])
def test_impossible_settings_are_refused(arguments):
    assert CliRunner().invoke(cli, ["theory", *arguments]).exit_code == 2


RELU_6 = ScalarFunction(
    "relu6", lambda u: np.clip(u, 0, 6), lambda u: np.where((u > 0) & (u < 6), 1.0, 0.0), kinks=(6.0,)
)


def test_the_fixed_correlation_behind_a_kink_far_from_zero_is_one_by_plain_sums_too():
    found = forecasts.scale_forecast(RELU_6, 1.75, 0.0, 20)
    assert found.correlation is not None
    assert 0.5 < found.correlation < 0.995
    z = np.linspace(-8, 8, 1201)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    u = math.sqrt(found.settled_length) * z
    v = math.sqrt(found.settled_length) * (
        found.correlation * z[:, None] + math.sqrt(1 - found.correlation**2) * z[None]
    )
    product = RELU_6.phi(u)[:, None] * RELU_6.phi(v) * density[:, None] * density[None]
    assert 1.75**2 * product.sum() / found.settled_length == pytest.approx(found.correlation, abs=1e-4)


def test_a_network_next_to_criticality_trains_at_any_depth():
    depth_scale = forecasts.scale_forecast(RELU_6, 1.41423, 0.0, 20).depth_scale
    assert depth_scale is not None
    assert depth_scale > 1000
