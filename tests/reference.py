"""Slow, obvious twins: one network at a time, plain torch in float64, autograd, torch.optim, loops over samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gradstab.study.recipe import Recipe, probe_steps
from gradstab.training.data import Dataset
from gradstab.training.initialisation import Stream, generator, hidden_biases, hidden_weights, readout_weights

Phi = Callable[[Tensor], Tensor]


def phi_of(name: str) -> Phi:
    """The activation as torch has it; nothing of the package's own."""
    return PHI[name] if name in PHI else getattr(functional, name)


PHI: dict[str, Phi] = {
    "linear": lambda z: z * 1.0,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "selu": functional.selu,
    "elu": functional.elu,
    "softplus": functional.softplus,
}


class Net:
    """One network: weights (in, out) and biases, the readout last; all float64 leaves of autograd."""

    def __init__(self, recipe: Recipe, seed: int, data: Dataset) -> None:
        self.phi = phi_of(recipe.activation)
        weights = [
            *hidden_weights(recipe, seed, data.shape.num_features),
            readout_weights(recipe, seed, data.num_classes),
        ]
        biases = [*hidden_biases(recipe, seed), np.zeros(data.num_classes)]
        self.weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in weights]
        self.biases = [torch.tensor(b, dtype=torch.float64, requires_grad=True) for b in biases]

    def parameters(self) -> list[Tensor]:
        return self.weights + self.biases

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits, and z and a of every hidden layer (their gradients kept)."""
        a, zs, activations = x, [], []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = a @ weight + bias
            if z.requires_grad:
                z.retain_grad()
            a = self.phi(z)
            zs.append(z)
            activations.append(a)
        return a @ self.weights[-1] + self.biases[-1], zs, activations


def grad(leaf: Tensor) -> Tensor:
    """The gradient that backward left."""
    assert leaf.grad is not None
    return leaf.grad


def slope(phi: Phi, z: Tensor) -> Tensor:
    """phi'(z) by autograd."""
    leaf = z.detach().clone().requires_grad_(True)
    (derivative,) = torch.autograd.grad(phi(leaf).sum(), leaf)
    return derivative


def max_slope(phi: Phi) -> float:
    """The largest |phi'| on a fine grid."""
    return float(slope(phi, torch.linspace(-12, 12, 480_001, dtype=torch.float64)).abs().max())


