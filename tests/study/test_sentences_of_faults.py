"""Every field of a study that is given a wrong type is refused in gradstab's words, not in those of pydantic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gradstab.errors import StudyError
from gradstab.study.did_you_mean import SYNONYMS, meant_name, nearest
from gradstab.study.faults import field_names
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study

BASE: dict[str, Any] = {
    "name": "s", "question": "q?", "space": {"depth": {"type": "integer", "low": 2, "high": 4}}, "budget": {"trials": 8}
}  # fmt: skip
WRONG: tuple[Any, ...] = ("x", "", 1.5, -3, [1], [], {"a": 1}, {}, None, True, float("nan"), b"x", ["x"])
PYDANTIC = ("valid", "Input", "unable to", "instance", "extract", "Field required", "parse", "Tuple", "Value error")

Path = tuple[str, ...]


def kinds(annotation: object) -> Iterator[type]:
    """The models and dataclasses in an annotation."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        yield annotation
    for part in get_args(annotation):
        yield from kinds(part)


def fields(kind: Any) -> dict[str, object]:
    if issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {field.name: None for field in dataclasses.fields(kind)}


def paths(kind: Any, above: Path = (), base: Mapping[str, Any] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every field, and the mapping that it stands in, with the tag of its kind where it has one."""
    known = fields(kind)
    tag = kind.model_fields["type"].default if issubclass(kind, BaseModel) and "type" in known else None
    if not issubclass(kind, BaseModel) and "type" in known:
        tag = next(field.default for field in dataclasses.fields(kind) if field.name == "type")
    start = {**(base or {}), **({"type": tag} if tag else {})}
    for name, annotation in known.items():
        if name == "root":  # a mapping of axes
            for part in kinds(annotation):
                yield from paths(part, (*above, "init_scale"))
            continue
        yield (*above, name), start
        for part in kinds(annotation):
            yield from paths(part, (*above, name))


CASES = sorted({(path, tuple(start.items())) for path, start in paths(Study)}, key=str)


def placed(tree: Mapping[str, Any], path: Path, value: object, start: Mapping[str, Any]) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**tree, **start, head: value}
    return {**tree, head: placed({}, tuple(rest), value, start)}


@pytest.mark.parametrize(("path", "start"), CASES, ids=lambda part: ".".join(map(str, part)))
def test_a_wrong_type_is_refused_in_plain_words(path, start):
    refused = 0
    for value in WRONG:
        try:
            Study.model_validate(placed(BASE, path, value, dict(start) if len(path) > 1 else {}))
        except StudyError as error:
            refused += 1
            for fault in error.faults:
                assert not any(word in fault.replace(repr(value), "") for word in PYDANTIC), (value, fault)
                assert "\n" not in fault
    assert refused, f"{path} takes whatever is given"


def test_the_walk_reaches_the_fields_that_it_must():
    found = {path for path, _ in CASES}
    assert {
        ("budget", "trials"), ("recipe", "learning_rate"), ("space", "init_scale", "low"), ("data", "path"),
        ("sampler", "batch"), ("criterion", "ratio_band"), ("space", "init_scale", "choices"), ("name",),
    } <= found  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "learning_rate"),
        ("epochs", "steps"),
        ("Learning_Rate", "learning_rate"),
        ("widht", "width"),
        ("qqq", None),
    ],
)
def test_what_other_programs_call_it_is_understood(typed, meant):
    assert meant_name(typed, Recipe.model_fields) == meant


def test_a_hint_names_only_what_is_known_in_the_place():
    assert nearest("swish", ["tanh", "silu"]) == "; did you mean 'silu'?"
    assert nearest("Tanh", ["tanh", "silu"]) == "; did you mean 'tanh'?"
    assert nearest("swish", ["depth", "width"]) == ""


def test_every_synonym_leads_to_a_name_that_gradstab_has():
    from gradstab.activations.registry import LIBRARY

    values = {
        value for field in Recipe.model_fields.values() for part in (field.annotation, *get_args(field.annotation))
        for value in get_args(part) if isinstance(value, str)
    }  # fmt: skip
    kinds_of_sections = {
        "real",
        "log_real",
        "integer",
        "log_integer",
        "choice",
        "random",
        "sobol",
        "gp",
        "cmaes",
        "gpu",
    }
    known = {*field_names(Study), *LIBRARY, *values, *kinds_of_sections}
    assert {name for names in SYNONYMS.values() for name in names} <= known
    assert not SYNONYMS.keys() & set(Recipe.model_fields), "a name of gradstab's own needs no synonym"
