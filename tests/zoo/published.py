"""Models that people use, of torchvision, timm and transformers, with random weights: nothing is downloaded.

Each has its places written down from its source, and its truth is computed by the slow twin.
"""

from __future__ import annotations

import copy
import importlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.twin import Profile, float64_by_default, hooked_profile

B = 4
DRAWS = 16  # of a model that draws random numbers, under the seeds 0 to 15

Loss = Callable[[Any, Any], Tensor]
SampleLoss = Callable[[Any, Any, int], Tensor]


@dataclass(frozen=True)
class Published:
    """One model.

    Attributes:
        name: as its library calls it, with what was made smaller.
        build: makes the module, under a fixed seed; the library is imported here.
        data: makes inputs and targets.
        loss, sample_loss: what the probe is given, and a sample's own loss for the twin.
        places: modules whose outputs are compared, in the order in which they run.
        axis: what the probe should call them.
        draws: whether it draws random numbers in the mode in which it is trained.
        zero_readout: weight of a readout that starts at zero; the truth draws it anew, as the probe says it does.
        change: what the twin needs changed.
        tolerance: in decades.
        refused: words of the sentence with which it is rightly refused.
    """

    name: str
    build: Callable[[], nn.Module]
    data: Callable[[], tuple[Any, Any]]
    loss: Loss
    sample_loss: SampleLoss
    places: tuple[str, ...]
    axis: str = "blocks"
    draws: bool = False
    zero_readout: str = ""
    change: Callable[[Any], None] | None = None
    tolerance: float = 1e-6
    refused: str = ""


def library(name: str) -> Any:
    """The library by that name.

    torchvision's wheel of the package index needs CUDA's libraries, so that its C++ operators do not load beside a
    torch for CPUs. Models use none of them: it is enough that the two which its import names are declared.
    """
    if name != "torchvision" and find_spec("torchvision"):
        library("torchvision")  # which the others import
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for operator in ("nms", "qnms"):
        _OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return importlib.import_module(name)


_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def truth(case: Published, module: nn.Module, inputs: Any, targets: Any) -> Profile:
    """The root mean square over draws and samples of gradient norms, by plain float64 autograd, sample by sample."""
    squares, counts = np.zeros(len(case.places)), np.zeros(len(case.places))
    for seed in range(DRAWS if case.draws else 1):
        twin = copy.deepcopy(module).double()
        if case.change:
            case.change(twin)
        _seed(seed)
        if case.zero_readout:
            weight = twin.get_parameter(case.zero_readout)
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        with float64_by_default():
            profile = hooked_profile(
                twin, _wide(inputs), lambda out, b: case.sample_loss(out, targets, b), B, case.places, inputs=False
            )
        squares += np.nan_to_num(10.0 ** (2 * profile))
        counts += ~np.isnan(profile)  # a block that was left out at random has no gradient
    found: Profile = 0.5 * np.log10(squares / counts)
    return found


def _wide(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _wide(value)[0] for name, value in inputs.items()}
    return (inputs.double() if inputs.is_floating_point() else inputs,)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def images(size: int = 32, classes: int = 5) -> Callable[[], tuple[Tensor, Tensor]]:
    return lambda: (torch.randn(B, 3, size, size), torch.randint(0, classes, (B,)))


def logits(outputs: Any) -> Tensor:
    """Of a model's output object, or the output itself."""
    found: Tensor = getattr(outputs, "logits", outputs)
    return found


def entropy(outputs: Any, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits(outputs), labels)


def sample_entropy(outputs: Any, labels: Tensor, sample: int) -> Tensor:
    return functional.cross_entropy(logits(outputs)[sample], labels[sample])


def staged(pattern: str, depths: Mapping[str, int] | Mapping[int, int], first: int = 0) -> tuple[str, ...]:
    """Names of blocks by stage: `staged("layer{}.{}", {1: 2, 2: 2})` is layer1.0, layer1.1, layer2.0, layer2.1."""
    return tuple(pattern.format(stage, first + block) for stage, depth in depths.items() for block in range(depth))


def numbered(pattern: str, count: int, first: int = 0) -> tuple[str, ...]:
    return tuple(pattern.format(first + index) for index in range(count))
