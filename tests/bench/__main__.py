"""`python -m tests.bench`: run sections, print one table, write JSON and a plot."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench.driver import driver
from tests.bench.measure import Row
from tests.bench.operations import operations
from tests.bench.probe_cost import probe_cost
from tests.bench.report import draw, machine, print_table, write_json
from tests.bench.scale import scale
from tests.bench.sizes import DEFAULT, LARGE_DRIVER_TRIALS, QUICK
from tests.bench.time_by_purpose import profiles
from tests.bench.training import init_only, training
from tests.bench.whole_line import Place, Section, peer_widths, startup, whole_line

SECTIONS: dict[str, Section] = {
    "training": training,
    "operations": operations,
    "profile": profiles,
    "statistics": probe_cost,
    "init-only": init_only,
    "whole-line": whole_line,
    "start-up": startup,
    "peer-widths": peer_widths,
    "driver": driver,
    "scale": scale,
}


def main() -> int:
    """The process; a section that fails is said and does not take the others with it."""
    parser = argparse.ArgumentParser(prog="make bench BENCH=...", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of: {', '.join(SECTIONS)} (default all)")
    parser.add_argument("--quick", action="store_true", help="smallest sizes: does everything run?")
    parser.add_argument("--large", action="store_true", help="the driver at 20,000 trials too")
    parser.add_argument("--rounds", type=int, help="repetitions of whole runs")
    parser.add_argument("--slots", type=int, nargs="+", help="sizes of the clusters that sleep (section scale)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures go")
    asked = parser.parse_args()
    unknown = set(asked.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"SECTION must be one of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    sizes = QUICK if asked.quick else DEFAULT
    if asked.rounds:
        sizes = replace(sizes, rounds=asked.rounds)
    if asked.slots:
        sizes = replace(sizes, slots=tuple(asked.slots))
    if asked.large:
        sizes = replace(sizes, driver_trials=(*sizes.driver_trials, LARGE_DRIVER_TRIALS))
    console = Console(width=220 if not sys.stdout.isatty() else None)
    facts = {**machine(), "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "command": " ".join(sys.argv[1:])}
    rows: list[Row] = []
    failed: list[str] = []
    begin = time.monotonic()
    # a short name: Ray's sockets live below it, and their paths must not be long
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        place = Place(Path(folder), _empty_database(Path(folder)))
        for name in asked.sections or SECTIONS:
            print(f"{time.monotonic() - begin:5.0f} s  {name}", file=sys.stderr, flush=True)
            try:
                rows += SECTIONS[name](place, sizes)
            except Exception as error:  # the figures of an hour must not be lost to the last section
                failed.append(name)
                print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
    facts["seconds"] = round(time.monotonic() - begin)
    facts["failed"] = failed
    print_table(rows, console)
    write_json(rows, facts, asked.json)
    draw(rows, asked.json.with_suffix(".png"))
    console.print({name: value for name, value in facts.items() if name != "versions"})
    return 1 if failed else 0


def _empty_database(folder: Path) -> Path:
    """An MLflow database without runs: its migrations take seconds, in both programs alike, and are left out."""
    from mlflow import MlflowClient

    path = folder / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}").search_experiments()
    return path


if __name__ == "__main__":
    sys.exit(main())
