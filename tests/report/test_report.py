"""The report of studies whose region is known, and of studies that would do harm."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.commands.run_summary import write_report_if_stale
from gradstab.errors import StorageError, UsageError
from gradstab.record.certificate import Certificate, Condition, write_certificate
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report.findings import study_findings
from gradstab.report.overlay import make_comparison
from gradstab.report.page import Origin, report_page
from gradstab.report.pictures import Picture
from gradstab.report.report import make_report
from gradstab.results.rejudge import rejudged
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal, Value
from gradstab.study.criterion import Criterion
from gradstab.theory.forecast import scale_forecast
from tests.fakes import make_mixed_records, make_record
from tests.report.planted import LAST_TRAINABLE, plant, true_volume

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</title></style>$\\frac{$ {0} %s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return plant(tmp_path_factory.mktemp("planted"), trials=240, question=HOSTILE, prediction=HOSTILE)


@pytest.fixture(scope="module")
def made(folder: StudyFolder) -> Path:
    return make_report(Results(folder)).parent


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()
    }


def test_the_page_runs_nothing_and_loads_nothing_whatever_a_study_says(made):
    html = (made / "index.html").read_text()
    assert "&lt;script&gt;alert(1)" in html
    tags = set(re.findall(r"<\s*([a-zA-Z0-9]+)", html))
    assert tags <= {
        "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "b", "pre", "details", "summary",
        "figure", "figcaption", "img", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "ul", "li", "dl",
        "dt", "dd", "a", "picture", "source",
    }  # fmt: skip
    assert not re.search(r"<[^>]*\son\w+\s*=", html)
    assert not re.search(r"src(?:set)?\s*=\s*\"(?!data:image/png)", html)
    links = re.findall(r"href\s*=\s*\"([^\"]*)\"", html)
    assert links, "every picture is a link to its file"
    assert all((made / link).is_file() for link in links)
    assert "default-src 'none'" in html


def test_every_text_of_a_study_is_escaped_wherever_it_stands(tmp_path):
    """Texts that today's rules would refuse too: what the page shows must not depend on them."""
    folder = plant(tmp_path, trials=60, stop={"error": 0.1})
    point: dict[str, Value] = {"init_scale": 1.0, "depth": 4, "activation": "relu"}
    write_segment(folder.path, 9, [make_record(60, point=point, failure=hostile("failure"))])
    results = Results(folder)
    given = {name: hostile(name) for name in ("name", "question", "prediction")}
    results.study = results.study.model_copy(update=given)
    results.corrupt_segments.append(Path(hostile("file").replace("/", "")))
    certificate = Certificate(False, 0.1, 0.2, 60, (Condition(hostile("condition"), False, hostile("sentence")),))
    origin = Origin(hostile("source"), {hostile("package"): hostile("version")}, hostile("commit"), folder.path.name)
    findings = study_findings(results)
    pictures = [Picture("a.png", b"", hostile("alternative"), hostile("caption"))]
    html = report_page(findings, pictures, certificate, origin)
    words = [*given, "failure", "file", "condition", "sentence", "source", "package", "version", "commit"]
    for word in [*words, "alternative", "caption"]:
        assert f"&lt;b class=x&gt;{word}" in html, f"{word} does not reach the page: this test has lost it"
    assert attributes(html) <= PAGE_ATTRIBUTES
    assert "{{ 7 * 7 }}" in html, "a text is no template"
    shared = tmp_path / "other"
    other = Results(plant(shared, trials=60, name="other", question=hostile("second")))
    html = make_comparison(results, other, tmp_path / "comparison").read_text()
    assert "&lt;b class=x&gt;second" in html
    assert attributes(html) <= PAGE_ATTRIBUTES


PAGE_ATTRIBUTES = {
    ("html", "lang"), ("meta", "charset"), ("meta", "http-equiv"), ("meta", "content"), ("meta", "name"),
    ("div", "class"), ("td", "class"), ("img", "src"), ("img", "alt"), ("source", "media"), ("source", "srcset"),
    ("figure", "class"), ("p", "class"), ("a", "href"), ("th", "scope"),
}  # fmt: skip


def attributes(html: str) -> set[tuple[str, str]]:
    """Every attribute of a page with its element, as a browser reads them."""
    found: set[tuple[str, str]] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update((tag, name) for name, _ in attrs)

    Reader().feed(html)
    return found


def hostile(word: str) -> str:
    return f"<b class=x>{word}</b>\" onerror='1' {{{{ 7 * 7 }}}} {{% raw %}}"


def test_a_wheel_holds_the_templates():
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["gradstab"]
    package = root / "pipeline" / "gradstab"
    data = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    data = [path for path in data if path.suffix not in (".py", ".pyc")]
    assert len(data) > 5
    left = [str(path) for path in data if not any(path.match(pattern) for pattern in patterns)]
    assert not left, f"package-data in pyproject.toml must cover {left}"


