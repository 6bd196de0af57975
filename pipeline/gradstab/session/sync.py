"""Sends results to MLflow that it does not have yet: at the end of a run, and for `gradstab sync`."""

from __future__ import annotations

import time

from gradstab.loop.ports import Tracker
from gradstab.loop.progress import Progress
from gradstab.record.shipping_order import save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.session.parts import (
    Listener,
    shipping_order,
    start_tracker,
)
from gradstab.study.settings import Settings
from gradstab.tracking.credentials import check_credentials

SYNC_PATIENCE = 20.0  # seconds that MLflow may make no progress before a run ends without it
TROUBLE_PATIENCE = 4.0  # the same once the tracker has reported an error


def sync(folder: StudyFolder, settings: Settings, listener: Listener) -> int:
    """Ship results that MLflow does not have; returns the number of trials that still wait."""
    study = folder.study()
    check_credentials(settings.tracking.value, settings.mlflow_env)
    with folder.locked():
        tracker = start_tracker(folder, study, settings)
        results = Results(folder)
        progress = Progress(study.budget.trials, results.verdicts())
        progress.failed = progress.verdicts.pop("failed", 0)
        save_order(folder.path, shipping_order(folder, study, settings, progress))
        return close_tracker(tracker, listener)


def close_tracker(tracker: Tracker, listener: Listener) -> int:
    """Close the tracker once it has shipped or makes no progress; returns the number of trials that still wait."""
    best, since = tracker.waiting(), time.monotonic()
    while best > 0 and time.monotonic() - since < (TROUBLE_PATIENCE if tracker.last_error() else SYNC_PATIENCE):
        listener.shipping(best)
        time.sleep(0.2)
        waiting = tracker.waiting()
        if waiting < best:
            best, since = waiting, time.monotonic()
    trouble = tracker.last_error() if best > 0 else None
    if trouble:
        listener.found(trouble)
    listener.shipping(best)
    return tracker.close(SYNC_PATIENCE if best == 0 else 0.0)
