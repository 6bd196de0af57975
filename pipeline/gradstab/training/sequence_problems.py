"""Two problems that can be solved only by remembering over many steps, drawn from the study's seed.

Array names: N rows, T steps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gradstab.study.data_spec import Adding, Copying
from gradstab.study.shipped_data import REMEMBERED
from gradstab.training.initialisation import Stream, generator


def adding_problem(spec: Adding, study_seed: int) -> tuple[Tensor, Tensor]:
    """Numbers and marks (N, T, 2), and the sum of the two marked numbers (N, 1)."""
    rng = generator(study_seed, Stream.DATA)
    value_NT = rng.random((spec.num_rows, spec.length), dtype=np.float32)
    half, row_N = spec.length // 2, np.arange(spec.num_rows)
    first_N = rng.integers(0, half, spec.num_rows)
    second_N = rng.integers(half, spec.length, spec.num_rows)
    mark_NT = np.zeros_like(value_NT)
    mark_NT[row_N, first_N] = mark_NT[row_N, second_N] = 1.0
    target_N = value_NT[row_N, first_N] + value_NT[row_N, second_N]
    return torch.from_numpy(np.stack([value_NT, mark_NT], axis=2)), torch.from_numpy(target_N[:, None])


def copying_problem(spec: Copying, study_seed: int) -> tuple[Tensor, Tensor]:
    """Symbols, blanks and the signal (N, T), and what is to be said at each step (N, T)."""
    symbols = generator(study_seed, Stream.DATA).integers(1, spec.num_symbols + 1, (spec.num_rows, REMEMBERED))
    input_NT = np.zeros((spec.num_rows, spec.shape().num_features), dtype=np.int64)
    target_NT = np.zeros_like(input_NT)
    input_NT[:, :REMEMBERED] = symbols
    input_NT[:, -REMEMBERED - 1] = spec.num_symbols + 1
    target_NT[:, -REMEMBERED:] = symbols
    return torch.from_numpy(input_NT), torch.from_numpy(target_NT)
