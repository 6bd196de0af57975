"""Importing modules that lie beside a study file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def siblings_importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported: they replace no installed package, and are forgotten afterwards.

    Forgotten, a sibling does not stand in for the sibling of the same name of another study; and what was taken from it
    is pickled by value, so that workers on other machines need no copy of the file.
    """
    known, entry, found = set(sys.modules), str(folder), list[str]()
    sys.path.append(entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        new = set(sys.modules) - known
        for name in new:
            top = name.partition(".")[0]
            spec = sys.modules[top].__spec__ if top in new else None
            places = [spec.origin, *(spec.submodule_search_locations or ())] if spec is not None else []
            if {folder / f"{top}.py", folder / top} & {Path(place) for place in places if place}:
                found.append(name)
        sys.path.remove(entry)  # after the places were read: those of a folder without __init__.py follow the path
        for name in found:
            del sys.modules[name]


def is_installed(top: str, folder: Path) -> bool:
    """Whether Python finds a top-level module in its library or among installed packages, before a sibling of the name.

    What this process has imported under that name does not count: it may be a sibling of another study. Nothing is
    imported.
    """
    if top in sys.stdlib_module_names or top == "gradstab":
        return True
    search_path = [entry for entry in sys.path if entry and Path(entry).resolve() != folder]
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        path = search_path if finder is importlib.machinery.PathFinder else None
        spec = find(top, path) if find else None
        if spec is not None and spec.origin is not None:  # a folder without __init__.py comes after any module
            return not Path(spec.origin).is_relative_to(folder)
    return False
