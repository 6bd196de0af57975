"""A run whose results folder is gone: what MLflow still holds of the study is fetched before the study goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.tracking.restore import RestoredStudy, StudyQuery, may_be_there


def restore_lost_folder(
    folder: StudyFolder, study: Study, settings: Settings, say: Callable[[str], None]
) -> str | None:
    """Fill a folder that holds no study from MLflow; the study's id, or None for a study that begins.

    An MLflow that cannot be asked holds nobody up: the study begins, and that is said.
    """
    wanted = StudyQuery(settings.tracking.value or "", study.name, study.fingerprint())
    if folder.exists() or not may_be_there(wanted):
        return None
    asked = subprocess.run(
        # -P: what lies in the working directory must not stand in for an installed package
        [sys.executable, "-P", "-m", "gradstab.tracking.restore", "--folder", str(folder.path)],
        input=json.dumps(asdict(wanted)),
        env={**os.environ, **settings.mlflow_env},
        capture_output=True,
        text=True,
        check=False,
        process_group=0,  # out of reach of a Ctrl-C: cut off, it would pass for an MLflow that cannot be asked
    )
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        say(f"MLflow could not be asked for an earlier part of this study, so it begins anew: {reason}")
        return None
    answer = json.loads(asked.stdout.strip().splitlines()[-1])
    if answer is None:
        return None
    found = RestoredStudy(**answer)
    say(
        f"the results folder was gone: {found.segments} segments came back from MLflow"
        + (f", {found.damaged} more were damaged: their trials run again" if found.damaged else "")
    )
    return found.study_id
