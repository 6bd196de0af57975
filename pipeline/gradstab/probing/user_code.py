"""A user's module, loss and data, from a Python file or an import path, and data from a file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.probing.refusals import one_line
from gradstab.probing.trees import Tree, map_tensors, tensors

_PRIVATE = "_gradstab_probed"  # the name under which a user's file is loaded


def load_user_module(path: str) -> tuple[ModuleType, str]:
    """The Python module of `module:build` or `file.py:build`, and the name behind the colon.

    Raises:
        UsageError: it cannot be imported.
    """
    place, _, name = path.rpartition(":")
    if not place or not name:
        raise UsageError(f"MODULE must be written module:build or file.py:build, got {path!r}")
    with _importing(place):
        if not place.endswith(".py"):
            return importlib.import_module(place), name
        spec = importlib.util.spec_from_file_location(_PRIVATE, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_PRIVATE] = module  # dataclasses and pickles look their module up
        spec.loader.exec_module(module)
        return module, name


def build_module(home: ModuleType, name: str, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    """What `build` returns under torch's seed; a class of modules is called, an object that is a module is taken.

    Raises:
        UsageError: there is no such name, its arguments do not fit, it raises, or it returns no module.
    """
    found: Any = home
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{_shown(home)} must define {name}, but it does not")
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise UsageError(f"{name} must be a function that returns a torch.nn.Module, got {type(found).__name__}")
    with contextlib.suppress(ValueError):  # a class of C has no signature
        try:
            inspect.signature(found).bind(**arguments)
        except TypeError as error:
            raise UsageError(f"{name} cannot be called: {error}; give its arguments as --set name=value") from None
    torch.manual_seed(seed)
    with _own_errors(name):
        built = found(**arguments)
    if not isinstance(built, nn.Module):
        raise UsageError(f"{name} must return a torch.nn.Module, got {type(built).__name__}")
    return built


def loss_of(home: ModuleType, name: str | None) -> Callable[[Any, Any], Any]:
    """The loss named, or the file's `loss`, or cross-entropy.

    Raises:
        UsageError: the file has no function of that name.
    """
    if name is None and not hasattr(home, "loss"):
        return nn.functional.cross_entropy
    found = getattr(home, name or "loss", None) or getattr(nn.functional, name or "loss", None)
    if not callable(found):
        raise UsageError(f"--loss must name a function of {_shown(home)} or of torch.nn.functional, got {name!r}")
    function: Callable[[Any, Any], Any] = found
    return function


def data_of(home: ModuleType, path: str | None, num_samples: int) -> tuple[Tree, Tree]:
    """Inputs and targets from a data file, or else from the file's function `data()`; the first samples of them.

    Raises:
        UsageError: there are none, or they cannot be read.
    """
    if path is not None:
        inputs, targets = _read(Path(path))
    elif callable(getattr(home, "data", None)):
        with _own_errors("data"):
            found = home.data()
        if not isinstance(found, tuple) or len(found) != 2:
            raise UsageError(f"data must return (inputs, targets), got {type(found).__name__}")
        inputs, targets = found
    else:
        raise UsageError(f"{_shown(home)} must define data() that returns (inputs, targets), or give --data FILE")
    return _first((inputs, targets), num_samples)


def _read(path: Path) -> tuple[Tree, Tree]:
    if path.suffix.lower() not in {".npz", ".pt"}:
        raise UsageError(f"--data must be a .npz or .pt file with inputs and targets, got {path.name}")
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found: Any = {name: _as_tensor(arrays[name]) for name in arrays.files}
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"--data {path} cannot be read: {one_line(error)}") from None
    if isinstance(found, tuple | list) and len(found) == 2:
        return found[0], found[1]
    if isinstance(found, dict) and set(found) == {"inputs", "targets"}:
        return found["inputs"], found["targets"]
    if isinstance(found, dict) and "targets" in found and len(found) > 2:  # inputs by the names that forward gives them
        return {name: value for name, value in found.items() if name != "targets"}, found["targets"]
    held = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
    raise UsageError(f"--data {path.name} must hold inputs and targets, and holds {held}")


def _as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """The array as torch's default type, where it holds real numbers."""
    tensor = torch.from_numpy(array)
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def _first(data: tuple[Tree, Tree], num_samples: int) -> tuple[Tree, Tree]:
    """The first samples of all tensors that are as long as the first one."""
    found = tensors(data)
    if not found or not found[0].ndim or len(found[0]) <= num_samples:
        return data
    length = len(found[0])

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:num_samples] if tensor.ndim and len(tensor) == length else tensor

    inputs, targets = data
    return map_tensors(cut, inputs), map_tensors(cut, targets)


@contextlib.contextmanager
def _importing(place: str) -> Iterator[None]:
    """Modules beside the file, or in the working directory, can be imported; what they print is no result."""
    folder = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with _own_errors(place):
        yield


@contextlib.contextmanager
def _own_errors(name: str) -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"{name} raised {one_line(error)}") from error


def _shown(home: ModuleType) -> str:
    return Path(home.__file__).name if home.__name__ == _PRIVATE and home.__file__ else home.__name__
