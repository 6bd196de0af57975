"""The colours and marks of figures, reports and the MLflow UI: one look for each thing that is shown."""

from __future__ import annotations

from gradstab.study.criterion import Verdict

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
# colour and mark of a trial, by its verdict or by its side of one response's band
MARKS: dict[str, tuple[str, str]] = {verdict: (VERDICT_COLOURS[verdict], mark) for verdict, mark in _MARKERS.items()}
MARKS |= {"in band": MARKS["stable"], "untrained": MARKS["untrainable"]}
# pale, for areas: what a training there most probably does. Stable is the lightest, so that print shows it
AREAS = {
    "stable": "#E4F4EC",
    "vanishing": "#A9CBE3",
    "exploding": "#EFBE98",
    "untrained": "#E6CFE0",
    "diverged": "#B4B4B4",
}
BOUNDARY = "#000000"
SAFE_CORE = "#006B4E"
THEORY = "#7A0019"
TRAINABLE_DEPTH = "#4B2E83"
HALO = "#FFFFFF"  # around theory's curves, so that they stand out on every area
NOT_MEASURED = "#E6E6E6"
FIRST, SECOND = "#0072B2", "#D55E00"  # two studies side by side, or one line beside a band
