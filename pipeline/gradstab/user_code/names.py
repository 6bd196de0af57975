"""How a study names a function of the user: by the file or module that holds it, so that workers find it there."""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from typing import Any, NoReturn

from gradstab.user_code.failures import CodeError
from gradstab.user_code.importing import SourceLoader

_RUN_BY_PATH = "<run_path>"  # the module's name while `runpy.run_path` runs a file


def name_of(function: object, study_file: Path | None = None, *, what: str = "build") -> str:
    """The name by which workers find a function or class: `my_gpt.py:build`, or `package.module:build`.

    Args:
        function: of the top level of a study file, of a module beside it, or of an installed package.
        study_file: where the function was run by path and does not tell its file itself.
        what: the subject of the sentence that refuses it.

    Raises:
        CodeError: a worker could not find it; the sentence says why, and what to do.
    """

    def refuse(got: str, advice: str) -> NoReturn:
        raise CodeError(f"{what} must be a function at the top level of a file, got {got}: {advice}")

    found: Any = function
    if isinstance(found, functools.partial):
        inner = getattr(found.func, "__name__", "the function")
        refuse(f"a partial of {inner}", f"define a function that calls {inner} with these arguments")
    owner = getattr(found, "__self__", None)
    if inspect.ismethod(found) and not isinstance(owner, type):
        refuse(
            f"the method {found.__name__} of an object of {type(owner).__name__}",
            "define a function that makes the object and calls its method",
        )
    qualname, home = getattr(found, "__qualname__", None), getattr(found, "__module__", None)
    if not callable(found):
        refuse(f"{type(found).__name__} {str(found)[:40]!r}", "give the function itself")
    if not isinstance(qualname, str):
        refuse(f"an object of {type(found).__name__}", "give its class, or a function that makes one")
    if found.__name__ == "<lambda>":
        refuse("a lambda", "define it with def")
    if "<locals>" in qualname:
        maker = qualname.split(".<locals>")[0]
        refuse(f"{found.__name__}, which is made inside {maker}", "define it with def outside of any function")
    if not isinstance(home, str):
        refuse(f"{qualname} of a compiled module", "define a function with def that calls it")
    place = _place(found, home, study_file)
    if place is None:
        refuse(f"{qualname} of a notebook or a prompt", "write it into a .py file, which workers can read")
    if _at(_namespace(found, home), qualname) not in (found, _missing):
        refuse(f"another {qualname} than the last one in {place}", "give each a name of its own")
    return f"{place}:{qualname}"


_missing = object()


def _place(found: object, home: str, study_file: Path | None) -> str | None:
    """The study file's name or the module's; None where there is no file."""
    module = sys.modules.get(home)
    loader = getattr(module, "__loader__", None)
    if isinstance(loader, SourceLoader):
        return loader.public_name()
    if home not in (_RUN_BY_PATH, "__main__"):
        return home
    file = study_file or _namespace(found, home).get("__file__")
    return Path(file).name if isinstance(file, str | Path) and str(file).endswith(".py") else None


def _namespace(found: Any, home: str) -> dict[str, Any]:
    """The global names of the file that holds a function or class: its own, else those of the module of that name."""
    members = vars(found).values() if isinstance(found, type) else [inspect.unwrap(found)]
    for member in members:
        if getattr(member, "__module__", None) == home and hasattr(member, "__globals__"):
            namespace: dict[str, Any] = member.__globals__
            return namespace
    module = sys.modules.get(home)
    return {} if module is None else vars(module)


def _at(namespace: dict[str, Any], qualname: str) -> object:
    """What a qualified name leads to."""
    first, *rest = qualname.split(".")
    found = namespace.get(first, _missing)
    for name in rest:
        found = getattr(found, name, _missing)
    return found
