"""Which fields of a declaration came in which version, so that a study goes on under the versions that follow.

A field that is added to a declaration carries the version that brings it, and one that is renamed carries its old name:

    dropout: Annotated[float, Field(ge=0, lt=1), Since("0.3.0")] = 0.0
    child_runs: Annotated[int, Field(ge=0), Was("children", until="0.2.0")] = 10_000

A study that began before a field existed leaves it out of its fingerprint and of its study.json as long as the field
has its default. So an added field needs a default, and a default may never change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import BaseModel, RootModel

from gradstab.system.version_order import later, version_numbers

FIRST_VERSION = "0.1.0"  # of fields that say nothing, and of studies that do not say when they began


class Since(NamedTuple):
    """Marks a field that came in a version."""

    version: str


class Was(NamedTuple):
    """Marks a field that had another name until a version renamed it."""

    name: str
    until: str


@dataclasses.dataclass(frozen=True)
class _Growth:
    """The default of a field, when it came, and what it was called earlier."""

    default: object
    since: str
    was: Was | None


def versions_of(part: object) -> list[str]:
    """The versions that brought or renamed a field of a declaration or of its parts, oldest first."""
    return sorted({FIRST_VERSION, *_versions(part)}, key=version_numbers)


def as_of(part: object, dumped: Any, version: str) -> Any:
    """A dumped declaration as a study of that version has it: without later fields at their default, under old names.

    Args:
        part: the declaration, or a part of it.
        dumped: the same as JSON types.
    """
    part = part.root if isinstance(part, RootModel) else part
    if not isinstance(dumped, dict):
        return dumped
    if isinstance(part, Mapping):
        return {name: as_of(part[name], content, version) for name, content in dumped.items()}
    fields = _growth_of(part)
    shown = {}
    for name, content in dumped.items():
        field, value = fields[name], getattr(part, name)
        if not (later(field.since, version) and value == field.default):
            renamed_later = field.was is not None and later(field.was.until, version)
            shown[field.was.name if field.was and renamed_later else name] = as_of(value, content, version)
    return shown


def current_name(model: type[BaseModel], name: str) -> str:
    """What a field is called now that may be given by its old name."""
    return next((now for now, field in _growth(model).items() if field.was and field.was.name == name), name)


def under_current_names(model: type[BaseModel], given: object) -> object:
    """What was given for a model, with fields under the names that they have now.

    Raises:
        ValueError: a field is given by its old and by its new name.
    """
    if not isinstance(given, Mapping):
        return given
    for name in given:
        now = current_name(model, str(name))
        if now != name and now in given:
            raise ValueError(f"{name} is the old name of {now}, and both are given: keep {now} alone")
    return {current_name(model, str(name)): value for name, value in given.items()}


def _versions(part: object) -> Iterator[str]:
    part = part.root if isinstance(part, RootModel) else part
    if isinstance(part, Mapping):
        for inner in part.values():
            yield from _versions(inner)
        return
    for name, field in _growth_of(part).items():
        yield field.since
        yield from [] if field.was is None else [field.was.until]
        yield from _versions(getattr(part, name))


def _growth_of(part: object) -> dict[str, _Growth]:
    kind: Any = type(part)
    return _growth(kind)


@cache
def _growth(kind: type[Any]) -> dict[str, _Growth]:
    """The fields of a pydantic model or of a dataclass (an axis); none for anything else."""
    if issubclass(kind, BaseModel):
        return {
            name: _grown(field.get_default(call_default_factory=True, validated_data={}), field.metadata)
            for name, field in kind.model_fields.items()
        }
    if not dataclasses.is_dataclass(kind):
        return {}
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: _grown(field.default, get_args(hints[field.name])) for field in dataclasses.fields(kind)}


def _grown(default: object, metadata: Sequence[object]) -> _Growth:
    since = next((mark.version for mark in metadata if isinstance(mark, Since)), FIRST_VERSION)
    return _Growth(default, since, next((mark for mark in metadata if isinstance(mark, Was)), None))
