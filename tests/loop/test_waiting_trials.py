"""Which waiting trials are put into one pack."""

from __future__ import annotations

from pathlib import Path

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.trial import Trial
from gradstab.loop.waiting_trials import WaitingTrials
from gradstab.study.module_recipe import ModuleRecipe


def test_modules_of_one_structure_come_first(tmp_path: Path):
    """They may be computed at once, so they go before modules of the same depth with another choice."""
    waiting = WaitingTrials(replicates=1)
    for number, (depth, norm) in enumerate([(4, "a"), (4, "b"), (5, "a"), (4, "b"), (4, "a")]):
        arguments = {"depth": depth, "norm": norm}
        given = ModuleRecipe(build="m:build", depth=depth, arguments=arguments, given=("depth", "norm"))
        waiting.append(Trial(number, {}, given, seed=number))
    assert [trial.number for trial in waiting.like_first(AttemptLog(tmp_path / "attempts.jsonl"))] == [0, 4, 1, 3, 2]
