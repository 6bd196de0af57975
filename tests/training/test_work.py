"""Training as an executor meets it."""

import pickle
from collections.abc import Callable

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from gradstab.activations.activation import Activation, Passes, Until
from gradstab.activations.registry import find_activation
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial, trial_seed
from gradstab.study.data_spec import Digits, Teacher
from gradstab.study.recipe import Recipe
from gradstab.training.products import Compute, NumpyProducts
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


def _threads_of_numpy() -> set[int]:
    """Of NumPy's own library: SciPy has another one, which products do not use."""
    libraries = (one for one in threadpool_info() if one["user_api"] == "blas" and "numpy" in one["filepath"])
    return {library["num_threads"] for library in libraries}


def test_products_of_numpy_use_one_thread_and_the_program_around_has_its_own(monkeypatch: pytest.MonkeyPatch):
    seen = []

    class Noted(NumpyProducts):
        def product(self, left: Tensor, right: Tensor, out: Tensor) -> Compute:
            compute = super().product(left, right, out)

            def product() -> None:
                seen.append(_threads_of_numpy())
                compute()

            return product

    monkeypatch.setattr("gradstab.training.network.products_for", lambda device, began_in: Noted())
    with threadpool_limits(2, user_api="blas"):
        around = _threads_of_numpy()
        for _ in TrainingWork(Digits(), 3).run_in_steps(_trials(1), Slot("cpu-0")):
            assert _threads_of_numpy() == around
    assert around == {2}
    assert seen
    assert all(threads == {1} for threads in seen)


def test_the_study_s_seed_makes_the_data():
    spec = Teacher(num_rows=200, num_features=6, num_classes=2)
    first, second = (TrainingWork(spec, seed).run(_trials(1), Slot("cpu-0"))[0] for seed in (1, 2))
    assert first["probe_loss"][0] != second["probe_loss"][0]


def _scaled_relu(slope: float) -> Callable[[], Passes]:
    def apply(z: Tensor, out: Tensor) -> None:
        torch.clamp_min(z, 0, out=out).mul_(slope)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.threshold_backward.grad_input(delta, a, 0, grad_input=delta).mul_(slope)

    return lambda: Passes(apply, backward, nonnegative=True)


@pytest.mark.parametrize(("began_in", "slope"), [("0.1.0", 1.0), ("0.2.0", 0.5), (None, 0.5)])
def test_the_version_in_which_a_study_began_goes_to_the_workers_and_decides_the_passes(
    began_in: str | None, slope: float, monkeypatch: pytest.MonkeyPatch
):
    theory = find_activation("relu").theory
    grown = Activation(theory, _scaled_relu(0.5), keeps_z=False, earlier=(Until("0.2.0", _scaled_relu(1.0)),))
    alone = Activation(theory, _scaled_relu(slope), keeps_z=False)
    slot = Slot("cpu-0")
    monkeypatch.setattr("gradstab.training.network.find_activation", lambda name: alone)
    expected = TrainingWork(Digits(), 3, began_in=began_in).run(_trials(2), slot)
    monkeypatch.setattr("gradstab.training.network.find_activation", lambda name: grown)
    found = pickle.loads(pickle.dumps(TrainingWork(Digits(), 3, began_in=began_in))).run(_trials(2), slot)
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
