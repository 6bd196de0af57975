"""A heat map as a PNG, drawn with Pillow: a study has 150 of them, and matplotlib takes 15 times as long for each.

Axes: P probe time, L hidden layer, H and W pixel rows and columns of the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageColor import getrgb

from gradstab.display.colours import NOT_MEASURED
from gradstab.record.trajectory import FloatArray

_SIZE = (572, 396)
_LEFT, _TOP, _RIGHT, _BOTTOM = 69, 44, 458, 337  # of the map, in pixels
_BAR_LEFT, _BAR_RIGHT = 475, 492
_TICK = 4  # pixels
_TEXT, _TITLE = 15, 14  # pixels
_INK, _PAPER = "black", "white"
_MOST_TICKS = 6
_COLOURS = 256


def heat_map_png(
    value_PL: FloatArray,
    limits: tuple[float, float],
    step_edge: FloatArray,
    steps: Sequence[int],
    title: str,
    unit: str,
) -> bytes:
    """Layers upward from the input over optimizer steps, with a colour bar; grey where nothing was measured.

    Args:
        limits: values of the first and the last colour, the second above the first.
        step_edge: the P + 1 edges of the probe times in optimizer steps.
        steps: the probe times, some of which are named below the map.
        unit: what stands along the colour bar.
    """
    page = Image.new("RGB", _SIZE, _PAPER)
    draw = ImageDraw.Draw(page)
    num_layers = value_PL.shape[1]
    page.paste(Image.fromarray(_map_pixels(value_PL, limits, step_edge)), (_LEFT, _TOP))
    bar_H1 = _colours()[np.linspace(_COLOURS - 1, 0, _BOTTOM - _TOP).round().astype(int)][:, None]
    page.paste(Image.fromarray(np.repeat(bar_H1, _BAR_RIGHT - _BAR_LEFT, axis=1)), (_BAR_LEFT, _TOP))
    for left, right in ((_LEFT, _RIGHT), (_BAR_LEFT, _BAR_RIGHT)):
        draw.rectangle((left - 1, _TOP - 1, right, _BOTTOM), outline=_INK)
    _name_steps(draw, steps, step_edge)
    for layer, y in _upward(MaxNLocator(_MOST_TICKS, integer=True, steps=[1, 2, 5, 10]), 0.5, num_layers + 0.5):
        draw.line((_LEFT - _TICK, y, _LEFT - 1, y), _INK)
        draw.text((_LEFT - _TICK - 4, y), layer, _INK, _font(_TEXT), anchor="rm")
    for value, y in _upward(MaxNLocator(_MOST_TICKS, steps=[1, 2, 5, 10]), *limits):
        draw.line((_BAR_RIGHT, y, _BAR_RIGHT + _TICK, y), _INK)
        draw.text((_BAR_RIGHT + _TICK + 3, y), value, _INK, _font(_TEXT), anchor="lm")
    middle_x, middle_y = (_LEFT + _RIGHT) // 2, (_TOP + _BOTTOM) // 2
    draw.text((middle_x, _TOP - 8), title, _INK, _font(_TITLE), anchor="ms")
    draw.text((middle_x, _SIZE[1] - 12), "optimizer step", _INK, _font(_TEXT), anchor="ms")
    for text, x in (("layer (1 is next to the input)", 22), (unit, _SIZE[0] - 12)):
        written = _upright(text)
        page.paste(_INK, (x - written.width // 2, middle_y - written.height // 2), written)
    buffer = BytesIO()
    page.save(buffer, "PNG", compress_level=1)  # 30 kB for 25, in a quarter of the time
    return buffer.getvalue()


def _map_pixels(value_PL: FloatArray, limits: tuple[float, float], step_edge: FloatArray) -> NDArray[np.uint8]:
    """The map as (H, W, 3): each pixel has the colour of the cell that its middle lies in."""
    low, high = limits
    # overflow and exact zeros are drawn at the ends of the scale
    level_PL = np.clip((value_PL - low) / (high - low), 0, 1)
    known_PL = np.isfinite(value_PL)
    colour_PL3 = _colours()[np.where(known_PL, level_PL * (_COLOURS - 1), 0).round().astype(int)]
    colour_PL3[~known_PL] = getrgb(NOT_MEASURED)
    width, height = _RIGHT - _LEFT, _BOTTOM - _TOP
    step_W = step_edge[0] + (np.arange(width) + 0.5) / width * (step_edge[-1] - step_edge[0])
    probe_W = np.clip(np.searchsorted(step_edge, step_W) - 1, 0, len(value_PL) - 1)
    layer_H = value_PL.shape[1] - 1 - np.arange(height) * value_PL.shape[1] // height  # the first one at the bottom
    return np.asarray(colour_PL3[probe_W[None, :], layer_H[:, None]])


def _name_steps(draw: ImageDraw.ImageDraw, steps: Sequence[int], step_edge: FloatArray) -> None:
    for step in steps[:: math.ceil(len(steps) / _MOST_TICKS)]:
        x = round(_LEFT + (_RIGHT - _LEFT) * (step - step_edge[0]) / (step_edge[-1] - step_edge[0]))
        draw.line((x, _BOTTOM, x, _BOTTOM + _TICK), _INK)
        draw.text((x, _BOTTOM + _TICK + 15), str(step), _INK, _font(_TEXT), anchor="ms")


def _upward(locator: MaxNLocator, low: float, high: float) -> list[tuple[str, int]]:
    """Round values between two ends, as text, and the pixel row of each."""
    value_T = [value for value in map(float, locator.tick_values(low, high)) if low <= value <= high]
    step = min((after - value for value, after in pairwise(value_T)), default=1.0)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    height = _BOTTOM - _TOP
    return [
        (
            f"{value + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}"),
            round(_BOTTOM - height * (value - low) / (high - low)),
        )
        for value in value_T
    ]


@lru_cache(maxsize=1)
def _colours() -> NDArray[np.uint8]:
    return np.asarray(matplotlib.colormaps["viridis"](np.arange(_COLOURS), bytes=True)[:, :3])


@lru_cache(maxsize=2)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own font, which comes with it."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


@lru_cache(maxsize=16)
def _upright(text: str) -> Image.Image:
    """A text turned upward, as a mask."""
    left, top, right, bottom = _font(_TEXT).getbbox(text)
    mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, _font(_TEXT))
    return mask.transpose(Image.Transpose.ROTATE_90)
