"""The user's code in the process of a Ray worker, which has neither the study's folder nor its siblings on its path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gradstab.execution.ray_executor import RayExecutor
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.study.recipe import Recipe
from gradstab.user_code.code import UserCode, collect_code
from tests.user_code.files import write

pytestmark = pytest.mark.xdist_group("ray")
PATIENCE = 150.0  # seconds, for what a busy machine takes its time with


@dataclass(frozen=True)
class CallingWork:
    """Raises what the function of the code returns."""

    code: UserCode

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        raise LookupError(json.dumps(self.code.load("my-gpt.py:build")()))


def test_code_travels_to_a_ray_worker_with_the_work(tmp_path):
    files = {
        "my-gpt.py": "import utils\ndef build(): return [utils.NAME, __file__]\n",
        "utils.py": "NAME = 'sibling'\n",
    }
    folder = write(tmp_path / "study", files)
    code = collect_code(["my-gpt.py:build"], folder / "my-gpt.py")
    folder.rename(tmp_path / "moved")
    executor = RayExecutor(CallingWork(code), 1)
    try:
        executor.submit([Trial(0, {}, Recipe(depth=2, steps=2), 0)])
        (result,) = executor.wait(PATIENCE)
    finally:
        executor.close()
    assert result.failure is not None
    assert json.loads(result.failure.detail.removeprefix("LookupError: ")) == ["sibling", str(folder / "my-gpt.py")]
