"""The whole measurement: draws of a module, put together into series, with what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradstab.probing.copies import bare_module, private_copy, refuse_infinite_weights, refuse_unready
from gradstab.probing.draws import DRAWS, STEP, Draw, Draws
from gradstab.probing.events import kind_of
from gradstab.probing.forward import Batch, Forward, infinite_data, refuse_unfit_data
from gradstab.probing.losses import Loss, Weights, weights_of
from gradstab.probing.precision import FLOAT64, OWN, Lifting, Types, lifted
from gradstab.probing.profiles import Series, series_of
from gradstab.probing.refusals import UserCodeError, refuse
from gradstab.probing.samples import Rows
from gradstab.probing.surroundings import measuring_conditions
from gradstab.probing.table import Key, Table, merged
from gradstab.probing.trees import Tree
from gradstab.probing.untapped import reasons_of_layers, refuse_unseen, untapped


@dataclass(frozen=True)
class Measured:
    """What was measured of a module.

    Attributes:
        series: those that are judged (or that the user named), the headline first.
        kinds: one series a place inside blocks; shown, never judged.
        untapped: patterns of names that were not tapped, and why.
        notes: what a reader must know, a sentence each.
        loss: mean of the samples' losses.
    """

    series: tuple[Series, ...]
    kinds: tuple[Series, ...]
    untapped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    loss: float


def measure(
    module: nn.Module, inputs: Tree, targets: Tree, loss: Loss, taps: Sequence[str], ratio_band: float
) -> Measured:
    """Measure the gradients of a module on a batch; the module and all generators stay as they were.

    Raises:
        UsageError: one sentence why it cannot be measured.
    """
    if not all(isinstance(tap, str) for tap in taps):
        refuse(f"taps must be names of modules, as 'blocks.*', got {taps!r}")
    refuse_unready(module)
    refuse_infinite_weights(module)
    refuse_unfit_data(inputs, targets)
    if infinite := infinite_data(inputs, targets):
        refuse(f"{infinite}: their gradients say nothing of the network, so leave these samples out")
    inner = bare_module(module)
    with measuring_conditions(), np.errstate(all="ignore"):
        try:
            return _measured(inner, _batch(inputs, targets, loss, FLOAT64), taps, ratio_band)
        except UserCodeError:
            pass  # perhaps an operation that has no float64
        return _measured(inner, _batch(inputs, targets, loss, OWN), taps, ratio_band)


def _batch(inputs: Tree, targets: Tree, loss: Loss, types: Types) -> Batch:
    inputs, targets = lifted((inputs, targets), types)
    return Batch(inputs, targets, private_copy(loss, types) if isinstance(loss, nn.Module) else loss, types)


def _measured(module: nn.Module, batch: Batch, taps: Sequence[str], band: float) -> Measured:
    """Measure in the types of the batch."""
    draws = Draws(module, batch, taps)
    first, own, forward = draws.take_first()
    refuse_unseen(own, forward, headline_is_chain=first.members[0].axis == "layers")
    weights = sample_weights(batch, forward, first.reading.rows)
    reasons, left_out = reasons_of_layers(forward), untapped(own, forward)
    loss = float(forward.value.detach()) / weights.total
    num_samples = first.reading.rows.num_samples if first.reading.rows else forward.num_samples
    forward.release(own)
    del own, forward  # later draws need the memory
    table = Table()
    table.add(first.positions, first.reading, first.activated)
    keys, kinds = first.keys, first.kinds
    num_draws = DRAWS if first.drew else 1
    for number in range(1, num_draws):
        draw, own, forward = draws.take(number, first)
        forward.release(own)
        table.add(draw.positions, draw.reading, draw.activated)
        keys = [merged(old, new) for old, new in zip(keys, draw.keys, strict=True)]
        kinds |= {kind: merged(kinds.get(kind, []), new) for kind, new in draw.kinds.items()}
    judged = {key for found in keys for key in found}
    peak_level = -math.log10(weights.total)

    def series(name: str, axis: str, of: Sequence[Key], whole: Sequence[bool], judged: bool, remark: str) -> Series:
        return series_of(
            name,
            axis,
            tuple(key[0] for key in of),
            table.norms(of),
            table.peaks(of),
            *table.activated(of),
            level=peak_level + 0.5 * math.log10(num_samples),
            peak_level=peak_level,
            band=band,
            sampled=num_draws > 1 or not first.reading.exact,
            whole=tuple(whole),
            judged=judged,
            remark=remark,
        )

    return Measured(
        series=tuple(
            series(_common(found), part.axis, found, [part.whole(key) for key in found], part.judged, part.remark)
            for part, found in zip(first.members, keys, strict=True)
        ),
        kinds=tuple(
            series(
                _common(rest), "inside blocks", rest, [False] * len(rest), judged=False, remark=_reason(reasons, rest)
            )
            for found in kinds.values()
            if (rest := [key for key in found if key not in judged])
        ),
        untapped=left_out,
        notes=tuple(_notes(batch, draws, first, num_draws, weights)),
        loss=loss,
    )


def _reason(reasons: Mapping[str, str], keys: Sequence[Key]) -> str:
    """Why a kind is not judged; a layer that the first draw left out lies inside a block."""
    return reasons.get(keys[0][0], "passes a part of the gradient")


def sample_weights(batch: Batch, forward: Forward, rows: Rows | None) -> Weights:
    """The weights with which the samples' own losses enter the loss given; those of a mean where they are unknown."""
    if not bool(torch.isfinite(forward.value)):
        return Weights(1.0, "the loss is not finite on this batch")
    if rows is None or rows.layout != "each" or rows.axis or forward.per_sample:
        return Weights(1.0)
    with Lifting(batch.types):
        return weights_of(batch.loss, forward.outputs, batch.targets, forward.value, rows.num_samples)


def _notes(batch: Batch, draws: Draws, first: Draw, num_draws: int, weights: Weights) -> list[str]:
    reading, notes = first.reading, list[str]()
    if batch.types == OWN:
        notes.append(
            "measured in the module's own precision, because it does not run in float64: the smallest gradients read "
            "as zero"
        )
    if draws.drawn_anew:
        names = ", ".join(name.removesuffix(".weight") for name in draws.drawn_anew)
        notes.append(
            f"the readout {names} is zero, so nothing has a gradient before the first step: it was drawn anew on a "
            "copy from N(0, 1/fan_in)"
        )
    if draws.stepped:
        notes.append(
            "nothing has a gradient before the first step: measured after one step of gradient descent on a copy "
            f"(learning rate {STEP})"
        )
    if draws.dead:
        notes.append("the readout passes a gradient on, but none reaches any position: the units between are dead")
    if num_draws > 1:
        notes.append(f"the module draws random numbers: gradients are averaged over {num_draws} draws")
    if reading.mix and reading.rows:
        how = "exact" if reading.exact else "an estimate"
        notes.append(
            f"samples mix, so R is that of a batch of {reading.rows.num_samples}: {how}, from "
            f"{len(reading.norm_KP)} backward passes with signs"
        )
    if reading.mix is None and first.normalises:
        notes.append("whether samples mix cannot be told from these outputs: the batch is taken as one sample")
    return notes + [remark for remark in (weights.remark,) if remark]


def _common(keys: Sequence[Key]) -> str:
    """The name of one position, or the kind of several, or the first and the last where kinds differ."""
    if len({key[0] for key in keys}) == 1:
        return keys[0][0]
    kinds = {kind_of(key[0]) for key in keys}
    return kinds.pop() if len(kinds) == 1 else f"{keys[0][0]} to {keys[-1][0]}"
