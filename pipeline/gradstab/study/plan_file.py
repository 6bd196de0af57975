"""Writes a study file: YAML, or Python where the study names functions of the user, which YAML may not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from gradstab.errors import UsageError
from gradstab.study.axes import AnyAxis
from gradstab.study.file import load_study_file
from gradstab.study.study import Study

YAML, PYTHON = (".yaml", ".yml"), (".py",)


def suffixes_of(study: Study) -> tuple[str, ...]:
    """The endings that a file of this study may have."""
    return PYTHON if study.import_paths else YAML


def require_new_file(study: Study, path: Path) -> None:
    """Check that a file of this name can hold the study, and is not there yet.

    Raises:
        UsageError: it is there, or has another ending.
    """
    if path.exists():
        raise UsageError(f"{path} exists: give the plan another name, or remove that file")
    wanted = suffixes_of(study)
    if path.suffix not in wanted:
        why = (
            "it names functions of your own, which only a Python file may" if study.import_paths else "it is plain data"
        )
        raise UsageError(f"the plan of {study.name} must be a {wanted[0]} file, since {why}; got {path.name}")


def yaml_text(study: Study, comment: str) -> str:
    """The whole study as YAML below a comment."""
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + yaml.safe_dump(study.dump(), sort_keys=False, allow_unicode=True, width=100)


def python_text(source: str, study: Study, axes: Mapping[str, AnyAxis], comment: str) -> str:
    """The user's own study file with a last block that changes its study.

    Args:
        source: the file as the user wrote it, which defines STUDY.
        study: the study that is planned.
        axes: the axes in which it differs.
    """
    types = sorted({"Study", *(type(axis).__name__ for axis in axes.values())})
    lines = [f"# {line}" for line in comment.splitlines()]
    lines.append(f"from gradstab import {', '.join(types)}  # noqa: E402")
    changes = [f'"name": {study.name!r},'] if axes else []
    if axes:
        added = ", ".join(f"{name!r}: {_call(axis)}" for name, axis in axes.items())
        names = ", ".join(f'"{name}"' for name in axes)
        changes.append(f'"space": {{**STUDY.space.axes, {added}}},')
        changes.append(f'"sampler": {study.dump()["sampler"]!r},')
        changes.append(f'"recipe": STUDY.recipe.model_dump(exclude_unset=True, exclude={{{names}}}),')
    changes.append(f'"budget": {{**dict(STUDY.budget), "trials": {study.budget.trials}}},')
    lines += ["STUDY = Study.model_validate({", "    **dict(STUDY),", *(f"    {line}" for line in changes), "})"]
    return source.rstrip("\n") + "\n\n\n" + "\n".join(lines) + "\n"


def write_study_file(path: Path, text: str, study: Study) -> None:
    """Write a study file, and read it back.

    Raises:
        UsageError: it cannot be written, or read back it is not the study.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    try:
        read = load_study_file(path)
    except UsageError as error:
        path.unlink()
        beside = (
            ". Write it into the folder of the study's own file, beside what that imports" if study.functions else ""
        )
        raise UsageError(f"the plan cannot be read back, so it was not kept: {error}{beside}") from None
    if (read.name, read.space, read.budget) != (study.name, study.space, study.budget):
        path.unlink()
        raise UsageError(f"the plan read back is not the study that was planned, so {path.name} was not kept")


def _call(axis: AnyAxis) -> str:
    if axis.is_choice:
        return f"Choice({axis.choices!r})"
    return f"{type(axis).__name__}({axis.low!r}, {axis.high!r})"
