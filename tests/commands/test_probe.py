"""`gradstab probe`: a user's file from a shell, and what happens when it is not as it must be."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gradstab import find_weight_scale, probe
from gradstab.cli import cli
from gradstab.errors import UsageError

FILE = """
import torch
from torch import nn
from sibling import WIDTH

print("a print is no result")

def build(depth=5, *, scale=1.0):
    layers = [nn.Linear(6 if index == 0 else WIDTH, WIDTH) for index in range(depth)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=scale / layer.in_features**0.5)
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())], nn.Linear(WIDTH, 4))

def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(100, 6, generator=generator), torch.randint(0, 4, (100,), generator=generator)

def broken():
    return 1 / 0

def number():
    return 3
"""


@pytest.fixture(autouse=True)
def _own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command puts the file's folder on the search path for the rest of its process, which is short."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "sibling.py").write_text("WIDTH = 8\n")
    path = tmp_path / "my-net.py"
    path.write_text(FILE)
    return path


def called(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["probe", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    return result.stdout


def test_equal_to_the_function(file):
    found = json.loads(called(f"{file}:build", "--set", "depth=7", "--set", "scale=0.3", "--format", "json"))
    scope: dict[str, Any] = {}
    exec(FILE.replace("from sibling import WIDTH", "WIDTH = 8"), scope)
    torch.manual_seed(0)
    module = scope["build"](7, scale=0.3)
    inputs, targets = scope["data"]()
    expected = probe(module, inputs[:64], targets[:64], torch.nn.functional.cross_entropy)
    assert found["gradient_ratio"] == pytest.approx(expected.gradient_ratio, abs=1e-12)
    assert found["verdict"] == "vanishing"
    assert found["series"][0]["taps"] == [str(2 * index) for index in range(7)]


def test_a_weight_scale_is_measured_where_it_is_asked_for(file):
    asked = (f"{file}:build", "--set", "depth=7", "--set", "scale=0.3", "--scale")
    found = json.loads(called(*asked, "--format", "json"))["weight_scale"]
    scope: dict[str, Any] = {}
    exec(FILE.replace("from sibling import WIDTH", "WIDTH = 8"), scope)
    torch.manual_seed(0)
    inputs, targets = scope["data"]()
    module = scope["build"](7, scale=0.3)
    expected = find_weight_scale(module, inputs[:64], targets[:64], torch.nn.functional.cross_entropy)
    assert (found["factor"], found["names"]) == (expected.factor, list(expected.names))
    assert found["answer"] == expected.answer()
    shown = called(*asked)
    assert shown.startswith("vanishing: ")
    assert shown.endswith(f"\n\n{expected}\n")
    assert "multiply" not in called(*asked[:-1])


def test_prints_what_the_function_prints(file, tmp_path):
    shown = called(f"{file}:build", "--figure", tmp_path / "mine.png")
    assert "hidden layers" in shown.splitlines()[0]
    assert "a print is no result" not in shown
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_data_from_a_file(file, tmp_path, suffix):
    x, y = torch.randn(20, 6), torch.randn(20, 4)
    path = tmp_path / f"data{suffix}"
    if suffix == ".npz":
        np.savez(path, inputs=x.numpy(), targets=y.numpy())
    else:
        torch.save({"inputs": x, "targets": y}, path)
    found = json.loads(called(f"{file}:build", "--data", path, "--loss", "mse_loss", "--format", "json"))
    scope: dict[str, Any] = {}
    exec(FILE.replace("from sibling import WIDTH", "WIDTH = 8"), scope)
    torch.manual_seed(0)
    expected = probe(scope["build"](), x, y, torch.nn.functional.mse_loss)
    assert found["gradient_ratio"] == pytest.approx(expected.gradient_ratio, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["my-net.py"], "must be written module:build"),
        (["no-such.py:build"], "no-such.py raised FileNotFoundError"),
        (["my-net.py:bild"], "must define bild"),
        (["my-net.py:broken"], "broken raised ZeroDivisionError"),
        (["my-net.py:number"], "must return a torch.nn.Module, got int"),
        (["my-net.py:build", "--set", "dept=3"], "give its arguments as --set name=value"),
        (["my-net.py:build", "--data", "none.npz"], "cannot be read"),
        (["my-net.py:build", "--data", "my-net.py"], "must be a .npz or .pt file"),
        (["my-net.py:build", "--loss", "no_such_loss"], "--loss must name a function"),
        (["my-net.py:build", "--taps", "blocks.*"], "names none"),
        (["sibling:WIDTH"], "must be a function that returns a torch.nn.Module, got int"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(file, monkeypatch, arguments, sentence):
    monkeypatch.chdir(file.parent)
    with pytest.raises(UsageError) as refused:
        called(*arguments)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def trained(file: Path, depth: int = 5) -> torch.nn.Sequential:
    """The file's module after some steps."""
    scope: dict[str, Any] = {}
    exec(FILE.replace("from sibling import WIDTH", "WIDTH = 8"), scope)
    torch.manual_seed(3)
    module: torch.nn.Sequential = scope["build"](depth)
    inputs, targets = scope["data"]()
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module


