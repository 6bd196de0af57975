"""How commands find a study, and what they say where it lies elsewhere."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.commands.lookup import command_name, find_begun, find_study, results_flag
from gradstab.commands.ui import require_own_server
from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.session.parts import network_warning
from gradstab.study.settings import resolve_settings
from gradstab.system import file_system
from tests.study.test_study import study

HINT = "A study of this name is in ./results: add --results results"


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a study that has begun in ./results, where the default folder is another one."""
    mine = study(name="mine")
    (tmp_path / "results" / mine.name).mkdir(parents=True)
    StudyFolder.of(tmp_path / "results", mine.name).claim(mine, None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADSTAB_RESULTS", str(tmp_path / "elsewhere"))
    return mine.name


@pytest.mark.parametrize("find", [find_study, find_begun])
def test_a_study_in_the_folder_results_is_hinted_at(begun, find):
    with pytest.raises(UsageError, match=HINT):
        find(begun, None)
    assert find(begun, "results")


@pytest.mark.parametrize("given", ["mine.yaml", "studies/mine", "results"])
def test_what_can_only_be_a_file_is_not_looked_for_among_names(begun, given):
    """A path, a name with an ending, and a folder that is there: the sentence is about files."""
    with pytest.raises(UsageError) as refused:
        find_begun(given, None)
    assert str(refused.value).startswith("STUDY must be a study file")


def test_a_word_may_be_the_name_of_a_study_or_a_file(begun):
    with pytest.raises(UsageError, match=r"there is no study 'other' in .*, and no such study file"):
        find_begun("other", None)


def test_a_list_without_studies_says_how_one_begins(begun):
    told = CliRunner().invoke(cli, ["list"])
    assert told.exit_code == 0, told.output
    words = " ".join(told.stdout.split())
    assert words.startswith("0 studies in ")
    assert "`gradstab run` begins one" in words
    assert "question" not in words, "a table without rows says nothing"
    assert "mine" in CliRunner().invoke(cli, ["list", "--results", "results"]).stdout


@pytest.mark.parametrize("find", [find_study, find_begun])
@pytest.mark.parametrize(("name", "results"), [("other", None), ("other", "results"), ("..", None)])
def test_nothing_is_hinted_at_where_there_is_nothing(begun, find, name, results):
    with pytest.raises(UsageError) as refused:
        find(name, results)
    assert "--results results" not in str(refused.value)


@pytest.mark.parametrize("name", ["results", "sp ace", "q'uote", 'Ü " & #'])
def test_a_printed_command_finds_the_results_whatever_their_folder_is_called(tmp_path, name):
    typed = shlex.split(f"gradstab ui mine{results_flag(resolve_settings(study(), None, str(tmp_path / name)))}")
    assert typed == ["gradstab", "ui", "mine", "--results", str(tmp_path / name)]


def test_a_database_on_a_network_file_system_is_warned_of_at_the_start(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = resolve_settings(study(), None, str(tmp_path))
    (tmp_path / "mounts").write_text(f"server:/x {tmp_path.resolve()} nfs4 rw 0 0\n")
    assert network_warning(settings) is None
    monkeypatch.setattr(file_system, "_MOUNTS", tmp_path / "mounts")
    assert "network file system nfs4" in (network_warning(settings) or "")
    assert "MLFLOW_TRACKING_URI=sqlite:////PATH" in (network_warning(settings) or "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert network_warning(resolve_settings(study(), None, str(tmp_path))) is None


def test_a_store_with_pages_of_its_own_is_not_served_here(monkeypatch):
    for uri in ("databricks", "databricks://profile", "uc"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(UsageError, match="pages of its own"):
            require_own_server(resolve_settings(study(), None, None).tracking.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    require_own_server(resolve_settings(study(), None, None).tracking.value)


def environment_of_commands(folder: Path) -> Path:
    """A folder of programs such as that of a virtual environment, with a gradstab in it."""
    folder.mkdir(parents=True)
    (folder / "gradstab").write_text("#!/bin/sh\n")
    (folder / "gradstab").chmod(0o755)
    return folder


def test_the_command_is_named_by_its_path_only_where_the_shell_would_not_find_it(tmp_path, monkeypatch):
    ours = environment_of_commands(tmp_path / "ours" / "my bin")
    other = environment_of_commands(tmp_path / "other")
    monkeypatch.setattr(sys, "executable", str(ours / "python"))
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{other}")
    assert command_name() == "gradstab"
    for path in (str(tmp_path / "nothing"), str(other)):
        monkeypatch.setenv("PATH", path)
        assert command_name() == f"'{ours}/gradstab'"
    monkeypatch.chdir(tmp_path)
    assert command_name() == "'ours/my bin/gradstab'"
