"""The criterion of a study: which responses make a trial stable, and the verdicts that can follow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Phase = Literal["vanishing", "stable", "exploding"]


Outcome = Literal["not_run", "diverged", "trained", "partial", "untrained"]


Verdict = Literal["stable", "vanishing", "exploding", "diverged", "untrainable", "partial", "trained_off_phase"]


VERDICTS: tuple[Verdict, ...] = (
    "stable",
    "vanishing",
    "exploding",
    "diverged",
    "untrainable",
    "partial",
    "trained_off_phase",
)


Response = Literal["R", "T", "R_worst"]


RATIO_LIMIT = 37.0  # decades to which R is clamped: about the range of float32


TRAINING_RESPONSE_RANGE = (-3.0, 2.0)


TRAINING_RESPONSE_UNIT = 0.3


class Criterion(BaseModel):
    """Which responses make a trial stable, and the bands they must lie in.

    ``responses`` is None for the default: R alone for a study that trains nothing, R and T for one that trains.
    R is that of initialisation, R_worst the one farthest from 0 along training, T how far training came.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    responses: Annotated[tuple[Response, ...], Field(min_length=1)] | None = None
    ratio_band: Annotated[
        float, Field(ge=0.001, lt=RATIO_LIMIT, description="R0 in decades: stable is -R0 <= R <= R0")
    ] = 1.0
    target_fraction: Annotated[
        float, Field(gt=0, lt=0.95, description="trained is a tail loss below this fraction of the label entropy")
    ] = 0.5

    def responses_for(self, steps: int) -> tuple[Response, ...]:
        """The responses that count for a training of `steps` steps: R alone where nothing is trained."""
        if steps == 0:
            return ("R",)
        return tuple(dict.fromkeys(self.responses or ("R", "T")))
