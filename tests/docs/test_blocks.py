"""Every block of the documentation has a language, and a mark only where the program that runs them knows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.__main__ import ROOT, Outcome, compare, pages, words
from tests.docs.blocks import PageError, blocks_of

COMMANDS = re.compile(r"^    (\$ |gradstab |make |pip |docker |kubectl |ray |mlflow |python )")


@pytest.mark.parametrize("page", pages(ROOT))
def test_every_block_of_a_page_can_be_read(page):
    for block in blocks_of(ROOT, page):
        if block.language == "console":
            assert block.commands(), block.where
    indented = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if COMMANDS.match(line)]
    assert not indented, f"{page}: commands must stand in a console block, so that they are run: {indented[0].strip()}"


def page_of(folder: Path, text: str) -> Path:
    (folder / "page.md").write_text(text, encoding="utf-8")
    return folder


def test_blocks_are_found_with_their_marks_and_outputs(tmp_path):
    blocks = blocks_of(
        page_of(
            tmp_path,
            "<!-- not run: needs a server -->\n\n```console\n$ one\n```\n\n"
            "1. A list:\n   ```console\n   $ two \\\n     more\n   said\n   $ three\n   ```\n\n"
            "```python\nprint(1)\n```\n\n```text\n1\n```\n\n<!-- save as: a.yaml -->\n```yaml\na: 1\n```\n",
        ),
        "page.md",
    )
    assert [(block.line, block.language, block.mark, block.value) for block in blocks] == [
        (3, "console", "not run", "needs a server"),
        (8, "console", "", ""),
        (15, "python", "", ""),
        (24, "yaml", "save as", "a.yaml"),
    ]
    assert [block.runs for block in blocks] == [False, True, True, False]
    assert [(c.text, c.output) for c in blocks[1].commands()] == [("two \\\n  more", ("said",)), ("three", ())]
    assert blocks[2].output_line == 19
    assert blocks[3].text == "a: 1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("```\na\n```\n", "one of the languages"),
        ("```console\n$ a\n", "must be closed"),
        ("<!-- not run -->\n```console\n$ a\n```\n", "comment above"),
        ("<!-- note: x -->\n```console\n$ a\n```\n", "comment above"),
    ],
)
def test_a_block_that_would_be_run_wrongly_is_refused(tmp_path, text, words):
    with pytest.raises(PageError, match=words):
        blocks_of(page_of(tmp_path, text), "page.md")


def test_a_console_block_without_a_command_is_refused(tmp_path):
    (block,) = blocks_of(page_of(tmp_path, "```console\na\n```\n"), "page.md")
    with pytest.raises(PageError, match="must begin with a command"):
        block.commands()


def test_outputs_are_compared_by_their_words_and_put_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.__main__.ROOT", tmp_path)
    text = "```console\n$ a\nold 1\n$ b\nsame 2\n```\n\n```python\nprint()\n```\n\n```text\nold\n```\n\n```console\n$ quiet\n```\n"
    page_of(tmp_path, text)
    outcome = Outcome(
        outputs={("page.md", 1): ["old 3", "same 4"], ("page.md", 12): ["new\nlines"], ("page.md", 16): ["x"]}
    )
    compare("page.md", outcome, write=False)
    assert outcome.changed == ["page.md:8"]
    assert (tmp_path / "page.md").read_text() == text
    compare("page.md", outcome, write=True)
    assert (tmp_path / "page.md").read_text() == (
        "```console\n$ a\nold 3\n$ b\nsame 4\n```\n\n```python\nprint()\n```\n\n```text\nnew\nlines\n```\n\n"
        "```console\n$ quiet\n```\n"
    )
    assert words("3 trials, |R| < 1.5") == ["trials"]
