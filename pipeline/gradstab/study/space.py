"""The search space: one axis per varied hyperparameter, and points in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, RootModel

from gradstab.study.axes import AnyAxis, Choice, Value

Point = Mapping[str, Value]
MOST_MAPS = 6  # values of a choice that get a map each


def _checked(axis: AnyAxis) -> AnyAxis:
    """The axis, if its bounds or choices make sense."""
    fault = axis.fault()
    if fault is not None:
        raise ValueError(fault)
    return axis


Axis = Annotated[Annotated[AnyAxis, Field(discriminator="type")], AfterValidator(_checked)]


class SearchSpace(RootModel[dict[str, Axis]]):
    """The product of the axes, in the order they were written."""

    model_config = ConfigDict(frozen=True)

    @property
    def axes(self) -> dict[str, AnyAxis]:
        return dict(self.root)

    def names(self) -> tuple[str, ...]:
        return tuple(self.root)

    def numeric(self) -> tuple[str, ...]:
        """Names of the axes that are numbers."""
        return tuple(name for name, axis in self.items() if not axis.is_choice)

    def choices(self) -> dict[str, Choice]:
        """The choice axes by name."""
        return {name: axis for name, axis in self.items() if isinstance(axis, Choice)}

    def split(self) -> tuple[str, tuple[Value, ...]] | None:
        """The choice axis whose values get a map each, activation before others; None where no axis is one."""
        few = {name: axis.choices for name, axis in self.choices().items() if 2 <= len(axis.choices) <= MOST_MAPS}
        if not few:
            return None
        name = "activation" if "activation" in few else next(iter(few))
        return name, few[name]

    def items(self) -> Iterator[tuple[str, AnyAxis]]:
        return iter(self.root.items())

    def __len__(self) -> int:
        return len(self.root)

    def point_from_unit(self, unit: Mapping[str, float]) -> dict[str, Value]:
        """The point whose coordinate on each axis is the given fraction of the axis."""
        return {name: axis.from_unit(unit[name]) for name, axis in self.items()}
