"""How many members a stack takes: as many as fit a fixed share of memory, so that it does not depend on the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradstab.loop.packing import MODULE_STACK_BYTES
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember

_MOST = 64  # beyond which nothing is gained
_COPIES_OF_PARAMETERS = 8  # parameters, gradients, the optimizer's state, and what passes
_COPIES_OF_KEPT = 4  # of what a forward pass keeps: also its gradients, and what a probe makes of them


def most_members(member: ModuleMember, data: ModuleData, recipe: ModuleRecipe) -> int:
    """How many members like this one are computed at once."""
    rows = np.arange(min(max(recipe.batch_size, recipe.probe_samples), data.num_rows))[None]
    parameters = member.value.numel() * member.value.element_size()
    own = _COPIES_OF_PARAMETERS * parameters + _COPIES_OF_KEPT * _kept_bytes(member, rows)
    return int(np.clip(MODULE_STACK_BYTES // own, 1, _MOST))


def _kept_bytes(member: ModuleMember, rows_nB: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """Memory that one forward pass keeps for its backward pass."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        member.loss_and_gradient(rows_nB)
    return sum(kept.values())