@pytest.mark.usefixtures("undrawn")
def test_certification_is_spoken_of_only_where_a_stop_was_asked_for(tmp_path):
    for name, stop, words in (("asked", {"error": 0.1}, "Not certified: the stop condition"), ("none", None, None)):
        page = make_report(Results(plant(tmp_path, trials=30, name=name, stop=stop)))
        told = json.loads((page.parent / "region.json").read_text())["certificate"]
        if words is None:
            assert told is None
            assert "ertified" not in page.read_text()
        else:
            assert words in page.read_text()


def test_every_word_of_the_page_that_needs_it_is_defined(made):
    html = (made / "index.html").read_text()
    terms = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", html, re.DOTALL))
    assert {
        "R",
        "T",
        "safe",
        "stable",
        "p_next",
        "median over seeds",
        "decade",
        "band",
        "xi_c",
        "init scale",
    } <= terms.keys()
    assert all(len(meaning) > 10 for meaning in terms.values())
    assert "certified" not in terms, "nothing was asked"
    body = re.sub(r"<dl>.*</dl>|<style>.*</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    for term in terms:
        assert re.search(rf"{re.escape(term)}s?\b", body, re.IGNORECASE), f"{term} is defined and not used"


def test_a_picture_says_what_is_seen_on_it(made):
    alternatives = re.findall(r'alt="([^"]*)"', (made / "index.html").read_text())
    assert "relu: init scale safe from" in alternatives[0]
    assert re.search(r"stable [+-]\d", alternatives[-1]), alternatives[-1]


def test_each_caption_says_what_its_picture_alone_shows(made):
    html = unescape((made / "index.html").read_text())
    both, ratio, training, profile = re.findall(r"<figcaption><b>Figure \d. </b>(.*?)</figcaption>", html, re.DOTALL)
    trials = pd.read_csv(made / "trials.csv")
    keeps, trains = trials["gradient_ratio"].abs() < 1, trials["training_response"] < 0
    for caption, inside, where in (
        (ratio, keeps, "Where gradients keep their size at the start, whatever T is: "),
        (training, trains, "Where training works, whatever R is: "),
    ):
        assert caption.startswith(where)
        unstable = int((inside & ~(keeps & trains)).sum())
        assert f" {int(inside.sum())} of 240 trials lie there, and {unstable} of them are not stable." in caption
    assert both.startswith("Where gradients keep their size at the start and training works: ")
    assert profile.startswith("How each verdict comes about: ")
    assert all("dotted" not in caption for caption in (ratio, training)), "the first says how to read them all"


def test_volumes_hold_the_truth(folder, made):
    regions = json.loads((made / "region.json").read_text())["regions"]
    assert list(regions) == ["R and T", "R", "T"]
    for name, found in regions.items():
        truth = true_volume(folder, *name.split(" and "))
        volume = found["volume"]
        assert volume["low"] - 0.01 <= truth <= volume["high"] + 0.01
        assert volume["high"] - volume["low"] < 0.1


def test_trials_are_there_as_csv_and_as_parquet(folder, made):
    csv, parquet = pd.read_csv(made / "trials.csv"), pd.read_parquet(made / "trials.parquet")
    assert list(csv["number"]) == list(range(240)) == list(parquet.index)
    for column in ("init_scale", "depth", "gradient_ratio", "training_response", "margin"):
        assert list(csv[column]) == pytest.approx(list(parquet[column]), nan_ok=True)
    assert "NaN" not in (made / "region.json").read_text()


def test_another_criterion_trains_nothing_and_leaves_the_report_of_the_study_alone(folder, made):
    before, shipped = contents(folder.path), contents(made)
    narrow = Results(folder, rejudged(Criterion(), ["ratio_band=0.5", "responses=R"]))
    page = make_report(narrow)
    assert (contents(folder.path), contents(made)) == (before, shipped)
    assert page.parent == folder.path / "report-responses-R-ratio_band-0.5"
    found = json.loads((page.parent / "region.json").read_text())
    assert found["criterion"] == {"responses": ["R"], "ratio_band": 0.5, "target_fraction": 0.5}
    volume = found["regions"]["R"]["volume"]
    assert volume["low"] - 0.01 <= true_volume(folder, "R", ratio_band=0.5) <= volume["high"] + 0.01
    assert "--criterion ratio_band=0.5" in page.read_text()
    assert "--criterion responses=R" in page.read_text()


@pytest.mark.usefixtures("undrawn")
def test_only_the_criterion_that_was_audited_is_certified(tmp_path):
    study = plant(tmp_path, trials=30, stop={"error": 0.1})
    write_certificate(study.path, Certificate(True, 0.1, 0.05, 30, ()))
    for change, words in (((), "certified: at most 10 %"), (["ratio_band=0.5"], "not certified: a certificate")):
        page = make_report(Results(study, rejudged(Criterion(), change)))
        assert json.loads((page.parent / "region.json").read_text())["certificate"].startswith(words)
        assert page.read_text().count(words.capitalize()) == 2
        assert ("Conditions of the certificate" in page.read_text()) == (change == ())


def test_the_same_study_gives_the_same_region_again(folder, made, tmp_path):
    again = make_report(Results(StudyFolder(folder.path)), tmp_path / "again").parent
    assert (again / "region.json").read_bytes() == (made / "region.json").read_bytes()
    assert not list(again.glob(".partial*"))


@pytest.mark.parametrize(
    "change", ["ratio_band", "ratio_band=x", "ratio_band=nan", "responses=Q", "responses=", "nothing=1", "=1", ""]
)
def test_a_criterion_that_is_none_is_refused_in_one_sentence(change):
    with pytest.raises(UsageError) as refused:
        rejudged(Criterion(), [change])
    assert "\n" not in str(refused.value)
    assert "--criterion" in str(refused.value)


def test_studies_of_few_trials_get_a_report_and_of_none_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="has no measured trial yet"):
        make_report(Results(plant(tmp_path, trials=0, name="none")))
    lost = plant(tmp_path, trials=0, name="lost")
    point: dict[str, Value] = {"init_scale": 1.0, "depth": 4, "activation": "relu"}
    write_segment(lost.path, 0, [make_record(0, point=point, failure="lost")])
    with pytest.raises(UsageError, match="has no measured trial yet"):
        make_report(Results(lost))
    for trials in (1, 3):
        page = make_report(Results(plant(tmp_path, trials=trials, name=f"few-{trials}")))
        assert f"{'1 training was' if trials == 1 else '3 trainings were'} measured" in page.read_text()


