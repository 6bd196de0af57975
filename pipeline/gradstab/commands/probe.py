"""`gradstab probe`: where the gradients of a user's own module vanish or explode."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from gradstab.commands.options import format_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
    from gradstab.module_probe import Probe


@click.command()
@click.argument("module", metavar="MODULE:BUILD")
@click.option("--data", metavar="FILE", help="A .npz or .pt file with inputs and targets. Default: data() of the file.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="An argument of BUILD, for example depth=12."
)
@click.option(
    "--loss", metavar="NAME", help="A function of the file or of torch.nn.functional. Default: the file's loss."
)
@click.option("--taps", multiple=True, metavar="PATTERN", help="Compare these modules, for example blocks.*.")
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="Use at most this many samples.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of torch, set before BUILD is called.")
@click.option(
    "--eval",
    "evaluate",
    is_flag=True,
    help="Measure in eval mode. Default: the mode in which BUILD returns the module.",
)
@click.option("--figure", metavar="FILE", help="Also write the profile as a picture.")
@format_option
def probe(
    module: str,
    data: str | None,
    settings: tuple[str, ...],
    loss: str | None,
    taps: tuple[str, ...],
    samples: int,
    seed: int,
    evaluate: bool,
    figure: str | None,
    output: Format,
) -> None:
    """Measure where gradients of your own module vanish or explode.

    BUILD is a function that returns a torch.nn.Module. MODULE is a file or an import path. Examples:
    my_gpt.py:build, my_gpt:build.
    """
    from gradstab import probe as measure
    from gradstab.commands.terminal import print_json
    from gradstab.probing.user_code import build_module, data_of, load_user_module, loss_of

    home, name = load_user_module(module)
    built = build_module(home, name, _arguments(settings), seed)
    inputs, targets = data_of(home, data, samples)
    found = measure(built.eval() if evaluate else built, inputs, targets, loss_of(home, loss), taps=taps)
    if figure is not None:
        found.figure(figure)
    if output == "json":
        print_json(_data(found))
    else:
        click.echo(str(found))


def _arguments(settings: tuple[str, ...]) -> dict[str, object]:
    """Arguments of BUILD, their values read as YAML."""
    from gradstab.study.plain_yaml import load_yaml

    arguments: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"--set must be name=value, got {setting!r}; for example --set depth=12")
        arguments[name] = load_yaml(value)
    return arguments


def _data(found: Probe) -> dict[str, Any]:
    """Everything as JSON types; what is not finite is null."""
    from dataclasses import asdict

    return {
        "headline": found.headline(),
        "verdict": found.verdict,
        "gradient_ratio": found.gradient_ratio,
        "rate": found.rate,
        "loss": _plain(found.loss),
        "ratio_band": found.ratio_band,
        "headroom": found.headroom,
        "notes": list(found.notes),
        "series": [_plain(asdict(series)) for series in found.series],
        "kinds": [_plain(asdict(series)) for series in found.kinds],
        "not_read": [{"layers": name, "reason": reason} for name, reason in found.untapped],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
