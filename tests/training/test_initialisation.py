"""Standard deviations, orthogonality and independence of what is drawn."""

import numpy as np
import pytest

from gradstab.study.recipe import InitDistribution, Recipe
from gradstab.training.initialisation import Array, hidden_biases, hidden_weights, readout_weights


def _weights(
    distribution: InitDistribution, width: int = 200, features: int = 300, depth: int = 4, seed: int = 9
) -> list[Array]:
    recipe = Recipe(depth=depth, width=width, init_scale=1.7, init_distribution=distribution)
    return hidden_weights(recipe, seed, features)


@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform", "orthogonal"])
@pytest.mark.parametrize("features", [300, 120])
def test_std_is_init_scale_over_root_fan_in(distribution, features):
    for layer, weight_IO in enumerate(_weights(distribution, features=features)):
        fan_in = features if layer == 0 else 200
        assert weight_IO.shape == (fan_in, 200)
        expected = 1.7 / np.sqrt(fan_in)
        tolerance = 5 / np.sqrt(2 * weight_IO.size)  # five standard errors of a normal's std
        assert weight_IO.std() == pytest.approx(expected, rel=tolerance)
        assert abs(weight_IO.mean()) < 5 * expected / np.sqrt(weight_IO.size)


def test_truncated_normal_stops_at_two_sigma_of_the_normal_that_was_cut():
    largest = max(np.abs(weight_IO).max() for weight_IO in _weights("truncated_normal", features=200))
    # cutting at 2 sigma leaves std 0.8796 sigma (scipy.stats.truncnorm(-2, 2).std())
    assert largest <= 2 / 0.87962566 * 1.7 / np.sqrt(200) * (1 + 1e-6)
    assert largest > 1.99 / 0.87962566 * 1.7 / np.sqrt(200)


def test_uniform_is_flat():
    weight = np.concatenate([w.ravel() for w in _weights("uniform", features=200)]) * np.sqrt(200) / 1.7
    counts, _ = np.histogram(weight, bins=10, range=(-np.sqrt(3), np.sqrt(3)))
    assert counts.sum() == weight.size
    assert counts.std() / counts.mean() < 5 / np.sqrt(counts.mean())


@pytest.mark.parametrize(("features", "width"), [(48, 48), (90, 48), (20, 48)])
def test_orthogonal_is_orthogonal_as_far_as_shapes_allow(features, width):
    first_IO, second_IO = _weights("orthogonal", width=width, features=features, depth=2)
    scaled = first_IO.astype(np.float64) * np.sqrt(features) / 1.7
    tall, gram = max(features, width), scaled.T @ scaled if features >= width else scaled @ scaled.T
    np.testing.assert_allclose(gram, tall * np.eye(min(features, width)), atol=2e-5 * tall)
    np.testing.assert_allclose(second_IO.T @ second_IO, 1.7**2 * np.eye(width), atol=1e-5)


def test_orthogonal_is_haar_rather_than_sign_biased():
    traces = [np.trace(_weights("orthogonal", width=8, features=8, depth=1, seed=s)[0]) for s in range(400)]
    # the trace of a Haar orthogonal matrix has mean 0 and variance 1 (here times init_scale)
    assert abs(np.mean(traces)) < 5 * 1.7 / np.sqrt(400)
    assert np.std(traces) == pytest.approx(1.7, rel=0.2)


def test_biases_have_bias_scale_and_readout_variance_one_over_width():
    recipe = Recipe(depth=30, width=200, bias_scale=0.4, init_scale=7.0)
    assert hidden_biases(recipe, 1).std() == pytest.approx(0.4, rel=0.06)
    assert readout_weights(recipe, 1, 50).std() == pytest.approx(1 / np.sqrt(200), rel=0.06)
    assert not hidden_biases(recipe.model_copy(update={"bias_scale": 0.0}), 1).any()


def test_seeds_and_streams_share_nothing_and_repeat():
    recipe = Recipe(depth=2, width=64, bias_scale=1.0)
    one, again, two = (hidden_weights(recipe, seed, 64)[0].ravel() for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    readout = readout_weights(recipe, 1, 64).ravel()
    for other in (two, readout, hidden_weights(recipe, 1 + 2**63, 64)[0].ravel()):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)


def test_a_deeper_network_begins_with_the_shallower_one():
    shallow, deep = _weights("normal", depth=2), _weights("normal", depth=5)
    for p, q in zip(shallow, deep, strict=False):
        assert np.array_equal(p, q)
