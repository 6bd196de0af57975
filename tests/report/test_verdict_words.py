"""A verdict has one name on record and one in words: people read the words wherever a verdict is shown to them."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.display.verdicts import WORDS, verdict_text
from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.study.criterion import VERDICTS
from gradstab.tracking.experiment_note import parent_note
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.run_content import run_content, table_row
from gradstab.watching.words import headline
from tests.report.planted import plant
from tests.tracking.orders import order_of

VERDICT, SHOWN = "trained_off_phase", "trained anyway"
AS_ON_RECORD = re.compile(r"off.phase")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(plant(tmp_path_factory.mktemp("planted"), trials=120))


def legend(figure) -> str:
    return " ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def test_words_are_given_to_verdicts_that_exist():
    assert WORDS.keys() <= set(VERDICTS)
    assert all("_" not in verdict_text(verdict) for verdict in VERDICTS)


def test_on_record_the_verdict_keeps_its_name(results):
    assert results.verdicts()[VERDICT] > 0
    assert VERDICT in set(results.trials["verdict"])


def test_people_read_words(results):
    root = str(results.folder.path.parent)
    status = CliRunner().invoke(cli, ["status", "planted", "--results", root])
    number = next(row.number for row in results.rows if row.verdict == VERDICT)
    row = next(row for row in results.rows if row.number == number)
    shown = {
        "status": status.stdout,
        "repr": repr(results),
        "notebook": results._repr_html_(),
        "legend of the map": legend(results.plot_phase_diagram()),
        "legend of the profiles": legend(results.plot_depth_profile()),
        "title of a trial": results.plot_trajectory(number).get_suptitle(),
        "nearest trials": str(results.region(**row.point)),
        "report": make_report(results).read_text(),
    }
    for where, text in shown.items():
        assert SHOWN.rsplit(maxsplit=1)[-1] in text, f"{where}: a narrow column may break between words"
        assert not AS_ON_RECORD.search(text), where


def test_mlflow_shows_words_and_its_tags_keep_the_name(results):
    row = next(row for row in results.rows if row.verdict == VERDICT)
    record, judgement = results.record(row.number), row.measured.judgement
    order = order_of(results.study.dump()["space"])
    content = run_content(record, judgement, order, MetricNames())
    assert content.name.startswith(SHOWN)
    assert content.note.startswith(f"**{SHOWN}**")
    assert content.tags["verdict"] == VERDICT
    line = table_row(record, judgement, MetricNames())
    assert line["verdict"] == VERDICT
    note = parent_note(order, MetricNames(), "1", (), [(line, "abc")], files=False)
    assert f"| {SHOWN} |" in note
    assert not AS_ON_RECORD.search(note)
    assert headline(record.trajectory, judgement).startswith(f"{SHOWN}: ")
