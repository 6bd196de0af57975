"""What surrounds a command and is not as at home: locale, closed paths, a damaged neighbour, a terminal's Ctrl-C."""

from __future__ import annotations

import io
import json
import locale
import os
import sys
from pathlib import Path

import pytest

from gradstab.cli import main
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Setting, Settings
from gradstab.study.study import Study
from gradstab.system.storage_url import parse_storage, parse_tracking
from gradstab.tracking.restore_process import restore_lost_folder

QUESTION = "Ποῦ; où?"


def declare(**changes: object) -> Study:
    space = {"depth": {"type": "log_integer", "low": 2, "high": 4}}
    return Study.model_validate({"name": "s", "question": QUESTION, "space": space, "budget": {"trials": 1}, **changes})


def adopted(root: Path, source: Path | None = None) -> StudyFolder:
    folder = StudyFolder.of(root, "s")
    folder.path.mkdir(parents=True)
    folder.claim(declare(), source)
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gradstab", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_study_file_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    source = tmp_path / "s.yaml"
    source.write_text(f"question: {QUESTION}\n", encoding="utf-8")
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        folder = adopted(tmp_path / "results", source)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert (folder.path / "declared.yaml").read_bytes() == source.read_bytes()


def test_a_terminal_without_the_letters_shows_their_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adopted(tmp_path)
    with io.TextIOWrapper(io.BytesIO(), encoding="latin-1") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert call(monkeypatch, "list", "--results", str(tmp_path)) == 0
        stdout.flush()
        shown = stdout.buffer.getvalue().decode("latin-1")
    assert "\\u03a0" in shown
    assert "où?" in shown


def test_a_damaged_study_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adopted(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.json").write_text("{")
    assert call(monkeypatch, "list", "--results", str(tmp_path), "--format", "json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["s"]


@pytest.mark.parametrize("verb", ["status", "run", "region"])
def test_a_path_that_cannot_be_is_one_sentence(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, verb, "a" * 300) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_ctrl_c_in_the_terminal_does_not_cut_off_the_rebuilding_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off, it would pass for an MLflow that cannot be asked, and the study would begin anew."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S -c 'import os, sys; sys.exit(str(os.getpgrp()))'\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    settings = Settings(
        results=Setting(tmp_path, "test"),
        tracking=Setting(parse_tracking("http://127.0.0.1:9"), "test"),
        storage=Setting(parse_storage(f"journal:{tmp_path}/optuna.journal"), "test"),
        ray_address=Setting(None, "test"),
        mlflow_env={},
    )
    said: list[str] = []
    assert restore_lost_folder(StudyFolder.of(tmp_path, "gone"), declare(), settings, said.append) is None
    (sentence,) = said
    assert int(sentence.rpartition(":")[2]) != os.getpgrp()
