"""Training as an executor meets it."""

import pickle

import torch

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial, trial_seed
from gradstab.study.data_spec import Digits, Teacher
from gradstab.study.recipe import Recipe
from gradstab.training.work import TrainingWork
from tests.training.test_trainer import assert_same_bits


def _trials(count: int) -> list[Trial]:
    return [
        Trial(number, {}, Recipe(depth=2 + number, steps=5, batch_size=33, activation="gelu"), trial_seed(1, number))
        for number in range(count)
    ]


def test_results_do_not_depend_on_what_ran_in_the_process_before():
    work, slot = TrainingWork(Digits(), study_seed=3), Slot("cpu-0")
    expected = work.run(_trials(4), slot)
    torch.set_num_threads(2)
    torch.manual_seed(99)
    torch.set_flush_denormal(False)
    torch.set_default_dtype(torch.float64)
    try:
        found = pickle.loads(pickle.dumps(work)).run(_trials(4)[1:], slot)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, expected[1:], strict=True):
        assert_same_bits(one, other)


def test_the_study_s_seed_makes_the_data():
    spec = Teacher(num_rows=200, num_features=6, num_classes=2)
    first, second = (TrainingWork(spec, seed).run(_trials(1), Slot("cpu-0"))[0] for seed in (1, 2))
    assert first["probe_loss"][0] != second["probe_loss"][0]
