"""How the metrics of a study are named in MLflow: by readable names, or by those of the version that began it.

A study keeps the names it began with, so that its charts, searches and views go on. Its experiment says which: one
that was made with readable names has the tag `metric_names`, and one of 0.1.0 has no such tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradstab.study.responses.registry import RESPONSES

TAG = "metric_names"
_COMPARABLE = "readable, depth in percent"
_VALUES = {_COMPARABLE: (True, True), "readable": (True, False)}  # to readable and comparable
_OLD = {
    "gradient_ratio_end": "R_end",
    "gradient_rate": "rate",
    "gradient_rate_all": "rate_all",
    "gradient_rate_r2": "rate_r2",
    "gradient_flag": "flag",
    "series/gradient_ratio": "series/R",
}
# these hold other numbers too: the loss itself, and values at layers instead of at fractions of the depth
_NOT_COMPARABLE = {
    "series/log10_loss": "series/loss",
    "profile/log10_grad_ratio_init": "profile_init/log10_grad_norm",
    "profile/log10_grad_ratio_end": "profile_end/log10_grad_norm",
    "profile/log10_activation_scale_init": "profile_init/log10_activation_scale",
    "profile/log10_activation_scale_end": "profile_end/log10_activation_scale",
}


@dataclass(frozen=True)
class MetricNames:
    """The names of one study. Calling it with a readable name gives the name that the study has in MLflow.

    Attributes:
        comparable: whether profiles and losses of all trials can be averaged: profiles at fractions of the depth,
            gradients relative to the last layer's, losses as logarithms.
    """

    readable: bool = True
    comparable: bool = True

    def __call__(self, name: str) -> str:
        if not self.comparable:
            name = not_comparable_names().get(name, name)
        return name if self.readable else old_names().get(name, name)

    def profile(self, statistic: str, moment: str) -> str:
        """The name of a depth profile.

        Args:
            moment: init or end.
        """
        return self(f"profile/{statistic}_{moment}")

    def tags(self) -> dict[str, str]:
        """What the study's experiment and its own run say of its names."""
        found = [value for value, kind in _VALUES.items() if kind == (self.readable, self.comparable)]
        return {TAG: found[0]} if found else {}


def names_of(tags: Mapping[str, str]) -> MetricNames:
    """The names that an experiment with these tags has."""
    return MetricNames(*_VALUES.get(tags.get(TAG, ""), (False, False)))


def old_names() -> dict[str, str]:
    """Every readable name that version 0.1.0 called otherwise, with the name it had."""
    return {response.name: letter for letter, response in RESPONSES.items()} | _OLD


def not_comparable_names() -> dict[str, str]:
    """Every name of comparable numbers, with the name of the other numbers that older studies have in its place."""
    return dict(_NOT_COMPARABLE)
