"""Heat maps show what was recorded, whatever was recorded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ImageColor import getrgb

from gradstab.display.colours import NOT_MEASURED
from gradstab.display.decades import FULL_DECADES, decade_colours
from gradstab.figures.colour_scale import DECADES, FRACTIONS
from gradstab.figures.heat_map_picture import heat_map_png
from gradstab.figures.heat_maps import heat_maps, trial_folder, write_heat_maps
from gradstab.record.statistics.registry import STATISTICS
from tests.fakes import make_mixed_records, make_record, without_later_statistics


def test_every_kind_of_trial_can_be_drawn_and_its_arrays_are_whole(tmp_path: Path) -> None:
    for record in [*make_mixed_records(5), make_record(9, point={"depth": 1, "steps": 0})]:
        assert record.trajectory is not None
        folder = write_heat_maps(record, tmp_path)
        assert folder == trial_folder(tmp_path, record.number)
        assert sorted(path.suffix for path in folder.iterdir()) == [".npz", ".png", ".png", ".png"]
        with np.load(folder / f"trial-{record.number:06d}.npz") as arrays:
            assert set(arrays.files) == {"probe_step", *(statistic.name for statistic in STATISTICS.values())}
            for statistic in STATISTICS.values():
                np.testing.assert_array_equal(arrays[statistic.name], record.trajectory[statistic.name])


def test_the_first_layer_is_drawn_at_the_bottom(tmp_path: Path) -> None:
    record = make_record(0, point={"depth": 6, "steps": 50}, decades_per_layer=1.0)  # largest next to the input
    folder = write_heat_maps(record, tmp_path)
    with Image.open(folder / "grad_norm.png") as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    height, width, _ = pixels.shape
    bottom, top = pixels[int(height * 0.8), width // 2], pixels[int(height * 0.15), width // 2]
    assert bottom[0] > 200, "vermilion: above the last layer"
    assert bottom[2] < 150
    assert top.min() > 150, "nearly white: as large as at the last layer"


def test_what_was_not_measured_is_grey_and_the_ends_of_the_scale_have_the_end_colours() -> None:
    value_PL = np.array([[0.0, 1.0], [np.nan, 7.0]])  # probe times by layers; 7 lies beyond the scale
    png = heat_map_png(value_PL, FRACTIONS, np.array([-5.0, 5.0, 15.0]), [0, 10], "title", "unit")
    with Image.open(BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    lower, upper = int(height * 0.7), int(height * 0.25)
    left, right = int(width * 0.3), int(width * 0.65)
    assert pixels[lower, left].tolist() == [68, 1, 84]
    assert pixels[upper, left].tolist() == pixels[upper, right].tolist() == [253, 231, 36]
    assert tuple(pixels[lower, right]) == getrgb(NOT_MEASURED)


def test_the_same_gradient_has_the_same_colour_in_every_trial(tmp_path: Path) -> None:
    """The middle of layer 1 at the start, of trials whose gradients grow by little and by much."""
    seen = []
    for number, decades in enumerate((0.4, 4.0, -0.4)):
        record = make_record(number, point={"depth": 3, "steps": 50}, decades_per_layer=decades)
        with Image.open(write_heat_maps(record, tmp_path) / "grad_norm.png") as image:
            seen.append(tuple(np.asarray(image.convert("RGB"))[320, 90].tolist()))
        assert record.trajectory is not None
        ratio = float(record.trajectory["log10_delta_norm"][0, 0] - record.trajectory["log10_delta_norm"][0, -1])
        assert seen[-1] == tuple(decade_colours(np.array([ratio]))[0])
    assert len(set(seen)) == 3


def test_decades_are_white_at_none_and_end_where_the_bar_says_so() -> None:
    white, low, beyond, unknown = decade_colours(np.array([0.0, -FULL_DECADES, -9.0, np.nan])).tolist()
    assert white == [255, 255, 255]
    assert low == beyond
    assert tuple(unknown) == getrgb(NOT_MEASURED)
    texts = [text for _, text in DECADES.ticks()]
    assert (texts[0], texts[-1]) == ("\u2264\u22125", "\u2265+5")


@pytest.mark.parametrize("scale", [DECADES, FRACTIONS])
def test_a_map_has_a_palette_with_paper_and_ink_and_its_bar_runs_from_the_lowest_colour_to_the_highest(scale) -> None:
    png = heat_map_png(np.full((2, 2), np.nan), scale, np.array([-5.0, 5.0, 15.0]), [0, 10], "title", "unit")
    with Image.open(BytesIO(png)) as image:
        assert image.mode == "P"
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[43, 200].tolist() == [0, 0, 0], "the frame"
    assert pixels[[336, 44], 480].tolist() == scale.bar()[[0, -1]].tolist()


def test_where_more_units_are_dead_than_saturated_the_dead_are_shown() -> None:
    record = make_record(0)
    assert record.trajectory is not None
    record.trajectory.series["dead_fraction"] = np.full_like(record.trajectory["dead_fraction"], 0.5)
    shown = {each.name: each for each in heat_maps(record.trajectory)}["saturated_or_dead"]
    assert shown.title == "dead units"
    assert (shown.value_PL == 0.5).all()


def test_a_statistic_that_was_not_recorded_has_no_picture(tmp_path: Path) -> None:
    record = without_later_statistics(make_record(0))
    folder = write_heat_maps(record, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["grad_norm.png", "trial-000000.npz"]
    with np.load(folder / "trial-000000.npz") as arrays:
        assert set(arrays.files) == {"probe_step", "loss", "grad_norm", "log10_delta_norm"}


def test_heat_maps_that_are_there_are_left_alone_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(0)
    folder = write_heat_maps(record, tmp_path)
    (folder / "mark").touch()
    write_heat_maps(record, tmp_path)
    assert (folder / "mark").exists()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        write_heat_maps(make_record(1), tmp_path)
    assert [path.name for path in folder.parent.iterdir()] == ["trial-000000"]
