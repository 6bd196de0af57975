"""The recipe of one training of a user's module: the settings of the training, and the arguments of `build`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradstab.study.axes import Value
from gradstab.study.origin import FROM_RECORD
from gradstab.study.recipe import BUILDABLE, Recipe, fields_with

if TYPE_CHECKING:
    from gradstab.study.study import Study


class ModuleRecipe(Recipe):
    """Every setting of one training of one module.

    Attributes:
        build: name of the function that builds the module.
        arguments: what it is called with; its own defaults are written out as far as they are plain values.
        given: names of the arguments that the study gives, which are passed; the other ones are for the record.
        traced: names of the arguments that may differ inside a stack of members that are computed together.
    """

    build: str
    arguments: dict[str, Value | None]
    given: tuple[str, ...]
    traced: tuple[str, ...] = ()

    def structure(self) -> tuple[object, ...]:
        """What members must agree in to be computed together: all arguments that are not traced."""
        kept = sorted((name, value) for name, value in self.arguments.items() if name not in self.traced)
        return (self.build, *((name, type(value).__name__, value) for name, value in kept))


def module_recipe(study: Study, point: Mapping[str, Value]) -> ModuleRecipe:
    """The recipe of a trial of a study of modules at a point."""
    spec = study.model
    assert spec is not None
    of_training = {name: value for name, value in point.items() if name in Recipe.model_fields}
    recipe = study.recipe.at(of_training)
    given = dict(spec.settings)
    for name in fields_with(BUILDABLE):
        is_given = name in study.recipe.model_fields_set or name in point
        if is_given and takes(spec.parameters, name):
            given[name] = getattr(recipe, name)
    given |= {name: value for name, value in point.items() if name not in Recipe.model_fields}
    return ModuleRecipe.model_validate(
        {
            **recipe.model_dump(),
            "build": spec.build,
            "arguments": {**spec.defaults, **given},
            "given": tuple(given),
            "traced": spec.traced,
        },
        context=FROM_RECORD,
    )


def takes(parameters: tuple[str, ...] | None, name: str) -> bool:
    """Whether a function with these parameters takes an argument; what is not known is left to the call."""
    return parameters is None or name in parameters
