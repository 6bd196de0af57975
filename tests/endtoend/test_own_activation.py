"""A Python study that searches functions of the user beside the library's: from the file to region and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gradstab.activations import registry
from gradstab.commands.submit import pack_parcel
from gradstab.study.file import load_study_file
from tests.endtoend.command import Place

STUDY = """
from gradstab import Choice, LogReal, Study
STUDY = Study(
    name="study", question="Is it as stable as tanh?", budget={{"trials": {trials}}},
    space={{"{scale}": LogReal(.3, 8), "activation": Choice(("tanh", "shapes_of_mine:{function}"))}},
    recipe={{"depth": 8, "width": 16, "steps": {steps}, "batch_size": 32, "probe_samples": 64}},
)
"""
SIBLINGS = {
    "shapes_of_mine.py": """
import torch
from helper_of_shapes import half

def tanh_again(z): return torch.tanh(z)
def steep(z): return torch.tanh(half(4 * z))
def softmax(z): return torch.softmax(z, -1)
def nan(z): return z * float("nan")
def flat(z): return z.flatten()
def raises(z): raise RuntimeError("no such thing")
def late(z):
    if z.ndim == 3 and z.shape[1] > 1:
        raise RuntimeError("only small ones")
    return torch.tanh(z)
""",
    "helper_of_shapes.py": "def half(z): return z / 2\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(registry, "_imported", {})  # or this process would know the functions of other tests
    for name, text in SIBLINGS.items():
        (tmp_path / name).write_text(text)
    return Place(tmp_path)


def declare(place: Place, function: str, *, trials: int = 40, steps: int = 0, scale: str = "init_scale") -> Path:
    path = place.root / "study.py"
    path.write_text(STUDY.format(function=function, trials=trials, steps=steps, scale=scale))
    return path


def test_a_siblings_function_is_searched_beside_tanh_with_region_and_report(place):
    declare(place, "steep", trials=40, steps=3)
    done = place.call_unshipped("run", "study.py", "--engine", "serial", "--report")
    assert done.returncode == 0, done.stderr
    records = place.records()
    assert {record.recipe["activation"] for record in records} == {"tanh", "shapes_of_mine:steep"}
    assert all(record.trajectory is not None for record in records)
    region = place.run("region", "study", "--at", "activation=shapes_of_mine:steep")
    assert region.returncode == 0, region.stderr
    assert "shapes_of_mine:steep" in (place.folder / "report" / "index.html").read_text()
    data = json.loads((place.folder / "report" / "region.json").read_text())
    predicted = {row["held"]["activation"]: row["theory"] for row in data["intervals"]}
    assert predicted["tanh"] is not None
    assert predicted["shapes_of_mine:steep"] is None, "reading results must import nothing of the user"


@pytest.mark.xdist_group("ray")
def test_workers_of_ray_are_sent_the_function_itself(place):
    """Workers find neither the sibling nor its helper: the function travels by value."""
    declare(place, "steep", trials=8)
    elsewhere = Place(place.root / "elsewhere")
    elsewhere.root.mkdir()
    done = elsewhere.call_unshipped("run", "../study.py", "--set", "resources.slots=1")
    assert done.returncode == 0, done.stderr
    assert all(record.trajectory is not None for record in elsewhere.records())
    assert {record.recipe["activation"] for record in elsewhere.records()} == {"tanh", "shapes_of_mine:steep"}


@pytest.mark.parametrize("scale", ["init_scale", pytest.param("relative_init_scale", marks=pytest.mark.faults)])
def test_the_values_are_those_of_the_same_function_in_the_library(place, scale):
    """tanh by autograd against tanh by hand; relative to a critical scale that theory finds by autograd too."""
    declare(place, "tanh_again", trials=16, steps=6, scale=scale)
    done = place.call_unshipped("run", "study.py", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    by_name = {record.recipe["activation"]: record for record in place.records()}
    from gradstab.training.data import load_dataset
    from gradstab.training.trainer import train

    study = load_study_file(place.root / "study.py")
    record = by_name["shapes_of_mine:tanh_again"]
    recipe = study.recipe.at({"activation": "tanh", "init_scale": record.recipe["init_scale"]})
    if scale == "relative_init_scale":
        assert record.recipe["init_scale"] == pytest.approx(record.point[scale], rel=1e-6)  # tanh's critical one is 1
    (twin,) = train([recipe], [record.seed], load_dataset(study.data, study.seed))
    assert record.trajectory is not None
    np.testing.assert_allclose(record.trajectory["loss"], twin["loss"], rtol=1e-4)
    np.testing.assert_allclose(record.trajectory["saturated_fraction"], twin["saturated_fraction"], atol=2e-3)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("softmax", "must be elementwise"),
        ("nan", "must be finite"),
        ("flat", "must map a float32 tensor to one of the same shape"),
        ("raises", "must take and return a tensor, but: RuntimeError: no such thing"),
        ("nothing", "must be importable, but: AttributeError"),
        ("late", "must take what training gives it, but: RuntimeError: only small ones"),
    ],
)
def test_a_function_that_cannot_be_trained_ends_in_a_sentence(place, function, sentence):
    declare(place, function)
    done = place.call_unshipped("run", "study.py", "--engine", "serial")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"the activation shapes_of_mine:{function} {sentence}" in done.stderr


def test_a_check_imports_no_function(place):
    (place.root / "shapes_of_mine.py").write_text("raise SystemExit('imported')\n")
    declare(place, "steep", scale="relative_init_scale")
    done = place.call("check", "study.py", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["study"]["space"]["activation"]["choices"][1] == "shapes_of_mine:steep"


def test_a_submitted_study_takes_the_functions_it_names_along(place, tmp_path):
    path = declare(place, "steep")
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    pack_parcel(load_study_file(path), path, parcel)
    assert {"study.py", *SIBLINGS} <= {file.name for file in parcel.iterdir()}
