"""`kill -9` at the planted points of ask and tell: what is left is a study that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from gradstab.loop.ports import TrialValue
from gradstab.search.history import ATTRIBUTE_PREFIX
from gradstab.search.searcher import OptunaSearcher
from gradstab.search.storages import open_storage
from gradstab.study.axes import Choice, LogReal
from gradstab.study.sampler_spec import AnySampler, BoundarySpec, SobolSpec, TpeSpec
from gradstab.study.space import SearchSpace
from gradstab.system.storage_url import parse_storage
from tests.problems import RATIO

SPACE = SearchSpace({"init_scale": LogReal(0.5, 4.0), "activation": Choice(("relu", "tanh"))})

DRIVER = """
import sys
from gradstab.loop.ports import TrialValue
from tests.search.test_kills import SPECS, make_searcher
searcher = make_searcher(sys.argv[1], SPECS[sys.argv[2]])
for proposal in searcher.ask(4):
    searcher.tell(TrialValue(proposal.number, 0.5, {"R": 0.25}))
"""

SPECS: dict[str, AnySampler] = {"sobol": SobolSpec(), "tpe": TpeSpec(), "boundary": BoundarySpec()}


def make_searcher(url: str, spec: AnySampler) -> OptunaSearcher:
    return OptunaSearcher(parse_storage(url), "study", SPACE, spec, study_seed=5, bands=(RATIO,))


def drive_and_kill(url: str, sampler: str, kill_at: str) -> None:
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, url, sampler],
        env={
            **os.environ,
            "GRADSTAB_KILL_AT": kill_at,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "pipeline")]),
        },
        cwd=root,
        check=False,
        timeout=150,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("sampler", ["sobol", pytest.param("tpe", marks=pytest.mark.faults), "boundary"])
def test_killed_inside_ask_the_last_trial_is_completed_and_numbers_go_on(tmp_path: Path, sampler: str) -> None:
    url = f"journal:{tmp_path / 'journal.log'}"
    drive_and_kill(url, sampler, "ask:3")
    left = optuna.load_study(study_name="study", storage=open_storage(parse_storage(url), "study").storage).trials
    assert len(left) == 3
    # a design's trial is one record; an adaptive sampler's is created first and gets its parameters after
    assert len(left[2].params) == (2 if sampler == "sobol" else 0)
    searcher = make_searcher(url, SPECS[sampler])
    running = searcher.state().running
    assert [p.number for p in running] == [0, 1, 2]
    assert all(list(p.point) == ["init_scale", "activation"] for p in running)
    assert [p.number for p in searcher.ask(1)] == [3]
    if sampler == "sobol":
        assert list(running) == make_searcher(f"journal:{tmp_path / 'undisturbed.log'}", SobolSpec()).ask(3)


def test_killed_between_attributes_and_tell_the_trial_is_told_again_once(tmp_path: Path) -> None:
    url = f"journal:{tmp_path / 'journal.log'}"
    drive_and_kill(url, "sobol", "tell:2")
    searcher = make_searcher(url, SobolSpec())
    state = searcher.state()
    assert state.told == {0}
    assert [p.number for p in state.running] == [1, 2, 3]
    searcher.tell(TrialValue(1, -0.5, {"R": 1.5}))
    trial = optuna.load_study(study_name="study", storage=open_storage(parse_storage(url), "study").storage).trials[1]
    assert trial.value == -0.5
    assert trial.user_attrs == {ATTRIBUTE_PREFIX + "R": 1.5}
