"""Per-sample gradients of a person's own module, layer by layer, by hooks: slow, and free of our own network.

A layer's pre-activations are what a linear or convolutional module returns; the last such module is the readout. Axes:
B samples, L hidden layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.record.statistics.layers import log10_magnitude
from gradstab.training.norms import exact_norms

Loss = Callable[[Any, Any], Tensor]

_LAYERS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)
_MIXING = (nn.modules.batchnorm._BatchNorm,)
_ALONE = 4  # samples that are also sent through the module one by one
_SAME = 1e-5  # relative, of an output alone and in the batch


def delta_profile(
    module: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss
) -> tuple[list[str], NDArray[np.float64], float]:
    """Names of the hidden layers in the order they run, log10 of the root mean square of ||delta_b|| (L,), mean loss.

    delta_b is the gradient of sample b's own loss by its pre-activations. Everything runs on a copy in float64, so
    that deep networks do not underflow; the module, its mode and its gradients stay as they are.

    Raises:
        UsageError: samples mix, the module or the loss changes from call to call, or there are no hidden layers.
    """
    _refuse_mixing_layers(module)
    num_samples = _num_samples(inputs, targets)
    own, inputs, targets = _in_float64(module, inputs, targets)
    layers: list[tuple[str, list[Tensor]]] = []
    hooks = [
        part.register_forward_hook(_recorder(name or type(part).__name__, layers))
        for name, part in own.named_modules()
        if isinstance(part, _LAYERS)
    ]
    with torch.inference_mode(False), torch.enable_grad():
        outputs = _called(own, inputs)
        for hook in hooks:
            hook.remove()
        value = loss(outputs, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            _refuse("the loss must return one number, a mean or a sum over samples")
        factor = _per_sample_factor(own, outputs.detach(), inputs, targets, loss, float(value.detach()))
        if len(layers) < 2:
            _refuse(f"the module must have at least one hidden layer before its readout, got {len(layers)} layers")
        if not value.requires_grad:
            _refuse("the loss must depend on the module's layers through autograd")
        value.backward()  # type: ignore[no-untyped-call]
    norms = [_rms_norm(name, deltas, num_samples) for name, deltas in layers[:-1]]
    log10_norm_L = np.array([float(log10_magnitude(norm)) for norm in norms]) + math.log10(factor)
    return [name for name, _ in layers[:-1]], log10_norm_L, float(value.detach()) * factor / num_samples


def _recorder(name: str, layers: list[tuple[str, list[Tensor]]]) -> Callable[[nn.Module, Any, Tensor], None]:
    """A hook that keeps the gradient of each output; a later operation in place does not disturb it."""

    def record(module: nn.Module, given: Any, output: Tensor) -> None:
        del module, given
        deltas: list[Tensor] = []
        layers.append((name, deltas))
        output.register_hook(deltas.append)  # type: ignore[no-untyped-call]

    return record


def _refuse_mixing_layers(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, _MIXING) and (part.training or part.running_mean is None):
            _refuse(
                f"samples must not mix, but {name or 'the module'} ({type(part).__name__}) normalises over the batch: "
                "call module.eval() first, or take the probe without it"
            )


def _num_samples(inputs: Tensor, targets: Tensor) -> int:
    if not isinstance(inputs, Tensor) or inputs.ndim == 0 or len(inputs) < 2:
        _refuse("inputs must be a tensor of at least two samples along its first axis")
    if not isinstance(targets, Tensor) or targets.ndim == 0 or len(targets) != len(inputs):
        _refuse(f"targets must be a tensor of one target a sample, {len(inputs)} of them")
    return len(inputs)


def _in_float64(module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    own = copy.deepcopy(module).double()
    for parameter in own.parameters():
        parameter.requires_grad_(True)
    inputs, targets = inputs.detach(), targets.detach()
    return (
        own,
        inputs.double() if inputs.is_floating_point() else inputs,
        targets.double() if targets.is_floating_point() else targets,
    )


def _called(own: nn.Module, inputs: Tensor) -> Tensor:
    outputs = own(inputs)
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != len(inputs):
        _refuse(f"the module must return a tensor of one row a sample, {len(inputs)} of them")
    return outputs


def _per_sample_factor(
    own: nn.Module, outputs: Tensor, inputs: Tensor, targets: Tensor, loss: Loss, value: float
) -> float:
    """What turns gradients of the loss into those of each sample's own: B for a mean, 1 for a sum."""
    num_samples = len(inputs)
    with torch.no_grad():
        for index in {round(place) for place in np.linspace(0, num_samples - 1, _ALONE)}:
            alone = _called(own, inputs[index : index + 1])[0]
            if not torch.allclose(alone, outputs[index], rtol=_SAME, atol=1e-12, equal_nan=True):
                _refuse(
                    "samples must not mix and nothing may be random, but a sample alone gives another output than in "
                    "its batch: call module.eval() to stop dropout"
                )
        singles = [float(loss(outputs[i : i + 1], targets[i : i + 1])) for i in range(num_samples)]
    total = math.fsum(singles)
    for factor, expected in ((float(num_samples), total / num_samples), (1.0, total)):
        if math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-12) or not math.isfinite(value):
            return factor
    return _refuse("the loss of a batch must be the mean or the sum of its samples' losses, each by itself")


def _rms_norm(name: str, deltas: list[Tensor], num_samples: int) -> Tensor:
    """Root mean square over samples of ||delta_b||; exact whatever the magnitudes."""
    if not deltas:
        _refuse(f"the loss must depend on every layer, but not on {name}")
    (delta,) = deltas
    if len(delta) != num_samples:
        _refuse(f"the first axis of every layer's output must be the samples, but {name} returned {tuple(delta.shape)}")
    return exact_norms(delta.reshape(-1)) / math.sqrt(num_samples)


def _refuse(sentence: str) -> NoReturn:
    raise UsageError(f"probe: {sentence}")
