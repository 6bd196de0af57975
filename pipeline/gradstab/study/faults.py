"""The faults of a study as sentences: what must hold and what came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from gradstab.errors import GradstabError
from gradstab.study.axes import AnyAxis
from gradstab.study.data_spec import FromFunction
from gradstab.study.did_you_mean import nearest
from gradstab.study.model_faults import build_arguments, subject_faults
from gradstab.study.model_spec import ModelSpec
from gradstab.study.recipe import Recipe, conditions
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import SearchSpace
from gradstab.study.spelling import spelled
from gradstab.study.wording import plain, short
from gradstab.system.storage_url import without_password

EXPERIMENT_PATTERN = r"^[^'\"%\\\x00-\x1f]{1,400}$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_TAGS = ("real", "log_real", "integer", "log_integer", "choice")


# what a value must be, by the kinds of pydantic's errors: by their first words
_MUST_BE = {
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_": "text",
    "path_": "a path",
    "list_": "a list",
    "tuple_": "a list",
    "set_": "a list",
    "finite_": "a finite number",
    "none_": "left out",
    "decimal_": "a number",
}
_MAPPINGS = ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type")
_EXAMPLES = {
    "budget": "{trials: 200}",
    "stop": "{error: 0.05}",
    "recipe": "{width: 64, steps: 100}",
    "space": "{depth: {type: log_integer, low: 2, high: 32}}",
    "criterion": "{ratio_band: 1.0}",
    "resources": "{slots: 4}",
    "tracking": "{child_runs: 1000}",
    "data": "{type: digits}",
    "sampler": "{type: sobol}",
}
_AXIS = "{type: log_real, low: 0.5, high: 4}"


def sentences(error: ValidationError, section: str, known: Iterable[str] = ()) -> list[str]:
    """One sentence for each error that pydantic found in a section of a study.

    Args:
        known: the names of fields that the section may have, for a hint at what was meant.
    """
    found = error.errors(include_url=False)
    places = [details["loc"] for details in found]
    return list(
        dict.fromkeys(
            _sentence(details, section, known)
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
        faults.extend(_warmup_faults(space, recipe))
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


def field_names(annotation: object) -> set[str]:
    """The names of all fields that a section of this type may have, those within its parts included."""
    found: set[str] = set()
    for part in (annotation, *get_args(annotation)):
        if part is not annotation:
            found |= field_names(part)
        elif isinstance(part, type):
            fields = getattr(part, "model_fields", None) or getattr(part, "__dataclass_fields__", {})
            found |= set(fields) - {"root", "__pydantic_config__"}
            for field in fields.values():
                found |= field_names(getattr(field, "annotation", None))
    return found


def _sentence(details: Any, section: str, known: Iterable[str]) -> str:  # noqa: PLR0911 - one return a kind
    # pydantic's location holds the discriminator's tag; users know only the field
    place = details["loc"][1:] if section in ("data", "sampler") else details["loc"]
    where = ".".join([section, *(plain(part) for part in place if part not in _TAGS)])
    given, context, kind = details["input"], details.get("ctx", {}), details["type"]
    match kind:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{where} must be a known field, got an unknown one{nearest(str(details['loc'][-1]), known)}"
        case "too_short":
            return f"{where} must have at least {context['min_length']}, got {context['actual_length']}"
        case "string_too_short":
            return f"{where} must not be empty"
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
            return f"{where} {_must_match(context['pattern'])}, got {short(given)}"
        case "literal_error":
            choices = [part.strip(" '") for part in context["expected"].replace(" or ", ", ").split(",")]
            return f"{where} must be one of {', '.join(choices)}, got {short(given)}{nearest(str(given), choices)}"
    if kind in _MAPPINGS:
        example = _AXIS if section == "space" and where != section else _EXAMPLES.get(where, "")
        if where == "budget" and isinstance(given, int) and given > 0:
            example = f"{{trials: {given}}}"
        hint = f": write {where.rpartition('.')[2]}: {example}" if example else ""
        return f"{where} must be a mapping of fields, got {short(given)}{hint}"
    return f"{where} {_must(details)}, got {short(given)}"


def _must(details: Any) -> str:
    """What a value must be, in words."""
    kind = details["type"]
    if kind == "int_from_float":
        return "must be a whole number"
    for beginning, words in _MUST_BE.items():
        if kind.startswith(beginning):
            return f"must be {words}"
    message = str(details["msg"]).replace("Input should", "must")
    return message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _must_match(pattern: str) -> str:
    if pattern == NAME_PATTERN:
        return "must be at most 64 letters, digits, '.', '_' or '-', the first a letter or a digit (it names a folder)"
    if pattern == EXPERIMENT_PATTERN:
        return "must be 1 to 400 characters without quotation marks, '%', backslashes and line breaks"
    return f"must match {pattern}"


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
        details = error.errors(include_url=False)[0]
        if details["type"] == "literal_error":
            (told,) = sentences(error, f"space.{name}: its {part}")
            yield told
        else:
            yield f"space.{name}: its {part} {_must(details)}, got {short(value)}"


def _conflicts(space: SearchSpace, recipe: Recipe) -> Iterator[str]:
    given = recipe.model_fields_set
    for name in space.names():
        if name in given:
            yield f"{name} must be an axis or a fixed value, got both: remove it from space or from recipe"
    for name, (parent, values) in conditions().items():
        if name in space.names() and parent not in space.names() and getattr(recipe, parent) not in values:
            needed = " or ".join(map(spelled, values)).replace("'", "")
            yield (
                f"space.{name} has no effect, since {parent} is {spelled(getattr(recipe, parent))}: "
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


def _warmup_faults(space: SearchSpace, recipe: Recipe) -> Iterator[str]:
    longest, fewest = _values(space, recipe, "warmup_steps"), _values(space, recipe, "steps")
    if longest and fewest and 0 <= min(fewest) < max(longest):
        yield (
            f"warmup_steps must be at most steps, got up to {max(longest):g} where steps is {min(fewest):g}: "
            "shorten the warm-up, or train for more steps"
        )


def _values(space: SearchSpace, recipe: Recipe, name: str) -> list[float]:
    """The least and the largest number that a field may have, or its only one; none where its axis has no numbers."""
    axis = space.axes.get(name)
    return [getattr(recipe, name)] if axis is None else [*_numbers(axis)]


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
