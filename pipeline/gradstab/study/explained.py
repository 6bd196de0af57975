"""What `help` shows of a declaration: a line for each field, and a signature that can be read.

Both are made from the descriptions and types that check the fields, so that they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

_WIDTH = 100
_Declared = TypeVar("_Declared", bound=type)


class Section(BaseModel):
    """A part of a declaration: it cannot be changed, knows its fields only, and shows those that are set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        fields = type(self).model_fields
        for name, value in super().__repr_args__():
            if name is None or fields[name].is_required() or value != fields[name].default:
                yield name, value


def explained(python: _Declared) -> _Declared:
    """A pydantic model or a dataclass whose docstring lists its fields, and whose signature has types and defaults.

    pydantic's own signature repeats every limit of every field.
    """
    infos = field_infos(python)
    lines = [f"{name}: {meaning}." for name, info in infos.items() if (meaning := _meaning(info))]
    if lines:
        head, raises, end = inspect.cleandoc(python.__doc__ or "").partition("\n\nRaises:")
        python.__doc__ = head + "\n\nAttributes:\n" + "\n".join(map(_indented, lines)) + raises + end
    kind = inspect.Parameter.KEYWORD_ONLY if issubclass(python, BaseModel) else inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([_parameter(name, info, kind) for name, info in infos.items()])
    python.__signature__ = signature  # type: ignore[attr-defined]  # where inspect looks first
    return python


def field_infos(python: type[Any]) -> Mapping[str, FieldInfo]:
    """The fields of a pydantic model or a dataclass, with what is known of each."""
    if issubclass(python, BaseModel):
        return python.model_fields
    hints = get_type_hints(python, include_extras=True)
    infos = {}
    for one in dataclasses.fields(python):
        must_be_given = one.default is dataclasses.MISSING
        hint = hints[one.name]
        infos[one.name] = (
            FieldInfo.from_annotation(hint) if must_be_given else FieldInfo.from_annotated_attribute(hint, one.default)
        )
    return infos


def _meaning(info: FieldInfo) -> str:
    """What a field is: its description, or of a section the first sentence of its docstring."""
    if info.description:
        return info.description
    sections = [part for part in (info.annotation, *get_args(info.annotation)) if inspect.isclass(part)]
    told = [part.__doc__ for part in sections if issubclass(part, BaseModel)]
    return inspect.cleandoc(told[0] or "").partition("\n\n")[0].rstrip(".") if told else ""


def _indented(line: str) -> str:
    if len(line) + 4 <= _WIDTH:
        return f"    {line}"
    return textwrap.fill(line, _WIDTH, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False)


def _parameter(name: str, info: FieldInfo, kind: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if info.is_required() else info.default
    return inspect.Parameter(name, kind, default=default, annotation=_type_text(info.annotation))


def _type_text(annotation: Any) -> str:
    """A type by its name, as code writes it, without the limits of its values."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_text, parts))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type_text, parts))}]"
    names = {type(None): "None", ...: "..."}
    return names.get(annotation) or str(getattr(annotation, "__name__", annotation))
