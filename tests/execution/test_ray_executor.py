"""What is particular to Ray: processes, signals, ports, paths and threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

import gradstab
from gradstab.execution.ray_connection import ExecutionError, connect, own_signal_handlers
from gradstab.execution.ray_executor import RayExecutor
from gradstab.execution.slot_request import SlotRequest
from gradstab.loop.ports import PackResult, Slot
from gradstab.loop.trial import Trial
from gradstab.record.failure import FailureKind
from gradstab.record.trajectory import Trajectory
from gradstab.study.recipe import Recipe
from tests.fakes_work import HangingWork, PlantedWork

ROOT = Path(__file__).parent.parent.parent
HANGS, LOOKS = 1, 2
PATIENCE = 150.0  # seconds, for what a busy machine takes its time with

pytestmark = pytest.mark.xdist_group("ray")  # tests share an executor, whose slots they count


class LookingWork:
    """Hangs at one number, and at another raises what the worker process looks like."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        if trials[0].number == LOOKS:
            raise LookupError(json.dumps([os.getpid(), os.environ["OMP_NUM_THREADS"], "torch" in sys.modules]))
        return HangingWork(frozenset([HANGS])).run(trials, slot)


def make_trial(number: int) -> Trial:
    return Trial(number, {}, Recipe(depth=2, steps=2), number)


def look(executor: RayExecutor) -> Any:
    executor.submit([make_trial(LOOKS)])
    (result,) = executor.wait(PATIENCE)
    assert result.failure is not None
    return json.loads(result.failure.detail.removeprefix("LookupError: "))


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    others = {*psutil.Process().children(recursive=True)}  # of tests that this process ran before
    os.environ["RAY_ADDRESS"] = "192.0.2.1:6379"  # a cluster that does not exist: it must not be asked
    executor = RayExecutor(LookingWork(), 2)
    del os.environ["RAY_ADDRESS"]
    family = [child for child in psutil.Process().children(recursive=True) if child not in others]
    assert len(family) > 3
    yield executor
    executor.submit([make_trial(HANGS)])
    executor.close()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert alive == []


def test_one_thread_is_set_before_torch_could_be_imported(executor: RayExecutor) -> None:
    pid, threads, has_torch = look(executor)
    assert pid != os.getpid()
    assert threads == "1"
    assert not has_torch


def test_a_hanging_pack_keeps_its_slot_and_no_other(executor: RayExecutor) -> None:
    free = executor.idle()
    executor.submit([make_trial(HANGS)])
    assert executor.idle() == free - 1 == 1
    pid = look(executor)[0]
    assert executor.wait(0.2) == []
    assert executor.idle() == 1
    assert look(executor)[0] == pid


def test_a_worker_killed_while_it_waits_costs_no_slot(executor: RayExecutor) -> None:
    free = executor.idle()
    pid = look(executor)[0]
    os.kill(pid, signal.SIGKILL)
    seen: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while len(seen) < free:  # idle slots take turns, and the dead worker's may lose what meets it
        assert time.monotonic() < deadline
        executor.submit([make_trial(LOOKS)])
        (result,) = executor.wait(PATIENCE)
        while executor.idle() < free:  # Ray learnt of the death after the test: the slot waits for its new worker
            assert time.monotonic() < deadline
            assert executor.wait(0.1) == []
        assert executor.idle() == free
        assert result.failure is not None
        if result.failure.kind is FailureKind.ERROR:
            seen.add(json.loads(result.failure.detail.removeprefix("LookupError: "))[0])
    assert pid not in seen


def test_a_pack_that_says_nothing_for_too_long_has_failed_and_its_slot_comes_back(executor: RayExecutor) -> None:
    free = executor.idle()
    executor.submit([make_trial(HANGS)], seconds=0.5)
    results: list[PackResult] = []
    deadline = time.monotonic() + PATIENCE
    while not results or executor.idle() < free:
        assert time.monotonic() < deadline
        results += executor.wait(0.2)
    (result,) = results
    assert result.failure is not None
    assert result.failure.kind is FailureKind.HUNG
    assert look(executor)[0] != os.getpid()


def test_only_the_processes_that_a_run_needs_are_started(executor: RayExecutor) -> None:
    """Ray has no option for it, so a later Ray may start them again; its own agents serve as a check of the look."""
    assert executor.idle()
    commands = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    assert any("raylet" in command for command in commands)
    for script in ("dashboard/dashboard.py", "autoscaler/_private/monitor.py", "_private/log_monitor.py"):
        assert not any(script in command for command in commands), script


def test_everything_listens_on_loopback_only(executor: RayExecutor) -> None:
    me = psutil.Process()
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for process in [me, *me.children(recursive=True)]
        for connection in connections(process)
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 3
    assert set(listening) == {"127.0.0.1"}


def connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections(kind="inet"))
    except psutil.NoSuchProcess:  # a worker that an earlier test has lost
        return []


