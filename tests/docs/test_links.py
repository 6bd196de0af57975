"""Every relative link of the documentation leads to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.__main__ import DRAWINGS, ROOT, pages

PAGES = [*pages(ROOT), *DRAWINGS, "CHANGELOG.md"]
_FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(path: Path) -> str:
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs both write them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: str) -> list[str]:
    return [link for link in _LINK.findall(text_of(ROOT / page)) if not link.startswith(("http://", "https://"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link} must name one of {sorted(anchors(target))}"


def test_every_page_is_in_the_site():
    listed = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page for page in PAGES if f": {page}\n" not in listed]
    assert not missing, f"docs/mkdocs.yml must list {missing}"


def test_a_heading_is_found_under_the_name_that_links_have(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Does it use my GPU?\n\n```text\n# none\n```\n\n## R, gradient ratio\n", encoding="utf-8")
    assert anchors(page) == {"does-it-use-my-gpu", "r-gradient-ratio"}
