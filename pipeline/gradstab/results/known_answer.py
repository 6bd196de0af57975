"""The answer that a report has given already, read without what fits a region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradstab.results.results import Results


def known_answer(results: Results) -> list[str]:
    """The answer as a fresh report of the study gives it; empty where there is none. Nothing is fitted."""
    folder = results.folder
    if results.criterion != results.study.criterion or not folder.has_fresh_report():
        return []
    try:
        told = json.loads(folder.report_page.with_name("region.json").read_text())["answer"]
    except (OSError, ValueError, KeyError):  # an older version made it
        return []
    return [str(sentence) for sentence in told]
