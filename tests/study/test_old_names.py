"""Study files of version 0.1.0 import from `pipeline`; a `pipeline` of the user's own must win."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from gradstab.errors import UsageError
from gradstab.study.file import load_study_file
from gradstab.study.old_names import OLD_CLASSES, OLD_MODULES, old_names

OLD_STUDY = """
from pipeline import Study
from pipeline.sampler_spec import BoundarySampler
from pipeline.space import Choice, LogInteger, LogReal

STUDY = Study(
    name="old",
    question="q",
    space={"depth": LogInteger(2, 8), "init_scale": LogReal(0.5, 8.0), "activation": Choice(("tanh", "relu"))},
    sampler=BoundarySampler(batch=4),
    budget={"trials": 10},
)
"""
NEW_STUDY = OLD_STUDY.replace("from pipeline.sampler_spec", "from gradstab.study.sampler_spec").replace(
    "BoundarySampler", "BoundarySpec"
).replace("from pipeline.space", "from gradstab").replace("from pipeline", "from gradstab")  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "study.py"
    path.write_text(text)
    return path


def test_an_old_study_file_means_the_same_study(tmp_path):
    old = load_study_file(written(tmp_path, OLD_STUDY))
    assert old == load_study_file(written(tmp_path, NEW_STUDY))
    assert "pipeline" not in sys.modules, "the old names are there only while a study file runs"


def test_every_old_name_is_the_same_object(tmp_path):
    checked = set()
    with old_names(tmp_path):
        for old, homes in OLD_MODULES.items():
            module = importlib.import_module(old)
            for home in homes:
                for name, value in vars(importlib.import_module(home)).items():
                    if not name.startswith("_"):
                        assert getattr(module, name) is value, f"{old}.{name}"
                        checked.add(name)
        specs = importlib.import_module("gradstab.study.sampler_spec")
        for before, now in OLD_CLASSES.items():
            assert getattr(importlib.import_module("pipeline.sampler_spec"), before) is getattr(specs, now)
    assert {"Recipe", "LogReal", "Criterion", "Npz", "UsageError"} <= checked


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_a_pipeline_beside_the_study_is_the_users(tmp_path, kind):
    if kind == "module":
        (tmp_path / "pipeline.py").write_text("WIDTH = 48")
    else:
        (tmp_path / "pipeline").mkdir()
        (tmp_path / "pipeline" / "sizes.py").write_text("WIDTH = 48")
        if kind == "package":
            (tmp_path / "pipeline" / "__init__.py").write_text("")
    source = "pipeline" if kind == "module" else "pipeline.sizes"
    head = f"from {source} import WIDTH\n" + NEW_STUDY
    study = load_study_file(written(tmp_path, head.replace('question="q",', 'question="q", recipe={"width": WIDTH},')))
    assert study.recipe.width == 48


def test_an_old_study_beside_a_pipeline_of_the_users_is_told_the_new_name(tmp_path):
    (tmp_path / "pipeline.py").write_text("")
    with pytest.raises(UsageError, match=r"cannot import name 'Study'.*its import name is gradstab now"):
        load_study_file(written(tmp_path, OLD_STUDY))


def test_an_empty_folder_of_that_name_elsewhere_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "elsewhere" / "pipeline").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert load_study_file(written(tmp_path / "here", OLD_STUDY)).name == "old"
