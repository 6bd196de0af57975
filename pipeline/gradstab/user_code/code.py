"""The code that a study runs: its sources travel to workers with the work, and its hash says whether it changed."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from gradstab.system.siblings import is_installed
from gradstab.user_code.failures import CodeError
from gradstab.user_code.importing import import_sources
from gradstab.user_code.packages import families, hashes_of_loose_code, registered, versions_of
from gradstab.user_code.sources import collect_sources, imported_modules, sibling_files
from gradstab.user_code.syntax import code_hash
from gradstab.user_code.tracebacks import code_errors

_ONE_AT_A_TIME = threading.RLock()  # loading sets the process's working folder and its standard output


@dataclass(frozen=True)
class UserCode:
    """The files behind a study's functions, read where the study is run. It is pickled without any function.

    Attributes:
        entry: the study file's name among the sources; None if no function is the study file's own.
        sources: the content of the study file and of the siblings that it imports, by path below its folder.
        packages: the installed distributions that hold functions of the study, and their versions; and modules that
            can be imported without being installed as copies, with the hash of their text.
        digest: the code hash. Comments, docstrings, and the study's declaration are no part of it.
        folder: where the sources were read, which gives the modules their `__file__`; it need not exist here.
    """

    entry: str | None
    sources: Mapping[str, bytes]
    packages: Mapping[str, str]
    digest: str
    folder: str | None = field(default=None, compare=False)

    def load(self, name: str, attribute: str = "build") -> Callable[..., Any]:
        """The function of a name. The sources are run at most once in this process, under names of their own.

        Args:
            name: `my_gpt.py:build`, `package.module:build`, or the name of a family of gradstab or of an installed
                package.
            attribute: which function of a family.

        Raises:
            CodeError: the code cannot be imported here, or has no such function.
        """
        place, colon, path = name.rpartition(":")
        with _ONE_AT_A_TIME, self._surroundings(), code_errors(place or f"the model {name}"):
            found = _attribute(self._module(place), path, place) if colon else _of_family(name, attribute)
        if not callable(found):
            raise CodeError(f"{name} must be a function, got {type(found).__name__}")
        function: Callable[..., Any] = found
        return function

    def _module(self, place: str) -> ModuleType:
        sources = import_sources(self.sources, self.entry, self.folder)
        if place == self.entry or place.partition(".")[0] in sources.tops:
            return sources.module(place)
        if place.endswith(".py"):
            raise CodeError(f"{place} must be the study's own file, but {_said_of_file(self.entry)}")
        return importlib.import_module(place)

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Relative paths start at the study's folder where it exists; what is printed does not belong on stdout."""
        with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
            if self.folder and os.access(self.folder, os.X_OK):  # False too where a worker's user may not see it
                stack.enter_context(contextlib.chdir(self.folder))
            yield


def collect_code(names: Sequence[str], study_file: Path | None) -> UserCode:
    """The code behind the names of a study's functions. It is read, and not run.

    Args:
        names: as `UserCode.load` takes them.
        study_file: modules beside it are siblings; without one, modules in the working folder.

    Raises:
        CodeError: a file cannot be read or is not Python, or a name leads nowhere.
    """
    study_file = study_file.resolve() if study_file else None
    folder = study_file.parent if study_file else Path.cwd()
    places = sorted({name.rpartition(":")[0] for name in names if ":" in name})
    entry, siblings, installed = None, list[str](), list[str]()
    for place in places:
        if study_file is not None and place == study_file.name:
            entry = place
        elif place.endswith(".py"):
            own = study_file.name if study_file else None
            raise CodeError(f"{place} must be the study's own file, but {_said_of_file(own)}")
        elif is_installed(place.partition(".")[0], folder):
            installed.append(place)
        elif sibling_files(folder, place):
            siblings.append(place)
        else:
            raise CodeError(f"{place} must be an installed module or a file in {folder}, but there is none")
    installed += [_entry(name).module for name in names if ":" not in name and name not in families()]
    sources = collect_sources(folder, [entry] if entry else [], siblings)
    packages = versions_of(installed) | hashes_of_loose_code({*installed, *imported_modules(sources)}, folder)
    return UserCode(entry, sources, packages, code_hash(sources, packages), str(folder) if sources else None)


def _said_of_file(name: str | None) -> str:
    return f"the study's file is {name}" if name else "the study has no file of its own"


def _of_family(name: str, attribute: str) -> object:
    module = families().get(name)
    if module is None:
        entry = _entry(name)
        found = entry.load()
        if attribute == "build" and not isinstance(found, ModuleType):
            return found
        module = entry.module
    return _attribute(importlib.import_module(module), attribute, module)


def _entry(name: str) -> metadata.EntryPoint:
    entry = registered().get(name)
    if entry is None:
        known = ", ".join(sorted({*families(), *registered()}))
        raise CodeError(f"a model must be one of {known}, or be written module:build, got {name!r}")
    return entry


def _attribute(module: ModuleType, path: str, place: str) -> object:
    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise CodeError(f"{place} must define {path}, but it does not")
        found = getattr(found, part)
    return found
