"""Study files written for version 0.1.0, when the package was called `pipeline`, go on working.

The study loader puts the old names in place while it runs a study file, and takes them away again. A `pipeline` of the
user's own wins: a module or folder beside the study file, or a package that is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path

OLD_MODULES = {
    "pipeline": ("gradstab",),
    "pipeline.errors": ("gradstab.errors",),
    "pipeline.space": ("gradstab.study.space", "gradstab.study.axes"),
    "pipeline.recipe": ("gradstab.study.recipe",),
    "pipeline.data_spec": ("gradstab.study.data_spec", "gradstab.study.pack_key"),
    "pipeline.sampler_spec": ("gradstab.study.sampler_spec",),
    "pipeline.study": ("gradstab.study.study",),
    "pipeline.stability": (),
    "pipeline.stability.criterion": ("gradstab.study.criterion",),
}
OLD_CLASSES = {
    "RandomSampler": "RandomSpec",
    "SobolSampler": "SobolSpec",
    "GridSampler": "GridSpec",
    "TpeSampler": "TpeSpec",
    "GpSampler": "GpSpec",
    "CmaEsSampler": "CmaEsSpec",
    "BoundarySampler": "BoundarySpec",
}


@contextmanager
def old_names(folder: Path) -> Iterator[None]:
    """Make the old import names work, unless the user has a `pipeline` of their own for a study in `folder`."""
    if "pipeline" in sys.modules or _is_the_users(folder):
        yield
        return
    finder = _OldNames()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in OLD_MODULES:
            sys.modules.pop(name, None)


def _is_the_users(folder: Path) -> bool:
    if (folder / "pipeline").is_dir() or (folder / "pipeline.py").is_file():
        return True
    spec = importlib.util.find_spec("pipeline")
    return spec is not None and spec.origin is not None  # a folder without __init__.py elsewhere is no package


class _OldNames(MetaPathFinder, Loader):
    """Finds and makes the old modules: each looks its names up in the modules that hold them now."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        return ModuleSpec(fullname, self, is_package=True) if fullname in OLD_MODULES else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        homes = OLD_MODULES[spec.name]
        module = types.ModuleType(spec.name, f"The old name of {', '.join(homes) or 'a room'}.")

        def find(name: str) -> object:
            for home in homes:
                found = getattr(importlib.import_module(home), OLD_CLASSES.get(name, name), None)
                if found is not None:
                    return found
            raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")

        module.__dict__["__getattr__"] = find
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is left to run: names are looked up when they are asked for."""
