"""A study is checked as a whole: every fault once, in a sentence that says what must hold and what came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.activations.registry import LIBRARY
from gradstab.errors import GradstabError, StudyError
from gradstab.study.axes import Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.differences import differences
from gradstab.study.pack_key import pack_key
from gradstab.study.recipe import Recipe, structural_fields
from gradstab.study.space import SearchSpace
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

SPACE = {"depth": LogInteger(2, 16), "init_scale": LogReal(0.5, 4)}


def study(**changes: object) -> Study:
    fields: dict[str, object] = {"name": "s", "question": "q?", "space": SPACE, "budget": {"trials": 8}}
    return Study.model_validate({**fields, **changes})


def faults(**changes: object) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        study(**changes)
    return caught.value.faults


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recipe": {"widht": 3}}, "recipe.widht must be a known field, got an unknown one; did you mean 'width'?"),
        ({"recipe": {"width": 0}}, "recipe.width must be at least 1, got 0"),
        ({"budgte": 3}, "budgte must be a field of a study, got an unknown one; did you mean 'budget'?"),
        ({"budget": 20}, "budget must be a mapping of fields, got 20: write budget: {trials: 20}"),
        ({"space": {"init_scale": [1, 3]}}, "space.init_scale must be a mapping of fields, got [1, 3]: write init_scale: {type:"),
        ({"recipe": {"lr": 0.1}}, "recipe.lr must be a known field, got an unknown one; did you mean 'learning_rate'?"),
        ({"recipe": {"activation": "Swish"}}, "recipe.activation must be one of"),
        ({"sampler": {"type": "boundary", "batc": 3}}, "sampler.batc must be a known field, got an unknown one; did you mean 'batch'?"),
        ({"space": {"clip": Choice((True, True))}}, "space.clip: choices must differ from each other, got [true, true]"),
        ({"budget": {"trials": 0}}, "budget.trials must be at least 1, got 0"),
        ({"space": {}}, "space must have at least one axis, got none"),
        (
            {"storage": "postgresql://me:x@h/db"},
            "storage must hold no password, got 'postgresql://***@h/db': set OPTUNA_STORAGE in the environment",
        ),
        (
            {"tracking": {"uri": "http://me:x@h"}},
            "tracking.uri must hold no password, got 'http://***@h': set MLFLOW_TRACKING_URI in the environment",
        ),
        (
            {"space": {"dpeth": Integer(1, 2)}},
            "space.dpeth must name a recipe field, got an unknown one; did you mean 'depth'?",
        ),
        ({"space": {"seed": Integer(1, 2)}}, "space.seed: a seed is no axis; remove it and set replicates to train each point several times"),
        ({"space": {"width": LogInteger(8, 4)}}, "space.width: low must be below high, got low 8 and high 4"),
        ({"space": {"init_scale": LogReal(0, 4)}}, "space.init_scale: low must be above 0 on a log axis, got 0"),
        ({"space": {"init_scale": LogReal(1, float("nan"))}}, "space.init_scale.high must be a finite number, got nan"),
        ({"space": {"activation": Choice(("tanh", "rulu"))}}, "space.activation: its choices must be"),
        ({"space": {"clip": Choice((True, "yes"))}}, "space.clip: its choices must be true or false, got 'yes'"),
        ({"space": {"width": Choice((8, 8))}}, "space.width: choices must differ from each other, got [8, 8]"),
        ({"space": {"width": Choice(())}}, "space.width: choices must hold at least one value, got none"),
        ({"space": {"depth": Real(1, 8)}}, "space.depth must be an integer, log_integer or choice axis, got type real"),
        ({"space": {"activation": Real(1, 8)}}, "space.activation must be a choice axis, since activation is no number"),
        (
            {"recipe": {"depth": 4}},
            "depth must be an axis or a fixed value, got both: remove it from space or from recipe",
        ),
        ({"space": {"clip_threshold": LogReal(0.1, 1)}}, "space.clip_threshold has no effect, since clip is false: set recipe.clip to true"),
        (
            {"space": {"depth": LogInteger(2, 8), "activation": Choice(("tanh", "relu"))}, "sampler": {"type": "cmaes"}},
            "sampler cmaes takes no choice axes, got 'activation'",
        ),
        ({"recipe": {"warmup_steps": 101}}, "warmup_steps must be at most steps, got up to 101 where steps is 100: shorten"),
        ({"recipe": {"warmup_steps": 1, "steps": 0}}, "warmup_steps must be at most steps, got up to 1 where steps is 0"),
        (
            {"space": {"warmup_steps": Integer(0, 60), "steps": LogInteger(50, 200)}},
            "warmup_steps must be at most steps, got up to 60 where steps is 50",
        ),
        ({"space": {"warmup_steps": Integer(-1, 60)}}, "space.warmup_steps: its bounds must be at least 0"),
        ({"recipe": {"schedule": "cosin"}}, "recipe.schedule must be one of constant, cosine, linear, inverse_sqrt, got 'cosin'; did"),
        ({"recipe": {"lr_scheduler": "cosine"}}, "recipe.lr_scheduler must be a known field, got an unknown one; did you mean 'schedule'?"),
        ({"sampler": {"type": "sobl"}}, "sampler.type must be one of random, sobol, grid, tpe, gp, cmaes, boundary, got 'sobl'; did you mean 'sobol'?"),
        ({"recipe": {"steps": 0}, "criterion": {"responses": ["T"]}}, "criterion.responses must not hold T where steps is 0"),
        ({"recipe": {"probe_samples": 4096}}, "recipe.probe_samples must be at most the rows of the data set, 1797, got 4096"),
        ({"data": {"type": "npz", "path": "nowhere.npz"}}, "data: data must be in a file that can be read"),
        ({"recipe": {"relative_init_scale": 1.0}}, "init_scale and relative_init_scale must not both be given"),
        ({"name": "a/b"}, "name must be at most 64 letters, digits"),
        ({"name": "../x"}, "name must be at most 64 letters, digits"),
    ],
)  # fmt: skip
def test_fault_is_one_sentence(changes, expected):
    found = faults(**changes)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_all_faults_come_at_once():
    found = faults(
        space={"dpeth": Integer(1, 2), "init_scale": LogReal(-1, 2), "width": LogInteger(8, 16)},
        recipe={"width": 4, "learning_rate": -1, "hights": 3, "warmup_steps": -1},
        budget={"trials": 0},
        sampler={"type": "nothing"},
        qustion="?",
    )
    for part in (
        "dpeth",
        "init_scale",
        "width must be an axis",
        "learning_rate",
        "warmup_steps",
        "hights",
        "budget",
        "sampler",
        "qustion",
    ):
        assert any(part in fault for fault in found), (part, found)


@given(st.dictionaries(st.text(max_size=12), st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8), max_size=6))  # fmt: skip
def test_any_mapping_is_refused_with_sentences(tree):
    with pytest.raises(StudyError) as caught:
        Study.model_validate(tree)
    assert all(fault and "\n" not in fault for fault in caught.value.faults)


def test_a_study_reads_back_equal_from_its_dump():
    declared = study(
        space={**SPACE, "activation": Choice(("tanh", "relu")), "clip": Choice((False, True))},
        recipe={"momentum": 0.9, "learning_rate": 1e-3},
        sampler={"type": "grid", "levels": {"depth": 3}},
        replicates=2,
        data={"type": "teacher", "num_rows": 256},
    )
    again = Study.model_validate(declared.dump())
    assert again.dump() == declared.dump()
    assert again.fingerprint() == declared.fingerprint()


@pytest.mark.parametrize("changes", [{"question": "other"}, {"budget": {"trials": 99}}, {"resources": {"slots": 1}}, {"tracking": {"child_runs": 0}}])  # fmt: skip
def test_fingerprint_ignores_what_may_change(changes):
    assert study(**changes).fingerprint() == study().fingerprint()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"recipe": {"width": 256}}, "recipe.width: 64 -> 256"),
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"space": {**SPACE, "depth": LogInteger(2, 32)}}, "space.depth.high: 16 -> 32"),
        ({"criterion": {"ratio_band": 2.0}}, "criterion.ratio_band: 1.0 -> 2.0"),
        ({"sampler": {"type": "random"}}, "sampler.type: sobol -> random"),
    ],
)
def test_fingerprint_sees_what_may_not_change(changes, line):
    assert study(**changes).fingerprint() != study().fingerprint()
    assert line in differences(study().fingerprinted(), study(**changes).fingerprinted())


def test_relative_scale_becomes_absolute():
    relative = study(space={"relative_init_scale": LogReal(0.5, 2), "activation": Choice(("relu", "sigmoid"))})
    # the critical value of ReLU is sqrt(2) (He et al. 2015)
    assert resolved_recipe(relative, {"relative_init_scale": 2.0, "activation": "relu"}).init_scale == pytest.approx(
        2 * 2**0.5
    )
    assert resolved_recipe(relative, {"relative_init_scale": 0.5, "activation": "sigmoid"}).init_scale == pytest.approx(
        0.5 * 10.1493, rel=1e-5
    )


def test_every_recipe_field_has_a_description():
    assert all(field.description for field in Recipe.model_fields.values())


def test_structural_fields_form_the_pack_key():
    recipe = Recipe()
    assert pack_key(recipe) == pack_key(recipe.at({"depth": 30, "activation": "relu", "init_scale": 3.0, "clip": True}))
    changes: dict[str, int | str] = {
        "width": 65, "steps": 7, "batch_size": 65, "optimizer": "adam", "clip_mode": "value", "probe_every": 3,
        "accuracy_every": 5, "probe_samples": 65, "precision": "float64",
    }  # fmt: skip
    assert set(changes) == set(structural_fields())
    for field, value in changes.items():
        assert pack_key(recipe) != pack_key(recipe.at({field: value}))


AXES = st.sampled_from([Real(-1, 2), LogReal(0.1, 10), Integer(-2, 5), LogInteger(1, 9), Choice(LIBRARY)])


@given(axis=AXES, u=st.floats(0, 1))
def test_axis_stays_within_its_bounds(axis, u):
    value = axis.from_unit(u)
    if isinstance(axis, Choice):
        assert value in axis.choices
    else:
        assert axis.low <= value <= axis.high


def test_log_integer_reaches_both_ends_with_fair_weight():
    axis = LogInteger(2, 64)
    values = [axis.from_unit((i + 0.5) / 10_000) for i in range(10_000)]
    assert (min(values), max(values)) == (2, 64)
    # the weight of the lowest value under the log-uniform law on [1.5, 64.5]
    import math

    expected = math.log(2.5 / 1.5) / math.log(64.5 / 1.5)
    assert values.count(2) / 10_000 == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("axis", [Real(0, 1), LogReal(0.1, 10), Integer(1, 9), LogInteger(1, 64)])
def test_levels_hold_both_ends_and_are_sorted(axis):
    levels = axis.levels(4)
    assert levels[0] == pytest.approx(axis.low)
    assert levels[-1] == pytest.approx(axis.high)
    assert levels == sorted(set(levels))


def test_recipe_refuses_nan():
    with pytest.raises(ValueError, match="finite"):
        Recipe(learning_rate=float("nan"))


def test_space_keeps_the_order_of_its_axes():
    assert SearchSpace.model_validate({"width": Integer(1, 2), "depth": Integer(1, 2)}).names() == ("width", "depth")


def test_study_errors_end_in_usage_exit_code():
    assert StudyError(["x"]).exit_code == 2
    assert GradstabError("x").exit_code == 1


@pytest.mark.parametrize(
    ("steps", "responses"),
    [
        (Choice((0, 100)), ["R"]),  # what only some trials have cannot judge all of them
        (Choice((50, 100)), ["R", "T"]),
        (Integer(0, 100), ["R"]),
        (Integer(20, 100), ["R", "T"]),
    ],
)
def test_sampler_and_report_judge_by_what_every_trial_has(steps, responses):
    mixed = study(space={"init_scale": LogReal(0.5, 4), "steps": steps})
    assert [band.name for band in mixed.bands()] == responses
