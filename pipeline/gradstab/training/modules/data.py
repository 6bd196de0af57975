"""The data of a study of modules, with the loss of the best constant prediction on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gradstab.probing.trees import Tree
from gradstab.training.tensor_data import TensorData


@dataclass(frozen=True)
class ModuleData:
    """Rows of inputs and targets.

    Attributes:
        reference_loss: of the best constant prediction; NaN where it is unknown and trials are judged by R alone.
        target_loss: that counts as trained, where the study gives it.
    """

    tensors: TensorData
    reference_loss: float
    target_loss: float | None = None

    @property
    def num_rows(self) -> int:
        return self.tensors.num_rows

    @property
    def accuracy_rows(self) -> NDArray[np.int64]:
        return self.tensors.accuracy_rows

    def probe_rows(self, count: int) -> NDArray[np.int64]:
        """The first rows of the fixed probe order."""
        return self.tensors.probe_rows(count)

    def batch(self, rows: NDArray[np.int64], dtype: torch.dtype, device: torch.device) -> tuple[Tree, Tree]:
        """Inputs and targets of these rows, floating ones in `dtype`."""
        return self.tensors.batch(rows, dtype, device)
