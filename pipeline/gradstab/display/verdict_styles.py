"""How verdicts look in every figure: the colours that all pages share, and marks that tell them apart in print."""

from gradstab.display.verdict_colours import VERDICT_COLOURS
from gradstab.study.criterion import Verdict

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
