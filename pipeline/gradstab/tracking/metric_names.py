"""How the metrics of a study are named in MLflow: readable names, or those that version 0.1.0 gave.

A study keeps the names it began with, so that its charts, searches and views go on. Its experiment says which: one
that was made with readable names has the tag `metric_names`, and one of 0.1.0 has no such tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradstab.study.responses.registry import RESPONSES

TAG = "metric_names"
_VALUE = "readable"
_OLD = {
    "gradient_ratio_end": "R_end",
    "gradient_rate": "rate",
    "gradient_rate_all": "rate_all",
    "gradient_rate_r2": "rate_r2",
    "gradient_flag": "flag",
    "series/gradient_ratio": "series/R",
}


@dataclass(frozen=True)
class MetricNames:
    """The names of one study. Calling it with a readable name gives the name that the study has in MLflow."""

    readable: bool = True

    def __call__(self, name: str) -> str:
        return name if self.readable else old_names().get(name, name)

    def tags(self) -> dict[str, str]:
        """What the study's experiment and its own run say of its names."""
        return {TAG: _VALUE} if self.readable else {}


def names_of(tags: Mapping[str, str]) -> MetricNames:
    """The names that an experiment with these tags has."""
    return MetricNames(readable=tags.get(TAG) == _VALUE)


def old_names() -> dict[str, str]:
    """Every readable name that version 0.1.0 called otherwise, with the name it had."""
    return {response.name: letter for letter, response in RESPONSES.items()} | _OLD
