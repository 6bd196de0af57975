"""Finds the study that the user means, its settings and its folder."""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gradstab.errors import GradstabError, UsageError
from gradstab.record.shipping_order import load_order
from gradstab.record.study_folder import StudyFolder
from gradstab.study.file import changed, find_study_file, load_study_file
from gradstab.study.settings import DEFAULT, Setting, Settings, resolve_settings, results_setting
from gradstab.study.study import Study
from gradstab.system.storage_url import Tracking, parse_tracking
from gradstab.theory.relative_scale import require_critical_scales
from gradstab.tracking.shipping_files import load_cursor

LOCAL_RESULTS = "results"  # where the demo of version 0.1.0 kept its results, and where many users keep theirs


def find_study(
    given: str, results: str | None, overrides: tuple[str, ...] = (), **replaced: object
) -> tuple[Study, Path | None]:
    """The study that an argument means, and its file: a study file, or the name of a begun study (then no file).

    Raises:
        UsageError: it is neither, or the study in the file has faults.
    """
    folder = _folder_named(given, results)
    source: Path | None
    try:
        path = find_study_file(given)
    except UsageError as error:
        if folder is None:
            raise UsageError(f"{error}{_hint_at_results(given)}") from None
        study, source = changed(folder.study().dump(), overrides, given, None, **replaced), None
    else:
        study, source = load_study_file(path, overrides, **replaced), path
    require_critical_scales(study)
    return study, source


def find_settings(study: Study, source: Path | None, results: str | None, *, address: str | None = None) -> Settings:
    """The settings of a study.

    Where nothing says where MLflow is, it is where the study was shipped before: a study whose first run was told
    by MLFLOW_TRACKING_URI stays in that store when the variable is gone.
    """
    found = resolve_settings(study, source.parent if source else None, results, address)
    if found.tracking.origin != DEFAULT:
        return found
    folder = StudyFolder.of(found.results_root(), study.name)
    before = _told_before(folder) if folder.exists() else None
    return found if before is None else replace(found, tracking=before)


def _told_before(folder: StudyFolder) -> Setting[Tracking] | None:
    """The store that an earlier run was told to ship to and has shipped to; None if it took the default one."""
    with suppress(GradstabError):
        order = load_order(folder.path)
        was_told = not order.settings.get("tracking", f"({DEFAULT})").endswith(f"({DEFAULT})")
        if was_told and load_cursor(folder.path, order.uri).parent_run_id:
            return Setting(parse_tracking(order.uri), "as before")
    return None


def find_begun(given: str, results: str | None) -> tuple[StudyFolder, Settings]:
    """Folder and settings of a study that has begun, from its name or its file.

    Raises:
        UsageError: there is no such study, or it has not begun.
    """
    folder = _folder_named(given, results)
    study, source = (folder.study(), None) if folder is not None else _declared(given, results)
    settings = find_settings(study, source, results)
    found = StudyFolder.of(settings.results_root(), study.name)
    if not found.exists():
        raise UsageError(
            f"the study {study.name!r} has no results in {settings.results_root()}: start it with gradstab run {given}"
        )
    return found, settings


def _declared(given: str, results: str | None) -> tuple[Study, Path | None]:
    """The study of a file; a sentence about names if there is no such file."""
    try:
        find_study_file(given)
    except UsageError as error:
        if Path(given).suffix or "/" in given or Path(given).exists():
            raise
        root = results_setting(results).value
        raise UsageError(
            f"there is no study {given!r} in {root}, and no such study file: "
            f"gradstab list shows the studies, --results looks in another folder{_hint_at_results(given)}"
        ) from error
    return find_study(given, results)


def results_flag(settings: Settings) -> str:
    """The option that a printed command needs in order to find the same results."""
    return "" if settings.results.origin == "default" else f" --results {shlex.quote(str(settings.results_root()))}"


def command_name() -> str:
    """What the user must type to start this gradstab: its path, where the shell would find another one or none."""
    script = Path(sys.executable).parent / "gradstab"
    found = shutil.which("gradstab")
    if not script.exists() or (found is not None and script.samefile(found)):
        return "gradstab"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def _hint_at_results(given: str) -> str:
    """That the folder `results` of the working folder holds the study which was not found elsewhere, or nothing."""
    if not _is_name(given) or not StudyFolder.of(Path(LOCAL_RESULTS), given).exists():
        return ""
    return f". A study of this name is in ./{LOCAL_RESULTS}: add --results {LOCAL_RESULTS}"


def _is_name(given: str) -> bool:
    return "/" not in given and given not in ("", ".", "..")


def _folder_named(given: str, results: str | None) -> StudyFolder | None:
    if not _is_name(given):
        return None
    folder = StudyFolder.of(results_setting(results).value, given)
    return folder if folder.exists() else None
