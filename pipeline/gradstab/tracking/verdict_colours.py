"""How MLflow's charts of groups get the colours of verdicts: by the name of the group, the only thing it looks at.

MLflow takes the colour of a group out of a fixed palette by a sum over the characters of the group's name. Blanks at
its end cannot be seen, and change the sum. The browser tests guard this: MLflow documents none of it.
"""

from __future__ import annotations

from gradstab.study.criterion import Verdict

GROUP_TAG = "verdicts"
# blanks that move the name's colour in MLflow 3.17 to the one nearest the verdict's own
_BLANKS: dict[Verdict, int] = {
    "stable": 4,
    "vanishing": 12,
    "exploding": 2,
    "diverged": 14,
    "untrainable": 7,
    "partial": 9,
    "trained_off_phase": 12,
}


def group_name(verdict: Verdict) -> str:
    """The verdict, as the tag `verdicts` of a trial has it."""
    return verdict + " " * _BLANKS[verdict]
