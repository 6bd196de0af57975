"""What `gradstab.watch` costs a user's loop: readings and steps of one model in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import gradstab
from gradstab.watching.side_batch import Dtype
from tests.bench.goals import WATCH_EXTRA
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.whole_line import Place

EVERY = 100
_STEPS, _READINGS = 12, 5  # in a round

Make = Callable[[], tuple[nn.Module, torch.Tensor]]


def watch_cost(place: Place, sizes: Sizes) -> list[Row]:
    """Extra CPU time of a loop that is read every 100 steps, on one thread, without what MLflow takes."""
    del place
    rows = []
    for name, make, batch in MODELS:
        ways: tuple[tuple[int, Dtype], ...] = ((batch // 4, "float64"), (batch, "float64"), (batch, "own"))
        for samples, dtype in ways:
            percent = tuple(_extra(make, batch, samples, dtype, sizes.training_rounds))
            goal = WATCH_EXTRA if samples < batch else None
            title = f"{name}, side batch {samples}, {dtype}, extra time"
            rows.append(Row("watch", title, "%", percent, goal=goal, note=f"every {EVERY} steps of batch {batch}"))
    return rows


def _extra(make: Make, batch: int, samples: int, dtype: Dtype, rounds: int) -> Iterator[float]:
    """Per cent of the steps between two readings that one reading takes, from the fastest of each in a round."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, inputs = make()
    targets = torch.randint(0, 10, (len(inputs),))
    optimizer: Any = torch.optim.AdamW(model.parameters(), 1e-4)
    eyes = gradstab.watch(model, inputs[:samples], targets[:samples], functional.cross_entropy, dtype=dtype)
    readings = iter(range(10**6))

    def step() -> None:
        rows = torch.randint(0, len(inputs), (batch,))
        loss = functional.cross_entropy(model(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    for _ in range(rounds):
        step_s, reading_s = _fastest(step, _STEPS), _fastest(lambda: eyes.read(next(readings)), _READINGS)
        yield 100 * reading_s / (EVERY * step_s)
    torch.set_num_threads(threads)


def _fastest(call: Callable[[], None], times: int) -> float:
    """The least CPU time of one call: what disturbs a call only makes it longer."""
    seconds = []
    for _ in range(times):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def _chain(depth: int, width: int) -> Make:
    def make() -> tuple[nn.Module, torch.Tensor]:
        parts = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
        return nn.Sequential(*parts, nn.Linear(width, 10)), torch.randn(1024, width)

    return make


def _transformer() -> tuple[nn.Module, torch.Tensor]:
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    body = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(16, 128), body, nn.Flatten(), nn.Linear(128 * 32, 10)), torch.randn(256, 32, 16)


def _convolutions() -> tuple[nn.Module, torch.Tensor]:
    parts = [part for _ in range(6) for part in (nn.Conv2d(32, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.ReLU())]
    return (
        nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *parts, nn.Flatten(), nn.Linear(32 * 256, 10)),
        torch.randn(256, 3, 16, 16),
    )


MODELS: tuple[tuple[str, Make, int], ...] = (
    ("chain 8 x 64", _chain(8, 64), 64),
    ("chain 16 x 512", _chain(16, 512), 128),
    ("convolutions 7 x 32", _convolutions, 64),
    ("transformer 6 x 128", _transformer, 32),
)
