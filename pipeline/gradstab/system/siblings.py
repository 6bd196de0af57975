"""Importing modules that lie beside a study file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


@contextlib.contextmanager
def siblings_importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported: they replace no installed package, and are forgotten afterwards.

    Forgotten, a sibling does not stand in for the sibling of the same name of another study; and what was taken from it
    is pickled by value, so that workers on other machines need no copy of the file. Whatever else this process has
    imported under a sibling's name is put aside meanwhile.
    """
    aside = _put_aside(folder)
    known, entry, found = set(sys.modules), str(folder), list[str]()
    sys.path.append(entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        new = set(sys.modules) - known
        for name in new:
            top = name.partition(".")[0]
            if top in new and _places(sys.modules[top]) & {folder / f"{top}.py", folder / top}:
                found.append(name)
        sys.path.remove(entry)  # after the places were read: those of a folder without __init__.py follow the path
        for name in found:
            del sys.modules[name]
        sys.modules.update(aside)


def is_installed(top: str, folder: Path) -> bool:
    """Whether Python finds a top-level module in its library or among installed packages, before a sibling of the name.

    Args:
        folder: where the siblings lie, resolved.
    """
    return top in sys.stdlib_module_names or top == "gradstab" or installed_file(top, folder) is not None


def installed_file(top: str, folder: Path) -> Path | None:
    """The file that Python would run to import a top-level module, unless it is a sibling's; nothing is imported.

    What this process has imported under that name does not count: it may be a sibling of another study.
    """
    search_path = [entry for entry in sys.path if entry and Path(entry).resolve() != folder]
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        path = search_path if finder is importlib.machinery.PathFinder else None
        spec = find(top, path) if find else None
        if spec is not None and spec.origin is not None:  # a folder without __init__.py comes after any module
            file = Path(spec.origin)
            return None if file in (folder / f"{top}.py", folder / top / "__init__.py") else file
    return None


def _put_aside(folder: Path) -> dict[str, ModuleType]:
    """Modules of elsewhere that bear the names of siblings, taken out of the process; installed ones stay."""
    tops = {name.partition(".")[0] for name in sys.modules} & set(sys.modules) - {"__main__"}
    strangers = {
        top
        for top in tops
        if ((folder / f"{top}.py").is_file() or (folder / top).is_dir())
        and not _places(sys.modules[top]) & {folder / f"{top}.py", folder / top}
        and not is_installed(top, folder)
    }
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in strangers}


def _places(module: ModuleType) -> set[Path]:
    """Where a module was found: its file and, of a package, its folders."""
    spec = module.__spec__
    return (
        {Path(place) for place in (spec.origin, *(spec.submodule_search_locations or ())) if place} if spec else set()
    )
