"""What single operations of a hidden layer take by themselves, in the cache: the parts that a training step is made of."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place

SECTION = "operations"
ROWS = 64
MEMBERS = {64: 16, 128: 4, 256: 1}  # whose layer fits into 2 MB
SECONDS = 0.05
_aten = torch.ops.aten


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
        ("relu", lambda: torch.clamp_min(z, 0, out=out)),
        ("tanh", lambda: torch.tanh(z, out=out)),
        ("sigmoid", lambda: torch.sigmoid(z, out=out)),
        ("gelu", lambda: _aten.gelu.out(z, out=out)),
        ("selu", lambda: _aten.elu.out(z, 1.67, 1.05, 1.0, out=out)),
        ("tanh backward", lambda: _aten.tanh_backward.grad_input(delta, z, grad_input=out)),
        ("gelu backward", lambda: _aten.gelu_backward.grad_input(delta, z, grad_input=out)),
        ("selu backward", lambda: _aten.elu_backward.grad_input(delta, 1.67, 1.05, 1.0, True, z, grad_input=out)),
    ]


def _micros(run: Callable[[], object]) -> float:
    run()
    begin, repeats = time.process_time(), 0
    while time.process_time() - begin < SECONDS:
        run()
        repeats += 1
    return 1e6 * (time.process_time() - begin) / repeats
