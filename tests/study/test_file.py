"""Study files, Python and YAML: what loads, what is refused, and that overrides are what they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradstab.cli import cli
from gradstab.errors import GradstabError, StudyError, UsageError
from gradstab.study.axes import LogInteger
from gradstab.study.file import find_study_file, load_study_file
from gradstab.study.study import Study

YAML = """
name: small
question: Where?
space:
  depth: {type: log_integer, low: 2, high: 16}
  clip: {type: choice, choices: [on, off]}
  clip_threshold: {type: log_real, low: 1e-2, high: 1e2}
recipe: {learning_rate: 1e-3, steps: 20}
budget: {trials: 12}
"""
STUDIES = Path(__file__).parent.parent.parent / "studies"


def write(folder: Path, text: str, name: str = "study.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_yaml_and_python_declare_the_same_study(tmp_path):
    python = write(
        tmp_path,
        "from gradstab import Study\n"
        "STUDY = Study(name='small', question='Where?',\n"
        "  space={'depth': {'type': 'log_integer', 'low': 2, 'high': 16},\n"
        "         'clip': {'type': 'choice', 'choices': [True, False]},\n"
        "         'clip_threshold': {'type': 'log_real', 'low': 0.01, 'high': 100}},\n"
        "  recipe={'learning_rate': 0.001, 'steps': 20}, budget={'trials': 12})\n",
        "study.py",
    )
    yaml = write(tmp_path, YAML)
    assert load_study_file(yaml).dump() == load_study_file(python).dump()
    assert load_study_file(yaml).space.axes["depth"] == LogInteger(2, 16)


@pytest.mark.parametrize("name", ["study.yaml", "study.py"])
def test_overrides_and_replacements(tmp_path, name):
    yaml = write(tmp_path, YAML)
    path = yaml if name.endswith("yaml") else write(tmp_path, f"from pathlib import Path\nfrom gradstab.study.file import load_study_file\nSTUDY = load_study_file(Path({str(yaml)!r}))", name)  # fmt: skip
    study = load_study_file(path, ["recipe.width=256", "budget.trials=99", "recipe.learning_rate=1e-2"], name="other", seed=None)  # fmt: skip
    assert (study.recipe.width, study.budget.trials, study.recipe.learning_rate) == (256, 99, 0.01)
    assert (study.name, study.seed) == ("other", 0)


def test_override_faults_are_the_study_s_faults(tmp_path):
    with pytest.raises(StudyError, match=r"recipe.widht must be a known field, .* did you mean 'width'"):
        load_study_file(write(tmp_path, YAML), ["recipe.widht=3"])
    with pytest.raises(UsageError, match=r"--set must be field=value, got 'recipe\.width'"):
        load_study_file(write(tmp_path, YAML), ["recipe.width"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "no valid YAML"),
        ("- a\n- b", "a study must be a mapping of fields, got list"),
        ("", "a study must be a mapping of fields, got NoneType"),
        ("!!python/object/apply:os.system ['true']", "no valid YAML"),
        ("name: a\nname: b", "the key 'name' stands twice in a mapping (line 2)"),
        ("1: a", "keys must be words, got 1 (line 1)"),
        ("{? [a] : b}", "keys must be words"),
    ],
)
def test_yaml_that_is_no_study(tmp_path, text, expected):
    with pytest.raises(UsageError) as caught:
        load_study_file(write(tmp_path, text))
    assert expected in str(caught.value)
    assert "study.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STUDY = 3", "must define STUDY = Study(...), got STUDY of type int"),
        ("x = 3", "must define STUDY = Study(...), got no STUDY"),
        (
            "from gradstab import Study, Integer\n"
            "study = Study(name='s', question='q', space={'depth': Integer(2, 4)}, budget={'trials': 2})",
            "got a study under the name study: call it STUDY",
        ),
        ("x = 1 / 0", "fails in line 1: ZeroDivisionError"),
        ("def", "fails: SyntaxError"),
        ("from gradstab.study.recipe import Recipe\nRecipe(widht=3)", "recipe.widht must be a known field"),
    ],
)
def test_python_that_is_no_study(tmp_path, text, expected):
    with pytest.raises(UsageError) as caught:
        load_study_file(write(tmp_path, text, "study.py"))
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["STUDY.YAML", "Study.Yml"])
def test_an_ending_in_capitals_is_the_same_ending(tmp_path, name):
    assert load_study_file(find_study_file(str(write(tmp_path, YAML, name)))).name == "small"


def test_a_device_is_no_file_that_is_missing():
    with pytest.raises(UsageError, match="no file that can be read to its end"):
        find_study_file("/dev/null")


def test_find_with_and_without_suffix(tmp_path):
    path = write(tmp_path, YAML)
    assert find_study_file(str(path)) == path
    assert find_study_file(str(tmp_path / "study")) == path
    with pytest.raises(UsageError, match="there is no such file"):
        find_study_file(str(tmp_path / "nothing"))
    other = tmp_path / "study.txt"
    other.write_text(YAML)
    with pytest.raises(UsageError, match="must end in"):
        find_study_file(str(other))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=60) | st.sampled_from(YAML.splitlines()).flatmap(lambda line: st.text(max_size=4).map(lambda noise: YAML.replace(line, line + noise))))  # fmt: skip
def test_any_text_loads_or_is_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refusal = None
    try:
        assert isinstance(load_study_file(path), Study)
    except GradstabError as error:
        refusal = error
    assert refusal is None or (refusal.exit_code == 2 and str(refusal))


def test_every_shipped_study_loads_with_question_and_prediction():
    paths = [path for path in STUDIES.iterdir() if path.suffix in {".py", ".yaml"}]
    assert paths
    for path in paths:
        study = load_study_file(path)
        assert study.name == path.stem
        assert study.question
        assert study.prediction


def test_the_study_in_the_readme_is_sound(tmp_path):
    text = (STUDIES.parent / "README.md").read_text()
    (code,) = re.findall(r"```python\n(from gradstab import .*?STUDY = .*?)```", text, re.DOTALL)
    study = load_study_file(write(tmp_path, code, "my_first.py"))
    assert len([line for line in code.splitlines() if line]) <= 15
    assert f"gradstab status {study.name}" in text


@pytest.mark.parametrize("name", ["study.yaml", "study.py"])
def test_a_relative_data_path_is_meant_from_the_study_s_folder(tmp_path, monkeypatch, name):
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    np.savez(folder / "mine.npz", X=np.eye(80), y=np.arange(80) % 2)
    monkeypatch.chdir(elsewhere)
    declared = {"name": "s", "question": "q", "space": {"depth": {"type": "integer", "low": 1, "high": 2}}, "budget": {"trials": 1}, "recipe": {"probe_samples": 64}, "data": {"type": "npz", "path": "mine.npz"}}  # fmt: skip
    text = (
        json.dumps(declared) if name.endswith("yaml") else f"from gradstab import Study\nSTUDY = Study(**{declared!r})"
    )
    study = load_study_file(write(folder, text, name))
    assert study.data.shape().num_rows == 80
    assert study.dump()["data"]["path"] == str(folder / "mine.npz")


def test_a_python_study_may_import_what_lies_beside_it_and_print(tmp_path, capsys):
    text = "from axes import SPACE\nfrom gradstab import Study\nSTUDY = Study(name='s', question='q', space=SPACE, budget={'trials': 1})\n"
    for folder, high in (("one", 4), ("two", 8)):
        (tmp_path / folder).mkdir()
        axes = f"from gradstab import LogInteger\nSPACE = {{'depth': LogInteger(2, {high})}}\nprint('said')\n"
        write(tmp_path / folder, axes, "axes.py")
        study = load_study_file(write(tmp_path / folder, text, "study.py"))
        assert study.space.axes["depth"] == LogInteger(2, high), "another study's module of the same name"
    assert capsys.readouterr() == ("", "said\nsaid\n"), "stdout is for data"
    write(tmp_path / "one", "raise RuntimeError('not the installed one')", "optuna.py")
    write(tmp_path / "one", "import optuna\nfrom gradstab import Study\n" + text, "study.py")
    assert load_study_file(tmp_path / "one" / "study.py").name == "s"


@pytest.mark.parametrize("given", [".", "..", "/", "", "./"])
@pytest.mark.parametrize("verb", ["check", "run", "status", "report", "doctor", "remove", "ui"])
def test_a_folder_is_no_study(tmp_path, monkeypatch, verb, given):
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, [verb, given])
    assert isinstance(told.exception, UsageError)
    assert "got the folder" in str(told.exception)
    assert "\n" not in str(told.exception)
