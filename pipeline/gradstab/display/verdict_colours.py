"""One colour a verdict, the same in figures, reports and the MLflow UI."""

from __future__ import annotations

from gradstab.study.criterion import Verdict

# Okabe and Ito's colours, told apart by the colour-blind
VERDICT_COLOURS: dict[Verdict, str] = {
    "stable": "#009E73",
    "vanishing": "#0072B2",
    "exploding": "#D55E00",
    "diverged": "#000000",
    "untrainable": "#CC79A7",
    "partial": "#E69F00",
    "trained_off_phase": "#56B4E9",
}
