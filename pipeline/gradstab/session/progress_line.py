"""The progress of a run: a bar in a terminal or a notebook, a line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gradstab.display.numbers import duration_text
from gradstab.loop.progress import Progress

PLAIN_SECONDS = 5.0  # between two progress lines where the terminal cannot redraw one
NOTEBOOK_SECONDS = 0.5  # between two pictures of the bar in a notebook
HEADLINES = ("stable", "vanishing", "exploding", "diverged")
STDERR = Console(stderr=True, highlight=False)  # the only one: what it prints stands above the bar
_BAR = 24


def say(sentence: str) -> None:
    """Print a sentence for the user on stderr."""
    STDERR.print(Text(sentence), soft_wrap=True)


class ProgressLine:
    """The progress of a run: redrawn in place in a terminal and in a notebook, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=STDERR, refresh_per_second=4, transient=False) if STDERR.is_terminal else None
        self._cell = None if self._live is not None else _notebook_cell()
        self._shown_at = 0.0
        self._progress: Progress | None = None

    def __enter__(self) -> ProgressLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._draw("", final=True)  # what was waited for last is no news any more
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw the progress. The last one (all done) is always shown."""
        self._progress = progress
        self._draw("", final=progress.done >= progress.total)

    def shipping(self, waiting: int) -> None:
        """Show how many trials are still on their way to MLflow."""
        trials = "the last trial is" if waiting == 1 else f"{waiting} trials are"
        note = f"training is over; {trials} on the way to MLflow" if waiting else "MLflow gets the study's page"
        self._draw(note, final=False)

    def _draw(self, note: str, *, final: bool) -> None:
        if self._live is not None:
            parts = [] if self._progress is None else progress_bar(self._progress)
            parts += [Text(note, no_wrap=True, overflow="ellipsis")] if note else []
            self._live.update(Group(*parts))
            return
        pause = PLAIN_SECONDS if self._cell is None else NOTEBOOK_SECONDS
        if not final and time.monotonic() - self._shown_at < pause:
            return
        self._shown_at = time.monotonic()
        text = note or (progress_text(self._progress) if self._progress is not None else "")
        if self._cell is None:
            say(text)
        else:
            self._cell.update({"text/html": _bar_html(self._progress, text), "text/plain": text}, raw=True)


def _notebook_cell() -> Any:
    """Where the bar stands below the cell of a notebook; None outside of one, whose kernel has IPython in memory."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    return sys.modules["IPython.display"].display({"text/plain": ""}, raw=True, display_id=True)


def _bar_html(progress: Progress | None, text: str) -> str:
    share = 0.0 if progress is None else _share(progress)
    return f'<progress value="{share:.3f}" max="1"></progress> <span>{html.escape(text)}</span>'


def progress_bar(progress: Progress) -> list[RenderableType]:
    """A bar with its percentage and pace, and below it the verdicts: two lines, which a narrow terminal cuts."""
    done, share = progress.done >= progress.total, _share(progress)
    bar = Table.grid(padding=(0, 1))
    bar.add_column(width=_BAR)
    bar.add_column(no_wrap=True, overflow="ellipsis")
    pace = pace_text(share, progress.rate, None if done else progress.seconds_left)
    bar.add_row(
        ProgressBar(total=1.0, completed=share, width=_BAR),
        Text(f"{pace} | {progress.done}/{progress.total} trials", no_wrap=True, overflow="ellipsis"),
    )
    return [bar, Text(_counts_text(progress), no_wrap=True, overflow="ellipsis")]


def progress_text(progress: Progress) -> str:
    """`412/1000 trials | 38 % | 8.3/s | 1:10 left | 120 stable, ... | MLflow lacks 35`."""
    ahead = pace_text(_share(progress), progress.rate, progress.seconds_left)
    parts = [f"{progress.done}/{progress.total} trials", *([ahead] if progress.done < progress.total else [])]
    return " | ".join([*parts, _counts_text(progress)])


def _share(progress: Progress) -> float:
    """The part of the work that is done. After a stop no work is left to compare with, and trials count instead."""
    if progress.done >= progress.total:
        return 1.0
    return progress.share if progress.share < 1 else progress.done / progress.total


def _counts_text(progress: Progress) -> str:
    """`120 stable, 30 vanishing, ... | MLflow lacks 35`: the verdicts so far, and what is not shipped yet."""
    counts = [f"{progress.verdicts[name]} {name}" for name in HEADLINES]
    others = sum(count for name, count in progress.verdicts.items() if name not in HEADLINES)
    counts += [f"{others} other"] if others else []
    counts += [f"{progress.failed} failed"] if progress.failed else []
    return ", ".join(counts) + (f" | MLflow lacks {progress.waiting}" if progress.waiting else "")


def pace_text(share: float, rate: float, seconds_left: float | None) -> str:
    """` 38 % | 8.3/s | 1:10 left`, as far as it is known: the part of the work that is done, and trials per second."""
    parts = [f"{100 * share:3.0f} %"]
    if rate > 0:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
    if seconds_left is not None:
        parts.append(f"{duration_text(seconds_left)} left")
    return " | ".join(parts)
