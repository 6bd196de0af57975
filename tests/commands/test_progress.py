"""The progress of a run in 80 columns: a bar with a percentage, never wrapped; a line where nothing can be redrawn."""

from __future__ import annotations

import io
import signal
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console, Group

from gradstab.commands.draining import interrupts_drain
from gradstab.loop.progress import Progress
from gradstab.session import progress_line
from gradstab.session.drive import StopSwitch
from gradstab.session.progress_line import ProgressLine, progress_bar, progress_text, say

VERDICTS = Counter(
    {"stable": 123_456, "vanishing": 654_321, "exploding": 111_111, "diverged": 99_999, "partial": 77_777}
)


def progress(**changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "total": 2_000_000, "verdicts": VERDICTS, "failed": 12, "waiting": 34_567, "new": 900_000, "share": 0.385,
        "seconds": 100_000.0, "seconds_left": 360_000.0,
    }  # fmt: skip
    return Progress(**{**fields, **changes})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 80])
def test_the_bar_has_two_lines_and_a_percentage_however_large_the_numbers(width):
    console = Console(file=Terminal(), width=width, force_terminal=True, color_system=None)
    console.print(Group(*progress_bar(progress())))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert all(len(line.rstrip()) <= width for line in lines)
    assert "38 %" in lines[0]


def test_the_usual_study_is_shown_whole_in_80_columns():
    counts = Counter({"stable": 120, "vanishing": 30, "exploding": 80, "diverged": 12})
    console = Console(file=Terminal(), width=80, force_terminal=True, color_system=None)
    usual = progress(total=1000, verdicts=counts, failed=0, waiting=35, new=242, seconds=30.0, seconds_left=70.0)
    console.print(Group(*progress_bar(usual)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for words in ("8.1/s", "1:10 left", "242/1000 trials", "120 stable", "12 diverged", "MLflow lacks 35"):
        assert words in text


def test_a_study_that_was_stopped_before_its_first_trial_is_not_at_100_per_cent():
    assert " |   0 % | " in progress_text(progress(verdicts=Counter(), failed=0, share=1.0))


def test_a_log_gets_one_line_with_the_same_figures():
    counts = Counter({"stable": 120, "exploding": 80})
    text = progress_text(
        progress(total=1000, verdicts=counts, failed=0, waiting=0, new=200, seconds=25.0, seconds_left=70.0)
    )
    assert text == ("200/1000 trials |  38 % | 8.0/s | 1:10 left | 120 stable, 0 vanishing, 80 exploding, 0 diverged")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns in place of stderr."""
    shown = Terminal()
    console = Console(file=shown, width=80, highlight=False, color_system=None, force_terminal=True)
    monkeypatch.setattr(progress_line, "STDERR", console)
    monkeypatch.setattr("gradstab.commands.terminal.STDERR", console)
    return shown


def test_ctrl_c_is_told_on_a_line_of_its_own(terminal):
    from gradstab.commands.terminal import say_interrupted

    stop = StopSwitch()
    with interrupts_drain(stop, say_interrupted), ProgressLine() as line:
        line.show(progress())
        terminal.write("^C")
        signal.raise_signal(signal.SIGINT)
    assert stop.requested
    before, sentence, _ = terminal.getvalue().partition("stopping: trials in flight")
    assert sentence
    assert before[before.rindex("^C") + 2 :].startswith("\r\x1b[K"), "the terminal's ^C is taken away"
    last = before.replace("\x1b[K", "").replace("\x1b[2K", "").replace("\x1b[1A", "")
    assert last.endswith(("\n", "\r")), repr(before[-80:])


def test_what_is_waited_for_last_does_not_stay_on_the_screen(terminal):
    with ProgressLine() as line:
        line.show(progress(total=10, verdicts=Counter({"stable": 10}), failed=0))
        line.shipping(3)
        line._live.refresh()  # type: ignore[union-attr]
    last = terminal.getvalue().rpartition("\x1b[1A")[2]
    assert "3 trials are on the way to MLflow" in terminal.getvalue()
    assert "on the way" not in last


def test_sentences_are_not_cut_where_the_terminal_ends(terminal):
    say("word " * 40)
    assert terminal.getvalue().count("word") == 40


def test_a_notebook_shows_the_bar_below_its_cell(monkeypatch, capsys):
    """IPython is asked as a kernel has it: `get_ipython` with a kernel, and a display that can be updated."""
    shown: list[dict[str, str]] = []
    cell = SimpleNamespace(update=lambda content, raw: shown.append(content) if raw else None)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=lambda *_, **__: cell))
    with ProgressLine() as line:
        line.show(progress(total=10, verdicts=Counter({"stable": 4}), failed=0, share=0.4))
        line.show(progress(total=10, verdicts=Counter({"stable": 10}), failed=0))
    assert [content["text/html"].partition('max="1"')[0] for content in shown] == [
        '<progress value="0.400" ',
        '<progress value="1.000" ',
    ]
    assert "10/10 trials" in shown[-1]["text/plain"]
    assert capsys.readouterr().err == ""
