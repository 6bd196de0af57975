"""The search space: one axis per varied hyperparameter, and points in it.

An axis maps the unit interval onto its values, so that designs (Sobol, grid) and distances are written once
for every type. Logarithmic axes are uniform in log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, RootModel, model_validator
from pydantic.dataclasses import dataclass

Value = bool | int | float | str
Point = Mapping[str, Value]

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_CONFIG)
class Real:
    """A real number, uniform in [low, high]."""

    low: float
    high: float
    type: Literal["real"] = "real"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high)
        return self

    def from_unit(self, u: float) -> float:
        return min(self.high, self.low + u * (self.high - self.low))

    def levels(self, count: int) -> list[Value]:
        return [self.from_unit(u) for u in _unit_levels(count)]


@dataclass(frozen=True, config=_CONFIG)
class LogReal:
    """A positive real number, uniform in log over [low, high]."""

    low: float
    high: float
    type: Literal["log_real"] = "log_real"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high, positive=True)
        return self

    def from_unit(self, u: float) -> float:
        log_value = math.log(self.low) + u * (math.log(self.high) - math.log(self.low))
        return min(self.high, max(self.low, math.exp(log_value)))

    def levels(self, count: int) -> list[Value]:
        return [self.from_unit(u) for u in _unit_levels(count)]


@dataclass(frozen=True, config=_CONFIG)
class Integer:
    """An integer, every value of low..high equally likely."""

    low: int
    high: int
    type: Literal["integer"] = "integer"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high)
        return self

    def from_unit(self, u: float) -> int:
        return min(self.high, self.low + math.floor(u * (self.high - self.low + 1)))

    def levels(self, count: int) -> list[Value]:
        span = self.high - self.low
        return sorted({self.low + round(u * span) for u in _unit_levels(count)})


@dataclass(frozen=True, config=_CONFIG)
class LogInteger:
    """A positive integer, uniform in log over [low - 1/2, high + 1/2] and rounded (as Optuna does)."""

    low: int
    high: int
    type: Literal["log_integer"] = "log_integer"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high, positive=True)
        return self

    def from_unit(self, u: float) -> int:
        log_low, log_high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(self.high, max(self.low, round(math.exp(log_low + u * (log_high - log_low)))))

    def levels(self, count: int) -> list[Value]:
        log_low, log_high = math.log(self.low), math.log(self.high)
        return sorted({round(math.exp(log_low + u * (log_high - log_low))) for u in _unit_levels(count)})


@dataclass(frozen=True, config=_CONFIG)
class Choice:
    """One of a few values without order."""

    choices: Annotated[tuple[Value, ...], Field(min_length=1)]
    type: Literal["choice"] = "choice"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({(type(choice), choice) for choice in self.choices}) < len(self.choices):
            raise ValueError(f"choices must differ from each other, got {list(self.choices)}")
        return self

    def from_unit(self, u: float) -> Value:
        return self.choices[min(len(self.choices) - 1, math.floor(u * len(self.choices)))]

    def levels(self, count: int) -> list[Value]:
        """All choices: a grid never leaves one out, so `count` has no say here."""
        del count
        return list(self.choices)


Axis = Annotated[Real | LogReal | Integer | LogInteger | Choice, Field(discriminator="type")]
AnyAxis = Real | LogReal | Integer | LogInteger | Choice


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


def _require_order(low: float, high: float, *, positive: bool = False) -> None:
    if positive and not low > 0:
        raise ValueError(f"low must be above 0 on a log axis, got {low:g}")
    if not low < high:
        raise ValueError(f"low must be below high, got low {low:g} and high {high:g}")
