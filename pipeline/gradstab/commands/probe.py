"""`gradstab probe`: where the gradients of a user's own module vanish or explode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradstab.commands.options import format_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
    from gradstab.module_probe import Probe
    from gradstab.probing.weight_scale import WeightScale


@click.command()
@click.argument("module", metavar="MODULE:BUILD | CHECKPOINT.pt")
@click.option("--model", metavar="MODULE:BUILD", help="What builds the module whose weights CHECKPOINT.pt holds.")
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
@click.option(
    "--scale",
    is_flag=True,
    help="Also find the factor on the weights at which R is 0. Takes about 14 probes.",
)
@click.option("--figure", metavar="FILE", help="Also write the profile as a picture.")
@format_option
def probe(
    module: str,
    model: str | None,
    data: str | None,
    settings: tuple[str, ...],
    loss: str | None,
    taps: tuple[str, ...],
    samples: int,
    seed: int,
    evaluate: bool,
    scale: bool,
    figure: str | None,
    output: Format,
) -> None:
    """Measure where gradients of your own module vanish or explode.

    BUILD is a function that returns a torch.nn.Module. MODULE is a file or an import path. Examples:
    my_gpt.py:build, my_gpt:build. With a checkpoint, as after a spike of the loss, its weights are measured:
    checkpoint.pt --model my_gpt.py:build.
    """
    from gradstab import find_weight_scale
    from gradstab import probe as measure
    from gradstab.commands.terminal import print_json
    from gradstab.probing.checkpoints import SUFFIXES, load_checkpoint
    from gradstab.probing.user_code import build_module, data_of, load_user_module, loss_of

    checkpoint = Path(module) if model is not None or module.endswith(SUFFIXES) else None
    if checkpoint is not None and model is None:
        raise click.UsageError(
            f"{checkpoint.name} holds weights alone: give what builds the module as --model file.py:build"
        )
    home, name = load_user_module(model or module)
    built = build_module(home, name, _arguments(settings), seed)
    loaded = None if checkpoint is None else load_checkpoint(built, checkpoint)
    inputs, targets = data_of(home, data, samples)
    if loaded is not None and output != "json":  # before the network is refused for the weights that this names
        click.echo(str(loaded))
    given = (built.eval() if evaluate else built, inputs, targets, loss_of(home, loss))
    found = measure(*given, taps=taps)
    if figure is not None:
        found.figure(figure)
    if output != "json":
        click.echo(str(found))
    scaled = find_weight_scale(*given, taps=taps) if scale else None
    if output == "json":
        before = {} if loaded is None else {"checkpoint": loaded}
        print_json({**before, **_data(found), **({} if scaled is None else {"weight_scale": _scale_data(scaled)})})
    elif scaled is not None:
        click.echo(f"\n{scaled}")


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


def _scale_data(found: WeightScale) -> dict[str, Any]:
    """The same of a weight scale."""
    from dataclasses import asdict

    return {"answer": found.answer(), **_plain(asdict(found))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
