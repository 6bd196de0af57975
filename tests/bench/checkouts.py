"""`python -m tests.bench.checkouts OTHER`: is training faster here than in another checkout of the project?

Each checkout has a process of its own on the same core; they train the same packs in turn, so that what disturbs one
disturbs the other, and CPU seconds are compared pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
# trials in a pack and its steps by case: a second or two of CPU time each
CASES = {
    "T 32": ("T", {"width": 32, "steps": 40}, 160),
    "T 64": ("T", {"width": 64, "steps": 30}, 72),
    "T 128": ("T", {"width": 128, "steps": 25}, 24),
    "T 256": ("T", {"width": 256, "steps": 12}, 12),
    "second": ("second", {"steps": 12}, 24),
}


def main() -> int:
    """Print the median and range of the other checkout's seconds by ours."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.checkouts", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout's root")
    parser.add_argument("cases", nargs="*", help=f"some of: {', '.join(CASES)} (default all)")
    parser.add_argument("--pairs", type=int, default=7)
    asked = parser.parse_args()
    children = [_child(asked.other.resolve()), _child(HERE)]
    for case in asked.cases or CASES:
        for child in children:
            _seconds(child, case)
        pairs = []
        for index in range(asked.pairs):
            order = children if index % 2 else children[::-1]
            seconds = {child.pid: _seconds(child, case) for child in order}
            pairs.append([seconds[child.pid] for child in children])
        ratios = [other / ours for other, ours in pairs]
        least = min(other for other, _ in pairs) / min(ours for _, ours in pairs)
        print(
            f"{case}: {statistics.median(ratios):.3f} times as fast as {asked.other} "
            f"({min(ratios):.3f}-{max(ratios):.3f}, n = {len(ratios)}; {least:.3f} by the fastest of each)",
            flush=True,
        )
    for child in children:
        child.communicate()
    return 0


def _child(root: Path) -> subprocess.Popen[str]:
    """A process that trains with the code of one checkout, on one thread."""
    sources = os.pathsep.join([str(root), str(root / "pipeline")])  # both: this Python may have one of them installed
    environment = {**os.environ, "PYTHONPATH": sources, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", __file__, "--child"]
    return subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _seconds(child: subprocess.Popen[str], case: str) -> float:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(CASES[case]) + "\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def _train_on_demand() -> None:
    """The child: CPU seconds of each pack asked for, after a first short run of its own."""
    from gradstab.training.work import TrainingWork
    from tests.bench.studies import STUDIES, STUDY_T, changed, spread_points, trials_of
    from tests.bench.training import run_pack

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    TrainingWork(STUDY_T.data, STUDY_T.seed).warm_up()
    for line in sys.stdin:
        name, recipe, count = json.loads(line)
        study: Any = changed(STUDIES[name], **recipe)
        print(run_pack(study, trials_of(study, spread_points(study, count))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        _train_on_demand()
    else:
        sys.exit(main())
