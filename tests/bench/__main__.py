"""`python -m tests.bench`: run sections, print one table and which goals are missed, write JSON and a plot."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench.kernels import kernels_environment
from tests.bench.measure import Row
from tests.bench.report import draw, machine, print_table, print_verdicts, write_json
from tests.bench.sections import SECTIONS
from tests.bench.sizes import FULL, QUICK, SHORT, Sizes
from tests.bench.whole_line import Place


def main() -> int:
    """The process. Goals that are missed are printed and are no error; a section that cannot be measured is one.

    A section that fails does not take the others with it.
    """
    parser = argparse.ArgumentParser(prog="make bench BENCH=...", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of: {', '.join(SECTIONS)} (default all)")
    parser.add_argument("--quick", action="store_true", help="smallest sizes: does everything run?")
    parser.add_argument("--full", action="store_true", help="acceptance sizes (make bench-full keeps what is finished)")
    parser.add_argument("--kernels", choices=("native", "avx2"), default="native", help="those of a machine with AVX2")
    parser.add_argument("--rounds", type=int, help="repetitions of whole runs")
    parser.add_argument("--slots", type=int, nargs="+", help="sizes of the clusters that sleep (section scale)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures go")
    asked = parser.parse_args()
    unknown = set(asked.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"SECTION must be one of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    wanted = kernels_environment(asked.kernels)
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # torch reads them when it is loaded
        os.execve(sys.executable, [sys.executable, "-m", "tests.bench", *sys.argv[1:]], {**os.environ, **wanted})
    sizes = QUICK if asked.quick else FULL if asked.full else SHORT
    if asked.rounds:
        sizes = _with_rounds(sizes, asked.rounds)
    if asked.slots:
        sizes = replace(sizes, slots=tuple(asked.slots))
    console = Console(width=220 if not sys.stdout.isatty() else None)
    facts = {**machine(), "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "command": " ".join(sys.argv[1:])}
    begin = time.monotonic()
    rows, failed = _measured(asked.sections or list(SECTIONS), sizes)
    facts["seconds"] = round(time.monotonic() - begin)
    facts["failed"] = failed
    print_table(rows, console)
    write_json(rows, facts, asked.json)
    draw(rows, asked.json.with_suffix(".png"))
    console.print({name: value for name, value in facts.items() if name != "versions"})
    print_verdicts(rows, console)
    return 1 if failed else 0


def _with_rounds(sizes: Sizes, rounds: int) -> Sizes:
    """The sizes with so many repetitions of everything."""
    names = ("rounds", "other_rounds", "demo_rounds", "estimate_rounds", "pack_rounds", "training_rounds")
    return replace(sizes, **dict.fromkeys(names, rounds))  # type: ignore[arg-type]


def _measured(sections: list[str], sizes: Sizes) -> tuple[list[Row], list[str]]:
    """The rows of all sections, and the names of those that failed."""
    rows: list[Row] = []
    failed: list[str] = []
    begin = time.monotonic()
    # a short name: Ray's sockets live below it, and their paths must not be long
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        place = Place(Path(folder))
        for name in sections:
            print(f"{time.monotonic() - begin:5.0f} s  {name}", file=sys.stderr, flush=True)
            try:
                rows += SECTIONS[name](place, sizes)
            except Exception as error:  # the figures of an hour must not be lost to the last section
                failed.append(name)
                print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
    return rows, failed


if __name__ == "__main__":
    sys.exit(main())
