"""The log of a stack's training, gathered on the device and cut into trajectories at the end.

The log knows members by their position at the start, also after others were dropped. Shapes: n member
still in the stack, N member at the start, S step, P probe time, L layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.study.recipe import Recipe, probe_steps
from gradstab.training.probes import LayerValues

_RUNNING = -1


class KnownLosses(Protocol):
    """The loss of the best constant prediction, and the one that counts as trained where it is given."""

    @property
    def reference_loss(self) -> float: ...

    @property
    def target_loss(self) -> float | None: ...


class StackLog:
    """Series of every member. A member that becomes non-finite keeps what was read until then, and NaN after."""

    def __init__(self, recipes: Sequence[Recipe], depths: Sequence[int], device: torch.device) -> None:
        self._recipes = recipes
        self._depths = depths
        self._probe_steps = probe_steps(recipes[0])
        lengths = {
            "S": (recipes[0].steps,),
            "P": (len(self._probe_steps),),
            "PL": (len(self._probe_steps), max(depths)),
        }
        members = len(recipes)
        self._series = {
            s.name: torch.full((*lengths[s.axes], members), torch.nan, dtype=torch.float64, device=device)
            for s in STATISTICS.values()
        }
        self._noted: list[Tensor] = []
        self._num_steps = 0  # written so far
        self._position_n = torch.arange(members, device=device)
        self._stopped_N = torch.full((members,), _RUNNING, dtype=torch.int64, device=device)

    def step(self, loss_n: Tensor, norm_n: Tensor, clip_factor_n: Tensor) -> None:
        """Note the measurements of the next step. Members with a non-finite loss or gradient norm stop there.

        The values are read only when `running_members`, a probe or the end needs them, so a step costs one append. The
        clip factor of a non-finite gradient is NaN.
        """
        self._noted.append(torch.stack((loss_n, norm_n, clip_factor_n)))

    def probe(self, probe: int, layers: LayerValues, loss_n: Tensor, accuracy_n: Tensor | None) -> None:
        """Write the measurements of a probe; not every probe reads accuracy."""
        self._catch_up()
        self._write("probe_loss", probe, loss_n)
        if accuracy_n is not None:
            self._write("accuracy", probe, accuracy_n)
        self._write_layers(probe, layers)
        if self._probe_steps[probe] == self._recipes[0].steps:
            self._stop(self._recipes[0].steps, torch.isfinite(loss_n))

    def update(self, probe: int, layers: LayerValues) -> None:
        """Write what was measured of the optimizer step at a probe time."""
        self._catch_up()
        self._write_layers(probe, layers)

    def finish(self, finite_n: Tensor) -> None:
        """Note which members ended with finite parameters."""
        self._catch_up()
        self._stop(self._recipes[0].steps, finite_n)

    def running_members(self) -> list[int]:
        """Members of the stack that have not stopped, ascending."""
        self._catch_up()
        running_n = self._stopped_N[self._position_n] == _RUNNING
        members: list[int] = torch.nonzero(running_n)[:, 0].tolist()
        return members

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members."""
        self._catch_up()
        self._position_n = self._position_n[list(members)]

    def trajectories(self, losses: KnownLosses, taps: tuple[str, ...]) -> list[Trajectory]:
        """One trajectory per member, in the order of the start.

        Args:
            losses: what the data knows of the loss.
            taps: names of the layers, which all members share; empty where layers have numbers alone.
        """
        series = {name: values.cpu().numpy() for name, values in self._series.items()}
        stopped_N = self._stopped_N.tolist()
        return [
            Trajectory(
                depth=depth,
                steps=recipe.steps,
                reference_loss=losses.reference_loss,
                target_loss=losses.target_loss,
                taps=taps,
                probe_step_P=np.array(self._probe_steps, dtype=np.int64),
                series={s.name: _own(series[s.name], member, depth, s.dtype) for s in STATISTICS.values()},
                nonfinite_step=None if stopped_N[member] == _RUNNING else stopped_N[member],
            )
            for member, (recipe, depth) in enumerate(zip(self._recipes, self._depths, strict=True))
        ]

    def _catch_up(self) -> None:
        """Write the steps noted since the last time."""
        if not self._noted:
            return
        loss_Sn, norm_Sn, factor_Sn = torch.stack(self._noted, 1)
        first, self._num_steps = self._num_steps, self._num_steps + len(self._noted)
        self._noted = []
        bad_Sn = ~(torch.isfinite(loss_Sn) & torch.isfinite(norm_Sn))
        # a member that stops at a step keeps what that step measured
        running_n = self._stopped_N[self._position_n] == _RUNNING
        running_Sn = running_n & (bad_Sn.long().cumsum(0) - bad_Sn.long() == 0)
        factor_Sn = torch.where(torch.isfinite(norm_Sn), factor_Sn, torch.nan)
        for name, value_Sn in (("loss", loss_Sn), ("grad_norm", norm_Sn), ("clip_factor", factor_Sn)):
            kept_Sn = torch.where(running_Sn & ~torch.isnan(value_Sn), value_Sn, torch.nan)
            self._series[name][first : self._num_steps, self._position_n] = kept_Sn
        stopped_n = torch.where(bad_Sn.any(0), first + bad_Sn.long().argmax(0), _RUNNING)
        self._stopped_N[self._position_n] = torch.where(running_n, stopped_n, self._stopped_N[self._position_n])

    def _write(self, name: str, index: int, value_n: Tensor) -> None:
        self._series[name][index, self._position_n] = self._while_running(value_n)

    def _write_layers(self, probe: int, layers: LayerValues) -> None:
        if not layers:
            return
        value_kLn = self._while_running(torch.stack(list(layers.values())))
        for name, value_Ln in zip(layers, value_kLn, strict=True):
            self._series[name][probe, : len(value_Ln), self._position_n] = value_Ln

    def _while_running(self, value: Tensor) -> Tensor:
        """The values of members that still run, and for the rest NaN with one bit pattern on every machine."""
        running_n = self._stopped_N[self._position_n] == _RUNNING
        return torch.where(running_n & ~torch.isnan(value), value, torch.nan)

    def _stop(self, step: int, finite_n: Tensor) -> None:
        stopped_n = self._stopped_N[self._position_n]
        stopped_n = torch.where((stopped_n == _RUNNING) & ~finite_n, step, stopped_n)
        self._stopped_N[self._position_n] = stopped_n


def _own(values: FloatArray, member: int, depth: int, dtype: str) -> FloatArray:
    """A member's own part of a series (its last axis is the member, the one before it layers where there are any)."""
    own = values[..., member]
    if own.ndim == 2:
        own = own[:, :depth]
    return np.ascontiguousarray(own, dtype=dtype)
