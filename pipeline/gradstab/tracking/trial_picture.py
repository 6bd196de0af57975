"""A trial's gradients by layer as an SVG picture: small, sharp, and drawn in a thousandth of a second.

A strip of all layers before training, then the same as a line with that after training, then every layer at every
probe. Every picture has the same colours for the same gradients, so that trials can be compared by eye.

Axes: P probe time, L hidden layer or tap.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from io import BytesIO
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradstab.display.colours import AREAS, VERDICT_COLOURS
from gradstab.display.decades import FULL_DECADES, decade_colours
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.stability.depth_profile import LEAST_DEPTH, relative_over_training
from gradstab.study.criterion import Verdict

FILE_NAME = "gradients.svg"
_WIDTH, _HEIGHT, _HEIGHT_OF_A_LETTER = 860, 300, 4.2
_TOP, _BOTTOM = 76, 252  # of the plots below the strip, in pixels
_LEFT, _RIGHT = 48, 430  # of the lines
_MAP_LEFT, _MAP_RIGHT, _BAR = 500, 780, 792  # of the map, and where its colour bar begins
_STRIP_HEIGHT = 30
_LEAST_REACH, _MOST_REACH = 1.5, 12.0  # decades up and down
_MOST_NAMES, _MOST_STEPS, _LONGEST_NAME = 12, 5, 22
_INK, _FRAME = "#222", 'fill="none" stroke="#888"'


def trial_picture(trajectory: Trajectory, verdict: Verdict, ratio_band: float) -> str | None:
    """The picture; None where the network has one layer, or nothing was measured.

    Args:
        ratio_band: R0, within which gradients count as stable.
    """
    norm_PL = trajectory["log10_delta_norm"]
    if trajectory.depth < LEAST_DEPTH or np.isnan(norm_PL[0]).all():
        return None
    relative_PL = relative_over_training(norm_PL)
    names = trajectory.taps or tuple(f"layer {layer}" for layer in range(1, trajectory.depth + 1))
    height = _HEIGHT + round(_HEIGHT_OF_A_LETTER * max(len(_short(name)) for name in trajectory.taps or ("",)))
    body = [
        *_strip(relative_PL[0], names),
        *_lines(relative_PL, names, verdict, ratio_band, named=bool(trajectory.taps)),
        *_map(relative_PL, trajectory.probe_step_P.tolist(), "tap" if trajectory.taps else "layer"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="DejaVu Sans, Arial, sans-serif" font-size="12" fill="{_INK}">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>{"".join(body)}</svg>\n'
    )


def _strip(relative_L: FloatArray, names: Sequence[str]) -> Iterator[str]:
    """Every layer before training, the input at the left; a pointer on it sees its name and value."""
    edge_L = np.linspace(0, _WIDTH, len(names) + 1).round(1)
    for name, value, colour, (left, right) in zip(
        names, relative_L, decade_colours(relative_L), pairwise(edge_L), strict=True
    ):
        fill = "#" + bytes(colour.tolist()).hex()
        yield (
            f'<rect x="{left}" width="{right - left:.1f}" height="{_STRIP_HEIGHT}" fill="{fill}">'
            f"<title>{escape(name)}: {value:+.2f}</title></rect>"
        )
    yield _rectangle(0, 0, _WIDTH, _STRIP_HEIGHT, _FRAME)
    y = _STRIP_HEIGHT + 15
    yield _text(0, y, f"{names[0]}: {relative_L[0]:+.2f}", "start")
    yield _text(_WIDTH / 2, y, "gradient before training, decades above the last", "middle")
    yield _text(_WIDTH, y, names[-1], "end")


def _lines(
    relative_PL: FloatArray, names: Sequence[str], verdict: Verdict, ratio_band: float, *, named: bool
) -> Iterator[str]:
    """Before training, and after it dashed, over the layers; the band of stable gradients behind them."""
    measured_P = np.flatnonzero(~np.isnan(relative_PL[:, 0]))
    first_L, last_L = relative_PL[0], relative_PL[measured_P[-1]]
    largest = max(float(np.abs(first_L).max()), float(np.abs(last_L).max()), ratio_band)
    reach = min(_MOST_REACH, max(_LEAST_REACH, 1.1 * largest))
    x_L = np.linspace(_LEFT, _RIGHT, len(names))

    def y_of(value: float) -> float:
        return _TOP + (_BOTTOM - _TOP) * (0.5 - 0.5 * max(-1.0, min(1.0, value / reach)))

    band = y_of(-ratio_band) - y_of(ratio_band)
    yield _rectangle(_LEFT, y_of(ratio_band), _RIGHT - _LEFT, band, f'fill="{AREAS["stable"]}"')
    yield _rectangle(_LEFT, _TOP, _RIGHT - _LEFT, _BOTTOM - _TOP, _FRAME)
    for value in (-reach, 0.0, reach):
        yield _text(_LEFT - 5, y_of(value) + 4, f"{value:+.2g}" if value else "0", "end")
    for row_L, style in ((last_L, ' stroke-dasharray="6 4"'), (first_L, "")):
        points = " ".join(f"{x:.1f},{y_of(float(value)):.1f}" for x, value in zip(x_L, row_L, strict=True))
        colour = VERDICT_COLOURS[verdict]
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.2"{style}/>'
    yield _text(_LEFT, _TOP - 7, "decades above the last: before (line), at the end (dashed)", "start")
    for place in _spread(len(names), _MOST_NAMES if named else _MOST_STEPS):
        if named:
            x, y = round(x_L[place]), _BOTTOM + 14
            turned = f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-35 {x} {y})">'
            yield f"{turned}{escape(_short(names[place]))}</text>"
        else:
            yield _text(x_L[place], _BOTTOM + 15, str(place + 1), "middle")
    if not named:
        yield _text((_LEFT + _RIGHT) / 2, _BOTTOM + 34, "layer (1 is next to the input)", "middle")


def _map(relative_PL: FloatArray, steps: Sequence[int], place: str) -> Iterator[str]:
    """Every layer at every probe, the first layer at the bottom, with a colour bar."""
    cells = _embedded(decade_colours(relative_PL.T[::-1]))
    width, height = _MAP_RIGHT - _MAP_LEFT, _BOTTOM - _TOP
    yield _image(cells, _MAP_LEFT, width)
    yield _rectangle(_MAP_LEFT, _TOP, width, height, _FRAME)
    yield _text(_MAP_LEFT, _TOP - 7, f"every {place} over training", "start")
    for index in _spread(len(steps), _MOST_STEPS):
        yield _text(_MAP_LEFT + (index + 0.5) * width / len(steps), _BOTTOM + 15, str(steps[index]), "middle")
    yield _text((_MAP_LEFT + _MAP_RIGHT) / 2, _BOTTOM + 34, "optimizer step", "middle")
    num_layers = relative_PL.shape[1]
    for layer in (1, num_layers):
        y = _BOTTOM - (layer - 0.5) * height / num_layers + 4
        yield _text(_MAP_LEFT - 5, y, str(layer), "end")
    yield _colour_bar()
    for value in (-FULL_DECADES, 0.0, FULL_DECADES):
        y = _TOP + (0.5 - 0.5 * value / FULL_DECADES) * height
        yield _text(_BAR + 18, y + 4, f"{value:+.0f}" if value else "0", "start")


@lru_cache(maxsize=1)
def _colour_bar() -> str:
    return _image(_embedded(decade_colours(np.linspace(FULL_DECADES, -FULL_DECADES, 64)[:, None])), _BAR, 14)


def _embedded(pixel_HW3: NDArray[np.uint8]) -> str:
    """A picture of one pixel a cell, as a data URL."""
    buffer = BytesIO()
    Image.fromarray(pixel_HW3).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _image(url: str, left: int, width: int) -> str:
    return (
        f'<image x="{left}" y="{_TOP}" width="{width}" height="{_BOTTOM - _TOP}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="{url}"/>'
    )


def _rectangle(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else "\N{HORIZONTAL ELLIPSIS}" + name[1 - _LONGEST_NAME :]


def _spread(count: int, most: int) -> list[int]:
    """At most so many places, evenly spaced, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})
