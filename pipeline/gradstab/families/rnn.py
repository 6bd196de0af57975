"""One recurrent layer over a sequence, read at the last step; the cells are written out and run in a loop.

torch's own nn.LSTM and nn.GRU cannot be packed by `torch.func.vmap`, which has no rule for them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradstab.families.parts.initial_weights import fill_orthogonal, scaled_linear

TRACED = ("init_scale", "input_scale", "forget_bias")


class Vanilla(nn.Module):
    """h' = tanh(V x + b + W h)."""

    gates: ClassVar[int] = 1
    forget: ClassVar[int | None] = None  # which gate keeps the old state
    tensors: ClassVar[int] = 1  # in the state

    def __init__(self, recurrent: nn.Linear) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, drive: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after a step, from V x + b of that step, (B, gates x width), and the state before."""
        (hidden,) = state
        return (torch.tanh(drive + self.recurrent(hidden)),)


class Lstm(Vanilla):
    """c' = f c + i g, h' = o tanh(c'); the gates i, f, o are sigmoids and g is a tanh of V x + b + W h."""

    gates, forget, tensors = 4, 1, 2

    def forward(self, drive: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As Vanilla's; the state is h and c."""
        hidden, memory = state
        write, keep, read, new = (drive + self.recurrent(hidden)).chunk(4, -1)
        memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
        return read.sigmoid() * memory.tanh(), memory


class Gru(Vanilla):
    """h' = z h + (1 - z) n with n = tanh(V_n x + b_n + r W_n h); the gates r, z are sigmoids of V x + b + W h."""

    gates, forget = 3, 1

    def forward(self, drive: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As Vanilla's."""
        (hidden,) = state
        reset, keep, new = drive.chunk(3, -1)
        from_reset, from_keep, from_new = self.recurrent(hidden).chunk(3, -1)
        keep = (keep + from_keep).sigmoid()
        return (keep * hidden + (1 - keep) * (new + (reset + from_reset).sigmoid() * from_new).tanh(),)


CELLS: dict[str, type[Vanilla]] = {"vanilla": Vanilla, "lstm": Lstm, "gru": Gru}


class Recurrent(nn.Module):
    """The cell run over all steps from a zero state, and a linear readout of the last h."""

    def __init__(self, inward: nn.Linear, cell: Vanilla, readout: nn.Linear) -> None:
        super().__init__()
        self.inward, self.cell, self.readout = inward, cell, readout

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, features) to (B, classes)."""
        drive_BTG = self.inward(x)  # of all steps in one product
        zero = torch.zeros_like(drive_BTG[:, 0, : self.readout.in_features])
        state = (zero,) * self.cell.tensors
        for drive in drive_BTG.unbind(1):
            state = self.cell(drive, state)
        outputs: Tensor = self.readout(state[0])
        return outputs


def build(
    *,
    width: int = 64,
    cell: Literal["vanilla", "lstm", "gru"] = "vanilla",
    weight_init: Literal["normal", "orthogonal"] = "orthogonal",
    init_scale: float = 1.0,
    input_scale: float = 1.0,
    forget_bias: float = 1.0,
    features: int = 8,
    classes: int = 10,
) -> nn.Module:
    """A fresh recurrent network.

    Args:
        width: numbers in the state h.
        cell: vanilla (tanh), lstm or gru.
        weight_init: distribution of the recurrent weights W of each gate.
        init_scale: sigma_w, the standard deviation of a recurrent weight times sqrt(width).
        input_scale: sigma_v, the standard deviation of an input weight times sqrt(features).
        forget_bias: initial bias of the gate that keeps the old state, in lstm and gru; the other biases are zero.
        features: numbers in an input step.
        classes: outputs; 1 for a real target, as in the adding problem.
    """
    kind = CELLS[cell]
    inward = scaled_linear(features, kind.gates * width, input_scale)
    if kind.forget is not None:
        nn.init.constant_(inward.bias[kind.forget * width :][:width], forget_bias)
    recurrent = nn.Linear(width, kind.gates * width, bias=False)
    for gate in recurrent.weight.detach().chunk(kind.gates):
        if weight_init == "orthogonal":
            fill_orthogonal(gate, init_scale)
        else:
            nn.init.normal_(gate, std=init_scale / width**0.5)
    return Recurrent(inward, kind(recurrent), scaled_linear(width, classes))


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """One number a sample, (B,): cross-entropy in nats for class numbers (B,), the squared error for real targets."""
    if targets.is_floating_point():
        return (outputs - targets.reshape(outputs.shape)).square().mean(1)
    return functional.cross_entropy(outputs, targets, reduction="none")
