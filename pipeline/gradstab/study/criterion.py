"""The criterion of a study: which responses make a trial stable, and the verdicts that a trial can get."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from gradstab.study.explained import Section, explained
from gradstab.study.responses.library.gradient_ratio import RATIO_LIMIT
from gradstab.study.responses.registry import RESPONSES, default_letters, letter_of

Phase = Literal["vanishing", "stable", "exploding"]

Outcome = Literal["not_run", "diverged", "trained", "partial", "untrained"]

Verdict = Literal["stable", "vanishing", "exploding", "diverged", "untrainable", "partial", "trained_off_phase"]

MEANING_OF_VERDICT: dict[str, str] = {
    "stable": "gradients keep their size at the start, and the network learned (if it was trained)",
    "vanishing": "gradients vanish at the start, and the network did not train",
    "exploding": "gradients explode at the start, and the network did not train",
    "diverged": "the training became non-finite, or its loss ended ten times too high",
    "untrainable": "gradients keep their size at the start, but the network learned nothing",
    "partial": "gradients keep their size at the start, but the network learned only a part",
    "trained_off_phase": "trained although gradients vanish or explode at the start",
}
# of trials that were not trained, or of which nobody knows which loss counts as trained
MEANING_WITHOUT_OUTCOME: dict[str, str] = {
    **MEANING_OF_VERDICT,
    "stable": "gradients keep their size at the start",
    "vanishing": "gradients vanish at the start",
    "exploding": "gradients explode at the start",
}
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def _known_letter(name: str) -> str:
    """The letter of a response that a study names by its letter or its readable name."""
    letter = letter_of(name)
    if letter is None:
        raise ValueError(f"a response must be one of {', '.join(RESPONSES)}, got {name!r}")
    return letter


ResponseLetter = Annotated[str, AfterValidator(_known_letter)]


@explained
class Criterion(Section):
    """Which responses make a trial stable, and the bands in which they must lie.

    A response may be named by its letter or its readable name: R or gradient_ratio, T or training_response, R_worst or
    worst_gradient_ratio.
    """

    responses: Annotated[
        Annotated[tuple[ResponseLetter, ...], Field(min_length=1)] | None,
        Field(
            description="the responses that must all be in their bands; by default R, and T where something is trained",
            examples=[["R_worst", "T"]],
        ),
    ] = None
    ratio_band: Annotated[
        float, Field(ge=0.001, lt=RATIO_LIMIT, description="R0 in decades: stable is -R0 < R < R0")
    ] = 1.0
    target_fraction: Annotated[
        float,
        Field(
            gt=0,
            lt=0.95,
            description="trained is a tail loss below this fraction of the label entropy",
            examples=[0.3],
        ),
    ] = 0.5

    def responses_for(self, steps: int) -> tuple[str, ...]:
        """Letters of the responses that count for a training of `steps` steps.

        Without training, those that need it do not count; if no other is left, R counts.
        """
        trained = steps > 0
        named = self.responses or default_letters(trained=trained)
        counted = (letter for letter in named if trained or not RESPONSES[letter].needs_training)
        return tuple(dict.fromkeys(counted)) or default_letters(trained=trained)