def test_diverged_and_failed_trials_and_spaces_of_one_and_three_numbers_are_drawn(tmp_path):
    mixed = plant(tmp_path, trials=0, name="mixed")
    records = make_mixed_records(30, activation="relu")
    points = [{**record.point, "init_scale": 0.5 + 0.1 * index} for index, record in enumerate(records)]
    write_segment(mixed.path, 0, [replace(record, point=p) for record, p in zip(records, points, strict=True)])
    page = make_report(Results(mixed))
    assert "25 trainings were measured" in page.read_text()
    assert "5 failed: the worker was lost 3 times" in page.read_text()
    line = plant(
        tmp_path, trials=40, name="line", space={"init_scale": LogReal(0.5, 4.0)}, recipe={"activation": "relu"}
    )
    assert (make_report(Results(line)).parent / "phase_R.png").stat().st_size > 10_000
    clipped = {
        "init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 30), "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.1, 10.0), "activation": Choice(("relu",)),
    }  # fmt: skip
    three = make_report(Results(plant(tmp_path, trials=60, name="three", space=clipped)))
    rows = [row["held"] for row in json.loads((three.parent / "region.json").read_text())["intervals"]]
    unclipped = [row["depth"] for row in rows if not row["clip"]]
    assert len(unclipped) == len(set(unclipped)), "without clipping the threshold does nothing: one row a depth"
    assert len(rows) > 2 * len(unclipped)


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_cannot_be_written_is_a_sentence_and_fails_no_run(tmp_path, capsys):
    planted = plant(tmp_path, trials=5, name="shut")
    (planted.path / "report").write_text("no folder can be made here")
    with pytest.raises(StorageError, match="cannot write to"):
        make_report(Results(planted))
    assert write_report_if_stale(Results(planted)) is None
    assert "all results are safe" in capsys.readouterr().err
    assert write_report_if_stale(Results(plant(tmp_path, trials=5, name="open"))) is not None


@pytest.mark.usefixtures("undrawn")
def test_the_command_says_where_the_page_is(tmp_path):
    planted = plant(tmp_path, trials=5)
    told = CliRunner().invoke(cli, ["report", "planted", "--results", str(tmp_path), "--to", str(tmp_path / "there")])
    assert told.exit_code == 0, told.output
    assert Path(told.stdout.strip()) == tmp_path / "there" / "index.html"
    assert not (planted.path / "report").exists()


def test_a_page_of_trained_depths_says_how_many_depth_scales_they_are(tmp_path):
    space = {"init_scale": Choice((2.8, 4.0)), "depth": LogInteger(2, 30), "activation": Choice(("relu", "tanh"))}
    study = plant(tmp_path, trials=120, name="deep", space=space)
    found = study_findings(Results(study)).theory.depth
    assert found is not None
    # of relu, whose lengths grow for ever, theory says nothing
    scales = [scale_forecast("tanh", scale, 0.0, 10).depth_scale or math.nan for scale in (2.8, 4.0)]
    expected = sorted(LAST_TRAINABLE / 2 / scale for scale in scales)
    assert [found.least, found.most] == pytest.approx(expected, rel=0.2)
    assert found.num_lines == 2


def test_where_t_has_its_median_in_band_its_mean_alone_says(folder):
    """So `trainable_depth` needs no standard deviations."""
    estimator = Results(folder).every_estimator.only("T")
    (surrogate,) = estimator.surrogates
    unit_MD = estimator.coordinates.snapped(estimator.coordinates.sobol(10, 3))
    inside_M = surrogate.band.contains(surrogate.warp.inverse(surrogate.mean(unit_MD)))
    assert 0 < inside_M.mean() < 1
    np.testing.assert_array_equal(inside_M, estimator.probabilities(unit_MD).p_region >= 0.5)
