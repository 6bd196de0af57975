"""Reads YAML as small plain values: no Python objects, no aliases that expand into millions, no deep nesting."""

from __future__ import annotations

import re
from typing import Any

import yaml

from gradstab.errors import UsageError
from gradstab.system.storage_url import without_passwords

MAX_VALUES = 20_000
MAX_DEPTH = 32
_TOO_DEEP = f"the YAML is nested more than {MAX_DEPTH} levels deep"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but 1e-3 is a number and a repeated key is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse deep nesting while reading: PyYAML's time grows with the square of the depth."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UsageError(_TOO_DEEP)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float | bool) and key in seen:
                raise UsageError(f"the key {_shown(key)} stands twice in a mapping ({_at(key_node)})")
            if not isinstance(key, str):
                raise UsageError(f"keys must be words, got {_shown(key)} ({_at(key_node)}): quote it")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_yaml(text: str) -> object:
    """The values of a YAML document.

    Raises:
        UsageError: it is no YAML, or holds more than plain values. The sentence does not name the document.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, 1, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UsageError(f"it is no valid YAML: {_line(error)}. Check the indentation") from None
    except RecursionError:
        raise UsageError(_TOO_DEEP) from None
    except (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
        # PyYAML's own constructors raise these on a scalar that only looks like its type
        raise UsageError(f"a value in the YAML cannot be read: {_line(error)}") from None


def _count(node: yaml.Node, depth: int, counted: dict[int, int]) -> int:
    """Number of values in a node with aliases expanded. Each node is counted once, so that counting stays cheap."""
    if depth > MAX_DEPTH:
        raise UsageError(_TOO_DEEP)
    if id(node) in counted:
        return counted[id(node)]
    total = 1
    if isinstance(node, yaml.ScalarNode) and any("\ud800" <= sign <= "\udfff" for sign in node.value):
        raise UsageError(f"it must be YAML of whole characters, got half a one (line {node.start_mark.line + 1})")
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    for part in parts:
        total += _count(part, depth + 1, counted)
    if total > MAX_VALUES:
        raise UsageError(f"the YAML has more than {MAX_VALUES} values once its aliases are expanded")
    counted[id(node)] = total
    return total


def _shown(key: object) -> str:
    return without_passwords(repr(key))[:80]


def _at(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _line(error: BaseException) -> str:
    """What is wrong and in which line, without the text of the line: it may hold a password."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = ", ".join(part for part in (error.context, error.problem) if part)
        text = f"{words} (line {error.problem_mark.line + 1})"
    else:
        text = str(error)
    text = without_passwords(" ".join(text.split())) or type(error).__name__
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text[:500])
