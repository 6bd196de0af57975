"""Hostile study files and settings end in sentences. `make fuzz N=200000` runs the same cases by the hundred thousand."""

from __future__ import annotations

import ast
import sys
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradstab.commands.lookup import find_study
from gradstab.errors import StudyError, UsageError
from gradstab.record.segments import CorruptSegmentError, read_segment, write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.study.data_spec import DataError, Tensors
from gradstab.study.file import load_study_file
from gradstab.study.plain_yaml import MAX_VALUES, load_yaml
from gradstab.study.settings import read_env_file
from gradstab.study.study import Study
from gradstab.training.tensor_data import load_tensor_data
from tests.fakes import make_mixed_records
from tests.fuzz.cases import KINDS, check_case, make_case

PACKAGE = Path(__file__).parent.parent.parent / "pipeline" / "gradstab"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(random=st.randoms(use_true_random=False))
def test_any_case_loads_or_is_refused_in_sentences(tmp_path_factory: pytest.TempPathFactory, random: Random) -> None:
    assert check_case(make_case(random), tmp_path_factory.mktemp("any")) in {"loaded", "refused"}


def test_the_cases_are_of_every_kind_and_some_load(tmp_path: Path) -> None:
    ended = [(case.kind, check_case(case, tmp_path)) for case in (make_case(Random(n)) for n in range(300))]
    assert {kind for kind, _ in ended} == set(KINDS)
    assert {outcome for _, outcome in ended} == {"loaded", "refused"}


def test_what_unfolds_into_millions_and_what_is_deep_is_refused() -> None:
    """Whoever unfolds the first text meets the test's own time limit: it stands for 9^29 values."""
    laughs = "\n".join(["a0: &a0 [x, x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))])
    for text, expected in (
        (laughs, f"more than {MAX_VALUES} values"),
        ("[" * 500_000, "nested more than"),
        ("{a: " * 100_000, "nested more than"),
        ("&a [*a]", "nested more than"),
        ("x: " + "9" * 100_000, "cannot be read"),
        ('name: "\\ud800"', "whole characters"),
    ):
        with pytest.raises(UsageError, match=expected):
            load_yaml(text)
    assert load_yaml("a: &a {x: 1e-3}\nb: *a\n") == {"a": {"x": 1e-3}, "b": {"x": 1e-3}}


def test_an_env_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.env").write_bytes(b"MLFLOW_X=\xed\xa0\x80\n")
    with pytest.raises(UsageError, match=r"mlflow\.env must be UTF-8 text"):
        read_env_file([tmp_path])


UNPICKLES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# calls that unpickle or run what they read, unless they are told not to
READS: dict[str, dict[str, bool] | None] = {
    "numpy.load": {"allow_pickle": False},
    "torch.load": {"weights_only": True},
    "pandas.read_pickle": None,
    "yaml.load": None,
    "yaml.load_all": None,
    "yaml.full_load": None,
    "yaml.full_load_all": None,
    "yaml.unsafe_load": None,
    "yaml.unsafe_load_all": None,
}
ALLOWED = {
    "execution/ray_worker.py": {"pickle"},  # a worker of Ray unpickles what its driver sent through Ray
    "study/torch_file.py": {"pickle"},  # with a reader that calls nothing but makers of tensors' shapes, tested here
}


def unsafe_reads(source: str) -> set[str]:
    """Packages that unpickle, and calls that do: whatever the imports call them, on however many lines."""
    tree = ast.parse(source)
    names: dict[str, str] = {}  # what a name of the module stands for
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                names[each.asname or each.name.partition(".")[0]] = (
                    each.name if each.asname else each.name.partition(".")[0]
                )
                found |= {each.name.partition(".")[0]} & UNPICKLES
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.partition(".")[0]} & UNPICKLES
            names.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            head, dot, rest = function.partition(".")
            called = names.get(head, head) + dot + rest
            told = {each.arg: getattr(each.value, "value", ...) for each in node.keywords}
            safe = READS.get(called, {})
            if safe is None or not safe.items() <= told.items():
                found.add(called)
            if (
                called in ("importlib.import_module", "__import__")
                and ast.unparse(node.args[0]).strip("'\"") in UNPICKLES
            ):
                found.add(ast.unparse(node.args[0]).strip("'\""))
    return found


def test_nothing_is_unpickled_and_no_yaml_is_read_unsafely() -> None:
    for path in PACKAGE.rglob("*.py"):
        allowed = ALLOWED.get(path.relative_to(PACKAGE).as_posix(), set())
        assert unsafe_reads(path.read_text(encoding="utf-8")) == allowed, path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import joblib as j", "joblib"),
        ("def f():\n    import cloudpickle.cloudpickle", "cloudpickle"),
        ("import numpy as np\nnp.load(\n    'x',\n)", "numpy.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "numpy.load"),
        ("from numpy import load as read\nread('x')", "numpy.load"),
        ("import torch\ntorch.load('x', weights_only=False)", "torch.load"),
        ("from yaml import unsafe_load\nunsafe_load('x')", "yaml.unsafe_load"),
        ("import importlib\nimportlib.import_module('marshal')", "marshal"),
    ],
)
def test_an_unsafe_read_is_seen_however_it_is_written(source: str, found: str) -> None:
    assert unsafe_reads(source) == {found}


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.fuse,)


