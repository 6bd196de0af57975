"""The floating-point types of a training, by the names that recipes have for them."""

from __future__ import annotations

import torch

from gradstab.study.recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}
