"""`gradstab submit` to a real cluster: what stands beside the study travels, and a second submission continues it."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cluster.raylets import raylets
from tests.endtoend.command import Place
from tests.tracking.lossy_proxy import free_port

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray's own, when it looks for ports
]
STUDY = """
from gradstab import Study
from pipeline.axes import AXES

STUDY = Study(
    name="own",
    question="Does it go on where it stopped?",
    space=AXES,
    recipe={"width": 16, "steps": 10, "batch_size": 32, "probe_samples": 64},
    budget={"trials": 6},
    data={"type": "npz", "path": "data/rows.npz"},
)
"""
AXES = """
from gradstab import LogInteger, LogReal

AXES = {"depth": LogInteger(2, 4), "init_scale": LogReal(0.5, 4)}
"""


def test_a_study_with_its_own_data_and_package_is_submitted_and_continued_from_another_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows_ND = rng.standard_normal((200, 6))
    results, port = tmp_path / "results", free_port()
    commits = []
    with raylets(0, 2, include_dashboard=True, dashboard_port=port):
        for name, total in (("first", 6), ("second", 10)):
            place = Place(tmp_path / name, "own")
            (place.root / "data").mkdir(parents=True)
            np.savez(place.root / "data" / "rows.npz", X=rows_ND, y=rows_ND[:, 0] > 0)
            (place.root / "own.py").write_text(STUDY)
            (place.root / "pipeline").mkdir()  # a package of the user's, not what this one was called once
            (place.root / "pipeline" / "axes.py").write_text(AXES)
            submit = ["submit", "own", "--follow", "--trials", str(total), "--results", str(results)]
            environment = {
                "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}",
                "RAY_ADDRESS": "http://127.0.0.1:9",  # comes second
                "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
                "GRADSTAB_GIT_COMMIT": "known here",
            }
            done = place.run(*submit, "--python", sys.executable, **environment)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"job own-{1 + (name == 'second')} submitted" in done.stderr
            assert done.stdout.startswith("reading own"), f"Ray's own lines are not for the user: {done.stdout[:500]}"
            job = json.loads((results / "own" / "tracking.json").read_text())
            commits.append(job["git_commit"])
    gc.collect()
    kept = Place(tmp_path, "own")
    assert sorted(record.number for record in kept.records()) == list(range(10))
    assert [trial.state.name for trial in kept.optuna_trials()] == ["COMPLETE"] * 10
    assert all(commits), "the package's commit is known, though its history does not travel"
