"""Trainings of several processes: the first one reads, and no reading waits for the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from gradstab.errors import UsageError

_TALKING = ("c10d", "_c10d_functional", "c10d_functional")


def is_first() -> bool:
    """Whether this is the process of rank 0, or the only one."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def is_alone() -> bool:
    """Whether no other process takes part in the training."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1


def refuse_sharded(model: nn.Module) -> None:
    """Refuse a model of which each process holds a part.

    Raises:
        UsageError: with what was found.
    """
    wrapped = any(type(part).__name__.startswith("FullyShardedDataParallel") for part in model.modules())
    parts = any(hasattr(value, "device_mesh") or hasattr(value, "ds_id") for value in model.parameters())
    if wrapped or parts:
        raise UsageError(
            "watch: the model must be whole in one process, but its weights are divided among processes (FSDP, tensor "
            "parallel or ZeRO 3): watch a run of a smaller copy under DistributedDataParallel instead"
        )


class Silence(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where code would talk to other processes, which do not read and would never answer."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if function.namespace in _TALKING:
            raise UsageError(
                "watch: the module and the loss must run in one process, but they talk to the other processes "
                f"({function.__name__}), which do not read: give a loss without that for the side batch"
            )
        return function(*args, **(kwargs or {}))


def make_local(own: nn.Module) -> None:
    """Let batch normalisation that is synchronised over processes be that of this process alone."""
    for part in own.modules():
        if isinstance(part, nn.SyncBatchNorm):
            part.__class__ = _LocalBatchNorm  # type: ignore[assignment]


class _LocalBatchNorm(_BatchNorm):
    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002  torch's own name for it
        pass
