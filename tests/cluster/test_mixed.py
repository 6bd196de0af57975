"""CPU and GPU slots side by side in one study, on raylets that declare GPUs; trials sleep, ten times less on a GPU."""

from __future__ import annotations

import gc
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from gradstab.execution.ray_executor import RayExecutor
from gradstab.loop.ports import Device
from gradstab.loop.slot_board import read_board
from gradstab.session.drive import drive
from tests.cluster.audit import exactly_once
from tests.cluster.paced import start_paced
from tests.cluster.raylets import Raylets, raylets
from tests.endtoend.command import Place
from tests.endtoend.test_ray_study import settings_for, shallow_study
from tests.fakes_work import GpuWork, PacedWork

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray's own, when it looks for ports
]
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
PACE = {"cpu": 0.2, "cuda": 0.02}  # seconds a trial


@pytest.fixture(scope="module")
def mixed() -> Iterator[Raylets]:
    """A machine of one CPU, and one of a CPU and two GPUs."""
    with raylets(0, 1, node_name="cpu-box") as made:
        made.add(num_gpus=2, node_name="gpu-box")
        yield made
    gc.collect()


def packs_by_kind(place: Place) -> dict[str, dict[str, list[int]]]:
    """Sizes of the packs of each slot in their order, by kind."""
    sizes: dict[tuple[int, str], int] = defaultdict(int)
    for record in place.records():
        sizes[record.started_ms, record.device] += 1
    found: dict[str, dict[str, list[int]]] = {"cpu": defaultdict(list), "cuda": defaultdict(list)}
    for (_, device), size in sorted(sizes.items()):
        kind, _, slot = device.partition(":")
        found[kind][slot].append(size)
    return found


def test_each_kind_pulls_packs_of_its_own_size_and_status_shows_both(tmp_path: Path, mixed: Raylets) -> None:
    place, trials = Place(tmp_path), 4000
    place.write_study(trials=trials, steps=600, more="resources: {gpu_share: 0.5}\n")
    process = start_paced(place, mixed.address, **PACE)
    shown, rates = "", {}
    while process.poll() is None:
        board = read_board(place.folder) or {"groups": []}
        groups = {(group["node"], group["kind"]): group for group in board["groups"]}
        if len(groups) == 3 and all(group["done"] for group in groups.values()):
            rates = {key: group["trials_per_slot_second"] for key, group in groups.items()}
            shown = shown or place.run("status", "study", **AWAY).stdout
        time.sleep(0.5)
    assert process.wait() == 0
    assert exactly_once((record.number for record in place.records()), trials, "record") == []
    packs = packs_by_kind(place)
    assert {kind: sorted(slots) for kind, slots in packs.items()} == {
        "cpu": ["cpu-0", "cpu-1"],
        "cuda": ["cuda-0", "cuda-1", "cuda-2", "cuda-3"],
    }
    # the first two of a slot are sized by the rough model: its speed is known after its second
    largest = {kind: max(size for sizes in slots.values() for size in sizes[2:]) for kind, slots in packs.items()}
    assert largest["cuda"] > 3 * largest["cpu"], packs
    assert rates["gpu-box", "cuda"] > rates["gpu-box", "cpu"], "the board must show what each kind was measured to do"
    rows = [line.split() for line in shown.splitlines()]
    assert {("cpu-box", "cpu"), ("gpu-box", "cpu"), ("gpu-box", "cuda")} <= {tuple(row[:2]) for row in rows}
    assert any(row[:2] == ["gpu-box", "cuda"] and row[2].endswith("/4") for row in rows), shown


@pytest.mark.parametrize(
    ("device", "slots", "share", "expected"),
    [
        ("gpu", None, 1.0, ["cuda-0", "cuda-1"]),
        ("gpu", 3, 0.5, ["cuda-0", "cuda-1", "cuda-2"]),
        ("cpu", None, 0.5, ["cpu-0", "cpu-1"]),
        ("any", 1, 0.25, [*(f"cuda-{index}" for index in range(8)), "cpu-0"]),
    ],
)
def test_a_study_may_demand_either(
    mixed: Raylets, device: Device, slots: int | None, share: float, expected: list[str]
) -> None:
    executor = RayExecutor(
        PacedWork({"cpu": 0, "cuda": 0}), slots, address=mixed.address, device=device, gpu_share=share
    )
    try:
        assert sorted(slot.name for slot in executor.slots) == sorted(expected)
    finally:
        executor.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use a GPU here")
def test_training_leaves_gpus_out_that_torch_cannot_use_and_says_so_once(tmp_path: Path, mixed: Raylets) -> None:
    place = Place(tmp_path)
    place.write_study(trials=120, steps=50, more="resources: {gpu_share: 0.5}\n")
    done = place.run("run", "study", "--address", mixed.address, **AWAY)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("node gpu-box cannot train on its GPU: ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert {record.device.partition(":")[0] for record in place.records()} == {"cpu"}
    assert not (place.folder / "attempts.jsonl").exists()
    refused = place.run(
        "run", "study", "--address", mixed.address, "--name", "b", "--set", "resources.device=gpu", **AWAY
    )
    assert refused.returncode == 1, refused.stderr
    assert refused.stderr.count("no worker started on Ray: node gpu-box cannot train on its GPU: ") == 1
    assert "Traceback" not in refused.stderr


def test_a_gpu_s_memory_that_runs_out_splits_the_pack_and_fails_the_trial_that_needs_too_much(
    tmp_path: Path, empty_database: Path
) -> None:
    place = Place(tmp_path).with_database(empty_database)
    study = shallow_study(100, resources={"device": "gpu", "gpu_share": 0.5})
    ray.init(address="local", num_cpus=0, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        work = GpuWork(tmp_path, too_large=frozenset([13]))
        ended = drive(study, settings_for(tmp_path), source=None, engine="ray", work=work, report=False)
    finally:
        ray.shutdown()
        gc.collect()
    assert (ended.progress.done, ended.progress.failed) == (100, 1)
    (failed,) = [record for record in place.records() if record.failure is not None]
    assert failed.number == 13
    assert failed.failure is not None
    assert str(failed.failure).startswith("oom: CUDA out of memory")
    entries = [json.loads(line) for line in (place.folder / "attempts.jsonl").read_text().split("\n") if line]
    sizes = [len(entry["numbers"]) for entry in entries]
    assert sizes[-2:] == [1, 1]
    assert sizes == sorted(sizes, reverse=True), "each loss halves the pack until the trial stands alone"
    assert sizes[0] > 2
    assert os.getpid() not in {int(pid) for name in tmp_path.glob("cuda-*") for pid in name.read_text().split()}
