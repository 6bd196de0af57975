"""The network of a study of modules: which function builds it, what that function takes, and how it is judged.

The declaration holds names, never functions, so that a study can be read, checked and judged where the code is gone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from gradstab.errors import StudyError
from gradstab.study.axes import Value
from gradstab.study.explained import Section, explained
from gradstab.study.family_signatures import family_signature
from gradstab.study.origin import FromData
from gradstab.user_code.names import name_of

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _nameable(name: str, info: ValidationInfo) -> str:
    """The name, if values of this origin may name it; nothing is imported."""
    if ":" in name and isinstance(info.context, FromData) and name not in info.context.import_paths:
        raise PydanticCustomError(
            "import_path_in_data",
            "must be a family of gradstab or of an installed package, since only a Python study file "
            "(STUDY = Study(...)) may name a function to import",
        )
    return name


_Function = Annotated[str, Field(min_length=1), AfterValidator(_nameable)]


@explained
class ModelSpec(Section):
    """The network of a study of modules, as `Model` declares it."""

    build: Annotated[
        _Function,
        Field(description="the function that returns the module: a family, or file.py:name", examples=["transformer"]),
    ]
    loss: Annotated[
        _Function | None, Field(description="the loss of each sample, (outputs, targets) -> (B,); the family's if none")
    ] = None
    settings: Annotated[dict[str, Value], Field(default={}, description="fixed arguments of build")]
    taps: Annotated[
        tuple[str, ...], Field(description="where gradients are compared, such as blocks.*; found by itself if none")
    ] = ()
    scaled: Annotated[
        tuple[str, ...], Field(description="which modules weight_scale multiplies; those inside the taps if none")
    ] = ()
    traced: Annotated[
        tuple[str, ...],
        Field(description="arguments of build that are buffers, so that a pack may hold several values"),
    ] = ()
    reference_loss: Annotated[
        float | None,
        Field(
            gt=0,
            description="loss of the best constant prediction; fitted for cross-entropy and squared error",
            examples=[2.3],
        ),
    ] = None
    target_loss: Annotated[
        float | None,
        Field(
            gt=0,
            description="loss that counts as trained; criterion.target_fraction of the reference if none",
            examples=[1.2],
        ),
    ] = None
    parameters: Annotated[
        tuple[str, ...] | None,
        Field(description="arguments of build, read from its signature; leave it out", examples=[["depth", "heads"]]),
    ] = None
    required: Annotated[
        tuple[str, ...],
        Field(description="those of them without a default; leave it out", examples=[["depth"]]),
    ] = ()
    defaults: Annotated[
        dict[str, Value | None],
        Field(default={}, description="the defaults of the others; leave it out", examples=[{"heads": 4}]),
    ]

    @model_validator(mode="before")
    @classmethod
    def _families_are_known(cls, given: object) -> object:
        """Fill in what the `build` of a family that ships takes."""
        if isinstance(given, Mapping) and isinstance(given.get("build"), str) and "parameters" not in given:
            return {**given, **(family_signature(given["build"]) or {})}
        return given

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that a run imports."""
        return (self.build,) if self.loss is None else (self.build, self.loss)


def Model(  # noqa: N802 - stands in a declaration beside Study and the axes
    build: Callable[..., Any] | str,
    loss: Callable[[Any, Any], Any] | str | None = None,
    *,
    settings: Mapping[str, Value] | None = None,
    taps: str | Sequence[str] = (),
    scaled: str | Sequence[str] = (),
    traced: str | Sequence[str] = (),
    reference_loss: float | None = None,
    target_loss: float | None = None,
) -> ModelSpec:
    """The network of a study: a function that returns a freshly initialised `torch.nn.Module`, and its loss.

    Args:
        build: called once for each trial, with axes, recipe fields and settings as keyword arguments; or the name of
            a family that ships.
        loss: `(outputs, targets) -> (B,)`, the loss of each sample. Outputs are whatever forward returns. May be left
            out where `build` is a family that ships.
        settings: fixed arguments of `build`.
        taps: patterns of module names at which gradients are compared, such as "blocks.*". Found by itself if left out.
        scaled: patterns of the modules whose weights `weight_scale` multiplies. Those inside the taps if left out.
        traced: arguments of `build` that the module holds as buffers, so that one pack may hold several values of them.
        reference_loss: loss of the best constant prediction. Fitted for cross-entropy and squared error if left out.
        target_loss: loss that counts as trained. By default `criterion.target_fraction` of the reference.

    Raises:
        StudyError: a function has no name under which a worker could import it, or its arguments cannot be keywords.
    """
    known: dict[str, Any] = {} if isinstance(build, str) else _signature(build)
    return ModelSpec(
        build=build if isinstance(build, str) else name_of(build, what="model.build"),
        loss=loss if loss is None or isinstance(loss, str) else name_of(loss, what="model.loss"),
        settings=dict(settings or {}),
        taps=_patterns(taps),
        scaled=_patterns(scaled),
        traced=_patterns(traced),
        reference_loss=reference_loss,
        target_loss=target_loss,
        **known,
    )


def _signature(build: Callable[..., Any]) -> dict[str, Any]:
    """What `build` takes.

    Raises:
        StudyError: with every argument that cannot be given as a keyword.
    """
    found = inspect.signature(build).parameters
    faults = []
    for name, one in found.items():
        if one.kind in _VARIADIC:
            faults.append(f"model.build must name its arguments, got {one}: write each as an argument of its own")
        elif one.kind is inspect.Parameter.POSITIONAL_ONLY:
            faults.append(f"model.build must take its arguments by name, but {name} is positional only: remove the '/'")
    if faults:
        raise StudyError(faults)
    empty = inspect.Parameter.empty
    return {
        "parameters": tuple(found),
        "required": tuple(name for name, one in found.items() if one.default is empty),
        "defaults": {
            name: one.default
            for name, one in found.items()
            if one.default is None or isinstance(one.default, bool | int | float | str)
        },
    }


def _patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
