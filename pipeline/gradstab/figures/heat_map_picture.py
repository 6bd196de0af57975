"""A heat map as a PNG, drawn with Pillow: a study has 150 of them, and matplotlib takes 15 times as long for each.

Axes: P probe time, L hidden layer, H and W pixel rows and columns of the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gradstab.figures.axis_scales import layer_ticks, spread
from gradstab.figures.colour_scale import ColourScale
from gradstab.record.trajectory import FloatArray

_SIZE = (572, 396)
_LEFT, _TOP, _RIGHT, _BOTTOM = 69, 44, 458, 337  # of the map, in pixels
_BAR_LEFT, _BAR_RIGHT = 475, 492
_TICK = 4  # pixels
_TEXT, _TITLE = 15, 14  # pixels
_INK, _PAPER = 224, 255  # in the palette: behind a scale's colours come greys, which the edges of letters have
_MOST_STEPS = 6


def heat_map_png(
    value_PL: FloatArray,
    scale: ColourScale,
    step_edge: FloatArray,
    steps: Sequence[int],
    title: str,
    unit: str,
) -> bytes:
    """Layers upward from the input over optimizer steps, with a colour bar; grey where nothing was measured.

    The picture has a palette, which makes it half as large as one of full colours, in a seventh of the time.

    Args:
        step_edge: the P + 1 edges of the probe times in optimizer steps.
        steps: the probe times, some of which are named below the map.
        unit: what stands along the colour bar.
    """
    page = _empty_page(scale, tuple(step_edge.tolist()), tuple(steps), unit).copy()
    draw = ImageDraw.Draw(page)
    num_layers = value_PL.shape[1]
    for layer in layer_ticks(num_layers):
        y = _row(layer, 0.5, num_layers + 0.5)
        draw.line((_LEFT - _TICK, y, _LEFT - 1, y), _INK)
        draw.text((_LEFT - _TICK - 4, y), str(layer), _INK, _font(_TEXT), anchor="rm")
    draw.text(((_LEFT + _RIGHT) // 2, _TOP - 8), title, _INK, _font(_TITLE), anchor="ms")
    page.paste(Image.fromarray(_map_pixels(scale.levels(value_PL), step_edge)), (_LEFT, _TOP))
    bar = Image.fromarray(scale.bar_levels()[::-1, None])
    page.paste(bar.resize((_BAR_RIGHT - _BAR_LEFT, _BOTTOM - _TOP), Image.Resampling.NEAREST), (_BAR_LEFT, _TOP))
    page.putpalette(_palette(scale))
    buffer = BytesIO()
    page.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


@lru_cache(maxsize=16)
def _empty_page(scale: ColourScale, step_edge: tuple[float, ...], steps: tuple[int, ...], unit: str) -> Image.Image:
    """What the maps of many trials share: the frames, and what stands below the map and around the bar."""
    page = Image.new("L", _SIZE, _PAPER)
    draw = ImageDraw.Draw(page)
    for left, right in ((_LEFT, _RIGHT), (_BAR_LEFT, _BAR_RIGHT)):
        draw.rectangle((left - 1, _TOP - 1, right, _BOTTOM), outline=_INK)
    _name_steps(draw, steps, step_edge)
    for value, text in scale.ticks():
        y = _row(value, scale.low, scale.high)
        draw.line((_BAR_RIGHT, y, _BAR_RIGHT + _TICK, y), _INK)
        draw.text((_BAR_RIGHT + _TICK + 3, y), text, _INK, _font(_TEXT), anchor="lm")
    draw.text(((_LEFT + _RIGHT) // 2, _SIZE[1] - 12), "optimizer step", _INK, _font(_TEXT), anchor="ms")
    for text, x in (("layer (1 is next to the input)", 22), (unit, _SIZE[0] - 14)):
        written = _upright(text)
        page.paste(_INK, (x - written.width // 2, (_TOP + _BOTTOM) // 2 - written.height // 2), written)
    return page


def _palette(scale: ColourScale) -> bytes:
    """The colours of a scale, then greys from ink to paper."""
    grey_N = np.linspace(0, 255, _PAPER + 1 - _INK).round().astype(np.uint8)
    assert len(scale.palette) == _INK
    return np.vstack([scale.palette, np.repeat(grey_N[:, None], 3, axis=1)]).tobytes()


def _map_pixels(level_PL: NDArray[np.uint8], step_edge: FloatArray) -> NDArray[np.uint8]:
    """The map as (H, W): each pixel has the colour of the cell that its middle lies in."""
    num_probes, num_layers = level_PL.shape
    width, height = _RIGHT - _LEFT, _BOTTOM - _TOP
    step_W = step_edge[0] + (np.arange(width) + 0.5) / width * (step_edge[-1] - step_edge[0])
    probe_W = np.clip(np.searchsorted(step_edge, step_W) - 1, 0, num_probes - 1)
    layer_H = num_layers - 1 - np.arange(height) * num_layers // height  # the first one at the bottom
    return np.asarray(level_PL.T[layer_H][:, probe_W])


def _name_steps(draw: ImageDraw.ImageDraw, steps: Sequence[int], step_edge: Sequence[float]) -> None:
    for step in (steps[index] for index in spread(len(steps), _MOST_STEPS)):
        x = round(_LEFT + (_RIGHT - _LEFT) * (step - step_edge[0]) / (step_edge[-1] - step_edge[0]))
        draw.line((x, _BOTTOM, x, _BOTTOM + _TICK), _INK)
        draw.text((x, _BOTTOM + _TICK + 15), str(step), _INK, _font(_TEXT), anchor="ms")


def _row(value: float, low: float, high: float) -> int:
    """The pixel row of a value between two ends."""
    return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low))


@lru_cache(maxsize=2)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own font, which comes with it."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _upright(text: str) -> Image.Image:
    """A text turned upward, as a mask."""
    left, top, right, bottom = _font(_TEXT).getbbox(text)
    mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, _font(_TEXT))
    return mask.transpose(Image.Transpose.ROTATE_90)
