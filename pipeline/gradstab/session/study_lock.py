"""The locks that a driver holds: one process at a time may drive a study.

Only the driver writes storage, and workers never see it. So a cluster of any size may run a study whose storage is a
file. A file cannot serve two drivers, or drivers on two machines that do not see each other's locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gradstab.errors import GradstabError, StudyHeldError, UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Settings
from gradstab.system.file_lock import hold_lock
from gradstab.system.retry import Retry
from gradstab.system.storage_url import Postgresql, Storage, same_database

STEP_DOWN_SECONDS = 60.0  # a driver that was taken over may need this long until its next write
POLL_SECONDS = 0.5


@contextmanager
def hold_study(folder: StudyFolder, settings: Settings, *, force: bool = False) -> Iterator[None]:
    """Hold the exclusive locks of a driver: the study folder and, if it lies outside, the storage file.

    PostgreSQL's lock is taken later, by the storage connection.

    Args:
        force: take the study over from a driver that lives, or whose end PostgreSQL has not noticed. That driver stops
            at its next write.

    Raises:
        UsageError: storage and tracking share a database, or a file cannot be taken over.
        StudyHeldError: another process drives the study.
        GradstabError: another process writes the same storage file.
    """
    storage, name = settings.storage.value, folder.path.name
    if same_database(storage, settings.tracking.value):
        raise UsageError(
            f"storage and tracking must be two databases, got {storage} for both: Optuna and MLflow each keep the "
            "version of their tables under the same name"
        )
    if force:
        _take_over(name, storage)
    with ExitStack() as stack:
        patience = STEP_DOWN_SECONDS if force else 0.0
        retry = Retry(StudyHeldError, lambda began: began + patience, pauses=(POLL_SECONDS, POLL_SECONDS))
        retry(lambda: stack.enter_context(folder.locked()))
        if not isinstance(storage, Postgresql) and storage.path.parent.resolve() != folder.path.resolve():
            _hold_file(stack, storage.path)
        yield


def _take_over(name: str, storage: Storage) -> None:
    if not isinstance(storage, Postgresql):
        raise UsageError(
            f"--force must have PostgreSQL as storage, got {storage}: a driver locks a file for as long as it lives; "
            "stop that driver instead"
        )
    from gradstab.search.postgresql import take_over
    from gradstab.search.storages import storage_errors

    with storage_errors(storage):
        take_over(storage.server, name)


def _hold_file(stack: ExitStack, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # opening the storage says what is wrong with its folder
    try:
        stack.enter_context(hold_lock(file.with_name(f"{file.name}.driver"), f"the storage file {file}"))
    except StudyHeldError as error:
        raise GradstabError(
            f"{error}; or use postgresql://, which serves many studies at once: a file has one writer"
        ) from None
