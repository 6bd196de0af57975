"""GPU slots on real Ray that declares a GPU which this machine need not have: shares, memory, a GPU of no use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import ray
import torch

from gradstab.execution.ray_connection import ExecutionError
from gradstab.execution.ray_executor import RayExecutor
from gradstab.loop.ports import PackResult
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.training.work import TrainingWork
from tests.fakes_work import FREE_BYTES, OUT_OF_GPU_MEMORY, GpuWork

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("declared")]


def make_trial(number: int) -> Trial:
    return Trial(number, {}, Recipe(depth=2, steps=2), number)


def on_every_slot(executor: RayExecutor, numbers: Sequence[int], slots: int) -> dict[str, PackResult]:
    """How a pack ends on every slot, by the slot's name, once there are so many."""
    while executor.idle() < slots:
        executor.wait(0.1)
    for _ in range(slots):
        executor.submit([make_trial(number) for number in numbers])
    ended: list[PackResult] = []
    while len(ended) < slots:
        ended += executor.wait(10)
    return {result.slot.name: result for result in ended}


@pytest.fixture(scope="module")
def declared() -> Iterator[None]:
    """A Ray of one CPU and one GPU, which an executor finds started."""
    ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_gpu_s_memory_that_runs_out_is_told_as_that_and_its_slots_go_on_in_new_processes(tmp_path: Path) -> None:
    executor = RayExecutor(GpuWork(tmp_path, frozenset([1])), gpu_share=0.5)
    try:
        assert [slot.name for slot in executor.slots] == ["cuda-0", "cuda-1", "cpu-0"]
        first = on_every_slot(executor, [0, 1], 3)
        second = on_every_slot(executor, [0], 3)
    finally:
        executor.close()
    exhausted = Failure(FailureKind.OUT_OF_MEMORY, OUT_OF_GPU_MEMORY)
    assert {name: end.failure for name, end in first.items()} == {
        "cuda-0": exhausted,
        "cuda-1": exhausted,
        "cpu-0": None,
    }
    assert {name: end.failure for name, end in second.items()} == dict.fromkeys(first)
    processes = {name: (tmp_path / name).read_text().split() for name in first}
    assert len({before for before, _ in processes.values()}) == 3
    assert len(set(processes["cpu-0"])) == 1
    assert all(before != after for name, (before, after) in processes.items() if name != "cpu-0")


def test_each_slot_knows_the_memory_of_its_own_device(tmp_path: Path) -> None:
    executor = RayExecutor(GpuWork(tmp_path), gpu_share=0.25)
    try:
        memory = {slot.name: slot.memory for slot in executor.slots}
    finally:
        executor.close()
    on_gpu = {f"cuda-{number}": FREE_BYTES["cuda"] // 8 for number in range(4)}
    assert memory == {**on_gpu, "cpu-0": FREE_BYTES["cpu"] // 2}


def test_a_gpu_that_torch_cannot_use_is_left_out_and_the_cpu_goes_on() -> None:
    if torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    said: list[str] = []
    executor = RayExecutor(TrainingWork(Digits(), 0), report=said.append)
    try:
        assert [slot.name for slot in executor.slots] == ["cpu-0"]
        ends = on_every_slot(executor, [0], 1)
    finally:
        executor.close()
    assert ends["cpu-0"].failure is None
    memory = ends["cpu-0"].slot.memory
    assert memory is not None
    assert 0 < memory < psutil.virtual_memory().total
    (sentence,) = said
    assert " cannot train on its GPU: " in sentence
    assert "\n" not in sentence


def test_where_only_a_gpu_will_do_what_keeps_it_from_training_ends_the_run(tmp_path: Path) -> None:
    executor = RayExecutor(GpuWork(tmp_path, in_the_way="the driver is too old"), device="gpu", gpu_share=0.5)
    try:
        with pytest.raises(ExecutionError, match=r"^no worker started on Ray: node .*: the driver is too old$"):
            executor.idle()
    finally:
        executor.close()
