"""`gradstab doctor`: compares the record, Optuna and MLflow, and repairs them. The record is the truth of the three."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import announce, format_option, results_option, study_argument
from gradstab.display.numbers import counted, numbered_text
from gradstab.errors import EXIT_FAILED, StorageError
from gradstab.loop.ports import TrialValue
from gradstab.loop.recovery import restore_lost_trials
from gradstab.loop.runner import told_attributes
from gradstab.record.differences import Finding, Margin, Stored, storage_findings, tracking_findings, wrong_runs
from gradstab.record.segments import CorruptSegmentError, Record, read_segment, segment_paths
from gradstab.record.study_folder import StudyFolder
from gradstab.session.parts import Listener, open_searcher
from gradstab.session.study_lock import hold_study
from gradstab.session.sync import sync
from gradstab.stability.judgement import judge
from gradstab.study.settings import Setting, Settings
from gradstab.study.study import Study
from gradstab.system.storage_url import JournalFile

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format


@click.command()
@study_argument
@click.option("--repair", "mend", is_flag=True, help="Repair what can be repaired without training.")
@results_option
@format_option
def doctor(study: str, mend: bool, results: str | None, output: Format) -> None:
    """Compare the record, Optuna and MLflow of STUDY, and repair them.

    The record (the files in the study's results folder) is taken as the truth. Without --repair nothing is changed.

    The exit code is 1 if something differs (with --repair: if something still differs afterwards).
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_json, print_rows, say

    folder, settings = find_begun(study, results)
    say("comparing the results folder, Optuna and MLflow ...")
    found = examine(folder, settings)
    if mend and found:
        repair(folder, settings, Listener(found=say))
        left = examine(folder, settings)
        say(f"{counted(len(found), 'difference')} found, {len(left)} left")
        found = left
    if output == "json":
        print_json([asdict(finding) for finding in found])
    elif found:
        rows = [[f.where, f.what, numbered_text(f.numbers), f.mended_by] for f in found]
        print_rows(f"{folder.path.name}: what differs", ["where", "what", "trials", "mended by"], rows)
    else:
        say(f"{folder.path.name}: the results folder, Optuna and MLflow agree")
    if found:
        sys.exit(EXIT_FAILED)


def examine(folder: StudyFolder, settings: Settings) -> list[Finding]:
    """The differences between the places. Nothing is changed.

    Raises:
        StudyHeldError: the study is being driven, and therefore differs all the time.
    """
    with hold_study(folder, settings):
        return _examined(folder, settings)


def repair(folder: StudyFolder, settings: Settings, listener: Listener) -> None:
    """Repair what can be repaired without training. Doing it again changes nothing.

    Raises:
        StudyHeldError: the study is being driven.
        StorageError: storage or MLflow cannot be reached.
    """
    study = folder.study()
    with hold_study(folder, settings):
        for path in (*_damaged(folder.path), *_leftovers(folder.path)):
            path.rename(path.with_name(f"corrupt-{path.name.lstrip('.')}"))
        recorded, _ = _recorded(folder, study)
        # opening repairs a torn journal
        with closing(open_searcher(study, settings, folder.began_in(), listener.found)) as searcher:
            running = {proposal.number for proposal in restore_lost_trials(folder.path, searcher).running}
            for path in segment_paths(folder.path):
                for record in read_segment(path):
                    if record.number in running:
                        running.discard(record.number)
                        result = _trial_value(record, study)
                        if result is None:
                            searcher.tell_failure(record.number, str(record.failure))
                        else:
                            searcher.tell(result)
        if not _tracking_findings(folder, settings, study):
            return
        from gradstab.tracking.inspection import open_mlflow_study

        in_mlflow = open_mlflow_study(folder, settings)
        in_mlflow.delete_other_experiments()
        shipped = in_mlflow.content()
        if shipped is not None:
            wrong = wrong_runs(recorded, shipped)
            in_mlflow.delete_trials(run.run_id for number in wrong for run in shipped.trials[number])
        from gradstab.tracking.shipping_files import CURSOR_NAME

        # without the cursor the shipper checks every trial: finds or creates its run, ends it, removes duplicates
        (folder.path / CURSOR_NAME).unlink(missing_ok=True)
    if sync(folder, settings, listener):
        raise StorageError("MLflow did not take all results: run gradstab sync when it is back")


def _examined(folder: StudyFolder, settings: Settings) -> list[Finding]:
    study = folder.study()
    recorded, _ = _recorded(folder, study)
    findings = [Finding("segments", f"{path.name} is damaged") for path in _damaged(folder.path)]
    findings += [Finding("segments", f"{path.name} was never finished") for path in _leftovers(folder.path)]
    with tempfile.TemporaryDirectory(prefix="gradstab-doctor-") as scratch:
        place, torn = _with_copied_journal(settings, Path(scratch))
        if torn:
            findings.append(Finding("Optuna", f"the journal ends in {torn} bytes of half a line"))
        with closing(open_searcher(study, place, folder.began_in())) as searcher:
            state, values = searcher.state(), searcher.values()
    stored = Stored(values, state.failed, frozenset(proposal.number for proposal in state.running))
    findings += storage_findings(recorded, stored)
    return findings + _tracking_findings(folder, settings, study)


def _tracking_findings(folder: StudyFolder, settings: Settings, study: Study) -> list[Finding]:
    from gradstab.tracking.inspection import open_mlflow_study

    recorded, sound = _recorded(folder, study)
    try:
        shipped = open_mlflow_study(folder, settings).content()
    except StorageError as error:
        return [Finding("MLflow", str(error), mended_by="gradstab sync, once it is there")]
    return tracking_findings(recorded, [path.name for path in sound], study.tracking.child_runs, shipped)


def _with_copied_journal(settings: Settings, scratch: Path) -> tuple[Settings, int]:
    """Settings with a copy of the journal, because opening a journal repairs it; and the number of torn bytes."""
    storage = settings.storage.value
    if not isinstance(storage, JournalFile):
        return settings, 0
    copy = scratch / "optuna.journal"
    torn = 0
    if storage.path.exists():
        shutil.copy(storage.path, copy)
        content = copy.read_bytes()
        torn = len(content) - (content.rfind(b"\n") + 1)
    return replace(settings, storage=Setting(JournalFile(f"journal:{copy}", copy), settings.storage.origin)), torn


def _recorded(folder: StudyFolder, study: Study) -> tuple[dict[int, Margin], list[Path]]:
    """Margins of all trials on record, the first record of each number, and the undamaged segments."""
    margins: dict[int, Margin] = {}
    sound = []
    for path in segment_paths(folder.path):
        try:
            records = read_segment(path)
        except CorruptSegmentError:
            continue
        sound.append(path)
        for record in records:
            if record.number not in margins:
                result = _trial_value(record, study)
                margins[record.number] = None if result is None else result.margin
    return margins, sound


def _trial_value(record: Record, study: Study) -> TrialValue | None:
    if record.trajectory is None:
        return None
    judgement = judge(record.trajectory, study.criterion)
    return TrialValue(record.number, judgement.margin, told_attributes(judgement))


def _damaged(folder: Path) -> list[Path]:
    damaged = []
    for path in segment_paths(folder):
        try:
            read_segment(path)
        except CorruptSegmentError:
            damaged.append(path)
    return damaged


def _leftovers(folder: Path) -> list[Path]:
    return sorted(folder.glob(".segment-*.partial"))
