"""R, lambda, phase and depth profile of a person's own `torch.nn.Module`: why do *my* gradients explode?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstab.stability.judgement import layer_rate, phase_of
from gradstab.study.criterion import Criterion, Phase
from gradstab.study.responses.library.gradient_ratio import gradient_ratio

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gradstab.record.trajectory import FloatArray


@dataclass(frozen=True)
class Probe:
    """The gradients of one module on one batch, as a study measures those of its own networks.

    Attributes:
        layers: hidden layers in the order they ran; the last linear or convolutional one is the readout, left out.
        log10_delta_norm_L: log10 of the root mean square over samples of ||delta_b||, delta_b the gradient of a
            sample's own loss by the layer's pre-activations.
        loss: mean loss of the samples.
        gradient_ratio: R, decades from the first hidden layer to the last; negative vanishes, positive explodes.
        rate: lambda per layer toward the input over the last half of the layers; None below four layers.
        phase: vanishing, stable or exploding.
        flag: "underflow" or "overflow" where R is a clamp, else "".
    """

    layers: tuple[str, ...]
    log10_delta_norm_L: FloatArray
    loss: float
    gradient_ratio: float
    rate: float | None
    phase: Phase
    flag: str

    def figure(self, path: str | Path) -> None:
        """Write the depth profile as a PNG."""
        from gradstab.figures.module_figure import module_figure

        module_figure(self.layers, self.log10_delta_norm_L, self.headline(), Criterion().ratio_band, Path(path))

    def headline(self) -> str:
        """The verdict in a line."""
        rate = "" if self.rate is None else f", factor {math.exp(self.rate):.3g} a layer"
        return f"{self.phase}: R = {self.gradient_ratio:+.2f} decades over {len(self.layers)} hidden layers{rate}"

    def __str__(self) -> str:
        width = max(map(len, self.layers))
        relative_L = self.log10_delta_norm_L - self.log10_delta_norm_L[-1]
        lines = [
            f"  {name:{width}}  {value:+8.2f}  {relative:+8.2f}"
            for name, value, relative in zip(self.layers, self.log10_delta_norm_L, relative_L, strict=True)
        ]
        return "\n".join([self.headline(), f"  {'layer':{width}}  log10 |delta|, and less the last layer's", *lines])


def probe(module: nn.Module, inputs: Tensor, targets: Tensor, loss: Callable[[Any, Any], Tensor]) -> Probe:
    """Measure a module's gradients layer by layer on one batch, before any step and any clipping.

    Args:
        module: any whose samples do not mix; put it in eval() if it has batch normalisation or dropout. It is copied,
            and stays as it is.
        inputs: a batch, samples along the first axis.
        targets: what the loss takes beside the outputs, samples along the first axis.
        loss: a mean or a sum over samples, as torch.nn.functional.cross_entropy.

    Raises:
        UsageError: samples mix, or the module has no hidden layers.
    """
    from gradstab.training.module_probe import delta_profile

    layers, log10_delta_norm_L, value = delta_profile(module, inputs, targets, loss)
    ratio, flag = gradient_ratio(log10_delta_norm_L)
    rate, _ = layer_rate(log10_delta_norm_L, last_half=True)
    return Probe(
        layers=tuple(layers),
        log10_delta_norm_L=log10_delta_norm_L,
        loss=value,
        gradient_ratio=ratio,
        rate=rate,
        phase=phase_of(ratio, Criterion().ratio_band),
        flag=flag,
    )
