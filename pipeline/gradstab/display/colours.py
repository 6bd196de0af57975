"""The colours and marks of figures, reports and the MLflow UI: one look for each thing that is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradstab.study.criterion import Verdict
from gradstab.study.responses.registry import RESPONSES

# Okabe and Ito's colours, which the colour-blind can tell apart
VERDICT_COLOURS: dict[Verdict, str] = {
    "stable": "#009E73",
    "vanishing": "#0072B2",
    "exploding": "#D55E00",
    "diverged": "#000000",
    "untrainable": "#CC79A7",
    "partial": "#E69F00",
    "trained_off_phase": "#56B4E9",
}
_MARKERS: dict[Verdict, str] = {
    "stable": "o",
    "vanishing": "v",
    "exploding": "^",
    "diverged": "x",
    "untrainable": "s",
    "partial": "D",
    "trained_off_phase": "P",
}
MARKS: dict[str, tuple[str, str]] = {verdict: (VERDICT_COLOURS[verdict], mark) for verdict, mark in _MARKERS.items()}
# pale, for areas: what a training there most probably does. Stable is the lightest, so that print shows it
AREAS = {
    "stable": "#E4F4EC",
    "vanishing": "#A9CBE3",
    "exploding": "#EFBE98",
    "untrained": "#E6CFE0",
    "diverged": "#B4B4B4",
}
_PALE = 0.65  # the part of white in an area that has no colour of its own
BOUNDARY = "#000000"
SAFE_CORE = "#006B4E"
THEORY = "#7A0019"
TRAINABLE_DEPTH = "#4B2E83"
HALO = "#FFFFFF"  # around theory's curves, so that they stand out on every area
NOT_MEASURED = "#E6E6E6"
FIRST, SECOND = "#0072B2", "#D55E00"  # two studies side by side, or one line beside a band


def marks() -> dict[str, tuple[str, str]]:
    """Colour and mark of a trial, by its verdict, or by its side of the band where one response alone judges it."""
    return {**MARKS, "in band": MARKS["stable"], **{side: (colour, "s") for side, colour in _other_sides(MARKS)}}


def areas() -> dict[str, str]:
    """Pale colours of areas, by what a training there most probably does."""
    return {**AREAS, **{side: _pale(colour) for side, colour in _other_sides(AREAS)}}


def _other_sides(known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The sides on which a training can lie outside a response's band, with their colours, but for the known ones."""
    for response in RESPONSES.values():
        for side in (response.low_side, response.high_side):
            if side and side not in known:
                yield side, response.colour


def _pale(colour: str) -> str:
    parts = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 * _PALE + (1 - _PALE) * part):02X}" for part in parts)
