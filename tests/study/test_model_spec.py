"""The declaration of a user's module: names, arguments, and every fault in one sentence."""

from __future__ import annotations

import functools

import pytest

from gradstab.errors import GradstabError, StudyError
from gradstab.study.axes import Choice, LogInteger, LogReal, Real
from gradstab.study.data_spec import Digits
from gradstab.study.file import changed
from gradstab.study.model_spec import Model
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.origin import FROM_RECORD
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe


def build(depth, width, *, norm="pre", scale=1.0, heads=4, extra=None):
    """A builder; it is named, never called."""


def loss(outputs, targets):
    """A loss; it is named, never called."""


def declared(build=build, loss=loss, *, model=None, **fields):
    """A study of `build`."""
    given = {
        "name": "own",
        "question": "How deep?",
        "space": {"depth": LogInteger(2, 24), "norm": Choice(("pre", "post"))},
        "recipe": {"width": 64},
        "budget": {"trials": 20},
        **fields,
    }
    return Study(model=Model(build, loss, **(model or {})), **given)


def test_functions_are_stored_by_name():
    model = declared().model
    assert (model.build, model.loss) == (f"{__name__}:build", f"{__name__}:loss")
    assert model.required == ("depth", "width")
    assert model.defaults == {"norm": "pre", "scale": 1.0, "heads": 4, "extra": None}


def test_arguments_are_axes_settings_and_given_recipe_fields_with_defaults_on_record():
    study = declared(model={"settings": {"heads": 8}})
    recipe = resolved_recipe(study, {"depth": 5, "norm": "post"})
    assert isinstance(recipe, ModuleRecipe)
    assert recipe.arguments == {"depth": 5, "width": 64, "norm": "post", "heads": 8, "scale": 1.0, "extra": None}
    assert set(recipe.given) == {"depth", "width", "norm", "heads"}


def test_a_study_survives_its_record():
    study = declared(recipe={"width": 64, "steps": 30})
    again = Study.model_validate(study.dump(), context=FROM_RECORD)
    assert again.fingerprint() == study.fingerprint()
    assert resolved_recipe(again, {"depth": 3, "norm": "pre"}) == resolved_recipe(study, {"depth": 3, "norm": "pre"})


def test_a_recorded_recipe_survives_its_record():
    recipe = resolved_recipe(declared(), {"depth": 5, "norm": "post"})
    assert ModuleRecipe.model_validate(recipe.model_dump(), context=FROM_RECORD) == recipe


def test_the_name_of_the_builder_is_part_of_the_fingerprint_and_the_budget_is_not():
    other = declared(model={"settings": {"heads": 8}})
    assert other.fingerprint() != declared().fingerprint()
    assert declared(budget={"trials": 99}).fingerprint() == declared().fingerprint()


def variadic(depth, **rest):
    """Takes anything."""


def positional(depth, /):
    """Takes no names."""


def takes_steps(depth, width, steps=3):
    """Takes a training field."""


FAULTS = {
    "unknown axis": (
        lambda: declared(space={"depth": LogInteger(2, 4), "nrom": Choice(("pre", "post"))}),
        "space.nrom must name a recipe field or an argument of build.*did you mean 'norm'",
    ),
    "missing argument": (
        lambda: declared(recipe={}),
        "build needs width: give it as an axis, in the recipe, or in model.settings",
    ),
    "given twice": (
        lambda: declared(model={"settings": {"norm": "pre"}}),
        "norm must be given once",
    ),
    "unknown setting": (
        lambda: declared(model={"settings": {"headz": 2}}),
        "model.settings.headz must be an argument of build.*did you mean 'heads'",
    ),
    "a recipe field that build does not take": (
        lambda: declared(recipe={"width": 64, "activation": "relu"}),
        "build does not take activation",
    ),
    "a training field as an argument": (
        lambda: declared(takes_steps, space={"depth": LogInteger(2, 4)}),
        "model.build must not take steps",
    ),
    "any keyword": (lambda: declared(variadic), "model.build must name its arguments, got \\*\\*rest"),
    "positional only": (lambda: declared(positional), "model.build must take its arguments by name"),
    "a distribution that means nothing": (
        lambda: declared(recipe={"width": 64, "init_distribution": "uniform"}),
        "init_distribution means nothing for a module",
    ),
    "a relative scale": (
        lambda: declared(space={"depth": LogInteger(2, 4), "relative_init_scale": Real(0.5, 2)}),
        "relative_init_scale means nothing for a module",
    ),
    "no loss": (lambda: declared(loss=None), "model.loss must be given"),
    "an unknown family": (
        lambda: declared("transfromer", None),
        "model.build must be a family.*did you mean 'transformer'",
    ),
    "an unknown traced argument": (
        lambda: declared(model={"traced": ("norms",)}),
        "model.traced must name arguments of build, got 'norms'.*did you mean 'norm'",
    ),
    "a lambda": (lambda: declared(lambda depth, width: None), "model.build must be .*got a lambda"),
    "a partial": (lambda: declared(functools.partial(build, norm="pre")), "model.build must be .*a partial of build"),
    "a loss that is a lambda": (lambda: declared(loss=lambda o, t: o), "model.loss must be .*got a lambda"),
    "weight_scale without a module": (
        lambda: Study(name="a", question="?", space={"weight_scale": LogReal(0.1, 10)}, budget={"trials": 5}),
        "weight_scale belongs to studies of modules",
    ),
    "a negative reference": (lambda: declared(model={"reference_loss": -1.0}), "reference_loss"),
    "a value of the wrong type": (lambda: declared(model={"settings": {"extra": [1, 2]}}), "settings.extra"),
}


@pytest.mark.parametrize("make", [pytest.param(case, id=name) for name, case in FAULTS.items()])
def test_faults_are_one_sentence(make):
    declare, sentence = make
    with pytest.raises((GradstabError, ValueError), match=sentence):
        declare()


def test_all_faults_come_together():
    with pytest.raises(StudyError) as caught:
        declared(
            space={"depth": LogInteger(2, 4), "nrom": Choice(("a", "b"))},
            recipe={"init_distribution": "uniform"},
            model={"settings": {"headz": 2}},
        )
    said = "\n".join(caught.value.faults)
    for part in ("space.nrom", "init_distribution means nothing", "headz", "build needs width"):
        assert part in said


def test_data_may_name_families_and_no_functions():
    tree = {
        "name": "own",
        "question": "?",
        "model": {"build": "residual"},
        "space": {"depth": {"type": "log_integer", "low": 2, "high": 8}},
        "budget": {"trials": 5},
    }
    assert changed(tree, (), "own.yaml").model.required == ()
    with pytest.raises(StudyError, match="only a Python study file"):
        changed({**tree, "model": {"build": "os:system", "loss": "os:system"}}, (), "own.yaml")


def test_a_family_is_checked_by_its_signature_without_importing_it():
    with pytest.raises(StudyError, match=r"space\.branch_scale must name a recipe field or an argument of build"):
        declared("residual", None, space={"branch_scale": LogReal(0.1, 1)}, recipe={})


def test_traced_arguments_of_a_family_are_known():
    assert "residual_scale" in declared("residual", None, space={"depth": LogInteger(2, 4)}, recipe={}).model.traced


def test_data_of_modules_needs_a_module():
    from gradstab.study.data_spec import DigitRows

    with pytest.raises(StudyError, match="data of type digit_rows belongs to studies of modules"):
        Study(name="a", question="?", space={"depth": LogInteger(2, 4)}, data=DigitRows(), budget={"trials": 5})
    assert declared(data=Digits()).data == Digits()
