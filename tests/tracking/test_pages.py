"""What a person sees of a study in the MLflow UI, looked at with the system's own Chromium.

Guards what MLflow does not document: saved views, colours of runs, notes, images. Where no Chromium is found these
tests are skipped; screenshots stay in ``build/screenshots``.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gradstab.display.colours import VERDICT_COLOURS
from gradstab.figures.heat_maps import write_heat_maps
from gradstab.record.segments import Record, write_segment
from gradstab.record.shipping_order import ShippingOrder, save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.study.criterion import VERDICTS, Criterion
from gradstab.study.study import Study
from gradstab.tracking.links import study_link, view_link
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.shipping_files import load_state
from tests.fakes import REFERENCE_LOSS, make_record
from tests.tracking.notebook import ship

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # playwright's own pipes, closed when it is collected
]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WAIT_MS = 60_000  # for a page on a busy machine
# nothing moves while a page loads: a frame is drawn by the processor, and costs as much as what a test waits for
STILL = """new MutationObserver((_, observer) => {
    if (!document.head) return;
    observer.disconnect();
    const style = document.createElement("style");
    style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important }";
    document.head.append(style);
}).observe(document, {childList: true, subtree: true})"""
QUESTION = "At which init scale do deep tanh networks train?"


def records() -> list[Record]:
    """60 trials over init scale and depth; at depth 32 they vanish below .78, explode above 1.28, and train between."""
    found = []
    for number in range(60):
        scale = 0.5 * 8 ** ((number * 0.7549) % 1)
        depth = int(2 * 16 ** ((number * 0.5698) % 1))
        slope = 0.3 * math.log10(scale)
        loss = min(2.25, 0.5 * REFERENCE_LOSS * 10 ** (0.5 * (abs(slope * (depth - 1)) - 1)))
        point = {"depth": depth, "init_scale": scale, "activation": ("tanh", "relu")[number % 2]}
        found.append(make_record(number, point=point, decades_per_layer=slope, final_loss=loss))
    return found


@pytest.fixture(scope="module")
def folder(mlflow_root: Path) -> Path:
    """A shipped study with a report's region and heat maps of two trials."""
    root = mlflow_root
    folder = root / "pages"
    folder.mkdir()
    study = Study.model_validate(
        {
            "name": "pages", "question": QUESTION, "budget": {"trials": 60},
            "space": {
                "depth": {"type": "log_integer", "low": 2, "high": 32},
                "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
                "activation": {"type": "choice", "choices": ["tanh", "relu"]},
            },
        }
    )  # fmt: skip
    held = StudyFolder.of(root, "pages")
    held.claim(study, None)
    write_segment(folder, 0, records())
    make_report(Results(held))
    for number in (3, 4):
        write_heat_maps(records()[number], folder)
    job = ShippingOrder(
        study="pages", study_id=held.study_id(), uri=f"sqlite:///{root / 'mlflow.db'}",
        artifact_root=str(root / "artifacts"), question=QUESTION, study_file="study.py", resolved=study.dump(),
        versions={}, criterion=Criterion(), budget=60, counts={"done": 60}, updated_ms=1_700_000_000_000,
    )  # fmt: skip
    save_order(folder, job)
    prepare_environment()
    assert ship(folder) == 0
    return folder


