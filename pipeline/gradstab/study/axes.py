"""The types of an axis: each maps the unit interval onto its values and back.

So designs (Sobol, grid), distances and regions are written once for every type. Logarithmic axes are uniform in log.
Array axes: N values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from gradstab.study.did_you_mean import nearest
from gradstab.study.explained import explained
from gradstab.study.spelling import listed, means, spelled

Array = NDArray[np.float64]
Value = bool | int | float | str

_LARGEST_INTEGER = 10**18  # what storage, designs and log axes can take without rounding past a bound
_ROUNDING = 1e-9  # relative; a bound may come back from a file in its last digit changed

# axes are plain dataclasses, checked when a study is built: so all faults of a study come together
_CHECKED_LATER = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")


class Distribution(NamedTuple):
    """How a sampler draws from an axis: `suggest_<kind>(name, **arguments)` in Optuna."""

    kind: Literal["float", "int", "categorical"]
    arguments: dict[str, Any]


class _Numeric:
    """What the four numeric axes share: values between two bounds, spread evenly in a coordinate of their own."""

    low: float
    high: float
    is_choice: ClassVar[Literal[False]] = False
    is_whole: ClassVar[bool] = False
    is_log: ClassVar[bool] = False

    def ends(self) -> tuple[float, float]:
        """Where the unit interval begins and ends, in the coordinate in which the axis is even."""
        raise NotImplementedError

    def from_unit(self, u: float) -> Value:
        """The value at a fraction of the axis."""
        raise NotImplementedError

    def levels(self, count: int) -> list[Value]:
        """`count` values, evenly spaced as the axis is searched, both ends included."""
        return [self.from_unit(u) for u in _unit_levels(count)]

    def extremes(self) -> tuple[Value, ...]:
        """The lowest and the highest value."""
        return (self.low, self.high)

    def contains(self, value: Value) -> bool:
        """Whether a value can be tried on this axis; a bound may differ in its last digit."""
        if isinstance(value, bool | str):
            return False
        slack = _ROUNDING * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack and (not self.is_whole or value == int(value))

    def parse(self, text: str) -> Value:
        """The number that a text means.

        Raises:
            ValueError: the text is no finite number, or no whole one where the axis needs it.
        """
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"must be a number, got {text!r}") from None
        if not math.isfinite(number):
            raise ValueError(f"must be a finite number, got {text}")
        if not self.is_whole:
            return number
        if not number.is_integer():
            raise ValueError(f"must be a whole number, got {text}")
        return int(number)

    def snap(self, unit_N: Array) -> Array:
        """The unit coordinates of the values that unit coordinates stand for; every real number can be tried."""
        return unit_N

    def fault(self) -> str | None:
        """What is wrong with the bounds, in a sentence."""
        if self.is_whole and max(abs(self.low), abs(self.high)) > _LARGEST_INTEGER:
            return "low and high must be integers of at most 18 digits, got a longer one"
        if self.is_log and not self.low > 0:
            return f"low must be above 0 on a log axis, got {self.low:g}"
        if not self.low < self.high:
            return f"low must be below high, got low {self.low:g} and high {self.high:g}"
        return None

    def distribution(self) -> Distribution:
        """How a sampler draws from it."""
        return Distribution(
            "int" if self.is_whole else "float", {"low": self.low, "high": self.high, "log": self.is_log}
        )

    def _bounded(self, value: Value) -> float:
        assert not isinstance(value, str)
        return min(max(value, self.low), self.high)


@explained
@dataclass(frozen=True)
class Real(_Numeric):
    """A real number, uniform in [low, high]."""

    low: Annotated[float, Field(description="the lowest value", examples=[0.5])]
    high: Annotated[float, Field(description="the highest value", examples=[2.0])]
    type: Literal["real"] = "real"
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def from_unit(self, u: float) -> float:
        return min(self.high, self.low + u * (self.high - self.low))

    def to_unit(self, value: Value) -> float:
        return (self._bounded(value) - self.low) / (self.high - self.low)


@explained
@dataclass(frozen=True)
class LogReal(_Numeric):
    """A positive real number, uniform in log over [low, high]."""

    low: Annotated[float, Field(description="the lowest value", examples=[0.5])]
    high: Annotated[float, Field(description="the highest value", examples=[4.0])]
    type: Literal["log_real"] = "log_real"
    is_log: ClassVar[bool] = True
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def ends(self) -> tuple[float, float]:
        return math.log(self.low), math.log(self.high)

    def from_unit(self, u: float) -> float:
        log_value = math.log(self.low) + u * (math.log(self.high) - math.log(self.low))
        return min(self.high, max(self.low, math.exp(log_value)))

    def to_unit(self, value: Value) -> float:
        return math.log(self._bounded(value) / self.low) / math.log(self.high / self.low)


@explained
@dataclass(frozen=True)
class Integer(_Numeric):
    """An integer, every value from low to high equally likely."""

    low: Annotated[int, Field(description="the lowest value", examples=[1])]
    high: Annotated[int, Field(description="the highest value", examples=[8])]
    type: Literal["integer"] = "integer"
    is_whole: ClassVar[bool] = True
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def ends(self) -> tuple[float, float]:
        return self.low - 0.5, self.high + 0.5

    def from_unit(self, u: float) -> int:
        return min(self.high, self.low + math.floor(u * (self.high - self.low + 1)))

    def to_unit(self, value: Value) -> float:
        return (self._bounded(value) - self.low + 0.5) / (self.high - self.low + 1)

    def snap(self, unit_N: Array) -> Array:
        """The middle of the cell of each integer."""
        return _middles(unit_N, self.high - self.low + 1)

    def levels(self, count: int) -> list[Value]:
        span = self.high - self.low
        return sorted({self.low + round(u * span) for u in _unit_levels(count)})


@explained
@dataclass(frozen=True)
class LogInteger(_Numeric):
    """A positive integer, uniform in log and rounded, as Optuna does it."""

    low: Annotated[int, Field(description="the lowest value", examples=[2])]
    high: Annotated[int, Field(description="the highest value", examples=[32])]
    type: Literal["log_integer"] = "log_integer"
    is_whole: ClassVar[bool] = True
    is_log: ClassVar[bool] = True
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def ends(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def from_unit(self, u: float) -> int:
        log_low, log_high = self.ends()
        return min(self.high, max(self.low, round(math.exp(log_low + u * (log_high - log_low)))))

    def to_unit(self, value: Value) -> float:
        low, high = self.ends()
        return (math.log(self._bounded(value)) - low) / (high - low)

    def snap(self, unit_N: Array) -> Array:
        """The place of each integer in log."""
        low, high = self.ends()
        value_N = np.clip(np.round(np.exp(low + unit_N * (high - low))), self.low, self.high)
        return np.asarray((np.log(value_N) - low) / (high - low))

    def levels(self, count: int) -> list[Value]:
        log_low, log_high = math.log(self.low), math.log(self.high)
        return sorted({round(math.exp(log_low + u * (log_high - log_low))) for u in _unit_levels(count)})


@explained
@dataclass(frozen=True)
class Choice:
    """One of a few values without order."""

    choices: Annotated[tuple[Value, ...], Field(description="the values", examples=[("relu", "tanh")])]
    type: Literal["choice"] = "choice"
    is_choice: ClassVar[Literal[True]] = True
    is_whole: ClassVar[bool] = False
    is_log: ClassVar[bool] = False
    __pydantic_config__: ClassVar[ConfigDict] = _CHECKED_LATER

    def index(self, value: object) -> int | None:
        """The place of a value among the choices; None where it is none of them. True is not 1."""
        found = (i for i, choice in enumerate(self.choices) if type(choice) is type(value) and choice == value)
        return next(found, None)

    def indices(self, unit_N: Array) -> NDArray[np.int64]:
        """The places of the choices that unit coordinates stand for."""
        count = len(self.choices)
        return np.minimum(np.floor(unit_N * count), count - 1).astype(np.int64)

    def extremes(self) -> tuple[Value, ...]:
        """Every choice."""
        return self.choices

    def contains(self, value: Value) -> bool:
        """Whether a value is one of the choices."""
        return self.index(value) is not None

    def parse(self, text: str) -> Value:
        """The choice that a text means.

        Raises:
            ValueError: the text means none of them.
        """
        for choice in self.choices:
            if means(text, choice):
                return choice
        raise ValueError(f"must be one of {listed(self.choices)}, got {text!r}{nearest(text, map(str, self.choices))}")

    def from_unit(self, u: float) -> Value:
        return self.choices[min(len(self.choices) - 1, math.floor(u * len(self.choices)))]

    def to_unit(self, value: Value) -> float:
        index = self.index(value)
        assert index is not None
        return (index + 0.5) / len(self.choices)

    def snap(self, unit_N: Array) -> Array:
        """The middle of the part of each choice."""
        return _middles(unit_N, len(self.choices))

    def levels(self, count: int) -> list[Value]:
        """All choices: a grid never leaves one out, so `count` has no say here."""
        del count
        return list(self.choices)

    def fault(self) -> str | None:
        """What is wrong with the choices, in a sentence."""
        if not self.choices:
            return "choices must hold at least one value, got none"
        if len({(type(choice), choice) for choice in self.choices}) < len(self.choices):
            return f"choices must differ from each other, got {spelled(list(self.choices))}"
        return None

    def distribution(self) -> Distribution:
        """How a sampler draws from it."""
        return Distribution("categorical", {"choices": self.choices})


AnyAxis = Real | LogReal | Integer | LogInteger | Choice


def _middles(unit_N: Array, count: int) -> Array:
    """The middle of the one of `count` equal parts of [0, 1] in which each coordinate lies."""
    return np.asarray((np.minimum(np.floor(unit_N * count), count - 1) + 0.5) / count)


def _unit_levels(count: int) -> list[float]:
    """`count` evenly spaced fractions, both ends included (the middle for one)."""
    return [0.5] if count == 1 else [i / (count - 1) for i in range(count)]
