"""The explicit backward pass against autograd, and padding that stays zero."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gradstab.activations.registry import LIBRARY
from gradstab.study.recipe import Recipe
from gradstab.training.data import Dataset
from gradstab.training.network import Network
from tests.reference import Net, grad

CPU = torch.device("cpu")


def _stack(activation: str, data: Dataset, **fields: Any) -> tuple[list[Recipe], list[int], Network]:
    recipes = [
        Recipe(depth=depth, width=21, activation=activation, precision="float64", bias_scale=0.3, **fields)
        for depth in (6, 6, 3, 1)
    ]
    seeds = [11, 12, 13, 14]
    return recipes, seeds, Network(recipes, seeds, data, CPU)


def _rows(data: Dataset, members: int, count: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(data.num_rows)[:count] for _ in range(members)])


@pytest.mark.parametrize("activation", LIBRARY)
def test_backward_equals_autograd_to_1e10(activation, odd_data):
    recipes, seeds, network = _stack(activation, odd_data, init_scale=1.5)
    rows_nB = _rows(odd_data, 4, 33)
    loss_n = network.loss_and_gradient(rows_nB)
    for member, (recipe, seed) in enumerate(zip(recipes, seeds, strict=True)):
        net = Net(recipe, seed, odd_data)
        x = torch.from_numpy(odd_data.x_ND[rows_nB[member]]).double()
        loss = functional.cross_entropy(net.forward(x)[0], torch.from_numpy(odd_data.y_N[rows_nB[member]]))
        torch.autograd.backward(loss)
        assert loss_n[member].item() == pytest.approx(loss.item(), rel=1e-12)
        weights, biases = _gradients(network, member, recipe.depth)
        for found, expected in zip(weights + biases, net.weights + net.biases, strict=True):
            padding = found.clone()
            padding[tuple(slice(size) for size in expected.shape)] = 0
            assert torch.count_nonzero(padding) == 0
            own = found[tuple(slice(size) for size in expected.shape)]
            assert (own - grad(expected)).norm() <= 1e-10 * grad(expected).norm()


def _gradients(network: Network, member: int, depth: int) -> tuple[list[Tensor], list[Tensor]]:
    weights, biases = network._matrices(network.grad), network._vectors(network.grad)
    layers = [*range(depth), -1]
    return [weights[layer][member] for layer in layers], [biases[layer][member] for layer in layers]


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "tanh"])
def test_probing_does_not_change_the_gradient(activation, odd_data):
    _, _, network = _stack(activation, odd_data, init_scale=2.0)
    rows_nB = _rows(odd_data, 4, 33)
    plain_loss_n = network.loss_and_gradient(rows_nB)
    plain = network.grad.clone()
    loss_n, _ = network.probe(rows_nB)
    assert torch.equal(loss_n, plain_loss_n)
    assert torch.equal(network.grad, plain)


def test_kept_members_have_the_same_parameters_and_gradients(odd_data):
    recipes, seeds, network = _stack("gelu", odd_data)
    network.keep([1, 3])
    alone = Network([recipes[1], recipes[3]], [seeds[1], seeds[3]], odd_data, CPU)
    assert torch.equal(network.value, alone.value)
    rows_nB = _rows(odd_data, 2, 33)
    assert torch.equal(network.loss_and_gradient(rows_nB), alone.loss_and_gradient(rows_nB))
    assert torch.equal(network.grad, alone.grad)


def test_a_network_that_cannot_decide_is_not_right(odd_data):
    _, _, network = _stack("relu", odd_data)
    network.value.fill_(torch.nan)
    assert network.accuracy(odd_data.accuracy_rows).tolist() == [0.0] * 4
