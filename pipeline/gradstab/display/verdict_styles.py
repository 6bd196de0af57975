"""How verdicts look in every figure: the colours that all pages share, and marks that tell them apart in print."""

from __future__ import annotations

from gradstab.display.verdict_colours import VERDICT_COLOURS
from gradstab.responses.registry import RESPONSES
from gradstab.study.criterion import Verdict

IN_BAND = "in band"  # of a training that is judged by one response alone
_MARKERS: dict[Verdict, str] = {
    "stable": "o",
    "vanishing": "v",
    "exploding": "^",
    "diverged": "x",
    "untrainable": "s",
    "partial": "D",
    "trained_off_phase": "P",
}
STYLES: dict[str, tuple[str, str]] = {verdict: (VERDICT_COLOURS[verdict], mark) for verdict, mark in _MARKERS.items()}


def style_of(label: str) -> tuple[str, str]:
    """Colour and mark of a verdict, of `IN_BAND`, or of the side on which a training lies outside a response's band."""
    if label == IN_BAND:
        return STYLES["stable"]
    if label in STYLES:
        return STYLES[label]
    colour = next(each.colour for each in RESPONSES.values() if label in (each.low_side, each.high_side))
    return colour, "s"
