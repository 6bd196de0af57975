"""What differs between two declarations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradstab.study.spelling import spelled


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each field that differs between two dumped studies: `recipe.width: 64 -> 256`."""
    flat_old, flat_new = _flat(old), _flat(new)

    def shown(flat: Mapping[str, Any], key: str) -> str:
        value = flat.get(key, "(none)")
        return value if isinstance(value, str) else spelled(value)

    return [
        f"{key}: {shown(flat_old, key)} -> {shown(flat_new, key)}"
        for key in [*flat_old, *(key for key in flat_new if key not in flat_old)]
        if flat_old.get(key) != flat_new.get(key)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
