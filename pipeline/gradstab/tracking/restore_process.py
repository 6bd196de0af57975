"""The driver's side of `restore`: before a study starts without its results folder, MLflow is asked for the folder."""

from __future__ import annotations

import json
from collections.abc import Callable

from gradstab.errors import StorageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.system import child_process
from gradstab.tracking.restore import EXIT_NEWER, RestoredStudy, StudyQuery, may_be_there


def restore_lost_folder(
    folder: StudyFolder, study: Study, settings: Settings, say: Callable[[str], None]
) -> RestoredStudy | None:
    """Fill a folder that holds no study from MLflow. Returns what was found, or None if the study starts from scratch.

    The version in which the study began is lost with its folder, so every version is tried. If MLflow cannot be
    reached, warn and start the study from scratch.

    Raises:
        StorageError: MLflow holds the study, but a newer version of gradstab recorded it.
    """
    experiment = study.tracking.experiment.replace("{name}", study.name)
    wanted = StudyQuery(settings.tracking.value, study.name, experiment, study.fingerprints())
    if folder.exists() or not may_be_there(wanted):
        return None
    asked = child_process.run(
        "gradstab.tracking.restore", wanted.dump(), ["--folder", str(folder.path)], settings.mlflow_env
    )
    reason = (asked.stderr.strip().splitlines() or [f"the process ended with exit code {asked.returncode}"])[-1]
    if asked.returncode == EXIT_NEWER:
        raise StorageError(f"the study {study.name!r} is in MLflow, but {reason}")
    if asked.returncode != 0:
        say(f"MLflow could not be asked for earlier results of this study, so it starts from scratch: {reason}")
        return None
    answer = json.loads(asked.stdout.strip().splitlines()[-1])
    if answer is None:
        return None
    found = RestoredStudy(**answer)
    say(
        f"the results folder was missing: {found.segments} segments were restored from MLflow"
        + (f", {found.damaged} more were damaged: their trials run again" if found.damaged else "")
    )
    return found
