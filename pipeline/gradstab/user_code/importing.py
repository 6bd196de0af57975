"""Imports a study's sources from memory, under names that no other module of the process has.

All sources of one study stand below one root: `my_gpt.py` and its sibling `utils.py` become `ROOT.my_gpt` and
`ROOT.utils`. Each of their modules has an `__import__` of its own, which leads `import utils` to `ROOT.utils`, at any
time and in any thread. So two studies may have siblings of one name, an installed `utils` goes on being what it is for
everybody else, and a worker needs no folder of the study's.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import linecache
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from gradstab.system.siblings import is_installed
from gradstab.user_code.syntax import decoded, trees_to_run

_PREFIX = "_gradstab_code_"


@dataclass(frozen=True)
class Sources:
    """The sources of one study in this process.

    Attributes:
        root: the name below which their modules stand.
        entry: the path of the study file among them, if it is one of them.
        folder: where they were read; it may be on another machine.
        tops: the top-level names that lead to them.
    """

    root: str
    trees: Mapping[str, ast.Module]
    texts: Mapping[str, str]
    entry: str | None
    folder: str | None
    tops: frozenset[str]

    def module(self, name: str) -> ModuleType:
        """The module of that name, which is the study file's file name or a sibling's dotted name."""
        if name == self.entry:
            name = _module_name(self.entry)
        return importlib.import_module(f"{self.root}.{name}")

    def path_of(self, name: str) -> str | None:
        """The path of the module of a dotted name below the root; None if it has none."""
        if self.entry is not None and name == _module_name(self.entry):
            return self.entry
        stem = name.replace(".", "/")
        return next((path for path in (f"{stem}/__init__.py", f"{stem}.py") if path in self.trees), None)

    def has_folder(self, name: str) -> bool:
        """Whether a dotted name is that of a folder with sources."""
        return any(path.startswith(f"{name.replace('.', '/')}/") for path in self.trees)

    def public_name(self, path: str) -> str:
        """How a study names the module of a path: `my_gpt.py` for the study file, or `package.module`."""
        return path if path == self.entry else path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def shown(self, text: str) -> str:
        """The text with the modules' names as the user knows them."""
        return text.replace(f"{self.root}.", "")


_loaded: dict[str, Sources] = {}


def import_sources(sources: Mapping[str, bytes], entry: str | None, folder: str | None) -> Sources:
    """Make sources importable in this process, once for the same sources; none of them is run yet.

    Raises:
        CodeError: a source is not Python.
    """
    identity = hashlib.sha256(f"{entry}\n{folder}\n".encode())
    for path, content in sorted(sources.items()):
        identity.update(f"{path}\n{len(content)}\n".encode() + content)
    root = f"{_PREFIX}{identity.hexdigest()[:16]}"
    if root not in _loaded:
        texts = {path: decoded(content, path) for path, content in sources.items()}
        tops = {path.partition("/")[0].removesuffix(".py") for path in sources if path != entry}
        if entry is not None and not is_installed(own := entry.removesuffix(".py"), Path(folder or ".")):
            tops.add(own)  # a study file that is called like an installed package does not stand in for it
        _loaded[root] = Sources(root, trees_to_run(sources), texts, entry, folder, frozenset(tops))
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    return _loaded[root]


class SourceLoader(Loader):
    """Runs one module of a study's sources.

    Attributes:
        path: of its file among the sources.
    """

    def __init__(self, sources: Sources, path: str) -> None:
        self.sources, self.path = sources, path
        self.file = str(PurePosixPath(sources.folder or "", path))

    def public_name(self) -> str:
        """How a study names the module."""
        return self.sources.public_name(self.path)

    def create_module(self, spec: ModuleSpec) -> None:
        """A usual module will do."""

    def exec_module(self, module: ModuleType) -> None:
        lines = self.sources.texts[self.path].splitlines(keepends=True)
        linecache.cache[self.file] = (len(lines), None, lines, self.file)  # the file may be gone, or have changed
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _own_import(self.sources)}
        exec(compile(self.sources.trees[self.path], self.file, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, fullname: str) -> str:
        """The module's text, for inspect and traceback."""
        del fullname
        return self.sources.texts[self.path]


class _Finder(MetaPathFinder):
    """Finds the modules below the roots."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        root, _, name = fullname.partition(".")
        sources = _loaded.get(root)
        if sources is None:
            return None
        found = sources.path_of(name)
        if found is None:
            is_folder = not name or sources.has_folder(name)
            return ModuleSpec(fullname, None, is_package=True) if is_folder else None
        loader = SourceLoader(sources, found)
        spec = ModuleSpec(fullname, loader, origin=loader.file, is_package=found.endswith("__init__.py"))
        spec.has_location = True
        return spec


_FINDER = _Finder()


def _module_name(entry: str) -> str:
    """The study file's name as one part of a dotted name."""
    return entry.removesuffix(".py").replace(".", ":")


def _own_import(sources: Sources) -> Any:
    """The `__import__` of the sources' modules: their top-level names stand below the root."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  # Python's own names of the arguments
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in sources.tops:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        below = f"{sources.root}.{name}"
        if fromlist:
            return builtins.__import__(below, globals, locals, fromlist, 0)
        importlib.import_module(below)
        return sys.modules[f"{sources.root}.{top}"]

    return import_
