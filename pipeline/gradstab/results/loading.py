"""Results for a notebook, from the folders of this machine or from MLflow alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import ValidationError

from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.study.criterion import Criterion
from gradstab.study.faults import sentences
from gradstab.study.settings import resolve_results_settings, results_setting
from gradstab.system.home import writable_or_temporary


def load_results(
    study: str | Path,
    *,
    criterion: Criterion | Mapping[str, object] | None = None,
    results: str | None = None,
    tracking: str | None = None,
) -> Results:
    """The results of a study, from this machine if it has them, and else from MLflow.

    Args:
        study: its name, the path of its folder, a link to it copied from the MLflow UI, or the tracking URI of a
            store that holds no other study.
        criterion: judge under this criterion instead of the study's own, such as `{"ratio_band": 0.5}`; nothing is
            trained again.
        results: results folder on this machine, as for the command line.
        tracking: MLflow tracking URI to read from, even if this machine has the results. By default they are looked
            for here first, and then in the MLflow that a run would use.

    Raises:
        UsageError: there is no such study, or the criterion has faults.
        GradstabError: MLflow cannot be reached.
    """
    criterion = _checked(criterion)
    if tracking is None and not is_uri(study):
        try:
            found = local_results(study, criterion=criterion, results=results)
        except UsageError:
            configured = resolve_results_settings(results).tracking
            if configured.origin == "default":  # a database beside results that are not there
                raise
            tracking = configured.value.url
        else:
            return found
    return Results(StudyFolder(_downloaded(study, tracking)), criterion)


def local_results(study: str | Path, *, criterion: Criterion | None = None, results: str | None = None) -> Results:
    """The results of a study on this machine, by its name (in the results root) or by the path of its folder.

    Raises:
        UsageError: there is no such study.
    """
    path = Path(study)
    if not (path / "study.json").is_file():
        path = results_setting(results).value / path.name
    return Results(StudyFolder(path), criterion)


def is_uri(study: str | Path) -> bool:
    """Whether the user gave a link or a tracking URI, and not a name or a path."""
    return "://" in str(study)


def _downloaded(study: str | Path, tracking: str | None) -> Path:
    from gradstab.tracking.reading import download_study

    cache = writable_or_temporary(user_cache_path("gradstab") / "studies")
    if tracking is None:
        return download_study(str(study), None, cache)
    return download_study(tracking, None if is_uri(study) else Path(study).name, cache)


def _checked(criterion: Criterion | Mapping[str, object] | None) -> Criterion | None:
    if criterion is None:
        return None
    try:
        return Criterion.model_validate(criterion)
    except ValidationError as error:
        raise UsageError("; ".join(sentences(error, "criterion", Criterion.model_fields))) from None
