"""Where the values of a study come from, which decides what its activations may name.

A Python study may name a function by its import path, `module:function`: it can run anything as it is. YAML and `--set`
are data and may not, or a study file from a stranger could call any function of any module. Naming imports nothing.

The origin is pydantic's validation context, as in `Study.model_validate(tree, context=FromData())`. Without a context,
the values come from Python code.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from gradstab.activations.registry import LIBRARY, installed, is_import_path


@dataclass(frozen=True)
class FromData:
    """Values from YAML or `--set`, put into what Python code declared, if anything.

    Attributes:
        import_paths: those that the code names; the data may repeat them.
    """

    import_paths: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FromRecord:
    """Values that were checked when the study began, perhaps on another machine with other packages installed."""


FROM_RECORD = FromRecord()


def check_activation(name: str, info: ValidationInfo) -> str:
    """The name, if values of this origin may name it; nothing is imported."""
    origin = info.context
    if name in LIBRARY:
        return name
    if is_import_path(name):
        if isinstance(origin, FromData) and name not in origin.import_paths:
            raise PydanticCustomError(
                "import_path_in_data",
                "must be an activation of gradstab or of an installed package, since only a Python study file "
                "(STUDY = Study(...)) may name a function to import",
            )
        return name
    if isinstance(origin, FromRecord) or name in installed():
        return name
    known = [repr(known) for known in (*LIBRARY, *installed())]
    raise PydanticKnownError("literal_error", {"expected": f"{', '.join(known[:-1])} or {known[-1]}"})
