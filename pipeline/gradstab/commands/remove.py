"""`gradstab remove`: removes a study's runs in MLflow, its Optuna study and, last, its results folder.

The folder comes last because the other two are found through it: the same command finishes an interrupted removal.
"""

from __future__ import annotations

import shutil
from contextlib import closing, suppress

import click

from gradstab.commands.options import announce, results_option, study_argument
from gradstab.display.numbers import counted, size_text
from gradstab.record.study_folder import StudyFolder
from gradstab.session.parts import open_searcher
from gradstab.session.study_lock import hold_study
from gradstab.study.settings import Settings
from gradstab.system.storage_url import Postgresql, Storage


@click.command()
@study_argument
@click.option("--yes", is_flag=True, help="Remove without asking.")
@results_option
def remove(study: str, yes: bool, results: str | None) -> None:
    """Remove STUDY from the results folder, Optuna and MLflow.

    All its runs in MLflow are removed, with their child runs.
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_rows, say
    from gradstab.tracking.shipping_files import is_shipped_elsewhere

    folder, settings = find_begun(study, results)
    say("looking for what belongs to it in Optuna and MLflow ...")
    print_rows(f"{folder.path.name}: this will be removed", ["what", "where", "how much"], belongings(folder, settings))
    if not yes:
        click.confirm("Remove all of this?", abort=True, err=True)
    elsewhere = is_shipped_elsewhere(folder.path, settings.tracking.value.url)
    remove_study(folder, settings)
    say(f"{folder.path.name} is removed; MLflow keeps deleted runs until `mlflow gc`")
    if elsewhere:
        say(f"its runs stay in the MLflow that it was shipped to before, which is not {settings.tracking.value}")


def belongings(folder: StudyFolder, settings: Settings) -> list[tuple[str, str, str]]:
    """What will be removed: kind, place, amount.

    Raises:
        StorageError: MLflow cannot be reached; nothing was removed.
    """
    from gradstab.tracking.inspection import open_mlflow_study

    storage = settings.storage.value
    rows = [
        (
            "results folder",
            str(folder.path),
            f"{counted(folder.num_recorded(), 'trial')}, {size_text(folder.num_bytes())}",
        )
    ]
    if not _inside(folder, storage):
        rows.append(("Optuna study", f"{folder.path.name} in {storage}", "all its trials"))
    for name, count in open_mlflow_study(folder, settings).describe():
        place = f"experiment {name} in {settings.tracking.value}"
        rows.append(("MLflow runs", place, f"{counted(count, 'run')}, children included"))
    return rows


def remove_study(folder: StudyFolder, settings: Settings) -> None:
    """Remove all of it.

    Raises:
        StudyHeldError: the study is being driven.
        StorageError: MLflow or storage cannot be reached; calling it again removes the rest.
    """
    from gradstab.tracking.inspection import open_mlflow_study

    storage = settings.storage.value
    with hold_study(folder, settings):
        open_mlflow_study(folder, settings).delete()
        if not _inside(folder, storage):
            with closing(open_searcher(folder.study(), settings, folder.began_in())) as searcher:
                searcher.remove()
            if isinstance(storage, Postgresql):
                from gradstab.search.postgresql import forget

                forget(storage.server, folder.path.name)
        # the lock goes with its folder; after a kill here there is no study.json, so no study
        folder.declaration.unlink()
        shutil.rmtree(folder.path, ignore_errors=True)
    with suppress(OSError):
        shutil.rmtree(folder.path)


def _inside(folder: StudyFolder, storage: Storage) -> bool:
    """Whether the storage file goes with the folder."""
    return not isinstance(storage, Postgresql) and storage.path.parent.resolve() == folder.path.resolve()
