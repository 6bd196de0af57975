"""What the driver costs a trial when work is instant: ask, record, tell and bookkeeping in the default storage."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.children import run_child
from tests.bench.goals import DRIVER_MEMORY_KB, DRIVER_MS, RESUME_SECONDS
from tests.bench.measure import Row
from tests.bench.sizes import LARGE_DRIVER_TRIALS, Sizes
from tests.bench.whole_line import Place

SECTION = "driver"
GOAL_TRIALS = 2000


def driver(place: Place, sizes: Sizes) -> list[Row]:
    """CPU and memory a trial at each budget with the Sobol sampler, and how long a finished study takes to resume."""
    rows = []
    for trials in sizes.driver_trials:
        runs = [_run(place, trials) for _ in range(sizes.rounds if trials < LARGE_DRIVER_TRIALS else 1)]
        rows += _rows(trials, runs)
    return rows


def _run(place: Place, trials: int) -> dict[str, Any]:
    folder, uri = place.new()
    out = folder / "driver.json"
    run_child(["tests.bench.driver_child", "--trials", str(trials), "--uri", uri, "--out", str(out)], folder, folder)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _rows(trials: int, runs: list[dict[str, Any]]) -> list[Row]:
    def milliseconds(part: str) -> tuple[float, ...]:
        return tuple(run["parts"].get(part, 0) / 1e6 / run["new"] for run in runs)

    name, note = f"at {trials} trials", "opening the study and instant work left out"
    parts = sorted({part for run in runs for part in run["parts"]} - {"work", "open"})
    total = tuple(1000 * run["cpu"] / run["new"] - work for run, work in zip(runs, milliseconds("work"), strict=True))
    known = [milliseconds(part) for part in parts]
    rest = tuple(all_ - sum(part[i] for part in known) for i, all_ in enumerate(total))
    return [
        Row(SECTION, f"CPU a trial {name}", "ms", total, goal=DRIVER_MS if trials == GOAL_TRIALS else None, note=note),
        *(Row(SECTION, f"  {part} {name}", "ms", milliseconds(part)) for part in parts),
        Row(SECTION, f"  bookkeeping {name}", "ms", rest),
        Row(SECTION, f"memory a trial {name}", "kB", tuple(run["bytes"] / 1000 for run in runs), goal=DRIVER_MEMORY_KB),
        Row(SECTION, f"resuming {name}", "s", tuple(run["resumed"] for run in runs), goal=RESUME_SECONDS),
    ]
