"""gradstab: maps the region of hyperparameters where gradients neither vanish nor explode.

from pipeline import Study, run_study, load_results, probe
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.loading import load_results
    from pipeline.own_module import probe
    from pipeline.session import run_study
    from pipeline.study import Study

__all__ = ["Study", "load_results", "probe", "run_study"]

_HOMES = {
    "Study": "pipeline.study",
    "run_study": "pipeline.session",
    "load_results": "pipeline.loading",
    "probe": "pipeline.own_module",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import pipeline` stays light in workers."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
