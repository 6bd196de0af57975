"""How long packs take: a part for each stack and step, whatever its size, and a part for each member.

A stack goes through its layers step by step. Each layer of a step costs time in Python and in torch's dispatch that
does not depend on how many members there are, and time for each member's arithmetic. Small packs pay mostly the first
part. Both parts are learnt, by least squares, from packs of different sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gradstab.loop.packing import operations, pack_bytes
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.pack_key import DataShape, padded, stack_key
from gradstab.study.recipe import Recipe, probe_steps

# passes of a stack through its layers, in units of one layer of one step (fitted at widths 32 to 256, one thread)
_LAYERS_OUTSIDE = 30  # a step's loss, batch, clipping and update, as layers that take as long to dispatch
_STEPS_AT_THE_ENDS = 8  # setting up a stack and cutting its results, as steps
_STEPS_A_PROBE = 2  # what a probe takes beyond its step, as steps
# what is assumed before packs were measured
_DISPATCH_SECONDS = 10e-6  # of one layer of one step
_GFLOPS = ((32, 30.0), (64, 40.0), (128, 50.0), (256, 55.0), (512, 55.0))  # of `operations`, by width
_MODULE_SECONDS = 1e-3  # of one layer of a module in one step
_FORGETTING = 0.95  # weight of what is known when one more pack is measured
_PRIOR_WEIGHT = 1e-3  # of the assumed ratio between the two parts, by that of the packs measured
_LEAST_RATIO = 0.05  # of one part's slowness to the other's: noise must not make a part free


def passes(recipe: Recipe, depth: int) -> float:
    """Layers that a stack of this recipe goes through one after another, if its deepest member has `depth` layers."""
    steps = recipe.steps + _STEPS_A_PROBE * len(probe_steps(recipe)) + _STEPS_AT_THE_ENDS
    return float(steps * (depth + _LAYERS_OUTSIDE))


@dataclass(frozen=True)
class Evidence:
    """Sums over packs for a least-squares fit of how many times slower each part is than assumed.

    A pack that took y seconds, where d of dispatch and m of arithmetic were assumed, says d s + m t = y. It enters as
    (d/y) s + (m/y) t = 1, because times scatter by a share of themselves.

    Attributes:
        dd: the sum of (d/y)^2; `dm` and `mm` accordingly.
        d: the sum of d/y; `m` accordingly.
    """

    dd: float = 0.0
    dm: float = 0.0
    mm: float = 0.0
    d: float = 0.0
    m: float = 0.0

    def after(self, dispatch: float, members: float, seconds: float) -> Evidence:
        """The evidence after one more pack: the parts that were assumed, and what it took."""
        d, m = dispatch / seconds, members / seconds
        old = (_FORGETTING * value for value in (self.dd, self.dm, self.mm, self.d, self.m))
        return Evidence(*(value + new for value, new in zip(old, (d * d, d * m, m * m, d, m), strict=True)))

    def slowness(self) -> tuple[float, float]:
        """How many times slower dispatch and arithmetic are than assumed. Packs of one size say only their sum."""
        prior = _PRIOR_WEIGHT * (self.dd + 2 * self.dm + self.mm)
        dd, mm, dm = self.dd + prior, self.mm + prior, self.dm - prior
        determinant = dd * mm - dm * dm
        dispatch = (self.d * mm - self.m * dm) / determinant
        members = (self.m * dd - self.d * dm) / determinant
        if dispatch < _LEAST_RATIO * members:
            members = self._common(_LEAST_RATIO, 1.0)
            return _LEAST_RATIO * members, members
        if members < _LEAST_RATIO * dispatch:
            dispatch = self._common(1.0, _LEAST_RATIO)
            return dispatch, _LEAST_RATIO * dispatch
        return dispatch, members

    def _common(self, a: float, b: float) -> float:
        """The factor f that fits best if the two parts are a f and b f times slower than assumed."""
        return (a * self.d + b * self.m) / (a * a * self.dd + 2 * a * b * self.dm + b * b * self.mm)


# on which the speed of a stack depends: width and activation, or for a module what builds it, with its choices
Cell = tuple[int, str]
_MODULE = "module "


def cell_of(recipe: Recipe) -> Cell:
    """Where the evidence of a recipe's stack is kept."""
    if isinstance(recipe, ModuleRecipe):
        choices = [
            f"{name}={value}" for name, value in sorted(recipe.arguments.items()) if isinstance(value, str | bool)
        ]
        return padded(recipe.width), " ".join([_MODULE + recipe.build, *choices])
    return padded(recipe.width), recipe.activation


def _builder(kind: str) -> str:
    """The function that builds the modules of a kind of stack; "" for the fully connected family."""
    return kind.removeprefix(_MODULE).split(" ")[0] if kind.startswith(_MODULE) else ""


