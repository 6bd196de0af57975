"""`python -m tests.bench.full`: every section in its acceptance sizes, with both kinds of kernels; hours.

Each finished section is kept in build/bench-full.json with its commit, machine and kernels. Running it again
measures only what is missing for this commit on this machine, then prints the tables of all that is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.kernels import Kernels, kind_of_kernels
from tests.bench.measure import Row
from tests.bench.report import machine, markdown, print_verdicts, read_rows
from tests.bench.sections import SECTIONS, WITHOUT_KERNELS
from tests.bench.sizes import FULL

RESULTS = Path("build/bench-full.json")


@dataclass(frozen=True)
class Part:
    """One section with one kind of kernels, as it is kept: a part is measured again when any of these changes.

    Attributes:
        commit: of the code; one with changes that are not committed is never taken for finished.
        rounds: the repetitions asked for; None for those of the acceptance sizes.
    """

    section: str
    kernels: Kernels
    commit: str
    machine: str
    rounds: int | None = None

    @property
    def key(self) -> str:
        return " | ".join(str(value) for value in asdict(self).values())


class Kept:
    """The finished parts in a file; each is written as soon as it is finished."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def __contains__(self, part: Part) -> bool:
        return part.key in self._parts and not part.commit.endswith("-dirty")

    def add(self, part: Part, rows: Sequence[Row], facts: dict[str, Any]) -> None:
        """Keep a finished part, in place of an older one of its key."""
        self._parts[part.key] = {"part": asdict(part), "rows": [row.dump() for row in rows], "facts": facts}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._parts, indent=1))
        draft.replace(self._path)

    def rows(self, part: Part) -> list[Row]:
        """The rows of a finished part."""
        return [Row.load(row) for row in self._parts[part.key]["rows"]]


def main() -> int:
    """The process: 0 when all parts are measured, whatever their goals; 1 when one could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench-full BENCH=...", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of: {', '.join(SECTIONS)} (default all)")
    parser.add_argument("--kernels", nargs="+", choices=("native", "avx2"), help="default: both where they differ")
    parser.add_argument("--rounds", type=int, help=f"repetitions of whole runs (default {FULL.rounds})")
    parser.add_argument("--quick", action="store_true", help="smallest sizes: does everything run? Nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file of finished parts")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"SECTION must be one of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    kinds: list[Kernels] = asked.kernels or (["native"] if kind_of_kernels() == "avx2" else ["native", "avx2"])
    facts = machine()
    name = f"{facts['processor']}, {facts['cores']} cores"
    parts = [
        Part(section, kind, facts["commit"] or "unknown-dirty", name, asked.rounds)
        for section in asked.sections or SECTIONS
        for kind in (kinds[:1] if section in WITHOUT_KERNELS else kinds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder) / "quick.json" if asked.quick else asked.results)
        finished = [part for part in parts if part in kept or _measure(part, kept, quick=asked.quick)]
        _print(finished, kept)
    return 0 if len(finished) == len(parts) else 1


def _measure(part: Part, kept: Kept, *, quick: bool) -> bool:
    """Measure a part in a process of its own, because kernels are chosen when torch is loaded; whether it succeeded."""
    print(f"{time.strftime('%H:%M:%S')}  {part.section}, {part.kernels} kernels", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.bench", part.section, "--kernels", part.kernels, "--json", str(found)]
        command.append("--quick" if quick else "--full")
        command += [] if part.rounds is None else ["--rounds", str(part.rounds)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return False
        kept.add(part, read_rows(found), json.loads(found.read_text())["facts"])
    return True


def _print(parts: Sequence[Part], kept: Kept) -> None:
    """The tables of finished parts as Markdown, then the goals that are missed, for each kind of kernels."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    for kernels in dict.fromkeys(part.kernels for part in parts):
        rows = [row for part in parts if part.kernels == kernels for row in kept.rows(part)]
        print(f"\n## {kernels} kernels, {parts[0].machine}, commit {parts[0].commit}\n")
        print(markdown(rows))
        print_verdicts(rows, console)


if __name__ == "__main__":
    sys.exit(main())
