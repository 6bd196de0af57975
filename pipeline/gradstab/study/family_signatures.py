"""What the families that ship take, read from their source: a declaration is checked without importing torch."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from gradstab.families import registry

_FOLDER = Path(registry.__file__).parent


@cache
def family_signature(name: str) -> dict[str, Any] | None:
    """What a family's `build` takes, as fields of a ModelSpec; None if there is no such family."""
    if name not in registry.FAMILIES:
        return None
    module = registry.FAMILIES[name].rpartition(".")[2]
    tree = ast.parse((_FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    build = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build")
    traced = next((ast.literal_eval(node.value) for node in tree.body if _assigns(node, "TRACED")), ())
    positional = [one.arg for one in build.args.args]
    named = [one.arg for one in build.args.kwonlyargs]
    defaults: dict[str, ast.expr] = dict(zip(reversed(positional), reversed(build.args.defaults), strict=False))
    defaults |= {name: value for name, value in zip(named, build.args.kw_defaults, strict=True) if value is not None}
    return {
        "parameters": (*positional, *named),
        "required": tuple(name for name in (*positional, *named) if name not in defaults),
        "defaults": {name: value.value for name, value in defaults.items() if isinstance(value, ast.Constant)},
        "traced": tuple(traced),
    }


def _assigns(node: ast.stmt, name: str) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]
