"""The report's page in a browser: a phone's width, a dark screen, a desktop. GRADSTAB_PAGES keeps pictures of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal
from tests.report.planted import plant

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's own pipes, closed when it is collected
]
SPACE = {
    "init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 30), "activation": Choice(("relu", "tanh")),
    "clip": Choice((False, True)),
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(Results(plant(tmp_path_factory.mktemp("seen"), trials=160, space=SPACE)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, report: Path, width: int, scheme: str, name: str) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(report.as_uri())
    if "GRADSTAB_PAGES" in os.environ:
        page.screenshot(path=Path(os.environ["GRADSTAB_PAGES"]) / f"{name}.png", full_page=True)
    return page


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_scrolls_sideways_and_no_number_breaks(browser, report, width):
    page = opened(browser, report, width, "light", f"light-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.eval_on_selector_all("td.number span", "all => all.map(one => one.getClientRects().length)")
    assert heights
    assert set(heights) == {1}, "a number stands on one line"
    pictures = page.eval_on_selector_all("img", "all => all.map(one => one.getBoundingClientRect().width)")
    assert pictures
    assert min(pictures) > 0.85 * min(width, 900)
    page.close()


def test_a_phone_shows_the_panels_of_a_picture_one_by_one(browser, report):
    shape = "all => all.map(one => [one.naturalHeight / one.naturalWidth, one.getBoundingClientRect().width])"
    page = opened(browser, report, 400, "light", "panels-400")
    (main, *others) = page.eval_on_selector_all("img", shape)
    page.close()
    page = opened(browser, report, 1280, "light", "panels-1280")
    (desktop, *_) = page.eval_on_selector_all("img", shape)
    page.close()
    assert main[0] > 1.3 > desktop[0], "below each other"
    assert main[1] <= 400
    assert others
    assert all(height > 1.3 or width >= 800 for height, width in others), "or in a box of its own that scrolls"


def test_the_dark_page_is_dark_and_its_pictures_lie_on_white(browser, report):
    page = opened(browser, report, 1280, "dark", "dark")

    def colour(selector: str, name: str) -> int:
        """The sum of red, green and blue."""
        text = page.eval_on_selector(selector, f"one => getComputedStyle(one).{name}")
        return sum(int(part) for part in text.partition("(")[2].strip(")").split(",")[:3])

    assert colour("body", "backgroundColor") < 150
    for selector in ("body", "th", "li", "dt", ".caption", "pre"):
        assert colour(selector, "color") > 450, selector
    assert colour("img", "backgroundColor") == 3 * 255
    page.close()


def test_a_picture_is_a_link_to_its_file(browser, report):
    page = opened(browser, report, 1280, "light", "link")
    page.click("figure a >> nth=0")
    page.wait_for_url("**/*.png")
    page.close()
