"""What the user sees in a terminal: sentences and tables. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from gradstab.display.numbers import cell_text
from gradstab.display.table import table_text, wrapped
from gradstab.session import progress_line
from gradstab.session.progress_line import STDERR

Format = Literal["table", "json"]
WIDE = 160  # columns of a table in a file, which nobody's window breaks


def say(sentence: str) -> None:
    """Print a sentence for the user on stderr, above the progress bar where there is one."""
    progress_line.say(sentence)


def say_interrupted(sentence: str) -> None:
    """Print a sentence from a signal handler, on a line of its own: the terminal has put its `^C` where it stood."""
    try:
        if STDERR.is_terminal:
            STDERR.file.write("\r\x1b[K")
        say(sentence)
    except RuntimeError:  # the signal came while this very stream was written
        os.write(2, f"\n{sentence}\n".encode())


def print_json(data: object) -> None:
    """Print data on stdout as JSON."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout, numbers aligned right; no word or number is broken, however narrow the terminal is."""
    sys.stdout.write(table_text(title, columns, rows, stdout_width()) + "\n")


def print_sentence(sentence: str) -> None:
    """Print a sentence on stdout, broken between words where the terminal ends."""
    sys.stdout.write(wrapped(sentence, stdout_width()) + "\n")


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values on stdout, aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        sys.stdout.write(f"{name:{width}}  {cell_text(value)}\n")


def stdout_width() -> int:
    """Columns of the terminal that stdout is; where it is a file, wide enough for every table."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
