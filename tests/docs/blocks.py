"""The fenced blocks of a Markdown page, and what is to be done with each.

A console block holds commands, each after ``$ ``, and what they print. A Python block that is not saved runs in one
session per page; a text block right after it is what it prints. A comment on the line above a block changes that:

    <!-- not run: REASON -->        the block cannot run here
    <!-- save as: FILE -->          the block is the content of a file
    <!-- runs until Ctrl-C -->      its command is interrupted once it has printed a link
    <!-- exit code: N -->           its last command ends with that code
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

LANGUAGES = frozenset({"console", "python", "yaml", "text", "json", "ini"})
_FENCE = re.compile(r"^(\s*)```(\S*)\s*$")
_MARK = re.compile(r"^\s*<!-- (not run|save as|runs until Ctrl-C|exit code)(?:: (.+?))? -->$")


class PageError(Exception):
    """A page that cannot be read as blocks."""


@dataclass(frozen=True)
class Command:
    """What is typed, and the lines that are said to follow."""

    text: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: number of its opening fence, from 1.
        mark: the words of the comment above it before the colon; "" without one.
        value: what stands after the colon.
        output_line: number of the opening fence of the text block that holds what a Python block prints; 0 if none.
    """

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    mark: str
    value: str
    output_line: int = 0

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    @property
    def runs(self) -> bool:
        """Whether it is something to run, and can be run."""
        return self.language in ("console", "python") and self.mark not in ("not run", "save as")

    def commands(self) -> list[Command]:
        """The commands of a console block."""
        commands: list[tuple[str, list[str]]] = []
        for line in self.lines:
            if commands and commands[-1][0].endswith("\\") and not commands[-1][1]:
                commands[-1] = (f"{commands[-1][0]}\n{line}", [])
            elif line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands:
                commands[-1][1].append(line)
            else:
                raise PageError(f"{self.where}: a console block must begin with a command after '$ ', got {line!r}")
        return [Command(text, tuple(output)) for text, output in commands]


def blocks_of(root: Path, page: str) -> list[Block]:
    """The blocks of a page, in order.

    Raises:
        PageError: a block has no language or an unknown one, is not closed, or has a mark that says nothing.
    """
    return list(_with_outputs(list(_blocks(page, (root / page).read_text(encoding="utf-8").splitlines()))))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        indent, language = len(opening[1]), opening[2]
        where = f"{page}:{number + 1}"
        end = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == "```"), None)
        if end is None:
            raise PageError(f"{where}: the block must be closed")
        if language not in LANGUAGES:
            raise PageError(
                f"{where}: a block must have one of the languages {', '.join(sorted(LANGUAGES))}, got {language!r}"
            )
        mark, value = _mark_above(lines, number, where)
        yield Block(page, number + 1, language, tuple(line[indent:] for line in lines[number + 1 : end]), mark, value)
        number = end + 1


def _mark_above(lines: list[str], number: int, where: str) -> tuple[str, str]:
    above = next((lines[n] for n in range(number - 1, -1, -1) if lines[n].strip()), "")
    if not above.lstrip().startswith("<!--"):
        return "", ""
    found = _MARK.match(above)
    if found is None or (found[1] in ("not run", "save as", "exit code")) != bool(found[2]):
        raise PageError(
            f"{where}: the comment above the block must be one of those of tests/docs/blocks.py, got {above}"
        )
    return found[1], found[2] or ""


def _with_outputs(blocks: list[Block]) -> Iterator[Block]:
    """Blocks of Python that are followed by what they print know where that stands; it is no block of its own."""
    taken = False
    for block, after in zip_longest(blocks, blocks[1:]):
        if taken:
            taken = False
            continue
        end = block.line + len(block.lines) + 1
        taken = (
            block.language == "python"
            and block.runs
            and after is not None
            and after.language == "text"
            and after.line == end + 2
        )
        yield replace(block, output_line=after.line) if taken and after is not None else block
