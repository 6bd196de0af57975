"""The page of fields says what a study file may hold: no field without a line, no example that is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field, TypeAdapter

from gradstab.study.field_list import DeclaredField, Kind, fields_of, yaml_text
from gradstab.study.field_page import page
from gradstab.study.study import Study
from gradstab.study.versions import Since
from tests.study.test_study import study
from tests.study.test_versions import defaults

HOW = "python -m gradstab.study.field_page > docs/study_file.md"


def all_fields(fields: tuple[DeclaredField, ...]) -> Iterator[DeclaredField]:
    for field in fields:
        yield field
        for kind in field.kinds:
            yield from all_fields(kind.fields)


def all_kinds(fields: tuple[DeclaredField, ...]) -> Iterator[tuple[DeclaredField, Kind]]:
    for field in fields:
        for kind in field.kinds:
            yield field, kind
            yield from all_kinds(kind.fields)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page(), flags=re.DOTALL)


def test_the_page_is_current():
    written = (Path(__file__).parents[2] / "docs" / "study_file.md").read_text(encoding="utf-8")
    assert written == page(), HOW


def test_every_field_of_the_declaration_is_on_the_page():
    """`defaults()` walks over the classes of a declaration by another way."""
    declared = {name for fields in defaults().values() for name in fields}
    listed = {f"Study.{field.name}" for field in fields_of(Study)}
    for _, kind in all_kinds(fields_of(Study)):
        listed |= {f"{kind.python.__name__}.{field.name}" for field in kind.fields}
    tags = {name for name in declared if name.endswith(".type")}
    assert listed == declared - tags
    assert len(re.findall(r"^\| `", page(), flags=re.MULTILINE)) >= len(listed)


def test_every_field_and_kind_has_a_meaning():
    silent = [field.path for field in all_fields(fields_of(Study)) if not field.meaning]
    assert not silent, f'{silent}: give these fields a meaning, Field(description="...")'
    unnamed = [kind.python.__name__ for _, kind in all_kinds(fields_of(Study)) if not kind.meaning]
    assert not unnamed, f"{unnamed}: give these classes a docstring"


@pytest.mark.parametrize(
    ("field", "kind"),
    list(all_kinds(fields_of(Study))),
    ids=lambda value: value.path if isinstance(value, DeclaredField) else value.python.__name__,
)
def test_every_example_is_allowed(field: DeclaredField, kind: Kind):
    accept: TypeAdapter[Any] = TypeAdapter(kind.python)
    for one in kind.fields:
        example = {**kind.example(), one.name: one.example}
        try:
            accept.validate_python(example)
        except ValueError as error:
            pytest.fail(f"{one.path}: {error}\nGive the field an example that is allowed: Field(examples=[...])")


def test_the_examples_of_the_top_are_allowed():
    for field in fields_of(Study):
        if not field.kinds:
            study(**{field.name: field.example})


def test_every_block_of_the_page_can_stand_in_a_study_file():
    first, *others = blocks("yaml")
    (whole,) = blocks("python")
    namespace: dict[str, Any] = {}
    exec(whole, namespace)
    assert Study.model_validate(yaml.safe_load(first)) == namespace["STUDY"]
    kinds = [kind for _, kind in all_kinds(fields_of(Study)) if kind.tag is not None]
    assert len(others) == len(kinds)
    for block, kind in zip(others, kinds, strict=True):
        ((name, held),) = yaml.safe_load(block).items()
        held = next(iter(held.values())) if name == "space" else held
        assert held["type"] == kind.tag
        if "path" not in held:  # of a file that is not there
            model = {"model": {"build": "residual"}} if getattr(kind.python, "for_modules", False) else {}
            study(**yaml.safe_load(block), **model)


class Inner(BaseModel):
    """A section of a later version.

    Its second paragraph is for programmers.
    """

    rate: Annotated[float, Field(ge=0, lt=1, description="how many units are dropped"), Since("0.9.0")] = 0.0
    names: Annotated[tuple[str, ...], Field(description="which layers")]


class Outer(BaseModel):
    count: Annotated[int | None, Field(ge=1, le=10_000, description="how many")] = None
    share: Annotated[float, Field(gt=0, le=1, description="how much")] = 1.0
    mode: Annotated[str, Field(description="how", examples=["a|b"])] = "x"
    inner: Inner | None = None


def test_a_field_that_is_added_is_found_with_its_limits():
    count, share, mode, inner = fields_of(Outer)
    assert (share.allowed, share.example) == ("number above 0, at most 1", 1.0)
    assert (count.allowed, count.default) == ("whole number from 1 to 10,000 or none", "none")
    assert (mode.allowed, mode.default, mode.example) == ("text", "x", "a|b")
    assert inner.default == "none"
    (kind,) = inner.kinds
    assert (kind.tag, kind.meaning) == (None, "A section of a later version.")
    rate, names = kind.fields
    assert (rate.path, rate.allowed, rate.default) == ("inner.rate", "number at least 0, below 1", "0.0")
    assert rate.meaning == "how many units are dropped; since version 0.9.0"
    assert (names.default, names.example) == (None, ["name"])
    assert yaml_text(kind.example()) == "{rate: 0.0, names: [name]}"


def test_a_default_that_a_dataclass_gives_is_told():
    @dataclasses.dataclass
    class Axis:
        low: float
        step: Annotated[float, Field(description="distance of two values")] = 0.5

    low, step = fields_of(Axis)
    assert (low.default, step.default) == (None, "0.5")
