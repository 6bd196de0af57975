"""Finds the files that a study's code consists of: the study file, and the modules below its folder that it imports."""

from __future__ import annotations

import ast
import importlib.machinery
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gradstab.system.siblings import is_installed
from gradstab.user_code.failures import CodeError
from gradstab.user_code.syntax import parsed

MAX_BYTES = 2**20  # of one file
_COMPILED = (*importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.BYTECODE_SUFFIXES)


def collect_sources(folder: Path, paths: Iterable[str], modules: Iterable[str]) -> dict[str, bytes]:
    """The content of files and of all siblings that they import, directly or not, by path within the folder.

    Imports are read from the text, nothing is run. A sibling is a module in or below the folder. It replaces no
    installed package and no module of the standard library.

    Args:
        paths: files to start from, within the folder.
        modules: dotted names of siblings to start from.

    Raises:
        CodeError: a file cannot be read or is not Python, or a sibling is not a Python text file.
    """
    is_sibling = cache(lambda top: not is_installed(top, folder))
    found: dict[str, bytes] = {}
    unread = [*paths, *(path for module in modules for path in sibling_files(folder, module))]
    while unread:
        path = unread.pop()
        if path in found:
            continue
        found[path] = _read(folder / path, path)
        for module in _imports(parsed(found[path], path), path):
            if is_sibling(module.name.partition(".")[0]):
                files = sibling_files(folder, module.name)
                if files and module.line_of_call:
                    raise CodeError(
                        f"{path} imports its sibling {module.name} by import_module in line {module.line_of_call}: "
                        f"write import {module.name}, since workers know siblings by import statements"
                    )
                unread += files
    return dict(sorted(found.items()))


def imported_modules(sources: Mapping[str, bytes]) -> set[str]:
    """Dotted names that sources may import; some may be those of a class or function in a module."""
    return {module.name for path, content in sources.items() for module in _imports(parsed(content, path), path)}


def sibling_files(folder: Path, module: str) -> list[str]:
    """The files that Python runs to import a module below a folder: packages first; none if there is no such module.

    Raises:
        CodeError: Python would take a compiled file.
    """
    found, place = list[str](), folder
    for name in module.split("."):
        package, file = place / name, place / f"{name}.py"
        if (package / "__init__.py").is_file():
            found.append((package / "__init__.py").relative_to(folder).as_posix())
            place = package
            continue
        _refuse_compiled(place, name)
        if file.is_file():
            found.append(file.relative_to(folder).as_posix())
            break
        if not package.is_dir():
            break
        place = package
    return found


def _refuse_compiled(folder: Path, name: str) -> None:
    for suffix in _COMPILED:
        file = folder / f"{name}{suffix}"
        is_used = suffix in importlib.machinery.EXTENSION_SUFFIXES or not (folder / f"{name}.py").is_file()
        if is_used and file.is_file():
            raise CodeError(
                f"{name} must be Python text, since only text travels to the workers, but it is the compiled file "
                f"{file.name}: put it into a package and install that on every machine"
            )


def _read(file: Path, path: str) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CodeError(f"{path} must be readable, but: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise CodeError(
            f"a Python file of a study must be at most {MAX_BYTES // 2**20} MiB, got {len(content)} bytes in {path}: "
            "keep data in a data file"
        )
    return content


@dataclass(frozen=True)
class _Import:
    """A dotted name that a module may import; it may also lead to a class or function in a module.

    Attributes:
        line_of_call: where the name is given to `import_module`; 0 where it stands in a statement.
    """

    name: str
    line_of_call: int = 0


def _imports(tree: ast.Module, path: str) -> Iterator[_Import]:
    """What a module imports when it runs, inside functions too."""
    package = path.split("/")[:-1]
    for node in _running(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (_Import(alias.name) for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                above = package[: max(0, len(package) - level + 1)] if level else []
                base = [*above, *(module.split(".") if module else [])]
                if base:
                    yield _Import(".".join(base))
                yield from (_Import(".".join([*base, alias.name])) for alias in aliases)
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                if name.startswith("."):
                    yield _Import(".".join([*package, name.lstrip(".")]))
                else:
                    yield _Import(name, node.lineno)


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those for type checkers alone."""
    unread: list[ast.AST] = [tree]
    while unread:
        node = unread.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            unread += node.orelse
        else:
            unread += ast.iter_child_nodes(node)
