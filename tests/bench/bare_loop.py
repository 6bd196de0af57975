"""A bare PyTorch loop, nothing around it: the training that people write, one network at a time.

It starts from the same weights and sees the same batches as gradstab's trainer, so that both can be compared value
by value; the peer's trainable is this loop with its reports sent to Ray Tune.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from gradstab.study.recipe import Recipe
from gradstab.training.data import BatchOrder, Dataset
from gradstab.training.initialisation import hidden_weights, readout_weights

Report = Callable[[dict[str, float]], None]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "selu": nn.SELU,
}


@dataclass
class BareTraining:
    """What a training leaves: losses and gradient norms of the steps, and the network."""

    network: nn.Sequential
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())


def make_network(recipe: Recipe, seed: int, num_features: int, num_classes: int) -> nn.Sequential:
    """Linear layers with an activation after each but the last, from the project's own initial weights."""
    weights = [*hidden_weights(recipe, seed, num_features), readout_weights(recipe, seed, num_classes)]
    modules: list[nn.Module] = []
    for weight_IO in weights:
        linear = nn.Linear(*weight_IO.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight_IO).T)
            linear.bias.zero_()
        modules += [linear, _ACTIVATIONS[recipe.activation]()]
    return nn.Sequential(*modules[:-1])


def train_bare(recipe: Recipe, seed: int, data: Dataset, report: Report | None = None) -> BareTraining:
    """Train the recipe's network; `report` is given the statistics of every layer on every `probe_every`-th step."""
    network = make_network(recipe, seed, data.shape.num_features, data.num_classes)
    return train_network(network, recipe, seed, data, report)


def train_network(
    network: nn.Sequential, recipe: Recipe, seed: int, data: Dataset, report: Report | None = None
) -> BareTraining:
    """Train a network by the recipe's settings, on the batches of its seed."""
    x, y = torch.from_numpy(data.x_ND), torch.from_numpy(data.y_N)
    training = BareTraining(network)
    optimizer = make_optimizer(network, recipe)
    criterion = nn.CrossEntropyLoss()
    batches = BatchOrder([seed], data.num_rows, recipe.batch_size)
    for step in range(recipe.steps):
        rows = torch.from_numpy(batches.next()[0])
        optimizer.zero_grad()
        loss = criterion(network(x[rows]), y[rows])
        loss.backward()
        if step % recipe.probe_every == 0:
            metrics = {"loss": loss.item(), "parameters": training.num_parameters, **layer_metrics(network)}
            if report is not None:
                report(metrics)
        norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_threshold)
        training.losses.append(loss.item())
        training.norms.append(norm.item())
        optimizer.step()
    return training


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """torch's own."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    assert recipe.optimizer == "sgd", recipe.optimizer
    return torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)


def layer_metrics(network: nn.Sequential) -> dict[str, float]:
    """Norm, largest entry and fraction of zeros of every linear layer's weight gradient."""
    metrics = {}
    for index, linear in enumerate(module for module in network if isinstance(module, nn.Linear)):
        gradient = linear.weight.grad
        assert gradient is not None
        metrics[f"grad_norm_{index:02d}"] = gradient.norm().item()
        metrics[f"grad_max_{index:02d}"] = gradient.abs().max().item()
        metrics[f"grad_zeros_{index:02d}"] = (gradient == 0).float().mean().item()
    return metrics
