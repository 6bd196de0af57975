"""What travels with a submitted study, and what the first program of its job makes of it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradstab.commands.submit import follow_command, pack_parcel, submit, travelling_settings, write_secrets
from gradstab.execution import job_entry
from gradstab.study.axes import LogInteger
from gradstab.study.file import load_study_file
from gradstab.study.settings import Setting, Settings
from gradstab.study.study import Study
from gradstab.system import provenance
from gradstab.system.provenance import git_commit
from gradstab.system.storage_url import parse_storage, parse_tracking


def settings(**mlflow_env: str) -> Settings:
    return Settings(
        results=Setting(Path("/results"), "test"),
        tracking=Setting(parse_tracking("http://127.0.0.1:5000"), "test"),
        storage=Setting(parse_storage("journal:/results/s/optuna.journal"), "test"),
        ray_address=Setting(None, "test"),
        mlflow_env=mlflow_env,
    )


def test_secrets_travel_apart_and_what_names_this_machine_gives_way():
    plain, secret = travelling_settings(
        settings(MLFLOW_HTTP_REQUEST_TIMEOUT="20"),
        {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
            "MLFLOW_TRACKING_PASSWORD": "hidden-1",
            "MLFLOW_TRACKING_TOKEN": "hidden-2",
            "MLFLOW_REGISTRY_URI": "https://user:hidden-3@mlflow.example",
            "OPTUNA_STORAGE": "postgresql://user:hidden-4@database.example/optuna",
            "GRADSTAB_RESULTS": "/this/machine",
            "HOME": "/home/me",
        },
    )
    assert plain == {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "GRADSTAB_IF_UNSET_MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
    }
    assert set(secret) == {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_REGISTRY_URI", "OPTUNA_STORAGE"}
    assert "hidden" not in str(plain)


@pytest.mark.parametrize(
    "value", ["sqlite:////tmp/x.db", "journal:/tmp/x", "http://localhost:5000", "http://[::1]:5000"]
)
def test_addresses_of_this_machine_are_known(value):
    plain, _ = travelling_settings(settings(), {"MLFLOW_TRACKING_URI": value})
    assert list(plain) == ["GRADSTAB_IF_UNSET_MLFLOW_TRACKING_URI"]


def run_entry(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The entry's end: a package named gradstab that prints what it was given stands in for ours."""
    (folder / "gradstab").mkdir(exist_ok=True)
    (folder / "gradstab" / "__init__.py").write_text("")
    (folder / "gradstab" / "__main__.py").write_text(
        "import json, os, sys; print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if 'MLFLOW' in k}]))"
    )
    command = [sys.executable, Path(job_entry.__file__).name, "run", "a study.yaml"]
    # -I would hide the folder: PYTHONPATH is how Ray puts it on a job's path
    kept = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=150, check=False)


def test_the_job_sees_its_settings_and_leaves_no_secret_behind(tmp_path):
    (tmp_path / "parcel").mkdir()
    parcel = tmp_path / "parcel"
    declared = Study.model_validate(
        {"name": "s", "question": "q", "space": {"depth": LogInteger(2, 4)}, "budget": {"trials": 1}}
    )
    assert pack_parcel(declared, None, parcel) == "s.yaml"
    assert load_study_file(parcel / "s.yaml") == declared
    write_secrets({"MLFLOW_TRACKING_PASSWORD": "hidden"}, 3, parcel)
    assert (parcel / job_entry.SECRETS).stat().st_mode & 0o077 == 0
    own = {"MLFLOW_TRACKING_URI": "http://cluster:5000"}
    travelled = {f"{job_entry.IF_UNSET}{name}": "mine" for name in ("MLFLOW_TRACKING_URI", "MLFLOW_WORKSPACE")}
    done = run_entry(parcel, {**own, **travelled})
    assert done.returncode == 0, done.stderr
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["run", "a study.yaml"]
    assert environment == {**own, "MLFLOW_WORKSPACE": "mine", "MLFLOW_TRACKING_PASSWORD": "hidden"}
    assert not (parcel / job_entry.SECRETS).exists()