def log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def layer_statistics(net: Net, x: Tensor, y: Tensor) -> tuple[float, dict[str, list[float]]]:
    """Loss of the rows, and every layer statistic but the update ratio, as gradstab.record.statistics defines them.

    Leaves the gradient of the mean loss in the parameters.
    """
    for parameter in net.parameters():
        parameter.grad = None
    logits, zs, activations = net.forward(x)
    loss = functional.cross_entropy(logits, y)
    torch.autograd.backward(loss)
    top = max_slope(net.phi)
    found: dict[str, list[float]] = {}

    def put(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for layer, (z, a) in enumerate(zip(zs, activations, strict=True)):
        delta = grad(z) * len(x)  # per-sample: of the sum over samples
        put("log10_delta_norm", log10(math.sqrt(np.mean([float((row**2).sum()) for row in delta]))))
        put("log10_delta_max", log10(float(delta.abs().max())))
        put("delta_zero_fraction", float((delta == 0).double().mean()))
        put("log10_weight_grad_norm", log10(float(grad(net.weights[layer]).norm())))
        put("log10_bias_grad_norm", log10(float(grad(net.biases[layer]).norm())))
        put("dead_fraction", float(np.mean([bool((column == 0).all()) for column in a.detach().T])))
        put("saturated_fraction", float((slope(net.phi, z).abs() < 0.01 * top).double().mean()))
        put("log10_activation_ms", log10(float((a.detach() ** 2).mean())))
        put("activation_cosine", mean_cosine(a.detach().numpy()))
    return loss.item(), found


def mean_cosine(rows: NDArray[np.float64]) -> float:
    """Mean cosine over all pairs of different rows that are not zero."""
    kept = [row for row in rows if np.linalg.norm(row) > 0]
    pairs = [float(p @ q / np.linalg.norm(p) / np.linalg.norm(q)) for i, p in enumerate(kept) for q in kept[i + 1 :]]
    return float(np.mean(pairs)) if pairs else math.nan


def batch_rows(seed: int, num_rows: int, batch_size: int, steps: int) -> list[NDArray[np.int64]]:
    """Rows of every step: shuffled epochs put one after the other and cut into batches."""
    rng = generator(seed, Stream.BATCHES)
    epochs = [rng.permutation(num_rows) for _ in range(1 + batch_size * steps // num_rows)]
    order = np.concatenate(epochs)
    return [order[start : start + batch_size] for start in range(0, batch_size * steps, batch_size)]


def make_optimizer(recipe: Recipe, parameters: list[Tensor]) -> torch.optim.Optimizer:
    common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, momentum=recipe.momentum, **common)
        case "adam":
            return torch.optim.Adam(parameters, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=recipe.momentum, **common)


def make_scheduler(recipe: Recipe, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """torch's schedulers, one after the other; of those, only the inverse root is not torch's own."""
    schedulers = torch.optim.lr_scheduler
    warm, rest = recipe.warmup_steps, max(1, recipe.steps - recipe.warmup_steps)
    after: schedulers.LRScheduler
    match recipe.schedule:
        case "constant":
            after = schedulers.ConstantLR(optimizer, factor=1.0)
        case "cosine":
            after = schedulers.CosineAnnealingLR(optimizer, T_max=rest)
        case "linear":
            after = schedulers.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=rest)
        case "inverse_sqrt":
            after = schedulers.LambdaLR(optimizer, lambda step: (max(warm, 1) / (warm + step + 1)) ** 0.5)
    if warm == 0:
        return after
    before = schedulers.LinearLR(optimizer, start_factor=1 / warm, end_factor=1.0, total_iters=max(1, warm - 1))
    return schedulers.SequentialLR(optimizer, [before, after], milestones=[warm])


def total_norm(parameters: list[Tensor]) -> float:
    return math.sqrt(sum(float((grad(p) ** 2).sum()) for p in parameters))


def clip(recipe: Recipe, parameters: list[Tensor]) -> None:
    if recipe.clip and recipe.clip_mode == "norm":
        nn.utils.clip_grad_norm_(parameters, recipe.clip_threshold)
    elif recipe.clip:
        nn.utils.clip_grad_value_(parameters, recipe.clip_threshold)


def train_one(recipe: Recipe, seed: int, data: Dataset) -> dict[str, NDArray[np.float64]]:
    """Every series of a training that stays finite."""
    x, y = torch.from_numpy(data.x_ND).double(), torch.from_numpy(data.y_N)
    net = Net(recipe, seed, data)
    optimizer = make_optimizer(recipe, net.parameters())
    scheduler = make_scheduler(recipe, optimizer)
    series: dict[str, list[Any]] = {}
    probes = probe_steps(recipe)
    ratios = []

    def probe(rows: NDArray[np.int64]) -> None:
        loss, layers = layer_statistics(net, x[rows], y[rows])
        right = net.forward(x[data.accuracy_rows])[0].argmax(1) == y[data.accuracy_rows]
        for name, value in {"probe_loss": loss, "accuracy": float(right.double().mean()), **layers}.items():
            series.setdefault(name, []).append(value)

    fixed = data.probe_rows(recipe.probe_samples)
    for step, rows in enumerate(batch_rows(seed, data.num_rows, recipe.batch_size, recipe.steps)):
        if step in probes:
            probe(rows if step else fixed)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net.forward(x[rows])[0], y[rows])
        torch.autograd.backward(loss)
        norm = total_norm(net.parameters())
        clip(recipe, net.parameters())
        before = [w.detach().clone() for w in net.weights[:-1]]
        factor = total_norm(net.parameters()) / norm
        optimizer.step()
        scheduler.step()
        if step in probes:
            after = [w.detach() for w in net.weights[:-1]]
            ratios.append([log10(float((p - q).norm() / q.norm())) for p, q in zip(after, before, strict=True)])
        for name, value in (("loss", loss.item()), ("grad_norm", norm), ("clip_factor", factor)):
            series.setdefault(name, []).append(value)
    probe(fixed)
    series["log10_update_ratio"] = [*ratios, [math.nan] * recipe.depth]
    return {name: np.array(values) for name, values in series.items()}
