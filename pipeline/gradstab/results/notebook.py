"""What a notebook shows for a study's results: question, verdicts, the answer of a fresh report. Nothing is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gradstab.display.colours import VERDICT_COLOURS
from gradstab.display.criterion import bands_text
from gradstab.display.numbers import percent_text
from gradstab.display.templates import render
from gradstab.display.verdicts import verdict_text
from gradstab.results.known_answer import known_answer

if TYPE_CHECKING:
    from gradstab.results.results import Results

_TEMPLATES = Path(__file__).parent / "templates"
_NO_COLOUR = "#777777"


def results_html(results: Results) -> str:
    """The results in a few lines of HTML."""
    verdicts = results.verdicts()
    total = verdicts.total()
    colours: dict[str, str] = {str(name): colour for name, colour in VERDICT_COLOURS.items()}
    return render(
        _TEMPLATES,
        "results.html",
        study=results.study,
        num_trials=total,
        stable=bands_text(results.criterion, results.judged_by, results.study.model),
        verdicts=[
            (verdict_text(name), count, percent_text(count / total), colours.get(name, _NO_COLOUR))
            for name, count in verdicts.most_common()
        ],
        answer=known_answer(results),
        corrupt=[path.name for path in results.corrupt_segments],
    )
