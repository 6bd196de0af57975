"""The weights of a checkpoint, put into a module: whatever the program that saved it wrapped around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.probing.refusals import one_line

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
_KEYS = ("state_dict", "model_state_dict", "model", "module", "weights")  # under which programs keep the weights
_SHOWN = 3


def load_checkpoint(module: nn.Module, path: Path) -> str:
    """Put the weights and buffers of a checkpoint into a module; returns a sentence on what the file held.

    Names may all begin alike, as "module." or "_orig_mod.", where a wrapped module was saved. Nothing is unpickled.

    Raises:
        UsageError: the file holds no weights of this module.
    """
    held = _weights(path)
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = _without_prefix(held, expected)
    missing, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or unknown:
        told = [f"{kind} {_some(names)}" for kind, names in (("lacks", missing), ("also holds", unknown)) if names]
        raise UsageError(
            f"{path.name} must hold the weights of the model that BUILD returns, but it {' and '.join(told)}: give "
            "the arguments with which the model was built as --set name=value"
        )
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise UsageError(
                f"{path.name} must hold the weights of the model that BUILD returns, but {name} has shape "
                f"{tuple(found[name].shape)} there and {shape} here: give the arguments with which the model was "
                "built as --set name=value"
            )
    module.load_state_dict(found)
    bad = [name for name, value in found.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    return f"{path.name}: {len(found)} tensors, " + (
        f"{len(bad)} of them with numbers that are not finite: {_some(bad)}" if bad else "all finite"
    )


def _weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of the file by name."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(
            f"{path} cannot be read as a checkpoint without running code of it ({one_line(error)}): save "
            "model.state_dict() with torch.save"
        ) from None
    while isinstance(content, Mapping) and not _is_weights(content):
        inner = next((content[key] for key in _KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            names = ", ".join(map(str, list(content)[:_SHOWN]))
            raise UsageError(f"{path.name} must hold weights by name, or under one of {', '.join(_KEYS)}, got {names}")
        content = inner
    if not isinstance(content, Mapping):
        raise UsageError(f"{path.name} must hold weights by name, got {type(content).__name__}")
    return content


def _is_weights(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _without_prefix(held: Mapping[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by the names that the module has for them, where all begin alike before these."""
    names = [name.replace("_orig_mod.", "") for name in held]
    first = next(iter(expected), "")
    prefixes = {name.removesuffix(first) for name in names if name.endswith(first)} | {""}
    prefix = max(sorted(prefixes), key=lambda one: sum(f"{one}{name}" in names for name in expected))
    of_prefix = {name: value for name, value in zip(names, held.values(), strict=True) if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in of_prefix.items()}


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
