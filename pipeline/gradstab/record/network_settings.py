"""The settings of the network of a recorded trial, whatever kind of network it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradstab.study.recipe import BUILDABLE, FULLY_CONNECTED, fields_with


def is_of_module(recipe: Mapping[str, Any]) -> bool:
    """Whether a recorded recipe is that of a user's module."""
    return "build" in recipe


def network_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """By name: what `build` was called with, and the scale of the weights; or the recipe's fields of a network."""
    if is_of_module(recipe):
        scaled = {} if recipe.get("weight_scale", 1.0) == 1.0 else {"weight_scale": recipe["weight_scale"]}
        return {**recipe["arguments"], **scaled}
    names = (*fields_with(BUILDABLE), *fields_with(FULLY_CONNECTED))
    return {name: recipe[name] for name in names if name in recipe}
