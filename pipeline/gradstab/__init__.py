"""gradstab: maps the region of hyperparameters where gradients neither vanish nor explode.

from gradstab import Study, LogReal, run_study, load_results, probe, watch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradstab.module_probe import probe
    from gradstab.probing.weight_scale import find_weight_scale
    from gradstab.results.loading import load_results
    from gradstab.search.optuna_sampler import BoundarySampler
    from gradstab.session.drive import run_study
    from gradstab.study.axes import Choice, Integer, LogInteger, LogReal, Real
    from gradstab.study.criterion import Criterion
    from gradstab.study.data_spec import Digits, Mnist, Npz, Teacher
    from gradstab.study.model_spec import Model
    from gradstab.study.shipped_data import Adding, Copying, DigitImages, DigitPixels, DigitRows, TextBytes
    from gradstab.study.study import Study
    from gradstab.study.tensor_spec import Tensors, Tokens
    from gradstab.training.scale import scale_
    from gradstab.watching.watch import watch

__all__ = [
    "Adding",
    "BoundarySampler",
    "Choice",
    "Copying",
    "Criterion",
    "DigitImages",
    "DigitPixels",
    "DigitRows",
    "Digits",
    "Integer",
    "LogInteger",
    "LogReal",
    "Mnist",
    "Model",
    "Npz",
    "Real",
    "Study",
    "Teacher",
    "Tensors",
    "TextBytes",
    "Tokens",
    "__version__",
    "find_weight_scale",
    "load_results",
    "probe",
    "run_study",
    "scale_",
    "watch",
]

_HOMES = {
    "Study": "gradstab.study.study",
    "Criterion": "gradstab.study.criterion",
    **dict.fromkeys(("Digits", "Mnist", "Npz", "Teacher"), "gradstab.study.data_spec"),
    **dict.fromkeys(("Choice", "Integer", "LogInteger", "LogReal", "Real"), "gradstab.study.axes"),
    "Model": "gradstab.study.model_spec",
    **dict.fromkeys(
        ("Adding", "Copying", "DigitImages", "DigitPixels", "DigitRows", "TextBytes"), "gradstab.study.shipped_data"
    ),
    **dict.fromkeys(("Tensors", "Tokens"), "gradstab.study.tensor_spec"),
    "run_study": "gradstab.session.drive",
    "load_results": "gradstab.results.loading",
    "probe": "gradstab.module_probe",
    "find_weight_scale": "gradstab.probing.weight_scale",
    "scale_": "gradstab.training.scale",
    "watch": "gradstab.watching.watch",
    "BoundarySampler": "gradstab.search.optuna_sampler",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import gradstab` stays light in workers."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gradstab")
    if name not in _HOMES:
        raise AttributeError(f"module 'gradstab' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, so that completion in a notebook shows them."""
    return sorted(__all__)
