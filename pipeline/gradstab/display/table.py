"""Tables as plain text: words wrap between words, and no word or number is ever broken."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from gradstab.display.numbers import cell_text

WIDTH = 80  # columns of a terminal whose width is not known
_GAP = 2
_NUMBER = re.compile(r"[-+<]?\s?[\d.,]+(e[-+]?\d+)?( %)?|infinity")


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int = WIDTH) -> list[str]:
    """The lines of a table that is at most `width` wide, its header first; numbers are aligned right.

    A table whose longest words do not fit side by side becomes a list: one block of lines for each row, in which each
    line gives the name of a column and its value. A single word may be longer than `width` there, as a path.
    """
    cells = [[cell_text(value) for value in row] for row in rows]
    widths = _fitting([[column, *(row[index] for row in cells)] for index, column in enumerate(columns)], width)
    if widths is None:
        return _blocks(columns, cells, width)
    right = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    head = [columns] if any(columns) else []
    return [line for row in (*head, *cells) for line in _lines(row, widths, right)]


def table_text(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], width: int = WIDTH) -> str:
    """A table below its title."""
    return "\n".join([*_words_wrapped(title, width), *table_lines(columns, rows, width)])


def wrapped(sentence: str, width: int = WIDTH) -> str:
    """A sentence in lines of at most `width`, broken between words; those of a bullet stand under its first word."""
    return "\n".join(_words_wrapped(sentence, width, "  " if sentence.startswith("- ") else ""))


def _words_wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # a column without header and values has no width
    return textwrap.wrap(text, max(1, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _is_number(text: str) -> bool:
    return text in ("", "-") or _NUMBER.fullmatch(text) is not None


def _fitting(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column: as its text is, the widest narrowed until all fit; None where words would break."""
    widths = [max(map(len, cells)) for cells in columns]
    least = [max((len(word) for cell in cells for word in cell.split()), default=0) for cells in columns]
    excess = sum(widths) + _GAP * (len(columns) - 1) - width
    for _ in range(max(0, excess)):
        narrowed = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        if widths[narrowed] <= least[narrowed]:
            return None
        widths[narrowed] -= 1
    return widths


def _lines(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """The lines of one row, as many as its highest cell has."""
    broken = [_words_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(1, *map(len, broken)) if broken else 1
    gap = " " * _GAP
    lines = []
    for place in range(height):
        parts = [lines_of[place] if place < len(lines_of) else "" for lines_of in broken]
        aligned = [
            part.rjust(width) if to_the_right else part.ljust(width)
            for part, width, to_the_right in zip(parts, widths, right, strict=True)
        ]
        lines.append(gap.join(aligned).rstrip())
    return lines


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    names = max(map(len, columns)) + _GAP
    lines: list[str] = []
    for row in cells:
        if lines:
            lines.append("")
        for column, cell in zip(columns, row, strict=True):
            first, *rest = _words_wrapped(cell, max(20, width - names)) or [""]
            lines.append(f"{column:{names}}{first}".rstrip())
            lines += [" " * names + line for line in rest]
    return lines
