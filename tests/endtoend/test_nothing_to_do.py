"""A finished study that is run again: no Ray, no Optuna, no MLflow, and nothing is made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.command import Place, values_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Place:
    place = Place(tmp_path_factory.mktemp("finished")).with_database(empty_database)
    place.write_study(trials=6)
    for command in (("run", "study", "--engine", "serial"), ("report", "study")):
        done = place.call(*command)
        assert done.returncode == 0, done.stderr
    return place


def stamps(place: Place) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns for path in place.folder.rglob("*") if path.name != "lock" and path.is_file()
    }


def test_it_answers_without_ray_optuna_mlflow_and_torch_and_writes_nothing(finished):
    before = stamps(finished)
    code = (
        "import sys\nfrom gradstab.cli import main\n"
        "sys.argv = ['gradstab', 'run', 'study']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'optuna', 'mlflow', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=finished.root,
        env=finished.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 6 done: nothing is left to train" in done.stderr
    assert "starting Ray" not in done.stderr
    assert "study: 6 trials" in done.stdout
    assert stamps(finished) == before


def test_fewer_trials_than_there_are_is_said_and_takes_nothing_away(finished):
    before = values_of(finished.records())
    done = finished.call("run", "study", "--trials", "4")
    assert done.returncode == 0, done.stderr
    assert "6 trials are done, and 4 in total were asked for: nothing is trained" in done.stderr
    assert values_of(finished.records()) == before
    status = json.loads(finished.call("status", "study", "--format", "json").stdout)
    assert (status["done"], status["trials"]) == (6, 6), "the budget of the study stays"


def test_another_study_under_its_name_is_refused_all_the_same(finished):
    done = finished.call("run", "study", "--trials", "4", "--set", "recipe.width=32")
    assert done.returncode == 2
    assert "recipe.width: 16 -> 32" in done.stderr


def test_whatever_has_changed_since_is_looked_at(tmp_path, empty_database):
    place = Place(tmp_path).with_database(empty_database)
    path = place.write_study(trials=4)
    assert place.call_unshipped("run", "study", "--engine", "serial").returncode == 0
    assert "nothing is left" in place.call_unshipped("run", "study", "--engine", "serial").stderr
    (place.folder / "optuna.journal").unlink()
    lost = place.call_unshipped("run", "study", "--engine", "serial")
    assert "nothing is left" not in lost.stderr
    assert len(place.optuna_trials()) == 4, "a journal that was lost is made again from the record"
    path.write_text(path.read_text().replace("Does every", "Will every"))
    assert "nothing is left" not in place.call_unshipped("run", "study", "--engine", "serial").stderr
    more = place.call_unshipped("run", "study", "--engine", "serial", "--trials", "5")
    assert "4 of 5 done" in more.stderr
    assert len(place.records()) == 5


def test_status_prints_the_lines_that_open_the_trials_with_optuna(finished):
    lines = finished.call("status", "study", "--optuna").stdout
    names: dict[str, Any] = {}
    exec(lines, names)
    assert len(names["study"].trials) == 6


def test_optuna_draws_the_study_with_plotly(finished):
    pytest.importorskip("plotly", reason="optuna.visualization needs the extra: pip install gradstab[plots]")
    import optuna.visualization

    names: dict[str, Any] = {}
    exec(finished.call("status", "study", "--optuna").stdout, names)
    figure = optuna.visualization.plot_slice(names["study"], params=["depth"])
    assert len(figure.data[0].x) == 6
