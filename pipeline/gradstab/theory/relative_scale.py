"""`relative_init_scale`: init scales given in units of the activation's critical value, made absolute by theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradstab.errors import GradstabError, StudyError
from gradstab.study.recipe import Recipe
from gradstab.study.space import Value
from gradstab.study.study import Study


def resolved_recipe(study: Study, point: Mapping[str, Value]) -> Recipe:
    """The recipe of a trial at a point, with the init scale absolute."""
    recipe = study.recipe.at(point)
    if recipe.relative_init_scale is None:
        return recipe
    from gradstab.theory.critical_scales import critical_init_scale

    critical = critical_init_scale(recipe.activation, recipe.bias_scale)
    return recipe.at({"init_scale": recipe.relative_init_scale * critical})


def require_critical_scales(study: Study) -> None:
    """Check that every activation of a study with `relative_init_scale` has a critical init scale.

    The declaration knows no theory, so this is checked once it is sound by itself, and before anything runs.

    Raises:
        StudyError: names each activation that has none.
    """
    faults = list(_faults(study))
    if faults:
        raise StudyError(faults, source=study.name)


def _faults(study: Study) -> Iterator[str]:
    if "relative_init_scale" not in study.space.names() and study.recipe.relative_init_scale is None:
        return
    from gradstab.theory.critical_scales import critical_init_scale

    axis = study.space.axes.get("activation")
    for name in (study.recipe.activation,) if axis is None else axis.extremes():
        try:
            critical_init_scale(str(name), study.recipe.bias_scale)
        except GradstabError as error:
            yield f"relative_init_scale needs a critical init scale to refer to: {error}"