DRIVER = """
import os, signal, sys, time
import pipeline
sys.path.append(sys.argv[2])  # where the tests are
from gradstab.execution.ray_executor import RayExecutor
from tests.execution.test_ray_executor import make_trial
from tests.fakes_work import PoisonousWork, SleepingWork, SwitchingWork
import psutil

interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
poison = PoisonousWork(frozenset([2]), os.getpid())
executor = RayExecutor(SwitchingWork({1: SleepingWork(1.5), 2: poison, 3: pipeline.OwnWork()}), 2)
executor.submit([make_trial(1)])
time.sleep(0.3)
os.killpg(0, signal.SIGINT)
results = executor.wait(90)
executor.submit([make_trial(2)])
results += executor.wait(90)
executor.submit([make_trial(3)])
(own,) = executor.wait(90)
time.sleep(0.5)
print(
    len(interrupts), *(r.failure is None for r in results), *own.failure.detail.split()[1:],
    *(p.pid for p in psutil.Process().children(True)),
)
sys.stdout.flush()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
executor.close()
"""


OWN_PACKAGE = """
import gradstab

class OwnWork:
    def run(self, trials, slot):
        raise LookupError(f"{__file__} {gradstab.__file__}")
"""


@pytest.mark.parametrize("ending", [pytest.param("closed", marks=pytest.mark.faults), "killed"])
def test_a_ctrl_c_spares_workers_own_folders_named_like_ours_do_no_harm_and_nobody_survives(
    tmp_path: Path, ending: str
) -> None:
    """The user has a package `pipeline` beside the script, and starts the script in a folder with a `gradstab`."""
    (tmp_path / "gradstab").mkdir()
    (tmp_path / "gradstab" / "__init__.py").write_text("raise RuntimeError('a package of the same name, not ours')")
    own = tmp_path / "scripts" / "pipeline" / "__init__.py"
    own.parent.mkdir(parents=True)
    own.write_text(OWN_PACKAGE)
    (tmp_path / "scripts" / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "scripts/driver.py", ending, str(ROOT)],
        cwd=tmp_path,
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == (0 if ending == "closed" else -signal.SIGKILL), done.stderr
    assert done.stdout.count("\n") == 1, "stdout is for data: Ray wrote to it"
    num_interrupts, slept, poisoned, own_file, our_file, *pids = done.stdout.split()
    assert (num_interrupts, slept, poisoned) == ("1", "True", "False")
    assert (own_file, our_file) == (str(own), gradstab.__file__)
    # Ray's two agents of a killed driver go last, when they have given up on its control store after a minute
    assert workers_left([int(pid) for pid in pids]) == []


def workers_left(pids: list[int]) -> list[str]:
    end = time.monotonic() + PATIENCE / 2
    while True:
        left = [name for pid in pids if (name := name_of(pid)) and "Agent" not in name and "ray::D" not in name]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.2)


def name_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_does_not_answer_is_named_at_once(address: str) -> None:
    with pytest.raises(ExecutionError, match=f"no Ray cluster answers at '{address}': .*refused") as caught:
        connect(address, SlotRequest())
    assert "\n" not in str(caught.value)


def test_the_serial_engine_imports_no_ray() -> None:
    code = "import sys, gradstab.execution.serial_executor; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("resources", "num_slots", "gpu_share", "expected"),
    [
        ({"CPU": 4.0}, None, 1.0, ["cpu-0", "cpu-1", "cpu-2", "cpu-3"]),
        ({"CPU": 4.0}, 2, 1.0, ["cpu-0", "cpu-1"]),
        ({"CPU": 2.0}, 9, 1.0, ["cpu-0", "cpu-1"]),
        ({"CPU": 1.0, "GPU": 2.0}, None, 1.0, ["cuda-0", "cuda-1", "cpu-0"]),
        ({"CPU": 1.0, "GPU": 1.0}, None, 0.25, ["cuda-0", "cuda-1", "cuda-2", "cuda-3", "cpu-0"]),
        ({"CPU": 1.0, "GPU": 1.0}, None, 0.1, [*(f"cuda-{i}" for i in range(10)), "cpu-0"]),
        ({"CPU": 1.0, "GPU": 1.0}, None, 0.4, ["cuda-0", "cuda-1", "cpu-0"]),
        ({}, None, 1.0, []),
    ],
)
def test_slots_follow_from_what_ray_has(
    resources: dict[str, float], num_slots: int | None, gpu_share: float, expected: list[str]
) -> None:
    assert [slot.name for slot in SlotRequest(num_slots, "any", gpu_share).slots_of(resources)] == expected


def test_signal_handlers_are_this_process_s_own_again_after_ray_has_set_its_own() -> None:
    def mine(*_: object) -> None: ...

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, mine) for number in numbers}
    try:
        with own_signal_handlers():
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)
        assert [signal.getsignal(number) for number in numbers] == [mine, mine]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_planted_work_survives_pickling() -> None:
    """A work is handed to workers by value; trials are plain data."""
    import pickle

    assert pickle.loads(pickle.dumps((PlantedWork(), make_trial(3)))) == (PlantedWork(), make_trial(3))
