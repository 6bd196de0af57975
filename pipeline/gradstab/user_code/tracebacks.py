"""Turns what the user's code raises into a CodeError that points at the user's own lines."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from gradstab.errors import UsageError
from gradstab.user_code.failures import CodeError, one_line
from gradstab.user_code.importing import SourceLoader
from gradstab.user_code.sources import sibling_files

_PACKAGE = Path(__file__).parents[1]


@contextlib.contextmanager
def code_errors(what: str) -> Iterator[None]:
    """Raise whatever the user's code raises as a CodeError; `what` is the subject of its sentence."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise code_error(what, error) from None


def code_error(what: str, error: BaseException) -> CodeError:
    """An exception of the user's code as one sentence with file and line, and its traceback cut to the user's files.

    Args:
        what: the subject of the sentence, such as `my_gpt.py:build`.
    """
    steps = list(traceback.walk_tb(error.__traceback__))
    own = [step for step in steps if _loader(step[0])] or [step for step in steps if _is_of_a_package(step[0])]
    said = "it ends the program (SystemExit)" if isinstance(error, SystemExit) else one_line(error)
    if not own:
        return CodeError(f"{what} fails: {said}")
    frame, line = own[-1]
    loader = _loader(frame)
    file = loader.path if loader else frame.f_code.co_filename
    if loader is not None:
        said = loader.sources.shown(said) + _hint(error, loader.sources.folder)
    summary = traceback.StackSummary.extract(iter(own))
    told = "".join(["Traceback (most recent call last):\n", *summary.format(), said])
    return CodeError(f"{what} fails in line {line}{'' if file == what else f' of {file}'}: {said}", told)


def _hint(error: BaseException, folder: str | None) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name or not folder or not os.access(folder, os.X_OK):
        return ""
    if sibling_files(Path(folder), error.name):
        return (
            ". It lies beside the study file, but only what import statements name is sent to workers: "
            f"write import {error.name}"
        )
    return ""


def _loader(frame: FrameType) -> SourceLoader | None:
    loader = frame.f_globals.get("__loader__")
    return loader if isinstance(loader, SourceLoader) else None


def _is_of_a_package(frame: FrameType) -> bool:
    """Whether a frame runs code of an installed package, not of gradstab or of Python's import system."""
    file, module = frame.f_code.co_filename, frame.f_globals.get("__name__", "")
    return not (file.startswith("<") or Path(file).is_relative_to(_PACKAGE) or module.startswith("importlib"))
