"""`relative_init_scale`: init scales given in units of the activation's critical value, made absolute by theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradstab.activations.registry import is_known
from gradstab.errors import GradstabError, StudyError
from gradstab.study.axes import Value
from gradstab.study.module_recipe import module_recipe
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study


def resolved_recipe(study: Study, point: Mapping[str, Value]) -> Recipe:
    """The recipe of a trial at a point, with the init scale absolute.

    The scale stays relative for an activation that this process has not imported: such a recipe can be neither trained
    nor asked of theory here, only counted.
    """
    if study.model is not None:
        return module_recipe(study, point)
    recipe = study.recipe.at(point)
    if recipe.relative_init_scale is None or not is_known(recipe.activation):
        return recipe
    from gradstab.theory.critical_scales import critical_init_scale

    critical = critical_init_scale(recipe.activation, recipe.bias_scale)
    return recipe.at({"init_scale": recipe.relative_init_scale * critical})


def require_critical_scales(study: Study) -> None:
    """Check that every activation of a study with `relative_init_scale` has a critical init scale.

    The declaration knows no theory, so this is checked once it is sound by itself, and before anything runs. Functions
    of the user are passed over until they are imported.

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

    for name in filter(is_known, study.activations):
        try:
            critical_init_scale(name, study.recipe.bias_scale)
        except GradstabError as error:
            yield f"relative_init_scale needs a critical init scale to refer to: {error}"
