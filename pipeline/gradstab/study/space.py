"""The search space: one axis per varied hyperparameter, and points in it.

An axis maps the unit interval onto its values, so that designs (Sobol, grid) and distances are written once
for every type. Logarithmic axes are uniform in log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, RootModel

Value = bool | int | float | str
_LARGEST_INTEGER = 10**18  # what storage, designs and log axes can take without rounding past a bound
Point = Mapping[str, Value]

# axes are plain dataclasses, checked when a study is built: so all faults of a study come together
_CHECKED_LATER = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")


@dataclass(frozen=True)
class Real:
    """A real number, uniform in [low, high]."""

    low: float
    high: float
    type: Literal["real"] = "real"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def from_unit(self, u: float) -> float:
        return min(self.high, self.low + u * (self.high - self.low))

    def levels(self, count: int) -> list[Value]:
        return [self.from_unit(u) for u in _unit_levels(count)]


@dataclass(frozen=True)
class LogReal:
    """A positive real number, uniform in log over [low, high]."""

    low: float
    high: float
    type: Literal["log_real"] = "log_real"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def from_unit(self, u: float) -> float:
        log_value = math.log(self.low) + u * (math.log(self.high) - math.log(self.low))
        return min(self.high, max(self.low, math.exp(log_value)))

    def levels(self, count: int) -> list[Value]:
        return [self.from_unit(u) for u in _unit_levels(count)]


@dataclass(frozen=True)
class Integer:
    """An integer, every value of low..high equally likely."""

    low: int
    high: int
    type: Literal["integer"] = "integer"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def from_unit(self, u: float) -> int:
        return min(self.high, self.low + math.floor(u * (self.high - self.low + 1)))

    def levels(self, count: int) -> list[Value]:
        span = self.high - self.low
        return sorted({self.low + round(u * span) for u in _unit_levels(count)})


@dataclass(frozen=True)
class LogInteger:
    """A positive integer, uniform in log over [low - 1/2, high + 1/2] and rounded (as Optuna does)."""

    low: int
    high: int
    type: Literal["log_integer"] = "log_integer"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def from_unit(self, u: float) -> int:
        log_low, log_high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(self.high, max(self.low, round(math.exp(log_low + u * (log_high - log_low)))))

    def levels(self, count: int) -> list[Value]:
        log_low, log_high = math.log(self.low), math.log(self.high)
        return sorted({round(math.exp(log_low + u * (log_high - log_low))) for u in _unit_levels(count)})


@dataclass(frozen=True)
class Choice:
    """One of a few values without order."""

    choices: tuple[Value, ...]
    type: Literal["choice"] = "choice"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def from_unit(self, u: float) -> Value:
        return self.choices[min(len(self.choices) - 1, math.floor(u * len(self.choices)))]

    def levels(self, count: int) -> list[Value]:
        """All choices: a grid never leaves one out, so `count` has no say here."""
        del count
        return list(self.choices)


AnyAxis = Real | LogReal | Integer | LogInteger | Choice


def _checked(axis: AnyAxis) -> AnyAxis:
    """The axis, if its bounds or choices make sense."""
    if isinstance(axis, Choice):
        if not axis.choices:
            raise ValueError("choices must hold at least one value, got none")
        if len({(type(choice), choice) for choice in axis.choices}) < len(axis.choices):
            raise ValueError(f"choices must differ from each other, got {list(axis.choices)}")
        return axis
    if isinstance(axis, Integer | LogInteger) and max(abs(axis.low), abs(axis.high)) > _LARGEST_INTEGER:
        raise ValueError("low and high must be integers of at most 18 digits, got a longer one")
    if isinstance(axis, LogReal | LogInteger) and not axis.low > 0:
        raise ValueError(f"low must be above 0 on a log axis, got {axis.low:g}")
    if not axis.low < axis.high:
        raise ValueError(f"low must be below high, got low {axis.low:g} and high {axis.high:g}")
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

    def items(self) -> Iterator[tuple[str, AnyAxis]]:
        return iter(self.root.items())

    def __len__(self) -> int:
        return len(self.root)

    def point_from_unit(self, unit: Mapping[str, float]) -> dict[str, Value]:
        """The point whose coordinate on each axis is the given fraction of the axis."""
        return {name: axis.from_unit(unit[name]) for name, axis in self.items()}


def _unit_levels(count: int) -> list[float]:
    """`count` evenly spaced fractions, both ends included (the middle for one)."""
    return [0.5] if count == 1 else [i / (count - 1) for i in range(count)]
