"""What the user sees in a terminal: the progress line and tables. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gradstab.display.numbers import cell_text, duration_text
from gradstab.loop.progress import Progress

Format = Literal["table", "json"]
PLAIN_SECONDS = 5.0  # between two progress lines where the terminal cannot redraw one
HEADLINES = ("stable", "vanishing", "exploding", "diverged")

_stderr = Console(stderr=True, highlight=False)


def say(sentence: str) -> None:
    """Print a sentence for the user on stderr."""
    _stderr.print(Text(sentence), soft_wrap=True)


def print_json(data: object) -> None:
    """Print data on stdout as JSON."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout, numbers aligned right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell_text(value) for value in row))
    # a wide table where stdout is a file: it must not break at 80 columns there
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values on stdout, aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        sys.stdout.write(f"{name:{width}}  {cell_text(value)}\n")


class ProgressLine:
    """The progress line: redrawn in a terminal, printed every few seconds elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=_stderr, refresh_per_second=4, transient=False) if _stderr.is_terminal else None
        self._printed = 0.0

    def __enter__(self) -> ProgressLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw the line. The last one (all done) is always shown."""
        self._draw(progress_text(progress), final=progress.done >= progress.total)

    def shipping(self, waiting: int) -> None:
        """Show how many trials are still on their way to MLflow."""
        self._draw(f"training is over; {waiting} trials on their way to MLflow", final=False)

    def _draw(self, text: str, *, final: bool) -> None:
        if self._live is not None:
            self._live.update(Text(text))
        elif final or time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            say(text)


def progress_text(progress: Progress) -> str:
    """`412/1000 trials | 38.5 % of the work | 8.3/s | ETA 1:10 | 120 stable, ... | 35 wait for MLflow`."""
    counts = [f"{progress.verdicts[name]} {name}" for name in HEADLINES]
    others = sum(count for name, count in progress.verdicts.items() if name not in HEADLINES)
    if others:
        counts.append(f"{others} other")
    if progress.failed:
        counts.append(f"{progress.failed} failed")
    ahead = pace_text(progress.share, progress.rate, progress.seconds_left)
    return " | ".join(
        [
            f"{progress.done}/{progress.total} trials",
            *([ahead] if progress.done < progress.total else []),
            ", ".join(counts),
            f"{progress.waiting} wait for MLflow",
        ]
    )


def pace_text(share: float, rate: float, seconds_left: float | None) -> str:
    """`38.5 % of the work | 8.3/s | ETA 1:10`, as far as it is known; the rate is in trials a second."""
    parts = [f"{100 * share:.1f} % of the work"]
    if rate > 0:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
    if seconds_left is not None:
        parts.append(f"ETA {duration_text(seconds_left)}")
    return " | ".join(parts)
