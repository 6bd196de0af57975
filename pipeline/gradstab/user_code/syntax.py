"""Python text as syntax trees: what of it runs in a worker, and what of it counts as a change."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import decode_source

from gradstab.user_code.failures import CodeError

_DECLARATION = "STUDY"  # what a study file assigns its study to
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def decoded(content: bytes, path: str) -> str:
    """The text of a Python file, in UTF-8 or in the encoding that the file declares.

    Raises:
        CodeError: it is not text in that encoding.
    """
    try:
        return decode_source(content)
    except UnicodeDecodeError as error:
        raise CodeError(f"{path} must be UTF-8 text, but: {error.reason} at byte {error.start}") from None
    except SyntaxError as error:  # of the first two lines, where an encoding may be declared
        raise CodeError(f"{path} must be UTF-8 text, but: {error.msg}") from None


def parsed(content: bytes, path: str) -> ast.Module:
    """The syntax tree of a Python file.

    Raises:
        CodeError: it is not Python; the sentence gives the line.
    """
    text = decoded(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes: Python warns where the file itself is run
            return ast.parse(text, path)
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise CodeError(f"{path} fails{line}: SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; expressions that are nested too deeply
        raise CodeError(f"{path} must be Python text, but: {error or type(error).__name__}") from None


def trees_to_run(sources: Mapping[str, bytes]) -> dict[str, ast.Module]:
    """The syntax trees of the sources, without what does nothing for a trial.

    These are the blocks under `if __name__ == "__main__"`, which only run in a script, and the statement that assigns
    STUDY, unless the sources read STUDY elsewhere. So the question and the budget are no part of the code, and a study
    file that reads them from the driver's environment can be loaded by a worker that has another.

    Raises:
        CodeError: a source is not Python.
    """
    trees = {path: parsed(content, path) for path, content in sources.items()}
    for tree in trees.values():
        tree.body = [kept for statement in tree.body for kept in _outside_a_script(statement)]
    if not any(_reads_declaration(statement) for tree in trees.values() for statement in tree.body):
        for tree in trees.values():
            tree.body = [statement for statement in tree.body if not _declares(statement)]
    return trees


def code_hash(sources: Mapping[str, bytes], packages: Mapping[str, str]) -> str:
    """SHA-256 of the sources' syntax trees, which comments, docstrings and blank lines are no part of.

    Args:
        sources: the content of each file, by its path.
        packages: the version of each installed distribution, by its name.

    Raises:
        CodeError: a source is not Python.
    """
    found = hashlib.sha256()
    for path, tree in sorted(trees_to_run(sources).items()):
        found.update(f"{path}\n{tree_hash(tree)}\n".encode())
    for name, version in sorted(packages.items()):
        found.update(f"{name}=={version}\n".encode())
    return found.hexdigest()


def tree_hash(tree: ast.Module) -> str:
    """SHA-256 of a syntax tree without its docstrings: the same under each version of Python that reads the file."""
    found = hashlib.sha256()
    for token in _tokens(tree):
        found.update(token.encode(errors="surrogatepass"))
    return found.hexdigest()


def _tokens(tree: ast.Module) -> Iterator[str]:
    """The tree as text. Empty fields are left out, since versions of Python differ in them. No call is nested."""
    unread: list[object] = [tree]
    while unread:
        item = unread.pop()
        if isinstance(item, ast.AST):
            yield f"({type(item).__name__}"
            unread.append(_Mark(")"))
            for name, value in reversed(list(ast.iter_fields(item))):
                kept = _without_docstring(value) if name == "body" and isinstance(item, _Documented) else value
                if kept is not None and kept != []:
                    unread += [kept, _Mark(f" {name}=")]
        elif isinstance(item, list):
            yield "["
            unread += [_Mark("]"), *reversed(item)]
        elif isinstance(item, _Mark):
            yield item
        else:
            yield f"{type(item).__name__}:{item!r},"


class _Mark(str):
    """A piece of the output, not of the tree."""

    __slots__ = ()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _outside_a_script(statement: ast.stmt) -> list[ast.stmt]:
    """What runs of a top-level statement where the module is not `__main__`."""
    match statement:
        case ast.If(
            test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")])
        ):
            return statement.orelse
    return [statement]


def _declares(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name == _DECLARATION
    return False


def _reads_declaration(statement: ast.stmt) -> bool:
    if _declares(statement):
        return False
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name) | ast.alias(name=name):
                if name == _DECLARATION:
                    return True
    return False
