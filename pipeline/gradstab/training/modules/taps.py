"""The taps of one module in training: where its gradients are compared, and what is read there at a probe.

Definitions are those of `gradstab.probe`, in the precision of the training. Shapes: L tap, B sample.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gradstab.errors import UsageError
from gradstab.probing.draws import Draw, Draws
from gradstab.probing.forward import Batch, Forward, run_forward
from gradstab.probing.gradients import Edges, Reading, read
from gradstab.probing.samples import MOST_PASSES, Rows
from gradstab.probing.series import choose_runs
from gradstab.probing.summary import Summary
from gradstab.probing.surroundings import measuring_conditions
from gradstab.probing.table import Key, Members
from gradstab.probing.trees import Tree, map_tensors
from gradstab.training.modules.quick_reading import Place, read_places
from gradstab.training.modules.tap_statistics import pass_values

_FEWEST = 2  # blocks: networks of a study are alike, so that two are told from a coincidence by their deeper sisters


@dataclass(frozen=True)
class TapReading:
    """What one reading gives.

    Attributes:
        loss: mean over samples, float64.
        gradients: of the mean loss by the parameters asked for; None where the loss does not depend on one.
        values: statistic name to (L,), float64; NaN where a tap did not run.
        outputs: what the module returned.
    """

    loss: Tensor
    gradients: list[Tensor | None]
    values: dict[str, Tensor]
    outputs: Tree


class Taps:
    """The taps of one module, found on its first batch, and the readings at them.

    Args:
        module: as it is trained.
        batch: on which taps are found.
        patterns: names that the user gives; found by itself if empty.

    Attributes:
        names: of the taps, in the order in which they run.
        owners: names of the modules or bare parameters behind the taps; time steps share one.
        rows: how samples lie in the outputs; None where that is unknown.
        num_samples: samples of the first batch.

    Raises:
        UsageError: no place passes the whole gradient; the sentence says how to name taps.
    """

    def __init__(self, module: nn.Module, batch: Batch, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        with measuring_conditions(), np.errstate(all="ignore"):
            forward = run_forward(module, batch)
            run = choose_runs(forward.events, forward.graph, forward.value, patterns, _FEWEST)[0]
            self._members = Members(run, forward.events)
            places = self._members.of(forward.events)
            self._keys: list[Key] = [*places]
            edges = [self._members.edges(event) for event in places.values()]
            first = read(
                forward.value, edges, len(edges), forward.cut, forward.candidates,
                MOST_PASSES, known_mix=None, normalises=_normalises(module),
            )  # fmt: skip
            self.rows, self._mix = first.rows, first.mix
            self.num_samples = forward.num_samples if first.rows is None else first.rows.num_samples
            self._counts = [len(position) for position in edges]
            forward.release(module)
        self.axis = run.axis
        self.names = tuple(_shown(key, self._keys) for key in self._keys)
        self.owners = tuple(key[0].split(" step ")[0] for key in self._keys)

    @property
    def mixes(self) -> bool:
        """Whether a sample's loss depends on other samples."""
        return bool(self._mix)

    def __len__(self) -> int:
        return len(self._keys)

    def places(self, module: nn.Module) -> list[Place] | None:
        """Where hooks reach the taps; None where a tap is no output of a module, as a time step inside nn.LSTM."""
        parts = {name for name, part in module.named_modules() if not isinstance(part, nn.RNNBase)}
        if any(role != "output" or name not in parts for name, role, _ in self._keys):
            return None
        return [Place(name, call, count) for (name, _, call), count in zip(self._keys, self._counts, strict=True)]

    def read(self, module: nn.Module, batch: Batch, parameters: Sequence[Tensor], num_samples: int) -> TapReading:
        """Read the statistics at every tap, and the gradients by the parameters."""
        # generators are the caller's business: masks must be those of the training step
        with torch.enable_grad(), np.errstate(all="ignore"):
            forward = run_forward(module, batch, summarise=True)
            places = self._members.of(forward.events)
            found = [places.get(key) for key in self._keys]
            present = [event for event in found if event is not None]
            edges = [self._members.edges(event) for event in present]
            norms, peaks, zeros, gradients = self._gradients(forward, edges, parameters)
            summaries = [None if event is None else event.summary for event in found]
            values = _values([event is not None for event in found], summaries, norms, peaks, zeros, num_samples)
            loss, outputs = forward.value.detach().double(), forward.outputs
            forward.release(module)
        return TapReading(loss, gradients, values, map_tensors(Tensor.detach, outputs))

    def read_quickly(
        self, module: nn.Module, batch: Batch, parameters: Sequence[Tensor], num_samples: int
    ) -> TapReading:
        """The same of a private copy, at the price of one training step where hooks reach the taps.

        Samples that mix need passes with signs, and time steps inside a recurrent layer are no outputs of a module:
        there it is the full reading.
        """
        places = None if self._mix else self.places(module)
        if places is None:
            return self.read(module, batch, parameters, num_samples)
        with torch.enable_grad():
            found = read_places(module, batch, places, parameters)
        ran = [edges is not None for edges in found.edges]
        flat = [edges for edges in found.edges if edges is not None]
        numbers = tap_numbers(
            [gradient for edges in flat for gradient in edges], [len(edges) for edges in flat], found.value.device
        )
        values = _values(ran, found.summaries, *numbers, num_samples)
        return TapReading(found.value.double(), found.gradients, values, found.outputs)

    def initial_norms(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Norms and peaks where zero readouts hide every gradient, of a copy whose readouts are drawn anew.

        None where they cannot be made to pass a gradient, as in a dead network.
        """
        with measuring_conditions(), np.errstate(all="ignore"), contextlib.suppress(UsageError):
            draws = Draws(module, batch, self._patterns)
            first, own, forward = draws.take_first()
            forward.release(own)
            return None if draws.dead else self._read_by(first)
        return None

    def _rows_of(self, forward: Forward) -> list[Rows]:
        """How samples lie in these outputs: as in the first batch, also where there are more or fewer of them."""
        if self.rows is None or self.rows in forward.candidates:
            return [self.rows] if self.rows else []
        alike = [one for one in forward.candidates if (one.axis, one.layout) == (self.rows.axis, self.rows.layout)]
        return alike[:1]

    def _read_by(self, first: Draw) -> tuple[Tensor, Tensor]:
        """Norms and peaks that a draw gave at these taps; NaN at a tap that it does not have."""
        places = [first.positions.index(key) if key in first.positions else -1 for key in self._keys]
        norm_P = _root_mean_square(first.reading)
        pick = [(norm_P[place], first.reading.peak_P[place]) if place >= 0 else (np.nan, np.nan) for place in places]
        pairs = torch.tensor(pick, dtype=torch.float64)
        return pairs[:, 0], pairs[:, 1]

    def _gradients(
        self, forward: Forward, edges: Sequence[Edges], parameters: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor | None]]:
        """Norm, largest entry and share of zeros at each tap, and the gradients by the parameters."""
        flat = [edge for position in edges for edge in position]
        targets: list[Any] = [*flat, *parameters]
        found = torch.autograd.grad([forward.value], targets, retain_graph=bool(self._mix), allow_unused=True)
        device = forward.value.device
        numbers = tap_numbers(found[: len(flat)], [len(position) for position in edges], device)
        if self._mix:  # one pass would mix the samples' shares
            reading = read(
                forward.value, edges, len(edges), forward.cut, self._rows_of(forward),
                MOST_PASSES, known_mix=True, normalises=False,
            )  # fmt: skip
            numbers = (torch.from_numpy(_root_mean_square(reading)).to(device), *numbers[1:])
        return (*numbers, list(found[len(flat) :]))


def tap_numbers(
    gradients: Sequence[Tensor | None], counts: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm, largest entry and share of exact zeros at each position, over all its tensors; (L,) each, float64.

    Args:
        gradients: those of all tensors, position after position.
        counts: number of tensors of each position.
    """
    norms, peaks, zeros = [], [], []
    given = iter(gradients)
    zero = torch.zeros((), dtype=torch.float64, device=device)
    for count in counts:
        parts = [part.detach().double() for part in (next(given) for _ in range(count)) if part is not None]
        if not parts:
            norms.append(zero)
            peaks.append(zero)
            zeros.append(zero + 1)
            continue
        largest = torch.stack([part.abs().amax() for part in parts]).amax()
        scale = torch.where((largest > 0) & torch.isfinite(largest), largest, 1.0)
        square = torch.stack([torch.square(part / scale).sum() for part in parts]).sum()
        norms.append(torch.where(torch.isfinite(largest), square.sqrt() * scale, torch.inf))
        peaks.append(torch.where(torch.isfinite(largest), largest, torch.inf))
        entries = sum(part.numel() for part in parts)
        zeros.append(torch.stack([(part == 0).sum() for part in parts]).sum().double() / entries)
    return torch.stack(norms), torch.stack(peaks), torch.stack(zeros)


def _root_mean_square(reading: Reading) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The norm at each position: that of one exact pass, or the root mean square over passes with signs."""
    norm_KP = reading.norm_KP
    largest_P = norm_KP.max(0)
    scale_P = np.where((largest_P > 0) & np.isfinite(largest_P), largest_P, 1.0)
    found: np.ndarray[Any, np.dtype[np.float64]] = np.sqrt(np.mean((norm_KP / scale_P) ** 2, 0)) * scale_P
    return found


def _values(
    ran: Sequence[bool],
    summaries: Sequence[Summary | None],
    norms: Tensor,
    peaks: Tensor,
    zeros: Tensor,
    num_samples: int,
) -> dict[str, Tensor]:
    """The statistics of the registry that a tap has; a tap that did not run has NaN.

    Args:
        ran: for each tap, whether it ran; norms, peaks and zeros are of those that did.
    """
    nan = norms.new_full((), torch.nan)
    rows = iter(zip(norms, peaks, zeros, strict=True))
    columns: list[list[Tensor]] = [[] for _ in range(6)]
    for did_run, summary in zip(ran, summaries, strict=True):
        norm, peak, zero = next(rows) if did_run else (nan, nan, nan)
        shown = (nan, nan, nan) if summary is None else (summary.mean_square, summary.cosine, summary.dead)
        for column, value in zip(columns, (norm, peak, zero, *shown), strict=True):
            column.append(value)
    norm_L, peak_L, zero_L, square_L, cosine_L, dead_L = (torch.stack(column) for column in columns)
    return pass_values(norm_L, peak_L, zero_L, (square_L, cosine_L, dead_L), num_samples)


def _normalises(module: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) and part.training for part in module.modules())


def _shown(key: Key, keys: Sequence[Key]) -> str:
    """The name of a tap, with the number of the call where a module runs more than once."""
    name, role, call = key
    repeated = sum(other[:2] == key[:2] for other in keys) > 1
    return f"{name}{'' if role in ('output', 'state') else ' ' + role}{f' call {call}' if repeated else ''}"
