"""`help` on a declaration shows its fields, from the descriptions that the page of study files is written from."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator

import pytest

import gradstab
from gradstab.study.explained import field_infos
from gradstab.study.field_list import DeclaredField, fields_of
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study


def classes(fields: tuple[DeclaredField, ...]) -> Iterator[type]:
    for field in fields:
        for kind in field.kinds:
            yield kind.python
            yield from classes(kind.fields)


DECLARED = [Study, *dict.fromkeys(classes(fields_of(Study)))]


def test_all_that_is_exported_for_declarations_is_looked_at():
    exported = {getattr(gradstab, name) for name in gradstab.__all__}
    declared = {one for one in exported if inspect.isclass(one) and one.__module__.startswith("gradstab.study.")}
    assert declared <= set(DECLARED)
    assert {Study, Recipe, gradstab.Criterion, gradstab.LogReal} <= set(DECLARED)


@pytest.mark.parametrize("python", DECLARED, ids=lambda python: python.__name__)
def test_each_field_has_its_line(python):
    shown = " ".join((inspect.getdoc(python) or "").split())
    for name, info in field_infos(python).items():
        if info.description:
            assert f" {name}: {' '.join(info.description.split())}" in shown, name
        elif name != "type":
            assert f" {name}: " in shown, f"{name} has no description, and no section to take one from"


@pytest.mark.parametrize("python", DECLARED, ids=lambda python: python.__name__)
def test_the_signature_has_types_and_defaults_and_no_limits(python):
    signature = inspect.signature(python)
    assert list(signature.parameters) == list(field_infos(python))
    assert "FieldInfo" not in str(signature)
    assert "Annotated" not in str(signature)
    for name, info in field_infos(python).items():
        assert (signature.parameters[name].default is inspect.Parameter.empty) == info.is_required()


def test_help_begins_with_the_question_and_its_fields():
    shown = pydoc.plain(pydoc.render_doc(Study))
    head = shown.partition("Method resolution order")[0]
    assert "budget: When a study is done" in head
    assert "recipe: 'Recipe' = Recipe(), model: 'ModelSpec | None' = None, data: 'Digits | Teacher" in head
    assert head.index("Attributes:") < head.index("budget: When") < head.index("Raises:")


def test_a_section_shows_what_was_set():
    assert repr(Recipe()) == "Recipe()"
    assert repr(Recipe(depth=4, clip=True)) == "Recipe(depth=4, clip=True)"
