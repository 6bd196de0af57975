"""``python -m tests.docs``: type every block of the pages in a fresh copy of the checkout, as a reader would.

Commands must end with exit code 0 and Python blocks without an error. What they print is compared with the page in its
words, not in its numbers; a difference is told and fails nothing. ``--write`` puts what they print into the pages.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import Block, blocks_of
from tests.docs.sessions import Python, Shell, TooLongError

ROOT = Path(__file__).parents[2]
MINUTES = 10.0
# the pages on which later ones build; the others follow in the order of their names
FIRST = ("README.md", "docs/tutorial.md", "docs/study_file.md", "docs/python.md")
DRAWINGS = ("docs/architecture.md", "docs/speed.md")  # whose blocks are drawings and lists, without a language
ALSO = ("docker/README.md", "studies/README.md", "CONTRIBUTING.md")


@dataclass
class Outcome:
    """What happened on all pages.

    Attributes:
        ran: commands and Python blocks.
        left_out: blocks that cannot run, by the reason.
        outputs: what blocks printed, by page and the line of their fence; one text for each command.
    """

    ran: int = 0
    saved: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    outputs: dict[tuple[str, int], list[str]] = field(default_factory=dict)


def pages(root: Path) -> list[str]:
    """The pages whose blocks are run, in order."""
    found = sorted(str(path.relative_to(root)) for path in (root / "docs").rglob("*.md"))
    listed = [*FIRST, *(page for page in found if page not in (*FIRST, *DRAWINGS)), *ALSO]
    return [page for page in listed if (root / page).is_file()]


def fresh_copy(folder: Path) -> Path:
    """The files of the checkout that git knows or would add, beside the environment that runs this."""
    copy = folder / "gradstab"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(copy / name, (0, 0))  # older than the environment, so that make installs nothing into it
    return copy


def surroundings(folder: Path, copy: Path, *, activated: bool) -> dict[str, str]:
    """The environment of a user who has no settings and no results yet."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ}
    paths = [part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(sys.prefix)]
    return {
        **kept,
        "HOME": str(home),
        "PATH": os.pathsep.join([*([str(copy / ".venv" / "bin")] if activated else []), *paths]),
        "PYTHONPATH": str(copy / "pipeline"),  # the copy, whatever checkout the environment was installed from
        "MPLBACKEND": "agg",
        "COLUMNS": "100",
    }


class Reader:
    """A reader who types the blocks of the pages in order."""

    def __init__(self, folder: Path, minutes: float, outcome: Outcome) -> None:
        self._folder = folder
        self._copy = fresh_copy(folder)
        self._begin = time.monotonic()
        self._end = self._begin + 60 * minutes
        self._outcome = outcome

    def read(self, page: str) -> None:
        """Run and save the blocks of a page."""
        outcome = self._outcome
        environment = surroundings(self._folder, self._copy, activated=page != FIRST[0])
        shell, python = Shell(self._copy, environment), None
        try:
            for block in blocks_of(ROOT, page):
                if block.mark == "not run":
                    outcome.left_out[block.value] += 1
                elif block.mark == "save as":
                    (self._copy / block.value).write_text(block.text, encoding="utf-8")
                    outcome.saved += 1
                elif block.language == "console":
                    self._type(shell, block)
                elif block.language == "python":
                    python = python or Python(self._copy, environment)
                    output, error = python.run(block.text, self._seconds_left())
                    self._note(block, "the block", [output], error, block.output_line)
        finally:
            shell.close()
            if python is not None:
                python.close()

    def _type(self, shell: Shell, block: Block) -> None:
        commands = block.commands()
        outputs = []
        error = ""
        for number, command in enumerate(commands):
            wanted = int(block.value) if block.mark == "exit code" and number == len(commands) - 1 else 0
            until_link = block.mark == "runs until Ctrl-C"
            code, output, messages = shell.run(command.text, self._seconds_left(), until_link=until_link)
            outputs.append(output if code == 0 else messages)
            if code != wanted:
                error += f"$ {command.text}\nexit code {code}, not {wanted}\n{output}{messages}"
        self._note(block, f"{len(commands)} commands", outputs, error, block.line)

    def _note(self, block: Block, what: str, outputs: list[str], error: str, place: int) -> None:
        outcome = self._outcome
        outcome.ran += len(outputs)
        print(f"{time.monotonic() - self._begin:4.0f} s  {block.where}: {what}{' FAILED' if error else ''}", flush=True)
        if error:
            outcome.failures.append(f"{block.where}\n{_last_lines(error)}")
        elif place:
            outcome.outputs[block.page, place] = [self._as_shown(output) for output in outputs]

    def _as_shown(self, output: str) -> str:
        """What was printed, with the paths of a user whose checkout lies in the home folder."""
        shown = output.replace(str(self._copy), "~/gradstab").replace(str(self._folder / "home"), "~")
        return "\n".join(line.rstrip() for line in shown.rstrip().splitlines())

    def _seconds_left(self) -> float:
        return self._end - time.monotonic()


def _last_lines(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-30:])


def with_outputs(block: Block, outputs: list[str]) -> Iterator[str]:
    """The lines of a console block whose commands print this."""
    for command, output in zip(block.commands(), outputs, strict=True):
        yield f"$ {command.text}"
        yield from output.splitlines()


def words(text: str) -> list[str]:
    """The words of an output, without its numbers and rules: what a page must not get wrong."""
    return re.findall(r"[A-Za-z_]{2,}", text)


def compare(page: str, outcome: Outcome, *, write: bool) -> None:
    """Note the outputs of a page that differ in their words, or put all into the page."""
    path = ROOT / page
    lines = path.read_text(encoding="utf-8").splitlines()
    for block in reversed(blocks_of(ROOT, page)):
        place = block.output_line or block.line
        outputs = outcome.outputs.get((page, place))
        if outputs is None or (block.language == "console" and not any(c.output for c in block.commands())):
            continue
        shown = list(with_outputs(block, outputs)) if block.language == "console" else outputs[0].splitlines()
        end = next(n for n in range(place, len(lines)) if lines[n].strip() == "```")
        if words("\n".join(lines[place:end])) != words("\n".join(shown)):
            outcome.changed.append(block.where)
        lines[place:end] = shown
    if write:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("pages", nargs="*", help="pages to run; all by default")
    parser.add_argument("--write", action="store_true", help="put what is printed into the pages")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the longest that all of it may take")
    given = parser.parse_args()
    outcome = Outcome()
    begin = time.monotonic()
    chosen = given.pages or pages(ROOT)
    for page in chosen:
        blocks_of(ROOT, page)  # a page that cannot be read is told before anything runs
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        reader = Reader(Path(folder), given.minutes, outcome)
        for page in chosen:
            try:
                reader.read(page)
                compare(page, outcome, write=given.write)
            except TooLongError as error:
                outcome.failures.append(
                    f"{page}: all blocks must end within {given.minutes:g} minutes, but not {error}"
                )
                break
    for failure in outcome.failures:
        print(f"\nFAILED {failure}")
    print(
        f"\n{outcome.ran} commands and Python blocks ran in {time.monotonic() - begin:.0f} s; {outcome.saved} were saved as files"
    )
    for reason, count in sorted(outcome.left_out.items()):
        print(f"{count} not run: {reason}")
    if outcome.changed and not given.write:
        print(f"other words than on the page (--write renews it): {', '.join(sorted(outcome.changed))}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