def test_data_beside_the_study_travels_under_its_relative_path(tmp_path):
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "parcel").mkdir()
    np.savez(tmp_path / "mine" / "data" / "rows.npz", X=np.ones((256, 3)), y=np.arange(256) % 2)
    path = tmp_path / "mine" / "study.yaml"
    path.write_text(
        "name: s\nquestion: q\nspace: {depth: {type: log_integer, low: 2, high: 4}}\nbudget: {trials: 1}\n"
        "data: {type: npz, path: data/rows.npz}\n"
    )
    name = pack_parcel(load_study_file(path), path, tmp_path / "parcel")
    there = load_study_file(tmp_path / "parcel" / name)
    assert there.data.shape() == load_study_file(path).data.shape()


def test_modules_beside_a_python_study_travel_and_nothing_else_does(tmp_path):
    mine, parcel = tmp_path / "mine", tmp_path / "parcel"
    (mine / "shapes").mkdir(parents=True)
    (mine / "pipeline").mkdir()  # without __init__.py
    (mine / "gradstab").mkdir()
    (mine / "gradstab" / "__init__.py").write_text("not the package that the study imports\n")
    parcel.mkdir()
    head = "from gradstab import Study\nfrom axes import SPACE\n"
    (mine / "study.py").write_text(
        f"{head}STUDY = Study(name='s', question='q', space=SPACE, budget={{'trials': 1}})\n"
    )
    (mine / "axes.py").write_text(
        "import shapes.depth\nfrom pipeline.widths import WIDTH\nSPACE = {'depth': shapes.depth.DEPTH, 'width': WIDTH}\n"
    )
    (mine / "pipeline" / "widths.py").write_text("from gradstab import LogInteger\nWIDTH = LogInteger(16, 64)\n")
    (mine / "shapes" / "__init__.py").touch()
    (mine / "shapes" / "depth.py").write_text("from gradstab import LogInteger\nDEPTH = LogInteger(2, 4)\n")
    (mine / "private.py").write_text("not for the cluster\n")
    declared = load_study_file(mine / "study.py")
    assert load_study_file(parcel / pack_parcel(declared, mine / "study.py", parcel)) == declared
    travelled = {str(path.relative_to(parcel)) for path in parcel.rglob("*.py")}
    theirs = {"study.py", "axes.py", "shapes/__init__.py", "shapes/depth.py", "pipeline/widths.py"}
    assert travelled == {Path(job_entry.__file__).name, *theirs}


def test_a_python_without_the_packages_is_told_in_one_sentence(tmp_path):
    script = tmp_path / "entry.py"
    script.write_text(Path(job_entry.__file__).read_text())
    bare = [sys.executable, "-S", str(script), "run", "study.yaml"]
    done = subprocess.run(bare, env={"PATH": ""}, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gradstab: the cluster's Python lacks ")
    assert done.stderr.count("\n") == 1
    assert "torch" in done.stderr


def test_the_commit_of_a_package_without_a_history_is_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("PATH", "")  # no git, as in an image
    monkeypatch.setenv("GRADSTAB_GIT_COMMIT", "abc-dirty")
    assert git_commit.__wrapped__() == "abc-dirty"
    monkeypatch.delenv("GRADSTAB_GIT_COMMIT")
    assert git_commit.__wrapped__() is None


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_a_package_installed_within_a_persons_own_checkout_does_not_pass_for_it(tmp_path, monkeypatch):
    commit = ["-c", "user.name=me", "-c", "user.email=me@here", "commit", "--quiet", "--allow-empty", "--message=mine"]
    for arguments in (["init", "--quiet"], commit):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    installed = tmp_path / ".venv" / "provenance.py"
    installed.parent.mkdir()
    shutil.copy(provenance.__file__, installed)
    monkeypatch.setattr(provenance, "__file__", str(installed))
    monkeypatch.delenv("GRADSTAB_GIT_COMMIT", raising=False)
    assert git_commit.__wrapped__() is None
    subprocess.run(["git", "add", str(installed)], cwd=tmp_path, check=True)
    assert str(git_commit.__wrapped__()).endswith("-dirty")


def test_the_command_that_follows_a_job_means_the_same_study():
    """Typed in a shell, it gives `submit` what it was given before."""
    given = ["--trials", "40", "--seed", "3", "--name", "two words", "--set", "recipe.width=128", "--set", "seed=4"]
    program, verb, *typed = shlex.split(follow_command("my study.py", "http://head:8265", given))
    assert (program, verb) == ("gradstab", "submit")
    found = submit.make_context("submit", typed).params
    before = submit.make_context("submit", ["my study.py", "--address", "http://head:8265", *given]).params
    assert found == {**before, "follow": True}
    assert before["name"] == "two words"
