"""A study's real searcher on a journal file, for tests of the loop."""

from __future__ import annotations

from pathlib import Path

from gradstab.search.searcher import OptunaSearcher
from gradstab.study.study import Study
from gradstab.system.storage_url import parse_storage


def open_journal_searcher(study: Study, folder: Path) -> OptunaSearcher:
    """The searcher of the study in this folder's journal; to be closed."""
    return OptunaSearcher(
        parse_storage(f"journal:{folder}/optuna.journal"),
        study.name,
        study.space,
        study.sampler,
        study_seed=study.seed,
        replicates=study.replicates,
        bands=study.bands(),
        error=None if study.stop is None else study.stop.error,
    )
