"""The recipe: every setting of one training, with its bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from gradstab.study.axes import Value
from gradstab.study.explained import Section, explained
from gradstab.study.origin import FROM_RECORD, check_activation
from gradstab.study.space import Point
from gradstab.study.versions import Since

InitDistribution = Literal["normal", "truncated_normal", "uniform", "orthogonal"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
ClipMode = Literal["norm", "value"]
Precision = Literal["float32", "float64"]
Schedule = Literal["constant", "cosine", "linear", "inverse_sqrt"]

NUM_ACCURACY_ROWS = 512  # fixed training rows on which accuracy is read

_Positive = Annotated[float, Field(gt=0)]
_NonNegative = Annotated[float, Field(ge=0)]


class Structural:
    """Marks a field that decides array shapes or the step loop."""


class ActiveIf(NamedTuple):
    """Marks a field that does nothing unless the field `parent` has one of `values`."""

    parent: str
    values: tuple[Value, ...]


STRUCTURAL = Structural()


class OfNetwork(NamedTuple):
    """Marks a field that says what the fully connected network is, and not how it is trained.

    Attributes:
        buildable: whether the function that builds a user's module may take it as an argument.
    """

    buildable: bool


class OfModules:
    """Marks a field that only studies of modules have."""


class UnsaidByDefault:
    """Marks a field that a study leaves out of its study.json and its fingerprint while it has its default.

    So studies that began in the same version, before the field came, stay the same studies.
    """


BUILDABLE = OfNetwork(buildable=True)
FULLY_CONNECTED = OfNetwork(buildable=False)
OF_MODULES = OfModules()
UNSAID_BY_DEFAULT = UnsaidByDefault()


@explained
class Recipe(Section):
    """Every setting of one training of one fully connected network.

    Scales are standard deviations: a weight has std ``init_scale / sqrt(fan_in)``, a bias has std
    ``bias_scale``. ``depth`` counts hidden layers. ``steps = 0`` measures the initial gradients and trains nothing.

    The metadata of a field says what other rooms would else know by its name: trials that differ in a ``STRUCTURAL``
    field cannot train in one pack; a field with ``ActiveIf`` does nothing unless another field has one of its values.
    """

    depth: Annotated[int, Field(ge=1, le=10_000, description="hidden layers L"), BUILDABLE] = 8
    width: Annotated[int, Field(ge=1, le=65_536, description="units in a hidden layer"), STRUCTURAL, BUILDABLE] = 64
    activation: Annotated[
        str,
        AfterValidator(check_activation),
        Field(description="nonlinearity of the hidden layers", examples=["gelu"]),
        BUILDABLE,
    ] = "tanh"
    init_scale: Annotated[_Positive, Field(description="sigma_w: std of a weight times sqrt(fan_in)"), BUILDABLE] = 1.0
    relative_init_scale: Annotated[
        _Positive | None,
        Field(description="sigma_w in units of the activation's critical value", examples=[1.2]),
        FULLY_CONNECTED,
    ] = None
    bias_scale: Annotated[_NonNegative, Field(description="sigma_b: std of a bias", examples=[0.05]), BUILDABLE] = 0.0
    init_distribution: Annotated[
        InitDistribution, Field(description="shape of the weights' distribution"), FULLY_CONNECTED
    ] = "normal"
    weight_scale: Annotated[
        _Positive,
        Field(
            description="factor on the weights inside the taps of a module after it is built; 1 leaves them",
            examples=[2.0],
        ),
        Since("0.2.0"),
        OF_MODULES,
    ] = 1.0

    steps: Annotated[
        int,
        Field(ge=0, description="optimizer steps; 0 measures the initial state only"),
        STRUCTURAL,
    ] = 100
    batch_size: Annotated[int, Field(ge=1, le=1_000_000, description="training rows per step"), STRUCTURAL] = 64
    optimizer: Annotated[
        Optimizer,
        Field(description="torch.optim's SGD, Adam, AdamW or RMSprop"),
        STRUCTURAL,
    ] = "sgd"
    learning_rate: Annotated[_Positive, Field(description="step size")] = 0.05
    schedule: Annotated[
        Schedule,
        Field(
            description="how the step size changes after the warm-up: not at all, to zero along half a cosine or along "
            "a line, or as one over the root of the step"
        ),
        Since("0.2.0"),
        UNSAID_BY_DEFAULT,
    ] = "constant"
    warmup_steps: Annotated[
        int,
        Field(
            ge=0, description="first steps, over which the step size rises in a line to `learning_rate`", examples=[20]
        ),
        Since("0.2.0"),
        UNSAID_BY_DEFAULT,
    ] = 0
    momentum: Annotated[
        float,
        Field(ge=0, lt=1, description="momentum of SGD and RMSprop", examples=[0.9]),
        ActiveIf("optimizer", ("sgd", "rmsprop")),
    ] = 0.0
    weight_decay: Annotated[
        _NonNegative, Field(description="torch's weight_decay (decoupled in AdamW)", examples=[0.0001])
    ] = 0.0

    clip: Annotated[bool, Field(description="whether gradients are clipped")] = False
    clip_mode: Annotated[
        ClipMode,
        Field(description="by global norm, or each element by value"),
        STRUCTURAL,
        ActiveIf("clip", (True,)),
    ] = "norm"
    clip_threshold: Annotated[
        _Positive,
        Field(description="the bound that clipping enforces"),
        ActiveIf("clip", (True,)),
    ] = 1.0

    probe_every: Annotated[
        int,
        Field(ge=1, description="steps between two readings of the statistics"),
        STRUCTURAL,
    ] = 10
    accuracy_every: Annotated[
        int | None,
        Field(
            ge=1,
            description="steps between two readings of accuracy; with every reading of the statistics if none",
            examples=[50],
        ),
        Since("0.2.0"),  # it came while 0.1.0 was made, and studies had begun before
        STRUCTURAL,
    ] = None
    probe_samples: Annotated[
        int,
        Field(ge=64, le=65_536, description="rows of the fixed probe batch"),
        STRUCTURAL,
    ] = 128
    precision: Annotated[Precision, Field(description="floating-point type of the training"), STRUCTURAL] = "float32"

    def at(self, point: Point) -> Recipe:
        """This recipe with the fields of a point put in place, checked again."""
        return type(self).model_validate({**self.model_dump(), **point}, context=FROM_RECORD)


@cache
def structural_fields() -> tuple[str, ...]:
    """Names of the fields in which the trials of one pack must agree."""
    return fields_with(STRUCTURAL)


def fields_with(mark: object) -> tuple[str, ...]:
    """Names of the fields that carry a mark."""
    return tuple(name for name, field in Recipe.model_fields.items() if mark in field.metadata)


@cache
def conditions() -> Mapping[str, ActiveIf]:
    """By name, the fields that do nothing unless another one has one of some values."""
    found = [(name, part) for name, field in Recipe.model_fields.items() for part in field.metadata]
    return {name: part for name, part in found if isinstance(part, ActiveIf)}


def probe_steps(recipe: Recipe) -> list[int]:
    """Steps at which layer statistics are read: the start, every `probe_every`-th step, and the end."""
    return [*range(0, recipe.steps, recipe.probe_every), recipe.steps]


def reads_accuracy(recipe: Recipe, step: int) -> bool:
    """Whether accuracy is read at a probe time: at the start, at the end, and as often between as the recipe says."""
    return recipe.accuracy_every is None or step % recipe.accuracy_every == 0 or step == recipe.steps


def idle(name: str, held: Mapping[str, Value]) -> bool:
    """Whether an axis has no effect at these values, as a clip threshold without clipping."""
    condition = conditions().get(name)
    if condition is None:
        return False
    parent, values = condition
    return parent in held and held[parent] not in values


def distinct(points: Iterable[dict[str, Value]]) -> list[dict[str, Value]]:
    """Of points that differ only in axes without effect there, the first."""
    seen: dict[tuple[object, ...], dict[str, Value]] = {}
    for point in points:
        effective = tuple(None if idle(name, point) else (type(value), value) for name, value in point.items())
        seen.setdefault(effective, point)
    return list(seen.values())
