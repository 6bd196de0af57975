"""Settings: flag before environment before mlflow.env before study file before default, each with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy

from gradstab.errors import UsageError
from gradstab.study.axes import LogInteger
from gradstab.study.file import load_study_file
from gradstab.study.settings import read_env_file, resolve_results_settings, resolve_settings
from gradstab.study.study import Study
from gradstab.system.storage_url import SqliteFile, parse_storage, parse_tracking, same_database, without_password


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "RAY_ADDRESS", "GRADSTAB_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def study(**changes: object) -> Study:
    fields: dict[str, object] = {
        "name": "s",
        "question": "q",
        "space": {"depth": LogInteger(2, 4)},
        "budget": {"trials": 1},
    }
    return Study.model_validate({**fields, **changes})


def test_defaults_need_no_server(tmp_path):
    settings = resolve_settings(study(), None, None)
    root = tmp_path / "data" / "gradstab"
    assert (settings.results.value, settings.results.origin) == (root, "default")
    assert settings.tracking.value.url == f"sqlite:///{root}/mlflow/mlflow.db"
    assert settings.storage.value.url == f"journal:{root}/s/optuna.journal"
    assert settings.ray_address.value is None


def test_precedence_of_the_tracking_uri(tmp_path, monkeypatch):
    declared = study(tracking={"uri": "http://study"})
    assert resolve_settings(declared, tmp_path, None).tracking.origin == "study file"
    (tmp_path / "mlflow.env").write_text("# why\nMLFLOW_TRACKING_URI=http://file\nOTHER=1\n")
    found = resolve_settings(declared, tmp_path, None)
    assert found.tracking.value.url == "http://file"
    assert found.tracking.origin.startswith("mlflow.env")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    found = resolve_settings(declared, tmp_path, None)
    assert (found.tracking.value.url, found.tracking.origin) == ("http://environment", "MLFLOW_TRACKING_URI")


def test_results_flag_before_environment_and_both_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADSTAB_RESULTS", "there")
    assert resolve_results_settings(None).results.value == tmp_path / "there"
    assert resolve_results_settings("here").results.value == tmp_path / "here"


def test_storage_and_ray_address_from_environment_then_study(monkeypatch):
    declared = study(storage="sqlite:////x.db", resources={"address": "auto"})
    found = resolve_settings(declared, None, None)
    assert (found.storage.value.url, found.ray_address.value) == ("sqlite:////x.db", "auto")
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:////y.db")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    found = resolve_settings(declared, None, None)
    assert (found.storage.value.url, found.ray_address.value) == ("sqlite:////y.db", "10.0.0.1:6379")


def test_mlflow_env_is_found_above_and_only_mlflow_names_count(tmp_path):
    (tmp_path / "mlflow.env").write_text("MLFLOW_HTTP_REQUEST_TIMEOUT=7\nPATH=/nowhere\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    path, values = read_env_file([below])
    assert path == tmp_path / "mlflow.env"
    assert values == {"MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}


def test_environment_wins_over_mlflow_env(tmp_path, monkeypatch):
    (tmp_path / "mlflow.env").write_text("MLFLOW_HTTP_REQUEST_TIMEOUT=7\n")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "9")
    assert resolve_results_settings(None).mlflow_env == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("postgresql://me:p@ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=secret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("journal:/a/b@c:d", "journal:/a/b@c:d"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://a:x@h/db", "postgresql+psycopg://b:y@h:5432/db", True),
        ("postgresql://h/db", "postgresql://h/other", False),
        ("postgresql:///db?host=/a", "postgresql:///db?host=/b", False),
        ("sqlite:////a.db", "sqlite:////a.db", True),
        ("journal:/a", "sqlite:////a", False),
        ("postgresql://h/db", "http://h/db", False),
        ("sqlite:////a.db", "sqlite:////a.db?timeout=9", True),
        ("postgres://h/db", "postgresql+psycopg2://h/db", True),
        ("postgresql://[bad", "postgresql://[bad", True),
    ],
)
def test_whether_storage_and_tracking_are_one_database(one, other, same):
    assert same_database(parse_storage(one), parse_tracking(other)) is same


def test_a_relative_file_is_one_file_wherever_the_command_is_called(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    (project / "mlflow.env").write_text("MLFLOW_TRACKING_URI=sqlite:///from_env_file.db\n")
    (project / "s.yaml").write_text(
        "name: s\nquestion: q\nspace: {depth: {type: log_integer, low: 2, high: 4}}\nbudget: {trials: 1}\n"
        "storage: journal:deep/s.journal\ntracking: {uri: 'sqlite:///s.db'}\n"
    )
    monkeypatch.chdir(elsewhere)
    declared = load_study_file(project / "s.yaml")
    assert (declared.storage, declared.tracking.uri) == (
        f"journal:{project}/deep/s.journal",
        f"sqlite:///{project}/s.db",
    )
    settings = resolve_settings(declared, project, None)
    assert settings.tracking.value.url == f"sqlite:///{project}/from_env_file.db"
    assert settings.storage.value.url == f"journal:{project}/deep/s.journal"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///mine.db")
    settings = resolve_settings(declared, project, None)
    assert settings.tracking.value.url == settings.storage.value.url == f"sqlite:///{elsewhere}/mine.db"


@pytest.mark.parametrize(
    ("variables", "fields", "beginning"),
    [
        ({"MLFLOW_TRACKING_URI": "htp://me:s3cret@h:5"}, {}, "MLFLOW_TRACKING_URI must be http://HOST:PORT, "),
        ({"OPTUNA_STORAGE": "mysql://me:s3cret@h/d"}, {}, "OPTUNA_STORAGE must be journal:PATH, "),
        ({}, {"tracking": {"uri": "htp://h:5"}}, "tracking.uri in the study file must be http://HOST:PORT, "),
        ({}, {"storage": "redis://h"}, "storage in the study file must be journal:PATH, "),
        ({"OPTUNA_STORAGE": "a\nb"}, {}, "OPTUNA_STORAGE must be journal:PATH, "),
        ({"MLFLOW_TRACKING_URI": "os:sys\n\x1b[1mtem"}, {}, "MLFLOW_TRACKING_URI must be http://HOST:PORT, "),
    ],
)
def test_an_address_that_nobody_can_read_is_refused_where_it_was_set(monkeypatch, variables, fields, beginning):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        resolve_settings(study(**fields), None, None)
    said = str(caught.value)
    assert said.startswith(beginning)
    assert "s3cret" not in said
    assert said.isprintable()


def test_artifacts_of_a_database_lie_beside_it_or_in_the_results_and_a_server_keeps_its_own(tmp_path, monkeypatch):
    def folder(uri: str) -> object:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return resolve_results_settings(str(tmp_path / "results")).artifact_folder()

    assert folder("sqlite:////data/mlflow.db") == Path("/data/artifacts")
    assert folder("postgresql://h/mlflow") == tmp_path / "results" / "mlflow" / "artifacts"
    assert folder("http://h:5000") is None


def test_a_path_that_mlflow_s_database_cannot_have_is_refused_before_anything_runs(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"without '\?'.*choose another folder, or set MLFLOW_TRACKING_URI"):
        resolve_settings(study(), None, str(tmp_path / "what?"))
    long = tmp_path / "/".join(["x" * 100] * 6)
    with pytest.raises(UsageError, match=r"at most 480 bytes.*shorter path"):
        resolve_settings(study(), None, str(long))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert resolve_settings(study(), None, str(long)).results.value == long
    assert resolve_settings(study(), None, str(tmp_path / "what?")).results.value == tmp_path / "what?"


@pytest.mark.parametrize("name", ["sp ace", "Ü 你", "q'uote", 'q"uote', "50 %", "a#b", "a&b;c"])
def test_a_results_folder_may_have_almost_any_name(tmp_path, name):
    found = resolve_settings(study(), None, str(tmp_path / name))
    assert isinstance(found.tracking.value, SqliteFile)
    assert found.tracking.value.path == tmp_path / name / "mlflow" / "mlflow.db"
    assert sqlalchemy.make_url(found.tracking.value.url).database == str(found.tracking.value.path)
