"""Files of arrays in every format that a study of modules reads, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".npz", ".pt", ".safetensors")
_SAFETENSORS_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int64: "I64", torch.bool: "BOOL"}


def save(path: Path, tensors: dict[str, Tensor]) -> Path:
    """Write tensors under flat names in the format of the suffix."""
    match path.suffix:
        case ".npz":
            np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})  # type: ignore[arg-type]
        case ".pt":
            torch.save(tensors, path)
        case ".safetensors":
            save_safetensors(path, tensors)
    return path


def save_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """The format as its own page describes it: length of the table, table, numbers."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    numbers = b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        offsets = [len(numbers), len(numbers) + len(raw)]
        table[name] = {"dtype": _SAFETENSORS_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += raw
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
