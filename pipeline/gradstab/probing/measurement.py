"""The whole measurement: a private copy, one recorded pass, the choice of positions, the backward passes, the draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradstab.probing.copies import bare_module, private_copy, refuse_unready
from gradstab.probing.events import kind_of
from gradstab.probing.forward import Batch, Forward, refuse_unfit_data, run_forward, sgd_step
from gradstab.probing.gradients import Edges, Reading, read
from gradstab.probing.losses import Loss, Weights, weights_of
from gradstab.probing.precision import FLOAT64, OWN, Lifting, Types, lifted
from gradstab.probing.profiles import Series, series_of
from gradstab.probing.randomness import generator_states, held_generators, seed_generators
from gradstab.probing.refusals import UserCodeError, refuse
from gradstab.probing.samples import MOST_PASSES
from gradstab.probing.series import Run, choose_runs, readouts
from gradstab.probing.surroundings import measuring_conditions
from gradstab.probing.table import Key, Members, Table, keyed, merged
from gradstab.probing.trees import Tree
from gradstab.probing.untapped import reasons_of_kinds, refuse_unseen, untapped

DRAWS = 16
MOST_PASSES_OF_ALL_DRAWS = 64
_STEP = 0.1  # learning rate of the one step after which a zero readout without weights passes a gradient


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
    refuse_unready(module)
    refuse_unfit_data(inputs, targets)
    inner = bare_module(module)
    with measuring_conditions(), np.errstate(all="ignore"):
        try:
            return _Measurement(inner, inputs, targets, loss, taps, ratio_band, FLOAT64).result([])
        except UserCodeError:
            pass  # perhaps an operation that has no float64
        note = "in the module's own precision, since it does not run in float64: the smallest gradients read as zero"
        return _Measurement(inner, inputs, targets, loss, taps, ratio_band, OWN).result([note])


@dataclass(frozen=True)
class _Draw:
    """One forward pass with its backward passes.

    Attributes:
        own, forward, drew: the copy, its forward pass, and whether it drew random numbers.
        runs, members: the series, and how to find their positions in another draw.
        runs_keys, kinds, positions: keys of the series, of the places inside blocks, and of all that was read.
        reading: the norms.
    """

    own: nn.Module
    forward: Forward
    drew: bool
    runs: Sequence[Run]
    members: Sequence[Members]
    runs_keys: list[list[Key]]
    kinds: dict[str, list[Key]]
    positions: list[Key]
    reading: Reading

    @property
    def without_gradient(self) -> bool:
        """Whether the headline's positions have no gradient at all."""
        places = [self.positions.index(key) for key in self.runs_keys[0]]
        return not bool(self.reading.norm_KP[:, places].any())


