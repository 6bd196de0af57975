"""What a pass over a number of rows uses: views of a stack's buffers and its products, made once for all steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gradstab.training.products import Compute
from gradstab.training.workspace import Views


@dataclass(frozen=True)
class Readout:
    """The tensors and products of the last layer, whose outputs are logits."""

    bias: Tensor
    forward: Compute
    weight_gradient: Compute
    bias_gradient: Compute
    backward: Compute


@dataclass(frozen=True)
class Layer:
    """The tensors and products of one hidden layer; members that end at this layer come last.

    `backward` takes the gradient by this layer's inputs, which the first layer does not need.
    """

    weight: Tensor
    bias: Tensor
    forward: Compute
    weight_gradient: Compute
    bias_gradient: Compute
    backward: Compute | None
    grad_norms: list[Compute]
    z: Tensor
    a: Tensor
    delta: Tensor
    scratch: Tensor
    padding: Tensor
    leaves: bool
    leaving_a: Tensor
    leaving_top: Tensor
    leaving_delta: Tensor


@dataclass(frozen=True)
class Plan:
    """All that a pass uses, layers from the first to the last."""

    views: Views
    layers: list[Layer]
    readout: Readout
