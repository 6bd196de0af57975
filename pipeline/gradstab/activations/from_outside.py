"""Activations from outside the library: functions of the user by import path, and what installed packages register.

They are imported once, by the program that drives a study, and travel to the workers with the work.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from gradstab.activations.activation import Activation
from gradstab.activations.by_autograd import by_autograd, require_elementwise
from gradstab.activations.registry import LIBRARY, installed, is_import_path
from gradstab.errors import UsageError
from gradstab.system.siblings import siblings_importable

if TYPE_CHECKING:
    from gradstab.activations.activation import TensorFunction


def import_activations(names: Iterable[str], folder: Path) -> dict[str, Activation]:
    """The activations among the names that are not of the library, imported and tried.

    Args:
        names: of activations, those of the library among them.
        folder: modules that lie here can be imported beside installed ones.

    Raises:
        UsageError: one cannot be imported, or is no activation.
    """
    return {name: import_activation(name, folder) for name in names if name not in LIBRARY}


def import_activation(name: str, folder: Path) -> Activation:
    """The activation that an import path or the name of an installed one leads to.

    It may be an `Activation`, an elementwise torch function, or a class of torch modules, which is called without
    arguments first.

    Raises:
        UsageError: it cannot be imported, or is none of these.
    """
    found = _imported(name, folder)
    if isinstance(found, Activation):
        return found
    function = _as_torch_function(name, found)
    require_elementwise(name, function)
    return by_autograd(name, function)


def _imported(name: str, folder: Path) -> object:
    entry = installed().get(name)
    if entry is None and not is_import_path(name):
        known = ", ".join((*LIBRARY, *installed()))
        raise UsageError(f"an activation must be one of {known}, or be written module:function, got {name!r}")
    try:
        with siblings_importable(folder):
            if entry is not None:
                return entry.load()
            module_name, _, path = name.partition(":")
            found: object = importlib.import_module(module_name)
            for part in path.split("."):
                found = getattr(found, part)
            return found
    except Exception as error:  # a module of the user may raise anything
        _refuse(name, f"must be importable, but: {type(error).__name__}: {error}")


def _as_torch_function(name: str, found: object) -> TensorFunction:
    from torch import nn

    if isinstance(found, type) and issubclass(found, nn.Module):
        try:
            found = found()
        except Exception as error:
            _refuse(name, f"must be a module that needs no arguments, but: {type(error).__name__}: {error}")
    if not callable(found):
        _refuse(name, f"must be a function, got {type(found).__name__}")
    if isinstance(found, nn.Module) and (*found.parameters(), *found.buffers()):
        _refuse(name, "must have no parameters of its own, since they would not be trained")
    return cast("TensorFunction", found)


def _refuse(name: str, must: str) -> NoReturn:
    raise UsageError(" ".join(f"the activation {name} {must}".split())) from None
