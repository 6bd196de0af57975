"""The faults of a study as sentences: what must hold and what came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from gradstab.errors import GradstabError
from gradstab.study.axes import AnyAxis
from gradstab.study.data_spec import FromFunction
from gradstab.study.model_faults import build_arguments, subject_faults
from gradstab.study.model_spec import ModelSpec
from gradstab.study.recipe import Recipe, conditions
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import SearchSpace
from gradstab.study.wording import nearest, plain, short
from gradstab.system.storage_url import without_password

_TAGS = ("real", "log_real", "integer", "log_integer", "choice")


def sentences(error: ValidationError, section: str) -> list[str]:
    """One sentence for each error that pydantic found in a section of a study."""
    found = error.errors(include_url=False)
    places = [details["loc"] for details in found]
    return list(
        dict.fromkeys(
            _sentence(details, section)
            for details in found
            # a list whose items are at fault is also said to be too short, since none of them counts
            if details["type"] != "too_short" or not any(_is_inside(place, details["loc"]) for place in places)
        )
    )


def _is_inside(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def cross_faults(sound: Mapping[str, Any], origin: object = None) -> list[str]:
    """Faults between sections, found in the sections that are sound by themselves; `origin` is that of origin.py."""
    faults = [*_secrets(sound), *subject_faults(sound)]
    space: SearchSpace | None = sound.get("space")
    recipe: Recipe | None = sound.get("recipe")
    if space is not None:
        if len(space) == 0:
            faults.append("space must have at least one axis, got none")
        for name, axis in space.items():
            faults.extend(_axis_faults(name, axis, origin, sound.get("model")))
    if space is not None and recipe is not None:
        faults.extend(_conflicts(space, recipe))
        faults.extend(_scale_faults(space, recipe))
        if "criterion" in sound:
            faults.extend(_criterion_faults(space, recipe, sound["criterion"]))
        if "data" in sound:
            faults.extend(_data_faults(space, recipe, sound["data"]))
    if space is not None and {"sampler", "budget", "replicates"} <= sound.keys():
        faults.extend(sound["sampler"].faults(space, sound["budget"].trials, sound["replicates"]))
    return faults


def _secrets(sound: Mapping[str, Any]) -> Iterator[str]:
    """A study is copied, shipped and shown, so it must hold no password."""
    tracking = sound.get("tracking")
    urls = {
        "storage": (sound.get("storage"), "OPTUNA_STORAGE"),
        "tracking.uri": (tracking.uri if tracking else None, "MLFLOW_TRACKING_URI"),
    }
    for field, (url, variable) in urls.items():
        if url and without_password(url) != url:
            shown = short(without_password(url))
            yield f"{field} must hold no password, got {shown}: set {variable} in the environment"


def _sentence(details: Any, section: str) -> str:  # noqa: PLR0911 - one return a kind
    # pydantic's location holds the discriminator's tag; users know only the field
    where = ".".join([section, *(plain(part) for part in details["loc"] if part not in _TAGS)])
    given, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = Recipe.model_fields if section == "recipe" else {}
            return f"{where} must be a known field, got an unknown one{nearest(str(details['loc'][-1]), known)}"
        case "too_short":
            return f"{where} must have at least {context['min_length']}, got {context['actual_length']}"
        case "missing":
            return f"{where} must be given"
        case "union_tag_not_found":
            expected = " or ".join(_TAGS) if section == "space" else "the name of a kind"
            return f"{where} must have a field 'type' ({expected}), got {short(given)}"
        case "union_tag_invalid":
            tags = context["expected_tags"].replace("'", "").split(", ")
            hint = nearest(context["tag"], tags)
            return f"{where}.type must be one of {', '.join(tags)}, got {short(context['tag'])}{hint}"
        case "value_error":
            return f"{where}: {context['error']}"
        case "string_pattern_mismatch":
            return f"{where} must match {context['pattern']}, got {short(given)}"
        case "literal_error":
            choices = [part.strip(" '") for part in context["expected"].replace(" or ", ", ").split(",")]
            return f"{where} must be one of {', '.join(choices)}, got {short(given)}{nearest(str(given), choices)}"
    return f"{where} {details['msg'].replace('Input should', 'must')}, got {short(given)}"


def _axis_faults(name: str, axis: AnyAxis, origin: object, model: ModelSpec | None) -> Iterator[str]:
    if name == "seed":
        yield "space.seed: a seed is no axis; remove it and set replicates to train each point several times"
        return
    if name not in Recipe.model_fields:
        arguments = () if model is None else build_arguments(model)
        if model is not None and (model.parameters is None or name in arguments):
            return
        meant = "a recipe field" if model is None else "a recipe field or an argument of build"
        hint = nearest(name, (*Recipe.model_fields, *arguments))
        yield f"space.{plain(name)} must name {meant}, got an unknown one{hint}"
        return
    types = _leaf_types(Recipe.model_fields[name].annotation)
    takes_integers = int in types
    takes_numbers = takes_integers or float in types
    if not axis.is_choice:
        if not takes_numbers:
            yield f"space.{name} must be a choice axis, since {name} is no number; got type {axis.type}"
            return
        if takes_integers and not axis.is_whole:
            yield f"space.{name} must be an integer, log_integer or choice axis, got type {axis.type}"
            return
    for value in axis.extremes():
        yield from _value_faults(name, value, origin, strings=axis.is_choice)


def _leaf_types(annotation: object) -> set[object]:
    """The plain types in an annotation, without unions and metadata."""
    parts = get_args(annotation)
    return {annotation} if not parts else set().union(*(_leaf_types(part) for part in parts))


def _value_faults(name: str, value: object, origin: object, *, strings: bool) -> Iterator[str]:
    part = "choices" if strings else "bounds"
    field = Recipe.model_fields[name]
    try:
        TypeAdapter(field.rebuild_annotation()).validate_python(value, strict=True, context=origin)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].replace("Input should", "must")
        yield f"space.{name}: its {part} {message}, got {short(value)}"


def _conflicts(space: SearchSpace, recipe: Recipe) -> Iterator[str]:
    given = recipe.model_fields_set
    for name in space.names():
        if name in given:
            yield f"{name} must be an axis or a fixed value, got both: remove it from space or from recipe"
    for name, (parent, values) in conditions().items():
        if name in space.names() and parent not in space.names() and getattr(recipe, parent) not in values:
            needed = " or ".join(str(value).lower() for value in values)
            yield (
                f"space.{name} has no effect, since {parent} is {str(getattr(recipe, parent)).lower()}: "
                f"set recipe.{parent} to {needed}, or make {parent} an axis of its own"
            )


def _scale_faults(space: SearchSpace, recipe: Recipe) -> Iterator[str]:
    """Theory checks later that there is a critical value to refer to (theory/relative_scale.py)."""
    names = set(space.names())
    relative = "relative_init_scale" in names or recipe.relative_init_scale is not None
    if not relative:
        return
    if "init_scale" in names or "init_scale" in recipe.model_fields_set:
        yield "init_scale and relative_init_scale must not both be given: one determines the other"


def _criterion_faults(space: SearchSpace, recipe: Recipe, criterion: Any) -> Iterator[str]:
    steps = space.axes.get("steps")
    least = recipe.steps if steps is None else min(_numbers(steps))
    for letter in criterion.responses or ():
        if least == 0 and RESPONSES[letter].needs_training:
            yield f"criterion.responses must not hold {letter} where steps is 0: nothing is trained; use [R]"


def _numbers(axis: AnyAxis) -> Iterable[float]:
    return [value for value in axis.extremes() if isinstance(value, int | float)]


def _data_faults(space: SearchSpace, recipe: Recipe, data: Any) -> Iterator[str]:
    if isinstance(data, FromFunction) and data.known_shape is None:
        return  # a run calls the function, and finds out
    try:
        rows = data.shape().num_rows
    except GradstabError as error:
        yield f"data: {error}"
        return
    probe = space.axes.get("probe_samples")
    most = recipe.probe_samples if probe is None else max(_numbers(probe))
    if most > rows:
        yield f"recipe.probe_samples must be at most the rows of the data set, {rows}, got {most}"