@pytest.mark.parametrize("kept_as", ["state", "under a key", "wrapped", "compiled", "beside others"])
def test_a_checkpoint_is_measured_with_its_weights(file, tmp_path, kept_as):
    module, path = trained(file), tmp_path / "step_20.pt"
    state = module.state_dict()
    torch.save(
        {
            "state": state,
            "under a key": {"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 0.1}},
            "wrapped": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
            "compiled": {f"_orig_mod.{name}": value for name, value in state.items()},
            "beside others": {"state_dict": {f"net.{n}": v for n, v in state.items()} | {"loss.w": torch.ones(4)}},
        }[kept_as],
        path,
    )
    found = json.loads(called(path, "--model", f"{file}:build", "--format", "json"))
    scope: dict[str, Any] = {}
    exec(FILE.replace("from sibling import WIDTH", "WIDTH = 8"), scope)
    inputs, targets = scope["data"]()
    expected = probe(module, inputs[:64], targets[:64], torch.nn.functional.cross_entropy)
    assert found["gradient_ratio"] == pytest.approx(expected.gradient_ratio, abs=1e-12)
    assert found["loss"] == pytest.approx(expected.loss)
    assert found["checkpoint"] == f"step_20.pt: {len(state)} tensors, all finite"


def test_a_checkpoint_after_a_spike_says_which_weights_are_lost(file, tmp_path):
    module, path = trained(file), tmp_path / "spike.pt"
    with torch.no_grad():
        module.get_parameter("4.weight")[0, 0] = torch.nan
    torch.save(module.state_dict(), path)
    shown = CliRunner().invoke(cli, ["probe", str(path), "--model", f"{file}:build"], standalone_mode=False)
    assert shown.stdout == "spike.pt: 12 tensors, 1 of them with numbers that are not finite: 4.weight\n"
    assert isinstance(shown.exception, UsageError)
    assert "4.weight holds NaN or infinite weights" in str(shown.exception)


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, [], "cannot be read as a checkpoint"),
        ({"epoch": 3}, [], "must hold weights by name, or under one of state_dict"),
        ([1, 2], [], "must hold weights by name, got list"),
        ("state", ["--set", "depth=6"], "but it lacks 12.bias, 12.weight: give the arguments"),
        ("state", ["--set", "depth=4"], "also holds 10.bias, 10.weight"),
        ("narrow", [], "has shape"),
        ("object", [], "without running code of it"),
    ],
)
def test_a_file_without_these_weights_is_refused(file, tmp_path, content, arguments, sentence):
    path = tmp_path / "c.pt"
    state = trained(file).state_dict()
    if content == "narrow":
        state["0.weight"] = torch.ones(3, 6)
    if content is None:
        path.write_bytes(b"nothing")
    else:
        torch.save(trained(file) if content == "object" else state if isinstance(content, str) else content, path)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        called(path, "--model", f"{file}:build", *arguments)


def test_a_checkpoint_alone_is_no_module(tmp_path):
    with pytest.raises(click.UsageError, match="give what builds the module as --model"):
        called(tmp_path / "c.pt")
