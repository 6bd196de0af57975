"""How the arrays of a file are named: which are inputs, which are targets, and how they form tuples and dicts.

The same rules serve the shapes of a file that is only looked at and its tensors once it is read, so a leaf may be
anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradstab.study.data_file import DataError, require_rows
from gradstab.study.pack_key import DataShape


@dataclass(frozen=True)
class Header:
    """What a file says of one array before it is read."""

    shape: tuple[int, ...]


def header(shape: Iterable[Any]) -> Header:
    """The header of an array whose shape a file says.

    Raises:
        ValueError: it is no shape.
    """
    found = tuple(shape)
    if not all(isinstance(length, int) and length >= 0 for length in found):
        raise ValueError(f"{found} is no shape")
    return Header(found)


def inputs_and_targets(content: object, source: str) -> tuple[Any, Any]:
    """The two trees of a file's content.

    They are `inputs` and `targets`, or `X` and `y`. Arrays called `inputs.NAME` form a dict, and `inputs.0`, `inputs.1`
    ... a tuple. Everything else in the file is left alone.

    Raises:
        DataError: one of them is missing, or it is there as a whole and in parts.
    """
    if isinstance(content, Mapping):
        for names in (("inputs", "targets"), ("X", "y")):
            inputs, targets = (_named(content, name, source) for name in names)
            if inputs is not None and targets is not None:
                return inputs, targets
        held = ", ".join(map(str, content)) or "nothing"
    else:
        held = "one array" if isinstance(content, Header) else f"a {type(content).__name__}"
    raise DataError(f"{source} must hold inputs and targets (or X and y), got {_cut(held)}.")


def leaves(tree: object, name: str) -> Iterator[tuple[str, Any]]:
    """Every array of a tree, with the name under which a sentence may speak of it."""
    if isinstance(tree, Mapping):
        for key, inner in tree.items():
            yield from leaves(inner, f"{name}.{key}")
    elif isinstance(tree, tuple | list):
        for place, inner in enumerate(tree):
            yield from leaves(inner, f"{name}.{place}")
    else:
        yield name, tree


def map_leaves(change: Callable[[str, Any], Any], tree: object, name: str) -> Any:
    """A copy of the tree with `change(name, leaf)` in place of every leaf; lists become tuples."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(change, inner, f"{name}.{key}") for key, inner in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(map_leaves(change, inner, f"{name}.{place}") for place, inner in enumerate(tree))
    return change(name, tree)


def shape_of(inputs: object, targets: object, source: str, num_classes: int = 1) -> DataShape:
    """The size of a data set from the shapes of its arrays; features are the numbers in one row of all inputs.

    Raises:
        DataError: there is no array, one has no axis, their numbers of rows differ, or there are too few rows.
    """
    named = [*leaves(inputs, "inputs"), *leaves(targets, "targets")]
    other = [(name, leaf) for name, leaf in named if not hasattr(leaf, "shape")]
    if other:
        raise DataError(f"{source} must hold tensors or arrays, got {type(other[0][1]).__name__} as {other[0][0]}.")
    shapes = {name: tuple(leaf.shape) for name, leaf in named}
    flat = sorted(name for name, shape in shapes.items() if not shape)
    if flat:
        raise DataError(f"{source} must hold arrays with one row a sample, got a single number as {flat[0]}.")
    counts = {name: shape[0] for name, shape in shapes.items()}
    for part in ("inputs", "targets"):
        if not any(name.partition(".")[0] == part for name in counts):
            raise DataError(f"{source} must hold at least one array as {part}, got none.")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(f"{source} must hold as many rows in each array (axis 0), got {_cut(listed)}.")
    empty = sorted(name for name, shape in shapes.items() if 0 in shape[1:])
    if empty:
        raise DataError(f"{source} must hold numbers in each row, got {empty[0]} of shape {shapes[empty[0]]}.")
    num_rows = next(iter(counts.values()))
    require_rows(source, num_rows)
    num_features = sum(int(np.prod(leaf.shape[1:], dtype=np.int64)) for _, leaf in leaves(inputs, "inputs"))
    return DataShape(num_rows, num_features, num_classes)


def _named(content: Mapping[Any, Any], name: str, source: str) -> Any:
    parts = {str(key).removeprefix(f"{name}."): content[key] for key in content if str(key).startswith(f"{name}.")}
    if name not in content:
        return _tuple_or_dict(parts) if parts else None
    if parts:
        raise DataError(
            f"{source} must hold {name} as one array or in parts, got {name} and {name}.{next(iter(parts))}."
        )
    return content[name]


def _tuple_or_dict(parts: dict[str, Any]) -> Any:
    places = [str(place) for place in range(len(parts))]
    return tuple(parts[place] for place in places) if set(places) == set(parts) else parts


def _cut(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
