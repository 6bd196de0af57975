"""Reads a study from a file, with overrides: Python that defines ``STUDY``, or YAML with the same fields."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gradstab.errors import StudyError, UsageError
from gradstab.study.faults import field_names, sentences
from gradstab.study.old_names import old_names
from gradstab.study.origin import FromData
from gradstab.study.plain_yaml import load_yaml
from gradstab.study.study import Study, Tracking
from gradstab.study.versions import current_name, under_current_names
from gradstab.study.wording import plain, short
from gradstab.system.siblings import siblings_importable
from gradstab.system.storage_url import anchored

SUFFIXES = (".py", ".yaml", ".yml")
MAX_BYTES = 2**20


def find_study_file(given: str) -> Path:
    """The study file of a path that is given with or without its suffix.

    Raises:
        UsageError: there is no such file.
    """
    path = Path(given)
    named = [path.with_name(path.name + suffix) for suffix in SUFFIXES] if path.name else []
    candidates = [path, *named]
    for candidate in candidates:
        if candidate.is_file():
            if candidate.suffix.lower() not in SUFFIXES:
                raise UsageError(f"a study file must end in .py, .yaml or .yml, got {candidate}")
            return candidate.resolve()
    if path.is_dir():
        raise UsageError(f"STUDY must be a study file (.py, .yaml) or the name of a study, got the folder {given!r}")
    why = "it is no file that can be read to its end" if path.exists() else "there is no such file"
    raise UsageError(f"STUDY must be a study file (.py, .yaml), got {given!r}: {why}")


def load_study_file(path: Path, overrides: Sequence[str] = (), **replaced: object) -> Study:
    """The study of a file, changed by `overrides` (`recipe.width=256`) and `replaced` (whole top-level fields).

    Raises:
        StudyError: with every fault of the study, under the file's name.
        UsageError: the file cannot be read as a study at all.
    """
    path = path.resolve()
    try:
        declared = _load_python(path) if path.suffix.lower() == ".py" else _load_yaml(path)
    except StudyError as error:
        raise StudyError(error.faults, source=path.name) from None
    if isinstance(declared, Study):
        named_by_code = FromData(declared.import_paths)
        return changed(_anchored(declared.dump(), path.parent), overrides, path.name, named_by_code, **replaced)
    return changed(_anchored(declared, path.parent), overrides, path.name, None, **replaced)


def changed(
    tree: object, overrides: Sequence[str], source: str, origin: FromData | None = None, **replaced: object
) -> Study:
    """The study of a tree of plain values, changed by overrides; `None` replaces nothing.

    Args:
        origin: says which import paths the values may hold; none without it.

    Raises:
        StudyError: with every fault, under the name of its source.
    """
    if isinstance(tree, Mapping):
        tree = _under_current_names({**tree, **{key: value for key, value in replaced.items() if value is not None}})
        for override in overrides:
            tree = _overridden(tree, override)
    try:
        return Study.model_validate(tree, context=origin or FromData())
    except StudyError as error:
        raise StudyError(error.faults, source=source) from None
    except ValidationError as error:
        raise StudyError(sentences(error, "study"), source=source) from None


def _anchored(tree: object, folder: Path) -> object:
    """A copy with relative paths (data, storage, tracking) made absolute from the study's folder."""
    if not isinstance(tree, Mapping):
        return tree
    placed = dict(tree)
    data, tracking = tree.get("data"), tree.get("tracking")
    if isinstance(data, Mapping) and isinstance(data.get("path"), str):
        placed["data"] = {**data, "path": str(folder / data["path"])}
    if isinstance(tracking, Mapping) and isinstance(tracking.get("uri"), str):
        placed["tracking"] = {**tracking, "uri": anchored(tracking["uri"], folder)}
    if isinstance(tree.get("storage"), str):
        placed["storage"] = anchored(tree["storage"], folder)
    return placed


def _load_yaml(path: Path) -> object:
    content = _read(path)
    try:
        return load_yaml(content)
    except UsageError as error:
        raise UsageError(f"{path.name}: {error}") from None


def _load_python(path: Path) -> Study:
    _read(path)
    try:
        # relative paths in a study start at its folder; what it prints does not belong on stdout
        with (
            contextlib.chdir(path.parent),
            siblings_importable(path.parent),
            old_names(path.parent),
            contextlib.redirect_stdout(sys.stderr),
        ):
            names = runpy.run_path(str(path))
    except StudyError:
        raise
    except ValidationError as error:
        raise StudyError(sentences(error, error.title.lower().removesuffix("spec"), field_names(Study))) from None
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f" in line {frames[-1].lineno}" if frames else ""
        hint = ""
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "pipeline":
            hint = ". If gradstab is meant: its import name is gradstab now, as in from gradstab import Study"
        raise UsageError(f"{path.name} fails{line}: {type(error).__name__}: {error}{hint}") from None
    study = names.get("STUDY")
    if isinstance(study, Study):
        return study
    others = [name for name, value in names.items() if isinstance(value, Study)]
    if study is None:
        got = f"a study under the name {others[0]}: call it STUDY" if others else "no STUDY"
    else:
        got = f"STUDY of type {type(study).__name__}"
    raise UsageError(f"{path.name} must define STUDY = Study(...), got {got}")


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} must be readable, but: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"a study file must be at most {MAX_BYTES // 2**20} MiB, got {len(content)} bytes in {path.name}"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} must be UTF-8 text, but: {error.reason} at byte {error.start}") from None


def _overridden(tree: Mapping[str, Any], override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set must be field=value, got {short(override)}; for example --set recipe.width=256")
    try:
        value = load_yaml(text)
    except UsageError:
        raise UsageError(f"--set {plain(key)} must be given a YAML value, got {short(text)}") from None
    section, *names = key.strip().split(".")
    if section == "tracking":
        names = [current_name(Tracking, name) for name in names]
    return _placed(tree, [section, *names], value)


def _under_current_names(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with the names that fields have now, so that an override replaces what an older file gave."""
    tracking = tree.get("tracking")
    with contextlib.suppress(ValueError):  # given by both names: refused with the study's other faults
        return {**tree, "tracking": under_current_names(Tracking, tracking)} if tracking is not None else tree
    return tree


def _placed(tree: Mapping[str, Any], keys: Sequence[str], value: object) -> dict[str, Any]:
    head, *rest = keys
    if not rest:
        return {**tree, head: value}
    below = tree.get(head)
    return {**tree, head: _placed(below if isinstance(below, Mapping) else {}, rest, value)}
