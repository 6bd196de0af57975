"""Builds, losses and data of the user that cannot work, or do what they should not: each ends in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gradstab.study.file import load_study_file
from gradstab.training.modules.dry_run_process import answer_of
from gradstab.user_code.code import collect_code
from gradstab.user_code.stored import save_code

FILE = """
import os, random, sys, threading
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F
from gradstab import Choice, LogInteger, LogReal, Model, Study, Digits

class Net(nn.Module):
    def __init__(self, depth=3, width=8):
        super().__init__()
        sizes = [64, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.out = nn.Linear(width, 10)
    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.out(x)

def build(depth):
    return Net(depth)

def loss(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")

{code}

STUDY = Study(name="own", question="?", model=Model(build, loss{model}), data={data}, budget={{"trials": 4}},
              space={{"depth": LogInteger(2, 4){space}}},
              recipe={{"steps": 2, "batch_size": 16, "probe_samples": 64{recipe}}})
"""


def tried(folder: Path, code: str = "", **parts: str) -> dict[str, str]:
    """The answer of a dry run of a study file with this code in it."""
    path = folder / "own.py"
    given = {"model": "", "data": "Digits()", "space": "", "recipe": "", **parts}
    path.write_text(FILE.format(code=code, **given))
    study = load_study_file(path)
    save_code(folder / "kept", collect_code(sorted(study.functions), path))
    return answer_of(study, folder / "kept")


REFUSED = {
    "build returns nothing": ("def build(depth): pass", "build must return a torch.nn.Module, got NoneType"),
    "build returns the class": ("def build(depth): return Net", "build must return a torch.nn.Module, got type"),
    "build raises": ("def build(depth): raise KeyError('width')", "own.py: KeyError: 'width'"),
    "build exits": ("def build(depth): sys.exit(3)", "SystemExit"),
    "build recurses for ever": ("def build(depth): return build(depth)", "RecursionError"),
    "a syntax error at run time": ("def build(depth): exec('a b')", "SyntaxError"),
    "no weights": ("def build(depth): return nn.Flatten()", "at least one hidden layer"),
    "only a readout": ("def build(depth): return nn.Linear(64, 10)", "at least one hidden layer"),
    "frozen": ("def build(depth): return Net(depth).requires_grad_(False)", "at least one hidden layer"),
    "no gradient": (
        "class No(Net):\n    def forward(self, x):\n        with torch.no_grad(): return super().forward(x)\n"
        "def build(depth): return No(depth)",
        "at least one hidden layer",
    ),
    "detached": (
        "class No(Net):\n    def forward(self, x): return super().forward(x).detach()\ndef build(depth): return No(depth)",
        "at least one hidden layer",
    ),
    "an input of another width": ("def build(depth): return nn.Sequential(nn.Linear(7, 8), nn.Linear(8, 10))", "mat1"),
    "lazy": (
        "def build(depth): return nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.Linear(8, 10))",
        "lazy|uninitialized|Uninitialized",
    ),
    "scripted": ("def build(depth): return torch.jit.script(Net(depth))", "TorchScript|ScriptModule|script"),
    "batch normalisation in eval": (
        "def build(depth): return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 8),"
        " nn.Linear(8, 10)).eval()",
        "eval mode with running statistics",
    ),
    "skips across the network": (
        "class Skips(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a, self.b, self.c = nn.Linear(64, 8), nn.Linear(64, 8), nn.Linear(16, 10)\n"
        "    def forward(self, x): return self.c(torch.cat([self.a(x), self.b(x)], 1))\n"
        "def build(depth): return Skips()",
        "no series of layers or blocks|at least one hidden layer",
    ),
    "a mean loss": ("def loss(outputs, targets): return F.cross_entropy(outputs, targets)", "the loss of each sample"),
    "a loss of another length": (
        "def loss(outputs, targets): return F.cross_entropy(outputs, targets, reduction='none')[:5]",
        "the loss of each sample",
    ),
    "a loss that is a number": ("def loss(outputs, targets): return 1.0", "the loss of each sample"),
    "a loss that is a list": ("def loss(outputs, targets): return [1.0] * len(targets)", "the loss of each sample"),
    "a loss without the outputs": (
        "def loss(outputs, targets): return torch.ones(len(targets))",
        "must depend on the module",
    ),
    "a negative loss": (
        "def loss(outputs, targets): return -F.cross_entropy(outputs, targets, reduction='none')",
        "above 0 before training",
    ),
    "an infinite loss": (
        "def loss(outputs, targets): return F.cross_entropy(outputs, targets, reduction='none') / 0",
        "finite before training",
    ),
    "a loss of NaN": (
        "def loss(outputs, targets): return F.cross_entropy(outputs * float('nan'), targets, reduction='none')",
        "finite before training",
    ),
    "a loss that raises": ("def loss(outputs, targets): raise TypeError('no')", "own.py: TypeError: no"),
    "a loss with one argument": ("def loss(outputs): return outputs.mean(1)", "TypeError"),
    "an unknown loss with T": (
        "def loss(outputs, targets): return (outputs ** 4).mean(1) + 1",
        "neither cross-entropy nor a squared error",
    ),
}
REFUSED_PARTS = {
    "taps that name nothing": ({"model": ", taps='blocks.*'"}, "must name modules that run"),
    "scaled that names nothing": (
        {"model": ", scaled='nothing'", "space": ", 'weight_scale': LogReal(.1, 9)"},
        "weight_scale must change what the modules return",
    ),
    "data that returns no pair": (
        {"code": "def rows(): return torch.randn(100, 64)", "data": "rows"},
        "inputs, targets",
    ),
    "data of unequal lengths": (
        {"code": "def rows(): return torch.randn(100, 64), torch.zeros(99, dtype=torch.long)", "data": "rows"},
        "same number|equal|99",
    ),
    "data of too few rows": (
        {"code": "def rows(): return torch.randn(10, 64), torch.zeros(10, dtype=torch.long)", "data": "rows"},
        "64",
    ),
    "data with NaN": (
        {"code": "def rows(): return torch.full((100, 64), float('nan')), torch.zeros(100, dtype=torch.long)",
         "data": "rows"},
        "NaN|finite",
    ),
    "data that raises": ({"code": "def rows(): raise OSError('no disk')", "data": "rows"}, "no disk"),
    "labels beyond the classes": (
        {"code": "def rows(): return torch.randn(100, 64), torch.full((100,), 10)", "data": "rows"},
        "out of bounds|Target",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_sentence(case, tmp_path):
    code, sentence = REFUSED[case]
    found = tried(tmp_path, code)
    assert "found" not in found
    assert_one_sentence(found, sentence)


@pytest.mark.parametrize("case", REFUSED_PARTS)
def test_settings_and_data_that_do_not_fit_are_refused_in_one_sentence(case, tmp_path):
    parts, sentence = REFUSED_PARTS[case]
    assert_one_sentence(tried(tmp_path, **parts), sentence)


def assert_one_sentence(found: dict[str, str], sentence: str) -> None:
    """The fault matches, stands on one line, and only the user's files are in the traceback."""
    import re

    assert re.search(sentence, found["fault"]), found["fault"]
    assert "\n" not in found["fault"].strip()
    files = re.findall(r'File "([^"]+)"', found["traceback"])
    own = [file for file in files if file.endswith("own.py")]
    assert not own or own == files, files  # without a frame of the user's, those of torch say where


WORKS = {
    "prints": "def build(depth):\n    print('building'); return Net(depth)",
    "random without the seed": "def build(depth):\n    torch.manual_seed(random.randrange(10 ** 6)); return Net(depth)",
    "seeds everything": "def build(depth):\n    torch.manual_seed(0); np.random.seed(0); random.seed(0); return Net(depth)",
    "global switches": (
        "def build(depth):\n    torch.set_default_dtype(torch.float64); torch.set_num_threads(1)\n"
        "    torch.use_deterministic_algorithms(False); return Net(depth)"
    ),
    "a thread that goes on": (
        "def build(depth):\n    threading.Thread(target=threading.Event().wait, args=(.1,), daemon=True).start()\n"
        "    return Net(depth)"
    ),
    "half precision": "def build(depth): return Net(depth).half()",
    "double precision": "def build(depth): return Net(depth).double()",
    "in eval mode": "def build(depth): return Net(depth).eval()",
    "what cannot be copied": (
        "class Locked(Net):\n    def __init__(self, depth):\n        super().__init__(depth); self.lock = threading.Lock()\n"
        "def build(depth): return Locked(depth)"
    ),
    "an unused layer": (
        "class Spare(Net):\n    def __init__(self, depth):\n        super().__init__(depth); self.spare = nn.Linear(3, 3)\n"
        "def build(depth): return Spare(depth)"
    ),
    "in place": (
        "class InPlace(Net):\n    def forward(self, x):\n        for layer in self.layers: x = layer(x).relu_()\n"
        "        return self.out(x)\ndef build(depth): return InPlace(depth)"
    ),
    "weight normalisation": (
        "def build(depth): return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 8)), nn.Tanh(),"
        " nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.Tanh(), nn.Linear(8, 10))"
    ),
    "checkpoints": (
        "from torch.utils.checkpoint import checkpoint\n"
        "class Kept(Net):\n    def forward(self, x):\n        for layer in self.layers:\n"
        "            x = torch.tanh(checkpoint(layer, x, use_reentrant=False))\n        return self.out(x)\n"
        "def build(depth): return Kept(depth)"
    ),
    "leaks": "KEPT = []\ndef build(depth):\n    KEPT.append(torch.zeros(1000)); return Net(depth)",
}


def test_outputs_may_be_any_tree_where_the_reference_is_given(tmp_path):
    code = (
        "class Pair(Net):\n    def forward(self, x): return super().forward(x), {'extra': x}\n"
        "def build(depth): return Pair(depth)\n"
        "def loss(outputs, targets): return F.cross_entropy(outputs[0], targets, reduction='none')"
    )
    assert "neither cross-entropy" in tried(tmp_path, code)["fault"]
    assert "found" in tried(tmp_path, code, model=", reference_loss=2.3")


@pytest.mark.parametrize("case", WORKS)
def test_what_is_only_unusual_works_and_leaves_the_process_as_it_was(case, tmp_path):
    before = torch.get_rng_state()
    found = tried(tmp_path, WORKS[case])
    torch.set_default_dtype(torch.float32)
    assert "found" in found, found
    assert torch.equal(torch.get_rng_state(), before)
