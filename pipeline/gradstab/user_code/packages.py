"""What identifies installed code: the distribution's name and version."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint

from gradstab.system.provenance import versions

GROUP = "gradstab.models"  # of entry points: an installed package registers a function `build`, or a module with one


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """The distributions that hold installed modules, and their versions.

    Those that every study stands on are left out: their versions are on record anyway, and a new torch ends no study.
    """
    known, found = versions(), dict[str, str]()
    for top in sorted({module.partition(".")[0] for module in modules}):
        for name in _distributions().get(top, []):
            if name not in known:
                found[name] = metadata.version(name)
    return found


@cache
def registered() -> Mapping[str, EntryPoint]:
    """The models that installed packages register, by name. Reading it imports none of them."""
    return {entry.name: entry for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)}


def families() -> Mapping[str, str]:
    """The families that gradstab ships: the module of each, by name."""
    found: dict[str, str] = importlib.import_module("gradstab.families.registry").FAMILIES
    return found


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
