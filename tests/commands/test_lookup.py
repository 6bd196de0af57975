"""How commands find a study, and what they say where it lies elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gradstab.commands.lookup import command_name, find_begun, find_study
from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
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


@pytest.mark.parametrize("find", [find_study, find_begun])
@pytest.mark.parametrize(("name", "results"), [("other", None), ("other", "results"), ("..", None)])
def test_nothing_is_hinted_at_where_there_is_nothing(begun, find, name, results):
    with pytest.raises(UsageError) as refused:
        find(name, results)
    assert "--results results" not in str(refused.value)


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