class _Measurement:
    """One measurement in given types."""

    def __init__(
        self, module: nn.Module, inputs: Tree, targets: Tree, loss: Loss, taps: Sequence[str], band: float, types: Types
    ) -> None:
        self._module, self._taps, self._band, self._types = module, taps, band, types
        own_loss = private_copy(loss, types) if isinstance(loss, nn.Module) else loss
        inputs, targets = lifted((inputs, targets), types)
        self._batch = Batch(inputs, targets, own_loss, types)
        self._drawn_anew: list[str] = []  # weights of zero readouts
        self._stepped = False

    def result(self, notes: list[str]) -> Measured:
        """Measure, and say what a reader must know."""
        first = self._draw(0, None)
        if first.without_gradient:
            self._make_readouts_pass(first)
            return self.result(notes)
        refuse_unseen(first.own, first.forward, first.runs)
        weights = self._weights(first)
        reasons, left_out = reasons_of_kinds(first.forward), untapped(first.own, first.forward)
        draws = DRAWS if first.drew else 1
        table = Table()
        table.add(first.positions, first.reading)
        runs_keys, kinds = first.runs_keys, first.kinds
        for number in range(1, draws):
            draw = self._draw(number, first)
            table.add(draw.positions, draw.reading)
            runs_keys = [merged(old, new) for old, new in zip(runs_keys, draw.runs_keys, strict=True)]
            kinds |= {kind: merged(kinds.get(kind, []), new) for kind, new in draw.kinds.items()}
        rows = first.reading.rows
        peak_level = -math.log10(weights.total)
        level = peak_level + 0.5 * math.log10(rows.num_samples if rows else 1)
        sampled = draws > 1 or not first.reading.exact

        def series(
            name: str, axis: str, keys: Sequence[Key], whole: Sequence[bool], judged: bool, remark: str
        ) -> Series:
            names = tuple(key[0] for key in keys)
            readings = (table.norms(keys), table.peaks(keys))
            return series_of(
                name,
                axis,
                names,
                *readings,
                level=level,
                peak_level=peak_level,
                band=self._band,
                sampled=sampled,
                whole=tuple(whole),
                judged=judged,
                remark=remark,
            )

        return Measured(
            series=tuple(
                series(_common(keys), run.axis, keys, [part.whole(key) for key in keys], run.judged, run.remark)
                for run, part, keys in zip(first.runs, first.members, runs_keys, strict=True)
            ),
            kinds=tuple(
                series(kind, "inside blocks", keys, [False] * len(keys), judged=False, remark=reasons.get(kind, ""))
                for kind, keys in kinds.items()
                if not any(set(keys) <= set(judged) for judged in runs_keys)
            ),
            untapped=left_out,
            notes=(*notes, *self._notes(first, draws, weights)),
            loss=float(first.forward.value.detach()) / weights.total,
        )

    def _draw(self, number: int, first: _Draw | None) -> _Draw:
        """A fresh copy, a forward pass and the backward passes; later draws take what the first one found out."""
        own = private_copy(self._module, self._types)
        generators = held_generators(own)
        seed_generators(number, generators)
        for name in self._drawn_anew:
            weight = own.get_parameter(name)
            nn.init.normal_(weight, std=math.prod(weight.shape[1:]) ** -0.5)
        if self._stepped:
            sgd_step(own, self._batch, _STEP)
        before = generator_states(generators)
        forward = run_forward(own, self._batch)
        drew = generator_states(generators) != before
        runs = first.runs if first else choose_runs(forward.events, forward.graph, forward.value, self._taps)
        members = first.members if first else [Members(run, forward.events) for run in runs]
        runs_events = [part.of(forward.events) for part in members]
        positions: dict[Key, Edges] = {}
        for run, events in zip(runs, runs_events, strict=True):
            positions |= {key: run.edges(event) for key, event in events.items()}
        kinds: dict[str, list[Key]] = {}
        for key, event in keyed(forward.events).items():
            if event.layer:
                kinds.setdefault(kind_of(event.name), []).append(key)
                positions.setdefault(key, event.edges[:1])
        reading = read(
            forward.value,
            list(positions.values()),
            forward.cut,
            forward.candidates if first is None else [first.reading.rows] if first.reading.rows else [],
            most_passes=min(MOST_PASSES, MOST_PASSES_OF_ALL_DRAWS // (DRAWS if drew else 1)),
            known_mix=first.reading.mix if first else None,
            normalises=_normalises(own),
        )
        return _Draw(
            own, forward, drew, runs, members, [[*events] for events in runs_events], kinds, [*positions], reading
        )

    def _weights(self, first: _Draw) -> Weights:
        rows = first.reading.rows
        if not bool(torch.isfinite(first.forward.value)):
            return Weights(1.0, "the loss is not finite on this batch")
        if rows is None or rows.layout != "each" or rows.axis or first.forward.per_sample:
            return Weights(1.0)
        forward = first.forward
        with Lifting(self._types):
            return weights_of(self._batch.loss, forward.outputs, self._batch.targets, forward.value, rows.num_samples)

    def _make_readouts_pass(self, first: _Draw) -> None:
        """Draw zero readouts anew, or else take one step.

        Raises:
            UsageError: both are done, and still nothing has a gradient.
        """
        tops = readouts(first.forward.events, first.forward.graph)
        parameters = dict(first.own.named_parameters())
        names = [name if name in parameters else f"{name}.weight" for name in (top.name for top in tops)]
        zero = [name for name in names if name in parameters and not parameters[name].any()]
        if zero and not self._drawn_anew:
            self._drawn_anew = zero
        elif not self._stepped:
            self._stepped = True
        else:
            refuse(
                "the loss has no gradient at any position, so there is nothing to compare (a branch multiplied by "
                "zero, dead units, a constant loss): call it on a batch on which the network learns"
            )

    def _notes(self, first: _Draw, draws: int, weights: Weights) -> list[str]:
        reading, notes = first.reading, list[str]()
        if self._drawn_anew:
            names = ", ".join(name.removesuffix(".weight") for name in self._drawn_anew)
            notes.append(
                f"the readout {names} is zero, so nothing has a gradient before the first step: it was drawn anew on "
                "a copy from N(0, 1/fan_in)"
            )
        if self._stepped:
            notes.append(
                "nothing has a gradient before the first step: measured after one step of gradient descent on a copy "
                f"(learning rate {_STEP})"
            )
        if draws > 1:
            notes.append(f"the module draws random numbers: gradients are averaged over {draws} draws")
        if reading.mix and reading.rows:
            how = "exact" if reading.exact else "an estimate"
            notes.append(
                f"samples mix, so R is that of a batch of {reading.rows.num_samples}: {how}, from "
                f"{len(reading.norm_KP)} backward passes with signs"
            )
        if reading.mix is None and _normalises(first.own):
            notes.append("whether samples mix cannot be told from these outputs: the batch is taken as one sample")
        return notes + [remark for remark in (weights.remark,) if remark]


def _normalises(own: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) and part.training for part in own.modules())


def _common(keys: Sequence[Key]) -> str:
    """The kind of the positions, or the first and the last where they differ."""
    kinds = {kind_of(key[0]) for key in keys}
    return kinds.pop() if len(kinds) == 1 else f"{keys[0][0]} to {keys[-1][0]}"
