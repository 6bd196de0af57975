"""The fields of a declaration: what each allows, its default, what it means, and an example.

They are read off the classes of the declaration, so a field that is added there is found here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from inspect import getdoc
from typing import Any, get_args

import yaml
from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.fields import FieldInfo

from gradstab.activations.registry import LIBRARY
from gradstab.study.explained import field_infos
from gradstab.study.recipe import ActiveIf
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.versions import Since, Was

TAG = "type"  # the field that says which of several kinds is meant
NOTHING = "none"  # how a default of None is written
AS_BELOW = "as below"  # the default of a section: the defaults of its fields

# what functions check, so that no schema knows it
_CHECKED_NAMES = {
    "recipe.activation": f"{', '.join(f'`{name}`' for name in LIBRARY)}; the name of an activation that an installed "
    "package registers; in a Python study also a function of yours, `module:function`",
    "space.choices": "list of different values, each allowed where the axis has its name",
    "criterion.responses": f"list of {', '.join(f'`{letter}`' for letter in RESPONSES)}, or of their readable names",
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class with fields of its own that a field may hold.

    Attributes:
        python: the class.
        tag: what stands under `type`; None where the field may hold this class only.
        meaning: the first paragraph of its docstring.
        fields: its fields without the tag.
    """

    python: type[Any]
    tag: str | None
    meaning: str
    fields: tuple[DeclaredField, ...]

    def example(self) -> dict[str, Any]:
        """The fields that must be given and those that have a value by default, with an allowed value each."""
        shown = {field.name: field.example for field in self.fields if field.default != NOTHING}
        return shown if self.tag is None else {TAG: self.tag, **shown}


@dataclasses.dataclass(frozen=True)
class DeclaredField:
    """A field of a declaration; texts are Markdown.

    Attributes:
        path: its name after those of the sections that it is in, such as `recipe.width`.
        allowed: the allowed values in words.
        default: the default as YAML, "none" for None, "as below" for a section; None where it must be given.
        meaning: what it is, since when, and on what it depends.
        example: an allowed value as JSON types, another one than the default if the class gives examples.
        kinds: the classes with fields of their own that it may hold.
    """

    name: str
    path: str
    allowed: str
    default: str | None
    meaning: str
    example: Any
    kinds: tuple[Kind, ...]


def fields_of(python: type[Any], section: str = "") -> tuple[DeclaredField, ...]:
    """The fields of a pydantic model or of a dataclass (an axis), in their order."""
    return tuple(_field(name, info, section) for name, info in field_infos(python).items() if name != TAG)


def yaml_text(value: object) -> str:
    """A value as a study file may hold it, on one line."""
    text: str = yaml.safe_dump(
        TypeAdapter(Any).dump_python(value, mode="json"),
        default_flow_style=True,
        sort_keys=False,
        width=10_000,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _field(name: str, info: FieldInfo, section: str) -> DeclaredField:
    path = f"{section}.{name}" if section else name
    classes = tuple(_classes(info.annotation))
    kinds = tuple(_kind(one, path, is_one_of=len(classes) > 1) for one in classes)
    default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    schema = TypeAdapter(info.rebuild_annotation()).json_schema()
    examples = info.examples or []
    return DeclaredField(
        name=name,
        path=path,
        allowed=_CHECKED_NAMES.get(path) or _allowed(schema, schema.get("$defs", {})),
        default=None if info.is_required() else _default_text(default, kinds),
        meaning=_meaning(info, kinds),
        example=examples[0] if examples else _example(schema, default, kinds),
        kinds=kinds,
    )


def _classes(annotation: object) -> Iterator[type[Any]]:
    """The classes with fields in an annotation, in the order in which they stand there."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _classes(annotation.model_fields["root"].annotation)
    elif isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _classes(inner)


def _kind(python: type[Any], path: str, *, is_one_of: bool) -> Kind:
    tag = field_infos(python)[TAG].default if is_one_of else None
    return Kind(python, tag, _first_paragraph(python), fields_of(python, path))


def _first_paragraph(python: type[Any]) -> str:
    return " ".join((getdoc(python) or "").partition("\n\n")[0].split()).replace("``", "`")


def _meaning(info: FieldInfo, kinds: tuple[Kind, ...]) -> str:
    parts = [info.description or (kinds[0].meaning if len(kinds) == 1 else "")]
    for mark in info.metadata:
        match mark:
            case ActiveIf(parent, values):
                parts.append(f"counts only where `{parent}` is {_one_of(values)}")
            case Since(version):
                parts.append(f"since version {version}")
            case Was(old, until):
                parts.append(f"before version {until} its name was `{old}`, which still works")
    return "; ".join(part.strip(". ") for part in parts if part)


def _one_of(values: tuple[Any, ...] | list[Any]) -> str:
    *first, last = [f"`{yaml_text(value)}`" for value in values]
    return f"{', '.join(first)} or {last}" if first else last


def _default_text(default: object, kinds: tuple[Kind, ...]) -> str:
    if default is None:
        return NOTHING
    if isinstance(default, BaseModel):
        tag = getattr(default, TAG, None)
        return yaml_text({TAG: tag}) if len(kinds) > 1 else AS_BELOW
    return yaml_text(default)


def _allowed(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one return a kind
    """The allowed values of a JSON schema in words."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "const" in schema or "enum" in schema:
        return _one_of(schema.get("enum") or [schema["const"]])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            inner = dict.fromkeys(_allowed(one, known) for one in schema[word])
            return " or ".join(inner)
    match schema.get("type"):
        case "null":
            return NOTHING
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return f"whole number{_range(schema)}"
        case "number":
            return f"number{_range(schema)}"
        case "array":
            items = schema.get("prefixItems") or [schema.get("items", {})]
            return f"list of {', '.join(dict.fromkeys(_allowed(one, known) for one in items))}"
        case "object" if "properties" not in schema:
            return f"names, each with a {_allowed(schema.get('additionalProperties', {}), known)}"
        case "object":
            return "fields of its own"
        case "string":
            return "path of a file" if schema.get("format") == "path" else "text"
    return "any value"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    parts = [f" {word} {_number(schema[bound])}" for bound, word in words.items() if bound in schema]
    return ",".join(parts)


def _number(bound: float) -> str:
    exponent = math.log2(bound) if bound > 2**32 else 0.5
    return f"2^{exponent:.0f}" if exponent.is_integer() else f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _example(schema: Mapping[str, Any], default: object, kinds: tuple[Kind, ...]) -> Any:
    """An allowed value that a schema gives: another choice than the default, twice it, or the lowest number."""
    if kinds:
        return kinds[0].example()
    first = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
    if "$ref" in first:
        first = schema["$defs"][first["$ref"].rpartition("/")[2]]
    kind = first.get("type")
    choices = [True, False] if kind == "boolean" else first.get("enum") or [first.get("const")]
    if choices != [None]:
        return next((choice for choice in choices if choice != default), default)
    if isinstance(default, int | float) and default:
        bounds = [first[word] for word in ("maximum", "exclusiveMaximum") if word in first]
        return default * 2 if all(default * 2 < bound for bound in bounds) else default
    if default is not None:
        return default
    if "pattern" in first or "prefixItems" in first:
        return None  # made by a program rather than typed
    lowest = first.get("minimum", first.get("exclusiveMinimum", 0) + 1)
    text = "my_data.npz" if first.get("format") == "path" else "name"
    simplest = {"integer": lowest, "number": lowest, "object": {}}
    return [_example(first["items"], None, ())] if kind == "array" else simplest.get(str(kind), text)