@pytest.fixture(scope="module")
def base(folder: Path, mlflow_ui: str) -> str:
    """A server of the store, in which the study is."""
    del folder
    return mlflow_ui


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What all pages share: megabytes of MLflow's code, which each would load and compile again."""
    context = browser.new_context(viewport={"width": 1600, "height": 1200}, reduced_motion="reduce")
    # what an earlier page left is forgotten, and MLflow's assistant opens by itself on a browser's first visit
    context.add_init_script(
        "if (!sessionStorage.begun) localStorage.clear(); sessionStorage.begun = true;"
        f"localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true'); {STILL}"
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield page
    page.close()


@pytest.fixture
def keep(page: Page, request: pytest.FixtureRequest) -> Callable[[str], None]:
    def keep(name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", timeout=WAIT_MS)

    return keep


def drawn(page: Page, charts: int) -> list[list[dict[str, Any]]]:
    """The traces of at least so many charts, as the UI handed them to its plotting library."""
    plots = "[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.data && plot.data.length)"
    page.wait_for_function(f"n => {plots}.length >= n", arg=charts)
    trace = (
        "{type: trace.type, count: (trace.x || []).length, colours: (trace.marker || {}).color, x: [...(trace.x || [])],"
        " uuid: trace.uuid || '', metric: trace.metricKey || ''}"
    )
    found: list[list[dict[str, Any]]] = page.evaluate(f"{plots}.map(plot => plot.data.map(trace => ({trace})))")
    return found


def shown_picture(page: Page, name: str) -> dict[str, float]:
    """Where a picture is on the page, once it is loaded: x, y, width, height."""
    loaded = f"[...document.images].find(i => decodeURIComponent(i.src).includes({name!r}) && i.naturalWidth > 100)"
    page.wait_for_function(f"!!{loaded}")
    box: dict[str, float] = page.evaluate(
        f"(({{x, y, width, height}}) => ({{x, y, width, height}}))({loaded}.getBoundingClientRect())"
    )
    return box


def colour_difference(first: str, second: str) -> float:
    """The largest difference of two colours' red, green or blue, of 255; each "#rrggbb" or "rgb(...)"."""

    def channels(colour: str) -> list[int]:
        if colour.startswith("#"):
            return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        return [int(number) for number in re.findall(r"\d+", colour)[:3]]

    return max(abs(a - b) for a, b in zip(channels(first), channels(second), strict=True))


def test_the_first_click_shows_the_region_at_a_readable_size(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    sizes = [(1280, 720), (1440, 900)]
    page.set_viewport_size({"width": sizes[0][0], "height": sizes[0][1]})
    page.goto(study_link(base, folder))
    expect(page.get_by_role("button", name="1 Stability map")).to_be_visible()
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        box = shown_picture(page, "phase_diagram+")
        keep(f"map-{width}")
        assert box["width"] >= 700
        assert height - box["y"] >= 200, "its upper part is seen before anybody scrolls"
        assert box["x"] + box["width"] <= width


def test_the_map_has_charts_of_trials_below_the_picture(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    page.set_viewport_size({"width": 1440, "height": 2400})
    page.goto(study_link(base, folder))
    expect(page.get_by_text(re.compile(r"The newest 100 trials\s*\(3\)"))).to_be_visible()
    scatters = drawn(page, 2)
    keep("map")
    assert [[trace["count"] for trace in scatter] for scatter in scatters[:2]] == [[60], [60]]
    assert {"#009E73", "#D55E00", "#0072B2"} <= set(scatters[0][0]["colours"]), "runs wear the colours of verdicts"


def test_each_choices_picture_leads_its_own_view(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(view_link(base, load_state(folder).experiment_id or "", "gradstab-map-relu"))
    box = shown_picture(page, "phase_diagram~relu+")
    keep("choice")
    assert box["width"] >= 700
    assert page.get_by_text("No images found").count() == 0


def test_one_click_answers_which_scale_is_safe_in_the_numbers_of_the_terminal(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    command = [sys.executable, "-m", "gradstab", "region", "pages", "--results", str(folder.parent)]
    place = ["--at", "depth=32", "--at", "activation=tanh", "--format", "json"]
    terminal = json.loads(subprocess.run([*command, *place], capture_output=True, check=True, timeout=60).stdout)
    (line,) = terminal["lines"]
    (safe,), (stable,) = line["safe"], line["region"]
    page.goto(study_link(base, folder))
    expect(page.get_by_text("Unfold (arrow at the right) for the answer")).to_be_visible()
    page.locator("[data-component-id='mlflow.experiment.metadata_editor.expand_button']").click()
    cells = page.locator("tr", has_text="activation tanh, depth 32").locator("td").all_inner_texts()
    keep("note")
    assert 0.75 < safe["low"] < safe["high"] < 1.35
    assert cells[1:3] == [f"{span['low']:.3g} to {span['high']:.3g}" for span in (safe, stable)]
    link = page.get_by_role("link", name="4 Cliff edge").first.get_attribute("href") or ""
    assert "viewStateShareKey=gradstab-edge" in link


def test_the_table_has_the_columns_that_matter(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    page.goto(study_link(base, folder).replace("compareRunsMode=CHART&", ""))
    expect(page.get_by_role("link", name=re.compile("^(stable|exploding) 0059"))).to_be_visible()
    rows = page.locator("[role=row] a").all_inner_texts()
    assert rows[0] == "pages", "the study's own run is on top"
    assert rows[1].split()[0] in VERDICTS, "a name is cut off in the list, so it begins with the verdict"
    for column in ("depth", "init_scale", "activation", "verdict", "gradient_ratio", "gradient_rate", "tail_loss"):
        expect(page.get_by_role("columnheader", name=column, exact=True).first).to_be_visible()
    keep("table")


SCATTERS = [{"scatter"}] * 4


@pytest.fixture
def cards(page: Page, base: str, folder: Path, keep: Callable[[str], None]) -> Callable[..., list[list[Any]]]:
    """Opens a saved view whose first four charts are of these kinds; returns the traces of its charts."""

    def cards(view: str, kinds: list[set[str]]) -> list[list[dict[str, Any]]]:
        page.set_viewport_size({"width": 1440, "height": 2400})
        page.goto(view_link(base, load_state(folder).experiment_id or "", view))
        found = drawn(page, 4)
        assert [{trace["type"] for trace in chart} for chart in found[:4]] == kinds
        assert all(max(trace["count"] for trace in chart) >= 3 for chart in found[:4]), "no chart is empty"
        keep(view)
        assert page.get_by_text("does not exist").count() == 0
        return found

    return cards


@pytest.mark.parametrize(
    ("view", "kinds"),
    [
        ("gradstab-map-tanh", [{"scatter"}, {"scatter", "contour"}, {"scatter", "contour"}, {"scatter"}]),
        ("gradstab-curves", SCATTERS),
        ("gradstab-edge", SCATTERS),
    ],
)
def test_each_saved_view_draws_its_cards(
    cards: Callable[..., list[list[Any]]], view: str, kinds: list[set[str]]
) -> None:
    cards(view, kinds)


def test_means_of_profiles_stand_on_one_grid_in_the_colours_of_the_verdicts(
    cards: Callable[..., list[list[Any]]],
) -> None:
    found = cards("gradstab-profiles", SCATTERS)
    traces = [trace for chart in found for trace in chart if trace["metric"] == "profile/log10_grad_ratio_init"]
    lines = {trace["uuid"].rpartition(".")[2].strip(): trace for trace in traces if trace["count"] > 1}
    assert {"stable", "exploding", "vanishing"} <= lines.keys()
    for verdict in ("stable", "exploding", "vanishing"):
        trace = lines[verdict]
        assert trace["x"] == list(range(0, 101, 10)), "every depth has a value at every place"
        assert colour_difference(trace["colours"], VERDICT_COLOURS[verdict]) <= 70


def test_the_depth_profiles_of_all_trials_are_a_picture(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(view_link(base, load_state(folder).experiment_id or "", "gradstab-depth"))
    assert shown_picture(page, "depth_profiles+")["width"] >= 700
    keep("profile-picture")


def test_the_menu_of_views_says_what_its_links_lack(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    page.goto(study_link(base, folder))
    page.get_by_role("button", name="1 Stability map").click()
    expect(page.get_by_text("0 After choosing here: chart button").first).to_be_visible()
    keep("menu")


def test_the_gallery_shows_heat_maps(page: Page, base: str, folder: Path, keep: Callable[[str], None]) -> None:
    page.set_viewport_size({"width": 1440, "height": 2400})
    page.goto(view_link(base, load_state(folder).experiment_id or "", "gradstab-heatmaps"))
    expect(page.get_by_text("heat_map/grad_norm")).to_be_visible()
    page.wait_for_function("[...document.images].filter(i => i.naturalWidth > 300).length >= 6")
    keep("gallery")


def test_a_trials_page_says_what_happened_and_the_studys_page_links_to_it(
    page: Page, base: str, folder: Path, keep: Callable[[str], None]
) -> None:
    state = load_state(folder)
    page.goto(f"{base}/#/experiments/{state.experiment_id}/runs/{state.parent_run_id}?workflowType=machine_learning")
    page.get_by_text("Show more").click()
    expect(page.get_by_text("Trials nearest the boundary")).to_be_visible()
    keep("study")
    target = page.locator("td a").first.get_attribute("href") or ""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{base}/{target[target.index('#') :]}")
    expect(page.get_by_text("at initialisation")).to_be_visible()
    picture = shown_picture(page, "gradients.svg")
    assert picture["width"] >= 700
    fold = page.get_by_text("Show more").bounding_box()
    assert fold is not None
    assert fold["y"] - picture["y"] >= 45, "the strip of all layers is seen before the note is unfolded"
    keep("trial")
    page.get_by_text("Show more").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="This picture alone").click()
    alone = opened.value
    alone.set_default_timeout(WAIT_MS)
    alone.wait_for_function("[...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth > 700)")
    alone.close()
