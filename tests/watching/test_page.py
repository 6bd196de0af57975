"""What the user sees of a watch in the MLflow UI, looked at with the system's own Chromium."""

# ruff: noqa: F811  fixtures are imported, and then they are parameters

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from playwright.sync_api import Page, expect
from torch.nn import functional
from torch.optim import Adam

import gradstab
from gradstab.tracking.links import run_fragment, view_link
from gradstab.tracking.watched_views import watched_views
from gradstab.watching.watch import Eyes
from tests.tracking.test_pages import base, browser, context, drawn, keep, page, pytestmark  # noqa: F401  fixtures of pages
from tests.watching import loops


@pytest.fixture(scope="module")
def folder(mlflow_root: Path) -> Path:
    """A folder whose parent holds the database that is served."""
    folder = mlflow_root / "watch"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def eyes(folder: Path) -> Iterator[Eyes]:
    """Two trainings that were watched; the second one."""
    mlflow.set_tracking_uri(f"sqlite:///{folder.parent / 'mlflow.db'}")
    for depth, name in ((4, "shallow"), (24, "deep")):
        model = loops.chain(depth, 32)
        with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=10, run=name) as found:
            loops.train(model, Adam(model.parameters(), 0.003), 120)
    yield found
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # any other value would stay in the environment


def test_the_runs_page_says_what_happened(eyes: Eyes, page: Page, base: str, keep: Callable[[str], None]) -> None:
    page.goto(f"{base}/{run_fragment('0', eyes.run_id or '')}")
    expect(page.get_by_text("at the first reading")).to_be_visible()
    expect(page.get_by_text("gradient_ratio_end")).to_be_visible()
    keep("watch_run")


@pytest.mark.parametrize("view", [view.id for view in watched_views()[:2]])
def test_saved_views_draw_the_readings(
    eyes: Eyes, page: Page, base: str, keep: Callable[[str], None], view: str
) -> None:
    page.goto(view_link(base, "0", view))
    found = drawn(page, 4)
    keep(view)
    colours = [{trace["colours"][:7] for trace in chart} for chart in found[:4]]
    assert all(len(of_chart) == 2 for of_chart in colours), "a line for each training"
    assert max(trace["count"] for chart in found[:4] for trace in chart) >= 9
    assert page.get_by_text("does not exist").count() == 0


def test_the_gallery_shows_heat_maps(eyes: Eyes, page: Page, base: str, keep: Callable[[str], None]) -> None:
    page.goto(view_link(base, "0", "gradstab-watch-maps"))
    expect(page.get_by_text("heat_map/grad_norm")).to_be_visible()
    page.wait_for_function("[...document.images].filter(i => i.naturalWidth > 300).length >= 4")
    keep("gradstab-watch-maps")
