"""A claim of theory, what was measured of it, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One line of the table.

    Attributes:
        claim: what is claimed.
        expected: the figure and its tolerance.
        measured: what came out.
        num_trials: trainings (or initial states) behind it.
        interval: 95 % interval, or the range over trials; "" where a count is the measurement.
        holds: whether the measured value keeps the tolerance; an interval that reaches past it does not decide.
    """

    claim: str
    expected: str
    measured: str
    num_trials: int
    interval: str
    holds: bool


def print_claims(claims: Sequence[Claim]) -> None:
    """The table, misses marked, and the count."""
    from gradstab.commands.terminal import print_rows

    rows = [[c.claim, c.expected, c.measured, c.interval, c.num_trials, "yes" if c.holds else "NO"] for c in claims]
    held = sum(claim.holds for claim in claims)
    columns = ["claim", "expected", "measured", "interval", "n", "holds"]
    print_rows(f"{held} of {len(claims)} claims hold", columns, rows)
