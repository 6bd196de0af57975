"""What single operations of a hidden layer take by themselves, in the cache: the parts that a training step is made of."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from gradstab.activations.registry import LIBRARY, find_activation, passes_of
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place

SECTION = "operations"
ROWS = 64
MEMBERS = {64: 16, 128: 4, 256: 1}  # whose layer fits into 2 MB
SECONDS = 0.05
ACTIVATIONS = tuple(name for name in LIBRARY if name != "linear")


def operations(place: Place, sizes: Sizes) -> list[Row]:
    """Microseconds a member and layer of every operation."""
    del place
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = []
    with torch.inference_mode():
        for width, members in MEMBERS.items():
            parts = _parts(members, width)
            values = {name: tuple(_micros(run) / members for _ in range(sizes.training_rounds)) for name, run in parts}
            note = f"{members} members, {ROWS} rows"
            rows += [Row(SECTION, f"{name}, width {width}", "us", micros, note=note) for name, micros in values.items()]
    return rows


def _parts(members: int, width: int) -> list[tuple[str, Callable[[], object]]]:
    a, delta, z, out = (torch.randn(members, ROWS, width) for _ in range(4))
    weight, gradient = (torch.randn(members, width, width) * 1e-2 for _ in range(2))
    bias, bias_gradient = torch.zeros(members, 1, width), torch.zeros(members, width)
    norm, rate = torch.zeros(members), torch.full((members, 1, 1), 1e-9)
    return [
        ("forward product", lambda: torch.bmm(a, weight, out=out)),
        ("product for the layer below", lambda: torch.bmm(delta, weight.mT, out=out)),
        ("product for the weights", lambda: torch.bmm(a.mT, delta, out=gradient)),
        ("bias added", lambda: out.add_(bias)),
        ("bias gradient", lambda: torch.sum(delta, 1, out=bias_gradient)),
        ("norm of a weight gradient", lambda: torch.linalg.vector_norm(gradient.flatten(1), dim=1, out=norm)),
        ("SGD update", lambda: weight.addcmul_(gradient, rate)),
        *(part for name in ACTIVATIONS for part in _activation(name, z, delta)),
    ]


def _activation(name: str, z: Tensor, delta: Tensor) -> list[tuple[str, Callable[[], object]]]:
    """Value and derivative, by the passes with which a new study trains."""
    activation = find_activation(name)
    passes = passes_of(activation)
    value, gradient = torch.empty_like(z), delta.clone()
    passes.apply(z, value)
    kept = z if activation.keeps_z else value
    return [
        (name, lambda: passes.apply(z, value)),
        (f"{name} backward", lambda: passes.backward(gradient, kept)),
    ]


def _micros(run: Callable[[], object]) -> float:
    run()
    begin, repeats = time.process_time(), 0
    while time.process_time() - begin < SECONDS:
        run()
        repeats += 1
    return 1e6 * (time.process_time() - begin) / repeats
