"""What identifies installed code: its distribution's name and version, or its text where it is there to be edited."""

from __future__ import annotations

import hashlib
import importlib
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

from gradstab.system.provenance import versions
from gradstab.system.siblings import installed_file
from gradstab.user_code.failures import CodeError
from gradstab.user_code.sources import collect_sources
from gradstab.user_code.syntax import code_hash

_LIBRARY = sysconfig.get_path("stdlib")
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


def hashes_of_loose_code(modules: Iterable[str], folder: Path) -> dict[str, str]:
    """What identifies modules that are importable but not installed as copies, by the name of their top-level module.

    Such are packages that were installed to be edited (`pip install -e`) and modules on PYTHONPATH. Their text changes
    while their version stays, so they are known by the hash of the files that the study imports of them, directly or
    not. They do not travel: workers import them by themselves.

    Args:
        folder: of the study's siblings, which are no such modules.
    """
    by_top: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        by_top[module.partition(".")[0]].add(module)
    found = dict[str, str]()
    for top, names in by_top.items():
        file = None if top in sys.stdlib_module_names or top in versions() else installed_file(top, folder)
        if file is None or {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(_LIBRARY):
            continue
        root = file.parent.parent if file.name == "__init__.py" else file.parent
        try:
            found[top] = f"sha256:{code_hash(collect_sources(root, [], names), {})}"
        except CodeError:  # it has compiled parts
            found[top] = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
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
