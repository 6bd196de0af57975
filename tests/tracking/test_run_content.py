"""What a run holds, without MLflow."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradstab.activations.registry import LIBRARY
from gradstab.record.segments import Record
from gradstab.record.shipping_order import RegionSoFar
from gradstab.record.statistics.registry import layer_statistics
from gradstab.stability.judgement import judge
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Value
from gradstab.study.criterion import Criterion
from gradstab.study.space import Point, SearchSpace
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.parent_content import progress_rows
from gradstab.tracking.run_content import RunContent, run_content, run_name, table_row
from tests.fakes import make_mixed_records, make_record, without_later_statistics
from tests.tracking.orders import order_of


def content_of(record: Record, **order: Any) -> RunContent:
    judgement = None if record.trajectory is None else judge(record.trajectory, Criterion())
    return run_content(record, judgement, order_of(**order), MetricNames())


SHAPES: list[dict[str, Any]] = [
    {"depth": 64, "steps": 100, "clip": True, "relative_init_scale": 1.1},
    {"depth": 1, "steps": 0},
    {"depth": 2, "steps": 1, "probe_every": 1},
    {"depth": 300, "steps": 5, "probe_every": 100, "clip": True},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_stays_within_40_keys_and_100_finite_rows(shape: dict[str, Any]) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"decades_per_layer": -0.9},
        {"nonfinite_step": 0},
        {"nonfinite_step": shape["steps"]},
    ]
    for kind in kinds if shape["steps"] else kinds[:2]:
        content = content_of(make_record(3, point=shape, **kind))
        keys = Counter(row.key for row in content.metrics)
        assert len(keys) <= 40
        assert len(content.metrics) <= 100
        assert all(math.isfinite(row.value) for row in content.metrics)
        assert max((count for key, count in keys.items() if key.startswith("series/")), default=0) <= 6
        assert max((count for key, count in keys.items() if key.startswith("profile/")), default=0) <= 11


def test_what_the_search_knows_of_the_region_stands_at_the_trials_that_it_knows() -> None:
    region = RegionSoFar(num_trials=96, volume=0.37, misclassified=0.02)
    rows = {row.key: (row.value, row.step) for row in progress_rows(order_of(counts={"done": 100}, region=region))}
    assert rows["region/search_volume"] == (0.37, 96)
    assert rows["region/search_misclassified"] == (0.02, 96)
    assert rows["trials/done"] == (100, 100)
    assert not [row for row in progress_rows(order_of()) if row.key.startswith("region/")], "a design has no model"


def test_a_schedule_is_shown_where_there_is_one() -> None:
    assert not {"schedule", "warmup_steps"} & content_of(make_record(0)).params.keys()
    shown = content_of(make_record(0, point={"schedule": "cosine", "warmup_steps": 20}))
    assert {"schedule": "cosine", "warmup_steps": "20"}.items() <= shown.params.items()
    recorded = make_record(0)
    warmed = replace(recorded, recipe={**recorded.recipe, "schedule": "linear", "warmup_steps": 20})
    assert {"schedule": "linear", "warmup_steps": "20"}.items() <= content_of(warmed).params.items()
    without = {name: value for name, value in recorded.recipe.items() if name != "schedule"}
    assert content_of(replace(recorded, recipe=without)).params == content_of(recorded).params, "an older record"


def test_a_module_shows_its_arguments_and_its_taps() -> None:
    plain = make_record(0, point={"depth": 8, "init_scale": 1.25})
    assert plain.trajectory is not None
    taps = tuple(f"blocks.{place}" for place in range(8))
    of_module: dict[str, Any] = {"build": "own.py:build", "arguments": {"depth": 8, "norm": "pre"}, "weight_scale": 2.0}
    module = replace(plain, recipe={**plain.recipe, **of_module}, trajectory=replace(plain.trajectory, taps=taps))
    content = content_of(module)
    assert content.tags["taps"] == ", ".join(taps)
    assert "taps" not in content_of(plain).tags
    assert {"norm": "pre", "weight_scale": "2"}.items() <= content.params.items()
    assert "init_distribution" not in content.params, "it means nothing for a module"
    assert "`blocks.0` is" in content.note or "`blocks.0` and" in content.note


NEWEST = MetricNames()
OLDER = MetricNames(readable=True, comparable=False)  # of a study that began before profiles were comparable


def rows_of(record: Record, key: str, names: MetricNames = NEWEST) -> dict[int, float]:
    assert record.trajectory is not None
    content = run_content(record, judge(record.trajectory, Criterion()), order_of(), names)
    return {row.step: row.value for row in content.metrics if row.key == key}


@pytest.mark.parametrize("depth", [2, 3, 12, 50, 300])
def test_profiles_of_all_depths_stand_at_the_same_fractions_and_begin_at_the_ratio(depth: int) -> None:
    record = make_record(0, point={"depth": depth, "steps": 20}, decades_per_layer=0.05)
    assert record.trajectory is not None
    norm_L = record.trajectory["log10_delta_norm"][0]
    gradient = rows_of(record, "profile/log10_grad_ratio_init")
    assert list(gradient) == list(range(0, 101, 10))
    assert gradient[0] == pytest.approx(norm_L[0] - norm_L[-1], rel=1e-5), "R"
    assert gradient[100] == 0.0
    middle = (norm_L[(depth - 1) // 2] + norm_L[depth // 2]) / 2 - norm_L[-1]
    assert gradient[50] == pytest.approx(middle, rel=1e-5)
    scale = rows_of(record, "profile/log10_activation_scale_init")
    assert list(scale) == list(range(0, 101, 20))
    scale_L = 0.5 * record.trajectory["log10_activation_ms"][0]
    assert scale[0] == pytest.approx(scale_L[0], rel=1e-5)
    assert scale[100] == pytest.approx(scale_L[-1], rel=1e-5)


def test_a_mean_over_depths_has_no_teeth() -> None:
    """Networks that all lose a tenth of a decade per layer: their mean falls steadily, whatever their depths."""
    records = [make_record(n, point={"depth": 2 + n, "steps": 1}, decades_per_layer=-0.1) for n in range(30)]
    found = [rows_of(record, "profile/log10_grad_ratio_init") for record in records]
    mean_X = np.mean([[*rows.values()] for rows in found], axis=0)
    assert (np.diff(mean_X) > 0).all()


def test_an_older_study_keeps_its_profiles_over_layers_and_its_loss() -> None:
    record = make_record(0, point={"depth": 50, "steps": 20}, decades_per_layer=0.1)
    assert record.trajectory is not None
    profile = rows_of(record, "profile_init/log10_grad_norm", OLDER)
    assert {1, 50} <= set(profile)
    for layer, value in profile.items():
        assert value == pytest.approx(record.trajectory["log10_delta_norm"][0, layer - 1], rel=1e-5)
    assert rows_of(record, "series/loss", OLDER)[0] == pytest.approx(record.trajectory["loss"][0], rel=1e-5)
    assert not rows_of(record, "profile/log10_grad_ratio_init", OLDER)
    assert not rows_of(record, "series/log10_loss", OLDER)


def test_a_gradient_that_underflows_stays_within_the_range_of_the_ratio() -> None:
    record = make_record(0, point={"depth": 40, "steps": 5}, decades_per_layer=-2.0)
    assert min(rows_of(record, "profile/log10_grad_ratio_init").values()) >= -37.0


def test_a_loss_that_is_not_positive_is_shown_as_it_is() -> None:
    record = make_record(0, point={"depth": 4, "steps": 50})
    assert record.trajectory is not None
    series = {**record.trajectory.series, "loss": record.trajectory["loss"] - 2.0}
    record = replace(record, trajectory=replace(record.trajectory, series=series))
    assert rows_of(record, "series/loss")
    assert not rows_of(record, "series/log10_loss")


def test_tables_show_three_digits_and_whole_counts() -> None:
    record = make_record(3, point={"depth": 9, "init_scale": 1.2345678, "steps": 100000, "probe_every": 100000})
    values = {row.key: row.value for row in content_of(record).metrics if "/" not in row.key}
    assert all(float(f"{value:.3g}") == value or value.is_integer() for value in values.values())
    diverged = make_record(3, point={"depth": 9, "steps": 100000, "probe_every": 100000}, nonfinite_step=54321)
    values = {row.key: row.value for row in content_of(diverged).metrics if "/" not in row.key}
    assert values["diverged_at_step"] == 54321


def test_series_are_what_was_recorded_at_their_step() -> None:
    record = make_record(0, point={"depth": 4, "steps": 100})
    assert record.trajectory is not None
    loss = rows_of(record, "series/log10_loss")
    assert len(loss) == 6
    assert {0, 99} <= set(loss)
    for step, value in loss.items():
        assert 10**value == pytest.approx(record.trajectory["loss"][step], rel=1e-4)


def test_an_overflow_is_capped_and_counted() -> None:
    record = make_record(0, point={"depth": 8, "steps": 100}, nonfinite_step=37)
    values = {r.key: r.value for r in content_of(record).metrics if "/" not in r.key}
    assert values["log10_grad_norm_end"] == 40.0
    assert values["num_nonfinite"] == 2 * 63
    assert values["diverged_at_step"] == 37
    assert values["stable"] == 0
    assert "tail_loss" not in values


def test_full_detail_holds_every_finite_layer_value_once() -> None:
    record = make_record(0, point={"depth": 12, "steps": 30}, nonfinite_step=20)
    assert record.trajectory is not None
    rows = [row for row in content_of(record, detail="full").metrics if row.key.startswith("layer_full/")]
    finite = sum(int(np.isfinite(record.trajectory[name]).sum()) for name in (one.name for one in layer_statistics()))
    assert len({(row.key, row.step) for row in rows}) == len(rows) == finite
    keys = [row.key for row in rows]
    assert keys == sorted(keys, key=keys.index), "rows of a key stand together"


def test_a_statistic_that_was_not_recorded_is_absent() -> None:
    whole = make_record(3, point={"depth": 5, "steps": 40, "clip": True})
    older, newer = (content_of(one, detail="full") for one in (without_later_statistics(whole), whole))
    assert (older.tags["verdict"], older.note.partition(":")[0]) == (
        newer.tags["verdict"],
        "**stable**",
    )
    assert all(math.isfinite(row.value) for row in older.metrics)
    assert set(older.metrics) <= set(newer.metrics)
    gone = {row.key for row in newer.metrics} - {row.key for row in older.metrics}
    assert {"loss_init", "accuracy_end", "max_dead_fraction", "clip_fraction"} < gone
    assert {"series/accuracy", "profile/log10_activation_scale_init"} < gone
    assert {key.split("/")[1] for key in gone if key.startswith("layer_full/")} == {
        one.name for one in layer_statistics() if not one.required
    }


REAL = LogReal(0.001, 10)


@pytest.mark.parametrize(
    ("space", "point", "name"),
    [
        (
            {"activation": Choice(("relu", "tanh")), "init_scale": REAL, "depth": LogInteger(2, 64)},
            {"activation": "tanh", "init_scale": 1.25, "depth": 32},
            "stable 0042 L32 s1.25 tanh",
        ),
        ({"learning_rate": REAL}, {"learning_rate": 0.0312345}, "stable 0042 lr0.0312"),
        (
            {"depth": LogInteger(2, 64), "relative_init_scale": REAL, "clip": Choice((False, True))},
            {"depth": 4, "relative_init_scale": 1.5, "clip": False},
            "stable 0042 L4 rel1.5 no-clip",
        ),
        ({"clip": Choice((False, True)), "probe_every": Integer(1, 9)}, {"clip": True, "probe_every": 3}, "stable 0042 clip pe3"),
    ],
)  # fmt: skip
def test_names_put_the_studys_own_axes_first(space: dict[str, AnyAxis], point: Point, name: str) -> None:
    assert run_name(42, point, SearchSpace(space), "stable", budget=1000) == name
    assert run_name(42, point, SearchSpace(space), "stable", budget=20_000).startswith("stable 00042 ")


@pytest.mark.parametrize("activation", LIBRARY)
def test_params_are_the_point_rounded_and_the_settings_that_had_a_say(activation: str) -> None:
    point: dict[str, Value] = {"depth": 8, "init_scale": 1.23456789, "activation": activation, "clip_threshold": 0.5}
    params = content_of(make_record(1, point={**point, "clip": False})).params
    assert params["init_scale"] == "1.235"
    assert params["activation"] == activation
    assert params["clip"] == "false"
    assert params["learning_rate"] == "0.05"
    assert "clip_mode" not in params
    assert "learning_rate" not in content_of(make_record(1, point={"steps": 0})).params


def test_a_failure_of_the_machine_is_a_failed_run_without_metrics() -> None:
    content = content_of(make_record(9, failure="the worker was lost 3 times"))
    assert content.status == "FAILED"
    assert content.metrics == []
    assert content.tags["verdict"] == "failed"
    assert content.tags["failure"] == "the worker was lost 3 times"


def test_table_rows_hold_nothing_that_json_cannot() -> None:
    for record in make_mixed_records(6):
        row = table_row(
            record, None if record.trajectory is None else judge(record.trajectory, Criterion()), MetricNames()
        )
        assert row["trial"] == record.number
        assert all(not isinstance(value, float) or math.isfinite(value) for value in row.values())
