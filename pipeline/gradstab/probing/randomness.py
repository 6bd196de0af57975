"""Random generators: seeded for a draw, watched for use, and put back as they were."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random


@contextlib.contextmanager
def generators_restored() -> Iterator[None]:
    """Leave torch's, NumPy's and Python's global generators as they were."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def seed_generators(seed: int, own: list[Generator]) -> None:
    """Seed the global generators and those that a module holds."""
    # torch.manual_seed would put each seed on a list for GPUs, which only grows until one is used
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed)
    for generator in own:
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
        elif isinstance(generator, np.random.Generator):
            generator.bit_generator.state = type(generator.bit_generator)(seed).state
        else:
            generator.seed(seed)


def generator_states(own: list[Generator]) -> list[Any]:
    """The states of all generators; equal lists mean that nothing was drawn in between."""
    states: list[Any] = [torch.get_rng_state().tolist(), random.getstate(), _plain(np.random.get_state())]
    if torch.cuda.is_available():
        states += [state.tolist() for state in torch.cuda.get_rng_state_all()]
    for generator in own:
        if isinstance(generator, torch.Generator):
            states.append(generator.get_state().tolist())
        elif isinstance(generator, np.random.Generator):
            states.append(str(generator.bit_generator.state))
        elif isinstance(generator, np.random.RandomState):
            states.append(_plain(generator.get_state()))
        else:
            states.append(generator.getstate())
    return states


def held_generators(module: nn.Module) -> list[Generator]:
    """Generators that are attributes of the module or of a part of it, each once."""
    held = [value for part in module.modules() for value in vars(part).values() if isinstance(value, Generator)]
    return list({id(generator): generator for generator in held}.values())


def _plain(state: Any) -> list[Any]:
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in state]
