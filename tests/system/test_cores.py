"""The cores that a process may use: the least of what the machine, the kernel and the batch system allow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradstab.system.cores import allowed_cores


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)


def groups(root: Path, files: dict[str, str], own: str = "0::/\n") -> tuple[Path, Path]:
    """A folder of control groups with these files, and the file that names the process's own."""
    for name, content in files.items():
        (root / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / name).write_text(content)
    (root / "own").write_text(own)
    return root / "cgroup", root / "own"


def test_without_another_limit_it_is_the_affinity(tmp_path: Path) -> None:
    found = allowed_cores({}, *groups(tmp_path, {"cpu.max": "max 100000\n"}))
    assert (found.count, found.seen) == (12, 16)
    assert "affinity" in found.limit


@pytest.mark.parametrize(
    ("files", "own", "count"),
    [
        ({"cpu.max": "400000 100000\n"}, "0::/\n", 4),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "20000 100000\n"}, "0::/\n", 1),
        ({"job/cpu.max": "300000 100000\n", "job/step/cpu.max": "max 100000\n"}, "0::/job/step\n", 3),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", 2),
        (
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "500000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/job\n",
            5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", 12),
        ({"cpu.max": "nonsense"}, "nonsense\n", 12),
    ],
)
def test_the_quota_of_a_container_or_of_a_group_above_counts(tmp_path, files, own, count):
    found = allowed_cores({}, *groups(tmp_path, files, own))
    assert found.count == count
    assert ("quota" in found.limit) == (count < 12)


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("99", 12), ("0", 12), ("", 12), ("many", 12)])
def test_the_batch_system_s_number_counts_where_it_is_a_number(tmp_path, value, count):
    found = allowed_cores({"SLURM_CPUS_PER_TASK": value}, *groups(tmp_path, {}))
    assert found.count == count
    assert (found.limit == "SLURM_CPUS_PER_TASK") == (count == 3)
    assert str(found).endswith(f"allows {count} of 16 cores")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_check_counts_the_cores_of_this_process_and_says_which_limit(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "{name: s, question: q, budget: {trials: 1}, space: {depth: {type: log_integer, low: 2, high: 4}}}"
    )
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import gradstab.cli as c; c.main()"
    command = [sys.executable, "-c", script, "check", "s.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "on 1 idle core" in done.stdout
    assert "affinity" in done.stdout or (os.cpu_count() or 1) == 1
