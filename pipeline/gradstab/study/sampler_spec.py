"""How a study's points are chosen: a declaration, checked against the space, without any search library.

A design is a function of the trial's number alone, so that a larger budget keeps the first points and a resumed study
is exact. The adaptive samplers look at results: TPE, GP and CMA-ES at the margins, the boundary sampler at the
responses.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from gradstab.study.axes import Choice
from gradstab.study.did_you_mean import nearest
from gradstab.study.explained import explained
from gradstab.study.space import SearchSpace

BATCH = 16  # trials that an adaptive sampler proposes at a time; it learns between batches
MAX_GRID_POINTS = 1_000_000  # the shuffled order of a grid is held in memory


class _Sampler(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    is_design: ClassVar[bool] = True

    def ask_batch_size(self) -> int:
        """Trials that are asked for together for one slot, if earlier results decide on later points."""
        return BATCH

    def faults(self, space: SearchSpace, budget_trials: int, replicates: int) -> list[str]:  # noqa: ARG002
        """The reasons why this sampler cannot propose `budget_trials` trials of the space, one sentence each."""
        return []


@explained
class RandomSpec(_Sampler):
    """Independent points, uniform on every axis."""

    type: Literal["random"] = "random"


@explained
class SobolSpec(_Sampler):
    """A scrambled Sobol sequence: random points that fill the space evenly."""

    type: Literal["sobol"] = "sobol"


@explained
class GridSpec(_Sampler):
    """Every combination of evenly spaced levels, visited in an order shuffled by the study's seed.

    The order is shuffled so that a budget smaller than the grid is a fair sample of it and not one corner.
    """

    type: Literal["grid"] = "grid"
    levels: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=100_000)]],
        Field(
            description="levels of an axis, by its name; a choice axis takes all its choices", examples=[{"depth": 6}]
        ),
    ] = {}
    default_levels: Annotated[int, Field(ge=1, le=100_000, description="levels of the axes not named")] = 8

    def num_points(self, space: SearchSpace) -> int:
        """Combinations of levels (integer axes may have fewer levels than asked for)."""
        return math.prod(len(axis.levels(self.levels.get(name, self.default_levels))) for name, axis in space.items())

    def faults(self, space: SearchSpace, budget_trials: int, replicates: int) -> list[str]:
        faults = []
        for name, count in self.levels.items():
            axis = space.axes.get(name)
            if axis is None:
                hint = nearest(name, space.names()) or f"; the axes are {', '.join(space.names())}"
                faults.append(f"sampler.levels must name axes of the space, got {name!r}{hint}")
            elif isinstance(axis, Choice) and count != len(axis.choices):
                faults.append(
                    f"sampler.levels of the choice axis {name!r} must be its {len(axis.choices)} choices, got {count}: "
                    "leave it out, or shorten the choices"
                )
        num_points = self.num_points(space)
        if num_points > MAX_GRID_POINTS:
            faults.append(
                f"sampler grid must have at most {MAX_GRID_POINTS} points, got {num_points}: "
                "take fewer levels, or use sobol"
            )
        available = num_points * replicates
        if budget_trials > available:
            faults.append(
                f"budget of a grid must be at most its {available} trials ({num_points} points x "
                f"{replicates} replicates), got {budget_trials}: add levels or lower the budget"
            )
        return faults


@explained
class TpeSpec(_Sampler):
    """Optuna's tree-structured Parzen estimator on the margin."""

    type: Literal["tpe"] = "tpe"
    is_design: ClassVar[bool] = False


@explained
class GpSpec(_Sampler):
    """Optuna's Gaussian process on the margin; its cost grows with the cube of the trials told."""

    type: Literal["gp"] = "gp"
    is_design: ClassVar[bool] = False


@explained
class CmaEsSpec(_Sampler):
    """CMA-ES on the margin; numeric axes only, and at least two."""

    type: Literal["cmaes"] = "cmaes"
    is_design: ClassVar[bool] = False

    def faults(self, space: SearchSpace, budget_trials: int, replicates: int) -> list[str]:
        del budget_trials, replicates
        faults = [
            f"sampler cmaes takes no choice axes, got {name!r}: fix it in the recipe, or use tpe or sobol"
            for name in space.choices()
        ]
        if len(space) < 2:
            faults.append(f"sampler cmaes needs at least two axes, got {len(space)}: use tpe or sobol")
        return faults


@explained
class BoundarySpec(_Sampler):
    """Points near the edges of every response's band, where a trial says most about the stability region."""

    type: Literal["boundary"] = "boundary"
    is_design: ClassVar[bool] = False
    batch: Annotated[
        int,
        Field(
            ge=1,
            le=256,
            description="trials asked for at a time for one slot; fewer learn more per trial, more train faster",
            examples=[8],
        ),
    ] = BATCH

    def ask_batch_size(self) -> int:
        return self.batch


AnySampler = RandomSpec | SobolSpec | GridSpec | TpeSpec | GpSpec | CmaEsSpec | BoundarySpec
SamplerSpec = Annotated[AnySampler, Field(discriminator="type")]
