"""Figures and the look of results in a notebook: what is drawn is where it was measured, and axes can be reused."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from PIL import Image

from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.figures.trajectory_figure import trajectory_figure
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal, Value
from tests.fakes import make_record, without_later_statistics
from tests.report.planted import plant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return plant(tmp_path_factory.mktemp("planted"), trials=120)


@pytest.fixture(scope="module")
def results(folder: StudyFolder) -> Results:
    return Results(folder)


def marks(axes) -> np.ndarray:
    """Places of all marks of trials."""
    found = [each for each in axes.collections if isinstance(each, PathCollection)]
    return np.concatenate([np.asarray(each.get_offsets()) for each in found])


def test_a_phase_diagram_shows_each_trial_at_its_own_values(results):
    figure = results.plot_phase_diagram()
    relu, tanh = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["relu", "tanh"]
    for axes, activation in ((relu, "relu"), (tanh, "tanh")):
        points = [row.point for row in results.rows if row.point["activation"] == activation]
        expected = sorted((point["init_scale"], point["depth"]) for point in points)
        np.testing.assert_allclose(sorted(map(tuple, marks(axes))), expected)
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert axes.get_xlim() == pytest.approx((0.5, 4.0))
        assert axes.get_ylim() == pytest.approx((1.5, 30.5))


def test_the_last_layers_gradient_is_white_in_every_trial(results):
    for number in (0, 1, 2):
        figure = results.plot_trajectory(number)
        (gradients,) = [axes for axes in figure.axes if axes.get_title() == "gradient norm"]
        (mesh,) = [each for each in gradients.collections if isinstance(each, QuadMesh)]
        values = np.asarray(mesh.get_array())
        assert mesh.get_clim() == (-5, 5)
        np.testing.assert_array_equal(np.asarray(mesh.cmap(mesh.norm(values[-1])))[:, :3], 1.0)


def test_titles_say_what_each_figure_shows_and_fit_above_it(results):
    figures = [results.plot_phase_diagram(*responses, at={"activation": "relu"}) for responses in ((), ("R",), ("T",))]
    titles = [figure.get_suptitle().replace("\n", " ") for figure in figures]
    assert titles == [
        "planted: where gradients keep their size at the start and training works (R and T, 120 trials)",
        "planted: where gradients keep their size at the start (R alone, 120 trials)",
        "planted: where training works (T alone, 120 trials)",
    ]
    for figure in figures:
        figure.draw_without_rendering()
        assert figure.texts[-1].get_window_extent().width < figure.bbox.width


def test_the_boundary_is_drawn_where_it_was_planted(results):
    """|R| = 1 at sqrt(2) 10^(+-1/(L-1)), for networks shallow enough to be stable under R alone."""
    (axes,) = results.plot_phase_diagram("R", at={"activation": "relu"}).axes
    (line,) = [line for line in axes.lines if line.get_label() == "boundary (median over seeds)"]
    others = [
        each
        for each in axes.lines
        if each.get_linewidth() == line.get_linewidth() and each.get_color() == line.get_color()
    ]
    scale, depth = np.concatenate([each.get_xydata() for each in others]).T
    ratio = (depth - 1) * np.log10(scale / np.sqrt(2))
    assert np.median(np.abs(np.abs(ratio) - 1)) < 0.1


def test_one_panel_goes_into_the_users_axes_and_leaves_the_others_alone(results):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert results.plot_phase_diagram("R", ax=right, at={"activation": "tanh"}) is figure
    assert not left.has_data()
    assert right.get_title() == "tanh"
    assert not figure.legends
    assert "boundary (median over seeds)" in right.get_legend_handles_labels()[1]
    with pytest.raises(UsageError, match="ax takes one panel, but this figure has 2"):
        results.plot_phase_diagram(ax=right)


@pytest.mark.parametrize(
    ("responses", "at", "words"),
    [
        ((), {"depth": 3}, "do not span the figure"),
        ((), {"activation": "gelu"}, "must be one of relu, tanh, got 'gelu'"),
        ((), {"width": 3}, "must name axes of the study, got width"),
        (("Q",), {}, "among the measured ones, R, T, got Q"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(results, responses, at, words):
    with pytest.raises(UsageError, match=words) as refused:
        results.plot_phase_diagram(*responses, at=at)
    assert "\n" not in str(refused.value)


def test_a_third_axis_can_be_held_anywhere(tmp_path):
    space = {"init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 30), "learning_rate": LogReal(0.01, 1.0)}
    three = Results(plant(tmp_path, trials=40, space=space, recipe={"activation": "relu"}))
    assert three.layout is not None
    assert three.layout.cut is not None
    name = three.layout.cut[0]
    assert len(three.plot_phase_diagram("R").axes) == 3
    assert len(three.plot_phase_diagram("R", at={name: three.layout.cut[1][0]}).axes) == 1
    with pytest.raises(UsageError, match=f"{name} must be"):
        three.plot_phase_diagram("R", at={name: 1e6})


def test_one_numeric_axis_is_a_line_and_none_is_a_sentence(tmp_path):
    line = Results(
        plant(tmp_path, trials=30, name="line", space={"init_scale": LogReal(0.5, 4.0)}, recipe={"activation": "relu"})
    )
    (axes,) = line.plot_phase_diagram("R").axes
    assert axes.get_xscale() == "log"
    place = marks(axes)
    assert sorted(place[:, 0]) == pytest.approx(sorted(row.point["init_scale"] for row in line.rows))
    above = place[place[:, 1] > 1][:, 0]
    inside = [
        row.point["init_scale"] for row in line.rows if row.measured and abs(row.measured.judgement.gradient_ratio) < 1
    ]
    assert sorted(above) == pytest.approx(sorted(inside))
    choices = Results(plant(tmp_path, trials=8, name="choices", space={"activation": Choice(("relu", "tanh"))}))
    with pytest.raises(UsageError, match="needs a numeric axis"):
        choices.plot_phase_diagram()


def test_depth_profiles_count_the_trials_at_the_values_given(results):
    assert {axes.get_title() for axes in results.plot_depth_profile().axes} == {"relu", "tanh"}
    figure = Figure()
    axes = figure.subplots()
    assert results.plot_depth_profile(ax=axes, at={"activation": "tanh"}) is figure
    assert set(axes.get_legend_handles_labels()[1]) == {
        verdict_text(row.verdict) for row in results.rows if row.point["activation"] == "tanh"
    }
    with pytest.raises(UsageError, match="got none at activation gelu"):
        results.plot_depth_profile(at={"activation": "gelu"})
    with pytest.raises(UsageError, match="must name axes of the study, got width"):
        results.plot_depth_profile(at={"width": 3})


def test_a_trajectory_is_drawn_over_its_steps_and_layers(results):
    trajectory = results.trajectory(3)
    figure = results.plot_trajectory(3)
    assert "trial 3" in figure.get_suptitle()
    assert {axes.get_title() for axes in figure.axes} >= {"loss", "gradient norm", "activation scale"}
    own = Figure()
    axes = own.subplots()
    assert results.plot_trajectory(3, "log10_delta_norm", ax=axes) is own
    (mesh,) = [each for each in axes.collections if isinstance(each, QuadMesh)]
    np.testing.assert_allclose(
        np.asarray(mesh.get_array()).reshape(trajectory.depth, -1), trajectory["log10_delta_norm"].T
    )
    steps = trajectory.probe_step_P
    assert axes.get_xlim()[0] < steps[0] <= steps[-1] < axes.get_xlim()[1]
    assert axes.get_ylim() == pytest.approx((0.5, trajectory.depth + 0.5))


@pytest.mark.parametrize(
    ("number", "statistics", "axes", "words"),
    [
        (999, (), False, "one of the 120 recorded ones, got 999"),
        (0, ("nothing",), False, "must be one of loss, .* got nothing"),
        (0, (), True, "ax takes one statistic, got 0"),
    ],
)
def test_no_such_trial_or_statistic_is_one_sentence(results, number, statistics, axes, words):
    with pytest.raises(UsageError, match=words):
        results.plot_trajectory(number, *statistics, ax=Figure().subplots() if axes else None)


def test_a_trial_recorded_before_a_statistic_existed_is_drawn_without_it():
    record = without_later_statistics(make_record(0))
    assert record.trajectory is not None
    figure = trajectory_figure(record.trajectory)
    assert {axes.get_title() for axes in figure.axes if axes.get_title()} == {"loss", "gradient norm"}
    with pytest.raises(UsageError, match="by a version that did not measure accuracy: name one of loss, "):
        trajectory_figure(record.trajectory, ["accuracy"])


def test_a_failed_trial_has_no_trajectory_to_draw(tmp_path):
    lost = plant(tmp_path, trials=0, name="lost")
    point: dict[str, Value] = {"init_scale": 1.0, "depth": 4, "activation": "relu"}
    write_segment(lost.path, 0, [make_record(0, point=point, failure="lost")])
    with pytest.raises(UsageError, match="trial 0 has no trajectory, because its machine failed: lost"):
        Results(lost).plot_trajectory(0)
    with pytest.raises(UsageError, match="got none"):
        Results(lost).plot_depth_profile()


def test_a_notebook_sees_results_and_figures(results):
    assert len(results) == 120
    counts = results.verdicts()
    assert repr(results).startswith("<Results of planted: 120 trials: ")
    html = results._repr_html_()
    for verdict, count in counts.items():
        assert verdict_text(verdict) in html
        assert f">{count}<" in html
    assert "120 of 120 trials" in html
    assert results.plot_depth_profile()._repr_png_().startswith(b"\x89PNG")


def test_a_png_is_what_matplotlib_itself_saves_but_for_transparency(results):
    png, saved = results.plot_depth_profile()._repr_png_(), BytesIO()
    results.plot_depth_profile().savefig(saved, format="png")
    with Image.open(BytesIO(png)) as ours, Image.open(saved) as theirs:
        assert ours.mode == "RGB"
        assert ours.info["Software"] == "gradstab"
        assert ours.info["dpi"] == pytest.approx(theirs.info["dpi"])
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs.convert("RGB")))


def test_areas_have_colours_over_the_whole_axes_at_all_depths_and_at_places_between_that_are_near(results):
    for axes in results.plot_phase_diagram().axes:
        (mesh,) = [each for each in axes.collections if isinstance(each, QuadMesh)]
        place_YX2 = np.asarray(mesh.get_coordinates())
        for value_N, ends in ((place_YX2[0, :, 0], (0.5, 4.0)), (place_YX2[:, 0, 1], (1.5, 30.5))):
            assert value_N[[0, -1]] == pytest.approx(ends)
            assert np.diff(np.log(value_N)).min() > 0
            assert np.diff(np.log(value_N)).max() <= 1.001 * np.log(ends[1] / ends[0]) / 24
        assert np.isclose(place_YX2[:, 0, 1][:, None], np.arange(2, 31)).any(axis=0).all()


def test_results_without_a_trial_are_shown_and_true(tmp_path):
    none = Results(plant(tmp_path, trials=0, name="none"))
    assert len(none) == 0
    assert none, "an empty table must not make results false"
    assert repr(none) == "<Results of none: 0 trials>"
    assert "0 of 1 trials" in none._repr_html_()


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</table>"


def test_a_notebook_runs_nothing_whatever_a_study_says(tmp_path):
    found = Results(plant(tmp_path, trials=3, question=HOSTILE))
    found.study = found.study.model_copy(update={"name": HOSTILE})
    found.corrupt_segments.append(Path(HOSTILE.replace("/", "")))
    html = found._repr_html_()
    assert html.count("&lt;script&gt;") == 4, "name, question, and twice in the name of the file"
    assert "<script" not in html
    assert "<img" not in html


def test_what_a_notebook_sees_first_imports_no_plots_and_no_tables(folder):
    code = (
        "import sys; from gradstab import load_results\n"
        f"found = load_results({str(folder.path)!r}); repr(found); len(found); found.verdicts(); found._repr_html_()\n"
        "print(sorted({'matplotlib', 'pandas', 'contourpy', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
