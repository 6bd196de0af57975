"""Who may drive a study: one process at a time holds its folder, a storage file outside it, or PostgreSQL's lock.

Only the driver writes storage, so a cluster of any size may run a study whose storage is a file: workers never see
it. What a file cannot do is serve two drivers, or drivers on two machines that do not see each other's locks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gradstab.errors import GradstabError, StudyHeldError, UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Settings
from gradstab.system.file_lock import held
from gradstab.system.storage_url import postgresql_url, same_database, storage_file, without_password

STEP_DOWN_SECONDS = 60.0  # that a driver which was taken over may need until its next write


@contextmanager
def hold_study(folder: StudyFolder, settings: Settings, *, force: bool = False) -> Iterator[None]:
    """Hold what only one driver of a study may hold, but for PostgreSQL's lock, which its connection holds.

    Args:
        force: take the study over from a driver that lives, or whose end PostgreSQL has not noticed: it stops at its
            next write.

    Raises:
        UsageError: storage and tracking share a database, or a file cannot be taken over.
        StudyHeldError: another process drives the study, or another one writes the same storage file.
    """
    url, tracking = settings.storage.value or "", settings.tracking.value or ""
    name = folder.path.name
    if same_database(url, tracking):
        raise UsageError(
            f"storage and tracking must be two databases, got {without_password(url)} for both: Optuna and MLflow each "
            "keep the version of their tables under the same name"
        )
    if force:
        _take_over(name, url)
    with ExitStack() as stack:
        _enter_folder(stack, folder, STEP_DOWN_SECONDS if force else 0.0)
        file = storage_file(url)
        if file is not None and file.parent.resolve() != folder.path.resolve():
            _enter_file(stack, file)
        yield


def _take_over(name: str, url: str) -> None:
    server = postgresql_url(url)
    if server is None:
        raise UsageError(
            f"--force must have PostgreSQL as storage, got {without_password(url) or 'none'}: a file is locked by its "
            "driver for as long as that lives; stop the driver instead"
        )
    from gradstab.search.postgresql import take_over
    from gradstab.search.storages import storage_errors

    with storage_errors(url):
        take_over(server, name)


def _enter_folder(stack: ExitStack, folder: StudyFolder, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            stack.enter_context(folder.locked())
        except StudyHeldError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.5)
        else:
            return


def _enter_file(stack: ExitStack, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # the storage itself says what is wrong with its place
    try:
        stack.enter_context(held(file.with_name(f"{file.name}.driver"), f"the storage file {file}"))
    except StudyHeldError as error:
        raise GradstabError(
            f"{error}; or use postgresql://, which serves many studies at once: a file has one writer"
        ) from None