@dataclass(frozen=True)
class CostModel:
    """Seconds that packs take on one kind of slot if nobody disturbs it, and how much memory a pack may take there.

    Attributes:
        evidence: what packs have shown, by width and activation; where it is empty, estimates are rough.
        most_bytes: the largest `pack_bytes` of a pack: less than what turned out to be too much for a slot's memory.
    """

    evidence: Mapping[Cell, Evidence] = field(default_factory=dict)
    most_bytes: float = math.inf

    @property
    def measured(self) -> bool:
        """Whether packs of this kind of slot were measured."""
        return bool(self.evidence)

    def slowness(self, recipe: Recipe) -> tuple[float, float]:
        """How many times slower than assumed a recipe's stack is: its dispatch, and its members' arithmetic.

        Of stacks that were never measured: what those of the nearest width show, of the same activation if possible.
        """
        width, kind = cell_of(recipe)
        found = self.evidence.get((width, kind))
        if found is None:
            builder = _builder(kind)
            alike = [cell for cell in self.evidence if _builder(cell[1]) == builder]
            if not alike:
                return 1.0, 1.0
            nearest = min(alike, key=lambda cell: (abs(math.log2(cell[0] / width)), cell[1] != kind, cell))
            found = self.evidence[nearest]
        return found.slowness()

    def believes(self, recipe: Recipe, shape: DataShape, seconds: float) -> bool:
        """Whether packs of this width and kind were measured, and a member's time is within a factor of two of this."""
        return cell_of(recipe) in self.evidence and 0.5 < self.pack_seconds([recipe], shape) / seconds < 2

    def without(self, recipe: Recipe) -> CostModel:
        """The model that knows nothing of this width and kind."""
        cell = cell_of(recipe)
        return replace(self, evidence={key: value for key, value in self.evidence.items() if key != cell})

    def python_slowness(self) -> float:
        """How many times slower than assumed this machine runs Python, as the dispatch of its packs shows."""
        factors = sorted(evidence.slowness()[0] for evidence in self.evidence.values())
        return factors[len(factors) // 2] if factors else 1.0

    def seconds(self, recipe: Recipe, shape: DataShape) -> float:
        """Seconds by which one more member makes a large pack longer."""
        return self.slowness(recipe)[1] * _assumed_seconds(recipe, shape)

    def dispatch_seconds(self, recipe: Recipe, depth: int) -> float:
        """Seconds that a stack of this recipe takes besides the arithmetic; `depth` is its deepest member's."""
        return self.slowness(recipe)[0] * _DISPATCH_SECONDS * passes(recipe, depth)

    def pack_seconds(self, recipes: Sequence[Recipe], shape: DataShape) -> float:
        """Seconds that a pack of these recipes takes."""
        pack = PackSeconds(self, shape)
        for recipe in recipes:
            pack.add(recipe)
        return pack.total

    def learned(self, recipes: Sequence[Recipe], shape: DataShape, seconds: float) -> CostModel:
        """The model after a pack of these recipes took so many seconds; its stacks share them as the model expects."""
        stacks: dict[tuple[object, ...], list[Recipe]] = {}
        for recipe in recipes:
            stacks.setdefault(stack_key(recipe), []).append(recipe)
        expected = {key: self.pack_seconds(members, shape) for key, members in stacks.items()}
        evidence = dict(self.evidence)
        for key, members in stacks.items():
            dispatch = _DISPATCH_SECONDS * passes(members[0], max(recipe.depth for recipe in members))
            arithmetic = sum(_assumed_seconds(recipe, shape) for recipe in members)
            cell = cell_of(members[0])
            share = seconds * expected[key] / sum(expected.values())
            evidence[cell] = evidence.get(cell, Evidence()).after(dispatch, arithmetic, share)
        return replace(self, evidence=evidence)

    def exhausted(self, recipes: Sequence[Recipe], shape: DataShape) -> CostModel:
        """The model after a pack ran out of memory: other packs may be half as large."""
        half = pack_bytes(recipes[: max(1, len(recipes) // 2)], shape)
        return replace(self, most_bytes=min(self.most_bytes, half))


class PackSeconds:
    """The time of a pack to which one recipe is added at a time.

    Attributes:
        members: seconds of arithmetic.
        dispatch: seconds that do not depend on how many members the stacks have.
    """

    def __init__(self, cost: CostModel, shape: DataShape) -> None:
        self._cost = cost
        self._shape = shape
        self._stacks: dict[tuple[object, ...], tuple[int, float]] = {}  # the largest depth, seconds of dispatch
        self.members = self.dispatch = 0.0

    @property
    def total(self) -> float:
        return self.members + self.dispatch

    def add(self, recipe: Recipe) -> None:
        """Add one member."""
        self.members += self._cost.seconds(recipe, self._shape)
        depth, seconds = self._stacks.get(stack_key(recipe), (0, 0.0))
        if recipe.depth > depth:
            deeper = self._cost.dispatch_seconds(recipe, recipe.depth)
            self._stacks[stack_key(recipe)] = recipe.depth, deeper
            self.dispatch += deeper - seconds


def _assumed_seconds(recipe: Recipe, shape: DataShape) -> float:
    """Seconds of one member's arithmetic before packs were measured."""
    if isinstance(recipe, ModuleRecipe):
        layers = recipe.depth + 1
        return _MODULE_SECONDS * layers * passes(recipe, recipe.depth) / (recipe.depth + _LAYERS_OUTSIDE)
    rate = min(_GFLOPS, key=lambda known: abs(known[0].bit_length() - recipe.width.bit_length()))[1]
    return operations(recipe, shape) / (1e9 * rate)
