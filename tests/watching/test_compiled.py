"""A watch of a model that is compiled, and of one that is wrapped."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradstab
from tests.watching import loops

BACKEND = "inductor" if shutil.which("g++") else "eager"


@pytest.mark.parametrize("how", ["whole", "in place", "part"])
# torch's own, where it compiles
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_model_is_read_and_trained_as_without(how):
    def training(*, watched: bool) -> tuple[list[float], Any]:
        torch._dynamo.reset()
        model = loops.chain()
        compiled = model
        if how == "whole":
            compiled = torch.compile(model, backend=BACKEND)
        elif how == "in place":
            model.compile(backend=BACKEND)
        else:
            model[2] = torch.compile(model[2], backend=BACKEND)
        optimizer = torch.optim.Adam(compiled.parameters(), 0.01)
        if not watched:
            return loops.train(compiled, optimizer, 6), None
        with gradstab.watch(compiled, *loops.SIDE, functional.cross_entropy, every=2) as eyes:
            return loops.train(compiled, optimizer, 6), eyes

    (without, _), (losses, eyes) = training(watched=False), training(watched=True)
    assert losses == without
    assert list(eyes.trajectory.probe_step_P) == [0, 2, 4, 6]
    plain = gradstab.watch(loops.chain(), *loops.SIDE, functional.cross_entropy)
    plain.read(0)
    np.testing.assert_allclose(
        eyes.trajectory["log10_delta_norm"][0], plain.trajectory["log10_delta_norm"][0], rtol=0, atol=1e-12
    )
    assert np.isfinite(eyes.trajectory["log10_update_ratio"][:3]).all()


def test_data_parallel_is_seen_through():
    model = loops.chain()
    with gradstab.watch(nn.DataParallel(model), *loops.SIDE, functional.cross_entropy, every=2) as eyes:
        loops.train(model, torch.optim.SGD(model.parameters(), 0.1), 2)
    assert eyes.trajectory.taps == ("0", "2", "4", "6")
