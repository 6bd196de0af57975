"""The notebook of the documentation runs from top to bottom, and shows what it is read for."""

from __future__ import annotations

import math

import pytest

from gradstab.session import drive
from tests.docs.notebook import CellError, read_notebook, run_cells
from tests.fakes import NoTracker


def cell(source: str) -> dict[str, object]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True)}


def test_every_cell_of_the_notebook_runs(tmp_path, monkeypatch):
    # no cell looks at MLflow or at the study's report, which take most of the time
    monkeypatch.setattr(drive, "start_tracker", lambda *_: NoTracker())
    monkeypatch.setattr(drive, "FEWEST_TRIALS", math.inf)
    monkeypatch.setenv("GRADSTAB_RESULTS", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    shown = run_cells(read_notebook())
    kinds = [kind for outputs in shown for output in outputs for kind in output.get("data", [])]
    assert kinds.count("image/png") >= 3, "a map, profiles and a training"
    assert "text/html" in kinds, "the summary of the results"
    kept = [bool(one["outputs"]) for one in read_notebook()["cells"] if one["cell_type"] == "code"]
    assert kept == [bool(outputs) for outputs in shown], "python -m tests.docs.notebook"


def test_cells_share_a_namespace_and_show_their_last_expression():
    cells = [cell("a = 2\nprint(a)"), {"cell_type": "markdown", "source": ["b"]}, cell("a += 1\na * 2"), cell("None")]
    printed, value, nothing = run_cells({"cells": cells})
    assert printed == [{"output_type": "stream", "name": "stdout", "text": ["2\n"]}]
    assert value[0]["data"] == {"text/plain": ["6"]}
    assert nothing == []


def test_a_cell_that_fails_is_named():
    with pytest.raises(CellError, match=r"cell 2: ZeroDivisionError.*\n1 / 0"):
        run_cells({"cells": [cell("1"), cell("1 / 0")]})
