"""Finding an activation by its name: in the library, among installed packages, among those that this run imported.

The names of the library are those of its files, so that a name is checked without importing anything.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import import_module, metadata

from gradstab.activations import library
from gradstab.activations.activation import Activation, Passes, ScalarFunction
from gradstab.errors import UsageError

GROUP = "gradstab.activations"  # of entry points: an installed package registers an Activation or a torch function
LIBRARY: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(library.__path__)))
MAX_PATH = 200  # characters of an import path

_imported: dict[str, Activation] = {}  # what this process was given from outside the library, by name


@cache
def installed() -> Mapping[str, metadata.EntryPoint]:
    """What installed packages register, by name. Reading it imports none of them; the library's own names win."""
    found = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    return {name: entry for name, entry in sorted(found.items()) if name not in LIBRARY and ":" not in name}


def is_import_path(name: str) -> bool:
    """Whether a name is written `module:function`."""
    module, colon, function = name.partition(":")
    parts = [*module.split("."), *function.split(".")]
    return bool(colon) and len(name) <= MAX_PATH and all(part.isidentifier() for part in parts)


def add_imported(activations: Mapping[str, Activation]) -> None:
    """Make activations from outside the library known to this process under their names."""
    _imported.update(activations)


def find_activation(name: str) -> Activation:
    """The activation of that name.

    Raises:
        UsageError: the library has none, and none of that name was imported.
    """
    if name in LIBRARY:
        return _of_library(name)
    if name not in _imported:
        raise UsageError(f"an activation must be one of {', '.join((*LIBRARY, *_imported))}, got {name!r}")
    return _imported[name]


def is_known(name: str) -> bool:
    """Whether `find_activation` finds the name now: theory leaves out what this process has not imported."""
    return name in LIBRARY or name in _imported


def as_function(activation: str | ScalarFunction) -> ScalarFunction:
    """The function itself, or that of the activation of that name.

    Raises:
        UsageError: no activation has that name.
    """
    return activation if isinstance(activation, ScalarFunction) else _function_of(find_activation(activation))


def keeps_z(name: str) -> bool:
    """Whether training keeps z beside phi(z): true of what is not in the library, which planning does not import."""
    return _of_library(name).keeps_z if name in LIBRARY else True


def is_dear(name: str) -> bool:
    """Whether a value takes much more time than one of tanh: true of what is not in the library, as above."""
    return _of_library(name).dear if name in LIBRARY else True


def versions_of_passes(names: Iterable[str]) -> set[str]:
    """The versions that brought new passes to activations of the library."""
    return {until.version for name in names if name in LIBRARY for until in _of_library(name).earlier}


@cache
def _of_library(name: str) -> Activation:
    found = import_module(f"{library.__name__}.{name}").ACTIVATION
    assert isinstance(found, Activation)
    return found


@lru_cache(maxsize=64)
def passes_of(activation: Activation, began_in: str | None = None) -> Passes:
    """The activation's passes in studies that began in that version, made once a process; the newest if None."""
    return activation.passes_of(began_in)


@lru_cache(maxsize=64)
def _function_of(activation: Activation) -> ScalarFunction:
    return activation.theory()
