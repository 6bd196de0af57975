"""The CPU time of a run is given to the right part, also that of processes that have ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bench.process_tree import TreeWatch, part_of

SITE = "/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["ray::Worker.run"], "workers"),
        (["ray::Worker"], "workers"),
        (["ray::IDLE"], "Ray"),
        (["ray::DashboardAgent"], "Ray"),
        ([f"{SITE}/ray/core/src/ray/gcs/gcs_server", "--log_dir=/tmp"], "Ray"),
        ([f"{SITE}/ray/core/src/ray/raylet/raylet", "--session=/tmp"], "Ray"),
        (["/venv/bin/python", f"{SITE}/ray/_private/workers/default_worker.py"], "Ray"),
        (["/venv/bin/python", "-P", "/x/gradstab/system/child_process.py", "gradstab.tracking.shipper"], "shipper"),
        (["/venv/bin/python", "-P", "/x/gradstab/system/child_process.py", "gradstab.report.background"], "report"),
        (["git", "describe"], "other"),
    ],
)
def test_a_process_belongs_to_the_part_that_its_command_line_names(command: list[str], part: str) -> None:
    assert part_of(command, is_root=False) == part


def test_the_first_process_is_the_driver_whatever_its_command_line() -> None:
    assert part_of(["python", "-m", "gradstab", "run", "shipper"], is_root=True) == "driver"


def test_what_an_ended_child_has_used_still_counts() -> None:
    busy = "import subprocess, sys, time\nwhile time.process_time() < {seconds}: pass\n"
    spend = busy.format(seconds=0.3) + "print('spent', flush=True)\ninput()"
    parent = busy.format(seconds=0.1)  # the kernel counts in hundredths: a quick start alone may be none
    parent += f"subprocess.run([sys.executable, '-c', {spend!r}])\nprint('ended', flush=True)\ninput()"
    watch = TreeWatch()
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for said in (b"spent\n", b"ended\n"):
            assert process.stdout.readline() == said
            watch(process.pid)
            process.stdin.write(b"go on\n")
            process.stdin.flush()
    seconds = watch.seconds()
    assert seconds["other"] > 0.25  # of .3
    assert seconds["driver"] > 0.05  # of .1
    assert watch.unseen(0.0) == 0.0
    assert watch.unseen(sum(seconds.values()) + 1.0) == pytest.approx(1.0)