def test_a_segment_with_a_pickle_in_it_is_corrupt_and_runs_nothing(tmp_path: Path) -> None:
    path = write_segment(tmp_path, 0, make_mixed_records(2))
    fuse = tmp_path / "fuse"
    with np.load(path, allow_pickle=False) as file:
        held = dict(file)
    for name in held:
        content: dict[str, Any] = {**held, name: np.array(Bomb(fuse), dtype=object)}
        np.savez(path, allow_pickle=True, **content)
        with pytest.raises(CorruptSegmentError):
            read_segment(path)
        assert not fuse.exists(), name


def test_a_tensor_file_with_a_pickle_in_it_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    fuse, path = tmp_path / "fuse", tmp_path / "bomb.pt"
    for content in (Bomb(fuse), {"inputs": torch.ones(70, 2), "targets": [Bomb(fuse)]}):
        torch.save(content, path)
        for read in (Tensors(path).shape, partial(load_tensor_data, Tensors(path), 0)):
            with pytest.raises(DataError, match=r"must hold nothing but tensors.*since other objects run code"):
                read()
    assert not fuse.exists()


HOSTILE_ACTIVATIONS = ("os:system", "subprocess:run", "builtins:exec", "antigravity:fly", "mine_to_import:phi")
PLACES = {
    "in the recipe": "recipe: {{activation: '{}'}}\n",
    "on an axis": "space: {{init_scale: {{type: log_real, low: 1, high: 2}}, activation: {{type: choice, choices: [tanh, '{}']}}}}\n",
}


@pytest.mark.parametrize("name", HOSTILE_ACTIVATIONS)
@pytest.mark.parametrize("place", PLACES)
def test_yaml_names_no_function_to_import(tmp_path: Path, place: str, name: str) -> None:
    (tmp_path / "mine_to_import.py").write_text("raise SystemExit('imported')\n")
    path = tmp_path / "s.yaml"
    text = "name: s\nquestion: q\nbudget: {trials: 4}\n" + PLACES[place].format(name)
    path.write_text(
        text if "space" in text else text + "space: {init_scale: {type: log_real, low: 1, high: 2}}\n", encoding="utf-8"
    )
    before = set(sys.modules)
    with pytest.raises(StudyError, match=f"only a Python study file .* may name a function to import, got '{name}'"):
        load_study_file(path)
    assert not {"antigravity", "mine_to_import"} & (set(sys.modules) - before)


@pytest.mark.parametrize("name", HOSTILE_ACTIVATIONS)
@pytest.mark.parametrize("field", ["recipe.activation={}", "space.activation={{type: choice, choices: [tanh, '{}']}}"])
def test_set_names_no_function_to_import_even_in_a_python_study(tmp_path: Path, field: str, name: str) -> None:
    path = tmp_path / "s.py"
    path.write_text(
        "from gradstab import LogReal, Study\n"
        "STUDY = Study(name='s', question='q', budget={'trials': 4}, space={'init_scale': LogReal(1, 2)})\n"
    )
    assert load_study_file(path).recipe.activation == "tanh"
    with pytest.raises(StudyError, match="may name a function to import"):
        load_study_file(path, [field.format(name)])


def test_a_function_that_the_python_study_names_itself_may_be_set(tmp_path: Path) -> None:
    """The other half: what the file names stays named when other fields are set, and nothing of it is imported."""
    path = tmp_path / "s.py"
    path.write_text(
        "from gradstab import Choice, Study\n"
        "STUDY = Study(name='s', question='q', budget={'trials': 4},\n"
        "              space={'activation': Choice(('tanh', 'nowhere_to_be_found:phi'))})\n"
    )
    study = load_study_file(path, ["recipe.width=32"])
    assert (study.recipe.width, study.import_paths) == (32, frozenset({"nowhere_to_be_found:phi"}))
    fixed = load_study_file(
        path, ["space={init_scale: {type: log_real, low: 1, high: 2}}", "recipe.activation=nowhere_to_be_found:phi"]
    )
    assert fixed.recipe.activation == "nowhere_to_be_found:phi"
    with pytest.raises(StudyError, match="may name a function to import"):
        load_study_file(path, ["space={init_scale: {type: log_real, low: 1, high: 2}}", "recipe.activation=os:system"])


def test_a_begun_study_is_no_way_around(tmp_path: Path) -> None:
    """study.json is data too: a study that names a function is read, and continued only from its Python file."""
    study = Study.model_validate(
        {
            "name": "s", "question": "q", "budget": {"trials": 4},
            "space": {"activation": {"type": "choice", "choices": ["tanh", "os:system"]}},
        }
    )  # fmt: skip
    folder = StudyFolder.of(tmp_path, "s")
    folder.path.mkdir()
    folder.claim(study, None)
    assert folder.study() == study
    with pytest.raises(StudyError, match="may name a function to import"):
        find_study("s", str(tmp_path))
