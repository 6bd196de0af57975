"""`gradstab theory`: what mean-field theory predicts. Nothing is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradstab.commands.completion import complete_activation
from gradstab.commands.options import format_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
    from gradstab.theory.forecast import Forecast, ScaleForecast

_HEADERS = (
    ("R", "log10 of the gradient norm at the first hidden layer over that at the last; safe means |R| < 1"),
    ("gain per layer", "the factor by which a layer multiplies the gradient norm on its way to the input, in the mean"),
    ("settles at q", "the mean square of pre-activations in very deep layers; gain there is that of such a layer"),
    (
        "depth scale",
        "layers in which two inputs become alike by a factor e; networks about 6 times as deep train",
    ),
)


@click.command()
@click.option(
    "--activation",
    default="tanh",
    show_default=True,
    metavar="NAME|MODULE:FUNCTION",
    shell_complete=complete_activation,
    help="One of gradstab's, or any elementwise torch function, as in torch.nn.functional:mish.",
)
@click.option(
    "--bias-scale",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    help="Standard deviation of the biases, sigma_b.",
)
@click.option(
    "--depth", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Number of hidden layers, L."
)
@click.option("--init-scale", type=click.FloatRange(1e-6, 1e6), help="One more sigma_w to describe.")
@format_option
def theory(activation: str, bias_scale: float, depth: int, init_scale: float | None, output: Format) -> None:
    """Predict where gradients of wide networks vanish and explode.

    The first line is the answer: the init scale sigma_w (std of a weight times sqrt(fan_in)) that keeps the gradient
    norm from the last hidden layer to the first, and the interval in which it changes by less than a factor of 10.
    The theory is that of infinitely wide networks at initialisation, with inputs of mean square 1.
    """
    from gradstab.activations.from_outside import import_activations
    from gradstab.activations.registry import LIBRARY, add_imported
    from gradstab.commands.terminal import print_json, print_rows, print_sentence
    from gradstab.errors import UsageError
    from gradstab.study.did_you_mean import nearest
    from gradstab.theory.forecast import answer, forecast, sentences

    for number in (bias_scale, init_scale):
        if number is not None and not math.isfinite(number):
            raise click.BadParameter(f"must be a finite number, got {number}")
    try:
        add_imported(import_activations([activation], Path.cwd()))
    except UsageError as error:
        raise UsageError(f"{error}{nearest(activation, LIBRARY)}") from None
    found = forecast(activation, bias_scale, depth, init_scale)
    if output == "json":
        print_json({"answer": answer(found), **_data(found, sentences(found))})
        return
    print_sentence(answer(found))
    click.echo()
    print_rows(
        f"{found.activation}, bias scale {bias_scale:g}, hidden layers {depth}, inputs of mean square 1",
        ["init scale", "", "R", "gain per layer", "settles at q", "gain there", "depth scale xi_c", "trains to about"],
        [_row(found, scale, init_scale) for scale in found.scales],
    )
    click.echo()
    print_rows("", ["", ""], _HEADERS)
    click.echo()
    for sentence in sentences(found):
        print_sentence(sentence)
    if init_scale is not None:
        click.echo()
        _print_fixed_points(next(scale for scale in found.scales if scale.init_scale == init_scale))


def _row(found: Forecast, scale: ScaleForecast, asked: float | None) -> list[object]:
    from gradstab.display.numbers import length_text

    band = found.band
    names = {band.lower: "lower edge", band.centre: "R = 0", band.upper: "upper edge"}
    depth = scale.trainable_depth
    return [
        f"{scale.init_scale:.5g}",
        names.get(scale.init_scale, "as asked" if scale.init_scale == asked else ""),
        f"{scale.ratio:+.3g}" if abs(scale.ratio) > 1e-4 else "0",
        "" if scale.gain is None else f"{scale.gain:.4g}",
        length_text(scale.settled_length),
        f"{scale.settled_gain:.4g}",
        "" if scale.depth_scale is None else f"{scale.depth_scale:.4g}",
        "" if depth is None else "any depth" if depth > 1e6 else f"{depth:.0f} layers",
    ]


def _print_fixed_points(scale: ScaleForecast) -> None:
    from gradstab.commands.terminal import print_rows
    from gradstab.display.numbers import length_text

    rows: list[list[object]] = [
        [
            "every length" if point.kind == "every" else length_text(point.q),
            "neutral" if point.kind == "every" else "attracts" if point.stable else "repels",
            f"{point.chi_1:.6g}",
            f"{point.gradient_factor:.6g}",
            f"{point.chi_parallel:.6g}",
            f"{point.xi_gradient:.4g}",
        ]
        for point in scale.fixed_points
    ]
    print_rows(
        f"fixed lengths at init scale {scale.init_scale:g}",
        ["q", "", "chi_1", "gain per layer", "chi_parallel", "layers in which squared gradients change by e"],
        rows,
    )


def _data(found: Forecast, said: list[str]) -> dict[str, Any]:
    """Everything as JSON types; infinite numbers become the word "infinity"."""
    from dataclasses import asdict

    data = asdict(found)
    for scale, described in zip(found.scales, data["scales"], strict=True):
        described["trainable_depth"] = scale.trainable_depth
        for point, entry in zip(scale.fixed_points, described["fixed_points"], strict=True):
            entry.update(gradient_factor=point.gradient_factor, xi_gradient=point.xi_gradient)
    for critical, entry in zip(found.critical, data["critical"], strict=True):
        entry["jumps"] = critical.jumps
    plain = _json(data)
    assert isinstance(plain, dict)
    return {**plain, "sentences": said}


def _json(value: object) -> object:
    if isinstance(value, dict):
        return {key: _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    return "infinity" if isinstance(value, float) and math.isinf(value) else value
